"""memory.py's sampler where forks and exits fall between a poll and a read, or two reads."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas
import psutil
import pytest

import memory
from conftest import LIMIT, MIB, wait_for

OBEYING = """
import mmap, os, signal, sys, time
a = mmap.mmap(-1, 100 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
a.madvise(mmap.MADV_NOHUGEPAGE)
def rewrite(a=a):
    for n in range(0, len(a), 4096): a[n] ^= 1
def fork(child=lambda: wait()):
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    return pid
rewrite()
def wait():
    time.sleep(60)
for line in iter(sys.stdin.readline, ""):
    exec(line)
    print("done", flush=True)
"""


@contextlib.contextmanager
def obeying() -> Iterator[tuple]:
    """A process of 100 MiB, a sampler that has read it, and what has it run a line of Python."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parent = subprocess.Popen([sys.executable, "-uc", f"{OBEYING}# {os.getpid()}"], **pipes)
    started = []

    def do(line: str) -> None:
        print(line, file=parent.stdin, flush=True)
        assert parent.stdout.readline() == "done\n"
        started.extend(psutil.Process(parent.pid).children(recursive=True))

    try:
        do("pass")
        sampler = memory.Sampler(memory.Tree([psutil.Process(parent.pid)]))
        sampler.sample()
        yield parent, sampler, do
    finally:
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        parent.kill()
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()


def full_sum(sampler: memory.Sampler) -> int:
    """The sum of PSS that a full read has now."""
    total = 0
    for pid in sampler.tree.known:
        with contextlib.suppress(OSError, KeyError):
            total += memory.parse_sizes(memory.read_file(f"/proc/{pid}/smaps_rollup"))["Pss"]
    return total


def check(sampler: memory.Sampler, everything: bool = False) -> None:
    """The next two samples are what a full read shows, or say that they may not be."""
    for _ in range(2):
        shown = sum(process.memory.part for process in sampler.sample(everything))
        true = full_sum(sampler)
        bound = sampler.uncertain + memory.NEGLIGIBLE
        assert abs(shown - true) <= max(3 * MIB, 0.02 * true, bound)
        everything = False
        time.sleep(0.1)
    assert sampler.uncertain == 0


def check_unread(sampler: memory.Sampler) -> None:
    """The same of a sample that reads nothing."""
    sampler.read_cost, sampler.peak = LIMIT, 2**40
    shown = sum(process.memory.part for process in sampler.sample())
    true = full_sum(sampler)
    assert abs(shown - true) <= max(3 * MIB, 0.02 * true, 1.01 * sampler.uncertain)


def test_what_a_fork_maps_need_not_be_its_parents():
    """A worker that maps its own part of the data, where its parent has mapped more than that."""
    Path("a").write_bytes(bytes(60 * MIB))
    Path("b").write_bytes(bytes(40 * MIB))
    with obeying() as (_, sampler, do):
        do("def reads(name): m = mmap.mmap(os.open(name, 0), 0, prot=1); m[::4096]; return m")
        do("a = a, reads('a'); r, w = os.pipe()")
        check(sampler, everything=True)
        do("def child(): m = reads('b'); os.write(w, b'.'); wait()")
        do("fork(child); os.read(r, 1)")
        check_unread(sampler)


def test_what_a_fork_has_copied_before_it_is_found_is_uncertain():
    with obeying() as (_, sampler, do):
        do("r, w = os.pipe()")
        do("def child(): rewrite(); os.write(w, b'.'); wait()")
        do("fork(child); os.read(r, 1)")
        check_unread(sampler)
        assert sampler.uncertain > 95 * MIB


def test_what_forks_share_and_read_back_from_swap_is_uncertain(swap):
    """The growth of each may be the same pages."""
    with obeying() as (_, sampler, do):
        do("b = mmap.mmap(-1, 12 << 20, flags=34); b.madvise(mmap.MADV_NOHUGEPAGE); rewrite(b)")
        do("b.madvise(21)  # MADV_PAGEOUT")
        do("r, w = os.pipe(); r2, w2 = os.pipe()")
        do("def child(): os.read(r, 1); b[::4096]; os.write(w2, b'.'); wait()")
        do("fork(child)")
        check(sampler, everything=True)
        assert sum(process.memory.swap for process in sampler.sample()) > 10 * MIB
        do("b[::4096]; os.write(w, b'.'); os.read(r2, 1)")
        check_unread(sampler)
        assert sampler.uncertain > 10 * MIB


@contextlib.contextmanager
def after_its_read(monkeypatch, pid: int, act: Callable[[], None]) -> Iterator[None]:
    """Something is done once, right after a process was read."""
    full_read, done = memory.full_read, []

    def read_and_act(process):
        found = full_read(process)
        if process.pid == pid and not done:
            done.append(pid)
            act()
        return found

    monkeypatch.setattr(memory, "full_read", read_and_act)
    yield
    assert done


def test_a_parent_that_rewrites_all_after_a_fork_and_is_idle_then():
    """All of it between two samples: page faults are the only sign, and no more come."""
    with obeying() as (_, sampler, do):
        do("fork(); rewrite()")
        check(sampler)
        assert full_sum(sampler) > 200 * MIB


@pytest.mark.parametrize("times", [1, 99])
def test_a_fork_while_its_parent_is_read_that_execs_before_the_next_poll(monkeypatch, times):
    """The parent's PSS was half; what the fork is by then is small, and shares nothing."""
    full_read, forked = memory.full_read, []

    def forking(process):
        if process.pid != parent.pid or len(forked) == times:
            return full_read(process)
        before = set(psutil.Process(parent.pid).children())
        do("fork(lambda: (signal.sigwait([10]), os.execvp('sleep', ['sleep', '60'])))")
        (child,) = set(psutil.Process(parent.pid).children()) - before
        forked.append(child.pid)
        found = full_read(process)
        child.send_signal(signal.SIGUSR1)
        wait_for(lambda: child.name() == "sleep")
        return found

    with obeying() as (parent, sampler, do):
        do("signal.pthread_sigmask(signal.SIG_BLOCK, [10])")
        monkeypatch.setattr(memory, "full_read", forking)
        shown = sum(process.memory.part for process in sampler.sample(everything=True))
        true = full_sum(sampler)
        assert len(forked) >= 1 and true > 100 * MIB
        assert abs(shown - true) <= max(3 * MIB, sampler.uncertain + memory.NEGLIGIBLE)
        assert sampler.uncertain == 0 if times == 1 else sampler.uncertain > 40 * MIB


def test_a_parent_that_ends_while_its_fork_is_not_read_yet():
    with obeying() as (parent, sampler, do):
        do("fork()")
        sampler.sample()
        sampler.read_cost = LIMIT  # nothing is due
        parent.kill()
        parent.wait()
        shown = sum(process.memory.part for process in sampler.sample())
        true = full_sum(sampler)
        assert shown <= true + MIB and true > 100 * MIB
        assert shown + sampler.uncertain == pytest.approx(true, abs=4 * MIB)
        sampler.read_cost = 0
        shown = sum(process.memory.part for process in sampler.sample())
        assert shown == pytest.approx(true, abs=MIB) and sampler.uncertain == 0


def test_a_fork_of_a_fork_is_held_against_its_own_parent():
    """All three have the same stack, but the first has none of the memory that is rewritten."""
    with obeying() as (parent, sampler, do):
        do("signal.signal(signal.SIGUSR1, lambda *_: None)")
        do(
            "def own(): a.close(); b = mmap.mmap(-1, 200 << 20, flags=34); b.madvise(15); "
            "rewrite(b); signal.pause(); fork(); rewrite(b); wait()"
        )
        do("fork(own)")
        (child,) = psutil.Process(parent.pid).children()
        wait_for(lambda: child.memory_info().rss > 200 * MIB and child.status() == "sleeping")
        check(sampler)
        child.send_signal(signal.SIGUSR1)
        wait_for(lambda: child.children() and child.memory_full_info().uss > 200 * MIB)
        check_unread(sampler)
        assert full_sum(sampler) > 480 * MIB
        child.children()[0].kill()


def test_what_a_fork_has_taken_before_it_is_seen_is_its_own():
    with obeying() as (parent, sampler, do):
        do("def more(): b = mmap.mmap(-1, 60 << 20, flags=34); b.madvise(14); rewrite(b); wait()")
        do("fork(more)")
        (child,) = psutil.Process(parent.pid).children()
        wait_for(lambda: child.memory_info().rss > 160 * MIB and child.status() == "sleeping")
        check_unread(sampler)


TWICE = """
import mmap, sys, time
a = mmap.mmap(-1, 60 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
a.madvise(14)  # huge pages: a fault each, which 2 MiB follow
a.write(bytes(len(a)))
time.sleep(60)
"""


def test_programs_are_no_forks_where_addresses_are_not_random():
    words = ["setarch", "-R", "sh", "-c", 'read x; "$@" & "$@" & wait', "sh"]
    words += [sys.executable, "-c", TWICE]
    shell = subprocess.Popen(words, stdin=subprocess.PIPE)
    handle = psutil.Process(shell.pid)
    try:
        wait_for(lambda: handle.name() == "sh")
        sampler = memory.Sampler(memory.Tree([handle]))
        sampler.sample()
        shell.stdin.write(b"\n")
        shell.stdin.close()
        sleeping = [("sleeping", True)] * 2
        wait_for(
            lambda: (
                sleeping
                == [(c.status(), c.memory_info().rss > 60 * MIB) for c in handle.children()]
            )
        )
        check_unread(sampler)
        assert full_sum(sampler) > 120 * MIB
    finally:
        for process in (*handle.children(), shell):
            process.kill()
        shell.wait()


@pytest.mark.parametrize("seen_by", [4, 5])
@pytest.mark.parametrize("tries", [LIMIT, 0])
def test_a_fork_that_comes_and_goes_beside_idle_ones(monkeypatch, tries, seen_by):
    """Five share 100 MiB, and are read (or all but their parent) while a sixth has its share."""
    full_read, read = memory.full_read, []

    def read_beside_one_more(process):
        read.append(process.pid)
        if len(read) == 1:
            do("child = fork()")
        found = full_read(process)
        if len(read) == seen_by:
            do("os.kill(child, 9), os.waitpid(child, 0)")
        return found

    monkeypatch.setattr(memory, "READ_SECONDS", tries)
    with obeying() as (_, sampler, do):
        do("for _ in range(4): fork()")
        check(sampler)
        monkeypatch.setattr(memory, "full_read", read_beside_one_more)
        shown = sum(process.memory.part for process in sampler.sample(everything=True))
        missing = full_sum(sampler) - shown
        if tries:
            assert abs(missing) < 2 * MIB
        else:
            assert 12 * MIB < missing < sampler.uncertain + MIB < 1.7 * missing


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("fork(lambda: (fork(lambda: (os.write(w, b'.'), wait())), wait())); os.read(r, 1)", ""),
        ("signal.signal(17, signal.SIG_IGN); one = fork()", "os.kill(one, 9); gone(one)"),
        ("some = [fork() for _ in range(6)]", "[(os.kill(n, 9), os.waitpid(n, 0)) for n in some]"),
    ],
    ids=["a fork's fork", "one that nobody reaps", "six"],
)
def test_forks_that_are_there_only_while_idle_ones_are_read(monkeypatch, begin, end):
    """What one shares and none of the others has is missing, whoever has it."""
    full_read, read = memory.full_read, []

    def read_beside_more(process):
        read.append(process.pid)
        if len(read) == 1:
            do(begin)
        found = full_read(process)
        if len(read) == 5:
            do(end)
        return found

    monkeypatch.setattr(memory, "READ_SECONDS", 0)
    with obeying() as (_, sampler, do):
        do("r, w = os.pipe()")
        do("def gone(pid): [0 for _ in iter(lambda: os.path.exists(f'/proc/{pid}'), False)]")
        do("for _ in range(2): fork()")
        do("def own(): b = mmap.mmap(-1, 30 << 20, 34); rewrite(b); os.write(w, b'.'); wait()")
        do("for _ in range(2): fork(own), os.read(r, 1)  # with private memory too")
        check(sampler, everything=True)
        monkeypatch.setattr(memory, "full_read", read_beside_more)
        shown = sum(process.memory.part for process in sampler.sample(everything=True))
        missing = full_sum(sampler) - shown
        assert 12 * MIB < missing < sampler.uncertain + 2 * MIB < 2 * missing


