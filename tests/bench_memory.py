#!/usr/bin/env python3
"""memory.py beside other samplers of process trees at 10 Hz: what they cost, and what is true.

    sudo apt install chromium npm procps
    .venv/bin/python tests/bench_memory.py
    .venv/bin/python tests/bench_memory.py --only rest 4GiB --tools memory.py mprof --seconds 20

All of it takes some 25 minutes. psrecord, mprof (memory_profiler), procpath and con-duct come
from PyPI into a venv of their own in the cache; "full read" is a loop of this file that reads the
smaps_rollup of every process at every sample. They watch the same target one after another, but
where the target's start is measured, and but for con-duct, which has to start the target itself.

  s/min      CPU seconds per minute of sampling, own processes alone, once it has begun
  x          the same as a multiple of memory.py's
  ms         CPU time of a sample
  Hz         samples taken in a second
  own MiB    its peak of RSS
  slowdown   of a process of the target that holds 300 MiB and does nothing but mmap and munmap,
             while the tool is running against while it is stopped. The time that it waits for a
             CPU is left out: what remains is the kernel's locks, and noise: psrecord and
             con-duct take none of these locks, so their figures tell how much of it
  says MiB   the largest sum it has told, by its metric

Each target has one process more than its name tells: the one that starts it. Another Chromium on
the machine shares file pages with Scratch, whose PSS is then smaller. Which metric a tool
has, and whether it sees a daemon, is found out with tests/tree.py: --shared 100 --forks 4, of
which PSS is 100 MiB and RSS 500, and --daemon 100.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import mmap
import os
import pty
import re
import shlex
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from conftest import Cgroup, memory_cgroup

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import memory  # noqa: E402  (it is not installed)

MIB = 2**20
INTERVAL = 0.1
PATIENCE = 90  # seconds that a target has to get ready, and a tool for its first samples
WARM = 2  # seconds of sampling before the window
PAIRS, PAIR_SECONDS = 8, 0.3  # of the loop beside a running and beside a stopped tool
SPIKES, SPIKE_MIB, SPIKE_SEEN = 20, 100, 90
SPIKE_EVERY = 1.037  # so that each comes at another time between two samples
PACKAGES = {
    "psrecord": "psrecord",
    "mprof": "memory_profiler",
    "procpath": "procpath",
    "con-duct": "con-duct",
}
PROCPATH_QUERY = "$..children[?(@.stat.pid == {})]"  # with all below it
TREE = [sys.executable, str(ROOT / "tests" / "tree.py"), "--seconds", "0"]
SCRATCH = [sys.executable, str(ROOT / "tests" / "scratch3"), "--old"]

# The target's first process: starts the command, or the loop, when it is told to. What it starts
# ends with it. argv: a socket, a file for the loop's count, whether orphans become its children.
HOST = """import ctypes, mmap, os, signal, socket, subprocess, sys
prctl = ctypes.CDLL(None).prctl
prctl(36, int(sys.argv[3]), 0, 0, 0)
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
talk = link.makefile("rw")

def loop():
    prctl(1, signal.SIGKILL, 0, 0, 0)
    with open(sys.argv[2], "r+b") as file:
        count = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
    held = mmap.mmap(-1, 300 << 20, flags=mmap.MAP_PRIVATE)
    held.madvise(mmap.MADV_NOHUGEPAGE)
    held[:: mmap.PAGESIZE] = bytes(len(held) // mmap.PAGESIZE)
    while True:
        mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE).close()
        count[0] += 1

def answer(text):
    print(text, file=talk, flush=True)

command = child = None
answer(os.getpid())
for order in talk:
    if order == "start\\n":
        ends = lambda: prctl(1, signal.SIGTERM, 0, 0, 0)
        command = subprocess.Popen(
            sys.argv[4:], stdout=subprocess.PIPE, stderr=2, text=True, preexec_fn=ends
        )
    elif order == "ready\\n":
        while command.stdout.readline()[:6] not in ("", "ready:"):
            pass
    elif order == "loop\\n":
        child = os.fork()
        if child == 0:
            loop()
    elif order == "quiet\\n":
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    answer(child)
if command:
    command.terminate()
    command.wait()
