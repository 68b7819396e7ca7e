#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = ["psutil>=5.8.0", "matplotlib>=3.3.4"]
# ///
"""How much memory a command and all its descendants use, over time.

    $ ./memory.py --cmd "tests/scratch3 --old" --interval 0.5 --duration 40 --out graph.png
    tests/scratch3 --old
    40.0 s, 12 processes at most, exit status 0

                      peak          at          mean           end
    PSS          525.8 MiB       8.0 s     502.7 MiB     503.8 MiB
    USS          353.4 MiB       8.0 s     335.9 MiB     332.4 MiB
    RSS         1047.9 MiB       8.0 s    1009.7 MiB    1025.3 MiB
    system       294.1 MiB      31.0 s     278.0 MiB     277.8 MiB
    system: change of the whole machine's memory in use since just before the start
    given back to the system when all had ended: 276.2 MiB
    PSS at its peak: 262.6 MiB anonymous + 244.9 MiB file-backed + 18.2 MiB shared, ...
    PSS ▄▆▇█████████████████████████████████████████████████████████ 0 to 525.8 MiB

       PSS at peak      peak PSS      peak RSS      pid  process
         208.6 MiB     208.6 MiB     281.6 MiB    22575  chromium renderer
         119.2 MiB     124.7 MiB     202.2 MiB    22486  chromium main
          54.2 MiB      54.2 MiB     103.4 MiB    22528  chromium gpu-process
          35.0 MiB      37.5 MiB      96.5 MiB    22529  chromium utility network
          27.4 MiB      27.4 MiB      80.4 MiB    22598  chromium utility audio
          24.2 MiB      24.8 MiB      75.7 MiB    22574  chromium renderer
        ...
    memory.py itself: 2.0 % of a CPU, 20.0 MiB RSS, 81 samples of 81 due

Data goes one way: command -> process tree -> samples -> CSV -> Run -> summary and graph.
The sizes of a process come from /proc/PID/smaps_rollup (proc_pid_smaps(5)), psutil finds the
processes and reads them where there is no such file.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import importlib.util
import itertools
import os
import platform
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, TextIO

try:
    import psutil
except ImportError:  # drawing a recording does without it
    psutil = None

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERSION = "1.0"
MIB = 2**20
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

CHECK_SHARE = 0.03  # of one core for looking at processes at rest: a hundred or so at 10 Hz
MANY_AT_REST = 30  # so many are looked at in every sample, whatever it costs
BUSY_SECONDS = 2  # a process that has changed so lately is looked at in every sample
READ_SHARE = 0.06  # of one core for reading smaps_rollup: with all else it stays under a tenth
READ_BURST = 0.1  # seconds of reading that may be saved up, for the start and for sudden changes
READ_DEBT = 0.4  # seconds that may be borrowed for great doubts about a process
TREE_DOUBT = 0.2  # of the whole PSS, that may have moved between processes: a storm of forks
TREE_DEBT = 2  # seconds that may be borrowed then
READ_SECONDS = 10  # what no sign of a change tells (another program's share) is this old at most
DOUBT = 0.001  # of the whole PSS: less doubt about one process than this is none
GREAT_DOUBT = 0.02
SCAN_SECONDS = 5  # between scans of all processes
MANY_PIDS = 1000  # more new ones than this since the last sample: a scan is cheaper

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
KCMP_VM = 1  # kcmp(2)
KCMP_SYSCALLS = {  # arch/*/entry/syscalls/*.tbl and asm-generic/unistd.h
    "x86_64": 312,
    "i386": 349,
    "i686": 349,
    "aarch64": 272,
    "riscv64": 272,
    "armv6l": 378,
    "armv7l": 378,
    "armv8l": 378,
}
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
SI_KERNEL = 128  # sigaction(2): a Ctrl-C, which the whole foreground process group got
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
TERM_SECONDS = 5  # from SIGTERM to SIGKILL, and from SIGKILL to giving up

ROLLUP_RE = re.compile(rb"^(\w+): +(\d+) kB$", re.M)
TYPE_RE = re.compile(r"(?:^| )--type=([\w-]+)")
UTILITY_RE = re.compile(r" --utility-sub-type=([\w-]+)")
INTERPRETER_RE = re.compile(r"(python|node|ruby|perl|php|lua|java|bash|dash|sh)[\d.]*$")
SHELL_RE = re.compile(r"^[^'\"]*(\||>|&&)")  # outside quotes
ASSIGNMENT_RE = re.compile(r"\w+=")

FIELDS = ("rss", "pss", "uss", "swap", "anon", "file", "shmem")
RSS, PSS, USS, SWAP, ANON, FILE, SHMEM = range(len(FIELDS))
COLUMNS = ("time", "pid", "process", *FIELDS, "age")
HEADER = ",".join(COLUMNS) + "\n"
METRICS = ("pss", "uss", "rss", "swap", "system")
MAX_VALUES = 100_000  # of one process in one sample, kept for drawing: some 20 MB
MAX_USES = 4000  # processes told apart in one run; of more, the smallest are forgotten
STACKED = 8  # processes with a colour of their own
FORMATS = (".png", ".svg", ".pdf")


class Problem(Exception):
    """What ends memory.py with one line on stderr and an exit status."""

    def __init__(self, message: str, status: int = 125) -> None:
        super().__init__(message)
        self.status = status


class Memory(NamedTuple):
    """Memory of one process in bytes; None is what could not be read."""

    rss: int
    pss: int | None = None
    uss: int | None = None
    swap: int | None = None
    anon: int | None = None
    file: int | None = None
    shmem: int | None = None


class Stat(NamedTuple):
    """What is needed of /proc/PID/stat (proc_pid_stat(5)); started in clock ticks since boot."""

    comm: bytes
    state: str
    ppid: int
    faults: int
    started: int
    rss: int


class Sample(NamedTuple):
    """One sample as it stands in the CSV: seconds since the start, rows, bytes of change."""

    time: float
    rows: list[tuple[int, str, Memory]]
    system: int | None
    age: float = 0  # seconds since the oldest value in it was read


class Point(NamedTuple):
    """One point of the graph: totals by metric, and PSS by the process's index in the run."""

    time: float
    totals: dict[str, int | None]
    pss: dict[int, int]


# ---------------------------------------------------------------- text


def mib(size: int | None) -> str:
    """A size in bytes as MiB: 1572864 -> '1.5 MiB'."""
    return "-" if size is None else f"{size / MIB:.1f} MiB"


def count(number: int, what: str, plural: str = "es") -> str:
    """'1 process', '2 processes'."""
    return f"{number} {what}" + ("" if number == 1 else plural)


def printable(text: str) -> str:
    """Text with control, format and undecodable characters escaped: 'a\\nb' -> 'a\\\\nb'."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def process_name(cmdline: Sequence[str], comm: str) -> str:
    """A short name that tells processes of one program apart.

    Args: the command line and the kernel's name of the process. Chromium and Electron
    processes are named by their role, interpreters with their script:
    'chromium renderer', 'chromium utility network', 'python3 tree.py'.
    """
    if not cmdline or not cmdline[0]:
        return comm
    words = " ".join(cmdline)
    program = cmdline[0].split(" --" if cmdline[0].startswith("/") else " ")[0].rstrip(":")
    base = os.path.basename(program) or comm
    role = TYPE_RE.search(words)
    if role:
        utility = UTILITY_RE.search(words) if role[1] == "utility" else None
        return f"{base} {role[1]}" + (f" {utility[1]}" if utility else "")
    parts = [base]
    if INTERPRETER_RE.match(base.lstrip("-")):
        options = itertools.takewhile(lambda word: word[:1] == "-", cmdline[1:])
        options = [word for word in options if word in ("-m", "-c", "-e", "-jar")]
        script = [os.path.basename(w) for w in cmdline[1:] if w[:1] != "-"][:1]
        parts += options[:1] + ([] if options[:1] in (["-c"], ["-e"]) else script)
    known = any(part.startswith(comm[:15]) for part in parts) or comm.startswith(base)
    known = known or comm.endswith("MainThread")
    return " ".join(parts) + ("" if known else f" ({comm})")


def name_main_processes(names: Sequence[str]) -> list[str]:
    """The names with ' main' behind that of a Chromium that has renderers or a zygote."""
    programs = {n.rsplit(" ", 1)[0] for n in names if n.endswith((" renderer", " zygote"))}
    return [f"{name} main" if name in programs else name for name in names]


def sparkline(values: Sequence[float], top: float) -> str:
    """Values as a line of blocks, 0 to top."""
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[min(7, int(8 * v / top))] if top else blocks[0] for v in values)


def tell(text: str, stream: TextIO | None, end: str = "\n") -> bool:
    """Print what the stream's encoding can hold, the rest escaped.

    False when it could not be written; that a reader has gone (| head) is no failure.
    """
    try:
        encoding = stream.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        print(text, end=end, file=stream, flush=True)
    except AttributeError:  # closed before the start: no stream
        return False
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # so that Python's own flush succeeds
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return isinstance(error, BrokenPipeError)
    return True


def say(message: str) -> None:
    """One line on stderr."""
    tell(f"memory.py: {printable(message)}", sys.stderr)


# ---------------------------------------------------------------- reading processes


def read_file(path: str) -> bytes:
    """The start of a /proc file (up to 4096 bytes), in one read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def read_stat(pid: int) -> Stat:
    """/proc/PID/stat; raises OSError when the process is gone."""
    head, _, tail = read_file(f"/proc/{pid}/stat").rpartition(b")")
    fields = tail.split()
    if not fields:
        raise ProcessLookupError(f"process {pid} is gone")
    comm = head.partition(b"(")[2]
    faults = int(fields[7]) + int(fields[9])  # minor and major
    rss = int(fields[21]) * PAGE_SIZE
    return Stat(comm, fields[0].decode(), int(fields[1]), faults, int(fields[19]), rss)