@pytest.mark.parametrize("until", ["", "status", "stat"])
def test_a_fork_of_large_memory_beside_a_pool_that_shares_alike(monkeypatch, until):
    """Its parent is read with half; what each of the many others has is much less than that."""
    full_read, read_file = memory.full_read, memory.read_file

    def forking(process):
        if process.pid == large.pid:
            large.send_signal(signal.SIGUSR1)
            wait_for(large.children)
            monkeypatch.setattr(memory, "read_file", reading)
        return full_read(process)

    def reading(path):
        """It is there until this file is read, or to the end."""
        if path == f"/proc/{large.pid}/{until}" and large.children():
            large.children()[0].kill()
            wait_for(lambda: not large.children())  # it has been reaped
        return read_file(path)

    monkeypatch.setattr(memory, "READ_SECONDS", 0)
    with obeying() as (parent, sampler, do):
        do("signal.pthread_sigmask(signal.SIG_BLOCK, [10])")
        do("fork(lambda: (rewrite(), signal.sigwait([10]), fork(), os.wait(), wait()))")
        (large,) = psutil.Process(parent.pid).children()
        do("for _ in range(20): fork()")
        wait_for(lambda: large.memory_full_info().uss > 90 * MIB)
        check(sampler, everything=True)
        monkeypatch.setattr(memory, "full_read", forking)
        shown = sum(process.memory.part for process in sampler.sample(everything=True))
        missing = full_sum(sampler) - shown
        for child in large.children():
            child.kill()
        assert 40 * MIB < missing < sampler.uncertain + MIB


