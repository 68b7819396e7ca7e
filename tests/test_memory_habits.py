"""memory.py: what users type, what they are told, and what lived between two samples."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import memory
from conftest import (
    FORBIDDEN,
    LIMIT,
    MEMORY,
    MIB,
    alive,
    load,
    run,
    start,
    wait_for,
    with_mounted,
)

PYTHON = sys.executable


def test_a_command_too_short_to_be_sampled_has_the_kernels_figure():
    """The kernel keeps the largest RSS that a process has had."""
    code = "x = 'a' * 200_000_000"
    result = run("--interval", "60", "--json", "s.json", PYTHON, "-c", code)
    found = load("s.json")
    assert 195 * MIB < found["kernel_peak_rss"] < 230 * MIB
    assert "RSS between two samples" in result.stderr or "too short to be sampled" in result.stderr


def test_what_lived_between_two_samples_is_said_with_an_interval_that_may_see_it():
    code = "import time; time.sleep(0.4); x = bytearray(150 << 20); del x; time.sleep(2.2)"
    result = run("--interval", "1", "--json", "s.json", PYTHON, "-c", code)
    found = load("s.json")
    assert found["rss"]["peak"] < 60 * MIB and 150 * MIB < found["kernel_peak_rss"] < 180 * MIB
    assert "RSS between two samples" in " ".join(result.stderr.split())
    assert "--interval 0.2 may see it" in " ".join(result.stderr.split())


def test_nothing_is_said_where_the_samples_saw_it():
    code = "import time; x = bytearray(50 << 20); time.sleep(0.6)"
    result = run("--json", "s.json", PYTHON, "-c", code)
    assert "between two samples" not in " ".join(result.stderr.split())
    assert load("s.json")["kernel_peak_rss"] >= 50 * MIB


def test_a_child_begins_with_the_mark_of_its_parent_and_that_is_not_believed():
    ballast = "import sys; x = bytearray(150 << 20); sys.argv = sys.argv[1:]; import memory; "
    code = ballast + "sys.exit(memory.main())"
    env = {**os.environ, "PYTHONPATH": str(Path(memory.__file__).parent)}
    words = [PYTHON, "-c", code, "memory.py", "--quiet", "--json", "s.json", "sleep", "0.3"]
    assert subprocess.run(words, env=env).returncode == 0
    assert load("s.json")["kernel_peak_rss"] < 20 * MIB


@pytest.mark.parametrize("how", ["{},{}", "{} {}", "{} --pid {}"])
def test_several_pids_and_one_sample_of_what_is_now(how):
    targets = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    try:
        pids = [str(target.pid) for target in targets]
        words = how.format(*pids).split()
        result = run("--json", "s.json", "--pid", *words, "--duration", "0")
        assert result.returncode == 0, result.stderr
        found = load("s.json")
        assert found["samples"] == 1 and found["processes"] == 2
        assert result.stderr.startswith(f"sleep ({pids[0]}), sleep ({pids[1]})\n")
    finally:
        for target in targets:
            target.kill()
            target.wait()


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--pid"], 2, "no such process (did pgrep find none?)"),
        (["--pid", "--duration", "5"], 2, "no such process (did pgrep find none?)"),
        (["sleep 3"], 127, "--cmd 'sleep 3'"),
        (["--csv", "-", "true"], 2, "regular file"),
        (["--interval", "5s", "true"], 2, "invalid float value: '5s'"),
        (["--interval", "0", "true"], 2, "above 0"),
        (["--duration", "0", "true"], 2, "above 0"),
    ],
)
def test_one_line_says_what_to_do(args, status, message):
    result = run("--quiet", *args)
    assert result.returncode == status
    last = result.stderr.splitlines()[-1]
    assert message in last and "Traceback" not in result.stderr


def test_the_files_written_are_said_last_and_o_is_out():
    result = run("-o", "g.png", "--csv", "s.csv", "--json", "s.json", "sleep", "0.3")
    assert result.stderr.splitlines()[-1] == "written: s.csv, s.json, g.png"
    assert Path("g.png").stat().st_size > 10_000


GROUP = """
import os, signal, sys, time
child = os.fork()
def told(number, frame):
    print("child" if not child else "command", flush=True)
    if child:
        time.sleep(0.5)  # as a program that closes its own children
        os.kill(child, signal.SIGKILL)
    os._exit(0)