def parse_rollup(data: bytes) -> Memory:
    """The text of /proc/PID/smaps_rollup (proc_pid_smaps(5)) as bytes of memory.

    Linux before 5.3 has no Pss_Anon, Pss_File and Pss_Shmem: they are None then.
    """
    found = {key: int(value) * 1024 for key, value in ROLLUP_RE.findall(data)}
    if b"Rss" not in found:
        raise ProcessLookupError("no memory")
    private = found.get(b"Private_Clean"), found.get(b"Private_Dirty")
    return Memory(
        rss=found[b"Rss"],
        pss=found.get(b"Pss"),
        uss=None if None in private else sum(private),
        swap=found.get(b"SwapPss"),
        anon=found.get(b"Pss_Anon"),
        file=found.get(b"Pss_File"),
        shmem=found.get(b"Pss_Shmem"),
    )


def other_thread(pid: int) -> int | None:
    """A thread that goes on although the process's main thread has ended."""
    for tid in map(int, os.listdir(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError):  # this one has just ended too
            if tid != pid and read_stat(tid).state not in "ZX":
                return tid
    return None


def same_memory(pid: int, parent: int) -> bool:
    """Whether a process still uses its parent's memory, as between vfork and exec.

    kcmp(2) tells. Where it may not be asked: the same figures while the parent is held up.
    """
    machine = platform.machine()
    if sys.maxsize < 2**32:  # a 32-bit Python, often on a 64-bit kernel
        machine = {"aarch64": "armv8l", "x86_64": "i686"}.get(machine, machine)
    number = KCMP_SYSCALLS.get(machine)
    answer = LIBC.syscall(number, pid, parent, KCMP_VM, 0, 0) if number else -1
    if answer >= 0:
        return answer == 0
    if read_stat(parent).state != "D":
        return False
    return read_file(f"/proc/{pid}/statm") == read_file(f"/proc/{parent}/statm")


class Process:
    """A process of the tree: pid and start time, its name, and what was last read of it."""

    def __init__(self, handle: psutil.Process) -> None:
        self.handle = handle
        self.pid = self.tid = handle.pid  # tid: the thread to read through
        self.ppid = handle.ppid()
        self.started: int | None = None
        self.comm = b""
        self.name = ""
        self.seen = self.name_due = time.monotonic()
        self.own_memory = False  # no longer its parent's, as between vfork and exec
        self.memory: Memory | None = None
        self.read_at = 0.0
        self.rss = self.faults = 0  # as /proc/PID/stat had them before that
        self.doubt = 0.0  # bytes by which the PSS that was read may be wrong by now
        self.row_of, self.row_text = (None, ""), ""  # of the CSV
        self.counts = True  # as when it was last looked at
        self.checked_at, self.busy_until = 0.0, self.seen + BUSY_SECONDS

    def same(self) -> bool:
        """Whether its pid is still its own, as far as the start time tells."""
        try:
            return self.started in (None, read_stat(self.pid).started)
        except OSError:
            return not os.path.exists("/proc/self/stat")

    def row(self) -> str:
        """The CSV's columns between time and age, made anew where they have changed."""
        if self.row_of != (self.memory, self.name):
            self.row_of = self.memory, self.name
            values = ",".join("" if value is None else str(value) for value in self.memory)
            name = self.name.replace('"', '""')
            self.row_text = f',{self.pid},"{name}",{values},'
        return self.row_text

    def update_name(self, now: float) -> None:
        """Read the name again: at first often (a zygote turns into a renderer), later rarely."""
        self.name_due = now + (now - self.seen) / 4
        try:
            name = process_name(self.handle.cmdline(), self.handle.name())
        except (psutil.Error, OSError):
            name = ""
        self.name = printable(name)[:200] or self.name or "?"


def check_linux(process: Process, tree: Tree) -> bool:
    """Whether it counts (no zombie, no vfork), and by how much it has changed (cheap: no walk).

    Raises OSError when the process is gone.
    """
    stat = read_stat(process.pid)
    process.started = process.started or stat.started
    if stat.started != process.started:
        raise ProcessLookupError("the pid belongs to another process now")
    if stat.comm != process.comm:
        process.comm, process.name_due = stat.comm, 0
    process.ppid, process.tid = stat.ppid, process.pid
    if stat.state in "ZX":
        process.tid = other_thread(process.pid)
        if process.tid is None:
            return False
        stat = read_stat(process.tid)
    if not process.own_memory and process.ppid in tree.known:
        if same_memory(process.pid, process.ppid):
            return False
        process.own_memory = True
    pages = abs(stat.faults - process.faults)  # a copy on write changes PSS by half a page or more
    process.doubt += max(pages * PAGE_SIZE / 2, abs(stat.rss - process.rss))
    process.rss, process.faults = stat.rss, stat.faults
    return True


def read_linux(process: Process, tree: Tree) -> Memory:
    """One read of smaps_rollup; RSS alone where that is forbidden. OSError: it is gone."""
    try:
        return parse_rollup(read_file(f"/proc/{process.tid}/smaps_rollup"))
    except PermissionError as error:
        tree.refused.setdefault(error.strerror, set()).add(process.pid)
        return Memory(process.rss)


def check_psutil(process: Process, tree: Tree) -> bool:
    """The same through psutil alone: no smaps_rollup (Linux before 4.14), or no Linux."""
    handle = process.handle
    if not handle.is_running():
        raise psutil.NoSuchProcess(process.pid)
    process.ppid = handle.ppid()
    rss = handle.memory_info().rss
    process.doubt, process.rss = process.doubt + abs(rss - process.rss), rss
    return handle.status() != psutil.STATUS_ZOMBIE


def read_psutil(process: Process, tree: Tree) -> Memory:
    """psutil's figures: RSS; USS on Linux, macOS, Windows; PSS and swap on Linux alone."""
    try:
        found = process.handle.memory_full_info()
    except (psutil.AccessDenied, PermissionError):
        found = process.handle.memory_info()
        tree.refused.setdefault("Permission denied", set()).add(process.pid)
    return Memory(found.rss, *(getattr(found, name, None) for name in ("pss", "uss", "swap")))


class Tree:
    """A command's descendants, or given processes and theirs.

    A process once seen stays until it ends, whoever its parent is by then.
    """

    def __init__(self, watched: Sequence[psutil.Process] = ()) -> None:
        self.me = psutil.Process()
        self.of_command = not watched
        self.known = {handle.pid: Process(handle) for handle in watched}
        older = self.me.children(recursive=True) if self.of_command else []
        self.outsiders = {self.me, *older}  # children from before an exec are not the command's
        self.refused: dict[str, set[int]] = {}  # why PSS could not be read, of whom
        rollup = os.path.exists("/proc/self/smaps_rollup")
        self.check = check_linux if rollup else check_psutil
        self.read = read_linux if rollup else read_psutil
        self.newest = newest_pid() if newest_pid_moves() else 0
        self.scan_due = self.allowed_at = self.checked_at = 0.0
        self.allowance = READ_BURST
        self.moved = 0  # bytes of PSS that may have moved between processes and is not read yet
        self.unsure = False  # much of the last sample's PSS is in doubt
        self.check_cost = 0.0  # CPU seconds to look at one process

    def find(self, now: float) -> None:
        """Find new processes: those with a new pid, and now and then all in a scan."""
        newest, last = newest_pid() if self.newest else 0, self.newest
        self.newest = newest
        if not newest or not last or now >= self.scan_due or not 0 <= newest - last < MANY_PIDS:
            self.scan_due = now + SCAN_SECONDS
            self.scan()
            return
        for pid in range(last + 1, newest + 1):
            with contextlib.suppress(psutil.Error, OSError):  # gone already
                parent = read_stat(pid).ppid
                if (parent in self.known or parent == self.me.pid) and is_process(pid):
                    self.add(psutil.Process(pid))

    def scan(self) -> None:
        """Find all processes below memory.py, and below those whose parent is not known."""
        roots = [self.me] if self.of_command else []
        inside = {*self.known, *(process.pid for process in roots)}
        if self.of_command and len(self.outsiders) > 1:
            roots = [child for child in self.me.children() if child not in self.outsiders]
        roots += [p.handle for p in self.known.values() if p.ppid not in inside]
        for root in roots:
            try:
                found = root.children(recursive=True)
            except (psutil.Error, OSError):
                continue
            for handle in [root, *found]:
                self.add(handle)

    def add(self, handle: psutil.Process) -> None:
        """Take a process in, unless it is known or not one of the tree's."""
        known = self.known.get(handle.pid)
        if (known and known.handle == handle) or handle in self.outsiders:
            return
        try:
            self.known[handle.pid] = Process(handle)
        except (psutil.Error, OSError):
            self.known.pop(handle.pid, None)

    def sample(self) -> list[Process]:
        """The processes that live now, each with its memory as it was last read."""
        now = time.monotonic()
        self.find(now)
        turn, cpu = self.whose_turn(now), time.process_time()
        for process in turn:
            doubt = process.doubt
            try:
                process.counts = self.check(process, self)
            except (psutil.Error, OSError):
                process.counts = False
                self.forget_if_gone(process)
            if not process.counts:
                self.take_away(process)  # a zombie has no memory any more
            process.checked_at = now
            if process.doubt != doubt:
                process.busy_until = now + BUSY_SECONDS
        self.check_cost = (time.process_time() - cpu) / max(1, len(turn))
        living = [process for process in self.known.values() if process.counts]
        self.read_doubtful(living, now)
        for process in living:
            if now >= process.name_due:
                process.update_name(now)
        return [process for process in living if process.memory and process.pid in self.known]

    # What follows keeps sampling cheap. Reading smaps_rollup makes the kernel walk the page tables,
    # some 17 us for each resident MiB, and holds up the target meanwhile; /proc/PID/stat takes some
    # 10 us whatever the size. So each process has a doubt: the bytes by which its PSS may have
    # changed since it was read. Its page faults and its RSS tell of changes of its own. Changes of
    # its share through others (a fork, an exit, a copy on write) show in them: where their shared
    # part has changed, all who share are in doubt by as much. Of many processes, those at rest
    # are looked at in turn.

    def whose_turn(self, now: float) -> list[Process]:
        """All processes, if that is cheap; else the busy ones, and some of those at rest."""
        processes = list(self.known.values())
        allowed = (now - self.checked_at) * CHECK_SHARE / (self.check_cost or 1e-9)
        self.checked_at = now
        if len(processes) <= max(allowed, MANY_AT_REST):
            return processes
        busy = [p for p in processes if now < p.busy_until or not p.counts]
        rest = [p for p in processes if now >= p.busy_until and p.counts]
        rest.sort(key=lambda process: process.checked_at)
        return busy + rest[: max(MANY_AT_REST, int(allowed) - len(busy))]

    def read_doubtful(self, living: Sequence[Process], now: float) -> None:
        """Read the processes in doubt, the most doubtful first, as far as the allowance goes."""
        self.allowance += (now - self.allowed_at) * READ_SHARE
        self.allowance, self.allowed_at = min(self.allowance, READ_BURST), now
        for _ in range(2):  # what the first round has cast doubt on is read in the second
            whole, waiting = those_in_doubt(living)
            for process in waiting:
                great = process.doubt > whole * GREAT_DOUBT
                debt = TREE_DEBT if self.moved > whole * TREE_DOUBT else READ_DEBT if great else 0
                if self.allowance > -debt or not process.memory:
                    self.read_one(process, living)
        whole, waiting = those_in_doubt(living)
        self.moved = self.moved if waiting else 0
        doubts = (min(p.doubt, p.rss) for p in waiting)  # of one that is ending 0
        self.unsure = max([self.moved, *doubts]) > whole * TREE_DOUBT
        for process in sorted(living, key=lambda p: p.read_at):
            if self.allowance > 0 and now - process.read_at > READ_SECONDS:
                self.read_one(process, living)

    def read_one(self, process: Process, living: Sequence[Process]) -> None:
        """Read one process, and doubt those that share with it if its shared part has changed."""
        begin, cpu, before = time.monotonic(), time.process_time(), process.memory
        try:
            process.memory = self.read(process, self)
        except (psutil.Error, OSError):
            self.forget_if_gone(process)
            return
        process.read_at, process.doubt = begin, 0.0
        older = (other for other in living if other.read_at < self.allowed_at)
        self.cast_doubt(before, process.memory, older)
        self.allowance -= time.process_time() - cpu

    def cast_doubt(
        self, before: Memory | None, after: Memory | None, others: Iterable[Process]
    ) -> None:
        """Doubt others if what one process shares has grown or shrunk: at most by its share of it.

        What it shares now may have been private to one of them (a fork); what it gave up was not.
        """
        grown = shared(after) - shared(before)
        size = min(abs(grown), max(share(before), share(after)))
        if size >= 2**16:
            self.moved += size
            for other in others:
                other.doubt += min(size, other.rss if grown > 0 else shared(other.memory))

    def take_away(self, process: Process) -> None:
        """The process has no memory any more: what it shared with others is theirs."""
        before, process.memory = process.memory, None
        self.cast_doubt(before, None, self.known.values())

    def forget_if_gone(self, process: Process) -> None:
        """Forget it if it has ended, and not just its main thread."""
        if process.handle.is_running() and lives(process.pid) and process.same():
            return
        self.known.pop(process.pid, None)
        self.take_away(process)

    def lives(self) -> bool:
        """Whether any process of the tree has not ended."""
        self.scan()
        return any(lives(pid) for pid in self.known)

    def send(self, number: int, told: set[int]) -> None:
        """Send a signal to each process of the tree, once: not to those told already."""
        self.scan()
        for pid, process in list(self.known.items()):
            if pid in told:
                continue
            told.add(pid)
            with contextlib.suppress(psutil.Error, OSError):  # gone, or another user's
                process.handle.send_signal(number)


def those_in_doubt(living: Sequence[Process]) -> tuple[int, list[Process]]:
    """The whole PSS in bytes, and the processes to read: new ones, then the most doubtful."""
    whole = sum(p.memory.pss or p.memory.rss for p in living if p.memory)
    waiting = [p for p in living if not p.memory or p.doubt > max(whole * DOUBT, 2**16)]
    waiting.sort(key=lambda p: (p.memory is not None, -p.doubt))
    return whole, waiting


def shared(memory: Memory | None) -> int:
    """Bytes that a process has in common with others, as far as is known."""
    return memory.rss - memory.uss if memory and memory.uss is not None else 0


def share(memory: Memory | None) -> int:
    """Bytes of them that are in its PSS."""
    return memory.pss - memory.uss if memory and None not in (memory.pss, memory.uss) else 0


def newest_pid() -> int:
    """The last pid that the system gave out (proc_loadavg(5)); 0 where it is not told."""
    try:
        return int(read_file("/proc/loadavg").split()[-1])
    except (OSError, ValueError):
        return 0


def newest_pid_moves() -> bool:
    """Whether that is to be trusted (gVisor makes it up): a new thread takes a pid too."""
    before = newest_pid()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return newest_pid() != before


def is_process(pid: int) -> bool:
    """Whether it is a process's and no thread's."""
    return re.search(rb"^Tgid:\s+%d$" % pid, read_file(f"/proc/{pid}/status"), re.M) is not None


def lives(pid: int) -> bool:
    """Whether a process has not ended."""
    if not os.path.exists("/proc/self/stat"):
        return psutil.pid_exists(pid)
    try:
        return read_stat(pid).state not in "ZX" or other_thread(pid) is not None
    except OSError:
        return False


def memory_in_use() -> int:
    """The whole system's memory in use, in bytes: MemTotal - MemAvailable of /proc/meminfo."""
    memory = psutil.virtual_memory()
    return memory.total - memory.available


def own_peak_rss() -> int | None:
    """memory.py's own largest RSS while sampling: VmHWM of /proc/self/status."""
    try:
        found = re.search(rb"^VmHWM:\s+(\d+) kB", read_file("/proc/self/status"), re.M)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else psutil.Process().memory_info().rss


# ---------------------------------------------------------------- the recording (CSV)


class Recording:
    """The CSV of a run, written sample by sample, so that nothing is lost with memory.py."""

    def __init__(self, path: str, temporary: bool = False) -> None:
        self.path = path
        self.temporary = temporary
        self.created = temporary or not os.path.lexists(path)
        self.failed: OSError | None = None
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)

    @classmethod
    def beside(cls, out: str | None) -> Recording:
        """A hidden temporary file beside the graph, or in /var/tmp, or where there is room."""
        folder, name = os.path.split(os.path.abspath(out)) if out else ("/var/tmp", "memory")
        for place in (folder, "/var/tmp", "/tmp"):
            path = os.path.join(place, f".{name}.{os.getpid()}.{time.time_ns()}.csv")
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                return cls(path, temporary=True)
        raise Problem("no folder for the samples can be written to; name a file with --csv")

    def begin(self, command: str, interval: float) -> None:
        """Empty the file and write its head. Called when the command runs."""
        system = f"{platform.system()} {platform.release()} {platform.machine()}"
        total = psutil.virtual_memory().total
        os.ftruncate(self.fd, 0)
        self.comment("command", command)
        self.comment("start", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self.comment("interval", f"{interval:g}")
        if platform.system() != "Linux":
            self.comment("no pss", platform.system())
        self.comment("system", f"{system}, {mib(total)}, {os.cpu_count()} CPUs")
        self.comment("version", f"memory.py {VERSION}")
        self.write(HEADER)

    def comment(self, key: str, value: object) -> None:
        """One comment line of the head or the foot."""
        self.write(f"# {key}: {printable(str(value))}\n")

    def sample(self, now: float, begin: float, living: list[Process], system: int) -> None:
        """One row a process, and the system's row that makes the sample whole.

        Seconds: now since the start, begin of the sample on the monotonic clock.
        """
        rows = []
        for process in living:
            age = begin - process.read_at
            text = "0" if age <= 0 else f"{age:.3f}"
            text = "" if process.memory.pss is None else text
            rows.append(f"{now:.3f}{process.row()}{text}\n")
        rows.append(f'{now:.3f},0,"system",{system},,,,,,,0\n')
        self.write("".join(rows))

    def write(self, text: str) -> None:
        """Write at once; after a failure (a full disk) nothing more, and it is said once."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data and not self.failed:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self.failed = error
            say(f"{self.path}: {error.strerror}; samples from here on are not recorded")

    def close(self, keep: bool = True) -> None:
        """Close the file; without keep, remove it if this run has made it."""
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None
        if self.created and not keep:
            os.unlink(self.path)


# ---------------------------------------------------------------- running and sampling


def environment() -> dict[str, str]:
    """The environment for the command: without the LC_CTYPE that Python sets in the C locale."""
    found = dict(os.environ)
    with contextlib.suppress(OSError), open("/proc/self/environ", "rb") as file:
        if b"\0LC_CTYPE=" not in b"\0" + file.read():
            found.pop("LC_CTYPE", None)
    return found


class Command:
    """The command, a child of memory.py. The only place that waits for children."""

    def __init__(self, argv: Sequence[str], signal_mask: Iterable[int]) -> None:
        """Start it with memory.py's descriptors, group and the given signal mask.

        Raises Problem with 127 (not found) or 126 (cannot be executed).
        """
        self.argv = argv
        self.status: int | None = None  # as a shell tells it: 128 + n when a signal ended it
        if LIBC and LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            say("the kernel does not hand over orphaned processes: daemons will be missed")
        options = {
            "setsigmask": signal_mask,
            "setsigdef": [signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them
        }
        try:
            self.pid = os.posix_spawnp(argv[0], argv, environment(), **options)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                status = 127 if isinstance(error, FileNotFoundError) else 126
                raise Problem(f"{argv[0]}: {error.strerror}", status) from None
            import shutil

            words = ["sh", shutil.which(argv[0]) or argv[0], *argv[1:]]  # no #!: as execvp(3)
            self.pid = os.posix_spawn("/bin/sh", words, environment(), **options)

    def reap(self) -> bool:
        """Reap all that has ended. True when no child is left, and so no descendant (Linux)."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.pid and self.status is None:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code


def wait_for_signal(signals: Iterable[int], seconds: float) -> signal.struct_siginfo | None:
    """The next of these (blocked) signals, or None after so many seconds at the most."""
    if hasattr(signal, "sigtimedwait"):
        return signal.sigtimedwait(signals, max(0, seconds))
    time.sleep(max(0, min(seconds, 0.2)))  # macOS
    pending = signal.sigpending() & set(signals)
    return SimpleNamespace(si_signo=signal.sigwait(pending), si_code=0) if pending else None


def stop(number: int, _: object) -> None:
    """Handles a signal while the report is made."""
    raise KeyboardInterrupt(number)


class Session:
    """One measurement: samples at fixed times until the tree, a signal or the time ends it."""

    def __init__(self, options: argparse.Namespace, recording: Recording) -> None:
        self.interval = options.interval
        self.duration = options.duration
        self.quiet = options.quiet
        self.recording = recording
        ignored = {n for n in ENDING_SIGNALS if signal.getsignal(n) == signal.SIG_IGN}
        self.signals = {signal.SIGCHLD, *ENDING_SIGNALS} - ignored  # nohup's stay ignored
        self.command: Command | None = None
        self.requests = 0  # signals that asked for the end
        self.last_request: tuple[object, float] = (None, 0)
        self.ended = ""  # why the measuring is over: end, duration, signal, stopped
        self.status = 0
        self.due = 1  # samples due so far
        self.in_doubt = 0  # samples
        self.peak = 0
        self.told_left = self.line_shown = False
        self.show_due = 0.0

    def run(self, argv: Sequence[str], watched: Sequence[psutil.Process]) -> None:
        """Start the command (or take the watched processes), sample to the end, record it."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would lose the status
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        try:
            self.tree = Tree(watched)  # its thread must not be there for these signals either
            self.base = memory_in_use()
            self.start, self.cpu = time.monotonic(), time.process_time()
            if argv:
                self.command = Command(argv, mask)
            what = shlex.join(argv) or "--pid " + " ".join(str(p.pid) for p in watched)
            self.recording.begin(what, self.interval)
            self.loop()
            self.finish()
        finally:
            self.clear()
            while wait_for_signal(self.signals, 0):  # asked for the end that has come
                pass
            for number in self.signals - {signal.SIGCHLD}:
                signal.signal(number, stop)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def loop(self) -> None:
        """Sample at start + k * interval and at the end of --duration; what is missed was due."""
        self.sample()
        while not self.ended:
            next_time = self.due * self.interval
            if self.duration:
                next_time = min(next_time, self.duration)
            info = wait_for_signal(self.signals, self.start + next_time - time.monotonic())
            now = time.monotonic() - self.start
            if info:
                self.handle(info)
            if self.ended or now < next_time:
                continue
            self.due = max(self.due, int(now / self.interval)) + 1
            self.sample()
            if self.duration and now >= self.duration:
                self.ended = self.ended or "duration"

    def sample(self) -> None:
        """Take one sample and record it, unless all has ended."""
        if self.over():
            return
        begin = time.monotonic()
        living = self.tree.sample()
        self.recording.sample(begin - self.start, begin, living, memory_in_use() - self.base)
        self.in_doubt += self.tree.unsure
        self.show(begin - self.start, [process.memory for process in living])
        if not self.command:
            self.ended = "" if living else "end"
        elif self.command.status is not None and living and not self.told_left:
            self.told_left = True
            who = ", ".join(f"{process.name} ({process.pid})" for process in living)
            self.say(
                f"{self.command.argv[0]} has ended with status {self.command.status}; "
                f"processes it started go on: {who}; Ctrl-C ends the measuring"
            )

    def over(self) -> bool:
        """Reap, and see whether the command and all its descendants have ended."""
        if not self.command:
            return False
        childless = self.command.reap()
        if self.command.status is not None:
            all_come_here = LIBC and len(self.tree.outsiders) == 1  # the orphans, and nobody else
            if childless if all_come_here else not self.tree.lives():
                self.ended = "end"
        return bool(self.ended)

    def handle(self, info: signal.struct_siginfo) -> None:
        """A child's end, or a signal that asks for ours: see "Ending a run" in the README."""
        if info.si_signo == signal.SIGCHLD:
            self.over()
            return
        request = (info.si_signo, getattr(info, "si_pid", 0))
        now, (last, before) = time.monotonic(), self.last_request
        self.last_request = (request, now)
        if request == last and now - before < 0.2 and info.si_code != SI_KERNEL:
            return  # timeout(1) sends it to memory.py and then to its group
        self.requests += 1
        left_alone = self.command and self.command.status is not None
        if not self.command or (left_alone and info.si_signo == signal.SIGINT):
            self.ended = "signal"
        elif self.requests > 1:
            self.ended, self.status = "stopped", 128 + info.si_signo
        elif info.si_signo != signal.SIGINT or info.si_code != SI_KERNEL:
            self.tree.send(info.si_signo, set())

    def finish(self) -> None:
        """End the tree where --duration asks for it, and write the recording's foot."""
        duration, cpu = time.monotonic() - self.start, time.process_time() - self.cpu
        own, by_itself = own_peak_rss(), self.ended == "end"
        if self.command and self.ended != "stopped":
            self.status = self.command.status or 0  # None: --duration ends it
        if self.command and self.ended == "duration":
            self.end_tree()
        comment = self.recording.comment
        if self.ended == "end":
            comment("system after", memory_in_use() - self.base)
        reasons = [f"{why} ({count(len(p), 'process')})" for why, p in self.tree.refused.items()]
        if reasons:
            comment("unreadable", "; ".join(reasons))
        comment("samples due", self.due)
        comment("samples in doubt", self.in_doubt)
        comment("own cpu seconds", f"{cpu:.3f}")
        comment("own peak rss", own)
        if self.command:
            comment("exit status", self.status)
        comment("duration", f"{duration:.3f}")
        if by_itself and self.command and duration < 3 and not self.quiet:
            self.hint_running_instance()

    def end_tree(self) -> None:
        """SIGTERM to all, SIGKILL after TERM_SECONDS or a Ctrl-C, again until nobody is left."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            told: set[int] = set()
            deadline = time.monotonic() + TERM_SECONDS
            while time.monotonic() < deadline:
                self.tree.send(number, told)
                self.ended = ""
                if self.over():
                    return
                info = wait_for_signal(self.signals, 0.1)
                if info and info.si_signo != signal.SIGCHLD:
                    break
        left = ", ".join(f"{process.name} ({process.pid})" for process in self.tree.sample())
        self.say(f"could not be ended: {left}")

    def hint_running_instance(self) -> None:
        """Say that another instance of a command that ended at once was there before."""
        name = os.path.basename(self.command.argv[0])
        if INTERPRETER_RE.match(name):
            return
        begun = time.time() - (time.monotonic() - self.start)
        for process in psutil.process_iter(["name", "cmdline", "create_time", "uids"]):
            if process.info["uids"] is None or process.info["uids"].real != os.getuid():
                continue
            words = [os.path.basename(word) for word in (process.info["cmdline"] or [])[:2]]
            if name in (process.info["name"], *words) and process.info["create_time"] < begun - 1:
                self.say(
                    f"{name} ended at once, and another {name} runs: it may have taken over; "
                    f"to measure that one: memory.py --pid {process.pid}"
                )
                return

    def show(self, now: float, memories: Sequence[Memory]) -> None:
        """The status line, where stderr is a terminal and memory.py in its foreground."""
        pss = sum(m.rss if m.pss is None else m.pss for m in memories)
        self.peak = max(self.peak, pss)
        if now < self.show_due:
            return
        self.show_due = now + 0.4
        try:
            if self.quiet or os.tcgetpgrp(2) != os.getpgrp():
                return
            width = os.get_terminal_size(2).columns
        except OSError:  # no terminal
            return
        rss = mib(sum(m.rss for m in memories))
        line = f"{now:.1f} s  {count(len(memories), 'process')}  PSS {mib(pss)}"
        line += f" (peak {mib(self.peak)})  RSS {rss}"
        self.clear()
        tell(line[: width - 1], sys.stderr, end="")
        self.line_shown = True

    def clear(self) -> None:
        """Take the status line away."""
        if self.line_shown:
            tell("\r\033[K", sys.stderr, end="")
        self.line_shown = False

    def say(self, message: str) -> None:
        """One line on stderr, above the status line."""
        self.clear()
        say(message)


# ---------------------------------------------------------------- reading a recording


class Metric:
    """Peak, mean and end of one metric over a run. Each value holds until the next sample."""

    def __init__(self) -> None:
        self.peak: int | None = None
        self.peak_time: float | None = None
        self.end: int | None = None  # in the last sample with any process in it
        self.time = 0.0
        self.span = self.area = 0
        self.last: int | None = None

    def add(self, now: float, value: int | None, alive: bool) -> None:
        """Take in a sample's value (None: not told); alive: the sample has a process."""
        self.hold(now)
        self.last = value
        if value is None or not alive:
            return
        self.end = value
        if self.peak is None or value > self.peak:
            self.peak, self.peak_time = value, now

    def hold(self, now: float) -> None:
        """The last value has held until now; a time in which it is not known does not count."""
        if self.last is not None:
            self.area += self.last * (now - self.time)
            self.span += now - self.time
        self.time = now

    def as_json(self) -> dict[str, float | None] | None:
        """{"peak", "peak_time", "mean", "end"} in bytes and seconds, None without a value."""
        if self.peak is None:
            return None
        mean = round(self.area / self.span) if self.span > 0 else self.end
        return {"peak": self.peak, "peak_time": self.peak_time, "mean": mean, "end": self.end}


class Use:
    """What one process of a run has used at most, and at the tree's peak of PSS, in bytes."""

    __slots__ = ("drawn", "name", "peak_pss", "peak_rss", "pid", "pss_at_peak", "unreadable")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.name = ""
        self.peak_pss: int | None = None
        self.peak_rss = self.pss_at_peak = 0
        self.drawn = 0  # its largest part of the sum, in which RSS may stand in for PSS
        self.unreadable = False

    def add(self, name: str, memory: Memory) -> int:
        """Take in a sample; its part of the sum of PSS: RSS where PSS could not be read."""
        self.name = name
        self.peak_rss = max(self.peak_rss, memory.rss)
        if memory.pss is None:
            self.unreadable = True
            part = memory.rss
        else:
            part = memory.pss
            self.peak_pss = max(self.peak_pss or 0, part)
        self.drawn = max(self.drawn, part)
        return part

    def as_json(self, no_pss: bool) -> dict[str, object]:
        """Sizes in bytes; pss_at_peak of all processes add up to the peak of PSS."""
        return {
            "pid": self.pid,
            "process": self.name,
            "peak_pss": self.peak_pss,
            "peak_rss": self.peak_rss,
            "pss_at_peak": None if no_pss else self.pss_at_peak,
        }


def sum_of(values: Sequence[int | None]) -> int | None:
    """The sum of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def samples_of(file: Iterable[str], meta: dict[str, str]) -> Iterator[Sample]:
    """The whole samples of a recording; its comments go into meta, and where it is damaged."""
    import csv

    place = 0

    def rows() -> Iterator[str]:
        nonlocal place
        header = False
        for place, line in enumerate(file, 1):
            if not (header or line.startswith("#")):
                header = HEADER.startswith(line) if line[-1:] != "\n" else line == HEADER
                if not header:
                    raise Problem("not a recording of memory.py (made with --csv)", 2)
            if not line.endswith("\n"):
                meta["cut"] = f"line {place} is cut off"
            elif line.startswith("#"):
                key, _, value = line[1:].partition(":")
                meta[key.strip()] = value.strip()
            else:
                yield line

    reader = csv.reader(rows())
    try:
        next(reader, None)
        yield from whole_samples(reader)
    except (ValueError, IndexError, csv.Error):
        meta["cut"] = f"line {place} is damaged; what follows is left out"


def whole_samples(reader: Iterator[list[str]]) -> Iterator[Sample]:
    """Rows grouped by sample: the system's row ends each. Raises ValueError on a damaged row."""
    rows: list[tuple[int, str, Memory]] = []
    last = oldest = 0.0
    for row in reader:
        now, pid = float(row[0]), int(row[1])
        if not last <= now < 1e9 or len(row) != len(COLUMNS):
            raise ValueError("time or columns")
        if pid:
            sizes = Memory(*[int(size) if size else None for size in row[3:-1]])
            if sizes.rss is None or not all(0 <= size < 2**60 for size in sizes if size):
                raise ValueError("sizes")
            age = float(row[-1] or 0)
            if not 0 <= age < 1e9:
                raise ValueError("age")
            rows.append((pid, row[2], sizes))
            oldest = max(oldest, age)
        else:
            system = int(row[3]) if row[3] else None
            if abs(system or 0) >= 2**60:
                raise ValueError("sizes")
            yield Sample(now, rows, system, oldest)
            last, rows, oldest = now, [], 0.0


class Run:
    """All that the summary and the graph show, read from a recording in one pass.

    Memory stays bounded: where there are too many points, neighbours become one, of the
    sample with the larger PSS and the largest of each metric, so that peaks survive.
    """

    def __init__(self, path: str) -> None:
        """Read a recording. Raises Problem when it cannot be read or is none."""
        self.path = path
        self.meta: dict[str, str] = {}
        self.metrics = {name: Metric() for name in METRICS}
        self.uses: dict[int, Use] = {}  # the larger ones, by index
        self.seen = self.unreadable = 0  # processes; those whose PSS could not be read in a sample
        self.points: list[Point] = []
        self.step, self.filled, self.values = 1, 1, 0  # samples a point; in the last one
        self.samples = self.processes = 0
        self.split: dict[str, int | None] = dict.fromkeys(("anon", "file", "shmem"))
        self.at_peak: dict[int, int] = {}
        self.peak_age = 0.0  # seconds since the oldest value in it was read
        self.end = 0.0
        try:
            with open(path, encoding="utf-8-sig", errors="replace") as file:  # Windows's too
                self.read(file)
        except OSError as error:
            raise Problem(f"{path}: {error.strerror}", 2) from None
        except Problem as problem:
            raise Problem(f"{path}: {problem}", 2) from None
        self.finish()

    def read(self, file: TextIO) -> None:
        """Take in sample by sample. A pid that was absent for one is another process."""
        indexes: dict[int, int] = {}
        for sample in samples_of(file, self.meta):
            before, indexes = indexes, {}
            pss = {}
            for pid, name, memory in sample.rows:
                index = indexes[pid] = before.get(pid, self.seen)
                if index == self.seen:
                    self.seen += 1
                    self.uses[index] = Use(pid)
                use = self.uses[index]
                self.unreadable += memory.pss is None and not use.unreadable
                pss[index] = use.add(name, memory)
            self.add(sample, pss)
            if len(self.uses) > MAX_USES:
                self.forget({*indexes.values(), *self.at_peak})

    def forget(self, wanted: set[int]) -> None:
        """Forget the smallest processes but the wanted ones."""
        largest = sorted(self.uses, key=lambda index: -self.uses[index].drawn)[: MAX_USES // 4]
        self.uses = {index: self.uses[index] for index in sorted({*largest, *wanted})}

    def add(self, sample: Sample, pss: dict[int, int]) -> None:
        """Take in a sample; pss: by the processes' indexes."""
        columns = list(zip(*(memory for _, _, memory in sample.rows))) or [()] * len(FIELDS)
        totals = {
            "pss": None if "no pss" in self.meta else sum(pss.values()),
            "uss": sum(r if u is None else u for r, u in zip(columns[RSS], columns[USS])),
            "rss": sum(columns[RSS]),
            "swap": sum_of(columns[SWAP]),
            "system": sample.system,
        }
        peak = self.metrics["pss"].peak
        for name, value in totals.items():
            self.metrics[name].add(sample.time, value, bool(sample.rows))
        if self.metrics["pss"].peak != peak:
            self.at_peak, self.peak_age = pss, sample.age
            split = (sum_of(columns[n]) for n in (ANON, FILE, SHMEM))
            self.split = dict(zip(self.split, split))
        self.samples += 1
        self.processes = max(self.processes, len(sample.rows))
        self.end = sample.time
        self.draw(Point(sample.time, totals, pss))

    def draw(self, point: Point) -> None:
        """Add a point to those of the graph, or to the last one if that is not full yet."""
        if self.points and self.filled < self.step:
            self.points[-1] = larger(self.points[-1], point)
            self.filled += 1
            return
        self.points.append(point)
        self.filled = 1
        self.values += len(point.pss) + len(METRICS)
        if self.values > MAX_VALUES and len(self.points) > 2:
            pairs = zip(self.points[::2], self.points[1::2])
            odd = self.points[-1:] if len(self.points) % 2 else []
            self.filled = 1 if odd else self.step + 1
            self.points = [larger(a, b) for a, b in pairs] + odd
            self.step *= 2
            self.values = sum(len(p.pss) + len(METRICS) for p in self.points)

    def finish(self) -> None:
        """The end: as the recording's foot tells, else the last sample."""
        self.end = max(self.end, self.number("duration") or 0)
        if "duration" not in self.meta:
            self.meta.setdefault("cut", "it has no end")
        for metric in self.metrics.values():
            metric.hold(self.end)
        for index, size in self.at_peak.items():
            self.uses[index].pss_at_peak = size
        uses = list(self.uses.values())
        for use, name in zip(uses, name_main_processes([use.name for use in uses])):
            use.name = name

    def number(self, key: str) -> float | None:
        """A number of the recording's comments, None where it has none."""
        try:
            value = float(self.meta[key])
        except (KeyError, ValueError):
            return None
        return value if abs(value) < 1e18 else None

    def ranking(self) -> list[Use]:
        """The processes, those with the most PSS at the peak first."""
        return sorted(
            self.uses.values(), key=lambda u: (-u.pss_at_peak, -u.drawn, -u.peak_rss, u.pid)
        )

    def is_bound(self, metric: str) -> bool:
        """Whether the sums of a metric are upper bounds: RSS stands in for what is not known."""
        return metric in ("pss", "uss") and self.unreadable > 0 and "no pss" not in self.meta

    @property
    def title(self) -> str:
        """The command, or the file's name where it is not told."""
        return self.meta.get("command") or os.path.basename(self.path)

    def as_json(self) -> dict[str, object]:
        """The summary for programs: sizes in bytes, times in seconds, None: nothing to tell."""
        status, cpu = self.number("exit status"), self.number("own cpu seconds")
        own_rss, in_doubt = self.number("own peak rss"), self.number("samples in doubt")
        no_pss = "no pss" in self.meta
        return {
            "command": self.meta.get("command"),
            "exit_status": None if status is None else int(status),
            "duration": round(self.end, 3),
            "interval": self.number("interval"),
            "samples": self.samples,
            "processes": self.processes,
            "unreadable": self.unreadable,
            "in_doubt": None if in_doubt is None else int(in_doubt),
            **{name: metric.as_json() for name, metric in self.metrics.items()},
            "pss_peak_split": None if set(self.split.values()) == {None} else self.split,
            "by_process": [use.as_json(no_pss) for use in self.ranking()],
            "own": {
                "cpu_seconds": cpu,
                "peak_rss": None if own_rss is None else int(own_rss),
            },
        }


def larger(a: Point, b: Point) -> Point:
    """Two neighbours as one point: the sample with more PSS, the larger of each metric."""
    main = max(a, b, key=lambda point: sum(point.pss.values()))
    totals = {
        name: max((p.totals[name] for p in (a, b) if p.totals[name] is not None), default=None)
        for name in METRICS
    }
    return Point(main.time, totals, main.pss)


# ---------------------------------------------------------------- the summary


def seconds(time_: float) -> str:
    """A time for people: '12.0 s', '3 min 05 s', '8 h 00 min'."""
    if time_ < 120:
        return f"{time_:.1f} s"
    minutes, rest = divmod(round(time_), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def caveats(run: Run) -> list[str]:
    """What a reader must know before believing the figures."""
    found = []
    if "cut" in run.meta:
        found.append(f"the recording is not whole ({run.meta['cut']}): figures up to there")
    if not run.metrics["rss"].peak:
        found.append("no sample found a process that has memory of its own: nothing was measured")
    in_doubt = run.number("samples in doubt") or 0
    if in_doubt > run.samples / 50:  # in the turmoil of the start a few always are
        found.append(
            f"in {in_doubt:.0f} of {run.samples} samples more had changed than could be read in"
            " time: PSS and USS may be wrong by a fifth or more there"
        )
    if "no pss" in run.meta:
        found.append(
            f"there is no PSS on {run.meta['no pss']}: see RSS, which counts shared pages again"
        )
    elif run.unreadable:
        found.append(
            f"PSS of {count(run.unreadable, 'process')} could not be read"
            f" ({run.meta.get('unreadable', 'permission denied')}): their RSS stands in for it,"
            " PSS and USS are upper bounds; to read them: sudo ./memory.py --pid ..."
        )
    return found


def summary(run: Run, rows: int = 12) -> str:
    """The run as text, under 100 columns."""
    status = run.number("exit status")
    end = "" if status is None else f", exit status {status:.0f}"
    head = f"{seconds(run.end)}, {count(run.processes, 'process')} at most{end}"
    import textwrap

    lines = [printable(run.title), head]
    for caveat in caveats(run):
        lines += textwrap.wrap(caveat, 96, initial_indent="! ", subsequent_indent="  ")
    lines.append("")
    if run.metrics["rss"].peak:
        lines += [*metric_table(run), "", *process_table(run, rows), ""]
    return "\n".join([*lines, own_cost(run)])


def metric_table(run: Run) -> list[str]:
    """Peak, mean and end of each metric, the split of PSS at its peak, and its course."""
    lines = [f"{'':8}{'peak':>14}{'at':>12}{'mean':>14}{'end':>14}"]
    for name, metric in run.metrics.items():
        value = metric.as_json()
        if value is None or (name == "swap" and not value["peak"]):
            continue
        cells = [mib(value[key]) for key in ("peak", "mean", "end")]
        if run.is_bound(name):
            cells = [f"<={cell}" for cell in cells]
        label = name if name in ("swap", "system") else name.upper()
        at = seconds(value["peak_time"])
        lines.append(f"{label:8}{cells[0]:>14}{at:>12}{cells[1]:>14}{cells[2]:>14}")
    lines.append("system: change of the whole machine's memory in use since just before the start")
    after, last = run.number("system after"), run.metrics["system"].end
    if after is not None and last is not None:
        lines.append(f"given back to the system when all had ended: {mib(int(last - after))}")
    peak = run.metrics["pss"].peak
    lines += kinds(run)
    if peak:
        lines.append(f"PSS {course(run, peak)} 0 to {mib(peak)}")
    return lines


def kinds(run: Run) -> list[str]:
    """What the peak of PSS is made of, in a line; none where it is not known."""
    if None in run.split.values() or not run.metrics["pss"].peak:
        return []
    parts = dict(zip(("anonymous", "file-backed", "shared"), run.split.values()))
    rest = run.metrics["pss"].peak - sum(run.split.values())
    if rest > MIB:
        parts["not readable"] = rest
    text = " + ".join(f"{mib(size)} {name}" for name, size in parts.items())
    age = f", read up to {seconds(run.peak_age)} before" if run.peak_age > 0 else ""
    return [f"PSS at its peak: {text}{age}"]


def course(run: Run, peak: int, width: int = 60) -> str:
    """PSS over time as a sparkline: the largest of each stretch, or what holds from before."""
    begin = run.points[0].time
    span = max(run.end - begin, 1e-9)
    stretches: list[list[int]] = [[] for _ in range(width)]
    for point in run.points:
        place = int((point.time - begin) / span * width)
        stretches[min(width - 1, place)].append(point.totals["pss"])
    heights, last = [], 0
    for values in stretches:
        heights.append(max(values, default=last))
        last = values[-1] if values else last
    return sparkline(heights, peak)


def process_table(run: Run, rows: int) -> list[str]:
    """The processes with the most PSS at the peak, and the rest as one line."""
    ranking = run.ranking()
    lines = [f"{'PSS at peak':>14}{'peak PSS':>14}{'peak RSS':>14}{'pid':>9}  process"]
    for use in ranking[:rows]:
        peak = "not readable" if use.peak_pss is None else mib(use.peak_pss)
        at_peak = ("<=" if use.unreadable else "") + mib(use.pss_at_peak)
        at_peak = "-" if "no pss" in run.meta else at_peak
        name = use.name if len(use.name) <= 46 else use.name[:43] + "..."
        lines.append(f"{at_peak:>14}{peak:>14}{mib(use.peak_rss):>14}{use.pid:>9}  {name}")
    rest = run.seen - len(ranking[:rows])
    if rest:
        at_peak = mib(sum(use.pss_at_peak for use in ranking[rows:]))
        lines.append(f"{at_peak:>14}{'':37}  {count(rest, 'more process')}")
    return lines


def own_cost(run: Run) -> str:
    """What memory.py itself took, and how many of the samples due it has taken."""
    due = run.number("samples due")
    text = count(run.samples, "sample", "s") + ("" if due is None else f" of {due:.0f} due")
    cpu, rss = run.number("own cpu seconds"), run.number("own peak rss")
    if cpu is None or rss is None:
        return f"memory.py: {text}"
    share = 100 * cpu / run.end if run.end else 0
    return f"memory.py itself: {share:.1f} % of a CPU, {mib(int(rss))} RSS, {text}"


def comparison(runs: Sequence[Run]) -> str:
    """PSS of several runs, one line each."""
    lines = [f"{'PSS: peak':>14}{'mean':>14}{'end':>14}{'duration':>14}  recording"]
    for run in runs:
        value = run.metrics["pss"].as_json() or {}
        bound = "<=" if run.is_bound("pss") else ""
        cells = "".join(f"{bound + mib(value.get(key)):>14}" for key in ("peak", "mean", "end"))
        lines.append(f"{cells}{seconds(run.end):>14}  {printable(run.path)}")
    return "\n".join(lines)


# ---------------------------------------------------------------- the graph

# Okabe and Ito's colours, neighbours differing in lightness too (for black and white)
COLOURS = ("#0072B2", "#F0E442", "#D55E00", "#56B4E9", "#117733", "#E69F00", "#882255", "#CC79A7")
GREY = "#BBBBBB"
COMPARED = ("#000000", "#D55E00", "#0072B2", "#117733", "#882255")
CURVES = {  # what it is, colour, line style, width
    "rss": ("RSS, shared pages counted in each process", "#D55E00", "-", 1.3),
    "pss": ("PSS, shared pages divided: the true sum", "#000000", "-", 2.4),
    "uss": ("USS, private pages alone", "#0072B2", "-.", 1.6),
    "swap": ("swap (swapped PSS)", "#CC79A7", ":", 2.2),
    "system": ("system, change of all memory in use", "#117733", "--", 1.4),
}
LEGEND = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.02), "frameon": False}


def time_unit(end: float) -> tuple[float, str]:
    """The unit for an axis of so many seconds: its length in seconds, and its name."""
    for length, name in ((3600, "hours"), (60, "minutes")):
        if end >= 3 * length:
            return length, name
    return 1, "seconds"


def short(text: str, width: int) -> str:
    """Text for matplotlib: cut to a width in characters, dollars no mathematics."""
    text = (text if len(text) <= width else text[: width - 3] + "...").replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text  # which the legend would leave out


def save_graph(runs: Sequence[Run], out: str) -> None:
    """Draw one run, or several compared, into a file whose ending picks the format."""
    import io
    import logging
    import warnings

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no word of its caches
    import matplotlib  # only here: it takes some 50 MiB
    from matplotlib.figure import Figure

    data = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")  # glyphs that the font does not have
        matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(12, 8), dpi=100)
        if len(runs) == 1:
            draw_run(figure, runs[0])
        else:
            draw_comparison(figure, runs)
        figure.savefig(data, format=os.path.splitext(out)[1][1:].lower())
    with open(out, "wb") as file:
        file.write(data.getvalue())


