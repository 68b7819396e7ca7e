"""memory.py: how a run ends, its exit status, its streams and its files. Real processes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import memory
from conftest import FORBIDDEN, LIMIT, MEMORY, ROOT, TREE, alive, load, run, start, wait_for

PYTHON = sys.executable
READY = "print('ready', flush=True)"


def python(code: str) -> list[str]:
    return [PYTHON, "-c", code]


def wait_ready(process: subprocess.Popen) -> None:
    assert process.stdout.readline().strip() == "ready"


def commands_process(process: subprocess.Popen) -> psutil.Process:
    """The command below a memory.py that runs."""
    return wait_for(psutil.Process(process.pid).children)[0]


# ---------------------------------------------------------------- exit status


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_status_of_the_command(status):
    assert run("--quiet", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_status_of_a_command_that_a_signal_ended(number):
    assert run("--quiet", "sh", "-c", f"kill -{int(number)} $$").returncode == 128 + number


def test_command_that_is_not_there():
    Path("old.csv").write_text("keep me")
    result = run("--csv", "old.csv", "--out", "g.png", "no-such-command-here")
    assert result.returncode == 127
    assert result.stderr == "memory.py: no-such-command-here: No such file or directory\n"
    assert Path("old.csv").read_text() == "keep me"
    assert os.listdir(".") == ["old.csv"]  # nothing else was left


def test_command_that_cannot_be_executed():
    Path("data.txt").write_text("no program")
    result = run("--csv", "new.csv", "./data.txt")
    assert result.returncode == 126
    assert result.stderr == "memory.py: ./data.txt: Permission denied\n"
    assert not Path("new.csv").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "give one of"),
        (["--cmd", "true", "true"], "give one of"),
        (["--cmd", ""], "the command is empty"),
        (["--cmd", "''"], "the command is empty"),
        ([""], "the command is empty"),
        (["--cmd", "echo 'open"], "No closing quotation"),
        (["--pid", "1", "--cmd", "true"], "give one of"),
        (["--pid", "999999999"], "no such process"),
        (["--pid", "abc"], "--pid abc: no such process"),
        (["--pid", "--duration", "0"], "--pid: no such process (did pgrep find none?)"),
        (["--in", ""], "the name of a file is empty"),
        (["--interval", "0", "true"], "--interval is 0.001 or more"),
        (["--interval", "5e-324", "true"], "--interval is 0.001 or more"),
        (["--interval", "nan", "true"], "--interval is 0.001 or more"),
        (["--duration", "-1", "true"], "--duration above 0"),
        (["--out", ".png", "true"], ".png: the ending must be"),
        (["--csv", "", "true"], "the name of a file is empty"),
        (["--json", "", "true"], "the name of a file is empty"),
        (["--out", "g.jpg", "true"], "g.jpg: the ending must be one of .png, .svg, .pdf"),
        (["--out", "g", "true"], "g: the ending"),
        (["--out", "no/g.png", "true"], "no/g.png: cannot be written, or its folder is missing"),
        (["--csv", ".", "true"], "must be a regular file"),
        (["--csv", "/dev/null", "true"], "must be a regular file"),
        (["--csv", "x", "--json", "./x", "true"], "named twice"),
        (["--in", "x.csv", "--csv", "y.csv"], "--csv needs a run"),
        (["--in", "x.csv", "--json", "x.csv"], "named twice"),
        (["--dur", "1", "true"], "--dur"),  # no abbreviations
    ],
)
def test_wrong_usage(args, message):
    result = run(*args)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr and "Traceback" not in result.stderr
    assert os.listdir(".") == []


def test_what_can_fail_is_found_before_the_command_starts(tmp_path):
    for more in (["--out", "no/g.png"], ["--out", "g.gif"], ["--csv", "no/s.csv"]):
        assert run(*more, "touch", "started").returncode == 2
    assert not Path("started").exists()


def without(package: str, tmp_path: Path) -> dict[str, str]:
    """An environment in which a package cannot be found."""
    code = f"""