signal.signal(signal.SIGTERM, told)
os.write(1, b"ready\\n")
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["duration", "signal"])
def test_the_command_alone_is_told_and_ends_its_own_children(how):
    args = ["--duration", "1"] if how == "duration" else []
    process = start(*args, "--json", "s.json", PYTHON, "-c", GROUP)
    assert process.stdout.readline() == "ready\n" == process.stdout.readline()
    if how == "signal":
        process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LIMIT)
    assert out == "command\n" and process.returncode == 0
    assert not any(alive(use["pid"]) for use in load("s.json")["by_process"])


def test_what_the_command_leaves_is_ended_later(monkeypatch):
    """A child that only SIGKILL ends: re-listed until nobody is left."""
    monkeypatch.setattr(memory, "TERM_SECONDS", 0.5)
    code = "trap '' TERM; sleep 60 & echo $! >pid; wait; sleep 60"
    words = ["sh", "-c", f"setsid sh -c '{code}' & exec sleep 60"]
    assert memory.main(["--quiet", "--duration", "1", *words]) == 0
    assert not alive(int(Path("pid").read_text()))


def test_a_second_ctrl_c_names_who_is_left():
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    process = start(PYTHON, "-c", f"{code}; time.sleep(60)")
    process.stdout.readline()
    left = wait_for(psutil.Process(process.pid).children)[0]
    process.send_signal(signal.SIGTERM)
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 143 and alive(left.pid)
    left.kill()
    assert f"left running: {Path(PYTHON).name} ({left.pid})" in process.communicate()[1]


def test_six_runs_of_the_same_program_agree_on_the_end():
    """The last sample before the exits begin, not one that caught half of the tree exiting."""
    tree = [PYTHON, str(Path(memory.__file__).parent / "tests" / "tree.py")]
    words = [*tree, "--private", "20", "--children", "4", "--shared", "40", "--seconds", "1"]
    ends = []
    for _ in range(6):
        assert run("--quiet", "--json", "s.json", *words).returncode == 0
        ends.append(load("s.json")["pss"]["end"])
    assert max(ends) < 1.02 * min(ends) and min(ends) > 120 * MIB


def test_samples_that_were_missed_before_the_end_were_due(monkeypatch):
    """On a busy machine one sample may take seconds."""
    sample = memory.Sampler.sample

    def sampled(sampler, **options):
        time.sleep(0.6)
        return sample(sampler, **options)

    monkeypatch.setattr(memory.Sampler, "sample", sampled)
    assert memory.main(["--quiet", "--csv", "s.csv", "sleep", "0.5"]) == 0
    due = int(re.search(r"# samples due: (\d+)", Path("s.csv").read_text())[1])
    assert 6 <= due < 12


def times_of_samples() -> list[float]:
    return [float(time_) for time_ in re.findall(r"(?m)^([\d.]+),0,", Path("s.csv").read_text())]


def test_no_two_samples_have_the_same_time(monkeypatch):
    """Else a sum by time has both: one of 5 MiB is 10."""
    sample = memory.Sampler.sample

    def sampled(sampler, **options):
        found = sample(sampler, **options)
        sampler.polled_at -= sampler.polled_at % 0.1  # as if they were as near as that
        return found

    monkeypatch.setattr(memory.Sampler, "sample", sampled)
    assert memory.main(["--quiet", "--interval", "0.02", "--csv", "s.csv", "sleep", "0.5"]) == 0
    times = times_of_samples()
    assert len(times) > 10 and len({*times}) == len(times)


HIDDEN = """
mount -t proc -o hidepid=2 proc /proc || exit 77
exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs "$@"
"""