def panels(figure: Figure, title: str, notes: Sequence[str], **options: object) -> list[Axes]:
    """Two panels, one above the other, under a title and notes, with room for legends."""
    import textwrap

    axes = figure.subplots(2, 1, **options)
    figure.subplots_adjust(left=0.07, right=0.68, top=0.875, bottom=0.065, hspace=0.17)
    figure.text(0.01, 0.985, short(title, 105), size=14, weight="bold", va="top")
    text = "\n".join(textwrap.wrap(short("; ".join(notes), 300), 165))
    figure.text(0.01, 0.945, text, size=9, va="top")
    for panel in axes:
        panel.grid(alpha=0.3)
    return axes


def draw_run(figure: Figure, run: Run) -> None:
    """Above the sums of each metric, below PSS by process, over one time axis."""
    notes = [
        f"{seconds(run.end)}, {count(run.processes, 'process')} at most",
        *kinds(run),
        *caveats(run),
    ]
    upper, lower = panels(figure, run.title, notes, sharex=True)
    unit, name = time_unit(run.end)
    times = [point.time / unit for point in run.points] + [run.end / unit]
    lower.set_xlabel(f"{name} since the start")
    for panel in (upper, lower):
        panel.set_ylabel("MiB")
    upper.set_title("Sum over all processes", loc="left", size=10)
    metric = "RSS" if "no pss" in run.meta else "PSS"
    lower.set_title(f"{metric} by process, stacked", loc="left", size=10)
    if run.metrics["rss"].peak:
        draw_sums(upper, run, times)
        mark_peak(upper, run, unit)
        draw_processes(lower, run, times)
    else:
        upper.text(0.5, 0.5, "nothing was measured", ha="center", transform=upper.transAxes)
    lower.set_xlim(0, max(run.end, 0.001) / unit)


