#!/usr/bin/env python3
"""A tree of processes that holds known amounts of memory: a workload for memory.py.

    $ tests/tree.py --private 20 --children 2 --shared 50 --seconds 5
    MiB          rss   pss   uss  anon  file shmem  pids
    private       40    40    40    40     0     0  31246 31247
    shared       250    50     0    50     0     0  31248 31249 31250 31251 31252
    sum          290    90    40    90     0     0
    ready: 31245

It prints this when every page is touched. The sums are what a right profiler finds beyond an
idle copy of the tree (--idle). All of its processes end when --seconds are over, on SIGTERM,
SIGINT or SIGHUP, and when the top process, whose pid stands in the last line, is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import mmap
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from io import FileIO
from typing import NamedTuple

MIB = 2**20
SUMS = ("rss", "pss", "uss", "anon", "file", "shmem")
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
START_LIMIT = 120  # seconds until all must be ready
SHORT_MIB, SHORT_SECONDS = 2, 0.3
PRIVATE, SHARED = mmap.MAP_PRIVATE, mmap.MAP_SHARED
LIBC = ctypes.CDLL(None)
PR_SET_NAME = 15

SIZES = (
    ("--private", 0, "private memory of each child"),
    ("--children", None, "how many such children (1)"),
    ("--shared", 0, "touched by a parent before it forks, then shared with its forks"),
    ("--forks", 4, "how many forks share it (%(default)s)"),
    ("--rewrite", 0, "shared with a fork that rewrites all of it: twice the size"),
    ("--file", 0, "read-only mapping of a temporary file"),
    ("--shm", 0, "shared memory, touched by two processes"),
    ("--thread", 0, "held by a child that a second thread has forked"),
    ("--daemon", 0, "held by an orphan in a session of its own"),
    ("--vfork", 0, "held by a process that hangs in a vfork"),
    ("--leaderless", 0, "held by a process whose main thread has ended"),
    ("--spike", 0, "taken by a child for a moment and given back"),
    ("--short", 0, "how many short-lived children, spread over --seconds"),
)
TIMES = (
    ("--spike-after", 1, "from ready to the spike (%(default)s)"),
    ("--spike-seconds", 0.5, "how long it lasts (%(default)s)"),
    ("--spike-every", None, "from one spike to the next (one only)"),
    ("--seconds", 10, "from ready to the end (%(default)s; 0: until SIGTERM)"),
)


class Part(NamedTuple):
    name: str
    mib: int
    times: tuple[int, ...]  # how often that size is found in each of SUMS
    work: Callable[..., None]  # what a process of it does that the top process starts
    processes: int = 1  # that say they are ready
    started: int = 1  # that the top process starts
    timed: bool = False  # counts from ready on, and is not in the sums

    def sums(self) -> dict[str, int]:
        return {name: self.mib * MIB * times for name, times in zip(SUMS, self.times)}


class Tree:
    """The two pipes that tie the processes together.

    `life` comes to its end when the top process does, as it alone keeps the other side.
    Through `news` each process says that it is ready, and the top process sees the last one end.
    """

    def __init__(self) -> None:
        (life, hold), (inbox, news) = os.pipe(), os.pipe()
        self.life, self.hold = FileIO(life), FileIO(hold, "w")
        self.inbox, self.news = FileIO(inbox), FileIO(news, "w")
        self.name = "top"

    def start(self, part: str, index: int, work: Callable[..., None], *args: object) -> int:
        pid = os.fork()
        if pid == 0:
            self.name = f"{part} {index}"
            self.run(work, *args)
        return pid

    def run(self, work: Callable[..., None], *args: object) -> None:
        """Do the work, and end the process."""
        try:
            self.hold.close()
            self.inbox.close()
            LIBC.prctl(PR_SET_NAME, self.name.encode(), 0, 0, 0)
            work(self, *args)
            reap()
        except Exception as error:
            self.news.write(f"! {self.name}: {error!r}\n".encode())
        finally:
            os._exit(0)

    def ready(self, name: str = "", pid: int = 0) -> None:
        self.news.write(f"{name or self.name} {pid or os.getpid()}\n".encode())

    def wait(self, seconds: float | None = None) -> bool:
        """Wait so long at most; True when the end has come."""
        return bool(select.select([self.life], [], [], seconds)[0])

    def stay(self) -> None:
        self.ready()
        self.wait()

    def hear(self, count: int) -> list[tuple[str, int, int]]:
        """Wait until so many processes are ready: part, index and pid of each, in order."""
        text = ""
        while text.count("\n") < count and "!" not in text:
            text += self.inbox.read(65536).decode()
        if "!" in text:
            raise SystemExit("tree.py: " + text.partition("! ")[2].splitlines()[0])
        lines = [line.split() for line in text.splitlines()]
        return sorted((part, int(index), int(pid)) for part, index, pid in lines)

    def end(self) -> None:
        """End all processes and wait for them, the daemon too, which is no child."""
        self.hold.close()
        reap()
        self.news.close()
        while self.inbox.read(65536):
            pass


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def stat(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, ..."""
    with open(f"/proc/{pid}/stat", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()


def child_of(parent: int) -> int:
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if stat(pid)[1] == str(parent):
                return int(pid)
    return 0


def temporary_path() -> str:
    """A name on a disk where possible: pages of a file on tmpfs are shared memory."""
    directory = "/var/tmp" if os.access("/var/tmp", os.W_OK) else "/tmp"
    return f"{directory}/tree.py-{os.getpid()}"


def touch(memory: mmap.mmap | None) -> None:
    """Write to every page."""
    if memory:
        memory[:: mmap.PAGESIZE] = b"\1" * (len(memory) // mmap.PAGESIZE)


def touched(size: int, flags: int = PRIVATE) -> contextlib.AbstractContextManager:
    """Memory of exactly that size, given back to the system when it is closed."""
    if size == 0:
        return contextlib.nullcontext()
    memory = mmap.mmap(-1, size, flags=flags)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    touch(memory)
    return memory


def hold(tree: Tree, size: int) -> None:
    with touched(size):
        tree.stay()


def share(
    tree: Tree, size: int, part: str, forks: int = 1, write: bool = True, flags: int = PRIVATE
) -> None:
    with touched(size, flags) as memory:
        for index in range(forks):
            tree.start(part, index + 1, inherit, memory, write)
        tree.stay()


def inherit(tree: Tree, memory: mmap.mmap | None, write: bool) -> None:
    if write:
        touch(memory)
    tree.stay()


def file(tree: Tree, size: int) -> None:
    """Of a file without blocks on the disk: its pages in the page cache count all the same."""
    path = temporary_path()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    os.truncate(fd, size)
    memory = mmap.mmap(fd, size, prot=mmap.PROT_READ) if size else b""
    memory[:: mmap.PAGESIZE]  # reads a byte of every page
    tree.stay()


def thread(tree: Tree, size: int) -> None:
    def second() -> None:
        tree.start("thread", 1, hold, size)
        tree.wait()

    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads
    threading.Thread(target=second, daemon=True).start()
    tree.stay()


def daemon(tree: Tree, size: int) -> None:
    os.setsid()
    tree.start("daemon", 0, hold, size)
    os._exit(0)  # at once, so that its child becomes an orphan


def vfork(tree: Tree, size: int) -> None:
    """Watch over a process that hangs in a vfork: it and its child hear of SIGKILL only."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    path = temporary_path()
    os.mkfifo(path, 0o600)
    fifo = f"/proc/self/fd/{os.open(path, os.O_PATH)}"
    os.unlink(path)
    holder = tree.start("vfork", 1, hang, size, fifo)
    try:
        while not (child := child_of(holder)):
            if os.waitpid(holder, os.WNOHANG)[0]:
                raise ChildProcessError("it did not hang")
            time.sleep(0.005)
        tree.ready("vfork 1", holder)
        tree.ready("vfork 2", child)
        tree.stay()
    finally:
        os.open(fifo, os.O_RDWR)  # a writer has come: the child's open() returns
        reap()


def hang(tree: Tree, size: int, fifo: str) -> None:
    """posix_spawn is a vfork inside; its child waits in open() until the FIFO has a writer."""
    with touched(size):
        opening = (os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)
        os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opening])


def leaderless(tree: Tree, size: int) -> None:
    threading.Thread(target=tree.run, args=(last_thread, size)).start()
    LIBC.pthread_exit(None)


def last_thread(tree: Tree, size: int) -> None:
    with touched(size):
        while stat(os.getpid())[0] != "Z":
            time.sleep(0.001)
        tree.stay()


def spike(tree: Tree, size: int, args: argparse.Namespace) -> None:
    pause = args.spike_every and args.spike_every - args.spike_seconds
    tree.ready()
    ended = tree.wait(args.spike_after)
    while not ended:
        with touched(size):
            ended = tree.wait(args.spike_seconds)
        ended = ended or tree.wait(pause)


def short(tree: Tree, size: int, args: argparse.Namespace) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    tree.ready()
    for index in range(args.short):
        tree.start("short", index + 1, short_life, size)
        if tree.wait((args.seconds or 10) / args.short):
            return
    tree.wait()


def short_life(tree: Tree, size: int) -> None:
    with touched(size):
        tree.wait(SHORT_SECONDS)


def wanted_parts(args: argparse.Namespace) -> list[Part]:
    n, forks = args.children, args.forks
    once = (1, 1, 1, 1, 0, 0)
    forked = (forks + 1, 1, 0 if forks else 1, 1, 0, 0)
    sharing = partial(share, part="shared", forks=forks, write=False)
    parts = [
        Part("private", args.private, (n, n, n, n, 0, 0), hold, n, n),
        Part("shared", args.shared, forked, sharing, forks + 1),
        Part("rewrite", args.rewrite, (2, 2, 2, 2, 0, 0), partial(share, part="rewrite"), 2),
        Part("file", args.file, (1, 1, 1, 0, 1, 0), file),
        Part("shm", args.shm, (2, 1, 0, 0, 0, 1), partial(share, part="shm", flags=SHARED), 2),
        Part("thread", args.thread, once, thread, 2),
        Part("daemon", args.daemon, once, daemon),
        Part("vfork", args.vfork, once, vfork, 3),
        Part("leaderless", args.leaderless, once, leaderless),
        Part("spike", args.spike, once, partial(spike, args=args), timed=True),
        Part("short", SHORT_MIB, once, partial(short, args=args), timed=True),
    ]
    asked = {**vars(args), "private": n}
    parts = [part for part in parts if asked[part.name]]
    return [part._replace(mib=0) for part in parts] if args.idle else parts


def start_all(tree: Tree, parts: Sequence[Part]) -> dict[str, list[int]]:
    """Start them and wait until all are ready: the pids of each, its first process first."""
    for part in parts:
        for index in range(part.started):
            pid = tree.start(part.name, index, part.work, part.mib * MIB)
            if part.work is daemon:
                os.waitpid(pid, 0)
    heard = tree.hear(sum(part.processes for part in parts))
    return {part.name: [pid for name, _, pid in heard if name == part.name] for part in parts}


def plan(args: argparse.Namespace, parts: Sequence[Part], pids: dict[str, list[int]]) -> dict:
    held = {part.name: part.sums() for part in parts if not part.timed}
    times = {"after": args.spike_after, "seconds": args.spike_seconds, "every": args.spike_every}
    return {
        "ready": True,
        "pid": os.getpid(),
        "pids": pids,
        "parts": held,
        "expected": {name: sum(sums[name] for sums in held.values()) for name in SUMS},
        "spike": next(({**part.sums(), **times} for part in parts if part.name == "spike"), None),
    }


def table(plan: dict) -> str:
    def line(name: str, sums: dict[str, int]) -> str:
        return f"{name:<10}" + "".join(f"{size // MIB:>6}" for size in sums.values())

    lines = ["MiB       " + "".join(f"{name:>6}" for name in SUMS) + "  pids"]
    for name, pids in plan["pids"].items():
        more = f" and {len(pids) - 5} more" if len(pids) > 5 else ""
        sizes = line(name, plan["parts"].get(name, {}))
        lines.append(f"{sizes:<46}  {' '.join(map(str, pids[:5]))}{more}")
    lines.append(line("sum", plan["expected"]))
    return "\n".join([*lines, f"ready: {plan['pid']}"])


def whole_number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError
    return int(text)


def seconds(text: str) -> float:
    if not 0 <= float(text) < 1e6:
        raise ValueError
    return float(text)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A tree of processes that holds known amounts of memory.",
        epilog="Sizes in MiB. What is not given, or 0, is left out.",
        allow_abbrev=False,
    )
    for option, default, text in SIZES:
        parser.add_argument(option, type=whole_number, default=default, metavar="N", help=text)
    for option, default, text in TIMES:
        parser.add_argument(option, type=seconds, default=default, metavar="S", help=text)
    parser.add_argument("--idle", action="store_true", help="the same processes without memory")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    if args.children is None:
        args.children = 1 if args.private else 0
    if args.spike_every is not None and args.spike_every <= args.spike_seconds:
        parser.error("--spike-every must be longer than --spike-seconds")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    gc.disable()  # it would write to pages that the processes share
    for number in ENDS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("tree.py: a process did not get ready"))
    signal.alarm(START_LIMIT)
    tree, parts = Tree(), wanted_parts(args)
    pids = start_all(tree, [part for part in parts if not part.timed])
    pids.update(start_all(tree, [part for part in parts if part.timed]))
    signal.alarm(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    found = plan(args, parts, pids)
    print(json.dumps(found) if args.json else table(found), flush=True)
    if args.seconds:
        signal.sigtimedwait(ENDS, args.seconds)
    else:
        signal.sigwait(ENDS)
    tree.end()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