"""

FULL = """import psutil, sys, time
root, interval = psutil.Process(int(sys.argv[1])), float(sys.argv[2])
out = open(sys.argv[3], "w")
due = time.monotonic()
while True:
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:
                data = file.read()
        except (OSError, psutil.Error):
            continue
        if b"\\nPss:" in data:
            total += int(data.partition(b"\\nPss:")[2].split()[0])
    print(total / 1024, file=out, flush=True)
    due = max(due + interval, time.monotonic())
    time.sleep(max(0, due - time.monotonic()) if interval else 0)
"""


class Failure(Exception):
    """Why there is no figure, in one line."""


ERRORS = (Failure, OSError, psutil.Error, subprocess.SubprocessError)


class Row(NamedTuple):
    """What one tool took for one target."""

    cpu: float  # seconds in the window
    seconds: float  # of the window
    samples: int
    own: float  # MiB
    slowdown: float
    says: float  # MiB


class Scenario(NamedTuple):
    name: str
    title: str
    command: list[str]
    start: bool = False  # the start is measured, not the rest
    others: int = 0  # processes on the machine beside it


class Tool(NamedTuple):
    name: str
    attach: Callable[[int, str], list[str]] | None  # the words for a pid and an output file
    launch: Callable[[list[str], str], list[str]] | None  # the same for a command
    values: Callable[[str], list[float]]  # the sum of each sample in the output file, in MiB
    terminal: bool = False  # it writes each sample at once to a terminal, not to a file


# ---------------------------------------------------------------- the tools


def csv_values(path: str) -> list[float]:
    """Of a recording of memory.py."""
    sums, total = [], 0
    with open(path, newline="") as file:
        for row in csv.reader(line for line in file if line[0] != "#" and line[-1] == "\n"):
            if row[1] == "0":
                sums.append(total / MIB)
                total = 0
            elif row[1] != "pid":
                total += int(row[4] or row[3])
    return sums


def word_values(path: str, word: int, start: str = "") -> list[float]:
    """Of a text file with a line for each sample: this word of those that start so."""
    text = Path(path).read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()
    found = [line.split() for line in lines if line.startswith(start)]
    return [float(words[word]) for words in found if words[word][:1].isdecimal()]


def procpath_values(path: str) -> list[float]:
    """Of procpath's database."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        query = "select sum(smaps_rollup_pss) / 1024.0 from record group by ts"
        return [size or 0 for (size,) in base.execute(query)]