def draw_sums(panel: Axes, run: Run, times: Sequence[float]) -> None:
    """The curves of RSS, PSS, USS, swap and the system's change. Each value holds to the next."""
    low = 0
    for name, (label, colour, style, width) in CURVES.items():
        peak = run.metrics[name].peak
        if peak is None or (name == "swap" and not peak):
            continue
        sizes = [point.totals[name] for point in run.points]
        values = [float("nan") if size is None else size / MIB for size in sizes]
        bound = "at most " if run.is_bound(name) else ""
        panel.plot(
            times,
            [*values, values[-1]],
            linestyle=style,
            color=colour,
            linewidth=width,
            drawstyle="steps-post",
            label=f"{label}\n    peak {bound}{mib(peak)}",
        )
        low = min(low, *values)
    high = panel.get_ylim()[1]
    panel.set_ylim(low * 1.1 if low < -0.1 * high else 0, high * 1.12)
    panel.legend(labelspacing=0.9, **LEGEND)


def mark_peak(panel: Axes, run: Run, unit: float) -> None:
    """A dot on the peak of PSS, its value and time beside it on the side that has room."""
    metric = run.metrics["pss"]
    if not metric.peak:
        return
    place = (metric.peak_time / unit, metric.peak / MIB)
    right = metric.peak_time < run.end * 0.6
    panel.plot(*place, "o", color="black")
    bound = "at most " if run.is_bound("pss") else ""
    panel.annotate(
        f"PSS peak {bound}{mib(metric.peak)} at {seconds(metric.peak_time)}",
        place,
        (8 if right else -8, 7),
        textcoords="offset points",
        ha="left" if right else "right",
        weight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
    )