def test_all_forks_of_a_parent_have_no_more_than_it_shares(monkeypatch):
    """One was there when it was read, with half; three have come since."""
    full_read = memory.full_read

    def forking(process):
        do("fork()")
        found = full_read(process)
        do("for _ in range(3): fork()")
        return found

    monkeypatch.setattr(memory, "READ_SECONDS", 0)
    with obeying() as (_, sampler, do):
        monkeypatch.setattr(memory, "full_read", forking)
        shown = sum(process.memory.part for process in sampler.sample(everything=True))
        missing = full_sum(sampler) - shown
        assert 40 * MIB < missing < sampler.uncertain + MIB < 2 * missing


def test_a_fork_has_no_share_of_a_parent_whose_files_alone_are_shared(monkeypatch):
    Path("a").write_bytes(bytes(60 * MIB))
    with obeying() as (parent, sampler, do), open("a", "rb") as file:
        ours = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert not any(ours[::4096])
        do("b = mmap.mmap(os.open('a', 0), 0, prot=1); b[::4096]")
        check(sampler, everything=True)
        monkeypatch.setattr(memory, "READ_SECONDS", 0)
        end = "os.waitpid(fork(lambda: None), 0)"
        with after_its_read(monkeypatch, parent.pid, lambda: do(end)):
            sampler.sample(everything=True)
        process = sampler.tree.known[parent.pid]
        assert process.memory.pss - process.memory.uss > 25 * MIB
        assert process.share < MIB and sampler.unassigned < 2 * MIB


