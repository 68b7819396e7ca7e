#!/usr/bin/env python3
"""The PSS of a process tree, by reading smaps_rollup of all its processes: dear, and true.

    full_read.py PID INTERVAL FILE [--beside]

writes a line for each read into the file until the process has ended: when the read began and
ended (seconds since boot), the sum of PSS in bytes, and 1, or 0 where it caught something in the
middle: processes have started or ended, or memory has moved, and may have been seen twice or not
at all. --beside is for the
reader beside a sampler: PID is the sampler, which is left out, and after each read it rests
for as long as that took. As root it comes before other processes, so that it is in time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import time
from typing import NamedTuple

ATTEMPTS = 3
MOVED = 0.025  # of the sum: more than this is in the middle of something
PAGE = os.sysconf("SC_PAGE_SIZE")
KCMP = 312 if platform.machine() == "x86_64" else 272  # its number; kcmp(2)
KCMP_VM = 1
LIBC = ctypes.CDLL(None)


class Read(NamedTuple):
    begin: float  # CLOCK_BOOTTIME, as the start of a process in /proc/PID/stat
    end: float
    pss: int
    still: bool


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class Signs(NamedTuple):
    """What tells that a process's memory has changed: proc_pid_stat(5)."""

    faults: int
    rss: int  # pages
    reaped: int  # faults of children that have ended


def tree(pid: int, itself: bool = True) -> dict[int, Signs]:
    """A process and all below it.

    Without zombies, and without children of vfork, which have their parent's memory.
    """
    children: dict[int, list[int]] = {}
    signs = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            fields = read(f"/proc/{name}/stat").rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in b"ZX":
            children.setdefault(int(fields[1]), []).append(int(name))
            signs[int(name)] = Signs(int(fields[7]), int(fields[21]), int(fields[8]))
    found = [pid]
    for parent in found:
        below = children.get(parent, ())
        found += [p for p in below if LIBC.syscall(KCMP, p, parent, KCMP_VM, 0, 0) != 0]
    return {pid: signs[pid] for pid in found[0 if itself else 1 :] if pid in signs}


def moved(before: dict[int, Signs], after: dict[int, Signs]) -> float:
    """Bytes that have moved in between, at least."""
    if before.keys() != after.keys() or any(before[p].reaped != after[p].reaped for p in before):
        return float("inf")
    pages = 0
    for pid, old in before.items():
        pages += max(abs(after[pid].rss - old.rss), after[pid].faults - old.faults)
    return pages * PAGE


def pss_of(pid: int) -> int:
    """In bytes; 0 where it has ended."""
    try:
        text = read(f"/proc/{pid}/smaps_rollup")
    except OSError:
        return 0
    return int(text.partition(b"\nPss:")[2].split()[0]) * 1024 if b"\nPss:" in text else 0


def full_read(pid: int, itself: bool = True) -> Read:
    """Read them all; anew where it has caught something in the middle."""
    for _ in range(ATTEMPTS):
        begin, processes = time.clock_gettime(time.CLOCK_BOOTTIME), tree(pid, itself)
        sizes = list(map(pss_of, processes))
        end = time.clock_gettime(time.CLOCK_BOOTTIME)
        still = all(sizes) and moved(processes, tree(pid, itself)) <= sum(sizes) * MOVED
        if still:
            break
    return Read(begin, end, sum(sizes), still)


def main() -> None:
    pid, interval, path = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    beside = "--beside" in sys.argv
    with contextlib.suppress(PermissionError):
        os.nice(-10 if beside else 0)
    with open(path, "w") as file:
        while os.path.exists(f"/proc/{pid}"):
            begin = time.monotonic()
            print(*map(float, full_read(pid, itself=not beside)), file=file, flush=True)
            took = time.monotonic() - begin
            time.sleep(max(took if beside else 0, interval - took))


if __name__ == "__main__":
    main()
