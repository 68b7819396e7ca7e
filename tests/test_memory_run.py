"""memory.py with real processes: what it counts, and that its figures are right."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas
import psutil
import pytest

import memory
from conftest import LIMIT, MIB, TREE, Workload, alive, load, run, start, wait_for

SUMS = ("rss", "pss", "uss")


FIELDS = memory.Memory._fields


def sampler_of(pid: int) -> memory.Sampler:
    """A sampler that watches a process and its descendants."""
    return memory.Sampler(memory.Tree([psutil.Process(pid)]))


def measured(pid: int) -> dict[str, int]:
    """One sample of a process and its descendants, summed by field."""
    memories = [process.memory for process in sampler_of(pid).sample()]
    return dict(zip(FIELDS, map(sum, zip(*memories))))


PARTS = {
    "private": ["--private", 50, "--children", 3],
    "shared by fork": ["--shared", 120, "--forks", 5],
    "rewritten after fork": ["--rewrite", 80],
    "file mapping": ["--file", 120],
    "shared memory": ["--shm", 60],
    "child of a second thread": ["--thread", 120],
    "daemon": ["--daemon", 120],
    "in the middle of vfork": ["--vfork", 120],
    "main thread ended": ["--leaderless", 120],
}


@pytest.mark.parametrize("part", PARTS)
def test_known_truth_of_each_part(part):
    check_truth(PARTS[part])


def test_known_truth_of_all_parts():
    check_truth([word for words in PARTS.values() for word in words])


def check_truth(words: list[object]) -> None:
    """Run a workload and its idle copy under memory.py: the difference is what it holds.

    A sample in the middle of the touching may count shared pages twice (README, Limits), and be
    the peak: then once more.
    """
    if not any(truth_holds(words) for _ in range(3)):
        pytest.fail("the peak of PSS was wrong three times")


def truth_holds(words: list[object]) -> bool:
    """Whether the peak is right; all that was held in rest must be right."""
    found, held = {}, {}
    for kind, more in (("full", []), ("idle", ["--idle"])):
        words_ = [*TREE, *map(str, words), "--seconds", "5", *more]
        args = ["--json", "s.json", "--csv", "s.csv", "--interval", "0.1", "--quiet"]
        result = run(*args, *words_)
        assert result.returncode == 0, result.stderr
        found[kind], held[kind] = load("s.json"), while_held("s.csv")
    with Workload(*words) as workload:
        expected = workload.expected
    full, idle = found["full"], found["idle"]
    for name, size in expected.items():
        difference = held["full"][name] - held["idle"][name]
        assert difference == pytest.approx(size, rel=0.02, abs=1.5 * MIB), name
    assert sum(use["pss_at_peak"] for use in full["by_process"]) == full["pss"]["peak"]
    assert full["unreadable"] == 0
    difference = full["pss"]["peak"] - idle["pss"]["peak"]
    return difference == pytest.approx(expected["pss"], rel=0.02, abs=1.5 * MIB)


def while_held(path: str) -> pandas.Series:
    """The sums by field while a workload holds what it holds: it ends 5 s after all is there."""
    rows = pandas.read_csv(path, comment="#").query("pid > 0")
    sums = rows.groupby("time")[list(FIELDS)].sum()
    end = sums.index.max()
    return sums[(sums.index > end - 1.7) & (sums.index < end - 0.2)].median()


def no_counts(sampler: memory.Sampler, _: object) -> None:
    """In place of those of the whole machine."""
    sampler.mapped = 2**40


@contextlib.contextmanager
def at_rest(*words: object) -> Iterator[Workload]:
    """A workload whose processes are stopped: not even a page fault is in between."""
    with Workload(*words) as workload:
        parent = psutil.Process(workload.pid)
        processes = [parent, *parent.children(recursive=True)]
        try:
            for process in processes:
                process.suspend()
                wait_for(lambda process=process: process.status() == psutil.STATUS_STOPPED)
            yield workload
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """The pids of which smaps_rollup is read, in turn."""
    full_read, pids = memory.full_read, []

    def counted(process):
        pids.append(process.pid)
        return full_read(process)

    monkeypatch.setattr(memory, "full_read", counted)
    return pids


PAGE = memory.PAGE_SIZE
# 150 pages resident, of which 100 are anonymous: 70 of these are its part, 30 that of others
READ = memory.Reading(
    memory.Memory(*(PAGE * n for n in (150, 100, 80, 5, 70, 20, 10))),
    100 * PAGE,
    50 * PAGE,
    1000,
    30 * PAGE,
)


@pytest.mark.parametrize(
    ("anon", "mapped", "carried"),
    [
        (100, 50, (150, 100, 80, 5, 70, 20, 10)),
        (110, 50, (160, 110, 90, 5, 80, 20, 10)),  # grown: all its own
        (90, 50, (140, 90, 70, 5, 60, 20, 10)),
        (10, 50, (60, 30, 0, 5, 0, 20, 10)),  # nothing is less than nothing
        (100, 100, (200, 130, 80, 5, 70, 40, 20)),  # of what is mapped it has the same part
        (100, 0, (100, 70, 70, 5, 70, 0, 0)),  # USS is a part of PSS
    ],
)
def test_a_reading_is_carried_forward(anon, mapped, carried):
    found = memory.carried(READ, anon * PAGE, mapped * PAGE)
    assert found == tuple(PAGE * n for n in carried)
    unread = READ._replace(memory=memory.Memory(150 * PAGE))
    assert memory.carried(unread, anon * PAGE, mapped * PAGE) == (
        (anon + mapped) * PAGE,
        *[None] * 6,
    )


@pytest.mark.parametrize(
    ("anon", "mapped", "faults", "pages"),
    [
        (100, 50, 0, 0),
        (110, 50, 10, 0),  # each fault is a new page
        (100, 60, 10, 10 + 6),  # new to the tree or not: its part of what is mapped is 3 of 5
        (110, 50, 25, 15),  # of these faults 15 may have copied what was shared
        (110, 60, 11, 1 + 6),  # one fault may map 16 pages of a file: the others may be copies
        (110, 60, 25, 15 + 6),
        (100, 50, 70, 60),  # at most what is shared, and once more what was copied of that
        (93, 50, 0, 7),  # what was freed may have been shared
        (93, 50, 4, 11),
        (100, 43, 0, 7),
        (100, 10, 0, 30),  # it has no more than 30 in the sum
    ],
)
def test_what_a_reading_carried_forward_leaves_open(anon, mapped, faults, pages):
    now = anon * PAGE, mapped * PAGE, 1000 + faults
    assert memory.unexplained(READ, *now) == pages * PAGE
    assert memory.unexplained(READ._replace(blurred=9 * PAGE), *now) == (pages + 9) * PAGE
    assert memory.unexplained(READ._replace(memory=memory.Memory(150 * PAGE)), *now) == 0
    back = min(max(0, anon - 100), 6)  # pages from swap, where three may have been shared by two
    assert memory.unexplained(READ._replace(shared_swap=3 * PAGE), *now) == (pages + back) * PAGE
    if mapped > 50:  # with a part of 1 in 5 they may be others'
        few = READ.memory._replace(file=10 * PAGE, shmem=0)
        more = memory.unexplained(READ._replace(memory=few), *now) - pages * PAGE
        assert more == (8 - 6) * PAGE


def test_swap_that_was_shared_may_be_so_until_it_leaves(monkeypatch):
    """The last one that has a page in swap has all of it, though others may have it in RAM."""
    read_file, swap = memory.read_file, [0, 0]

    def swapped(path):
        sizes = b"Swap: %d kB\nSwapPss: %d kB\n" % tuple(size * 1024 for size in swap)
        return (
            sizes + read_file(path).replace(b"\nSwap", b"\nWas")
            if "rollup" in path
            else read_file(path)
        )

    with at_rest("--private", 1) as workload:
        process = max(sampler_of(workload.pid).sample(), key=lambda process: process.memory.rss)
        monkeypatch.setattr(memory, "read_file", swapped)
        for now, shared in (((10, 10), 0), ((10, 6), 4), ((10, 10), 4), ((3, 3), 3), ((0, 0), 0)):
            swap[:] = now
            process.reading = memory.full_read(process)
            assert process.reading.shared_swap == shared * MIB


def test_of_a_process_that_is_not_read_yet_what_it_has_mapped_is_open():
    nothing = memory.Reading(memory.Memory(0, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0)
    assert memory.carried(nothing, 8 * PAGE, 5 * PAGE) == (
        13 * PAGE,
        8 * PAGE,
        8 * PAGE,
        0,
        8 * PAGE,
        0,
        0,
    )
    assert memory.unexplained(nothing, 8 * PAGE, 5 * PAGE, 13) == 5 * PAGE


def test_what_new_processes_map_is_not_more_than_the_machine_has_mapped():
    with at_rest("--private", 1) as workload:
        sampler = sampler_of(workload.pid)
        living = sampler.poll()
        new = sum(process.resident[1] for process in living)
        others = sampler.unassigned + sum(process.uncertain for process in living) - new
        assert new > 4 * MIB and others >= 0
        for mapped, expected in ((2**40, new), (MIB, MIB), (0, 0)):
            sampler.mapped = mapped // PAGE
            assert sampler.sums(living)[1] == others + expected
        living = sampler.sample(everything=True)
        assert MIB < sampler.mapped * PAGE < 2**40  # the machine's
        for memory_ in (living[0].memory, memory.Memory(2**30)):  # one that was read, or cannot be
            living[0].memory, living[0].uncertain, sampler.mapped = memory_, 5 * MIB, 0
            assert sampler.sums(living[:1])[1] == sampler.unassigned + 5 * MIB
            living[0].reading = living[0].reading._replace(mapped=0)


@pytest.mark.parametrize(("before", "shared"), [(0, True), (40, False)])
def test_what_moved_between_the_poll_and_the_read_stays_uncertain(before, shared):
    """By 9 faults, as if they had come since: of memory that is shared now, or was before."""
    with at_rest(*(["--shared", 40, "--forks", 1] if shared else ["--private", 40])) as workload:
        process = max(sampler_of(workload.pid).sample(), key=lambda process: process.memory.rss)
        assert (process.reading.shared_anon > 15 * MIB) == shared
        assert memory.full_read(process).blurred == 0
        faults = process.stat.faults
        process.reading = process.reading._replace(shared_anon=before * MIB)
        process.stat = process.stat._replace(faults=faults - 9)
        process.high_water = 0
        found = memory.full_read(process)
        assert found.blurred == 9 * PAGE and process.stat.faults == found.faults == faults
        assert process.high_water >= process.stat.rss == sum(process.resident) > 40 * MIB


def test_counters_that_moved_while_they_were_read_are_not_taken(monkeypatch):
    """The kernel's counters were at 50 MiB before smaps_rollup, and are at 90 behind it."""
    read_file = memory.read_file

    def grown(path):
        text = read_file(path)
        return (
            text.replace(b"RssAnon:", b"RssAnon:\t   92160 kB\nWas:") if "status" in path else text
        )

    with at_rest("--private", 50) as workload:
        process = max(sampler_of(workload.pid).sample(), key=lambda process: process.memory.rss)
        before = memory.full_read(process)
        monkeypatch.setattr(memory, "read_file", grown)
        found = memory.full_read(process)
    assert process.resident == (found.anon, found.mapped)
    assert (found.anon, found.mapped) == pytest.approx((before.anon, before.mapped), abs=MIB)