def test_a_fork_that_comes_or_goes_while_nothing_is_read_leaves_nothing_open(monkeypatch):
    """Its share is in the PSS of the others."""
    monkeypatch.setattr(memory.Sampler, "count_pages", lambda sampler, _: None)  # the machine's
    with obeying() as (_, sampler, do):
        sampler.mapped = 2**40
        do("for _ in range(4): fork()")
        check(sampler, everything=True)
        sampler.unassigned = 0
        do("os.waitpid(fork(lambda: None), 0), fork()")
        check_unread(sampler)
        assert len(sampler.tree.known) == 6 and sampler.unassigned == 0


THREAD_IN_A_VFORK = """
import ctypes, os, threading, time
a = bytearray(50 << 20)
def hang():
    while ") Z" not in open(f"/proc/{os.getpid()}/stat").read(): time.sleep(0.01)
    opening = (os.POSIX_SPAWN_OPEN, 0, "fifo", os.O_RDONLY, 0)
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=[opening])
threading.Thread(target=hang).start()
ctypes.CDLL(None).pthread_exit(None)
"""


THREAD_IN_A_VFORK_BESIDE = """
import os, threading
a = bytearray(50 << 20)
opening = (os.POSIX_SPAWN_OPEN, 0, "fifo", os.O_RDONLY, 0)
spawn = {"file_actions": [opening]}
threading.Thread(target=os.posix_spawn, args=("/bin/true", ["true"], {}), kwargs=spawn).start()
"""


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (THREAD_IN_A_VFORK, memory.KCMP),
        (THREAD_IN_A_VFORK_BESIDE, memory.KCMP),
        (THREAD_IN_A_VFORK_BESIDE, -1),
    ],
    ids=["main thread ended", "beside the main thread", "kcmp refused"],
)
def test_a_vfork_of_a_second_thread(monkeypatch, code, number):
    """Where kcmp(2) is refused, as in Docker's containers, the waiting thread tells."""
    monkeypatch.setattr(memory, "KCMP", number)
    os.mkfifo("fifo")
    parent = subprocess.Popen([sys.executable, "-c", code])
    handle = psutil.Process(parent.pid)
    try:
        (child,) = wait_for(handle.children)
        wait_for(lambda: child.status() == "sleeping")  # in open()
        sampler = memory.Sampler(memory.Tree([handle]))
        (process,) = sampler.sample()
        assert process.pid == parent.pid and 50 * MIB < process.memory.pss < 70 * MIB
    finally:
        os.close(os.open("fifo", os.O_RDWR))  # the child's open() returns
        for process in (*handle.children(), parent):
            process.kill()
        parent.wait()