import importlib.abc, sys
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "{package}":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "{package}" else real(name, *a)
"""
    folder = tmp_path / "hide"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_without_matplotlib_all_but_the_graph_works(tmp_path):
    env = without("matplotlib", tmp_path)
    result = run("--out", "g.png", "touch", "started", env=env)
    assert result.returncode == 125 and not Path("started").exists()
    assert result.stderr == (
        f"memory.py: matplotlib missing for {PYTHON}: apt install python3-matplotlib "
        "(or pip install matplotlib)\n"
    )
    assert run("--csv", "s.csv", "sleep", "0.2", env=env).returncode == 0
    assert run("--in", "s.csv", env=env).returncode == 0


def test_without_psutil_recordings_still_draw(tmp_path):
    assert run("--csv", "s.csv", "sleep", "0.2").returncode == 0
    env = without("psutil", tmp_path)
    result = run("touch", "started", env=env)
    assert result.returncode == 125 and not Path("started").exists()
    assert f"psutil missing for {PYTHON}: apt install python3-psutil" in result.stderr
    assert run("--in", "s.csv", "--out", "g.png", env=env).returncode == 0


def test_a_graph_that_cannot_be_written_leaves_the_samples():
    """The folder goes away while the command runs."""
    os.mkdir("pictures")
    result = run("--csv", "s.csv", "--out", "pictures/g.png", "rmdir", "pictures")
    assert result.returncode == 125
    assert "the samples are kept" in result.stderr and "--in s.csv" in result.stderr
    assert run("--in", "s.csv", "--out", "g.png").returncode == 0
    os.mkdir("pictures")
    result = run("--csv", "s.csv", "--out", "pictures/g.png", "sh", "-c", "rmdir pictures; exit 3")
    assert result.returncode == 3  # the command's own failure goes first


def test_a_full_disk_loses_nothing_that_was_written():
    """A limit on the size of files stands for it: the same error at the same place."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    words = [
        "--csv",
        "s.csv",
        "--interval",
        "0.02",
        "--json",
        "-",
        "sh",
        "-c",
        "sleep 1; echo done",
    ]
    result = run(*words, preexec_fn=limit)
    assert result.returncode == 125
    assert result.stderr.count(os.strerror(errno.EFBIG)) == 1 and "s.csv" in result.stderr
    assert result.stdout.startswith("done\n")
    assert json.loads(result.stdout[5:])["samples"] > 3
    assert "not whole" in result.stderr


FULL = """
mkdir disk && mount -t tmpfs -o size=64k none disk || exit 77
exec "$@" sh -c 'sleep 0.3; head -c 65536 /dev/zero >disk/filler 2>/dev/null; sleep 0.5; exit 3'
"""


@pytest.mark.parametrize("option", ["--csv=disk/s.csv", "--out=disk/g.png"])
def test_a_full_disk_is_left_for_another(option):
    options = [option, "--interval", "0.005"]
    shell = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh"]
    result = subprocess.run([*shell, *MEMORY, *options], capture_output=True, text=True)
    if result.returncode in (1, 77):
        pytest.skip(f"{FORBIDDEN}: a file system of one's own")
    place = re.search(
        r"disk/\S*csv: No space left on device; the samples are in (\S+)", result.stderr
    )[1]
    assert result.returncode == 3, result.stderr
    assert memory.main(["--in", place, "--json", "s.json"]) == 0
    assert load("s.json")["duration"] > 0.7 and load("s.json")["samples"] > 100
    os.unlink(place)


# ---------------------------------------------------------------- the end


def test_a_command_that_ends_at_once():
    begin = time.monotonic()
    args = ["--interval", "60", "--csv", "s.csv", "--json", "s.json", "--out", "g.png", "true"]
    result = run(*args)
    assert result.returncode == 0 and time.monotonic() - begin < 30
    assert load("s.json")["samples"] in (0, 1)
    assert "# exit status: 0" in Path("s.csv").read_text()
    assert Path("g.png").read_bytes()[:4] == b"\x89PNG"
    assert " due" in result.stderr or not load("s.json")["samples"]