def test_what_is_being_freed_while_it_is_read_is_uncertain(monkeypatch):
    """The mapping is gone from smaps_rollup already, the counters still have its 60 MiB."""
    read_file, more = memory.read_file, 60 * MIB

    def lagging(path):
        text = read_file(path)
        lags = b"RssFile:\t%d kB\nRssWas:" % (left // 1024)
        return text.replace(b"RssFile:", lags) if "status" in path else text

    with at_rest("--private", 50) as workload:
        process = max(sampler_of(workload.pid).sample(), key=lambda process: process.memory.rss)
        before = process.reading
        held = before.memory._replace(file=before.memory.file + more)
        process.reading = before._replace(memory=held, mapped=before.mapped + more)
        process.resident, left = (before.anon, before.mapped + more), more
        monkeypatch.setattr(memory, "read_file", lagging)
        found = memory.full_read(process)
        assert found.mapped == pytest.approx(before.mapped, abs=MIB)
        assert found.blurred == pytest.approx(more, abs=MIB)
        left = more // 2  # at the poll
        process.resident = found.anon, found.mapped + left
        process.reading, process.uncertain = found._replace(blurred=0), left
        assert memory.full_read(process).blurred == pytest.approx(left, abs=MIB)


@pytest.mark.parametrize("astray", [-40, -3, 3])
def test_counters_that_are_always_astray_do_no_harm(monkeypatch, astray):
    """By MiB: those that threads or CPUs have not added up yet, on kernels before 6.16."""
    read_file = memory.read_file

    def counted(path):
        text = read_file(path)
        if path == f"/proc/{pid}/statm":
            pages = list(map(int, text.split()))
            return b"%d %d %d" % (pages[0], pages[1] + astray * MIB // PAGE, pages[2])
        if path == f"/proc/{pid}/status":
            size = memory.parse_sizes(text)["RssAnon"] // 1024 + astray * 1024
            return text.replace(b"RssAnon:", b"RssAnon:\t%d kB\nWas:" % size)
        return text

    monkeypatch.setattr(memory.Sampler, "count_pages", no_counts)
    with at_rest("--private", 100) as workload:
        sampler = sampler_of(workload.pid)
        pid = max(sampler.sample(), key=lambda process: process.memory.rss).pid
        monkeypatch.setattr(memory, "read_file", counted)
        for _ in range(2):
            sampler.sample(everything=True)
        sampler.tree.known[pid].stat = sampler.tree.known[pid].stat._replace(rss=0)  # it has moved
        sampler.read_cost, sampler.peak = LIMIT, 2**40  # nothing is read
        sampler.sample()
        process = sampler.tree.known[pid]
        assert process.memory.pss == pytest.approx(process.reading.memory.pss, abs=MIB)
        assert sampler.uncertain == 0


def test_what_one_that_ends_has_shared_is_uncertain_until_the_others_are_read():
    with at_rest("--shared", 80, "--forks", 3) as workload:
        sampler = sampler_of(workload.pid)
        living = sampler.sample()
        total, ended = sampler.peak, living[-1]
        its = ended.reading.memory
        os.kill(ended.pid, signal.SIGKILL)
        wait_for(lambda: not alive(ended.pid))
        for _ in range(2):  # a zombie has nothing more to leave
            living = sampler.poll()
        assert ended not in living and ended.memory is None
        assert ended.uncertain == ended.largest == ended.high_water == 0
        assert sampler.unassigned == its.pss - its.uss > 10 * MIB
        assert sampler.sums(living)[0] == pytest.approx(total - its.pss, abs=MIB)
        assert sampler.sums(living)[1] >= sampler.unassigned
        sampler.read_cost = 0  # so that it may be read again at once
        sampler.sample()
        assert sampler.unassigned == 0 and sampler.sums(living)[1] < MIB
        assert sampler.sums(living)[0] == pytest.approx(total - its.uss, abs=MIB)


def test_a_process_begins_anew_when_it_execs():
    code = "import os; a = bytearray(60 << 20); print(); input(); os.execlp('sleep', 'sleep', '60')"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-uc", code], **pipes)
    try:
        child.stdout.readline()
        sampler = sampler_of(child.pid)
        (process,) = sampler.sample()
        assert process.largest > 60 * MIB and process.name.startswith("python")
        child.stdin.write(b"\n")
        child.stdin.close()
        wait_for(lambda: process.handle.name() == "sleep")
        assert sampler.sample() == [process]
        assert process.name == "sleep" and process.memory.rss <= process.largest < 10 * MIB
        assert process.high_water < 10 * MIB and sampler.kernel_peak > 60 * MIB
        assert sampler.largest > 60 * MIB
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_what_is_worth_a_read_has_a_budget_and_what_must_be_read_has_none(monkeypatch, read):
    """Of two processes that stand still one is said to be uncertain by a part of the sum."""
    counted, first = memory.full_read, {}

    def as_at_first(process):
        """Programs outside of the tree share Python's own pages, and come and go."""
        found = counted(process)
        return first.setdefault(process.pid, found)

    monkeypatch.setattr(memory, "full_read", as_at_first)
    monkeypatch.setattr(memory, "REFRESH_SECONDS", 3600)
    monkeypatch.setattr(memory.Sampler, "count_pages", no_counts)
    with at_rest("--private", 50) as workload:
        sampler = sampler_of(workload.pid)
        sampler.sample()
        pids = list(sampler.tree.known)[::-1]  # parents last
        process, total = sampler.tree.known[pids[0]], sampler.peak

        def reads(part, idle=60.0, peak=total) -> list:
            """What is read then, when the last read took 1 s of CPU and ended so long ago."""
            read.clear()
            process.uncertain, sampler.peak = round(total * part), peak
            sampler.read_cost, sampler.read_end = 1.0, time.monotonic() - idle
            sampler.sample()
            return list(read)

        soon, soonest = 20, 0.5
        assert len(pids) > 1 and reads(0) == []
        assert reads(0.008) == [] and reads(0.015) == pids
        assert reads(0.015, soon) == [] and sampler.uncertain == 0
        assert reads(0.03, soon) == pids and sampler.uncertain == 0
        assert reads(0.03, soonest) == []
        assert sampler.uncertain == pytest.approx(total * 0.03, abs=2**16)
        assert reads(0.008, peak=0) == pids and reads(0.001, peak=0) == []  # a new peak
        assert reads(0.03, soonest, peak=0) == pids and sampler.read_cost < 0.5
        process.uncertain, sampler.unassigned = 0, round(total * 0.015)  # some process's
        assert reads(0) == pids and sampler.unassigned == 0


@pytest.mark.parametrize(("seconds", "uncertain"), [(LIMIT, 0), (0, 40 * MIB)])
def test_what_moved_while_it_was_read_is_read_again_in_time(monkeypatch, read, seconds, uncertain):
    """Of two processes the first is said to have moved by 40 MiB when it was read."""
    full_read = memory.full_read

    def moved(process):
        found = full_read(process)
        return found._replace(blurred=40 * MIB) if len(read) == 1 else found

    monkeypatch.setattr(memory, "READ_SECONDS", seconds)
    monkeypatch.setattr(memory, "REFRESH_SECONDS", 3600)
    monkeypatch.setattr(memory.Sampler, "count_pages", no_counts)
    with at_rest("--private", 50) as workload:
        sampler = sampler_of(workload.pid)
        process, other = sampler.sample()
        read.clear()
        process.uncertain, sampler.read_cost = 20 * MIB, 0
        monkeypatch.setattr(memory, "full_read", moved)
        sampler.sample()
        both = [other.pid, process.pid]  # parents last
        assert read == (both if uncertain else both * 2)
        assert sampler.uncertain == pytest.approx(uncertain, abs=MIB)


def test_new_huge_pages_leave_open_what_they_may_have_copied_or_hidden(monkeypatch):
    """Of the kernel's counts, which are the whole machine's, as they are given here."""
    counts = {b"nr_mapped": 0, b"thp_fault_alloc": 3, b"thp_collapse_alloc": 7}
    monkeypatch.setattr(memory, "VMSTAT_RE", SimpleNamespace(findall=lambda _: counts.items()))
    monkeypatch.setattr(memory, "HUGE_PAGE", 2 * MIB)
    with at_rest("--shared", 80, "--forks", 1) as workload:
        sampler = sampler_of(workload.pid)
        living = sampler.sample()
        shared = sum(process.reading.shared_anon for process in living)
        assert sampler.huge_pages == 10 and shared > 40 * MIB
        sampler.total = 0  # as if they were all that is there
        for pages, expected in ((0, 0), (10, 20 * MIB), (1000, shared)):
            counts[b"thp_fault_alloc"] += pages
            sampler.unassigned = 0
            sampler.count_pages(living)
            assert sampler.unassigned == expected
        counts.update({b"thp_fault_alloc": 1, b"thp_collapse_alloc": 0})
        sampler.huge_pages = sampler.unassigned = 0  # the first since boot
        sampler.count_pages(living)
        assert sampler.unassigned == 2 * MIB


def test_huge_pages_that_come_while_all_are_read_are_counted_with_that_read(monkeypatch):
    counts, full_read = {b"nr_mapped": 2**40, b"thp_fault_alloc": 3}, memory.full_read

    def faulting(process):
        counts[b"thp_fault_alloc"] += 5
        return full_read(process)

    monkeypatch.setattr(memory, "VMSTAT_RE", SimpleNamespace(findall=lambda _: counts.items()))
    monkeypatch.setattr(memory, "HUGE_PAGE", 2 * MIB)
    with at_rest("--shared", 80, "--forks", 1) as workload:
        sampler = sampler_of(workload.pid)
        number = len(sampler.sample())
        monkeypatch.setattr(memory, "READ_SECONDS", 0)
        monkeypatch.setattr(memory, "full_read", faulting)
        sampler.sample(everything=True)
        assert sampler.uncertain == 5 * number * 2 * MIB


def test_everything_is_read_anew_as_often_as_that_is_cheap(monkeypatch, read):
    monkeypatch.setattr(memory, "REFRESH_SECONDS", 100)
    monkeypatch.setattr(memory.Sampler, "count_pages", no_counts)
    with at_rest("--private", 50) as workload:
        sampler = sampler_of(workload.pid)
        sampler.sample()
        for cost, ago, due in ((0, 50, 0), (0, 150, 1), (0.5, 80, 0), (1, 150, 0), (1, 250, 1)):
            read.clear()
            sampler.read_cost = cost
            sampler.read_end = time.monotonic() - ago
            sampler.sample()
            assert sorted(read) == sorted(sampler.tree.known) * due


def test_every_process_is_named_and_in_the_tree():
    words = [*TREE, "--daemon", "30", "--thread", "30", "--seconds", "1"]
    assert run("--json", "s.json", "--interval", "0.1", *words).returncode == 0
    names = {use["process"]: use["peak_pss"] for use in load("s.json")["by_process"]}
    for part in ("daemon", "thread"):
        assert any(part in name and size >= 30 * MIB for name, size in names.items()), names


@pytest.mark.parametrize("number", [memory.KCMP, -1], ids=["kcmp", "kcmp refused"])
def test_child_in_a_vfork_is_counted_once(monkeypatch, number):
    """Also where kcmp(2) is refused, as in Docker's containers: here there is no such call."""
    monkeypatch.setattr(memory, "KCMP", number)
    with Workload("--vfork", 60) as workload:
        naive = sum(
            memory.parse_sizes(memory.read_file(f"/proc/{p.pid}/smaps_rollup"))["Pss"]
            for p in psutil.Process(workload.pid).children(recursive=True)
        )
        assert naive >= 120 * MIB
        assert 60 * MIB <= measured(workload.pid)["pss"] <= 80 * MIB


@pytest.mark.parametrize("number", [memory.KCMP, -1], ids=["kcmp", "kcmp refused"])
def test_forked_processes_are_not_taken_for_vforks(monkeypatch, number):
    """Not even while their parent waits for something, as for a disk."""
    read_stat = memory.read_stat
    monkeypatch.setattr(memory, "KCMP", number)
    monkeypatch.setattr(memory, "read_stat", lambda *args: read_stat(*args)._replace(state="D"))
    with Workload("--shared", 40, "--forks", 3) as workload:
        assert len(sampler_of(workload.pid).sample()) == 5


def test_a_process_that_was_read_is_not_compared_with_its_parent_again(monkeypatch):
    compared = []
    monkeypatch.setattr(memory, "uses_memory_of", lambda *pids: compared.append(pids))
    with at_rest("--shared", 5, "--forks", 3) as workload:
        sampler = sampler_of(workload.pid)
        sampler.sample()
        assert compared
        compared.clear()
        sampler.sample()
        assert not compared


def test_of_a_long_command_line_the_beginning_is_enough(monkeypatch):
    lengths = []
    monkeypatch.setattr(memory, "process_name", lambda words, _: lengths.append(len(words)) or "x")
    words = [sys.executable, "-c", "import time; time.sleep(60)", *["x"] * 200_000]
    with subprocess.Popen(words) as target:
        wait_for(lambda: len(memory.read_file(f"/proc/{target.pid}/cmdline")) > 400_000)
        memory.Process(psutil.Process(target.pid))
        target.kill()
    assert 20_000 < lengths[-1] < 40_000


def test_an_older_kernel_is_said(monkeypatch, capsys):
    """Linux 4.19's smaps_rollup, which does not have the kinds of PSS."""
    monkeypatch.setattr(memory, "read_file", lambda path: b"Rss: 8 kB\nPss: 4 kB\n")
    assert memory.main(["true"]) == 125
    assert "Linux 5.3 or newer" in capsys.readouterr().err


def test_zombies_are_not_counted_and_their_threads_looked_for_once(monkeypatch):
    live_thread, looked = memory.live_thread, []

    def looking(pid):
        looked.append(pid)
        return live_thread(pid)

    monkeypatch.setattr(memory, "live_thread", looking)
    code = "import os, time\nif os.fork() == 0: os._exit(0)\nprint(1, flush=True)\ntime.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        parent.stdout.readline()
        child = wait_for(psutil.Process(parent.pid).children)[0]
        wait_for(lambda: child.status() == psutil.STATUS_ZOMBIE)
        sampler = sampler_of(parent.pid)
        for _ in range(3):
            assert [process.pid for process in sampler.sample()] == [parent.pid]
        assert looked == [child.pid]
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_reused_pid_is_another_process():
    child = subprocess.Popen(["sleep", "60"])
    try:
        sampler = sampler_of(child.pid)
        assert sampler.sample()
        known = sampler.tree.known[child.pid]
        known.stat = known.stat._replace(started=1)  # as if it had been another before
        known.handle._ident = (child.pid, 1)
        assert sampler.sample() == []
    finally:
        child.kill()
        child.wait()


def test_a_process_that_could_not_be_read_once_stays(monkeypatch):
    """As when its main thread ends between two reads: ESRCH, while its memory goes on."""
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE)
    full_read = memory.full_read

    def vanishing(process):
        monkeypatch.setattr(memory, "full_read", full_read)
        raise ProcessLookupError

    try:
        parent.stdout.readline()
        sampler = sampler_of(parent.pid)
        assert len(sampler.sample()) == 2
        sampler.read_end = 0  # all is read again
        monkeypatch.setattr(memory, "full_read", vanishing)
        assert len(sampler.sample()) == len(sampler.sample()) == 2
        assert memory.full_read is full_read
    finally:
        for process in [*psutil.Process(parent.pid).children(), parent]:
            process.kill()
        parent.wait()
        parent.stdout.close()


def test_a_process_that_ends_before_it_is_read_is_tried_a_few_times(monkeypatch):
    """It was polled, then gone when smaps_rollup was opened."""
    child = subprocess.Popen(["sleep", "60"])
    tries = []

    def gone(process):
        tries.append(process.pid)
        assert len(tries) < 1000
        raise ProcessLookupError

    monkeypatch.setattr(memory, "full_read", gone)
    try:
        sampler = sampler_of(child.pid)
        for count in range(1, 100):
            sampler.read_end = 0
            sampler.sample()
            assert 0 < len(tries) <= 5 * count
    finally:
        child.kill()
        child.wait()


def test_orphans_of_watched_processes_stay():
    code = "sleep 60 & echo $!; exec sleep 61"
    parent = subprocess.Popen(["sh", "-c", code], stdout=subprocess.PIPE, text=True)
    orphan = int(parent.stdout.readline())
    try:
        sampler = sampler_of(parent.pid)
        assert {process.pid for process in sampler.sample()} == {parent.pid, orphan}
        parent.kill()
        parent.wait()
        assert [process.pid for process in sampler.sample()] == [orphan]
    finally:
        parent.kill()
        os.kill(orphan, signal.SIGKILL)
        parent.stdout.close()
    wait_for(lambda: not alive(orphan))
    assert sampler.sample() == []


def test_memory_py_is_not_counted():
    command = f"{sys.executable} {memory.__file__} --pid $$ --duration 0.5 --json s.json; true"
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    found = load("s.json")
    assert [use["process"] for use in found["by_process"]] == ["sh"]


def test_who_is_outside_of_the_tree_is_looked_at_once(monkeypatch):
    looked_at = []
    read_stat = memory.read_stat
    monkeypatch.setattr(memory, "read_stat", lambda pid: looked_at.append(pid) or read_stat(pid))
    parent = subprocess.Popen(["sh", "-c", "read x; sleep 60 & wait"], stdin=subprocess.PIPE)
    outsider = subprocess.Popen(["sleep", "60"])
    try:
        tree = memory.Tree([psutil.Process(parent.pid)])
        tree.find()
        assert outsider.pid in looked_at and os.getpid() not in looked_at
        assert looked_at == sorted(looked_at), "a parent before its child: it may end meanwhile"
        looked_at.clear()
        tree.find()
        assert outsider.pid not in looked_at and list(tree.known) == [parent.pid]
        tree.scan_due = time.monotonic()
        tree.find()
        assert outsider.pid in looked_at, "now and then: a pid may be another's"
        parent.stdin.write(b"\n")
        parent.stdin.close()
        wait_for(lambda: psutil.Process(parent.pid).children())
        tree.find()
        (child,) = psutil.Process(parent.pid).children()
        assert list(tree.known) == [parent.pid, child.pid]
        looked_at.clear()
        tree.find()
        assert child.pid not in looked_at
        del tree.known[child.pid]  # as when it has ended, and its pid is another's now
        tree.scan_due = time.monotonic()
        tree.find()
        assert list(tree.known) == [parent.pid, child.pid] and child.pid in looked_at
        outsider.kill()
        outsider.wait()
        tree.newest = b"", b""
        tree.find()
        assert outsider.pid not in tree.outside, "the next one of this pid may be of the tree"
    finally:
        for process in (outsider, *psutil.Process(parent.pid).children(), parent):
            process.kill()
        outsider.wait()
        parent.wait()


def test_the_tree_is_searched_where_a_pid_was_given_out(monkeypatch):
    """And once more: a process has its pid some time before it is listed."""
    newest, searches = [b""], []
    read_file, pids = memory.read_file, psutil.pids

    def loads(path):
        return b"0 0 0 1/%s\n" % newest[0] if path == "/proc/loadavg" else read_file(path)

    monkeypatch.setattr(memory, "read_file", loads)
    monkeypatch.setattr(psutil, "pids", lambda: searches.append(newest[0]) or pids())
    tree = memory.Tree([psutil.Process()])
    for newest[0] in [b"2 7"] * 4 + [b"2 8"] * 4 + [b"3 8"] * 4:  # by clone3(2), a pid of one's own
        tree.find()
    assert searches == [b"2 7", b"2 7", b"2 8", b"2 8", b"3 8", b"3 8"]
    tree.scan_due = 0  # now and then in any case
    tree.find()
    tree.find()
    assert len(searches) == 7


def test_a_process_that_is_listed_late_is_found(monkeypatch):
    pids = psutil.pids
    tree = memory.Tree([psutil.Process()])
    tree.find()
    with Workload("--private", 1) as workload:
        monkeypatch.setattr(psutil, "pids", lambda: [p for p in pids() if p != workload.pid])
        tree.find()
        monkeypatch.undo()
        tree.find()
        assert workload.pid in tree.known


def test_the_name_is_the_one_after_the_exec():
    """It was seen between vfork and exec, when it had its parent's name."""
    code = "import os, time; print(); input(); a = bytearray(99); os.posix_spawn('/bin/sleep', "
    code += "['sleep', '60'], os.environ); time.sleep(60)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen([sys.executable, "-uc", code], **pipes)
    try:
        parent.stdout.readline()
        sampler = sampler_of(parent.pid)
        assert len(sampler.sample()) == 1
        parent.stdin.write(b"\n")
        parent.stdin.close()
        while len(living := sampler.sample()) == 1:  # without a pause: now and then in the middle
            pass
        wait_for(lambda: psutil.Process(living[1].pid).name() == "sleep")
        sampler.poll()
        assert living[1].name == "sleep"
    finally:
        for process in (*psutil.Process(parent.pid).children(), parent):
            process.kill()
        parent.wait()
        parent.stdout.close()


def test_children_from_before_are_not_the_commands():
    older = "sh -c 'sleep 60 & echo $!; wait' & sleep 0.5"
    words = f"exec {sys.executable} {memory.__file__} --json s.json sleep 0.4"
    shell = subprocess.Popen(["sh", "-c", f"{older}; {words}"], stdout=subprocess.PIPE, text=True)
    older = int(shell.stdout.readline())
    try:
        assert shell.wait(60) == 0
        assert [use["process"] for use in load("s.json")["by_process"]] == ["sleep"]
    finally:
        os.kill(older, signal.SIGKILL)
        shell.stdout.close()


def test_the_mark_of_children_from_before_is_not_the_commands():
    """They end while it runs, and memory.py reaps them as it does orphans."""
    older = f"{sys.executable} -c 'import time; x = bytearray(100 << 20); time.sleep(0.5)' &"
    words = f"exec {sys.executable} {memory.__file__} --quiet --json s.json sleep 2"
    assert subprocess.run(["sh", "-c", f"{older} {words}"]).returncode == 0
    assert load("s.json")["kernel_peak_rss"] < 50 * MIB


def test_a_threads_id_is_no_process(capsys):
    with Workload("--thread", 10) as workload:
        pid = workload.pids["thread"][0]
        tid = max(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
        assert memory.main(["--duration", "0", "--pid", str(tid)]) == 2 and tid != pid
        assert f"--pid {tid}: no such process" in capsys.readouterr().err


def test_a_process_that_is_named_twice_is_counted_once():
    with Workload("--thread", 10) as workload:
        pid = str(workload.pids["thread"][0])
        args = ["--quiet", "--json", "s.json", "--duration", "0", "--pid", pid, pid]
        assert memory.main(args) == 0
        assert len(load("s.json")["by_process"]) == 2  # it and its child
        assert load("s.json")["exit_status"] is None


def test_processes_that_vanish_in_the_middle():
    words = ["sh", "-c", "for i in $(seq 900); do sh -c : & done; wait"]
    result = run("--interval", "0.01", "--json", "s.json", "--out", "g.png", *words)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    found = load("s.json")
    assert found["samples"] >= 1
    if found["pss"]:
        assert sum(use["pss_at_peak"] for use in found["by_process"]) == found["pss"]["peak"]
    else:  # a busy machine: no sample between the first one and the end
        assert "too short to be sampled" in result.stderr and found["samples"] <= 2


NOT_READABLE = """\
import ctypes, time
ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: as a setuid program
a = bytearray(30 << 20)
time.sleep(2)  # more than a second: all is read in it
"""


def drop_ptrace() -> None:
    """Before exec: root, too, may then not read what is not dumpable."""
    for capability in (19, 21, 38):  # CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def test_unreadable_processes_are_said_and_never_0():
    script = f"sleep 2.2 & {sys.executable} -c '{NOT_READABLE}'"
    args = ["--interval", "0.1", "--json", "s.json", "--csv", "s.csv", "--out", "g.svg"]
    result = run(*args, "sh", "-c", script, preexec_fn=drop_ptrace)
    assert result.returncode == 0
    found = load("s.json")
    assert found["unreadable"] == 1
    hidden = next(use for use in found["by_process"] if use["process"].startswith("python"))
    assert hidden["peak_rss"] > 30 * MIB and hidden["pss_at_peak"] > 30 * MIB
    assert sum(use["pss_at_peak"] for use in found["by_process"]) == found["pss"]["peak"]
    assert "PSS of 1 process could not be read (Permission denied" in result.stderr
    kinds = {row["kind"]: row["pss"] for row in found["made_of"]["mappings"]}
    assert kinds["unreadable"] > 10 * MIB
    rows = [r for r in Path("s.csv").read_text().splitlines() if r.endswith(",,,,,,,")]
    assert rows and all(int(row.split(",")[3]) > MIB for row in rows)


FORKS = """
import mmap, os, signal, subprocess, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombie tells of a child that was there
subprocess.Popen(["sleep", "60"])
a = mmap.mmap(-1, 80 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for n in range(0, len(a), 4096): a[n] = 1
print("ready", flush=True)
input()
for _ in range(3):
    if os.fork() == 0: break
time.sleep(60)
"""


@contextlib.contextmanager
def forking() -> Iterator[tuple[memory.Sampler, Callable[[], None]]]:
    """A sampler of a process of 80 MiB with a small child, and what makes it fork three times."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen([sys.executable, "-c", FORKS], **pipes)
    handle = psutil.Process(parent.pid)

    def fork() -> None:
        parent.stdin.write(b"\n")
        parent.stdin.close()
        wait_for(lambda: len(handle.children()) == 4)

    try:
        parent.stdout.readline()
        yield sampler_of(parent.pid), fork
    finally:
        for process in [*handle.children(recursive=True), parent]:
            process.kill()
        parent.wait()
        parent.stdout.close()


@contextlib.contextmanager
def forks_while_it_is_read(monkeypatch, when: str) -> Iterator[memory.Sampler]:
    """The process forks "before" its first read, "after" it, or "around" it: they are gone then."""
    full_read, read = memory.full_read, []

    def read_and_fork(process):
        if read or not process.handle.children():
            return full_read(process)
        read.append(process)
        if when != "after":
            fork()
        found = full_read(process)
        if when == "after":
            fork()
        for child in process.handle.children()[1:] if when == "around" else ():
            child.kill()
            wait_for(lambda child=child: not child.is_running())
        return found

    monkeypatch.setattr(memory, "full_read", read_and_fork)
    with forking() as (sampler, fork):
        yield sampler


def test_a_fork_that_is_found_has_nothing_of_its_own_and_shares_all():
    with forking() as (sampler, fork):
        sampler.sample()
        fork()
        sampler.tree.find()
        parent, _, *forks = living = sampler.poll()
        assert len(forks) == 3  # a few pages each has taken already, as Debian 13's Python does
        assert all(child.memory.pss < MIB // 4 for child in forks)
        for process in (parent, *forks):  # what they write to from now on is a copy
            shared = process.reading.shared_anon
            assert shared == pytest.approx(process.resident[0], abs=MIB // 4) and shared > 80 * MIB
        assert sampler.sums(living)[0] == pytest.approx(sampler.peak, abs=MIB)


def test_one_that_is_gone_without_a_zombie_is_forgotten():
    with forking() as (sampler, fork):
        sampler.sample()
        fork()
        living = sampler.sample(everything=True)
        ended, total = living[-1], sampler.sums(living)[0]
        its = ended.memory
        ended.handle.kill()
        wait_for(lambda: not ended.handle.is_running())
        living = sampler.poll()
        assert len(living) == 4 and ended.pid not in sampler.tree.known
        assert sampler.unassigned == pytest.approx(its.pss - its.uss, abs=MIB)
        assert sampler.unassigned > 15 * MIB
        assert sampler.sums(living)[0] == pytest.approx(total - its.pss, abs=MIB)


def test_one_that_ends_between_its_poll_and_its_read_is_not_counted(monkeypatch):
    full_read = memory.full_read

    def ending(process):
        if process is ended:
            ended.handle.kill()
            wait_for(lambda: not ended.handle.is_running())
        return full_read(process)

    with forking() as (sampler, fork):
        sampler.sample()
        fork()
        *_, ended = sampler.sample()
        monkeypatch.setattr(memory, "full_read", ending)
        living = sampler.sample(everything=True)
        assert len(living) == 4 and ended not in living
        assert ended.pid not in sampler.tree.known


def test_while_a_forks_memory_is_being_freed_no_read_is_believed(monkeypatch):
    """Nothing tells how much of it the others' shares still divide: 20 MiB of 100 at most."""
    read_stat = memory.read_stat

    def freed(pid, *before):
        stat = read_stat(pid, *before)
        return stat._replace(state="X") if pid == ending.pid else stat

    with forking() as (sampler, fork):
        sampler.sample()
        fork()
        *_, ending = sampler.sample(everything=True)
        assert sampler.uncertain == 0
        monkeypatch.setattr(memory, "read_stat", freed)
        assert len(sampler.sample(everything=True)) == 4
        assert 10 * MIB < sampler.uncertain < 25 * MIB
        for _ in range(50):  # a few seconds
            sampler.poll()
        sampler.sample(everything=True)
        assert 10 * MIB < sampler.uncertain < 25 * MIB


@pytest.mark.parametrize("when", ["before", "after", "around"])
def test_a_fork_in_the_middle_of_a_sample_counts_once(monkeypatch, when):
    """Without more the sum would be 20 MiB, 160, or 20 although it has 80 again."""
    monkeypatch.setattr(memory, "READ_SECONDS", LIMIT)
    with forks_while_it_is_read(monkeypatch, when) as sampler:
        for _ in range(2):
            living = sampler.sample()
            assert 80 * MIB < sum(process.memory.pss for process in living) < 100 * MIB
        assert len(living) == (2 if when == "around" else 5)


def test_a_fork_that_is_too_late_to_be_found_is_said_in_bytes(monkeypatch):
    """The sample has taken its time: its sum is 20 MiB, and 60 uncertain; the next one is right."""
    monkeypatch.setattr(memory, "READ_SECONDS", 0)
    with forks_while_it_is_read(monkeypatch, "before") as sampler:
        total = sum(process.memory.pss for process in sampler.sample())
        assert total < 30 * MIB and total + sampler.uncertain > 80 * MIB
        sampler.read_cost = 0  # so that it may be read again at once
        total = sum(process.memory.pss for process in sampler.sample())
        assert 80 * MIB < total < 100 * MIB and sampler.uncertain == 0


def test_what_is_shared_with_others_outside_of_the_tree_is_looked_for_once(read):
    with at_rest("--shared", 80, "--forks", 1) as workload:
        *_, fork = psutil.Process(workload.pid).children(recursive=True)
        sampler = sampler_of(fork.pid)
        (process,) = sampler.sample()
        assert 1 <= len(read) <= memory.READ_TRIES
        assert sampler.outsiders_share == process.reading.shared_anon > 30 * MIB
        read.clear()
        sampler.read_end = 0
        sampler.sample()
        assert read == [fork.pid] and sampler.uncertain == 0
        # A command's descendants share with no one outside: what they do not have is missing
        sampler.tree.of_command, sampler.outsiders_share = True, 0
        sampler.tree.find = lambda: None
        for _ in range(2):
            sampler.sample(everything=True)
            assert sampler.uncertain > 30 * MIB


@pytest.mark.parametrize("why", ["merged", "hidden"])
def test_what_is_shared_with_no_fork_is_not_uncertain(monkeypatch, read, why):
    """KSM shares pages within a process; what may not be read shares them, and counts in full."""
    parse_sizes, full_read = memory.parse_sizes, memory.full_read

    def merged(data):
        return {**parse_sizes(data), "KSM": 80 * MIB}

    def refused(process):
        if process.pid == fork.pid:
            return full_read(process)
        raise PermissionError(13, "Permission denied")

    with at_rest("--shared", 80, "--forks", 1) as workload:
        *_, fork = psutil.Process(workload.pid).children(recursive=True)
        if why == "merged":
            monkeypatch.setattr(memory, "parse_sizes", merged)
        else:
            monkeypatch.setattr(memory, "full_read", refused)
        sampler = sampler_of(fork.pid if why == "merged" else workload.pid)
        sampler.sample()
        assert sampler.outsiders_share == 0
        shared = sampler.tree.known[fork.pid].reading.shared_anon
        assert shared == 0 if why == "merged" else shared > 30 * MIB
        assert read == [fork.pid]


FORKS_LATE = """
import mmap, os, time
a = mmap.mmap(-1, 200 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for n in range(0, len(a), 4096): a[n] = 1
time.sleep(1)
if os.fork() == 0:
    time.sleep(1)
    os._exit(0)
time.sleep(2)  # it is a zombie from the middle on
"""


def test_what_a_late_fork_shares_is_counted_once_and_what_its_end_gives_back(monkeypatch):
    """With no budget but for what must be read: the parent's memory was all its own before."""
    monkeypatch.setattr(memory, "READ_SHARE", 1e-9)
    args = ["--quiet", "--csv", "s.csv", "--json", "s.json", sys.executable, "-c", FORKS_LATE]
    assert memory.main(args) == 0
    rows = pandas.read_csv("s.csv", comment="#")
    rows = rows[rows.pid != 0]
    sums = rows.groupby("time").pss.sum()
    alone = rows.groupby("time").pid.nunique() == 1
    assert not alone.all() and alone.iloc[-1]
    forked = alone[~alone].index
    assert (sums[forked[1:]] < 220 * MIB).all()  # the first may be in the middle of the fork
    after = sums[(sums.index > forked[-1] + 0.35) & (sums.index < sums.index[-1] - 0.25)]
    assert len(after) > 2 and (after > 200 * MIB).all()


REWRITES = """
import mmap, os, time
a = mmap.mmap(-1, 100 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
a.madvise(mmap.MADV_NOHUGEPAGE)
for n in range(0, len(a), 4096): a[n] = 1
if os.fork() == 0:
    time.sleep(1)
    for n in range(0, len(a), 4096): a[n] = 2
    time.sleep(1)
    os._exit(0)
os.wait()
"""


def test_what_cannot_be_read_in_time_is_said_in_bytes(monkeypatch, capsys):
    """100 MiB that are shared become 200 without a word but the page faults."""
    read_all = memory.Sampler.read_all

    def read_at_first(sampler, living, now):
        if time.monotonic() - begin < 0.9:
            read_all(sampler, living, now)

    begin = time.monotonic()
    monkeypatch.setattr(memory.Sampler, "read_all", read_at_first)
    assert memory.main(["--json", "s.json", sys.executable, "-c", REWRITES]) == 0
    found = load("s.json")
    assert 0.5 < found["uncertain"]["seconds"] < 3
    assert 95 * MIB < found["uncertain"]["peak"] < 300 * MIB
    said = "memory changed too fast to be read: PSS may be off by up to"
    assert said in " ".join(capsys.readouterr().err.split()).replace("! ", "")


def test_copies_on_write_are_seen_and_nothing_is_uncertain_at_rest(monkeypatch):
    """RSS does not move: page faults tell, without the reading of all that is due by age."""
    monkeypatch.setattr(memory, "REFRESH_SECONDS", 60)
    args = ["--quiet", "--csv", "s.csv", "--json", "s.json"]
    assert memory.main([*args, sys.executable, "-c", REWRITES]) == 0
    found = load("s.json")
    assert 200 * MIB < found["pss"]["peak"] < 215 * MIB
    rows = pandas.read_csv("s.csv", comment="#").query("pid > 0")
    sums = rows.groupby("time").pss.sum()
    copied = sums[sums > 190 * MIB].index[0]
    lines = [line.split() for line in Path("s.csv").read_text().splitlines()]
    told = [float(words[2]) for words in lines if words[:2] == ["#", "uncertain:"]]
    assert all(at < 0.9 or abs(at - copied) < 0.4 or at > sums.index[-1] - 0.4 for at in told)


def test_the_end_of_a_hundred_forks_is_read_anew():
    """Each is read when it is found, and shares with more of them later."""
    words = [*TREE, "--shared", "200", "--forks", "100", "--seconds", "5"]
    assert run("--csv", "s.csv", "--json", "s.json", "--quiet", *words).returncode == 0
    assert run("--csv", "i.csv", "--quiet", *words, "--idle").returncode == 0
    assert load("s.json")["processes"] >= 101
    held = {name: while_held(name)["pss"] for name in ("s.csv", "i.csv")}
    assert held["s.csv"] - held["i.csv"] == pytest.approx(200 * MIB, rel=0.1)


LEADERLESS_EXEC = """
import ctypes, os, sys, threading, time
def go_on():
    time.sleep(0.8)
    code = "import time; a = b'x' * (90 << 20); time.sleep(1)"
    os.execv(sys.executable, [sys.executable, "-c", code])
threading.Thread(target=go_on).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_thread_that_execs_after_the_main_one_has_ended_is_the_process():
    result = run("--json", "s.json", sys.executable, "-c", LEADERLESS_EXEC)
    assert result.returncode == 0
    assert 90 * MIB < load("s.json")["pss"]["peak"] < 110 * MIB


ORPHANS = """
import os, time
if os.fork(): os._exit(0)
end = time.monotonic() + 20
while time.monotonic() < end:
    child = os.fork()
    if child == 0:
        os.fork()
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.003)
"""


def test_many_orphans_that_end_do_not_hold_up_the_samples(monkeypatch):
    """The command has ended, its daemon goes on: each end was once a scan, and before samples."""
    scans = []
    pids = psutil.pids

    def counted():
        scans.append(time.monotonic())
        return pids()

    monkeypatch.setattr(memory.psutil, "pids", counted)
    monkeypatch.setattr(memory, "TERM_SECONDS", 0.2)
    args = ["--quiet", "--json", "s.json", "--duration", "2", sys.executable, "-c", ORPHANS]
    assert memory.main(args) == 0
    found = load("s.json")
    assert found["duration"] < 4 and len(scans) < 5 * found["samples"]


def test_the_end_of_duration_is_sampled():
    args = ["--interval", "60", "--duration", "2", "--json", "s.json"]
    assert run(*args, *TREE, "--private", "50", "--seconds", "60").returncode == 0
    found = load("s.json")
    assert found["samples"] == 2 and found["pss"]["end"] > 50 * MIB


def test_the_end_of_duration_is_the_last_sample():
    """Not the largest of the two seconds before, as where the program exits by itself."""
    code = "import time; x = bytearray(60 << 20); time.sleep(1); del x; time.sleep(60)"
    assert run("--duration", "2", "--json", "s.json", sys.executable, "-c", code).returncode == 0
    found = load("s.json")["pss"]
    assert found["peak"] > 60 * MIB and found["end"] < 30 * MIB


def test_samples_at_fixed_times_and_overruns_counted(monkeypatch, capsys):
    """Late are the slow one, the next, which is due by then, and the last: so there is no drift."""
    sample, pauses = memory.Sampler.sample, []

    def sampled(sampler, **options):
        time.sleep(pauses.pop(0) if pauses else 0)
        return sample(sampler, **options)

    monkeypatch.setattr(memory.Sampler, "sample", sampled)
    words = ["--interval", "0.1", "--csv", "s.csv", "--duration", "0.95", "sleep", "60"]
    for _ in range(10):  # another program may hold up a sample too
        pauses[:] = [0, 0, 0.35, 0]
        assert memory.main(words) == 0
        rows = [row for row in Path("s.csv").read_text().splitlines() if '"system"' in row]
        (due,) = re.findall(r"samples of (\d+) due", capsys.readouterr().err)
        assert len(rows) < int(due) >= 11
        late = [(float(row.split(",")[0]) + 0.001) % 0.1 for row in rows]
        if sum(at < 0.05 for at in late) >= len(late) - 3:
            return
    raise AssertionError(late)


def test_the_systems_change_and_what_was_given_back(monkeypatch, capsys):
    """Of figures made here: of what is freed Linux may keep a GiB in lists of its CPUs."""
    figures = {"before": 7000 * MIB, "running": 7500 * MIB, "after": 7020 * MIB}
    others = set(psutil.Process().children())  # orphans that another test has left

    def in_use() -> int:
        if set(psutil.Process().children()) - others:
            figures["before"] = figures["after"]
            return figures["running"]
        return figures["before"]

    monkeypatch.setattr(memory, "memory_in_use", in_use)
    words = ["--interval", "0.05", "--json", "s.json", "--csv", "s.csv", "sleep", "0.5"]
    assert memory.main(words) == 0
    assert load("s.json")["system"]["peak"] == 500 * MIB
    assert f"# system after: {20 * MIB}" in Path("s.csv").read_text()
    assert "freed after exit: 480.0 MiB" in capsys.readouterr().err


def test_what_the_system_has_in_use():
    """MemTotal - MemAvailable, without what was freed and waits in lists of the CPUs."""

    def held() -> int:
        text = Path("/proc/zoneinfo").read_text()
        return sum(int(part.split()[0]) for part in text.split(" count: ")[1:]) * PAGE

    for _ in range(20):  # others take and give back meanwhile
        bytearray(300 * MIB)  # freed at once: Linux 6.7 and later keep much of it in these lists
        before = held()
        sizes = memory.parse_sizes(Path("/proc/meminfo").read_bytes())
        found = memory.memory_in_use()
        expected = sizes["MemTotal"] - sizes["MemAvailable"] - before
        if found == pytest.approx(expected, abs=8 * MIB) and held() - before < 8 * MIB:
            return
    raise AssertionError((found, expected))


def test_anonymous_memory_agrees_with_the_kernels_account(cgroup):
    words = [*TREE, "--private", "60", "--shared", "80", "--rewrite", "50", "--seconds", "60"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, preexec_fn=cgroup.enter)
    try:
        child.stdout.readline()
        time.sleep(0.3)  # the account is kept in batches
        assert measured(child.pid)["anon"] == pytest.approx(cgroup.anonymous(), rel=0.01)
    finally:
        child.terminate()
        child.wait()
        child.stdout.close()


def test_sampling_while_the_tree_runs_costs_little_memory():
    process = start("--interval", "0.05", "--json", "s.json", "--duration", "1", "sleep", "60")
    process.communicate()
    assert load("s.json")["own"]["peak_rss"] < 24 * MIB