def draw_processes(panel: Axes, run: Run, times: Sequence[float]) -> None:
    """PSS of the largest processes and of the rest as one, stacked from below."""
    ranking = sorted(run.uses, key=lambda n: (-run.uses[n].drawn, run.uses[n].pid))
    top = ranking if run.seen <= STACKED else ranking[: STACKED - 1]
    layers = [[point.pss.get(n, 0) / MIB for point in run.points] for n in top]
    labels = [layer_label(run.uses[n]) for n in top]
    if len(top) < run.seen:
        whole = [sum(point.pss.values()) / MIB for point in run.points]
        rest = [max(0, all_ - sum(parts)) for all_, parts in zip(whole, zip(*layers))]
        layers.append(rest)
        others = count(run.seen - len(top), "other process")
        labels.append(f"{others}, peak {max(rest):.1f} MiB")
    base = [0.0] * len(times)
    for sizes, label, colour in zip(layers, labels, [*COLOURS[: len(top)], GREY]):
        high = [b + size for b, size in zip(base, [*sizes, sizes[-1]])]
        look = {"facecolor": colour, "edgecolor": colour, "linewidth": 0.5}  # spikes stay visible
        panel.fill_between(times, base, high, step="post", label=label, **look)
        base = high
    panel.set_ylim(0, max(1, max(base) * 1.05))
    handles, labels = panel.get_legend_handles_labels()
    panel.legend(handles[::-1], labels[::-1], **LEGEND)  # in the order of the stack


