"""memory.py with real processes: what it counts, and that its figures are right."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import psutil
import pytest

import memory
from conftest import MIB, TREE, Workload, alive, load, run, start, wait_for

SUMS = ("rss", "pss", "uss")


def measured(pid: int) -> dict[str, int]:
    """One sample of a process and its descendants, summed by field."""
    tree = memory.Tree([psutil.Process(pid)])
    sums = dict.fromkeys(memory.FIELDS, 0)
    for process in tree.sample():
        for name, size in zip(memory.FIELDS, process.memory):
            sums[name] += size
    return sums


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
    sums = rows.groupby("time")[list(memory.FIELDS)].sum()
    end = sums.index.max()
    return sums[(sums.index > end - 1.7) & (sums.index < end - 0.2)].median()


def test_every_process_is_named_and_in_the_tree():
    words = [*TREE, "--daemon", "30", "--thread", "30", "--seconds", "1"]
    assert run("--json", "s.json", "--interval", "0.1", *words).returncode == 0
    names = {use["process"]: use["peak_pss"] for use in load("s.json")["by_process"]}
    for part in ("daemon", "thread"):
        assert any(part in name and size >= 30 * MIB for name, size in names.items()), names


def test_child_in_a_vfork_is_counted_once_without_kcmp_too(monkeypatch):
    with Workload("--vfork", 60) as workload:
        naive = sum(
            memory.parse_rollup(memory.read_file(f"/proc/{p.pid}/smaps_rollup")).pss
            for p in psutil.Process(workload.pid).children(recursive=True)
        )
        assert naive >= 120 * MIB
        once = measured(workload.pid)["pss"]
        assert 60 * MIB <= once <= 80 * MIB
        monkeypatch.setattr(memory, "KCMP_SYSCALLS", {})
        assert measured(workload.pid)["pss"] == pytest.approx(once, rel=0.02)


def test_forked_processes_are_not_taken_for_vforks(monkeypatch):
    monkeypatch.setattr(memory, "KCMP_SYSCALLS", {})
    with Workload("--shared", 40, "--forks", 3) as workload:
        assert len(memory.Tree([psutil.Process(workload.pid)]).sample()) == 5


def test_psutil_reads_the_same_where_there_is_no_smaps_rollup():
    with Workload("--private", 40, "--shared", 40, "--file", 20) as workload:
        exact = measured(workload.pid)
        tree = memory.Tree([psutil.Process(workload.pid)])
        tree.check, tree.read = memory.check_psutil, memory.read_psutil
        sums = [sum(sizes) for sizes in zip(*(process.memory[:4] for process in tree.sample()))]
        assert sums == pytest.approx([exact[n] for n in (*SUMS, "swap")], rel=0.01, abs=MIB)
        assert all(process.memory.anon is None for process in tree.sample())


def test_psutil_alone_follows_a_whole_run(monkeypatch):
    monkeypatch.setattr(memory, "read_linux", memory.read_psutil)
    monkeypatch.setattr(memory, "check_linux", memory.check_psutil)
    words = [sys.executable, "-c", "import time; a = bytearray(40 << 20); time.sleep(0.7)"]
    args = ["--quiet", "--json", "s.json", "--out", "g.png", "--interval", "0.1", *words]
    assert memory.main(args) == 0
    found = load("s.json")
    assert found["pss"]["peak"] > 40 * MIB and found["pss_peak_split"] is None


def test_without_pss_it_is_said(monkeypatch, capsys):
    """macOS and Windows cannot be had here: psutil's answer there and the system's name."""

    class Info(tuple):
        rss, uss = 50 * MIB, 40 * MIB

    monkeypatch.setattr(memory, "read_linux", memory.read_psutil)
    monkeypatch.setattr(memory, "check_linux", memory.check_psutil)
    monkeypatch.setattr(memory.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(psutil.Process, "memory_full_info", lambda self: Info())
    assert memory.main(["--json", "s.json", "--out", "g.png", "--", "sleep", "0.3"]) == 0
    assert "there is no PSS on Darwin: see RSS" in capsys.readouterr().err
    found = load("s.json")
    assert found["pss"] is None and found["rss"]["peak"] == 50 * MIB
    assert found["uss"]["peak"] == 40 * MIB


def test_waiting_without_sigtimedwait(monkeypatch):
    """As on macOS, which has no sigtimedwait."""
    monkeypatch.delattr(signal, "sigtimedwait")
    assert memory.main(["--quiet", "--json", "s.json", "--interval", "0.1", "sleep", "0.5"]) == 0
    assert load("s.json")["samples"] >= 4


def test_zombies_are_not_counted():
    code = "import os, time\nif os.fork() == 0: os._exit(0)\nprint(1, flush=True)\ntime.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        parent.stdout.readline()
        child = wait_for(psutil.Process(parent.pid).children)[0]
        wait_for(lambda: child.status() == psutil.STATUS_ZOMBIE)
        tree = memory.Tree([psutil.Process(parent.pid)])
        assert [process.pid for process in tree.sample()] == [parent.pid]
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_reused_pid_is_another_process():
    tree = memory.Tree([psutil.Process()])
    child = subprocess.Popen(["sleep", "60"])
    try:
        tree = memory.Tree([psutil.Process(child.pid)])
        assert tree.sample()
        tree.known[child.pid].started -= 1  # as if that had been the one before
        assert tree.sample() == []
    finally:
        child.kill()
        child.wait()


def test_a_process_that_could_not_be_read_once_stays():
    """As when its main thread ends between two reads: ESRCH, while its memory goes on."""
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE)
    try:
        parent.stdout.readline()
        tree = memory.Tree([psutil.Process(parent.pid)])
        assert len(tree.sample()) == 2
        for process in tree.known.values():
            process.doubt = 1e9

        def vanishing(process, tree):
            tree.read = memory.read_linux
            raise ProcessLookupError

        tree.read = vanishing
        assert len(tree.sample()) == len(tree.sample()) == 2
    finally:
        for process in [*psutil.Process(parent.pid).children(), parent]:
            process.kill()
        parent.wait()
        parent.stdout.close()


def test_a_process_that_ends_before_it_is_read_is_tried_once_a_sample():
    """It was seen, then gone when smaps_rollup was opened."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        tree = memory.Tree([psutil.Process(child.pid)])
        tries = []

        def gone(process, tree):
            tries.append(process.pid)
            assert len(tries) < 1000
            raise ProcessLookupError

        tree.read = gone
        for count in range(1, 100):
            tree.allowance = 1.0
            assert tree.sample() == [] and len(tries) <= 3 * count
    finally:
        child.kill()
        child.wait()


