#!/usr/bin/env python3
"""Programs of known memory that do not stand still: what a sampler of PSS must get right.

    $ tests/restless.py --list
    $ ./memory.py tests/restless.py frames --seconds 10
    $ tests/restless.py frames --plateaus
    plateau 1

With --seconds it moves on by itself. With --plateaus it stands still, moves on when it reads a
line from stdin, says that it stands still again, and ends with stdin.

A case is a generator: what it does between two yields is a move, and the yield tells for how
many seconds it then stands still when it runs by itself. So are the processes it forks, each
of which makes one move when it is told to. The first line of a case's docstring says what it
does, and behind the colon the sum of PSS, to which the interpreter adds some 10 MiB, and about
1 MiB for each process.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import itertools
import mmap
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

MIB = 2**20
KIB = 2**10
PAGE = mmap.PAGESIZE
SHARED, PRIVATE = mmap.MAP_SHARED, mmap.MAP_PRIVATE
MADV_COLLAPSE = 25  # madvise(2), Linux 6.1
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
GO = {signal.SIGUSR1}
LIBC = ctypes.CDLL(None)

Work = Callable[..., Iterator[None]]  # of a process: a move ends at each yield
Moves = Iterator[float]  # of a case: the seconds to stand still after each move


# ---------------------------------------------------------------- processes


class Crew:
    """The processes of a case: they start, move and end when they are told to."""

    def __init__(self, path: str) -> None:
        """path: the file that a case maps."""
        self.path = path
        self.inbox, self.news = os.pipe()  # a byte for each move that has been made

    def start(self, work: Work, *args: object) -> int:
        """Fork a process, and wait until it has made its first move."""
        return self.start_many(1, work, *args)[0]

    def start_many(self, count: int, work: Work, *args: object) -> list[int]:
        """The same for many at once."""
        pids = [self.fork(work, *args) for _ in range(count)]
        self.hear(count)
        return pids

    def fork(self, work: Work, *args: object, survives: bool = False) -> int:
        """Fork a process that ends with its parent, or survives it."""
        pid = os.fork()
        if pid:
            return pid
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            for moves, _ in enumerate(work(*args)):
                if moves or not survives:
                    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                os.write(self.news, b".")
                signal.sigwait(GO)
        except Exception as error:
            print(f"restless.py: {work.__name__}: {error!r}", file=sys.stderr, flush=True)
            os.write(self.news, b"!")
        finally:
            os._exit(1)

    def tell(self, *pids: int) -> None:
        """Let these move."""
        for pid in pids:
            os.kill(pid, signal.SIGUSR1)

    def hear(self, count: int) -> None:
        """Wait until so many moves have been made."""
        while count:
            news = os.read(self.inbox, count)
            if b"!" in news:
                raise SystemExit(1)
            count -= len(news)

    def move(self, *pids: int) -> None:
        """Let these make one move, all at the same time, and wait for it."""
        self.tell(*pids)
        self.hear(len(pids))

    def end(self, *pids: int) -> None:
        """End these."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


# ---------------------------------------------------------------- memory


def touch(memory: mmap.mmap, start: int = 0, end: int | None = None) -> None:
    """Write to every page."""
    pages = range(start, len(memory) if end is None else end, PAGE)
    memory[pages.start : pages.stop : PAGE] = b"\1" * len(pages)


def look(memory: mmap.mmap) -> None:
    """Read every page."""
    memory[::PAGE]


def small_pages(memory: mmap.mmap) -> mmap.mmap:
    with contextlib.suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def taken(size: int) -> mmap.mmap:
    """Private memory, touched."""
    memory = small_pages(mmap.mmap(-1, size, PRIVATE))
    touch(memory)
    return memory


def memfd(size: int) -> int:
    """Shared memory that nobody has mapped yet: a descriptor."""
    fd = os.memfd_create("restless")
    os.posix_fallocate(fd, 0, size)
    return fd


