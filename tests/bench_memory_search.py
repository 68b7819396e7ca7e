#!/usr/bin/env python3
"""asar_investigate.py's --pid and --heap beside what does the same by hand, in one run.

    sudo apt install gdb binutils grep npm chromium
    .venv/bin/python tests/bench_memory_search.py [--renderer] [--gigabyte]

--pid is compared with gcore, strings (of both widths) and grep for each literal's beginning, on a
Node.js that has loaded the bundle of 2020. --renderer adds the editor's renderer in Chromium, of
which gcore writes tens of GB in minutes; without it --pid alone is timed there. --heap is compared
with Python's json.load and with @vscode/v8-heap-parser, on a snapshot of the page; --gigabyte adds
a snapshot of 1 GB. The editor's whole tree shares its pages, a process full of base64 is the worst
that a memory can hold. Wall and CPU seconds, peak memory in MiB (/proc/PID/status: VmHWM).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import snapshots
from bundles import ROOT, npm_folder, scratch_bundle
from snapshots import rss

MIB = 2**20
SCRIPT = [sys.executable, str(ROOT / "asar_investigate.py")]
LOAD = "import json, sys; found = json.load(open(sys.argv[1])); print(len(found['nodes']))"
PARSER = "@vscode/v8-heap-parser@0.1.0"
DECODE = """
const {decode_bytes} = require(process.argv[2]);
const graph = decode_bytes(require("fs").readFileSync(process.argv[1]));
console.log(graph.get_class_groups(0, 10, true).length);
"""
DENSE = """
import base64, os, sys
text = base64.b64encode(os.urandom(192 * 2**20))  # 256 MiB, in one run
print("ready", flush=True)
sys.stdin.read()
"""
WATCH = """
import resource, subprocess, sys, time
begin = time.perf_counter()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wall, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def timed(*words: object, shell: bool = False) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of a command, started from a small process."""
    command = ["bash", "-c", str(words[0])] if shell else list(map(str, words))
    watch = [sys.executable, "-S", "-c", WATCH, *command]
    text = subprocess.run(watch, capture_output=True, text=True, check=True).stdout
    status, wall, cpu, peak = (float(word) for word in text.split())
    if status not in (0, 1):  # 1: grep has found nothing
        raise SystemExit(f"{command[:4]} ended with status {status}")
    return wall, cpu, peak


def tell(name: str, found: tuple[float, float, float], ours: float | None = None) -> None:
    """A row of the table."""
    wall, cpu, peak = found
    ratio = f"{wall / ours:9.1f} x" if ours else f"{'':11}"
    print(f"  {name:34}{wall:9.2f} s{cpu:9.2f} s CPU{peak:9.0f} MiB{ratio}", flush=True)


def by_hand(pid: int, bundle: str, folder: Path) -> list[tuple[str, tuple[float, float, float]]]:
    """gcore, strings of both widths, and grep for the literals' beginnings."""
    report = subprocess.run([*SCRIPT, bundle, "--json", "-"], capture_output=True, check=True)
    data = Path(bundle).read_bytes()
    literals = json.loads(report.stdout)["sources"][0]["literals"]
    heads = [data[one["offset"] :][:64] for one in literals]
    (folder / "heads").write_bytes(b"\n".join(heads))
    core = folder / f"core.{pid}"
    search = f"grep -c -F -f {folder}/heads"
    steps = [("gcore", timed("gcore", "-o", folder / "core", pid))]
    for name, option in (("one-byte", "s"), ("two-byte", "l")):
        command = f"strings -a -n 256 -e {option} {core} | {search}"
        steps.append((f"strings | grep, {name}", timed(command, shell=True)))
    core.unlink()
    return steps


def tree_rss(pid: int) -> int:
    """RSS in bytes of a process and its descendants, summed."""
    process = psutil.Process(pid)
    return sum(rss(one.pid) for one in [process, *process.children(recursive=True)])