def test_many_processes_at_rest_are_looked_at_in_turn(monkeypatch):
    """All of them within some samples, those that have just changed in each."""
    monkeypatch.setattr(memory, "CHECK_SHARE", 1e-9)
    monkeypatch.setattr(memory, "MANY_AT_REST", 2)
    monkeypatch.setattr(memory, "BUSY_SECONDS", 0)
    with Workload("--private", 2, "--children", 11) as work:
        tree = memory.Tree([psutil.Process(work.pid)])
        looked: list[int] = []
        check = tree.check

        def checking(process, tree):
            looked.append(process.pid)
            return check(process, tree)

        tree.check = checking
        assert len(tree.sample()) == 12  # the first looks at all: nothing is known of the cost
        for _ in range(6):
            looked.clear()
            assert len(tree.sample()) == 12 and len(looked) == 2
        os.kill(work.pids["private"][5], signal.SIGKILL)
        wait_for(lambda: not alive(work.pids["private"][5]))
        seen = [len(tree.sample()) for _ in range(6)]
        assert seen[-1] == 11 and sorted(seen, reverse=True) == seen
        monkeypatch.setattr(memory, "BUSY_SECONDS", 60)
        busy = tree.known[work.pids["private"][0]]
        busy.faults -= 100  # as if it had faulted
        for _ in range(6):
            tree.sample()
        looked.clear()
        tree.sample()
        assert busy.pid in looked and len(looked) < 6