def test_the_commands_end_ends_the_wait():
    begin = time.monotonic()
    assert run("--interval", "1000", "--quiet", "sleep", "0.3").returncode == 0
    assert time.monotonic() - begin < 30


def test_duration_ends_the_whole_tree():
    words = [*TREE, "--daemon", "10", "--thread", "10", "--private", "10", "--seconds", "0"]
    process = start("--duration", "3", "--interval", "0.1", "--json", "s.json", *words)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    found = load("s.json")
    assert found["exit_status"] == 0
    assert 3 <= found["duration"] < 3.9  # what comes after is not in it
    assert not any(alive(use["pid"]) for use in found["by_process"])
    assert len(found["by_process"]) >= 4


def test_duration_kills_who_does_not_listen(monkeypatch):
    monkeypatch.setattr(memory, "TERM_SECONDS", 0.5)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    begin = time.monotonic()
    assert memory.main(["--duration", "1", "--json", "s.json", "--", *python(code)]) == 0
    assert time.monotonic() - begin < 30
    assert not alive(load("s.json")["by_process"][0]["pid"])


def test_a_command_that_ends_before_the_duration():
    result = run("--duration", "60", "sh", "-c", "exit 5")
    assert result.returncode == 5


def test_watched_processes_are_never_signalled():
    code = f"""
import signal, time
for n in (1, 2, 15):
    signal.signal(n, lambda *a: print('signal', flush=True))
{READY}
time.sleep(60)"""
    target = subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True)
    try:
        wait_ready(target)
        assert run("--pid", target.pid, "--duration", "0.3").returncode == 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            csv = Path(f"{number}.csv")
            words = ["--pid", target.pid, "--interval", 60, "--csv", csv, "--out", "g.png"]
            process = start(*words)
            wait_for(lambda csv=csv: csv.exists() and ',0,"system",' in csv.read_text())
            process.send_signal(number)
            _, err = process.communicate(timeout=LIMIT)
            assert process.returncode == 0 and "PSS" in err
            assert csv.read_text().count(',0,"system",') == 2, "the first, and one at the signal"
            assert Path("g.png").exists()
            os.unlink("g.png")
        assert target.poll() is None
        assert select.select([target.stdout], [], [], 0.1)[0] == []
    finally:
        target.kill()
        target.wait()
        target.stdout.close()


def test_watching_ends_with_the_processes():
    target, csv = subprocess.Popen(["sleep", "60"]), Path("s.csv")
    process = start("--pid", target.pid, "--interval", "0.1", "--csv", csv)
    wait_for(lambda: csv.exists() and "system" in csv.read_text())
    target.kill()
    target.wait()
    assert process.wait(LIMIT) == 0
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_memory_py_alone_is_passed_on_once(number):
    """To the command, once: it ends its own children, as under timeout(1)."""
    code = f"""
import signal, time
got = []
for n in (1, 2, 15):
    signal.signal(n, lambda n, f: got.append(n))
{READY}
end = time.monotonic() + 60
while not got and time.monotonic() < end:
    time.sleep(0.05)
time.sleep(0.5)
print(got, flush=True)
raise SystemExit(9)"""
    process = start("--csv", "s.csv", "--out", "g.png", *python(code))
    wait_ready(process)
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT)
    assert out == f"[{int(number)}]\n"
    assert process.returncode == 9  # the command's
    assert "PSS" in err and Path("g.png").exists() and "exit status: 9" in Path("s.csv").read_text()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_stops_at_once(number, status):
    code = f"import signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\n{READY}\n"
    process = start("--csv", "s.csv", "--out", "g.png", *python(code + "time.sleep(60)"))
    wait_ready(process)
    target = commands_process(process)
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(LIMIT) == status
    assert target.is_running()
    target.kill()
    assert "PSS" in process.communicate()[1] and Path("g.png").exists()


def test_another_signal_soon_after_the_first_stops_at_once():
    code = f"import signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\n{READY}\n"
    process = start("--csv", "s.csv", *python(code + "time.sleep(60)"))
    wait_ready(process)
    target = commands_process(process)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "# ending: " in Path("s.csv").read_text())  # heard
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 143
    target.kill()