def search_dense(bundle: str, folder: Path) -> None:
    """A process that holds hardly anything but base64, none of it the bundle's."""
    words = [sys.executable, "-c", DENSE]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        search_process("256 MiB of base64", process.pid, bundle, folder, False)


def search_process(name: str, pid: int, bundle: str, folder: Path, rivals: bool) -> None:
    """One process: asar_investigate.py --pid, and the three tools."""
    before = tree_rss(pid)
    print(f"\n{name}, {before / MIB:.0f} MiB resident", flush=True)
    runs = [timed(*SCRIPT, "--in", bundle, "--pid", pid) for _ in range(5)]
    ours = sorted(runs)[2]
    without = sorted(timed(*SCRIPT, "--in", bundle) for _ in range(5))[2]
    tell("asar_investigate.py --pid", ours)
    tell("  of which without --pid", without)
    grown = (tree_rss(pid) - before) / MIB
    cost = (ours[1] - without[1]) / before * 2**30
    print(f"  {cost:.2f} s of CPU a GiB; it has grown by {grown:.1f} MiB")
    if rivals:
        steps = by_hand(pid, bundle, folder)
        for step, found in steps:
            tell(step, found)
        whole = [sum(found[n] for _, found in steps) for n in (0, 1)]
        tell("the three together", (*whole, max(found[2] for _, found in steps)), ours[0])
        print(f"  gcore: it has grown by {(tree_rss(pid) - before) / MIB:.1f} MiB")


def read_heap(name: str, path: Path, bundle: str, rivals: bool = True) -> None:
    """A heap snapshot: asar_investigate.py --heap, json.load and a parser in Rust."""
    print(f"\n{name}, {path.stat().st_size / 1e6:.0f} MB", flush=True)
    ours = sorted(timed(*SCRIPT, "--in", bundle, "--heap", path) for _ in range(3))[1]
    tell("asar_investigate.py --heap", ours)
    if rivals:
        tell("json.load", timed(sys.executable, "-c", LOAD, path), ours[0])
        parser = npm_folder(PARSER) / "node_modules" / PARSER.rpartition("@")[0]
        tell(PARSER, timed("node", "-e", DECODE, path, parser), ours[0])


def enlarged(path: Path, target: Path, size: int) -> None:
    """A snapshot with its nodes, edges and strings again and again, to a size."""
    found = json.loads(path.read_bytes())
    times = size // path.stat().st_size
    with open(target, "w", encoding="ascii") as file:
        file.write(f'{{"snapshot":{json.dumps(found["snapshot"])}')
        for key in ("nodes", "edges", "strings"):
            part = json.dumps(found[key], separators=(",", ":"))[1:-1]
            file.write(f',"{key}":[{part}')
            for _ in range(times - 1):
                file.write(f",{part}")
            file.write("]")
        file.write("}")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renderer", action="store_true", help="gcore of a Chromium renderer too")
    parser.add_argument("--gigabyte", action="store_true", help="a heap snapshot of 1 GB too")
    options = parser.parse_args()
    bundle = str(scratch_bundle(old=True))
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {time.strftime('%F')}")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        with snapshots.node_with_bundle(bundle) as node:
            search_process("Node.js with the bundle", node.pid, bundle, folder, True)
        with snapshots.editor(old=True) as url:
            renderer = snapshots.process_of(url, "renderer")
            search_process("the editor's renderer", renderer, bundle, folder, options.renderer)
            browser = snapshots.process_of(url, "browser")
            search_process("all processes of the editor", browser, bundle, folder, False)
            page = snapshots.heap_of_page(url, folder / "page.heapsnapshot")
        search_dense(bundle, folder)
        read_heap("a snapshot of the page", page, bundle)
        if options.gigabyte:
            enlarged(page, folder / "big.heapsnapshot", 10**9)
            read_heap("the same again and again", folder / "big.heapsnapshot", bundle, False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