def mapped(fd: int) -> mmap.mmap:
    """All of a memfd, read: a fault for each 16 pages, where writing has one for each."""
    memory = small_pages(mmap.mmap(fd, 0, SHARED))
    look(memory)
    return memory


def file_mapped(path: str, flags: int = SHARED) -> mmap.mmap:
    """All of a file, read."""
    with open(path, "rb") as file:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if flags == PRIVATE else 0)
        memory = small_pages(mmap.mmap(file.fileno(), 0, flags, prot))
    look(memory)
    return memory


# ---------------------------------------------------------------- what a process does


def waiting(*_: object) -> Iterator[None]:
    while True:
        yield


def holding(make: Callable[[], mmap.mmap]) -> Iterator[None]:
    _memory = make()
    yield from waiting()


def churning(size: int, churned: int) -> Iterator[None]:
    _memory = taken(size)
    while True:
        taken(churned).close()
        yield


def growing(step: int, limit: int, again: bool) -> Iterator[None]:
    """Up to a limit; then it gives all back and begins again, or stays so."""
    memory = small_pages(mmap.mmap(-1, limit, PRIVATE))
    while True:
        yield
        for start in range(0, limit, step):
            touch(memory, start, start + step)
            yield
        if not again:
            yield from waiting()
        memory.madvise(mmap.MADV_DONTNEED)


def rewriting(memory: mmap.mmap, step: int) -> Iterator[None]:
    """What it shares with its parent, so that it is copied."""
    yield
    for start in range(0, len(memory), step):
        touch(memory, start, start + step)
        yield
    yield from waiting()


def rewriting_file(path: str, step: int) -> Iterator[None]:
    """Private pages of a file, so that they are copied."""
    return rewriting(file_mapped(path, PRIVATE), step)


def renewing(memory: mmap.mmap, step: int, pages: int) -> Iterator[None]:
    """What it shares with its parent: dropped, and touched anew, as huge or small pages."""
    memory.madvise(pages)
    yield
    for start in range(0, len(memory), step):
        memory.madvise(mmap.MADV_DONTNEED, start, step)
        touch(memory, start, start + step)
        yield
    yield from waiting()


def collapsing(memory: mmap.mmap, step: int) -> Iterator[None]:
    """The same as khugepaged does it: without a page fault."""
    memory.madvise(mmap.MADV_HUGEPAGE)
    yield
    for start in range(0, len(memory), step):
        memory.madvise(MADV_COLLAPSE, start, step)
        yield
    yield from waiting()


def swapping(*makes: Callable[[], mmap.mmap]) -> Iterator[None]:
    """One memory for the next, round and round."""
    for make in itertools.cycle(makes):
        memory = make()
        yield
        memory.close()


def mapping(make: Callable[[], mmap.mmap]) -> Iterator[None]:
    """Memory that it has at every other move."""
    while True:
        yield
        memory = make()
        yield
        memory.close()


def bequeathing(crew: Crew, size: int, heirs: int) -> Iterator[None]:
    """Share memory with forks that survive."""
    _memory = taken(size)
    for _ in range(heirs):
        crew.fork(waiting, survives=True)
    yield


def replacing(size: int, news: int) -> Iterator[None]:
    """Hold memory until exec(2) takes it away."""
    _memory = taken(size)
    yield
    os.set_inheritable(news, True)
    code = f"import os, signal; os.write({news}, b'.'); signal.pause()"
    os.execv(sys.executable, [sys.executable, "-S", "-c", code])


def spawning(size: int, fifo: str) -> Iterator[None]:
    """posix_spawn is a vfork inside; its child waits in open() until the FIFO has a writer."""
    _memory = taken(size)
    opening = (os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)
    while True:
        yield
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opening]), 0)