def test_nohup_stays_in_force():
    """What was ignored when memory.py started is ignored by it and by the command."""
    code = f"{READY}\nimport time; time.sleep(1)\nraise SystemExit(4)"
    process = start(*python(code), preexec_fn=lambda: signal.signal(1, signal.SIG_IGN))
    wait_ready(process)
    process.send_signal(signal.SIGHUP)
    commands_process(process).send_signal(signal.SIGHUP)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 4


def test_those_left_alive_are_said_and_ctrl_c_leaves_them():
    named = 'until read name </proc/$!/comm; [ "$name" = sleep ]; do :; done'  # no shell any more
    words = ["sh", "-c", f"sleep 60 </dev/null >/dev/null 2>&1 & echo $!; {named}; exit 6"]
    process = start("--interval", "0.1", "--json", "s.json", *words)
    left = int(process.stdout.readline())
    try:
        line = process.stderr.readline()
        assert line == (
            f"memory.py: sh has ended with status 6; still running: sleep ({left}); "
            "Ctrl-C stops measuring\n"
        )
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 6 and err.count("go on") == 0
        assert alive(left)
        (name,) = [use["process"] for use in load("s.json")["by_process"] if use["pid"] == left]
        assert name == "sleep"
    finally:
        os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_any_signal_ends_the_measuring_once_the_command_has_ended(number):
    """There is nobody to pass it on to: docker stop, or a terminal that is closed."""
    words = ["sh", "-c", "sleep 60 </dev/null >/dev/null 2>&1 & echo $!; exit 6"]
    process = start("--interval", "0.1", "--json", "s.json", *words)
    left = int(process.stdout.readline())
    try:
        assert "still running" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(10) == 6 and alive(left)
        assert load("s.json")["made_of"] and "PSS" in process.communicate()[1]
    finally:
        process.kill()
        os.kill(left, signal.SIGKILL)


def test_a_signal_to_the_group_that_ends_the_command_does_not_end_the_measuring():
    """kill %1: the command has ended by the time memory.py sees its own; the others clean up."""
    worker = f"import signal, time; signal.pthread_sigmask(0, [15]); {READY}; signal.sigwait([15])"
    worker += "; time.sleep(1.5)"
    words = ["sh", "-c", f'{PYTHON} -c "{worker}" & exec sleep 60']
    process = start("--json", "s.json", "--interval", "0.1", *words, start_new_session=True)
    try:
        wait_ready(process)
        os.killpg(process.pid, signal.SIGTERM)
        begin = time.monotonic()
        assert process.wait(LIMIT) == 128 + signal.SIGTERM
        assert time.monotonic() - begin > 1.4
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_mark_of_orphans_between_two_samples():
    """They are memory.py's own children by then, and it reaps them."""
    spike = "import time; time.sleep(1); x = b'x' * (200 << 20)"
    words = ["sh", "-c", f'setsid {PYTHON} -c "{spike}" </dev/null >/dev/null 2>&1 & sleep 0.2']
    assert run("--interval", "60", "--json", "s.json", *words).returncode == 0
    assert load("s.json")["kernel_peak_rss"] > 200 << 20


def test_sampling_goes_on_until_the_last_descendant_has_ended():
    words = ["sh", "-c", "(sleep 1; exec sleep 0.5) >/dev/null 2>&1 & exit 0"]
    result = run("--interval", "0.1", "--json", "s.json", *words)
    assert result.returncode == 0
    assert load("s.json")["duration"] >= 1.5


def test_single_instance_hint():
    """A program with children of its own may have handed over; any other of that name has not."""
    single = f"./single{os.getpid()}"  # another user may run this test too
    shutil.copy(shutil.which("bash"), single)
    other = subprocess.Popen([single, "-c", f"{single} -c 'sleep 60; :' & wait"])
    child = wait_for(psutil.Process(other.pid).children)[0]
    lonely = subprocess.Popen(["sleep", "60"])
    try:
        time.sleep(1.5)
        hint = f"may have taken over; to measure it: memory.py --pid {other.pid}\n"
        assert hint in run(single, "-c", "sleep 0.1").stderr
        assert "another" not in run(single, "-c", "kill -TERM $$").stderr
        assert "another" not in run("sleep", "0.1").stderr
    finally:
        for process in (child, *child.children(), other, lonely):  # the parent first
            process.kill()
        other.wait()
        lonely.wait()


