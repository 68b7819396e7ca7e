#!/usr/bin/env python3
"""How much memory a command and all its descendants use, over time.

    $ ./memory.py tests/tree.py --shared 100 --forks 4 --private 50 --rewrite 60 --seconds 5
                      peak            at          mean           end
    PSS          288.2 MiB         3.5 s     276.5 MiB     288.2 MiB
    ...

Data goes one way: command -> process tree -> samples -> CSV -> run -> summary and graph.
psutil lists the processes, /proc/PID/smaps_rollup (proc_pid_smaps(5)) has their sizes.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import importlib.util
import io
import itertools
import os
import re
import shlex
import signal
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TextIO

with contextlib.suppress(ImportError):  # not needed to draw a recording
    import psutil

VERSION = "1.2"
MIB = 2**20


class Problem(Exception):
    """A fatal error: one line for stderr, and the exit status."""


def mib(size: float | None, is_bound: bool = False) -> str:
    """A size in bytes as MiB: 1572864 -> '1.5 MiB'; '<=1.5 MiB' where it is an upper bound."""
    return "-" if size is None else f"{'<=' if is_bound else ''}{size / MIB:.1f} MiB"


def count(number: int, what: str, plural: str = "es") -> str:
    """'1 process', '2 processes'."""
    return f"{number} {what}" + ("" if number == 1 else plural)


def seconds(duration: float) -> str:
    """A duration as text: '12.0 s', '3 min 05 s'."""
    minutes, rest = divmod(round(duration), 60)
    return f"{duration:.1f} s" if minutes < 2 else f"{minutes} min {rest:02d} s"


def printable(text: str) -> str:
    """Text with control, format and undecodable characters escaped: 'a\\nb' -> 'a\\\\nb'."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write_text(text: str, stream: TextIO | None, end: str = "\n") -> bool:
    """Print text. False for a write error other than a closed pipe."""
    try:
        if stream:
            print(text, end=end, file=stream, flush=True)
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # or Python's flush at exit would fail too
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return isinstance(error, BrokenPipeError)
    return True


def say(message: str) -> None:
    write_text(f"memory.py: {printable(message)}", sys.stderr)


# ---------------------------------------------------------------- one process
# What the kernel says about a process: a pid goes in, sizes in bytes come out. PermissionError
# means that it may not be read, any other OSError that it has ended.

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
LIBC = ctypes.CDLL(None)
KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272}.get(os.uname().machine, 9999)  # kcmp(2)
SIZE_RE = re.compile(rb"^(\w+):\s+(\d+) kB$", re.M)
ROLE_RE = re.compile(r"(?:^| )--type=([\w-]+)(?:.* --utility-sub-type=([\w-]+))?")
INTERPRETER_RE = re.compile(r"-?(python|node|ruby|perl|php|lua|java|bash|dash|sh)[\d.]*$")
FILE_NAME_RE = re.compile(r"[\w./+@-]+")  # a script's, not the code after -c


class Memory(NamedTuple):
    """Memory of one process in bytes; all but RSS are None where they may not be read."""

    rss: int
    pss: int | None = None
    uss: int | None = None
    swap: int | None = None
    anon: int | None = None
    file: int | None = None
    shmem: int | None = None

    @property
    def part(self) -> int:
        """Its part of the sum of PSS: RSS where PSS could not be read."""
        return self.rss if self.pss is None else self.pss


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that are used (proc_pid_stat(5))."""

    state: str  # X also where there is no virtual memory: it is exiting, or a kernel thread
    ppid: int
    faults: int  # minor and major
    reaped: int  # faults of the children that it has waited for
    started: int  # in clock ticks since boot
    rss: int
    stack_start: int  # the same as its parent's until it execs; 0 where hidden


def read_file(path: str) -> bytes:
    """A /proc file: the kernel gives a long one in pieces."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(fd, 2**16), b""))
    finally:
        os.close(fd)


def read_stat(pid: int) -> Stat:
    """/proc/PID/stat of a process or thread."""
    after_name = read_file(f"/proc/{pid}/stat").rpartition(b")")[2]  # which may have blanks
    field = (b"- pid name" + after_name).split(None, 29)  # numbered as in proc_pid_stat(5)
    state = "X" if field[3] != b"Z" and field[23] == b"0" else field[3].decode()
    faults, reaped = int(field[10]) + int(field[12]), int(field[11]) + int(field[13])
    started, rss, stack_start = int(field[22]), int(field[24]) * PAGE_SIZE, int(field[28])
    return Stat(state, int(field[4]), faults, reaped, started, rss, stack_start)


def parse_sizes(data: bytes) -> dict[str, int]:
    """The lines 'Name: 123 kB' of /proc/PID/smaps_rollup or status, in bytes."""
    return {key.decode(): int(value) * 1024 for key, value in SIZE_RE.findall(data)}


def memory_of(sizes: dict[str, int]) -> Memory:
    """The sizes of smaps_rollup (Documentation/filesystems/proc.rst; Pss_*: since Linux 5.3)."""
    uss = sizes["Private_Clean"] + sizes["Private_Dirty"]
    names = ("SwapPss", "Pss_Anon", "Pss_File", "Pss_Shmem")
    return Memory(sizes["Rss"], sizes["Pss"], uss, *map(sizes.get, names))


def live_thread(pid: int) -> int | None:
    """A thread that still runs, the main thread if possible; None if there is none."""
    for tid in (pid, *map(int, os.listdir(f"/proc/{pid}/task"))):
        with contextlib.suppress(OSError):  # this one has just ended too
            if read_stat(tid).state not in "ZX":
                return tid
    return None


def uses_memory_of(tid: int, parent: int) -> bool:
    """Whether a child still runs in its parent's memory; after vfork(2) the parent waits for it."""
    if (answer := LIBC.syscall(KCMP, tid, parent, 1, 0, 0)) != -1:  # 1: KCMP_VM; -1: no answer
        return answer == 0
    same = read_file(f"/proc/{tid}/statm") == read_file(f"/proc/{parent}/statm")
    return same and any(read_stat(int(t)).state == "D" for t in os.listdir(f"/proc/{parent}/task"))


def process_name(cmdline: Sequence[str], comm: str) -> str:
    """A short name by role or script: 'chromium utility network', 'python3 tree.py'."""
    title = cmdline[0] if cmdline else ""  # one word, or all that setproctitle(3) has put there
    program = title.split(" --" if title.startswith("/") else " ")[0].rstrip(":")
    base = os.path.basename(program) or comm
    if role := ROLE_RE.search(" ".join(cmdline)):
        return " ".join([base, *filter(None, role.groups())])
    script = next((word for word in cmdline[1:] if not word.startswith("-")), "")
    is_script = INTERPRETER_RE.match(base) and FILE_NAME_RE.fullmatch(script)
    name = f"{base} {os.path.basename(script)}" if is_script else base
    known = comm in name or comm.startswith(base) or comm == "MainThread"
    return name if known else f"{name} ({comm})"  # a name of its own, by prctl(2)


# ---------------------------------------------------------------- the process tree
# Finds the processes: all descendants of the command, or given processes and theirs.

SCAN_SECONDS = 5  # for this long a pid found outside the tree is not looked at again


class Process:
    """A process of the tree: its last reading, and that carried forward to the last poll."""

    def __init__(self, handle: psutil.Process) -> None:
        self.handle = handle
        self.pid = self.tid = handle.pid  # tid: the thread to read through
        self.stat: Stat | None = None  # of the last poll
        self.read_at = time.monotonic()
        self.resident = 0, 0  # anonymous, mapped: the kernel's counters at the last poll
        self.excess = 0, 0  # of these counters over smaps_rollup, at the last reading
        self.reading: Reading | None = None
        self.memory: Memory | None = None  # the reading carried forward to the last poll
        self.uncertain = 0  # bytes by which its part of the sum of PSS may be off
        self.high_water = self.largest = 0  # RSS by the kernel's mark, and in the samples
        self.share = self.others = 0  # of the anonymous bytes that it shared when read: its, theirs
        self.state, self.parent = "", 0  # at the last poll: alive, X, Z; its parent's pid
        self.came_or_went = False  # since the poll before, or while it exits
        self.name = "?"
        self.update_name()

    def poll(self, known: dict[int, Process]) -> Stat | None:
        """Read /proc/PID/stat; None for a zombie or vfork child. OSError: it or self.tid ended."""
        stat, has_ended, self.tid = read_stat(self.pid), self.tid is None, self.pid
        state, self.parent = stat.state if stat.state in "ZX" else "alive", stat.ppid
        self.came_or_went, self.state = state == "X" or state != self.state, state
        if self.stat and stat.started != self.stat.started:
            raise ProcessLookupError("the pid belongs to another process now")
        if stat.state in "ZX":
            self.tid = None if has_ended else live_thread(self.pid)
            if self.tid is None:
                return None
            stat = read_stat(self.tid)._replace(started=stat.started)
        parent = None if self.reading else known.get(stat.ppid)  # once read, its memory is its own
        return None if parent and uses_memory_of(self.tid, parent.tid) else stat

    def carry(self) -> None:
        self.memory = carried(self.reading, *self.resident)
        self.uncertain = unexplained(self.reading, *self.resident, self.stat.faults)
        self.largest = max(self.largest, self.memory.rss)

    def update_name(self) -> None:
        """Read the name (again: a zygote turns into a renderer)."""
        with contextlib.suppress(OSError):
            words = os.fsdecode(read_file(f"/proc/{self.pid}/cmdline")[: 2**16])
            comm = os.fsdecode(read_file(f"/proc/{self.pid}/comm")).rstrip("\n")
            name = process_name(words.rstrip("\0").split("\0"), comm)
            self.name = printable(name)[:200] or "?"

    def is_alive(self) -> bool:
        with contextlib.suppress(OSError):
            return self.handle.is_running() and live_thread(self.pid) is not None
        return False


