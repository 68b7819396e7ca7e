#!/usr/bin/env python3
"""memory.py beside other samplers of process trees at 10 Hz: what they cost, and what is true.

    sudo apt install chromium npm procps
    tests/scratch3 --fetch
    .venv/bin/python tests/bench_memory.py
    .venv/bin/python tests/bench_memory.py --only rest 4GiB --tools memory.py mprof --seconds 20
    .venv/bin/python tests/bench_memory.py --only truth --cases frames cow --script memory.py old.py

All of it takes some 30 minutes. psrecord, mprof (memory_profiler), procpath and con-duct come
from PyPI into a venv of their own in the cache; "full read" is tests/full_read.py, which reads the
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

"truth" runs the start of Scratch and each program of tests/restless.py under one or several
memory.py, beside tests/full_read.py, and holds each sample's sum of PSS against the full reads
around it: the last before it, the first after the time until the next one, and those between.
What is inside of their range is right.

  MiB        the mean of the full reads
  mean       of what the samples are outside of that range, signed
  peak       the largest sample against the largest such range
  off        samples that are outside by more than 5 %
  worst, s   the one most outside, and the longest time without one that is not off
  cpu        of one core, memory.py's own
  moving     samples that are not judged, as a full read around them has itself caught something
             in the middle; but a peak among them that is off by more than 20 % is told
  verdict    "holds": mean, peak and off are at most 1 %; where processes come and go, no samples
             are off for more than 1 s on end; where a program outside of the tree gives no sign,
             for more than 4 s; "said": the recording's "uncertain" lines cover each error beyond
             2 %, by three times the largest at most; "unclear": it would hold, but for the most
             part it cannot be judged (a machine that is busy otherwise makes this more)
  what was said: JSON's "uncertain", and how many times the largest error the largest bound is
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
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from full_read import Read, tree
from restless import CASES

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
FULL = [sys.executable, str(ROOT / "tests" / "full_read.py")]
SCRATCH = [sys.executable, str(ROOT / "tests" / "scratch3"), "--chromium", "--old"]

OFF = 0.05  # a sample is off where its sum is wrong by more than this
TOLD = 0.02  # from here on it has to be told
ERROR = 0.01  # of the mean and of the peak, and the share of samples that may be off
TIMES = 3  # the real error: what the bound is told to be at most
FORKS = ("brief", "storm", "burst", "turnover", "heirs", "vfork", "scratch")
LATE = 1  # seconds for which samples of these may be off: the race of a fork
MOVING = 0.7  # of the samples: so many that cannot be judged leave it open whether a case holds
MOVING_PEAK = 0.2  # a peak that cannot be judged may be off by so much
OUTSIDER_LATE = 4  # and of what gives no sign, whatever that does to the mean

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


def csv_values(path: str, column: int = 4, instead: int = 3) -> list[float]:
    """Of a recording of memory.py: PSS, or RSS where there is none."""
    sums, total = [], 0
    with open(path, newline="") as file:
        for row in csv.reader(line for line in file if line[0] != "#" and line[-1] == "\n"):
            if row[1] == "0":
                sums.append(total / MIB)
                total = 0
            elif row[1] != "pid":
                total += int(row[column] or row[instead])
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
    return [
        Tool(
            "memory.py",
            lambda pid, out: [*ours, "--csv", out, "--pid", str(pid)],
            lambda words, out: [*ours, "--csv", out, *words],
            csv_values,
        ),
        Tool(
            "full read",
            lambda pid, out: [*FULL, str(pid), str(INTERVAL), out],
            None,
            lambda path: [size / MIB for size in word_values(path, 2)],
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


class Around(NamedTuple):
    """A sample's sum of PSS, and what the full reads around it say, in bytes."""

    time: float
    shown: int
    low: int
    high: int
    still: bool  # none of them has caught something in the middle

    @property
    def error(self) -> int:
        """Bytes by which it is outside of these full reads."""
        return max(0, self.shown - self.high) - max(0, self.low - self.shown)

    @property
    def share(self) -> float:
        return self.error / max(1, self.high if self.error > 0 else self.low)