def layer_label(use: Use) -> str:
    """The legend's text for one process of the stack."""
    bound = "at most " if use.unreadable else ""
    return f"{short(use.name, 34)} ({use.pid})\n    peak {bound}{mib(use.drawn)}"


def draw_comparison(figure: Figure, runs: Sequence[Run]) -> None:
    """Above one line of PSS a run, below its peak and end as bars."""
    notes = [f"{run.path}: {caveat}" for run in runs for caveat in caveats(run)]
    upper, lower = panels(figure, f"PSS of {len(runs)} runs", notes)
    unit, name = time_unit(max(run.end for run in runs))
    upper.set_xlabel(f"{name} since the start of each run")
    upper.set_ylabel("PSS, MiB")
    lower.set_xlabel("PSS, MiB")
    for n, run in enumerate(runs):
        colour, style = COMPARED[n % len(COMPARED)], ("-", "--", "-.", ":")[n % 4]
        values = [(point.totals["pss"] or 0) / MIB for point in run.points] or [0]
        times = [point.time / unit for point in run.points] or [0]
        look = {"color": colour, "linestyle": style, "linewidth": 2, "drawstyle": "steps-post"}
        label = f"{short(os.path.basename(run.path), 36)}\n    {short(run.title, 40)}"
        upper.plot([*times, run.end / unit], [*values, values[-1]], label=label, **look)
        metric = run.metrics["pss"]
        for shift, kind, size in ((-0.2, "peak", metric.peak), (0.2, "end", metric.end)):
            alpha = 1 if kind == "peak" else 0.5
            lower.barh(n + shift, (size or 0) / MIB, 0.38, color=colour, alpha=alpha)
            bound = "at most " if run.is_bound("pss") else ""
            text = f" {kind} {bound}{mib(size)}, {short(os.path.basename(run.path), 36)}"
            lower.text((size or 0) / MIB, n + shift, text, va="center", size=9)
    upper.set_ylim(0, None)
    upper.set_xlim(0, None)
    upper.legend(labelspacing=0.9, **LEGEND)
    lower.margins(x=0.4)
    lower.set_yticks(range(len(runs)))
    lower.set_yticklabels([])
    lower.invert_yaxis()