def test_orphans_of_watched_processes_stay():
    code = "sleep 60 & echo $!; exec sleep 61"
    parent = subprocess.Popen(["sh", "-c", code], stdout=subprocess.PIPE, text=True)
    orphan = int(parent.stdout.readline())
    try:
        tree = memory.Tree([psutil.Process(parent.pid)])
        assert {process.pid for process in tree.sample()} == {parent.pid, orphan}
        parent.kill()
        parent.wait()
        assert [process.pid for process in tree.sample()] == [orphan]
    finally:
        parent.kill()
        os.kill(orphan, signal.SIGKILL)
        parent.stdout.close()
    wait_for(lambda: not alive(orphan))
    assert tree.sample() == []


def test_memory_py_is_not_counted():
    command = f"{sys.executable} {memory.__file__} --pid $$ --duration 0.5 --json s.json; true"
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    found = load("s.json")
    assert [use["process"] for use in found["by_process"]] == ["sh -c"]


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


def test_a_threads_id_is_its_process():
    with Workload("--thread", 10) as workload:
        tids = [int(tid) for tid in os.listdir(f"/proc/{workload.pids['thread'][0]}/task")]
        assert len(tids) == 2
        assert len({process.pid for process in memory.watched_processes(tids)}) == 1
        args = ["--quiet", "--json", "s.json", "--duration", "0.3", "--pid", *map(str, tids)]
        assert memory.main(args) == 0
        assert len(load("s.json")["by_process"]) == 2  # it and its child, each once
        assert load("s.json")["exit_status"] is None


def test_processes_that_vanish_in_the_middle():
    words = ["sh", "-c", "for i in $(seq 900); do sh -c : & done; wait"]
    result = run("--interval", "0.01", "--json", "s.json", "--out", "g.png", *words)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    found = load("s.json")
    assert found["samples"] >= 2
    assert sum(use["pss_at_peak"] for use in found["by_process"]) == found["pss"]["peak"]


NOT_READABLE = """\
import ctypes, time
a = bytearray(30 << 20)
ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: as a setuid program
time.sleep(1)
"""


def drop_ptrace() -> None:
    """Before exec: root, too, may then not read what is not dumpable."""
    for capability in (19, 21, 38):  # CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def test_unreadable_processes_are_said_and_never_0():
    script = f"sleep 1.2 & {sys.executable} -c '{NOT_READABLE}'"
    args = ["--interval", "0.1", "--json", "s.json", "--csv", "s.csv", "--out", "g.svg"]
    result = run(*args, "sh", "-c", script, preexec_fn=drop_ptrace)
    assert result.returncode == 0
    found = load("s.json")
    assert found["unreadable"] == 1
    hidden = next(use for use in found["by_process"] if use["process"].startswith("python"))
    assert hidden["peak_rss"] > 30 * MIB and hidden["pss_at_peak"] > 30 * MIB
    assert sum(use["pss_at_peak"] for use in found["by_process"]) == found["pss"]["peak"]
    assert "PSS of 1 process could not be read (Permission denied" in result.stderr
    rows = [r for r in Path("s.csv").read_text().splitlines() if r.endswith(",,,,,,,")]
    assert rows and all(int(row.split(",")[3]) > 10 * MIB for row in rows)


def test_a_fork_in_the_middle_of_a_sample_does_not_count_twice(monkeypatch):
    """The parent is read with 80 MiB of its own, then forks: without more they would be 160."""
    code = """
import mmap, os, time
a = mmap.mmap(-1, 80 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for n in range(0, len(a), 4096): a[n] = 1
print("ready", flush=True)
input()
for _ in range(3):
    if os.fork() == 0: break
time.sleep(60)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen([sys.executable, "-c", code], **pipes)
    try:
        parent.stdout.readline()
        tree = memory.Tree([psutil.Process(parent.pid)])

        def read_and_fork(process, tree):
            found = memory.read_linux(process, tree)
            if process.pid == parent.pid and not parent.stdin.closed:
                parent.stdin.write(b"\n")
                parent.stdin.close()
                wait_for(lambda: len(process.handle.children()) == 3)
            return found

        tree.read = read_and_fork
        for _ in range(2):
            living = tree.sample()
            assert 80 * MIB < sum(process.memory.pss for process in living) < 100 * MIB
        assert len(living) == 4
    finally:
        for process in [*psutil.Process(parent.pid).children(recursive=True), parent]:
            process.kill()
        parent.wait()
        parent.stdout.close()


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


def test_what_a_late_fork_shares_is_read_again_and_what_its_end_gives_back(monkeypatch):
    """With no allowance but for great doubts: the parent's memory was all its own before."""
    monkeypatch.setattr(memory, "READ_SHARE", 0)
    monkeypatch.setattr(memory, "READ_BURST", 0)
    args = ["--quiet", "--csv", "s.csv", "--json", "s.json", sys.executable, "-c", FORKS_LATE]
    assert memory.main(args) == 0
    rows = pandas.read_csv("s.csv", comment="#")
    rows = rows[rows.pid != 0]
    sums = rows.groupby("time").pss.sum()
    alone = rows.groupby("time").pid.nunique() == 1
    assert not alone.all() and alone.iloc[-1]
    forked = alone[~alone].index
    assert (sums[forked[1:]] < 220 * MIB).all()  # the first may be in the middle of the fork
    after = sums[sums.index > forked[-1] + 0.35]
    assert len(after) > 3 and (after.iloc[:-1] > 200 * MIB).all()