def test_hidden_processes_are_said():
    if os.geteuid() or not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip(f"{FORBIDDEN}: another user and a mount of /proc")
    folder = Path("/var/tmp") / f"hidepid-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o777)
    python = "/usr/bin/python3" if not os.access(PYTHON, os.X_OK) else PYTHON
    words = [python, shutil.copy(MEMORY[1], folder), "--csv", str(folder / "s.csv"), "sleep", "0.3"]
    shell = ["unshare", "--mount", "sh", "-c", HIDDEN, "sh", *words]
    try:
        result = subprocess.run(shell, capture_output=True, text=True, cwd=folder)
        if result.returncode in (1, 77, 126, 127):  # no such mount, or no Python for nobody
            pytest.skip(f"{FORBIDDEN}: {result.stderr.strip()[-100:]}")
        assert "/proc hides other users' processes (hidepid)" in result.stderr
    finally:
        shutil.rmtree(folder)


def test_without_var_tmp():
    """The recording is kept in /tmp for so long."""
    Path("var").mkdir()  # as in a small container
    result = with_mounted("var", "/var", *MEMORY, "sleep", "0.3")
    assert result.returncode == 0 and "PSS" in result.stderr


def test_the_process_that_the_samples_saw_least_of_is_told():
    """Not the one with the highest mark."""
    poller = memory.Poller(memory.Tree())
    for pid, mark, seen in ((1, 50, 48), (2, 30, 10), (3, 60, 55)):
        process = SimpleNamespace(pid=pid, name="a", high_water=mark)
        poller.note_high_water(process, seen)
    assert poller.missed == (20, 30, 10, 2, "a")
    assert (poller.kernel_peak, poller.largest) == (60, 55)


def test_a_loadavg_that_is_not_the_kernels_is_not_believed():
    """As lxcfs has it in some containers: new every five seconds, and without the last pid."""
    Path("loadavg").write_text("0.10 0.10 0.10 1/5 123\n")
    later = (
        f"sleep 0.6; {sys.executable} -c 'x = bytearray(60 << 20); import time; time.sleep(1)'; :"
    )
    words = [*MEMORY, "--json", "s.json", "sh", "-c", later]
    assert with_mounted("loadavg", "/proc/loadavg", *words).returncode == 0
    assert load("s.json")["pss"]["peak"] > 60 * MIB


@pytest.mark.parametrize("python", [sys.executable, "/usr/bin/python3"])
def test_a_graph_where_no_thread_can_be_started(python):
    """The first child was the init of a pid namespace and has ended: there is no other after it.

    The numpy of Debian would wait for its threads for ever, that of PyPI not.
    """
    words = ["unshare", "--user", "--map-root-user", "--pid", python, *MEMORY[1:]]
    result = subprocess.run(
        [*words, "--out", "g.png", "true"], capture_output=True, text=True, timeout=LIMIT
    )
    if result.returncode == 1 or "missing for" in result.stderr:
        pytest.skip(f"{FORBIDDEN}: a pid namespace, or matplotlib for {python}")
    assert result.returncode == 0 and "written: g.png" in result.stderr
    assert Path("g.png").stat().st_size > 10000


def test_few_threads_and_descriptors_are_enough():
    limits = "ulimit -u 0 2>/dev/null; ulimit -n 16"
    sleepers = "sleep 0.8 & " * 20
    words = [*MEMORY, "--json", "s.json", "sh", "-c", f"{sleepers} wait"]
    shell = ["sh", "-c", f'{limits}; exec "$@"', "sh", *words]
    result = subprocess.run(shell, capture_output=True, text=True)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    found = load("s.json")
    assert found["samples"] >= 3 and found["processes"] == 21, "none is missed"


def test_a_recording_that_cannot_be_moved_leaves_no_second_file(tmp_path, monkeypatch, capsys):
    """Both disks are full: it stops, and says so."""
    monkeypatch.setattr(memory, "TEMPORARY_FOLDER", str(tmp_path))
    recording = memory.Recording("s.csv", None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup2", lambda *_, **__: os.stat("no/such/place"))
        recording.move("s.csv: No space left on device", b"row")
    assert recording.failed and "samples from here on are not recorded" in capsys.readouterr().err
    assert [path for path in os.listdir(tmp_path) if path.startswith("memory.")] == []
    recording.close()