class Recorded(NamedTuple):
    """A run of memory.py beside full reads."""

    samples: list[Read]  # what was shown, from each sample's time to the next one's
    bounds: dict[float, int]  # of the samples that said how uncertain they are
    summary: dict
    caveat: bool  # in the summary, of whatever kind
    reads: list[Read]


class Judged(NamedTuple):
    """What became of a case: shares of the true value or of the samples."""

    size: float  # bytes, the mean
    mean: float
    peak: float
    off: float  # samples that are off by more than OFF
    worst: float
    longest: float  # seconds without a sample that is not off
    moving: float  # samples that are not judged

    def holds(self, case: str) -> bool:
        if case == "outsider":
            return self.longest <= OUTSIDER_LATE
        few = self.longest <= LATE if case in FORKS else self.off <= ERROR
        return few and abs(self.mean) <= ERROR and abs(self.peak) <= ERROR


def surrounded(recorded: Recorded) -> list[Around]:
    """Each sample with the last full read before it, the first one after it, and those between."""
    reads, found = recorded.reads, []
    begins, ends = [read.begin for read in reads], [read.end for read in reads]
    for sample in recorded.samples:
        first, last = bisect_left(ends, sample.begin) - 1, bisect_right(begins, sample.end)
        if first < 0 or last >= len(reads):
            continue
        near = reads[first : last + 1]
        sums = [read.pss for read in near]
        still = all(read.still and read.pss for read in near)  # 0: it starts or ends meanwhile
        found.append(Around(sample.begin, sample.pss, min(sums), max(sums), still))
    return found


def peak_share(found: Sequence[Around]) -> float:
    """How far the largest sample is outside of the largest range."""
    shown, low, high = (max(column) for column in list(zip(*found))[1:4])
    return Around(0, shown, low, high, True).share


def judge(everything: Sequence[Around]) -> Judged:
    """How far a series of samples is off."""
    found = [around for around in everything if around.still]
    if not found:
        raise Failure("no sample is between two full reads of something at rest")
    off = longest = begin = 0.0
    for around in found:
        if abs(around.share) <= OFF:
            begin = 0.0
            continue
        begin = begin or around.time
        off, longest = off + 1, max(longest, around.time - begin)
    true = statistics.mean((around.low + around.high) / 2 for around in found)
    peak, top = peak_share(found), peak_share(everything)
    return Judged(
        true,
        statistics.mean(around.error for around in found) / true,
        top if abs(top) > MOVING_PEAK else peak,
        off / len(found),
        max((around.share for around in found), key=abs),
        longest,
        1 - len(found) / len(everything),
    )


def bound_said(found: Sequence[Around], bounds: dict[float, int]) -> tuple[bool, float]:
    """Whether the bounds cover each error beyond 2 %, and how many times the largest they are."""
    covered = all(
        abs(around.error) <= bounds.get(around.time, 0)
        for around in found
        if around.still and abs(around.share) > TOLD
    )
    real = max((abs(around.error) for around in found if around.time in bounds), default=0)
    return covered, max(bounds.values()) / max(1, real)


def read_recording(path: str) -> tuple[list[Read], dict[float, int]]:
    """The sum of PSS of each sample, and the bounds of those that have one, by their time."""
    times, sums, bounds, total = [], [], {}, 0
    with open(path, newline="") as file:
        for row in csv.reader(file):
            if row[0].startswith("# uncertain: "):
                when, size = row[0].split()[2:4]
                bounds[float(when)] = int(float(size))
            elif row[0][0] != "#" and row[1] == "0":
                times.append(float(row[0]))
                sums.append(total)
                total = 0
            elif row[0][0] != "#" and row[1] != "pid":
                total += int(row[4] or row[3])
    samples = [Read(*values, True) for values in zip(times, times[1:], sums)]
    near = [min(times, key=lambda time: abs(time - when)) for when in bounds]
    return samples, dict(zip(near, bounds.values()))