class Tree:
    """A command's descendants, or given processes and theirs; each stays until it ends."""

    def __init__(self, watched: Sequence[psutil.Process] = ()) -> None:
        self.of_command = not watched
        self.known = {handle.pid: Process(handle) for handle in watched}
        before = psutil.Process().children(recursive=True) if self.of_command else ()
        self.strangers = {child.pid for child in before}  # started before memory.py's exec
        self.outside: set[int] = set()  # pids that need not be looked at again
        self.scan_due = 0.0
        self.newest = b"", b""  # number of threads and last pid, as of the last two searches
        self.virtual = os.stat("/proc/loadavg").st_dev != os.stat("/proc/self").st_dev  # lxcfs's

    def find(self) -> None:
        """Take in new processes whose parent is known, or memory.py; then their children."""
        now, before = time.monotonic(), self.newest
        self.newest = before[1], read_file("/proc/loadavg").rpartition(b"/")[2]  # proc_loadavg(5)
        if self.newest == before and now < self.scan_due and not self.virtual:
            return  # if the same twice: a pid is taken shortly before its process is listed
        pids, parents = set(psutil.pids()), {}
        if now >= self.scan_due:
            self.scan_due = now + SCAN_SECONDS
            self.outside = {os.getpid(), *self.strangers}
        self.outside &= pids
        for pid in sorted(pids.difference(self.outside, self.known)):  # parents first: they may end
            with contextlib.suppress(OSError):  # gone already, or hidden
                parents[pid] = read_stat(pid).ppid
        above = {os.getpid(), *self.known} if self.of_command else set(self.known)
        while found := {pid for pid, parent in parents.items() if parent in above}:
            above = found
            for pid in found:
                del parents[pid]
                with contextlib.suppress(psutil.Error, OSError):
                    self.known[pid] = Process(psutil.Process(pid))
        self.outside.update(parents)

    def alive(self) -> list[Process]:
        """Search again, and return the processes that have not ended."""
        self.find()
        return [process for process in self.known.values() if process.is_alive()]


# ---------------------------------------------------------------- sampling
# To read smaps_rollup the kernel walks the page tables, some 17 us for each resident MiB, and
# holds up the process's own mmap calls meanwhile; /proc/PID/stat costs 10 us whatever the size.
# So every process is polled at every sample, and its last reading is carried forward by its RSS.
# The bytes that RSS and page faults leave open are added up; when they are worth it, all are read
# together, as only figures of one moment add up. What stays open is reported. Changes that give
# no sign (another program maps the same file) are seen at the next read.

WORTH_READING = 0.01  # uncertainty (share of PSS) above which to read, within READ_SHARE
WORTH_AT_PEAK = 0.002  # the same at a new peak, so that a peak is read and not estimated
MUST_READ = 0.02  # above this, read at up to half a core (a new peak: at any cost), or report it
NEGLIGIBLE = 2**19  # bytes that are never reported
READ_SHARE = 0.04  # of one core
REFRESH_SHARE = 0.005  # of one core: everything is read anew, or by mapping, at no higher cost
REFRESH_SECONDS = 1  # but no more often than this
READ_TRIES = 4  # where too much moves while it is read
READ_SECONDS = 0.2  # from the start of a sample; after that nothing is read again in it
COUNTER_ERROR = 2**20  # bytes by which the kernel's counters of RSS may change at rest
VMSTAT_RE = re.compile(rb"^(nr_mapped|thp_fault_alloc|thp_collapse_alloc) (\d+)$", re.M)
HUGE_PAGE = PAGE_SIZE * PAGE_SIZE // 8  # what one page of 8-byte page table entries maps


class Reading(NamedTuple):
    """Memory as it was read, and the counters of that moment, to carry it forward from."""

    memory: Memory
    anon: int  # resident bytes of anonymous memory
    mapped: int  # and of files and shared memory
    faults: int
    shared_anon: int  # anonymous bytes not in PSS: half or more of those shared (new fork: all)
    shared_swap: int = 0  # the same in swap, until it is swapped in
    blurred: int = 0  # bytes that are uncertain from the start: they moved while it was read


def carried(reading: Reading, anon: int, mapped: int) -> Memory:
    """Carry a reading forward: anonymous memory by its growth, mapped pages in proportion."""
    memory, grown = reading.memory, anon - reading.anon
    if memory.pss is None:
        return Memory(anon + mapped)
    scale = mapped / reading.mapped if reading.mapped else 1
    file, shmem = round(memory.file * scale), round(memory.shmem * scale)
    pss_anon = max(0, memory.anon + grown)
    pss = pss_anon + file + shmem
    uss = min(pss, max(0, memory.uss + grown))
    return Memory(anon + mapped, pss, uss, memory.swap, pss_anon, file, shmem)


def unexplained(reading: Reading, anon: int, mapped: int, faults: int) -> int:
    """Bytes by which the tree's PSS may differ from what is carried forward.

    Faults beyond the growth of anonymous memory may have replaced pages (copy on write). Pages
    replaced, freed or back from swap may have been shared; new mapped ones may be in PSS already.
    """
    if reading.memory.pss is None:
        return 0
    grown, more = anon - reading.anon, mapped - reading.mapped
    faulted = (faults - reading.faults) * PAGE_SIZE
    replaced = max(0, faulted - max(0, grown)) + max(0, -grown)
    in_pss = reading.memory.file + reading.memory.shmem
    ratio = min(1, in_pss / reading.mapped) if reading.mapped else 0
    # carried() adds new mapped pages in this ratio, though all of them or none may be new to PSS
    remapped = more * max(ratio, 1 - ratio) if more > 0 else min(-more, in_pss)
    swapped_in = min(max(0, grown), 2 * reading.shared_swap)
    return round(reading.blurred + min(replaced, 2 * reading.shared_anon) + remapped + swapped_in)


def full_read(process: Process) -> Reading:
    """Read smaps_rollup, and the counters to carry it forward from. Raises OSError."""
    sizes = parse_sizes(read_file(f"/proc/{process.tid}/smaps_rollup"))
    status = parse_sizes(read_file(f"/proc/{process.tid}/status"))
    stat = read_stat(process.tid)
    if "RssAnon" not in status or "Pss" not in sizes:
        raise ProcessLookupError("it is ending")
    memory, (old_anon, old_mapped) = memory_of(sizes), process.resident
    anon, mapped = sizes["Anonymous"], memory.rss - sizes["Anonymous"]
    counted = status["RssAnon"], status["RssFile"] + status["RssShmem"]
    before, process.excess = process.excess, (counted[0] - anon, counted[1] - mapped)
    changes = zip((*before, *process.resident), (*process.excess, *counted))
    if sum(abs(old - new) for old, new in changes) < COUNTER_ERROR:  # at rest: as polls see it
        anon, mapped = counted
    shared_anon = max(0, sizes["Anonymous"] - memory.anon - sizes.get("KSM", 0))
    shared_swap = min(sizes["Swap"], max(sizes["Swap"] - memory.swap, process.reading.shared_swap))
    reading = Reading(memory, anon, mapped, stat.faults, shared_anon, shared_swap)
    # What moved since the poll stays uncertain, as the others were read without it: as much PSS as
    # this reading makes of it or, if more, the one before, which still had what was freed
    polled = {"anon": old_anon, "mapped": old_mapped, "faults": process.stat.faults, "blurred": 0}
    at_poll = [one._replace(**polled) for one in (process.reading, reading)]
    moved = max(unexplained(one, anon, mapped, stat.faults) for one in at_poll)
    freed = max(0, old_anon - anon) + max(0, old_mapped - mapped)  # gone before it could be read
    process.share = min(memory.anon, memory.pss - memory.uss, shared_anon)
    process.others = shared_anon
    process.resident = anon, mapped
    process.stat = process.stat._replace(faults=stat.faults, rss=anon + mapped)
    process.high_water = max(process.high_water, status["VmHWM"])
    return reading._replace(blurred=max(moved, min(freed, process.uncertain)))


class Poller:
    """Polls the processes of a tree, and carries forward what was read of them."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.unassigned = 0  # uncertain bytes that belong to no single process
        self.largest = self.kernel_peak = 0  # largest RSS of one process: sampled, by the kernel
        self.polled_at = 0.0  # the last poll: what was read is carried forward to there
        self.missed = (0, 0, 0, 0, "")  # most unseen RSS: mark - sampled, mark, sampled; pid, name

    def poll(self) -> list[Process]:
        """Find the processes and carry each forward to now. Returns those with memory."""
        self.tree.find()
        for process in list(self.tree.known.values()):
            try:
                self.follow(process, process.poll(self.tree.known))
            except OSError:  # perhaps only the thread that it is read through has ended
                if not process.is_alive():
                    self.end(process)
                    del self.tree.known[process.pid]
        self.polled_at = time.monotonic()
        return [process for process in self.tree.known.values() if process.memory]

    def follow(self, process: Process, stat: Stat | None) -> None:
        """Carry a process forward to what a poll saw. None: it has no memory of its own."""
        if process.came_or_went:
            self.note_fork(self.tree.known.get(process.parent))
        if stat is None:
            self.end(process)
            return
        before, process.stat = process.stat, stat
        if before and stat.reaped != before.reaped:  # a fork that was not seen
            self.note_fork(process)
        if process.reading and stat.stack_start != before.stack_start:  # an exec
            self.end(process)
        if process.reading and (stat.rss, stat.faults) == (before.rss, before.faults):
            return
        _, rss, mapped, *_ = map(int, read_file(f"/proc/{process.tid}/statm").split())  # in pages
        process.resident = (rss - mapped) * PAGE_SIZE, mapped * PAGE_SIZE
        if not process.reading:
            process.update_name()
            process.reading = self.first_reading(process)
        process.carry()

    def note_fork(self, parent: Process | None) -> None:
        """A fork that came or went while its parent was read may have had a share of its memory."""
        if parent and parent.read_at > self.polled_at:
            share = min(parent.share, parent.others)
            parent.others -= share  # all its forks together have no more
            self.unassigned += share

    def first_reading(self, process: Process) -> Reading:
        """PSS 0, to be carried forward by growth; what a fork shares is in its origin's PSS."""
        stat, known, shared = process.stat, self.tree.known, 0
        others = [one for one in (known.get(stat.ppid), *known.values()) if one and one.reading]
        # It has its origin's stack until it execs: the parent's, or another's if that has ended
        origin = next((one for one in others if one.stat.stack_start == stat.stack_start), None)
        if origin and stat.stack_start:  # all is shared, until a fault of either copies it
            anon, memory = origin.resident[0], origin.reading.memory
            if memory.uss is not None:  # only files stay private: carry() adds the growth
                files = max(0, origin.memory.uss - origin.memory.anon)
                memory = memory._replace(uss=files - (anon - origin.reading.anon))
            origin.reading = origin.reading._replace(memory=memory, shared_anon=anon)
            origin.carry()
            shared = min(process.resident[0], anon)
            if origin.pid != stat.ppid:  # perhaps not its fork: stacks are not always randomised
                self.unassigned += shared
        return Reading(Memory(stat.rss, 0, 0, 0, 0, 0, 0), shared, 0, 0, shared)

    def end(self, process: Process) -> None:
        """Drop its memory. What it shared is uncertain until a read: others may still have it."""
        self.note_high_water(process, process.largest)
        memory = process.reading and process.reading.memory
        if memory and memory.pss is not None:
            self.unassigned += max(0, memory.pss - memory.uss)
        process.reading = process.memory = None
        process.uncertain = process.largest = process.high_water = 0

    def note_high_water(self, process: Process | Command, seen: int) -> None:
        """Keep the kernel's highest mark of RSS, and the one furthest above the RSS in samples."""
        mark, self.largest = process.high_water, max(self.largest, seen)
        self.kernel_peak = max(self.kernel_peak, mark)
        if seen and self.tree.of_command:  # with --pid the mark may predate the start
            self.missed = max(self.missed, (mark - seen, mark, seen, process.pid, process.name))