def test_sigchld_that_was_ignored():
    result = run(
        "--quiet", "sh", "-c", "exit 4", preexec_fn=lambda: signal.signal(17, signal.SIG_IGN)
    )
    assert result.returncode == 4


def test_timeout_sends_it_twice_and_means_it_once():
    """timeout(1) signals memory.py and then its group."""
    code = "import signal, sys, time\nsignal.signal(15, lambda *a: (time.sleep(1), sys.exit(5)))"
    words = [
        "timeout",
        "-k",
        "60",
        "2",
        *MEMORY,
        "--json",
        "s.json",
        *python(code + "\ntime.sleep(60)"),
    ]
    subprocess.run(words, capture_output=True)
    assert load("s.json")["exit_status"] in (5, 143)  # 143: before the handler was there


@pytest.mark.parametrize("where", ["finish", "picture"])
def test_a_signal_in_the_end_does_not_lose_the_report(monkeypatch, capsys, where):
    """Whatever arrives while the report is made: there is nothing more to end."""
    done = getattr(memory, where)

    def interrupted(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        return done(*args)

    monkeypatch.setattr(memory, where, interrupted)
    before = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert memory.main(["--json", "s.json", "--out", "g.png", "sh", "-c", "exit 3"]) == 3
    assert Path("g.png").exists() and load("s.json")["exit_status"] == 3
    after = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert after == before


# ---------------------------------------------------------------- the terminal


class Terminal:
    """memory.py in the foreground of a terminal of its own."""

    def __init__(self, *args: object) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(PYTHON, [*MEMORY, *map(str, args)])
        self.text = b""

    def expect(self, word: bytes) -> None:
        wait_for(lambda: self.read() and word in self.text, repr(word))

    def read(self) -> bool:
        while select.select([self.fd], [], [], 0)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # the other side is closed
                data = b""
            if not data:
                break
            self.text += data
        return True

    def type(self, data: bytes) -> None:
        os.write(self.fd, data)


def finish(terminal: Terminal) -> int:
    """The exit status, all output read."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        terminal.read()
        pid, status = os.waitpid(terminal.pid, os.WNOHANG)
        if pid:
            terminal.read()
            os.close(terminal.fd)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    pytest.fail("memory.py did not end")


def test_ctrl_c_reaches_the_command_once_and_all_is_reported():
    code = f"""
import signal, time
got = []
signal.signal(2, lambda n, f: got.append(n))
{READY}
while not got:
    time.sleep(0.05)
time.sleep(0.5)
print("got", len(got), flush=True)
raise SystemExit(3)"""
    terminal = Terminal("--csv", "s.csv", "--out", "g.png", "--interval", "0.1", *python(code))
    terminal.expect(b"ready")
    terminal.type(b"\x03")
    assert finish(terminal) == 3
    assert b"got 1" in terminal.text and b"exit status 3" in terminal.text
    assert Path("g.png").exists()


def test_a_terminal_that_hangs_up_ends_the_tree():
    """As with ssh -t, where memory.py leads the session: the kernel tells the leader alone."""
    terminal = Terminal("--csv", "s.csv", "--out", "g.png", "--interval", "0.1", "sleep", "60")
    wait_for(lambda: Path("s.csv").exists() and Path("s.csv").read_text().count("sleep") > 2)
    target = psutil.Process(terminal.pid).children()[0]
    os.close(terminal.fd)
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert Path("g.png").exists() and not alive(target.pid)


def test_ctrl_c_twice_stops_at_once():
    code = f"import signal, time\nsignal.signal(2, signal.SIG_IGN)\n{READY}\ntime.sleep(60)"
    terminal = Terminal("--csv", "s.csv", "--out", "g.png", *python(code))
    terminal.expect(b"ready")
    target = psutil.Process(terminal.pid).children()[0]
    terminal.type(b"\x03")
    time.sleep(0.3)
    terminal.type(b"\x03")
    assert finish(terminal) == 130
    assert b"memory.py itself" in terminal.text and Path("g.png").exists()
    target.kill()


def test_status_line_on_a_terminal_and_taken_away():
    """With --pid it meets nobody's output."""
    target = subprocess.Popen(["sleep", "60"])
    try:
        terminal = Terminal("--pid", target.pid, "--duration", "1.5")
        assert finish(terminal) == 0
        line = terminal.text.split(b"\r\x1b[K")
        assert len(line) > 3 and b"1 process  PSS 0." in line[0]
        assert b"\x1b" not in line[-1] and b"memory.py itself" in line[-1]
        for option in ("--no-status", "--quiet"):
            terminal = Terminal(option, "--pid", target.pid, "--duration", "0.5")
            assert finish(terminal) == 0
            assert b"\x1b" not in terminal.text
            assert (b"memory.py itself" in terminal.text) == (option == "--no-status")
    finally:
        target.kill()
        target.wait()


def test_status_line_never_meets_what_the_command_writes():
    code = "for i in 1 2 3; do printf 'part '; sleep 0.5; echo whole; done"
    terminal = Terminal("--interval", "0.05", "sh", "-c", code)
    assert finish(terminal) == 0
    assert terminal.text.startswith(b"part whole\r\n" * 3) and b"\x1b" not in terminal.text


def test_quiet_on_a_terminal():
    terminal = Terminal("--quiet", "--interval", "0.1", "sleep", "0.4")
    assert finish(terminal) == 0
    assert terminal.text == b""


def test_no_status_line_without_a_terminal():
    result = run("--interval", "0.1", "sleep", "0.4")
    assert "\r" not in result.stderr and "\x1b" not in result.stderr
    assert run("--quiet", "--interval", "0.1", "sleep", "0.4").stderr == ""


# ---------------------------------------------------------------- streams and descriptors


def test_the_commands_streams_are_its_own():
    result = run("--csv", "s.csv", "sh", "-c", "cat; echo err >&2", input="in\n")
    assert result.stdout == "in\n"
    assert result.stderr.startswith("err\n")
    result = run("--quiet", "--json", "-", "cat", input="")
    assert json.loads(result.stdout)["command"] == "cat"


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full", "2>&1 | true", "2>&- >&- <&-"])
def test_nobody_listens(closing):
    """The report that nobody hears costs neither graph, JSON nor exit status."""
    words = f"{PYTHON} {ROOT}/memory.py --interval 0.1 --json s.json --out g.png"
    script = f"({words} sh -c 'sleep 0.4; exit 3'; echo $? >status) {closing}"
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    wait_for(lambda: Path("status").exists() and Path("status").read_text())
    assert Path("status").read_text() == "3\n" and result.stdout == ""
    assert load("s.json")["exit_status"] == 3 and Path("g.png").exists()
    left = sorted(name for name in os.listdir(".") if not name.endswith(".csv"))
    assert left == ["g.png", "s.json", "status"]
    kept = [name for name in os.listdir(".") if name.startswith(".g.png.")]
    assert len(kept) == ("full" in closing)  # nobody has seen the summary


@pytest.mark.parametrize(
    "words", ["--quiet --csv t.csv --json - true", "--in s.csv --json -", "--in s.csv"]
)
def test_json_that_nobody_takes_is_a_failure(words):
    assert run("--quiet", "--csv", "s.csv", "true").returncode == 0
    for closing in (">&-", ">/dev/full"):
        script = f"{PYTHON} {ROOT}/memory.py {words} {closing}"
        result = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
        assert result.returncode == 125 and "Traceback" not in result.stderr


def test_a_report_that_cannot_be_written_says_where_the_samples_are():
    result = run("--quiet", "--json", "/dev/full", "--out", "g.png", "sleep", "0.2")
    assert result.returncode == 125
    hidden = next(name for name in os.listdir(".") if name.endswith(".csv"))
    assert f"draw them again with --in {os.path.abspath(hidden)}\n" in result.stderr


def test_a_working_folder_that_is_gone():
    os.mkdir("gone")
    words = [sys.executable, memory.__file__, "--csv", "s.csv", "true"]
    shell = ["sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "sh", *words]
    result = subprocess.run(shell, capture_output=True, text=True)
    assert result.returncode == 2 and "the current folder: No such file" in result.stderr


def test_proc_of_another_pid_namespace():
    words = ["unshare", "--pid", "--fork", "--map-root-user", sys.executable, memory.__file__]
    result = subprocess.run([*words, "--quiet", "true"], capture_output=True, text=True)
    if result.stderr.startswith("unshare:"):
        pytest.skip(f"{FORBIDDEN}: a pid namespace")
    assert result.returncode == 125 and "/proc is another pid namespace's" in result.stderr


def test_a_recording_that_vanishes_is_written_anew():
    result = run("--csv", "s.csv", "sh", "-c", "sleep 0.3; rm s.csv; sleep 0.3; exit 3")
    place = re.search(r"s.csv has been removed or replaced; .* in (\S+)", result.stderr)[1]
    assert result.returncode == 3 and f"written: {place}\n" in result.stderr
    assert memory.main(["--in", place, "--json", "s.json"]) == 0
    assert load("s.json")["duration"] > 0.5 and load("s.json")["samples"] >= 5
    os.unlink(place)


def test_a_recording_that_is_replaced_is_written_anew():
    result = run("--csv", "s.csv", "sh", "-c", "sleep 0.3; mv s.csv t.csv; echo a >s.csv; exit 3")
    place = re.search(r"replaced; the samples are in (\S+)", result.stderr)[1]
    assert result.returncode == 3 and Path("s.csv").read_text() == "a\n"
    assert Path(place).read_text() == Path("t.csv").read_text()
    os.unlink(place)


def test_a_command_line_of_any_length():
    words = ["sh", "-c", "sleep 0.3", *map(str, range(40_000))]
    result = run("--csv", "s.csv", "--json", "s.json", *words)
    assert result.returncode == 0 and "not whole" not in result.stderr
    assert len(result.stderr.splitlines()[0]) == 1000 and load("s.json")["samples"] >= 2


def test_a_folder_of_the_graph_that_is_removed_loses_no_samples():
    os.mkdir("pictures")
    result = run("--out", "pictures/g.png", "sh", "-c", "sleep 0.3; rm -r pictures; sleep 0.3")
    assert result.returncode == 125 and "Traceback" not in result.stderr
    place = re.search(r"draw them again with --in (\S+)", result.stderr)[1]
    assert memory.main(["--in", place, "--out", "g.png"]) == 0
    os.unlink(place)


def test_inherited_descriptors_are_passed_on():
    """As make's jobserver needs it."""
    read, write = os.pipe()
    try:
        result = run("--quiet", "sh", "-c", f"echo token >/proc/self/fd/{write}", pass_fds=[write])
        assert result.returncode == 0 and os.read(read, 100) == b"token\n"
        result = run("--quiet", "sh", "-c", "ls /proc/self/fd | wc -l", pass_fds=[write])
        assert result.stdout.strip() == "5"  # 0, 1, 2, the pipe, ls's own: none of memory.py's
    finally:
        os.close(read)
        os.close(write)


def test_makes_jobserver():
    Path("Makefile").write_text("all: a b c\na b c:\n\t@+echo $@\n")
    Path("top.mk").write_text(
        f"all:\n\t+@{PYTHON} {ROOT}/memory.py --quiet $(MAKE) --no-print-directory all\n"
    )
    if subprocess.run(["which", "make"], capture_output=True).returncode:
        pytest.fail("make is missing: apt install make")
    result = subprocess.run(
        ["make", "-j2", "--no-print-directory", "-f", "top.mk"], capture_output=True, text=True
    )
    assert result.returncode == 0 and "jobserver unavailable" not in result.stderr
    assert sorted(result.stdout.split()) == ["a", "b", "c"]


def test_the_commands_signals_are_as_without_memory_py():
    show = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
    plain = subprocess.run(["sh", "-c", show], capture_output=True, text=True).stdout
    found = run("--quiet", "sh", "-c", show).stdout
    masks = [[int(line.split()[1], 16) for line in text.splitlines()] for text in (plain, found)]
    internal = 0b11 << 31  # SIGCANCEL and SIGSETXID, which glibc's posix_spawn ignores
    assert [mask & ~internal for mask in masks[0]] == [mask & ~internal for mask in masks[1]]


# ---------------------------------------------------------------- the command's words


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["echo", "-n", "--out", "x"], "--out x"),
        (["--", "echo", "-n", "a", "--", "b"], "a -- b"),
        (["echo", "-n", "log", "--", "f"], "log -- f"),
        (["echo", "-n", "-i", "2", "--pid", "3"], "-i 2 --pid 3"),
        (["--interval", "5", "echo", "-n", "--interval=9"], "--interval=9"),
        (["--cmd", "echo -n 'a  b' \"c\"\\ d"], "a  b c d"),
        (["--cmd", "sh -c 'echo -n $0 | cat' x"], "sh"),
    ],
)
def test_words_of_the_command(args, words):
    result = run("--quiet", *args)
    expected = "x" if words == "sh" else words
    assert (result.returncode, result.stdout, result.stderr) == (0, expected, "")