def start_below(pid: int) -> float:
    """When the first child of a process was started, in seconds since boot."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for child in tree(pid, itself=False):
            with contextlib.suppress(OSError):
                return memory.read_stat(child).started / os.sysconf("SC_CLK_TCK")
        time.sleep(0.01)
    raise Failure("it has not started the command")


def record(script: Path, command: Sequence[str], more: Sequence[str]) -> Recorded:
    """Run a command under memory.py beside a reader of everything."""
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder:
        csv_path, json_path, reads_path = (f"{folder}/{name}" for name in ("csv", "json", "reads"))
        words = [sys.executable, str(script), "--csv", csv_path, "--json", json_path, *more]
        with open(f"{folder}/errors", "w+") as errors:
            run = subprocess.Popen(
                [*words, *command],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                stdin=subprocess.DEVNULL,
            )
            reader = subprocess.Popen([*FULL, str(run.pid), "0.03", reads_path, "--beside"])
            try:
                start = start_below(run.pid)
                run.wait()
            finally:
                run.terminate()
                stop(run, PATIENCE)
                stop(reader, PATIENCE)
            errors.seek(0)
            text = errors.read()
        if run.returncode or not os.path.getsize(csv_path):
            raise Failure(f"status {run.returncode}: {text.strip()[-200:]}")
        lines = Path(reads_path).read_text().splitlines()
        reads = [
            Read(begin - start, end - start, int(pss), bool(still))
            for begin, end, pss, still in (map(float, line.split()) for line in lines)
        ]
        summary = json.loads(Path(json_path).read_text())
        return Recorded(*read_recording(csv_path), summary, "\n!" in text, reads)


def record_case(script: Path, case: str, seconds: float) -> Recorded:
    """A case of tests/restless.py, or the start of Scratch."""
    if case == "scratch":
        return record(script, SCRATCH, ["--duration", str(seconds)])
    program = [sys.executable, str(ROOT / "tests" / "restless.py")]
    if case != "outsider":
        return record(script, [*program, case, "--seconds", str(seconds)], [])
    with tempfile.NamedTemporaryFile(prefix="bench-memory-", dir="/var/tmp") as file:
        os.truncate(file.fileno(), 200 * MIB)
        words = ["--seconds", str(seconds), "--file", file.name]
        beside = subprocess.Popen([*program, "outsider", *words])
        try:
            return record(script, [*program, "insider", *words], [])
        finally:
            beside.terminate()
            stop(beside, PATIENCE)


def said(recorded: Recorded, found: Sequence[Around]) -> tuple[str, bool]:
    """What was said about uncertainty, and whether that is enough where a case does not hold."""
    if not recorded.bounds:
        return "no bound" if recorded.caveat else "", False
    covered, times = bound_said(found, recorded.bounds)
    told = recorded.summary.get("uncertain") or {"peak": 0, "seconds": 0}
    text = f"{told['peak'] / MIB:.0f} MiB for {told['seconds']:.1f} s, "
    text += f"{times:.1f} times" if times < 100 else "no error"
    if not covered:
        text += ", too small"
    if abs(told["peak"] - max(recorded.bounds.values())) > MIB:
        text += ", summary differs"
    return text, covered and times <= TIMES


def truth_row(case: str, recorded: Recorded) -> tuple[str, str]:
    """A row of the table without its first columns, and its verdict."""
    found = surrounded(recorded)
    ours, (text, enough) = judge(found), said(recorded, found)
    verdict = "holds" if ours.holds(case) else "said" if enough else "FAILS"
    if verdict == "holds" and ours.moving > MOVING:
        verdict = "unclear"
    row = f"{ours.size / MIB:8.0f}{100 * ours.mean:+8.1f} %{100 * ours.peak:+8.1f} %"
    row += f"{100 * ours.off:6.0f} %{100 * ours.worst:+7.0f} %{ours.longest:6.1f}"
    cpu = recorded.summary["own"]["cpu_seconds"] / recorded.summary["duration"]
    return f"{row}{100 * cpu:6.1f} %{100 * ours.moving:6.0f} %  {verdict:8}{text}", verdict


def truth(scripts: Sequence[Path], cases: Sequence[str], seconds: float) -> dict[str, str]:
    """Run each case under each memory.py. Returns the verdicts."""
    print(
        "\nsums of PSS against full reads around each sample\n"
        f"{'':15}{'MiB':>8}{'mean':>10}{'peak':>10}{'off':>8}{'worst':>9}{'s':>6}{'cpu':>8}{'moving':>8}"
    )
    verdicts = {}
    for case, script in itertools.product(cases, scripts):
        try:
            row, verdict = truth_row(case, record_case(script, case, seconds))
        except ERRORS as error:
            row, verdict = f" - {error}", "no figure"
        print(f"  {case:13}{row}", flush=True)
        verdicts[f"{case} ({script.name})"] = verdict
    failed = [name for name, verdict in verdicts.items() if verdict in ("FAILS", "no figure")]
    print(f"{len(verdicts) - len(failed)} of {len(verdicts)} hold or say so", flush=True)
    return verdicts


DIFFERENCE = f"{'mean':>11}  {'signed':>8}  {'largest':>9} MiB"


def difference(sizes: Sequence[float], whole: float) -> str:
    """The mean of the absolute values, the mean, and the largest, as columns."""
    largest = max(sizes, key=abs)
    mean = statistics.mean(map(abs, sizes))
    text = f"{100 * mean / whole:11.2f} %{100 * statistics.mean(sizes) / whole:+8.2f} %"
    return f"{text}{largest / MIB:+9.1f} MiB"


def anonymous(group: Cgroup, command: Sequence[str], samples: int) -> list[tuple[float, int]]:
    """memory.py's anonymous part of so many samples, and the group's just after each."""
    ours = our_tools()[0]._replace(values=partial(csv_values, column=7, instead=7))
    pairs = []
    with Target(command, reaper=True).run(group.enter) as target:
        target.begin()
        with watched(ours, target, launch=False) as run:
            for _ in range(samples):
                run.wait(len(run.values()) + 1)
                pairs.append((run.values()[-1] * MIB, group.anonymous()))
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


def aims(costs: dict[str, dict[str, Row]]) -> None:
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
    parts = [s.name for s in scenarios()] + ["abilities", "truth", "cgroup", "spikes"]
    cases = ["scratch", *(name for name in CASES if name != "insider")]
    result = argparse.ArgumentParser(description="What memory.py and others cost, and the truth.")
    add = result.add_argument
    add("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    add("--tools", nargs="+", choices=names, default=names, metavar="TOOL", help=", ".join(names))
    add("--seconds", type=float, default=10, metavar="N", help="of each window (%(default)s)")
    add("--cases", nargs="+", choices=cases, default=cases, metavar="CASE", help="of truth")
    add(
        "--script", nargs="+", type=Path, default=[ROOT / "memory.py"], metavar="PATH", help="truth"
    )
    add("--rivals", type=Path, default=cache / "rivals", metavar="FOLDER", help="their venv")
    return result.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    args = parse(argv)
    costs_wanted = {"abilities", *(s.name for s in scenarios())} & set(args.only)
    failed = install(args.rivals, args.tools) if costs_wanted else {}
    tools: dict[str, Tool | str] = {
        tool.name: failed.get(tool.name, tool)
        for tool in [*our_tools(), *rival_tools(args.rivals)]
        if tool.name in args.tools
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parts = {s.name: partial(cost, s, tools, args.seconds) for s in scenarios()}
    parts = {"abilities": partial(abilities, tools), **parts}
    parts["truth"] = partial(truth, args.script, args.cases, args.seconds)
    parts.update(cgroup=cgroup, spikes=spikes)
    found: dict[str, object] = {}
    for name in filter(args.only.__contains__, parts):
        try:
            found[name] = parts[name]()
        except ERRORS as error:
            print(f"  - {error}", flush=True)
    costs = {s.name: found[s.name] for s in scenarios() if s.name in found}
    if costs:
        aims(costs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