class Sampler(Poller):
    """Decides when to read: PSS is off by MUST_READ at most, or its uncertainty is reported."""

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self.total = self.peak = 0  # PSS: of the last sample, and the largest so far
        self.uncertain = 0  # bytes by which the total may be off; 0 if within the limit
        self.refused = ""  # why PSS could not be read
        self.huge_pages = self.mapped = 0  # /proc/vmstat's counts of pages at the last poll
        self.outsiders_share = 0  # anonymous memory shared with processes outside the tree
        self.read_cost = self.read_end = 0.0  # of the last read: CPU seconds, time

    def sample(self, everything: bool = False) -> list[Process]:
        """Poll all processes; read all if that is worth it, or asked for. Returns the living."""
        now = time.monotonic()
        living = self.poll()
        self.count_pages(living)
        self.total, uncertain, limit = self.sums(living)
        at_peak, since = self.total > self.peak, now - self.read_end
        threshold = self.total * (WORTH_AT_PEAK if at_peak else WORTH_READING)
        too_old = since > max(REFRESH_SECONDS, self.read_cost / REFRESH_SHARE)
        worth_it = uncertain > threshold and since > self.read_cost / READ_SHARE
        must = uncertain > limit and (at_peak or since > self.read_cost)  # half a core at most
        if everything or too_old or worth_it or must:
            self.read_all(living, now)
            self.total, uncertain, limit = self.sums(living)
        self.uncertain = uncertain if uncertain > limit else 0
        self.peak = max(self.peak, self.total)
        return living

    def sums(self, living: Sequence[Process]) -> tuple[int, int, float]:
        """The sum of PSS, its uncertainty, and the uncertainty allowed, in bytes."""
        total = sum(process.memory.part for process in living)
        uncertain = self.unassigned + sum(process.uncertain for process in living)
        new = [p for p in living if p.memory.pss is not None and not p.reading.mapped]
        mapped = sum(process.resident[1] for process in new)  # all open; the machine has no more
        uncertain -= max(0, mapped - self.mapped * PAGE_SIZE)
        return total, uncertain, max(NEGLIGIBLE, total * MUST_READ)

    def count_pages(self, living: Sequence[Process]) -> None:
        """Count new huge pages as uncertain: one fault may copy HUGE_PAGE bytes, or hide copies."""
        counts = {key: int(value) for key, value in VMSTAT_RE.findall(read_file("/proc/vmstat"))}
        before, self.mapped = self.huge_pages, counts.pop(b"nr_mapped")
        self.huge_pages = sum(counts.values())
        shared = sum(process.reading.shared_anon for process in living)
        self.unassigned += min(shared, (self.huge_pages - before) * HUGE_PAGE)

    def read_all(self, living: list[Process], now: float) -> None:
        """Read all processes together, and again if too much has changed meanwhile."""
        cpu = time.process_time()
        for _ in range(READ_TRIES):
            self.unassigned = 0
            for process in reversed(living):  # children first: a fork blocks reads of its parent
                self.read_one(process)
            self.read_end = time.monotonic()
            most = max((p.share + p.others for p in living), default=0)
            hidden = sum(p.memory.rss for p in living if p.memory.pss is None)  # may share it
            # If one shares more than all others have, a fork was missed or (--pid) is outside
            unmatched = max(0, most - sum(p.share for p in living) - hidden)
            living[:] = self.poll()  # drops those that have ended, and carries the others forward
            self.unassigned = max(self.unassigned, unmatched - self.outsiders_share)
            self.outsiders_share = 0 if self.tree.of_command else unmatched
            self.count_pages(living)
            _, uncertain, limit = self.sums(living)
            if uncertain <= limit or self.read_end - now > READ_SECONDS:
                break
        self.read_cost = time.process_time() - cpu

    def read_one(self, process: Process) -> None:
        """Read one process, unless it has ended meanwhile: then the next poll drops it."""
        try:
            process.reading, process.read_at = full_read(process), time.monotonic()
        except PermissionError as error:
            self.refused = error.strerror
            process.reading = process.reading._replace(memory=Memory(sum(process.resident)))
        except OSError:
            return
        process.update_name()
        process.carry()


# ---------------------------------------------------------------- what it is made of
# /proc/PID/smaps (proc_pid_smaps(5)) has PSS by mapping, and costs two to three smaps_rollups: it
# is read when the sum is well above that of the last time, and at an end that is asked for.

WELL_ABOVE, WELL_BELOW = 1.2, 0.95  # below it a fork was missed, which has half its parent's PSS
MAPPINGS_KEPT = 250  # the largest ones; of their names the last 200 characters
MAPPING_SIZES_RE = re.compile(rb"\n(?:Pss|Anonymous|SwapPss): +(\d+) kB")  # in this order
IN_RAM_RE = re.compile(rb"^\d+ \d+ (\d+):(\d+) .* - (?:dev)?tmpfs ", re.M)  # of mountinfo
SHARED_RE = re.compile(r"/memfd:|/dev/shm/|/SYSV|/dev/zero\b|/dmabuf|\[anon_shmem:")
RANDOM_RE = re.compile(r"(?<=\.)\w{6}(?= \(deleted\)$)")  # of mkstemp(3)


def mappings_of(pid: int) -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    """Kind and name of each mapping; PSS, its anonymous part and swap in bytes. Raises OSError."""
    text, mounts = b"\n", read_file(f"/proc/{pid}/mountinfo") + read_file("/proc/self/mountinfo")
    in_ram = {b"%02x:%02x" % tuple(map(int, device)) for device in IN_RAM_RE.findall(mounts)}
    with open(f"/proc/{pid}/smaps", "rb") as file:
        while piece := file.read(2**14):
            *mappings, text = (text + piece).split(b"\nVmFlags:")  # the last line of each
            for mapping in mappings:
                pss, anon, swap = (int(size) * 1024 for size in MAPPING_SIZES_RE.findall(mapping))
                fields = mapping.split(b"\n", 2)[1].split(None, 5)  # the 4th: device; 6th: path
                name = os.fsdecode(b"".join(fields[5:])) or "anonymous"
                kind = "file" if name.startswith("/") else "anonymous"
                if fields[3] in in_ram or SHARED_RE.match(name):
                    kind, name = "shared", RANDOM_RE.sub("XXXXXX", name)
                yield kind, name, (pss, min(pss, anon), swap)


def by_mapping(tree: Tree, total: int, end: float) -> str:
    """PSS by mapping over all processes: the text of the "made of" comment, "" for none."""
    stacks = {one.stat.stack_start for one in tree.known.values() if one.memory}  # a fork has it
    for _ in range(READ_TRIES):  # until they add up to about the total
        tree.find()
        found = collections.defaultdict(lambda: [0, 0, 0])
        for one in reversed(tree.known.values()):
            try:
                stat = one.poll(tree.known)
                if stat and stat.stack_start in stacks:  # no vfork child, no exec since the poll
                    for kind, name, sizes in mappings_of(one.tid):
                        found[kind, name] = [a + b for a, b in zip(found[kind, name], sizes)]
            except OSError as error:  # not readable; or ended: then its part is in the rest
                if isinstance(error, PermissionError) and one.memory:
                    found["unreadable", "not readable"][0] += one.memory.part
        size = sum(pss for pss, *_ in found.values())
        if WELL_BELOW * total < size < WELL_ABOVE * total or time.monotonic() > end:
            break
    rows = sorted(((sizes, key) for key, sizes in found.items() if sizes[0]), reverse=True)
    texts = []
    for (pss, anon, swap), (kind, name) in rows[:MAPPINGS_KEPT]:
        name = printable(name)[-200:].replace('"', '""')
        texts.append(f'{kind} {pss} {anon} {swap} "{name}"')
    return ", ".join(texts)


# ---------------------------------------------------------------- the recording
# Samples go to a CSV file as they are taken, so that nothing is lost with memory.py.

HEADER = ",".join(("time", "pid", "process", *Memory._fields, "age")) + "\n"
MAX_LINE = 2**17  # characters; the longest row has some 600, what it is made of 120,000
TEMPORARY_FOLDER = "/var/tmp" if os.access("/var/tmp", os.W_OK) else "/tmp"  # often in RAM