def threading(size: int, count: int) -> Iterator[None]:
    """Memory that its threads take and give back."""
    with ThreadPoolExecutor(count) as pool:
        while True:
            memories = list(pool.map(taken, [size // count] * count))
            yield
            list(pool.map(mmap.mmap.close, memories[count // 2 :]))
            yield
            list(pool.map(mmap.mmap.close, memories[: count // 2]))


def resizing(small: int, large: int) -> Iterator[None]:
    """mremap(2)."""
    memory = taken(small)
    while True:
        yield
        memory.resize(large)
        touch(memory)
        yield
        memory.resize(small)


def truncating(fd: int, size: int) -> Iterator[None]:
    """Take the second half of a memfd from all who map it; make it anew, for itself alone."""
    memory = mapped(fd)
    while True:
        yield
        os.truncate(fd, size // 2)
        yield
        os.truncate(fd, size)
        touch(memory)


def improvising(number: int, heap: mmap.mmap, fds: Sequence[int]) -> Iterator[None]:
    """One of many things, by dice that always fall the same."""
    dice = random.Random(number)
    memories: list[mmap.mmap] = []
    while True:
        yield
        size = dice.randrange(1, 20) * MIB
        act = dice.randrange(6)
        if act < 2 and len(memories) < 4:
            memories.append(taken(size) if act else mapped(dice.choice(fds)))
        elif act < 4 and memories:
            memories.pop(dice.randrange(len(memories))).close()
        else:
            start = dice.randrange(len(heap) // MIB - 20) * MIB
            if act == 4:
                heap.madvise(mmap.MADV_DONTNEED, start, size)
            touch(heap, start, start + size)


# ---------------------------------------------------------------- cases


def churn(
    crew: Crew,
    large: int = 1536,
    churned: int = 60,
    workers: int = 5,
    growth: int = 400,
    step: int = 4 * MIB,
) -> Moves:
    """A large process takes and frees memory all the time, others grow: large + growth.

    1536 MiB + 0 to 60 MiB + 5 * 0 to 400 MiB; modest: 600 + 0 to 24 + 12 * 0 to 24.
    """
    crew.start(waiting)
    pids = crew.start_many(1, churning, large * MIB, churned * MIB)
    pids += crew.start_many(workers, growing, step, growth * MIB, False)
    while True:
        yield 0
        crew.move(*pids)


def crowd(crew: Crew, count: int) -> Moves:
    """Many processes grow by little: what they have all grown by, 0 to 0.8 MiB each."""
    pids = crew.start_many(count, growing, 200 * KIB, 800 * KIB, True)
    while True:
        for pause in (0.3, 0.3, 0.3, 0.3, 2):
            yield pause
            crew.move(*pids)


def one_of_many(crew: Crew) -> Moves:
    """Of 300 idle processes one at a time takes 60 MiB and gives it back: so much + 0 or 60."""
    pids = crew.start_many(300, mapping, partial(taken, 60 * MIB))
    for number in itertools.count():
        pid = pids[97 * number % 300]
        yield 0.7
        crew.move(pid)
        yield 0.7
        crew.move(pid)


def frames(crew: Crew) -> Moves:
    """One process swaps what it shares with another for what nine share, and back: 200 MiB."""
    pair, ring = memfd(100 * MIB), memfd(100 * MIB)
    crew.start(holding, partial(mapped, pair))
    crew.start_many(9, holding, partial(mapped, ring))
    pid = crew.start(swapping, partial(mapped, pair), partial(mapped, ring))
    while True:
        yield 2
        crew.move(pid)


def copy(crew: Crew, work: Work, pages: Sequence[int] = ()) -> Moves:
    """A fork copies what it shares, by 20 MiB a move, at the same RSS: 300 to 600 MiB.

    cow: by writing; huge: into huge pages, of which each is one fault; collapse: as khugepaged
    does it, without a fault.
    """
    memory = taken(300 * MIB)
    while True:
        pid = crew.start(work, memory, 20 * MIB, *pages)
        for _ in range(15):
            yield 0.2
            crew.move(pid)
        yield 1
        crew.end(pid)
        yield 0.5


def trickle(crew: Crew) -> Moves:
    """Sixteen forks copy 64 KiB a move each of what they share: 200 MiB + 1 MiB a move."""
    memory = taken(200 * MIB)
    pids = crew.start_many(16, rewriting, memory, 64 * KIB)
    while True:
        yield 0.05
        crew.move(*pids)


def poke(crew: Crew) -> Moves:
    """A fork's memory is written to by its parent, who has the faults: 200 to 400 MiB."""
    memory = taken(200 * MIB)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    while True:
        pid = crew.start(waiting)
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as file:
            for start in range(0, len(memory), 20 * MIB):
                yield 0.4
                for page in range(start, start + 20 * MIB, PAGE):
                    os.pwrite(file.fileno(), b"\2", address + page)
        yield 1
        crew.end(pid)


def snapshot(crew: Crew) -> Moves:
    """A process rewrites its 300 MiB while a fork of it lives, which has the old ones: 300 to 600.

    By 30 MiB a move; 300 again when the fork has ended.
    """
    memory = taken(300 * MIB)
    while True:
        pid = crew.start(waiting)
        for start in range(0, len(memory), 30 * MIB):
            yield 0.2
            touch(memory, start, start + 30 * MIB)
        yield 0.2
        crew.end(pid)


def brief(crew: Crew) -> Moves:
    """A process of 400 MiB forks children that live 40 ms: 400 MiB."""
    _memory = taken(400 * MIB)
    for pause in itertools.cycle((0.1, 0.33, 0.58)):
        pid = crew.start(waiting)
        yield 0.04
        crew.end(pid)
        yield pause


def storm(crew: Crew) -> Moves:
    """Fifty forks at once copy 1 MiB each and end soon: 200 MiB, and some 75 while they live."""
    memory = taken(200 * MIB)
    while True:
        yield 1.2
        pids = crew.start_many(50, rewriting, memory, MIB)
        crew.move(*pids)
        yield 0.6
        crew.end(*pids)


def burst(crew: Crew) -> Moves:
    """Twenty-four processes of 20 MiB start at once, and end: 480 MiB while they live."""
    while True:
        pids = crew.start_many(24, holding, partial(taken, 20 * MIB))
        yield 1.5
        crew.end(*pids)
        yield 0.7


def turnover(crew: Crew) -> Moves:
    """Of twelve processes of 20 MiB the oldest ends and a new one starts: 240 MiB."""
    pids = crew.start_many(12, holding, partial(taken, 20 * MIB))
    while True:
        yield 0.2
        crew.end(pids.pop(0))
        pids.append(crew.start(holding, partial(taken, 20 * MIB)))


def heirs(crew: Crew) -> Moves:
    """Ten processes share memory and end in turn, its maker first: 200 MiB until the last."""
    while True:
        maker = crew.fork(bequeathing, crew, 200 * MIB, 9)
        crew.hear(10)
        children = Path(f"/proc/{maker}/task/{maker}/children").read_text()
        pids = [int(pid) for pid in children.split()]
        try:
            yield 0.5
        finally:
            crew.end(maker)
            crew.move(*pids)  # from now on they end with this process
        for pid in pids:
            yield 0.3
            crew.end(pid)
        yield 0.5


def exec_(crew: Crew) -> Moves:
    """Two processes of 150 MiB become small ones by exec(2), in turn: 150 and 300 MiB."""
    pids = [crew.start(replacing, 150 * MIB, crew.news) for _ in range(2)]
    while True:
        yield 0.5
        crew.move(pids[0])
        yield 0.5
        crew.end(pids.pop(0))
        pids.append(crew.start(replacing, 150 * MIB, crew.news))


def relay(crew: Crew) -> Moves:
    """Thirty processes map the same file one after another, then leave it: 200 MiB."""
    crew.start(holding, partial(file_mapped, crew.path))
    pids = crew.start_many(30, mapping, partial(file_mapped, crew.path))
    while True:
        for pid in pids:
            yield 0.2
            crew.move(pid)


def hand_round(crew: Crew) -> Moves:
    """Six processes hand round a memfd: 200 MiB, of one or of two processes."""
    fd = memfd(200 * MIB)
    pids = crew.start_many(6, mapping, partial(mapped, fd))
    crew.move(pids[0])
    while True:
        for giver, taker in zip(pids, pids[1:] + pids[:1]):
            yield 0.5
            crew.move(taker)
            yield 0.5
            crew.move(giver)


def share(crew: Crew) -> Moves:
    """A process makes private memory shared, and back, at the same RSS: 200 and 100 MiB."""
    fd = memfd(100 * MIB)
    crew.start(holding, partial(mapped, fd))
    pid = crew.start(swapping, partial(taken, 100 * MIB), partial(mapped, fd))
    while True:
        yield 1.2
        crew.move(pid)


def exchange(crew: Crew) -> Moves:
    """Two processes do that at the same time, one the other way round: 200 MiB."""
    fd = memfd(100 * MIB)
    crew.start(holding, partial(mapped, fd))
    makes = [partial(taken, 100 * MIB), partial(mapped, fd)]
    pids = [crew.start(swapping, *makes), crew.start(swapping, *reversed(makes))]
    while True:
        yield 2
        crew.move(*pids)


def private_file(crew: Crew) -> Moves:
    """Three processes write to private pages of a file, at the same RSS: 200 to 600 MiB."""
    while True:
        pids = crew.start_many(3, rewriting_file, crew.path, 10 * MIB)
        for _ in range(20):
            yield 0.2
            crew.move(*pids)
        yield 1
        crew.end(*pids)


def truncate(crew: Crew) -> Moves:
    """One of three who share a memfd takes half of it away, and makes it anew: 300 and 150."""
    fd = memfd(300 * MIB)
    pid = crew.start(truncating, fd, 300 * MIB)
    crew.start_many(2, holding, partial(mapped, fd))
    while True:
        yield 0.5
        crew.move(pid)


def refault(crew: Crew) -> Moves:
    """Forks drop parts of what they share and take new pages: 200 MiB + 10 a move, to 800."""
    memory = taken(200 * MIB)
    while True:
        pids = [crew.start(renewing, memory, 10 * MIB, mmap.MADV_NOHUGEPAGE) for _ in range(3)]
        for pid in pids * 20:
            yield 0.15
            crew.move(pid)
        crew.end(*pids)


def threads(crew: Crew) -> Moves:
    """Eight threads take and give back 40 MiB each: 320 and 160 MiB."""
    pid = crew.start(threading, 320 * MIB, 8)
    while True:
        yield 0.3
        crew.move(pid)


def vfork(crew: Crew) -> Moves:
    """A process of 300 MiB hangs in a vfork for a while: 300 MiB."""
    with tempfile.TemporaryDirectory(prefix="restless-") as folder:
        fifo = f"{folder}/fifo"
        os.mkfifo(fifo, 0o600)
        pid = crew.start(spawning, 300 * MIB, fifo)
        while True:
            yield 0.2
            crew.tell(pid)
            try:
                yield 0.1
            finally:  # also at the end: its child hears of nothing else
                os.close(os.open(fifo, os.O_WRONLY))
                crew.hear(1)


def resize(crew: Crew) -> Moves:
    """Four processes let mremap(2) move what they have: 200 and 400 MiB."""
    pids = crew.start_many(4, resizing, 50 * MIB, 100 * MIB)
    while True:
        yield 0.25
        crew.move(*pids)


def dice(crew: Crew) -> Moves:
    """Eight processes do any of this by dice: what a full read says."""
    memory, fds = taken(100 * MIB), [memfd(size * MIB) for size in (20, 40, 60)]
    pids = [crew.start(improvising, number, memory, fds) for number in range(8)]
    while True:
        yield 0.1
        crew.move(*pids)


def insider(crew: Crew) -> Moves:
    """Map --file, and stay so: 200 MiB, half of it while an outsider maps it too."""
    crew.start(holding, partial(file_mapped, crew.path))
    while True:
        yield 1


def outsider(crew: Crew) -> Moves:
    """Map --file and leave it, started outside of the insider's tree: 0 and 100 MiB."""
    pid = crew.start(mapping, partial(file_mapped, crew.path))
    while True:
        yield 5
        crew.move(pid)


class Case(NamedTuple):
    work: Callable[[Crew], Moves]
    moves: int = 1  # from one plateau to the next


CASES = {
    "churn": Case(churn, 5),
    "modest": Case(
        partial(churn, large=600, churned=24, workers=12, growth=24, step=128 * KIB), 30
    ),
    "crowd60": Case(partial(crowd, count=60), 4),
    "crowd300": Case(partial(crowd, count=300), 4),
    "crowd900": Case(partial(crowd, count=900), 4),
    "one-of-many": Case(one_of_many),
    "frames": Case(frames),
    "huge": Case(partial(copy, work=renewing, pages=[mmap.MADV_HUGEPAGE]), 5),
    "outsider": Case(outsider),
    "insider": Case(insider),
    "brief": Case(brief, 3),
    "cow": Case(partial(copy, work=rewriting), 5),
    "collapse": Case(partial(copy, work=collapsing), 5),
    "trickle": Case(trickle, 50),
    "poke": Case(poke, 4),
    "snapshot": Case(snapshot, 4),
    "storm": Case(storm),
    "burst": Case(burst),
    "turnover": Case(turnover, 5),
    "heirs": Case(heirs, 3),
    "exec": Case(exec_),
    "relay": Case(relay, 8),
    "hand-round": Case(hand_round, 3),
    "share": Case(share),
    "exchange": Case(exchange),
    "private-file": Case(private_file, 7),
    "truncate": Case(truncate),
    "refault": Case(refault, 16),
    "threads": Case(threads),
    "vfork": Case(vfork),
    "resize": Case(resize),
    "dice": Case(dice, 10),
}
FILE_MIB = 200


# ---------------------------------------------------------------- main


def stand(pauses: Moves, moves: int) -> None:
    """Stand still after so many moves, until there is a line on stdin."""
    for number, _ in enumerate(pauses):
        if number % moves == 0:
            print("plateau", number // moves + 1, flush=True)
            if not sys.stdin.readline():
                return


def run(pauses: Moves, seconds: float) -> None:
    """Move on and on for so many seconds."""
    end = None
    for pause in pauses:
        end = end or time.monotonic() + seconds  # from when all have started
        left = end - time.monotonic()
        time.sleep(max(0, min(pause, left)))
        if pause >= left:
            return


@contextlib.contextmanager
def file_of(path: str | None) -> Iterator[str]:
    """A file to map: a given one, or one without blocks, on a disk, as tmpfs is shared memory."""
    if path:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="restless-", dir="/var/tmp") as file:
        os.truncate(file.fileno(), FILE_MIB * MIB)
        yield file.name


def listing() -> str:
    lines = []
    for name, case in CASES.items():
        work = case.work.func if isinstance(case.work, partial) else case.work
        lines.append(f"  {name:13}{work.__doc__.splitlines()[0]}")
    return "\n".join(lines)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Programs of known memory that do not stand still.", allow_abbrev=False
    )
    add = parser.add_argument
    add("case", choices=CASES, nargs="?", metavar="CASE", help="see --list")
    add("--seconds", type=float, default=10, metavar="N", help="move so long (%(default)s)")
    add("--plateaus", action="store_true", help="stand still until there is a line on stdin")
    add("--file", metavar="PATH", help="map this file (one that ends with it)")
    add("--list", action="store_true", help="the cases, and the sum of PSS of each")
    args = parser.parse_args(argv)
    if not args.case and not args.list:
        parser.error("a CASE is missing; --list shows them")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    if args.list:
        print(listing())
        return 0
    gc.disable()  # it would write to pages that the processes share
    signal.pthread_sigmask(signal.SIG_BLOCK, GO)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    case = CASES[args.case]
    with file_of(args.file) as path, contextlib.closing(case.work(Crew(path))) as pauses:
        stand(pauses, case.moves) if args.plateaus else run(pauses, args.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