def test_what_cannot_be_read_in_time_is_said(monkeypatch, capsys):
    for name in ("READ_SHARE", "READ_BURST", "READ_DEBT", "TREE_DEBT"):
        monkeypatch.setattr(memory, name, 0)
    assert memory.main(["--json", "s.json", sys.executable, "-c", FORKS_LATE]) == 0
    found = load("s.json")
    assert found["in_doubt"] > 3
    said = f"in {found['in_doubt']} of {found['samples']} samples more had changed"
    assert said in capsys.readouterr().err


def test_the_end_of_a_hundred_forks_is_read_anew():
    """Each is read when it is found, and shares with more of them later."""
    words = [*TREE, "--shared", "200", "--forks", "100", "--seconds", "3"]
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
    scan = memory.Tree.scan

    def counted(tree):
        scans.append(tree)
        scan(tree)

    monkeypatch.setattr(memory.Tree, "scan", counted)
    monkeypatch.setattr(memory.Session, "end_tree", lambda session: session.tree.send(9, set()))
    args = ["--quiet", "--json", "s.json", "--duration", "2", sys.executable, "-c", ORPHANS]
    assert memory.main(args) == 0
    found = load("s.json")
    assert found["duration"] < 4 and len(scans) < found["samples"] + 10


def test_the_end_of_duration_is_sampled():
    args = ["--interval", "60", "--duration", "2", "--json", "s.json"]
    assert run(*args, *TREE, "--private", "50", "--seconds", "60").returncode == 0
    found = load("s.json")
    assert found["samples"] == 2 and found["pss"]["end"] > 50 * MIB


def test_samples_at_fixed_times_and_overruns_counted(monkeypatch, capsys):
    sample = memory.Tree.sample
    slow = iter([0, 0, 0.35, 0])

    def sampled(tree):
        time.sleep(next(slow, 0))
        return sample(tree)

    monkeypatch.setattr(memory.Tree, "sample", sampled)
    words = ["--interval", "0.1", "--csv", "s.csv", "--duration", "0.95", "sleep", "60"]
    assert memory.main(words) == 0
    times = [
        float(row.split(",")[0])
        for row in Path("s.csv").read_text().splitlines()
        if '"system"' in row
    ]
    assert len(times) < 11 and "samples of 11 due" in capsys.readouterr().err
    late = [(at + 0.001) % 0.1 for at in times]
    assert sum(at < 0.05 for at in late) >= len(late) - 2  # one was late, and no drift


def test_the_systems_change_and_what_was_given_back():
    """Of a sixteenth of the machine's memory: other processes come and go here too."""
    size = min(2048, psutil.virtual_memory().total // MIB // 16)
    code = f"import time; a = bytearray({size} << 20); time.sleep(1)"
    words = [sys.executable, "-c", code]
    assert run("--interval", "0.1", "--json", "s.json", "--csv", "s.csv", *words).returncode == 0
    peak = load("s.json")["system"]["peak"]
    line = next(r for r in Path("s.csv").read_text().splitlines() if "system after" in r)
    assert 0.6 * size * MIB < peak < 1.5 * size * MIB
    assert int(line.split(":")[1]) < 0.5 * size * MIB


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
