"""What the memory is made of: PSS by mapping, of programs of known mappings and recordings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import memory
from conftest import FORBIDDEN, LIMIT, start, wait_for

MIB = 2**20
SIZES = {"file": 64, "anonymous": 80, "memfd": 32, "shm": 20}  # MiB
# maps each, reads or writes all of it, and so does a child: what the two have in all is known
PROGRAM = """
import mmap, os, sys, tempfile
sizes = dict(zip(("file", "anonymous", "memfd", "shm"), (int(n) << 20 for n in sys.argv[1:])))
def shared(fd, size):
    os.ftruncate(fd, size)
    return mmap.mmap(fd, size)
kept = []
file = open("known", "rb")
with tempfile.NamedTemporaryFile(prefix="known.", dir="/dev/shm") as shm:
    if sizes["file"]:
        kept.append(mmap.mmap(file.fileno(), sizes["file"], prot=mmap.PROT_READ))
        kept.append(shared(os.memfd_create("known"), sizes["memfd"]))
        kept.append(shared(shm.fileno(), sizes["shm"]))
        kept.append(mmap.mmap(-1, sizes["anonymous"], mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        kept[-1].madvise(15)  # no huge pages: a fork would share them all the same
        for area in kept[1:]:
            for place in range(0, len(area), 4096):
                area[place] = 1
    down, up = os.pipe()
    child = os.fork()
    total = sum(area[place] for area in kept for place in range(0, len(area), 4096))
    if child == 0:
        os.write(up, b"1")
        sys.stdin.read()
        os._exit(0)
    os.read(down, 1)
    print(flush=True)
    sys.stdin.read()
    os.wait()
"""


@pytest.fixture
def known_program() -> Iterator:
    """Starts the program of known mappings; gives its pid when all is mapped."""
    started = []

    def start(*sizes: int) -> int:
        Path("known").write_bytes(b"x" * SIZES["file"] * MIB)
        args = [sys.executable, "-c", PROGRAM, *map(str, sizes)]
        process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        process.stdout.readline()
        return process.pid

    yield start
    for process in started:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def made_of(pid: int, *options: str) -> dict:
    """What --json says of one sample of a process and its descendants."""
    args = ["--pid", str(pid), "--duration", "0", "--json", "s.json", "--quiet", *options]
    assert memory.main(args) == 0
    return json.loads(Path("s.json").read_text())


def by_kind(found: dict) -> dict[str, int]:
    """PSS of the known mappings, and of all anonymous memory."""
    sums = {"file": 0, "anonymous": 0, "memfd": 0, "shm": 0}
    for row in found["made_of"]["mappings"]:
        name = row["name"]
        sums["anonymous"] += row["pss"] if row["kind"] == "anonymous" else 0
        sums["file"] += row["pss"] if name.endswith("/known") and row["kind"] == "file" else 0
        if row["kind"] == "shared":
            sums["memfd"] += row["pss"] if name == "/memfd:known (deleted)" else 0
            sums["shm"] += row["pss"] if name.startswith("/dev/shm/known.") else 0
    return sums


def test_known_mappings_of_two_processes(known_program):
    nothing = by_kind(made_of(known_program(0, 0, 0, 0)))
    found = made_of(known_program(*SIZES.values()))
    for kind, size in by_kind(found).items():
        assert size - nothing[kind] == pytest.approx(SIZES[kind] * MIB, rel=0.02), kind
    whole = found["made_of"]["pss"]
    assert whole == found["pss"]["end"] and found["made_of"]["time"] >= 0
    rows = found["made_of"]["mappings"]
    assert sum(row["pss"] for row in rows) == pytest.approx(whole, rel=0.01)
    assert all(row["anon"] <= row["pss"] for row in rows)  # smaps has anonymous memory unshared


def test_the_summary_shows_the_largest_and_the_rest(known_program, capsys):
    pid = known_program(*SIZES.values())
    assert memory.main(["--pid", str(pid), "--duration", "0", "--csv", "s.csv", "--quiet"]) == 0
    capsys.readouterr()
    assert memory.main(["--in", "s.csv"]) == 0
    out = capsys.readouterr().out
    assert "64.0 MiB" in out and "/known" in out and "memfd:known (deleted)" in out


def test_it_is_taken_when_the_end_is_asked_for():
    """Not only near the peak, which this process has at its start."""
    code = "import sys; x = b'x' * (30 << 20); sys.stdin.read()"
    target = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    process = start("--pid", target.pid, "--json", "s.json", "--csv", "s.csv", "--quiet")
    try:
        wait_for(lambda: Path("s.csv").exists() and Path("s.csv").read_text().count('"system"') > 9)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0
        found = json.loads(Path("s.json").read_text())
        assert found["duration"] - 0.3 < found["made_of"]["time"] <= found["duration"]
        assert found["samples"] >= 10
    finally:
        process.kill()
        process.communicate()
        target.stdin.close()
        target.wait()


@pytest.mark.parametrize("letter", ['"', b"\xff"], ids=["quotes", "undecodable"])
def test_long_names_that_are_quoted_or_escaped(letter):
    """A line of the recording must be short enough to be read again."""
    code = """
import mmap, os, sys
kept = []
for n in range(300):
    with open(os.fsencode(f"{n}.") + os.fsencode(sys.argv[1]) * 200, "wb+") as file:
        file.truncate(mmap.PAGESIZE)
        kept.append(mmap.mmap(file.fileno(), mmap.PAGESIZE))
        kept[-1][0] = 1
print(flush=True)
input()
"""
    args = [sys.executable, "-c", code, letter]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as target:
        target.stdout.readline()
        found = made_of(target.pid, "--csv", "s.csv")
        target.stdin.write(b"\n")
    assert found["samples"] == 1 and len(found["made_of"]["mappings"]) == memory.MAPPINGS_KEPT
    lines = Path("s.csv").read_text().splitlines()
    assert max(map(len, lines)) < memory.MAX_LINE


def test_a_process_that_ends_before_its_mappings_are_read_is_not_called_unreadable():
    with subprocess.Popen(["sleep", "60"]) as target:
        tree = memory.Tree([memory.psutil.Process(target.pid)])
        assert len(memory.Sampler(tree).sample()) == 1
        target.kill()
        target.wait()
        assert memory.by_mapping(tree, MIB, 0) == ""


def test_a_fork_while_mappings_are_read_is_not_missed(monkeypatch):
    """It has half of its parent's memory at once: then all are read again, it too."""
    code = """
import os, sys
x = b"x" * (50 << 20)
for line in sys.stdin:
    if os.fork() == 0:
        os.write(1, b"\\n")
        sys.stdin.read()
        os._exit(0)
os.wait()
"""
    mappings_of, taken = memory.mappings_of, []

    def forking(tid: int) -> Iterator:
        taken.append(tid)
        if len(taken) == 1:
            target.stdin.write(b"\n")
            target.stdin.flush()
            target.stdout.readline()
        return mappings_of(tid)

    args = [sys.executable, "-c", code]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as target:
        wait_for(lambda: memory.read_stat(target.pid).rss > 55 * MIB)
        time.sleep(0.2)
        monkeypatch.setattr(memory, "mappings_of", forking)
        found = made_of(target.pid)["made_of"]
        target.stdin.close()
    anonymous = sum(row["pss"] for row in found["mappings"] if row["kind"] == "anonymous")
    assert anonymous == pytest.approx(55 * MIB, rel=0.1) and len(set(taken)) == 2


@pytest.mark.parametrize("program", ["vfork", "exec"])
def test_what_is_not_in_the_sum_is_not_by_mapping(program):
    """A vfork has its parent's memory; a program that began after the sample is not in its sum."""
    code = """
import os, sys, time
x = b"x" * (30 << 20)
sys.stdin.readline()
fifo = [(os.POSIX_SPAWN_OPEN, 0, "fifo", os.O_RDONLY, 0)] if sys.argv[1] == "vfork" else []
child = [sys.executable, "-c", "import time; x = b'x' * (30 << 20); time.sleep(60)"]
os.posix_spawn(child[0], child, os.environ, file_actions=fifo)  # a FIFO holds it before its exec
time.sleep(60)
"""
    os.mkfifo("fifo")
    args = [sys.executable, "-c", code, program]
    with subprocess.Popen(args, stdin=subprocess.PIPE) as target:
        wait_for(lambda: memory.read_stat(target.pid).rss > 35 * MIB)
        time.sleep(0.2)
        tree = memory.Tree([memory.psutil.Process(target.pid)])
        sampler = memory.Sampler(tree)
        sampler.sample(everything=True)
        target.stdin.write(b"\n")
        target.stdin.flush()
        (child,) = wait_for(memory.psutil.Process(target.pid).children)
        wait_for(lambda: child.memory_info().rss > 35 * MIB)
        time.sleep(0.2)
        text = memory.by_mapping(tree, sampler.total, time.monotonic() + 5)
        child.kill()
        target.kill()
    found = memory.made_of(f"0.000 {sampler.total}: {text}")["mappings"]
    assert sum(row["pss"] for row in found) == pytest.approx(sampler.total, rel=0.05)


def test_files_on_a_tmpfs_are_shared_memory():
    """Wherever it is mounted: they cannot be dropped, and the split has them there."""
    code = """
import mmap, time
with open("mounted/known", "wb+") as file:
    file.truncate(20 << 20)
    area = mmap.mmap(file.fileno(), 20 << 20)
for place in range(0, len(area), 4096):
    area[place] = 1
time.sleep(60)
"""
    Path("mounted").mkdir()
    mount = 'mount -t tmpfs none mounted && exec "$@"'
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    words = [memory.__file__, "--json", "s.json", "--duration", "2", sys.executable, "-c", code]
    words = [*apart, sys.executable, *words]
    result = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
    if "unshare" in result.stderr or "mount:" in result.stderr:
        pytest.skip(f"{FORBIDDEN}: a file system of one's own")
    found = json.loads(Path("s.json").read_text())
    assert found["pss_peak_split"]["shmem"] == pytest.approx(20 * MIB, rel=0.02)
    (known,) = [row for row in found["made_of"]["mappings"] if row["name"].endswith("/known")]
    assert known["kind"] == "shared" and known["pss"] == 20 * MIB


RECORDED = """\
time,pid,process,rss,pss,uss,swap,anon,file,shmem,age
# made of: 0.500 9000000: anonymous 9000000 9000000 0 "anonymous"
0.500,1,"a",30000000,20000000,100,0,100,0,0,0
0.500,0,"system",0,,,,,,,0
# made of: 1.000 {pss}: file {file} 0 "/opt/{app}/a ""b"", c", anonymous {anon} {anon} 0 "[heap]"
1.000,1,"a",30000000,20000000,100,0,100,0,0,0
1.000,0,"system",0,,,,,,,0
# duration: 2.000
"""


def recorded(path: str, app: str, anon: int) -> None:
    Path(path).write_text(
        RECORDED.format(pss=20 * MIB, file=f"{8 * MIB} {MIB}", app=app, anon=anon * MIB)
    )


def test_the_last_one_of_a_recording_counts(capsys):
    recorded("s.csv", "app", 10)
    assert memory.main(["--in", "s.csv", "--json", "s.json", "--out", "g.png"]) == 0
    names = {"name": '/opt/app/a "b", c', "kind": "file", "pss": 8 * MIB, "anon": MIB, "swap": 0}
    found = json.loads(Path("s.json").read_text())["made_of"]
    assert (found["time"], found["pss"], found["mappings"][0]) == (1.0, 20 * MIB, names)
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("PSS by mapping, 1.0 s after the start, of 20.0 MiB")
    assert [line.split(maxsplit=6) for line in lines[first + 1 :][:4]] == [
        ["PSS", "anonymous"],
        ["8.0", "MiB", "1.0", "MiB", "40%", "file", '/opt/app/a "b", c'],
        ["10.0", "MiB", "10.0", "MiB", "50%", "anonymous", "[heap]"],
        ["2.0", "MiB", "10%", "the", "rest"],
    ]


def test_small_ones_are_in_the_rest(capsys):
    """Below half a percent of 20 MiB."""
    recorded("s.csv", "app", 10)
    text = Path("s.csv").read_text().replace('"[heap]"', '"[heap]", file 100000 0 0 "small"')
    Path("s.csv").write_text(text)
    assert memory.main(["--in", "s.csv", "--json", "s.json"]) == 0
    names = [row["name"] for row in json.loads(Path("s.json").read_text())["made_of"]["mappings"]]
    assert names[-1] == "small" and "small" not in capsys.readouterr().out


def test_what_cannot_be_read_is_an_upper_bound(capsys):
    recorded("s.csv", "app", 10)
    text = Path("s.csv").read_text().replace('anonymous 10485760 10485760 0 "[heap]"', "{}")
    Path("s.csv").write_text(text.format('unreadable 10485760 0 0 "not readable"'))
    assert memory.main(["--in", "s.csv"]) == 0
    out = capsys.readouterr().out
    assert "PSS by mapping, 1.0 s after the start, of <=20.0 MiB\n" in out
    assert "<=10.0 MiB                 50%  unreadable  not readable\n" in out


def test_two_runs_are_compared_by_mapping(capsys):
    """Files by their names alone: another version stands in another folder."""
    recorded("before.csv", "v1", 3)
    recorded("after.csv", "v2", 10)
    assert memory.main(["--in", "before.csv", "after.csv", "--out", "c.png"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[-4:-1]] == [
        ["20.0", "20.0", "+0.0", "in", "all"],
        ["3.0", "10.0", "+7.0", "[heap]"],
        ["8.0", "8.0", "+0.0", "a", '"b",', "c"],
    ]


def test_a_recording_without_mappings_is_not_compared_by_mapping(capsys):
    """It would look as if it had none of them."""
    recorded("after.csv", "v2", 10)
    lines = Path("after.csv").read_text().splitlines(keepends=True)
    Path("before.csv").write_text("".join(line for line in lines if "made of" not in line))
    assert memory.main(["--in", "before.csv", "after.csv"]) == 0
    assert "a column for each" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "1.000", "1.000 5", "x 5: ", '1.000 5: file 1 2 "a"'])
def test_what_is_damaged_is_left_out(text):
    found = memory.made_of(text)
    assert found is None or found["mappings"] == []


RESTING = "import time; x = bytearray(50 << 20); print(1, flush=True); time.sleep(9)"
GROWING = """
import time
for n in range(1, 9):
    x = bytearray(n * 20 << 20)
    print(n, flush=True)
    time.sleep(0.2)"""


@pytest.mark.parametrize(
    ("share", "code", "least", "most"),
    [
        (10**9, RESTING, 2, 2),
        (10**9, GROWING, 5, 9),
        (10**-9, GROWING, 2, 2),  # too dear: the first and the last
    ],
)
def test_it_is_taken_where_the_sum_has_grown_and_within_its_budget(
    monkeypatch, share, code, least, most
):
    by_mapping, taken = memory.by_mapping, []
    monkeypatch.setattr(memory, "by_mapping", lambda *x: taken.append(1) or by_mapping(*x))
    monkeypatch.setattr(memory, "REFRESH_SHARE", share)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as target:
        try:
            target.stdout.readline()
            memory.main(["--quiet", "--pid", str(target.pid), "--duration", "1.2"])
        finally:
            target.kill()
    assert least <= len(taken) <= most


def test_a_sample_has_the_time_of_its_last_poll(monkeypatch):
    """What was read before it, however slowly, is carried forward to there."""
    full_read = memory.full_read

    def slow(process):
        time.sleep(2)
        return full_read(process)

    monkeypatch.setattr(memory, "full_read", slow)
    assert memory.main(["--quiet", "--csv", "s.csv", "sleep", "3"]) == 0
    first = next(memory.samples_of("s.csv", {}))
    assert first.time >= 2


def test_its_reading_does_not_date_the_sample(monkeypatch):
    """The sums are from before it, however long it takes."""
    by_mapping = memory.by_mapping

    def slow(*args):
        time.sleep(3)
        return by_mapping(*args)

    monkeypatch.setattr(memory, "by_mapping", slow)
    assert memory.main(["--quiet", "--csv", "s.csv", "sleep", "1"]) == 0
    first = next(memory.samples_of("s.csv", {}))
    assert first.time < 1