def duct_values(path: str) -> list[float]:
    """Of con-duct's log."""
    lines = Path(path + "usage.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line)["totals"]["rss"] / MIB for line in lines if line[-1] == "\n"]


def our_tools() -> list[Tool]:
    """What needs no installation."""
    ours = [sys.executable, str(ROOT / "memory.py"), "--quiet", "--interval", str(INTERVAL)]
    full = [sys.executable, "-c", FULL]
    return [
        Tool(
            "memory.py",
            lambda pid, out: [*ours, "--csv", out, "--pid", str(pid)],
            lambda words, out: [*ours, "--csv", out, *words],
            csv_values,
        ),
        Tool(
            "full read",
            lambda pid, out: [*full, str(pid), str(INTERVAL), out],
            None,
            lambda path: word_values(path, 0),
        ),
    ]


def rival_tools(folder: Path) -> list[Tool]:
    """The rivals, as they are installed in a venv."""
    binary = {name: str(folder / "bin" / name) for name in PACKAGES}
    step = str(INTERVAL)
    psrecord = [binary["psrecord"], "--interval", step, "--include-children", "--log"]
    duct = [binary["con-duct"], "run", "--sample-interval", step, "--report-interval", step]
    duct += ["-l", "NONE", "-c", "none", "-o", "none", "--fail-time", "0", "-p"]
    return [
        Tool(
            "psrecord",
            lambda pid, out: [*psrecord, out, str(pid)],
            lambda words, out: [*psrecord, out, shlex.join(words)],
            lambda path: word_values(path, 2),
        ),
        *pss_rivals(binary, step),
        Tool("con-duct", None, lambda words, out: [*duct, out, *words], duct_values),
    ]


def pss_rivals(binary: dict[str, str], step: str) -> list[Tool]:
    """Those of the rivals that measure PSS."""
    mprof = ["-C", "-T", step, "--backend", "psutil_pss", "-o"]
    procpath = [binary["procpath"], "record", "--stop-without-result", "-i", step]
    procpath += ["-f", "stat,smaps_rollup", "-d"]
    return [
        Tool(
            "mprof",
            lambda pid, out: [binary["mprof"], "attach", *mprof, out, str(pid)],
            lambda words, out: [binary["mprof"], "run", *mprof, out, *words],
            lambda path: word_values(path, 1, "MEM"),
            terminal=True,
        ),
        Tool(
            "procpath",
            lambda pid, out: [*procpath, out, "-p", str(pid), PROCPATH_QUERY.format(pid)],
            None,
            procpath_values,
        ),
    ]


def install(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Install what is missing of the rivals; what could not be, and why."""
    failed: dict[str, str] = {}
    wanted = [name for name in names if name in PACKAGES]
    for name in wanted:
        if folder.joinpath("bin", name).exists():
            continue
        print(f"installing {PACKAGES[name]} into {folder}", file=sys.stderr)
        steps = [[str(folder / "bin" / "pip"), "install", "-q", PACKAGES[name]]]
        if not folder.joinpath("bin", "pip").exists():
            steps.insert(0, [sys.executable, "-m", "venv", str(folder)])
        for words in steps:
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                lines = (done.stderr + done.stdout).strip().splitlines()
                failed[name] = f"not installed: {lines[-1] if lines else done.returncode}"
    return failed


# ---------------------------------------------------------------- the target


class Target:
    """A process that starts a command when it is told to, here or below a tool."""

    def __init__(self, command: Sequence[str], reaper: bool = False) -> None:
        """The command; whether its orphans shall become the target's children."""
        self.place = tempfile.TemporaryDirectory(prefix="bench-memory-")
        self.folder = self.place.name
        place, counter = f"{self.folder}/link", f"{self.folder}/count"
        self.words = [sys.executable, "-S", "-c", HOST, place, counter, str(int(reaper)), *command]
        with open(counter, "w+b") as file:
            file.write(bytes(8))
            file.flush()
            self.count = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(place)
        self.listener.listen()
        self.listener.settimeout(PATIENCE)
        self.process: subprocess.Popen | None = None
        self.link: socket.socket | None = None
        self.pid = 0

    def __enter__(self) -> Target:
        return self

    def run(self, enter: Callable[[], None] | None = None) -> Target:
        """Start it here; else a tool has to."""
        self.process = subprocess.Popen(self.words, preexec_fn=enter)
        return self.connect()

    def connect(self) -> Target:
        try:
            self.link = self.listener.accept()[0]
        except TimeoutError:
            raise Failure("it has not started the target") from None
        self.link.settimeout(PATIENCE)
        self.talk = self.link.makefile("rw")
        self.pid = int(self.talk.readline())
        return self

    def order(self, word: str) -> str:
        """start, ready (wait until it is), loop (the answer is its pid), quiet."""
        try:
            print(word, file=self.talk, flush=True)
            answer = self.talk.readline()
        except OSError as error:
            raise Failure(f"the target, told to {word}: {error}") from None
        if not answer:
            raise Failure("the target has ended")
        return answer.strip()

    def begin(self) -> None:
        """Start the command and wait until it is at rest."""
        self.order("start")
        if TREE[1] in self.words:
            self.order("ready")
        else:
            self.settle()

    def settle(self) -> None:
        """Wait until RSS has moved by less than 1 % in 8 s."""
        end, sums = time.monotonic() + PATIENCE, [0]
        while time.monotonic() < end:
            sums.append(sum(memory.read_stat(p.pid).rss for p in self.processes()))
            last = sums[-9:]
            if len(last) > 8 and max(last) - min(last) < max(last) / 100:
                return
            time.sleep(1)

    def processes(self) -> list[psutil.Process]:
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]

    def rate(self, loop: str) -> float:
        """The loop's rounds in a second in which it did not wait for a CPU."""

        def now() -> tuple[int, float]:
            waited = memory.read_file(f"/proc/{loop}/schedstat").split()[1]
            return self.count[0], time.monotonic() - int(waited) / 1e9

        (before, begin), _, (after, end) = now(), time.sleep(PAIR_SECONDS), now()
        return max(1, after - before) / max(0.001, end - begin)

    def __exit__(self, *_: object) -> None:
        self.end()
        self.place.cleanup()

    def end(self) -> None:
        """End it and wait until it has ended."""
        if self.link:
            self.talk.close()
            self.link.close()
        self.listener.close()
        if self.process:
            stop(self.process, PATIENCE)
        elif self.pid:
            with contextlib.suppress(psutil.Error):
                psutil.Process(self.pid).wait(PATIENCE)


def stop(process: subprocess.Popen, seconds: float) -> None:
    """Wait for its end so long, then make an end."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def other_processes(count: int) -> Iterator[None]:
    """So many idle processes that are none of the target's."""
    if not count:
        yield
        return
    words = [*TREE, "--idle", "--private", "1", "--children", str(count - 1)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    while process.stdout.readline()[:6] not in ("", "ready:"):
        pass
    try:
        yield
    finally:
        process.terminate()
        stop(process, PATIENCE)
        process.stdout.close()


# ---------------------------------------------------------------- one tool


class Run:
    """A tool while it is running."""

    def __init__(self, tool: Tool, words: Sequence[str], out: str) -> None:
        self.tool, self.out = tool, out
        self.errors = open(out + ".errors", "w+")  # noqa: SIM115  (closed by end)
        streams = {"stdout": subprocess.DEVNULL, "stderr": self.errors}
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, **streams)

    def reason(self) -> str:
        """Why it has not gone on: the last line that it has written."""
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"no samples, status {self.process.poll()}"

    def values(self) -> list[float]:
        """What it has told so far."""
        try:
            return self.tool.values(self.out)
        except (OSError, sqlite3.Error):
            return []

    def wait(self, count: int = 2) -> None:
        """Wait for its first samples."""
        end = time.monotonic() + PATIENCE
        while len(self.values()) < count:
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(self.reason())
            time.sleep(0.1)

    def cpu(self) -> float:
        """CPU seconds of its own and of the children that have ended (con-duct's ps)."""
        fields = memory.read_file(f"/proc/{self.process.pid}/stat").rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def own(self) -> float:
        """The peak of its RSS in MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        stop(self.process, 5)
        self.errors.close()


@contextlib.contextmanager
def terminal(path: str) -> Iterator[str]:
    """The name of a terminal, all of whose output goes into a file."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with open(path, "w") as file:
        copy = subprocess.Popen(["cat"], stdin=ours, stdout=file, stderr=subprocess.DEVNULL)
    os.close(ours)
    try:
        yield os.ttyname(theirs)
    finally:
        os.close(theirs)
        copy.wait()


@contextlib.contextmanager
def watched(tool: Tool, target: Target, launch: bool) -> Iterator[Run]:
    """A tool that watches the target, or has started it."""
    out = tempfile.mkdtemp(dir=target.folder) + "/out"
    with terminal(out) if tool.terminal else contextlib.nullcontext(out) as path:
        words = tool.launch(target.words, path) if launch else tool.attach(target.pid, path)
        run = Run(tool, words, out)
        try:
            if launch:
                target.connect()
            run.wait()
            yield run
        finally:
            if launch:
                target.end()  # before its parent, so that it ends itself
            run.end()


def slowdown(run: Run, target: Target) -> float:
    """The part of the loop's throughput that the tool takes away."""
    loop = target.order("loop")
    while not target.count[0]:
        time.sleep(0.05)
    time.sleep(1)  # it has been found, and read
    ratios = []
    for _ in range(PAIRS):
        beside = target.rate(loop)
        run.process.send_signal(signal.SIGSTOP)
        ratios.append(beside / target.rate(loop))
        run.process.send_signal(signal.SIGCONT)
    target.order("quiet")
    target.count[0] = 0
    return 1 - statistics.median(ratios)


def window(run: Run, target: Target, start: bool, seconds: float) -> Row:
    """Measure for so many seconds."""
    time.sleep(WARM)
    before, cpu, begin = len(run.values()), run.cpu(), time.monotonic()
    if start:
        target.order("start")
    time.sleep(max(0.0, begin + seconds - time.monotonic()))
    if run.process.poll() is not None:
        raise Failure(run.reason())
    took, cpu, own = time.monotonic() - begin, run.cpu() - cpu, run.own()
    values = run.values()[before:]
    return Row(cpu, took, len(values), own, slowdown(run, target), max(values, default=0))


def measure(tool: Tool, scenario: Scenario, target: Target | None, seconds: float) -> Row:
    """One row: of the running target, or (None) of one that is started for this tool."""
    if target and tool.attach:
        with watched(tool, target, launch=False) as run:
            return window(run, target, False, seconds)
    with Target(scenario.command) as target:
        if tool.attach:
            target.run()
        with watched(tool, target, launch=not tool.attach) as run:
            if not scenario.start:
                target.begin()
            return window(run, target, scenario.start, seconds)


# ---------------------------------------------------------------- what they cost


def scenarios() -> list[Scenario]:
    def tree(*words: object) -> list[str]:
        return [*TREE, *map(str, words)]

    ten, hundred, thousand = (tree("--private", 2, "--children", n - 1) for n in (10, 100, 1000))
    rewrite = tree("--rewrite", 200)
    return [
        Scenario("start", "the start of Scratch", SCRATCH, start=True),
        Scenario("rest", "Scratch at rest", SCRATCH),
        Scenario("10", "10 processes", ten),
        Scenario("100", "100 processes", hundred),
        Scenario("1000", "1,000 processes", thousand),
        Scenario("rewrite", "a child that rewrites 200 MiB of shared memory", rewrite, start=True),
        Scenario("4GiB", "a process of 4 GiB", tree("--private", 4096)),
        Scenario("2000", "10 processes, and 2,000 others on the machine", ten, others=2000),
    ]


HEADS = (
    f"{'':11}{'s/min':>8}{'x':>8}{'ms':>8}{'Hz':>7}{'own MiB':>9}{'slowdown':>10}{'says MiB':>10}"
)


def line(tool: str, row: Row, ours: Row | None) -> str:
    """A row of the table."""
    ratio = "-" if not ours or not ours.cpu else f"{share(row) / share(ours):.1f}"
    each = 1000 * per_sample(row)
    text = f"  {tool:9}{60 * share(row):8.2f}{ratio:>8}{each:8.1f}{row.samples / row.seconds:7.1f}"
    return f"{text}{row.own:9.1f}{100 * row.slowdown:8.1f} %{row.says:10.1f}"


def share(row: Row) -> float:
    """Of one core."""
    return row.cpu / row.seconds


def per_sample(row: Row) -> float:
    """CPU seconds."""
    return row.cpu / max(row.samples, 1)


def cost(scenario: Scenario, tools: dict[str, Tool | str], seconds: float) -> dict[str, Row]:
    """The rows of one target, printed as they come."""
    print(f"\n{scenario.title}\n{HEADS}", flush=True)
    rows: dict[str, Row] = {}
    with contextlib.ExitStack() as stack:
        target = None
        stack.enter_context(other_processes(scenario.others))
        if not scenario.start:
            target = stack.enter_context(Target(scenario.command)).run()
            target.begin()
        for name, tool in tools.items():
            try:
                if isinstance(tool, str):
                    raise Failure(tool)
                rows[name] = measure(tool, scenario, target, seconds)
                print(line(name, rows[name], rows.get("memory.py")), flush=True)
            except ERRORS as error:
                print(f"  {name:9} - {error}", flush=True)
    return rows


def told(tool: Tool, words: Sequence[str]) -> float:
    """The largest sum that a tool tells of a tree that starts below it, in MiB."""
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(Target([*TREE, *words]))
        if not tool.launch:
            target.run()
        run = stack.enter_context(watched(tool, target, launch=bool(tool.launch)))
        target.begin()
        run.wait(len(run.values()) + 5)
        return max(run.values())


def abilities(tools: dict[str, Tool | str]) -> None:
    """What each can measure."""
    print(f"\nwhat they measure\n{'':13}{'metric':8}{'sees a daemon':15}")
    for name, tool in tools.items():
        try:
            if isinstance(tool, str):
                raise Failure(tool)
            shared = told(tool, ["--shared", "100", "--forks", "4"])
            daemon = told(tool, ["--daemon", "100"])
        except ERRORS as error:
            print(f"  {name:11}- {error}", flush=True)
            continue
        metric = "PSS" if shared < 300 else "no PSS"
        sizes = f"({shared:.0f} MiB of 100 shared by five; {daemon:.0f} of a daemon's 100)"
        how = "" if tool.launch else ", attached before"
        print(f"  {name:11}{metric:8}{'yes' if daemon > 100 else 'no':5}{sizes}{how}", flush=True)


# ---------------------------------------------------------------- what is true


def full_read(target: Target) -> int:
    """The sum of PSS of all the target's processes, each read now."""
    total = 0
    for process in target.processes():
        with contextlib.suppress(OSError):
            text = memory.read_file(f"/proc/{process.pid}/smaps_rollup")
            total += memory.parse_rollup(text).pss
    return total


class Reading(NamedTuple):
    """The sum of PSS in bytes, as memory.py has it, and by a full read before and after it."""

    ours: int
    before: int
    after: int

    @property
    def true(self) -> float:
        return (self.before + self.after) / 2

    @property
    def outside(self) -> float:
        """By how much it is not between the two."""
        low, high = sorted((self.before, self.after))
        return max(0, low - self.ours, self.ours - high)


def readings(command: Sequence[str], start: bool, seconds: float) -> list[Reading]:
    """Samples of memory.py's tree at 10 Hz, and full reads around each."""
    found = []
    with Target(command, reaper=True).run() as target:
        tree = memory.Tree(memory.watched_processes([target.pid]))
        target.order("start") if start else target.begin()
        due = begin = time.monotonic()
        while due < begin + seconds:
            before = full_read(target)
            ours = sum(process.memory.pss for process in tree.sample())
            found.append(Reading(ours, before, full_read(target)))
            due += INTERVAL
            time.sleep(max(0.0, due - time.monotonic()))
    return found


DIFFERENCE = f"{'mean':>11}  {'signed':>8}  {'largest':>9} MiB"


def difference(sizes: Sequence[float], whole: float) -> str:
    """The mean of the absolute values, the mean, and the largest, as columns."""
    largest = max(sizes, key=abs)
    mean = statistics.mean(map(abs, sizes))
    text = f"{100 * mean / whole:11.2f} %{100 * statistics.mean(sizes) / whole:+8.2f} %"
    return f"{text}{largest / MIB:+9.1f} MiB"


def truth(seconds: float) -> dict[str, float]:
    """Sums at the same instants. Returns the mean differences."""
    print("\nsum of PSS against a full read just before and one just after (the mean of both),")
    print(
        "in % of the mean sum; outside: not between the two; and one of the two against the other"
    )
    print(f"{'':11}{'MiB':>9}{DIFFERENCE}{'outside':>9}{DIFFERENCE}", flush=True)
    means = {}
    for scenario in scenarios():
        if scenario.name not in ("start", "rest", "rewrite"):
            continue
        found = readings(scenario.command, scenario.start, seconds)
        true = statistics.mean(reading.true for reading in found)
        ours = [reading.ours - reading.true for reading in found]
        outside = statistics.mean(reading.outside for reading in found)
        between = difference([reading.after - reading.before for reading in found], true)
        text = f"{true / MIB:9.1f}{difference(ours, true)}{100 * outside / true:7.2f} %{between}"
        print(f"  {scenario.name:9}{text}", flush=True)
        means[scenario.name] = statistics.mean(map(abs, ours)) / true
        means[scenario.name + ", outside the two"] = outside / true
    return means


def peak(runs: int = 3) -> list[float]:
    """The peak in the start of Scratch against full reads without a pause."""
    print("\npeak of PSS in the start of Scratch, MiB; full reads as fast as they go beside it")
    print(f"{'':9}{'memory.py':>10}{'full':>10}{'':10}reads in a second", flush=True)
    found = []
    for n in range(runs):
        ours, reads, seconds = peak_beside()
        found.append(ours / max(reads) - 1)
        shown = f"{ours:10.1f}{max(reads):10.1f}{100 * found[-1]:+8.2f} %"
        print(f"  run {n + 1:<3}{shown}{len(reads) / seconds:10.1f}", flush=True)
    return found


def peak_beside() -> tuple[float, list[float], float]:
    """memory.py's peak, what a reader beside it has read, and in how many seconds."""
    tool, reader = our_tools()
    reader = reader._replace(
        attach=lambda pid, out: [sys.executable, "-c", FULL, str(pid), "0", out]
    )
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(Target(SCRATCH, reaper=True))
        run = stack.enter_context(watched(tool, target, launch=True))
        full = stack.enter_context(watched(reader, target, launch=False))
        begin = time.monotonic()
        target.begin()
        return max(run.values()), full.values(), time.monotonic() - begin


def anonymous(group: Cgroup, command: Sequence[str], samples: int) -> list[tuple[int, int]]:
    """memory.py's anonymous part and the group's, at the same instants."""
    pairs = []
    with Target(command, reaper=True).run(group.enter) as target:
        tree = memory.Tree(memory.watched_processes([target.pid]))
        target.begin()
        for _ in range(samples):
            ours = sum(process.memory.anon or 0 for process in tree.sample())
            pairs.append((ours, group.anonymous()))
            time.sleep(INTERVAL)
    return pairs


def cgroup(samples: int = 30) -> None:
    """The anonymous part against the kernel's own account."""
    print("\nanonymous part of PSS against the memory cgroup, in % of the cgroup's")
    print(f"{'':11}{'MiB':>9}{DIFFERENCE}", flush=True)
    for title, command in (("rest", SCRATCH), ("tree", [*TREE, "--private", "300"])):
        found = memory_cgroup()
        if not found or not found[0].exists():
            print("  no memory cgroup can be made here")
            return
        pairs = anonymous(Cgroup(*found), command, samples)
        while found[0].joinpath("cgroup.procs").read_text():
            time.sleep(0.1)
        found[0].rmdir()
        true = statistics.mean(theirs for _, theirs in pairs)
        text = difference([ours - theirs for ours, theirs in pairs], true)
        print(f"  {title:9}{true / MIB:9.1f}{text}", flush=True)


def spikes() -> None:
    """How many of the spikes of a tree show in memory.py's samples."""
    print(f"\nspikes of {SPIKE_MIB} MiB of which memory.py shows {SPIKE_SEEN} MiB at least")
    for seconds in (0.05, 0.1, 0.5):
        words = ["--spike", SPIKE_MIB, "--spike-seconds", seconds, "--spike-every", SPIKE_EVERY]
        with Target([*TREE, "--spike-after", "4", *map(str, words)]).run() as target:
            target.begin()
            with watched(our_tools()[0], target, launch=False) as run:
                took = wait_for_spikes(target, SPIKES)
                low, high = min(run.values()), max(run.values())
                highs = itertools.groupby(size - low >= SPIKE_SEEN for size in run.values())
        seen = sum(high for high, _ in highs)
        text = f"the largest {high - low:.1f} MiB, high for {1000 * took:.0f} ms each"
        print(f"  {1000 * seconds:4.0f} ms: {seen} of {SPIKES}, {text}", flush=True)


def wait_for_spikes(target: Target, count: int) -> float:
    """Until so many have come and gone, as RSS tells. Returns their mean seconds."""
    pids = [process.pid for process in target.processes()]
    low, before, took, last = None, False, 0.0, time.monotonic()
    while count:
        size = sum(memory.read_stat(pid).rss for pid in pids) / MIB
        low = size if low is None else min(size, low)
        high, now = size - low >= SPIKE_SEEN, time.monotonic()
        took += (now - last) * before
        count -= before and not high
        before, last = high, now
        time.sleep(0.003)
    return took / SPIKES


def aims(costs: dict[str, dict[str, Row]], truths: dict[str, float], peaks: list[float]) -> None:
    """What was wanted of memory.py against what was found."""
    found: list[tuple[str, float, float]] = []
    for name, limit in (("start", 10), ("rest", 2)):
        rows = costs.get(name, {})
        ours = rows.get("memory.py")
        if not ours:
            continue
        found.append((f"% of a core, {name}", 100 * share(ours), limit))
        rivals = [rows[tool] for tool in ("mprof", "procpath") if tool in rows]
        if rivals:
            least, each = min(map(share, rivals)), min(map(per_sample, rivals))
            found.append(
                (f"% of the cheapest rival with PSS, {name}", 100 * share(ours) / least, 10)
            )
            found.append(
                (f"% of the same for each sample, {name}", 100 * per_sample(ours) / each, 10)
            )
    found += [(f"% from full reads, {name}", 100 * mean, 0.5) for name, mean in truths.items()]
    if peaks:
        middle = statistics.median(map(abs, peaks))
        found.append(("% from the peak of full reads, median", 100 * middle, 1))
    owns = [rows["memory.py"].own for rows in costs.values() if "memory.py" in rows]
    if owns:
        found.append(("MiB of own RSS, largest", max(owns), 16))
    print("\naims")
    for what, value, limit in found:
        verdict = "reached" if value <= limit else "MISSED"
        print(f"  {value:8.2f} of {limit:<4g} {verdict:8} {what}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "scratch-profiling")
    names = [tool.name for tool in our_tools()] + list(PACKAGES)
    parts = [s.name for s in scenarios()] + ["abilities", "truth", "peak", "cgroup", "spikes"]
    result = argparse.ArgumentParser(description="What memory.py and others cost, and the truth.")
    add = result.add_argument
    add("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    add("--tools", nargs="+", choices=names, default=names, metavar="TOOL", help=", ".join(names))
    add("--seconds", type=float, default=10, metavar="N", help="of each window (%(default)s)")
    add("--rivals", type=Path, default=cache / "rivals", metavar="FOLDER", help="their venv")
    return result.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    args = parse(argv)
    failed = install(args.rivals, args.tools)
    tools: dict[str, Tool | str] = {
        tool.name: failed.get(tool.name, tool)
        for tool in [*our_tools(), *rival_tools(args.rivals)]
        if tool.name in args.tools
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parts = {s.name: partial(cost, s, tools, args.seconds) for s in scenarios()}
    parts = {"abilities": partial(abilities, tools), **parts}
    parts.update(truth=partial(truth, args.seconds), peak=peak, cgroup=cgroup, spikes=spikes)
    found: dict[str, object] = {}
    for name in filter(args.only.__contains__, parts):
        try:
            found[name] = parts[name]()
        except ERRORS as error:
            print(f"  - {error}", flush=True)
    costs = {s.name: found[s.name] for s in scenarios() if s.name in found}
    aims(costs, found.get("truth", {}), found.get("peak", []))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