def test_a_fork_whose_own_parent_was_never_seen():
    """A double fork: the one in the middle has ended."""
    with obeying() as (parent, sampler, do):
        do("os.waitpid(fork(fork), 0)")
        sampler.tree.of_command, sampler.tree.me = True, psutil.Process(1)  # who has the orphan
        (orphan,) = [
            process
            for process in psutil.process_iter()
            if process.ppid() != parent.pid and process.pid != parent.pid and is_copy(process)
        ]
        try:
            sampler.tree.known[orphan.pid] = memory.Process(orphan)
            shown = sum(process.memory.part for process in sampler.sample())
            assert len(sampler.tree.known) == 2 and shown < 120 * MIB
            check(sampler)
        finally:
            orphan.kill()


def is_copy(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[-1:] == [f"{OBEYING}# {os.getpid()}"]
    return False


def test_a_parent_that_ends_after_it_was_read(monkeypatch):
    with obeying() as (parent, sampler, do):
        do("fork()")
        sampler.sample(everything=True)
        with after_its_read(monkeypatch, parent.pid, lambda: (parent.kill(), parent.wait())):
            check(sampler, everything=True)


def test_a_fork_that_ends_before_its_first_read(monkeypatch):
    with obeying() as (parent, sampler, do):
        do("child = fork()")
        end = "os.kill(child, signal.SIGKILL); os.waitpid(child, 0)"
        with after_its_read(monkeypatch, parent.pid, lambda: do(end)):
            check(sampler, everything=True)


def test_a_parent_that_rewrites_all_after_it_was_read(monkeypatch):
    with obeying() as (parent, sampler, do):
        do("fork()")
        sampler.sample(everything=True)
        with after_its_read(monkeypatch, parent.pid, lambda: do("rewrite()")):
            check(sampler, everything=True)


def test_a_zombie_does_not_have_others_read_again(monkeypatch):
    full_read, read = memory.full_read, []

    def counted(process):
        read.append(process.pid)
        return full_read(process)

    with obeying() as (parent, sampler, do):
        do("child = fork(lambda: None)")
        wait_for(lambda: psutil.Process(parent.pid).children()[0].status() == "zombie")
        monkeypatch.setattr(memory, "full_read", counted)
        sampler.sample(everything=True)
        assert read == [parent.pid]


SERVER = """
import mmap, os, sys, time
a = mmap.mmap(-1, 100 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for n in range(0, len(a), 4096): a[n] = 1
end = time.monotonic() + 3
while time.monotonic() < end:
    if os.fork() == 0:
        time.sleep(0.015)
        os._exit(0)
    os.wait()
"""


def test_short_lived_forks_are_not_taken_for_sharers_outside_of_the_tree():
    """What the one that is just there has of its parent is not missed for good, or it is said."""
    args = ["--quiet", "--csv", "s.csv", sys.executable, "-c", SERVER]
    assert memory.main(args) == 0
    rows = pandas.read_csv("s.csv", comment="#")
    sums = rows[rows.pid > 0].groupby("time").pss.sum()
    sums = sums[(sums.index > 0.5) & (sums.index < 2.8)]
    lines = [line.split() for line in Path("s.csv").read_text().splitlines()]
    said = {float(words[2]) for words in lines if words[:2] == ["#", "uncertain:"]}
    silent = [size for at, size in sums.items() if size < 95 * MIB and at not in said]
    assert len(sums) > 5 and len(silent) <= len(sums) / 10


def test_a_long_status_file_is_read_whole(monkeypatch):
    """A user of 400 groups has 4 KiB of them before the sizes."""
    read_file = memory.read_file
    groups = b"Groups:\t" + b" ".join(b"%d" % (10**9 + n) for n in range(400)) + b"\n"
    Path("status").write_bytes(groups + read_file("/proc/self/status"))
    assert memory.parse_sizes(read_file("status"))["VmHWM"] > MIB


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc/self/fd")
def test_json_goes_to_a_pipe_that_is_named_as_a_file():
    read, write = os.pipe()
    assert memory.main(["--quiet", "--json", f"/proc/self/fd/{write}", "true"]) == 0
    os.close(write)
    with os.fdopen(read) as file:
        assert '"exit_status": 0' in file.read()


def test_a_process_whose_thread_has_just_ended_stays_in_the_sample(monkeypatch):
    """The one that it is read through: the process goes on, with what was read last."""
    with obeying() as (_, sampler, _do):
        shown = sampler.total

        def gone(_):
            raise ProcessLookupError

        monkeypatch.setattr(memory.Process, "poll", lambda process, _: gone(process))
        (process,) = sampler.sample()
        assert process.memory.pss == sampler.total == shown > 100 * MIB


def test_less_than_half_a_mib_is_not_reported():
    with obeying() as (_, sampler, _do):
        (process,) = sampler.sample()
        small = process.memory._replace(pss=5 * MIB)
        for size, said in ((MIB // 2, False), (MIB // 2 + 1, True)):
            process.memory, process.uncertain = small, size
            _, uncertain, limit = sampler.sums([process])
            assert uncertain == size and (uncertain > limit) == said


def test_measuring_that_breaks_off_leaves_its_samples_and_says_where(monkeypatch, capsys):
    """As where there are no more descriptors: the third sample fails."""
    sample, taken = memory.Sampler.sample, []

    def failing(sampler, everything=False):
        taken.append(sampler)
        if len(taken) > 2:
            raise OSError(24, "Too many open files")
        return sample(sampler, everything)

    monkeypatch.setattr(memory.Sampler, "sample", failing)
    assert memory.main(["--quiet", "--csv", "s.csv", "sleep", "0.6"]) == 125
    said = capsys.readouterr().err
    assert "broken off, and what was measured runs on: [Errno 24] Too many open files" in said
    assert "the samples are kept: draw them again with --in s.csv" in said
    assert Path("s.csv").read_text().count('"system"') == 2


HOPPING = """
import os, sys, time
end = time.monotonic() + float(sys.argv[1])
if os.fork(): os._exit(0)
while time.monotonic() < end:
    if os.fork(): os._exit(0)
open("hopped", "w").close()
"""


def hop(*options: str) -> int:
    """The exit status of memory.py with such a chain of 1.5 s."""
    words = [*options, sys.executable, "-c", HOPPING, "1.5"]
    return subprocess.run([sys.executable, memory.__file__, "--quiet", *words]).returncode


def test_a_run_lasts_as_long_as_a_chain_of_processes_that_fork_and_end():
    """A list of such processes may be empty at any moment; only wait4(2) knows who is left."""
    assert hop("--interval", "0.01") == 0 and os.path.exists("hopped")


def test_duration_leaves_no_chain_of_processes_that_fork_and_end():
    assert hop("--duration", "0.3") == 0
    ended_by_itself = os.path.exists("hopped")
    time.sleep(2)
    assert os.path.exists("hopped") == ended_by_itself


def test_a_child_from_before_does_not_hold_up_the_end():
    words = [sys.executable, memory.__file__, "--quiet", "--interval", "9", "--json", "s.json"]
    script = 'sleep 9 & echo $!; exec "$@"'
    command = ["sh", "-c", script, "sh", *words, "sh", "-c", "sleep 0.3; exit 7"]
    shell = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    older = psutil.Process(int(shell.stdout.readline()))
    try:
        assert shell.wait() == 7 and older.is_running()
        assert json.loads(Path("s.json").read_text())["duration"] < 5
    finally:
        older.kill()
        shell.stdout.close()


FREEING = """
import ctypes, mmap, sys, threading
def work():
    for line in iter(sys.stdin.readline, ""):
        if line == "take\\n":
            a = mmap.mmap(-1, 48 << 20)
            a.write(b"x" * len(a))
        else:
            a.close()
        print("done", flush=True)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_what_is_freed_after_the_main_thread_has_ended():
    """The main thread is a zombie, and its /proc/PID/stat never changes again."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    target = subprocess.Popen([sys.executable, "-c", FREEING], **pipes)

    def do(line: str) -> None:
        print(line, file=target.stdin, flush=True)
        assert target.stdout.readline() == "done\n"

    try:
        do("take")
        wait_for(lambda: psutil.Process(target.pid).status() == "zombie")
        sampler = memory.Sampler(memory.Tree([psutil.Process(target.pid)]))
        sampler.sample()
        for line, size in (("free", 0), ("take", 48), ("free", 0)) * 2:
            do(line)
            (process,) = sampler.sample()
            assert size * MIB <= process.memory.pss <= (size + 30) * MIB
            assert process.tid != process.pid
    finally:
        target.kill()
        target.communicate()


def test_no_part_of_a_file_is_left_that_cannot_be_put_in_place(monkeypatch):
    """As in a sticky folder, where the file is another user's."""
    Path("s.json").write_text("before")
    monkeypatch.setattr(memory.os, "replace", lambda *_: os.stat("/proc/nobody"))
    assert memory.main(["--quiet", "--json", "s.json", "--csv", "s.csv", "true"]) == 125
    assert Path("s.json").read_text() == "before"
    assert sorted(os.listdir(".")) == ["s.csv", "s.json"]