@pytest.mark.parametrize("cmd", ["echo a | cat", "echo a>b", "true && false", "X=1 echo a"])
def test_hint_where_a_shell_seems_to_be_meant(cmd):
    result = run("--quiet", "--cmd", cmd)
    assert "without a shell" in result.stderr and "sh -c" in result.stderr


# ---------------------------------------------------------------- nothing is lost


def test_200_runs_killed_at_random_moments():
    """Every CSV draws. Killed from before the first byte on, while processes come and go."""
    picks = random.Random(20201)
    words = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.04; done"]
    whole = 0
    for turn in range(50):
        names = [f"{n}.csv" for n in range(4)]
        runs = [
            start("--interval", "0.002", "--csv", name, *words, start_new_session=True)
            for name in names
        ]
        if turn % 2:  # however slowly they start
            wait_for(Path(names[0]).exists)
        for process in runs:
            time.sleep(picks.random() * 0.15)
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        for process, name in zip(runs, names):
            process.communicate()
            if Path(name).exists():
                whole += memory.Run(name).samples > 0
                assert memory.main(["--in", name, "--out", "g.png", "--quiet"]) == 0
                os.unlink(name)
    assert whole > 50  # the moments are those that matter


def test_without_csv_a_hidden_file_beside_the_graph_survives_a_kill():
    process = start("--interval", "0.05", "--out", "g.png", "sleep", "60")
    found = wait_for(lambda: [f for f in os.listdir(".") if f.startswith(".g.png.")])
    wait_for(lambda: Path(found[0]).read_text().count("system") > 3)
    target = commands_process(process)
    process.kill()
    target.kill()
    process.communicate()
    assert memory.main(["--in", found[0], "--out", "g.png", "--quiet"]) == 0
    assert run("--out", "h.png", "true").returncode == 0
    assert not [f for f in os.listdir(".") if f.startswith(".h.png")]  # not needed, gone


def test_an_existing_csv_is_replaced():
    Path("s.csv").write_text("x" * 100_000)
    assert run("--quiet", "--csv", "s.csv", "sleep", "0.1").returncode == 0
    assert Path("s.csv").read_text().startswith("# command: sleep 0.1\n# start: 20")


def test_broken_pipe_of_a_redraw():
    assert run("--quiet", "--csv", "s.csv", "sleep", "0.1").returncode == 0
    command = f"{PYTHON} {ROOT}/memory.py --in s.csv | true"
    assert subprocess.run(["sh", "-c", command], capture_output=True).stderr == b""


def test_streams_that_cannot_hold_unicode():
    assert run("--quiet", "--csv", "s.csv", "sleep", "0.1").returncode == 0
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = run("--in", "s.csv", env=env)
    assert result.returncode == 0 and "\\u258" in result.stdout