# ---------------------------------------------------------------- the command line

EXAMPLES = """\
examples:
  ./memory.py --cmd scratch3 --out graph.png
  ./memory.py --out graph.svg --csv samples.csv chromium --app=http://localhost:8601
  ./memory.py --pid $(pgrep -o scratch) --duration 60 --out graph.png
  ./memory.py --in before.csv after.csv --out compare.png
"""


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text}: must be a number of seconds above 0")
    return value


def picture(text: str) -> str:
    """The name of a picture that can be drawn, for argparse."""
    if os.path.splitext(text)[1].lower() not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text}: the ending must be one of {', '.join(FORMATS)}")
    return text


def parser() -> argparse.ArgumentParser:
    """The command line, as the README's table tells it."""
    result = argparse.ArgumentParser(
        prog="memory.py",
        usage="memory.py [options] COMMAND [ARG ...]  (or --cmd, --pid, --in)",
        description="How much memory a command and all its descendants use, over time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    add = result.add_argument_group("what to measure").add_argument
    add("words", nargs=argparse.REMAINDER, metavar="COMMAND ARG...", help="the command to measure")
    add("--cmd", metavar="COMMAND", help="the same in one word, split as a shell splits")
    add("--pid", metavar="PID", type=int, nargs="+", help="watch running processes instead")
    add("--in", metavar="CSV", nargs="+", dest="recordings", help="draw or compare recordings")
    add = result.add_argument_group("what to write, and how").add_argument
    add("--out", metavar="FILE", type=picture, help="the graph: .png, .svg or .pdf")
    add("--csv", metavar="FILE", help="the samples, written as they are taken")
    add("--json", metavar="FILE", help="the summary for programs; - is stdout")
    add("--interval", metavar="S", type=positive, default=0.1, help="seconds between samples (0.1)")
    add("--duration", metavar="S", type=positive, help="stop after S seconds; ends the command")
    add("--quiet", action="store_true", help="no status line, no summary")
    add("--version", action="version", version=f"memory.py {VERSION}", help="show the version")
    add("-h", "--help", action="help", help="show this help")
    return result


def command_words(options: argparse.Namespace) -> list[str]:
    """The command as words. Raises Problem for wrong usage."""
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    given = [options.cmd is not None, bool(words), bool(options.pid), bool(options.recordings)]
    if sum(given) != 1:
        raise Problem("give one of: COMMAND, --cmd, --pid, --in (see --help)", 2)
    if words and not words[0]:
        raise Problem("the command is empty", 2)
    if options.cmd is None:
        return words
    try:
        words = shlex.split(options.cmd)
        syntax = list(shlex.shlex(options.cmd, posix=False, punctuation_chars=True))
    except ValueError as error:
        raise Problem(f"--cmd {options.cmd}: {error}", 2) from None
    if not words or not words[0]:
        raise Problem("--cmd is empty", 2)
    if ASSIGNMENT_RE.match(words[0]) or any(SHELL_RE.search(token) for token in syntax):
        say("--cmd is run without a shell; if it needs one: --cmd \"sh -c '...'\"")
    return words


def check_outputs(options: argparse.Namespace) -> None:
    """Find out before the command starts what can be known to fail. Raises Problem."""
    paths = [p for p in (options.out, options.csv, options.json) if p and p != "-"]
    try:
        same = [os.path.realpath(path) for path in [*paths, *(options.recordings or ())]]
    except OSError as error:
        raise Problem(f"the current folder: {error.strerror}", 2) from None
    for path in paths:
        if same.count(os.path.realpath(path)) > 1:
            raise Problem(f"{path}: named twice; each file needs a name of its own", 2)
        folder = os.path.dirname(path) or "."
        if os.path.isdir(path):
            raise Problem(f"{path}: is a folder; name a file", 2)
        if not os.path.isdir(folder):
            raise Problem(f"{path}: there is no folder {folder}", 2)
        if not os.access(path if os.path.exists(path) else folder, os.W_OK):
            raise Problem(f"{path}: cannot be written", 2)
    if options.csv and options.recordings:
        raise Problem("--csv records a run; --in has none", 2)
    if options.csv and os.path.exists(options.csv) and not os.path.isfile(options.csv):
        raise Problem(f"{options.csv}: must be a regular file, since it is read again", 2)
    wanted = ([] if options.recordings else ["psutil"]) + (["matplotlib"] if options.out else [])
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        packages = " ".join(f"python3-{name}" for name in missing)
        words = f"{' and '.join(missing)} missing for {sys.executable}"
        raise Problem(f"{words}: apt install {packages} (or pip install {' '.join(missing)})")


def check_system() -> None:
    """Find out whether processes can be measured here. Raises Problem."""
    if not hasattr(os, "posix_spawnp"):
        raise Problem("on Windows there is only --in: recordings made elsewhere are drawn")
    if os.path.islink("/proc/self") and os.readlink("/proc/self") != str(os.getpid()):
        raise Problem("/proc is another pid namespace's: mount this one's (unshare --mount-proc)")


def watched_processes(pids: Sequence[int]) -> list[psutil.Process]:
    """The processes of --pid. Raises Problem when one is not there."""
    found = []
    for pid in pids:
        try:
            if os.path.exists("/proc/self/status"):  # a thread's id is none of a process
                text = read_file(f"/proc/{pid}/status")
                pid = int(re.search(rb"^Tgid:\s+(\d+)", text, re.M)[1])
            found.append(psutil.Process(pid))
        except (psutil.Error, OSError, ValueError, OverflowError):
            raise Problem(f"--pid {pid}: there is no such process", 2) from None
    return found


def measure(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Run and sample, then report from the recording. Returns the exit status."""
    check_system()
    watched = watched_processes(options.pid or ())
    try:
        recording = Recording(options.csv) if options.csv else Recording.beside(options.out)
    except OSError as error:
        raise Problem(f"{options.csv}: {error.strerror}", 2) from None
    session = Session(options, recording)
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    try:
        session.run(words, watched)
        recording.close()
        done = report([Run(recording.path)], options, sys.stderr) and not recording.failed
        if not done:
            say(f"the samples are kept: draw them again with --in {shlex.quote(recording.path)}")
        elif recording.temporary:
            os.unlink(recording.path)
    except KeyboardInterrupt as end:
        say(f"stopped; the samples are in {recording.path}: draw them with --in")
        return session.status or 128 + (end.args or [signal.SIGINT])[0]
    except Problem as problem:
        recording.close(keep=session.command is not None or bool(watched))
        if not (session.command or watched):
            raise
        say(str(problem))
        done = False
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return session.status or (0 if done else 125)


def report(runs: Sequence[Run], options: argparse.Namespace, stream: TextIO) -> bool:
    """Summary, JSON and graph. False when something could not be written, which is then said."""
    done = True
    if not options.quiet:
        tables = [summary(run) for run in runs] + ([comparison(runs)] if len(runs) > 1 else [])
        done = tell("\n\n".join(tables), stream) or not options.recordings
    if options.json:
        import json

        found = [run.as_json() for run in runs]
        text = json.dumps(found if len(runs) > 1 else found[0], indent=2)
        try:
            if options.json == "-":
                done = tell(text, sys.stdout) and done
            else:
                with open(options.json, "w", encoding="utf-8") as file:
                    file.write(text + "\n")
        except OSError as error:
            say(f"{options.json}: {error.strerror}")
            done = False
    if options.out:
        try:
            save_graph(runs, options.out)
        except Exception as error:  # whatever matplotlib raises: the samples must not be lost
            say(f"{options.out}: {error}")
            done = False
    return done


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, or draw recordings. Returns the exit status that the README's table tells."""
    options = parser().parse_args(argv)
    try:
        words = command_words(options)
        check_outputs(options)
        if not options.recordings:
            return measure(options, words)
        runs = [Run(path) for path in options.recordings]
        stream = sys.stderr if options.json == "-" else sys.stdout
        return 0 if report(runs, options, stream) else 125
    except Problem as problem:
        say(str(problem))
        return problem.status
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
