#!/usr/bin/env python3
"""asar_investigate.py beside ripgrep, grep -oE and a plain Python re, whole commands in one run.

    sudo apt install ripgrep grep chromium npm
    .venv/bin/python tests/bench_asar.py

Each row: the median wall time of some runs taken in turn, as a ratio to asar_investigate.py's
(above 1: asar_investigate.py is faster), and the peak memory of the process in MiB. The rivals only
find the runs; asar_investigate.py decodes, hashes and names them, counts lines and characters.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20
PLAIN = """import re, sys
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        for match in re.finditer(rb"[A-Za-z0-9+/]{%d,}={0,2}" % int(sys.argv[1]), file.read()):
            print(path, match.start(), len(match[0]))
"""


def tools(size: int, files: Sequence[str]) -> dict[str, list[str]]:
    """The commands that find the runs of so many characters in these files."""
    expression = f"[A-Za-z0-9+/]{{{size},}}={{0,2}}"
    scan = str(ROOT / "asar_investigate.py")
    found = {
        "asar_investigate": [sys.executable, scan, "--min-size", str(size), *files],
        "ripgrep": ["rg", "--no-config", "-a", "-b", "-o", expression, *files],
        "grep -oE": ["grep", "-a", "-b", "-oE", expression, *files],
        "python re": [sys.executable, "-c", PLAIN, str(size), *files],
    }
    return {name: words for name, words in found.items() if shutil.which(words[0])}


MEASURE = """import os, resource, subprocess, sys, time
begin = time.perf_counter()
with open(os.devnull, "w") as null:
    subprocess.call(["timeout", *sys.argv[1:]], stdout=null)
print(time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def once(words: Sequence[str], limit: float) -> tuple[float, float]:
    """Wall seconds and peak MiB of one run of a command (infinite where it takes too long).

    Started from a small process: ru_maxrss includes that of the process it was forked from.
    """
    measure = [sys.executable, "-S", "-c", MEASURE, str(limit), *words]
    text = subprocess.run(measure, check=True, capture_output=True, text=True).stdout
    wall, peak = (float(word) for word in text.split())
    return (wall if wall < limit else float("inf")), peak / 1024


def compare(name: str, size: int, files: Sequence[str], runs: int, limit: float = 120) -> None:
    """One block of the table."""
    commands = tools(size, files)
    walls: dict[str, list[float]] = {tool: [] for tool in commands}
    peaks = dict.fromkeys(commands, 0.0)
    for n in range(runs + 1):
        for tool, words in commands.items():
            if n and walls[tool] and walls[tool][0] == float("inf"):
                continue
            wall, peak = once(words, limit)
            if n or wall > 5:  # the first is a warm-up
                walls[tool].append(wall)
            peaks[tool] = max(peaks[tool], peak)
    mass = sum(os.path.getsize(file) for file in files)
    print(f"\n{name}, {mass / 1e6:.0f} MB, {size} characters and more")
    ours = statistics.median(walls["asar_investigate"])
    for tool, times in walls.items():
        median = statistics.median(times)
        seconds = f"{median:9.3f} s" if median < limit else f"  > {limit:.0f} s"
        print(f"  {tool:18}{seconds:>12}{median / ours:8.2f} x{peaks[tool]:9.0f} MiB", flush=True)


def bundle(*more: str) -> bytes:
    """The real bundle's bytes."""
    words = [sys.executable, str(ROOT / "tests" / "scratch3"), "--bundle", *more]
    path = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    return Path(path).read_bytes()


def write(path: Path, data: bytes, size: int) -> str:
    """Data again and again, to a size."""
    with open(path, "wb") as file:
        while file.tell() < size:
            file.write(data[: size - file.tell()])
    return str(path)


def main() -> int:
    """Print the table."""
    old, new = bundle("--old"), bundle()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        one = [write(place / "bundle.js", old, len(old))]
        compare("the 2020 bundle", 256, one, 9)
        compare("the 2020 bundle", 1024, one, 9)
        many = [write(place / f"{n}.js", (old, new)[n % 2], 10**9 // 50) for n in range(10)]
        compare("bundles", 256, many, 3)
        compare("bundles", 1024, many, 3)
        # runs one short, and 16 bytes of which one is none of a run: nothing can be skipped
        short = write(place / "short.js", b"A" * 255 + b'"', 20 * 10**6)
        compare("made: runs one too short", 256, [short], 3)
        often = write(place / "often.js", b"ABCDEFGHIJK MNOP", 20 * 10**6)
        compare("made: short words", 256, [often], 3)
        print("\nasar_investigate.py alone, time and memory by size (the 2020 bundle repeated)")
        for size in (10**7, 10**8, 10**9):
            path = write(place / "size.js", old, size)
            wall, peak = once(tools(256, [path])["asar_investigate"], 600)
            print(
                f"  {size / 1e6:6.0f} MB{wall:9.2f} s{size / wall / 1e6:9.0f} MB/s{peak:7.0f} MiB"
            )
            os.unlink(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