class Recording:
    """The CSV of a run: comments, header, a block of rows per sample, comments."""

    def __init__(self, path: str | None, out: str | None) -> None:
        """The file of --csv, else a hidden one beside --out or in /var/tmp. Raises OSError."""
        self.temporary, self.failed = path is None, False
        if path is None:
            folder, name = os.path.split(os.path.abspath(out or f"{TEMPORARY_FOLDER}/memory"))
            folder = folder if os.access(folder, os.W_OK) else TEMPORARY_FOLDER
            path = os.path.join(folder, f".{name}.{os.getpid()}.{time.time_ns()}.csv")
        self.path, self.created = path, not os.path.lexists(path)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600 if self.temporary else 0o666)

    def begin(self, command: str, interval: float) -> None:
        """Truncate the file and write the header, once the command runs."""
        kernel, total, cpus = os.uname(), mib(psutil.virtual_memory().total), os.cpu_count()
        os.ftruncate(self.fd, 0)
        self.comment("command", command)
        self.comment("start", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self.comment("interval", f"{interval:g}")
        if not os.access("/proc/1/stat", os.R_OK):  # mounted with hidepid, proc(5)
            self.comment("hidden", "other users' processes")
        self.comment("system", f"Linux {kernel.release} {kernel.machine}, {total}, {cpus} CPUs")
        self.comment("version", f"memory.py {VERSION}")
        self.write(HEADER)

    def comment(self, key: str, value: object) -> None:
        self.write(f"# {key}: {printable(str(value))}"[: MAX_LINE - 1] + "\n")

    def sample(self, now: float, begin: float, living: Sequence[Process], system: int) -> None:
        """The rows of a sample that began at `begin` (monotonic); the system's completes it."""
        lines = []
        for process in living:
            name, passed = process.name.replace('"', '""'), max(0, begin - process.read_at)
            age = "" if process.memory.pss is None else f"{passed:.3f}" if passed else "0"
            sizes = ",".join(map(str, process.memory)).replace("None", "")
            lines.append(f'{now:.3f},{process.pid},"{name}",{sizes},{age}\n')
        self.write("".join(lines) + f'{now:.3f},0,"system",{system},,,,,,,0\n')

    def write(self, text: str) -> None:
        """Write at once; where that fails (a full disk), go on in another place."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data and not self.failed:
                data = data[os.write(self.fd, data) :]
        except OSError as error:
            self.move(f"{self.path}: {error.strerror}", data)

    def close(self) -> None:
        """Close the file; if it was removed or replaced meanwhile, save a copy elsewhere."""
        if not (os.path.exists(self.path) and os.path.samefile(self.path, self.fd)):
            self.move(f"{self.path} has been removed or replaced", b"")
        os.close(self.fd)

    def move(self, why: str, rest: bytes) -> None:
        """Copy all to a new file in /var/tmp and go on there; if that fails, stop recording."""
        path = os.path.join(TEMPORARY_FOLDER, f"memory.{os.getpid()}.{time.time_ns()}.csv")
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with open(f"/proc/self/fd/{self.fd}", "rb") as old, open(fd, "wb") as new:
                new.writelines(itertools.chain(old, [rest]))
                new.flush()
                os.dup2(fd, self.fd, inheritable=False)
        except OSError:
            say(f"{why}; samples from here on are not recorded")
            self.failed, useless = True, path
        else:
            say(f"{why}; the samples are in {path}")
            useless = self.path if self.temporary else ""
            self.path, self.temporary = path, False
        with contextlib.suppress(OSError):
            os.unlink(useless)


# ---------------------------------------------------------------- one measurement
# Starts the command; samples at fixed times until its tree ends, a signal comes, or time is up.

SI_KERNEL = 128  # sigaction(2): a Ctrl-C, which the whole foreground process group got
SIGNALS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # unless ignored (nohup)
TERM_SECONDS = 5  # from one step of ending a command to the next
FREE_PER_CPU_RE = re.compile(rb"^ +count: +(\d+)$", re.M)  # in /proc/zoneinfo


class Command:
    """The command, a child of memory.py. The only place that waits for children."""

    def __init__(self, argv: Sequence[str], signal_mask: Iterable[int]) -> None:
        """Start it in memory.py's group. Raises Problem: 127, not found; 126, not executable."""
        self.name = os.path.basename(argv[0])
        self.status: int | None = None  # as a shell has it: 128 + n when a signal ended it
        self.high_water = 0  # RSS, of it, orphans, and what they waited for
        LIBC.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        signals = {"setsigmask": signal_mask, "setsigdef": [signal.SIGPIPE, signal.SIGXFSZ]}
        try:
            self.pid = os.posix_spawnp(argv[0], argv, os.environ, **signals)
        except OSError as error:
            hint = f"; in quotes: --cmd {shlex.quote(argv[0])}" if " " in argv[0] else ""
            status = 127 if isinstance(error, FileNotFoundError) else 126
            raise Problem(f"{argv[0]}: {error.strerror}{hint}", status) from None
        self.inherited = parse_sizes(read_file("/proc/self/status"))["VmHWM"]  # in ru_maxrss too

    def reap(self, strangers: set[int]) -> bool:
        """Reap all that has ended. True when no child is left: orphans become memory.py's."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return False
                if pid == self.pid and self.status is None:
                    code = os.waitstatus_to_exitcode(status)
                    self.status = code if code >= 0 else 128 - code
                if (mark := usage.ru_maxrss * 1024) > self.inherited and pid not in strangers:
                    self.high_water = max(self.high_water, mark)
        return True

    def send(self, number: int) -> None:
        if self.status is None:
            with contextlib.suppress(OSError):  # it runs as another user now
                os.kill(self.pid, number)


def memory_in_use() -> int:
    """MemTotal - MemAvailable, less the free pages in each CPU's lists (up to an eighth of all)."""
    sizes = parse_sizes(read_file("/proc/meminfo"))
    pages = sum(map(int, FREE_PER_CPU_RE.findall(read_file("/proc/zoneinfo"))))
    return sizes["MemTotal"] - sizes["MemAvailable"] - pages * PAGE_SIZE


def named(processes: Iterable[Process]) -> str:
    """'sh (12), sleep (13)'."""
    return ", ".join(f"{process.name} ({process.pid})" for process in processes)


class StatusLine:
    """The line on the terminal that is rewritten in place."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted and os.isatty(2)
        self.due = 0.0  # when to redraw it; 0 while it is not on the screen

    def show(self, now: float, living: Sequence[Process], sampler: Sampler) -> None:
        """Redraw it when due, if memory.py is in the terminal's foreground."""
        with contextlib.suppress(OSError):  # the terminal has gone
            if self.wanted and now >= self.due and os.tcgetpgrp(2) == os.getpgrp():
                rss = sum(process.memory.rss for process in living)
                line = f"{now:.1f} s  {count(len(living), 'process')}  PSS {mib(sampler.total)}"
                line += f" (peak {mib(sampler.peak)})  RSS {mib(rss)}"
                self.clear()
                write_text(line[: os.get_terminal_size(2).columns - 1], sys.stderr, end="")
                self.due = now + 0.4

    def clear(self) -> None:
        if self.due:
            write_text("\r\033[K", sys.stderr, end="")
        self.due = 0.0


class Session:
    """One measurement: takes the samples, and handles the signals that end it."""

    def __init__(self, options: argparse.Namespace, recording: Recording) -> None:
        self.recording, self.interval, self.duration = recording, options.interval, options.duration
        undisturbed = options.pid or not (os.isatty(0) or os.isatty(1))  # no command on the tty
        self.line = StatusLine(undisturbed and not (options.quiet or options.no_status))
        self.signals = {n for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
        self.last_request = 0, 0.0  # the last signal that asked for the end, and when
        self.ended = ""  # why the measuring is over: end, duration, signal, stopped
        self.status = self.due = 0  # the exit status; samples due so far
        self.sampled = 0.0  # time of the last sample: no two have the same
        self.mappings_due = 0.0, 0.0  # above which PSS, and when, to read it by mapping again
        self.announced = False  # the survivors; run() sets tree, base, start, cpu, command, sampler

    def run(self, argv: list[str], watched: list[psutil.Process], mask: Iterable[int]) -> None:
        """Start the command (or take the watched processes), sample to the end, record it."""
        self.tree, self.base = Tree(watched), memory_in_use()
        self.start, self.cpu = time.monotonic(), time.process_time()
        self.command = Command(argv, mask) if argv else None
        self.sampler = Sampler(self.tree)
        self.recording.begin(shlex.join(argv) or named(self.tree.known.values()), self.interval)
        while not self.ended:  # woken by a signal, or at start + k * interval for a sample
            due_at = min(self.due * self.interval, self.duration)
            info = signal.sigtimedwait(self.signals, max(0, self.start + due_at - time.monotonic()))
            now = time.monotonic() - self.start
            if info and info.si_signo != signal.SIGCHLD:
                self.handle(info)
            if not self.ended and self.command and self.over():  # perhaps by that signal
                self.ended = "end"
            if self.ended == "signal" or (not self.ended and now >= due_at):
                self.due = max(self.due, int(now / self.interval)) + 1  # missed ones were due too
                self.sample()
        self.line.clear()
        finish(self)

    def over(self) -> bool:
        """Reap. Whether all have ended: if strangers remain as children, the tree tells."""
        none_left = self.command.reap(self.tree.strangers)
        ended = self.command.status is not None  # reap() sets it
        return none_left or (ended and bool(self.tree.strangers) and not self.tree.alive())

    def sample(self) -> None:
        """Take one sample and record it, with PSS by mapping where that is due."""
        begin = time.monotonic()
        last = self.ended == "signal" or begin - self.start >= self.duration
        sampler, (above, at) = self.sampler, self.mappings_due
        with_mappings = last or (sampler.total >= above and begin >= at)
        living = sampler.sample(everything=with_mappings)
        now = self.sampled = max(sampler.polled_at - self.start, self.sampled + 0.001)
        if with_mappings:
            cpu = time.process_time()
            mappings = by_mapping(self.tree, sampler.total, begin + READ_SECONDS)
            cost = time.process_time() - cpu
            self.mappings_due = sampler.total * WELL_ABOVE, time.monotonic() + cost / REFRESH_SHARE
            if mappings:
                self.recording.comment("made of", f"{now:.3f} {sampler.total}: {mappings}")
        if sampler.uncertain:
            self.recording.comment("uncertain", f"{now:.3f} {sampler.uncertain}")
        self.recording.sample(now, begin, living, memory_in_use() - self.base)
        self.line.show(now, living, sampler)
        if last:
            self.ended = self.ended or "duration"
            self.recording.comment("ending", f"{now:.3f}")
        elif not self.command and not living:
            self.ended = "end"
        elif self.command and self.command.status is not None and living and not self.announced:
            self.announced = True
            self.line.clear()
            ended = f"{self.command.name} has ended with status {self.command.status}"
            say(f"{ended}; still running: {named(living)}; Ctrl-C stops measuring")

    def handle(self, info: signal.struct_siginfo) -> None:
        """A signal that asks for the end: see "Ending a run" in the README."""
        now, number = time.monotonic(), info.si_signo
        from_terminal = number == signal.SIGINT and info.si_code == SI_KERNEL
        earlier, asked_at = self.last_request
        if earlier == number and now - asked_at < 0.2 and not from_terminal:
            return  # timeout(1) sends it to its child, and then to its group
        self.last_request = number, now
        if not self.command or self.command.status is not None:
            self.ended = "signal"
        elif earlier:
            self.ended, self.status = "stopped", 128 + number
            self.line.clear()
            say(f"stopped; left running: {named(self.tree.alive()) or 'nobody'}")
        else:
            self.recording.comment("ending", f"{now - self.start:.3f}")
            if not from_terminal:
                self.command.send(number)


def finish(session: Session) -> None:
    """End the command if --duration is over, and write the end of the recording."""
    command, sampler, comment = session.command, session.sampler, session.recording.comment
    duration, cpu = time.monotonic() - session.start, time.process_time() - session.cpu
    session.status = session.status or (command and command.status) or 0  # None: still running
    killed = command and session.ended == "duration" and end_command(session)
    if killed or session.ended == "end":
        comment("system after", memory_in_use() - session.base)
    comment("unreadable", sampler.refused)
    for process in session.tree.known.values():
        sampler.note_high_water(process, process.largest)
    if command:
        sampler.note_high_water(command, sampler.largest)
    comment("kernel peak rss", sampler.kernel_peak or "")
    comment("between samples", " ".join(map(str, sampler.missed[1:])))
    comment("samples due", max(session.due, int(duration / session.interval)))
    comment("own cpu seconds", f"{cpu:.3f}")
    comment("own peak rss", parse_sizes(read_file("/proc/self/status"))["VmHWM"])
    comment("exit status", session.status if command else "")
    comment("duration", f"{duration:.3f}")
    if command and session.ended == "end" and duration < 3 and session.status < 128:
        hint_running_instance(command.name)


def end_command(session: Session) -> bool:
    """Send SIGTERM to the command, then to all, then SIGKILL. Returns whether all have ended."""
    session.command.send(signal.SIGTERM)  # it can end its own children
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        signalled: set[Process] = set()
        deadline = time.monotonic() + TERM_SECONDS
        while time.monotonic() < deadline:  # or until a signal
            for process in set(session.tree.alive() if number else ()) - signalled:  # new ones too
                signalled.add(process)
                with contextlib.suppress(psutil.Error, OSError):  # gone, or another user's
                    process.handle.send_signal(number)
            if session.over():
                return True
            info = signal.sigtimedwait(session.signals, 0.1)
            if info and info.si_signo != signal.SIGCHLD:
                break
    say(f"could not be ended: {named(session.tree.alive())}")
    return False


def hint_running_instance(name: str) -> None:
    """Name a running instance that may have taken over: one with children, no interpreter."""
    same = [p for p in psutil.process_iter(["name", "ppid"]) if p.info["name"] == name]
    parents = {p.pid for p in same} & {p.info["ppid"] for p in same}
    if parents and not INTERPRETER_RE.match(name):
        say(f"another {name} may have taken over; to measure it: memory.py --pid {min(parents)}")


# ---------------------------------------------------------------- reading a recording
# A CSV goes in, a Run comes out: all that the summary, the JSON and the graph show.

METRICS = {  # name, what it is, look of its curve
    "pss": ("PSS", "shared pages divided: the true sum", ("#000000", "-", 2.4)),
    "uss": ("USS", "private pages alone", ("#0072B2", "-.", 1.6)),
    "rss": ("RSS", "shared pages counted in each process", ("#D55E00", "-", 1.3)),
    "swap": ("swap", "swapped PSS", ("#CC79A7", ":", 2.2)),
    "system": ("system", "change of all memory in use", ("#117733", "--", 1.4)),
}
KINDS = {"anon": "anonymous", "file": "file-backed", "shmem": "shared"}
ROW = r'(\d{1,9}\.\d{1,9}),(\d{1,9}),"((?:[^"]|"")*)",(-?\d{1,18})' + r",(\d{0,18})" * 6
ROW_RE = re.compile(ROW + r",(\d{0,9}(?:\.\d{1,9})?)\n", re.ASCII)  # bounded numbers
NUMBER_RE = re.compile(r"(?:\S+ )?(-?\d{1,18}(?:\.\d{1,9})?)", re.ASCII)
MADE_OF_RE = re.compile(r"(\d{1,9}\.\d{1,9}) ([1-9]\d{0,17}): (.*)", re.ASCII)
MAPPING = r'(file|anonymous|shared|unreadable) (\d{1,18}) (\d{1,18}) (\d{1,18}) "((?:[^"]|"")*)"'
EXIT_SECONDS = 2  # a tree may take this long to exit: "end" is the largest sample of that time
MAX_POINTS = 3000  # of the graph
MAX_USES = 10000  # processes told apart in one run; of more, the smallest are only counted


class Sample(NamedTuple):
    """One sample; a process's key is its pid and the time at which it was first seen."""

    time: float
    memories: dict[tuple[int, float], Memory]
    names: dict[tuple[int, float], str]
    totals: dict[str, float]  # all its numbers that are known, by name


def number_in(meta: dict[str, str], key: str) -> float | None:
    """The number that a comment ends with; None where there is none or an absurd one."""
    match = NUMBER_RE.fullmatch(meta.get(key, ""))
    if not match or (match[1][0] == "-" and key != "system after"):
        return None
    return float(match[1]) if "." in match[1] else int(match[1])


def data_lines(path: str, meta: dict[str, str]) -> Iterator[str]:
    """The header and rows; comments go into meta as they are reached between them."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:  # or with a BOM
            for line in iter(lambda: file.readline(MAX_LINE), ""):
                if line.startswith("#") and line.endswith("\n"):
                    key, _, value = line[1:].partition(":")
                    meta[key.strip()] = printable(value.strip())
                else:
                    yield line
    except OSError as error:  # a failing disk too
        raise Problem(f"{path}: {error.strerror}", 2) from None


def samples_of(path: str, meta: dict[str, str]) -> Iterator[Sample]:
    """The complete samples of a recording, up to any damage: meta["cut"] says where that is."""
    lines = data_lines(path, meta)
    header = next(lines, "")  # may be cut off: then no rows follow
    if not (HEADER.startswith(header) or header.startswith("#")):
        raise Problem(f"{path}: not a recording of memory.py (made with --csv)", 2)
    last, keys = 0.0, {}  # of the sample before: a pid that was not in it is a new process
    memories, names, age = {}, {}, 0.0
    for place, line in enumerate(lines, 1):
        row = ROW_RE.fullmatch(line)
        if not row or float(row[1]) < last or (int(row[2]) and row[4][0] == "-"):
            meta["cut"] = f"row {place} is cut off or damaged"
            return
        now, pid = float(row[1]), int(row[2])
        if pid:
            key = keys.get(pid, (pid, now))
            sizes = (int(size) if size else None for size in row.groups()[3:10])
            memories[key], names[key] = Memory(*sizes), row[3].replace('""', '"')
            age = max(age, float(row[11] or 0))
        else:
            others = {"processes": len(memories), "age": age, "system": int(row[4])}
            others["uncertain"] = number_in(meta, "uncertain")
            meta["uncertain"] = ""  # it was this sample's only
            yield Sample(now, memories, names, totals_of(memories.values(), others))
            last, keys = now, {key[0]: key for key in memories}
            memories, names, age = {}, {}, 0.0


def totals_of(memories: Iterable[Memory], others: dict[str, float | None]) -> dict[str, float]:
    """The sum of each metric, and the others, where known; RSS stands in for PSS and USS."""
    totals = {name: value for name, value in others.items() if value is not None}
    for memory in memories:
        uss = memory.rss if memory.uss is None else memory.uss
        for name, size in zip(METRICS, (memory.part, uss, memory.rss, memory.swap)):  # in its order
            if size is not None:
                totals[name] = totals.get(name, 0) + size
    return totals


class Run:
    """What a recording shows. Raises Problem when it is none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.meta: dict[str, str] = {}  # its comments
        # peak, mean and end of each number that a sample has, as in the JSON
        self.metrics: dict[str, dict] = {"processes": {"peak": 0}, "age": {"peak": 0}}
        self.areas, self.spans = collections.Counter(), collections.Counter()  # for means
        self.uses: dict[tuple[int, float], dict] = {}  # of the processes, as in the JSON
        self.samples = self.unreadable = self.forgotten = 0  # the last two count processes
        self.peak = self.last = Sample(0.0, {}, {}, {})  # the one of largest PSS, and the last
        self.recent: list[Sample] = []  # of EXIT_SECONDS, each larger in PSS than all after it
        for sample in samples_of(path, self.meta):
            self.integrate(sample.time)
            self.add(sample)
        self.end = max(self.last.time, number_in(self.meta, "duration") or 0)
        self.integrate(self.end)
        self.finish()
        self.figures = run_to_dict(self)
        self.points = points_of(self)

    def integrate(self, until: float) -> None:
        """Integrate the last sample's values up to this time, for the means."""
        for name, value in self.last.totals.items():
            self.areas[name] += value * (until - self.last.time)
            self.spans[name] += until - self.last.time

    def add(self, sample: Sample) -> None:
        """Keep the peaks; a process's peak of PSS is None where one sample could not read it."""
        self.last, self.samples = sample, self.samples + 1
        for name, value in sample.totals.items():
            if name not in self.metrics or value > self.metrics[name]["peak"]:
                self.metrics[name] = {"peak": value, "peak_time": sample.time}
                self.peak = sample if name == "pss" else self.peak
        if sample.memories and "ending" not in self.meta:  # no such comment before this sample
            pss, since = sample.totals["pss"], sample.time - EXIT_SECONDS
            self.recent = [s for s in self.recent if s.totals["pss"] > pss and s.time > since]
            self.recent.append(sample)
        new = {"peak_rss": 0, "peak_part": 0, "peak_pss": 0}
        for key, memory in sample.memories.items():
            use = self.uses.setdefault(key, {"pid": key[0], **new})
            use["process"] = sample.names[key]
            use["peak_rss"] = max(use["peak_rss"], memory.rss)
            use["peak_part"] = max(use["peak_part"], memory.part)
            if memory.pss is None and use["peak_pss"] is not None:
                self.unreadable += 1
            use["peak_pss"] = None if None in (use["peak_pss"], memory.pss) else use["peak_part"]
        if len(self.uses) > MAX_USES:
            kept = {*self.largest()[: MAX_USES // 2], *self.peak.memories, *sample.memories}
            self.forgotten += len(self.uses) - len(kept)
            self.uses = {key: self.uses[key] for key in kept}

    def largest(self) -> list[tuple[int, float]]:
        return sorted(self.uses, key=lambda key: -self.uses[key]["peak_part"])

    def finish(self) -> None:
        """Fill in what is known only after the last sample."""
        if "duration" not in self.meta:
            self.meta.setdefault("cut", "it has no end")
        recent = self.recent or [self.last]  # the first is the largest: from before the exits
        end = recent[-1] if "ending" in self.meta else recent[0]
        for name, metric in self.metrics.items():
            area, span = self.areas[name], self.spans[name]
            metric["mean"] = round(area / span) if span else metric["peak"]
            metric["end"] = end.totals.get(name)
        for key, use in self.uses.items():
            use["process"] = printable(use["process"])
            use["pss_at_peak"] = self.peak.memories.get(key, Memory(0)).part
        self.title = (self.meta.get("command") or printable(os.path.basename(self.path)))[:1000]
        self.drawn = {key: self.uses[key] for key in self.largest()[: len(COLOURS) - 1]}  # + grey
        known = [name for name in METRICS if name in self.metrics]
        self.shown = [name for name in known if name != "swap" or self.metrics[name]["peak"]]

    def size_mib(self, name: str, key: str) -> str:
        """Peak, mean or end of a metric: a bound where RSS stands in for what was not readable."""
        return mib(self.metrics[name][key], self.unreadable > 0 and name in ("pss", "uss"))


def points_of(run: Run) -> list[Sample]:
    """The points of the graph, in a second pass: each the largest values of a few samples."""
    points = []
    samples = (s for s in itertools.islice(samples_of(run.path, {}), run.samples) if s.memories)
    while group := list(itertools.islice(samples, -(-run.samples // MAX_POINTS))):
        top = max(group, key=lambda sample: sample.totals["pss"])
        drawn = {key: top.memories.get(key, Memory(0)) for key in run.drawn}
        totals = {n: max(s.totals.get(n, size) for s in group) for n, size in top.totals.items()}
        points.append(Sample(top.time, drawn, {}, totals))
    return points + [point._replace(time=run.end) for point in points[-1:]]  # it holds till then


def made_of(text: str) -> dict[str, object] | None:
    """Parse the recording's "made of" comment into what the JSON has."""
    head = MADE_OF_RE.fullmatch(text)
    rows = []
    for kind, pss, anon, swap, name in re.findall(MAPPING, head[3] if head else "", re.ASCII):
        sizes = {"pss": int(pss), "anon": int(anon), "swap": int(swap)}
        rows.append({"name": name.replace('""', '"'), "kind": kind, **sizes})
    return {"time": float(head[1]), "pss": int(head[2]), "mappings": rows} if rows else None


def run_to_dict(run: Run) -> dict[str, object]:
    """The run as JSON: sizes in bytes, times in seconds, None for what is unknown."""
    uses, peak, meta = run.uses.values(), run.peak.memories.values(), run.meta
    cpu, rss = (number_in(meta, key) for key in ("own cpu seconds", "own peak rss"))
    split = {kind: sum(getattr(memory, kind) or 0 for memory in peak) for kind in KINDS}
    if uncertain := run.metrics.get("uncertain"):
        uncertain = {"peak": uncertain["peak"], "seconds": round(run.spans["uncertain"], 3)}
    return {
        "command": meta.get("command"),
        "exit_status": number_in(meta, "exit status"),
        "duration": round(run.end, 3),
        "interval": number_in(meta, "interval"),
        "samples": run.samples,
        "processes": run.metrics["processes"]["peak"],
        "unreadable": run.unreadable,
        "uncertain": uncertain,
        **{name: run.metrics.get(name) for name in METRICS},
        "pss_peak_split": split if any(split.values()) else None,
        "made_of": made_of(meta.get("made of", "")),
        "by_process": sorted(uses, key=lambda use: (-use["pss_at_peak"], -use["peak_part"])),
        "kernel_peak_rss": number_in(meta, "kernel peak rss"),
        "own": {"cpu_seconds": cpu, "peak_rss": rss},
    }


# ---------------------------------------------------------------- the summary
# A Run goes in, text comes out: under 100 columns but for the command and file names.

SPARKLINE_WIDTH = 60
TABLE_ROWS = 12
MAPPINGS_SHOWN = 10
BETWEEN_RE = re.compile(r"(\d{1,18}) (\d{1,18}) (\d+) (.+)")  # RSS by kernel, samples; pid, name


def caveats(run: Run) -> Iterator[str]:
    """What a reader must know before believing the figures."""
    if "cut" in run.meta:
        yield f"the recording is not whole ({run.meta['cut']}): figures cover what is there"
    elif not run.points:
        kernel = run.figures["kernel_peak_rss"]
        mark = f"; its largest RSS by the kernel's account: {mib(kernel)}" if kernel else ""
        yield f"too short to be sampled, or without memory of its own{mark}"
    if uncertain := run.figures["uncertain"]:
        how_long, off = seconds(uncertain["seconds"]), mib(uncertain["peak"])
        yield f"for {how_long} memory changed too fast to be read: PSS may be off by up to {off}"
    if run.figures["unreadable"]:
        why = run.meta.get("unreadable") or "permission denied"
        text = f"PSS of {count(run.figures['unreadable'], 'process')} could not be read ({why}):"
        root = "; to read them: sudo ./memory.py --pid ..." if os.geteuid() else ""
        yield f"{text} RSS stands in for it, PSS and USS are upper bounds{root}"
    if "hidden" in run.meta:
        yield "/proc hides other users' processes (hidepid): such children are missed"
    missed = BETWEEN_RE.match(run.meta.get("between samples", ""))
    if missed and run.points and int(missed[1]) > max(1.1 * int(missed[2]), 4 * MIB):
        text = f"{missed[4]} ({missed[3]}), or a descendant, had {mib(int(missed[1]))} RSS between"
        text += f" two samples, which saw {mib(int(missed[2]))} at most:"
        yield f"{text} --interval {max(0.001, (run.figures['interval'] or 0.1) / 5):g} may see it"


def headline(run: Run) -> str:
    status = run.figures["exit_status"]
    end = "" if status is None else f", exit status {status}"
    return f"{seconds(run.end)}, {count(run.figures['processes'], 'process')} at most{end}"


def peak_line(run: Run) -> Iterator[str]:
    """What PSS is made of at its peak, where that is known."""
    if split := run.figures["pss_peak_split"]:
        parts = [f"{mib(size)} {KINDS[kind]}" for kind, size in split.items()]
        rest = run.metrics["pss"]["peak"] - sum(split.values())
        parts += [f"{mib(rest)} not readable"] if rest > MIB else []
        yield f"PSS at its peak: {' + '.join(parts)}"


def summary(run: Run) -> str:
    lines = [run.title, headline(run)]
    for caveat in caveats(run):
        lines += textwrap.wrap(caveat, 96, initial_indent="! ", subsequent_indent="  ")
    if run.points:
        lines += ["", *metric_table(run), sparkline(run), "", *process_table(run)]
    if run.figures["made_of"]:
        lines += ["", *mapping_table(run)]
    own, due = run.figures["own"], number_in(run.meta, "samples due")
    cost = f"memory.py itself: {count(run.samples, 'sample', 's')}"
    if due is not None and run.end and (cpu := own["cpu_seconds"]) is not None:
        cost += f" of {due} due, {100 * cpu / run.end:.1f} % of a CPU, {mib(own['peak_rss'])} RSS"
        cost += f"; values at most {seconds(run.metrics['age']['peak'])} old"
    return "\n".join([*lines, "", cost])


def metric_table(run: Run) -> Iterator[str]:
    yield f"{'':8}{'peak':>14}{'at':>14}{'mean':>14}{'end':>14}"
    for name in run.shown:
        peak, mean, end = (run.size_mib(name, key) for key in ("peak", "mean", "end"))
        at = seconds(run.metrics[name]["peak_time"])
        yield f"{METRICS[name][0]:8}{peak:>14}{at:>14}{mean:>14}{end:>14}"
    yield "system: change of the whole machine's memory in use since just before the start"
    if (after := number_in(run.meta, "system after")) is not None:
        yield f"freed after exit: {mib(run.metrics['system']['end'] - after)}"
    yield from textwrap.wrap(" ".join(peak_line(run)), 98, subsequent_indent="  ")


def sparkline(run: Run) -> str:
    """PSS over time as a line of blocks from 0 to the peak: the largest of each column's time."""
    peak, width = run.metrics["pss"]["peak"], max(run.end, 1e-9) / SPARKLINE_WIDTH
    blocks, sizes = "", [run.points[0].totals["pss"]]
    for column in range(SPARKLINE_WIDTH):
        points = [point for point in run.points if column <= point.time / width < column + 1]
        sizes = [point.totals["pss"] for point in points] or sizes[-1:]  # it holds till then
        blocks += "▁▂▃▄▅▆▇█"[min(7, 8 * max(sizes) // max(1, peak))]
    return f"PSS {blocks} 0 to {mib(peak)}"


def process_table(run: Run) -> Iterator[str]:
    """The processes with the most PSS at the peak, and the rest as one line."""
    yield f"{'PSS at peak':>14}{'peak PSS':>14}{'peak RSS':>14}{'pid':>9}  process"
    for use in run.figures["by_process"][:TABLE_ROWS]:
        at_peak = mib(use["pss_at_peak"], use["peak_pss"] is None)
        pss = "not readable" if use["peak_pss"] is None else mib(use["peak_pss"])
        rss, name = mib(use["peak_rss"]), use["process"][:46]
        yield f"{at_peak:>14}{pss:>14}{rss:>14}{use['pid']:>9}  {name}"
    if rest := run.figures["by_process"][TABLE_ROWS:]:
        size = mib(sum(use["pss_at_peak"] for use in rest))
        yield f"{size:>14}{'':37}  {count(run.forgotten + len(rest), 'more process')}"


def largest_mappings(run: Run) -> tuple[str, list[tuple]]:
    """Title, and rows (kind, name, PSS, anonymous part, share): the largest, then the rest."""
    made_of, rows = run.figures["made_of"], []
    rest = whole = made_of["pss"]
    shown = [row for row in made_of["mappings"] if row["pss"] >= whole / 200]
    for row in shown[:MAPPINGS_SHOWN]:
        name = row["name"] if len(row["name"]) <= 48 else "..." + row["name"][-45:]
        rows.append((row["kind"], name, row["pss"], row["anon"], f"{row['pss'] / whole:.0%}"))
        rest -= row["pss"]
    if rest > 0:
        rows.append(("", "the rest", rest, 0, f"{rest / whole:.0%}"))
    pss = mib(whole, any(row["kind"] == "unreadable" for row in made_of["mappings"]))
    return f"PSS by mapping, {seconds(made_of['time'])} after the start, of {pss}", rows


def mapping_table(run: Run) -> Iterator[str]:
    title, rows = largest_mappings(run)
    yield f"{title}\n{'PSS':>14}{'anonymous':>14}"
    for kind, name, pss, anon, share in rows:
        part = "" if kind in ("unreadable", "") else mib(anon)
        yield f"{mib(pss, kind == 'unreadable'):>14}{part:>14}{share:>6}  {kind:10}  {name}"


def comparison(runs: Sequence[Run]) -> Iterator[str]:
    """PSS of each run; then by mapping, what has changed most from the first to the last."""
    yield f"{'PSS: peak':>14}{'mean':>14}{'end':>14}{'duration':>14}  recording"
    for run in runs:
        sizes = [run.size_mib("pss", k) if run.points else "-" for k in ("peak", "mean", "end")]
        cells = "".join(f"{size:>14}" for size in [*sizes, seconds(run.end)])
        yield f"{cells}  {printable(run.path)}"
    if not all(run.figures["made_of"] for run in runs):
        return  # one without would look as if it had none
    columns = [collections.Counter({"in all": run.figures["made_of"]["pss"]}) for run in runs]
    for column, run in zip(columns, runs):
        for row in run.figures["made_of"]["mappings"]:
            column[os.path.basename(row["name"])] += row["pss"]
    change = {name: columns[-1][name] - columns[0][name] for name in set().union(*columns)}
    largest = sorted(change, key=lambda name: (name != "in all", -abs(change[name]), name))
    yield "\nPSS by mapping in MiB, a column for each recording; the change from first to last:"
    for name in largest[: MAPPINGS_SHOWN + 1]:
        cells = "".join(f"{column[name] / MIB:9.1f}" for column in columns)
        yield f"{cells}{change[name] / MIB:+9.1f}  {name[:40]}"


# ---------------------------------------------------------------- the graph
# Runs go in, a picture comes out. Figures and panels are matplotlib's Figure and Axes.

# Okabe and Ito's, neighbours differing in lightness too (for black and white); grey for the rest
COLOURS = ("#0072B2", "#F0E442", "#D55E00", "#56B4E9", "#117733", "#E69F00", "#882255", "#BBBBBB")
KIND_COLOURS = {"file": "#0072B2", "anonymous": "#E69F00", "shared": "#117733"}
COMPARED = ("#000000", "#D55E00", "#0072B2", "#117733", "#882255")
LEGEND = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.03), "frameon": False, "fontsize": 9}


def label_of(text: str, width: int) -> str:
    """Text cut for matplotlib, where $ would begin mathematics and a leading _ hide a label."""
    text = printable(text if len(text) <= width else text[: width - 3] + "...")
    return "\u200b" + text.replace("$", r"\$")


def picture(runs: Sequence[Run], out: str) -> bytes:
    """One run, or several compared, in the format that the file's ending picks."""
    with contextlib.redirect_stderr(io.StringIO()):  # its notes on caches and fonts
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # it hangs where it may start none
        import matplotlib.figure  # only here: it takes some 50 MiB

        matplotlib.rcdefaults()  # ignore the user's matplotlibrc
        figure, data = matplotlib.figure.Figure(figsize=(12, 10), dpi=100), io.BytesIO()
        draw = draw_comparison if len(runs) > 1 else draw_run
        draw(figure, *runs)
        figure.savefig(data, format=os.path.splitext(out)[1][1:].lower())
    return data.getvalue()


def panels(figure, title: str, notes: Sequence[str], titles: Sequence[str]) -> list:
    """Panels of these titles below the figure's title and notes, with room for legends."""
    found = figure.subplots(len(titles), 1, gridspec_kw={"height_ratios": (3, 3, 2)[: len(titles)]})
    lines = textwrap.wrap(label_of("; ".join(notes), 2000), 165, max_lines=4)
    figure.subplots_adjust(0.07, 0.04, right=0.68, top=0.92 - 0.015 * len(lines), hspace=0.26)
    figure.text(0.01, 0.985, label_of(title, 95), size=14, weight="bold", va="top")
    figure.text(0.01, 0.95, "\n".join(lines), size=9, va="top")
    for panel, panel_title in zip(found, titles):
        panel.set_title(panel_title, loc="left", size=10)
        panel.grid(alpha=0.3)
    return list(found)


def draw_run(figure, run: Run) -> None:
    """The sums of each metric, PSS by process over the same time, and PSS by mapping."""
    titles = ["Sum over all processes, in MiB", "PSS by process, stacked, in MiB"]
    title, mappings = largest_mappings(run) if run.figures["made_of"] else ("", [])
    titles += [f"{title} (blue: files; orange: anonymous; green: shared)"] if mappings else []
    notes = [headline(run), *caveats(run), *peak_line(run)]
    upper, lower, *third = panels(figure, run.title, notes, titles)
    if run.points:
        for name in run.shown:
            label, what, look = METRICS[name]
            peak = f"peak {run.size_mib(name, 'peak')} at {seconds(run.metrics[name]['peak_time'])}"
            draw_curve(upper, run.end, run, name, f"{label}, {what}\n    {peak}", look)
        draw_processes(lower, run)
    for kind, name, pss, anon, share in mappings:
        text = f"{label_of(name, 60)}, {mib(pss)} ({share})"
        draw_bar(third[0], pss, text, KIND_COLOURS.get(kind, COLOURS[-1]), anon)


def draw_comparison(figure, *runs: Run) -> None:
    """Above, a curve of PSS per run; below, its peak and end as bars."""
    titles = ["PSS over time, in MiB", "PSS of each run, in MiB"]
    notes = [f"{run.path}: {caveat}" for run in runs for caveat in caveats(run)]
    upper, lower = panels(figure, f"{len(runs)} runs compared", notes, titles)
    end = max(run.end for run in runs)
    for n, run in enumerate(run for run in runs if run.points):
        look = COMPARED[n % len(COMPARED)], ("-", "--", "-.", ":")[n % 4], 2
        file = label_of(os.path.basename(run.path), 36)
        draw_curve(upper, end, run, "pss", f"{file}\n    {label_of(run.title, 40)}", look)
        for key in ("peak", "end"):
            text = f"{key} {run.size_mib('pss', key)}, {file}"
            draw_bar(lower, run.metrics["pss"][key], text, look[0])


def draw_bar(panel, size: int, text: str, colour: str, anon: int = 0) -> None:
    """A bar below those that are there: a size in bytes, the anonymous part of it in orange."""
    place = -len(panel.texts)
    panel.barh(place, [size / MIB, anon / MIB], color=[colour, KIND_COLOURS["anonymous"]])
    panel.text(size / MIB, place, f" {text}", va="center", size=8)
    panel.margins(x=1.1)
    panel.set_yticks([])


def time_axis(panel, end: float, points: Sequence[Sample]) -> list[float]:
    """Label it. Returns the points' times in its unit."""
    unit, name = (60, "minutes") if end >= 180 else (1, "seconds")
    panel.set_xlim(0, max(end, 0.001) / unit)
    panel.set_xlabel(f"{name} since the start", size=9, labelpad=1)
    return [point.time / unit for point in points]


def draw_curve(panel, end: float, run: Run, name: str, label: str, look: tuple) -> None:
    """A metric over time, each value held to the next; the peak of PSS is marked."""
    colour, style, width = look
    times = time_axis(panel, end, run.points)
    sizes = [point.totals.get(name, float("nan")) / MIB for point in run.points]
    panel.step(times, sizes, colour, where="post", label=label, ls=style, lw=width)
    if name == "pss":
        panel.plot(times[sizes.index(max(sizes))], max(sizes), "o", color=colour)
    panel.set_ylim(min(0, panel.dataLim.ymin * 1.1), panel.dataLim.ymax * 1.1)
    panel.legend(labelspacing=0.9, **LEGEND)


def draw_processes(panel, run: Run) -> None:
    """PSS of the largest processes and of the rest as one, stacked from below."""
    layers, labels = [], []
    for key, use in run.drawn.items():
        layers.append([point.memories[key].part / MIB for point in run.points])
        peak = mib(use["peak_part"], use["peak_pss"] is None)
        labels.append(f"{label_of(use['process'], 34)} ({use['pid']})\n    peak {peak}")
    if others := run.forgotten + len(run.uses) - len(run.drawn):  # in grey
        rest = [p.totals["pss"] - sum(m.part for m in p.memories.values()) for p in run.points]
        layers.append([size / MIB for size in rest])
        labels.append(f"{count(others, 'other process')}, peak {mib(max(rest))}")
    times = time_axis(panel, run.end, run.points)
    stack = panel.stackplot(times, *layers, colors=COLOURS, step="post")
    for layer in stack:
        layer.set(edgecolor=layer.get_facecolor(), linewidth=0.5)  # so that spikes stay visible
    panel.set_ylim(0, max(1, panel.dataLim.ymax * 1.05))
    panel.legend(stack[::-1], labels[::-1], **LEGEND)  # in the order of the stack


# ---------------------------------------------------------------- the command line

FORMATS = (".png", ".svg", ".pdf")
QUOTED_RE = re.compile(r"'[^']*'|\"[^\"]*\"")
SHELL_RE = re.compile(r"[|>]|&&|^\s*\w+=")
EXAMPLES = """examples:
  ./memory.py --cmd scratch3 --out graph.png
  ./memory.py --pid $(pgrep -o scratch) --duration 60 --out graph.png"""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        usage="memory.py [options] COMMAND [ARG ...]  (or --cmd, --pid, --in)",
        description="How much memory a command and all its descendants use, over time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    add = result.add_argument_group("what to measure").add_argument
    add("words", nargs=argparse.REMAINDER, metavar="COMMAND ARG...", help="the command to measure")
    add("--cmd", metavar="COMMAND", help="the same as one argument, split as a shell would")
    add("--pid", nargs="*", action="extend", help="running processes, and their descendants")
    csvs = {"metavar": "CSV", "nargs": "+", "action": "extend", "dest": "recordings"}
    add("--in", help="draw or compare recordings", **csvs)
    add = result.add_argument_group("what to write, and how").add_argument
    add("-o", "--out", metavar="FILE", help="the graph: .png, .svg or .pdf")
    add("--csv", metavar="FILE", help="the samples, written as they are taken")
    add("--json", metavar="FILE", help="the summary for programs; - is stdout")
    add("--interval", type=float, default=0.1, metavar="S", help="seconds between samples (0.1)")
    until = "stop after S seconds (--pid: 0 for one sample)"
    add("--duration", type=float, default=float("inf"), metavar="S", help=until)
    add("--quiet", action="store_true", help="no status line, no summary")
    add("--no-status", action="store_true", help="no status line (a command on a tty has none)")
    add("--version", action="version", version=f"memory.py {VERSION}", help="show the version")
    add("-h", "--help", action="help", help="show this help")
    return result


def command_words(options: argparse.Namespace) -> list[str]:
    """The command as words; none with --pid and --in. Raises Problem."""
    if options.cmd is None:
        return options.words[1:] if options.words[:1] == ["--"] else options.words
    if SHELL_RE.search(QUOTED_RE.sub("", options.cmd)):
        say("--cmd is run without a shell; if it needs one: --cmd \"sh -c '...'\"")
    try:
        return shlex.split(options.cmd)
    except ValueError as error:
        raise Problem(f"--cmd {options.cmd}: {error}", 2) from None


def check_usage(options: argparse.Namespace, words: Sequence[str]) -> None:
    """Find, before the command starts, what is bound to fail. Raises Problem."""
    given = [options.pid, options.recordings, options.cmd, options.words or None]
    least = 0.001 if options.pid is None else 0
    in_range = 0.001 <= options.interval < 1e9 and least <= options.duration
    out, csv, recordings = options.out or "", options.csv or "", options.recordings or []
    no_format = out and os.path.splitext(out)[1].lower() not in FORMATS
    no_files = [p for p in (csv, *recordings) if os.path.exists(p) and not os.path.isfile(p)]
    wrong = {
        "give one of: COMMAND, --cmd, --pid, --in (see --help)": given.count(None) != 3,
        "the command is empty": options.pid is None and not recordings and not any(words[:1]),
        "--interval is 0.001 or more, --duration above 0 (with --pid or 0)": not in_range,
        "the name of a file is empty": "" in [options.out, options.csv, options.json, *recordings],
        "--csv needs a run: --in takes no samples": csv and options.recordings,
        f"{' '.join(no_files) or csv}: must be a regular file": no_files or csv == "-",
        f"{out}: the ending must be one of {', '.join(FORMATS)}": no_format,
    }
    outputs = [path for path in (out, csv, options.json) if path not in ("", "-", None)]
    files = [os.path.realpath(path) for path in [*outputs, *recordings]]
    for path in outputs:
        existing = path if os.path.exists(path) else os.path.dirname(path) or "."
        wrong[f"{path}: is named twice"] = files.count(os.path.realpath(path)) > 1
        refused = os.path.isdir(path) or not os.access(existing, os.W_OK)
        wrong[f"{path}: cannot be written, or its folder is missing"] = refused
    for message in filter(wrong.get, wrong):  # the first that applies
        raise Problem(message, 2)


def check_system(options: argparse.Namespace) -> None:
    """Find what is missing here. Raises Problem."""
    for name, wanted in (("psutil", not options.recordings), ("matplotlib", options.out)):
        if wanted and importlib.util.find_spec(name) is None:
            how = f"apt install python3-{name} (or pip install {name})"
            raise Problem(f"{name} missing for {sys.executable}: {how}", 125)
    if not options.recordings:
        if os.path.realpath("/proc/self") != f"/proc/{os.getpid()}":
            raise Problem("/proc is another pid namespace's or missing: mount your own", 125)
        if b"Pss_Anon" not in read_file("/proc/self/smaps_rollup"):
            raise Problem("smaps_rollup has no Pss_Anon: Linux 5.3 or newer is needed", 125)


def watched_processes(words: Iterable[str]) -> list[psutil.Process]:
    """The processes of --pid, which takes no thread ids. Raises Problem."""
    running = {str(p.pid): p for p in psutil.process_iter() if p.pid != os.getpid()}
    pids = " ".join(words).replace(",", " ").split()
    unknown = [pid for pid in pids if pid not in running]
    if unknown or not pids:
        raise Problem(f"{' '.join(['--pid', *unknown])}: no such process (did pgrep find none?)", 2)
    return [running[pid] for pid in pids]


def measure(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Run and sample, then report from the recording. Returns the exit status."""
    watched = [] if options.pid is None else watched_processes(options.pid)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if ignored, wait4() gets no status
    recording = Recording(options.csv, options.out)
    session = Session(options, recording)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, session.signals)  # sigtimedwait() takes them
    try:
        try:
            session.run(words, watched, mask)
        except Problem:  # not started
            if recording.created:
                os.unlink(recording.path)
            raise
        except OSError as error:  # a lack of descriptors, say
            say(f"the measuring has broken off, and what was measured runs on: {error}")
            recording.failed = True
        recording.close()
        done = report([recording.path], options) and not recording.failed
        if not done:
            say(f"the samples are kept: draw them again with --in {shlex.quote(recording.path)}")
        elif recording.temporary:
            os.unlink(recording.path)
    finally:
        while signal.sigtimedwait(session.signals, 0):  # late ones must not kill memory.py
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return session.status or (0 if done else 125)


def report(paths: Sequence[str], options: argparse.Namespace) -> bool:
    """Summary, JSON and graph. False when something could not be written, which is then said."""
    import json  # not while measuring, to stay small

    runs = [Run(path) for path in paths]
    figures = [run.figures for run in runs] if len(runs) > 1 else runs[0].figures
    text = json.dumps(figures, indent=2) + "\n"
    done, written = True, (list(paths) if options.csv else [])
    for path in filter(None, (options.json, options.out)):
        try:
            write_file(path, picture(runs, path) if path == options.out else text.encode())
            written += [path] if path != "-" else []
        except Exception as error:  # whatever matplotlib raises: the samples must not be lost
            say(f"{path}: {getattr(error, 'strerror', None) or error}")
            done = False
    if not options.quiet:
        texts = [summary(run) for run in runs]
        texts += ["\n".join(comparison(runs))] if len(runs) > 1 else []
        texts[-1] += f"\nwritten: {printable(', '.join(written))}" if written else ""
        stream = sys.stdout if options.recordings and options.json != "-" else sys.stderr
        closed = options.recordings and stream is None
        done = write_text("\n\n".join(texts), stream) and done and not closed
    return done


def write_file(path: str, data: bytes) -> None:
    """Write a whole file or none: a full disk leaves the one that was there. Raises OSError."""
    if path == "-":
        if not (sys.stdout and write_text(data.decode(), sys.stdout, end="")):
            raise OSError("stdout cannot be written")
        return
    target = os.path.realpath(path)
    special = os.path.exists(path) and not os.path.isfile(path)  # a device, a pipe
    in_place = special or not os.access(os.path.dirname(target), os.W_OK)
    part = path if in_place else f"{target}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            file.write(data)
        if not in_place:
            os.replace(part, target)
    finally:
        if not in_place and os.path.exists(part):
            os.unlink(part)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, or draw recordings. Returns the exit status that the README's table has."""
    options = parser().parse_args(argv)
    with contextlib.suppress(AttributeError):  # stdout is closed, or a test's
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr always has it
    try:
        words = command_words(options)
        check_usage(options, words)
        check_system(options)
        if not options.recordings:
            return measure(options, words)
        return 0 if report(options.recordings, options) else 125
    except Problem as problem:
        message, status = problem.args
    except OSError as error:  # without a file name if from getcwd()
        message, status = f"{error.filename or 'the current folder'}: {error.strerror}", 2
    except KeyboardInterrupt:
        return 130
    say(message)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
