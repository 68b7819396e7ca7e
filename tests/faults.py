#!/usr/bin/env python3
"""What can go wrong around the two scripts, one by one: what should come of it, what was lost.

    # tests/faults.py                        all of them, some three minutes; as root
    # tests/faults.py disk names             those with such a word in their name
    ok    disk_full_from_the_start
          expected: the samples go to another disk, and a line says where
          lost: nothing
    ...

Everything happens in namespaces and a temporary folder that are gone at the end.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
MEMORY = [PYTHON, str(ROOT / "memory.py")]
ASAR = [PYTHON, str(ROOT / "asar_investigate.py")]
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
LIMIT = 120  # seconds that nothing here takes
MIB = 2**20
LITERAL = base64.b64encode(random.Random(1).randbytes(3000)).decode()
FAULTS: list[tuple[Callable[[], object], str]] = []


class NotHere(Exception):
    """What this machine does not let us try."""


def fault(expected: str) -> Callable:
    """A function that brings about one fault, in an empty folder; it asserts what is expected."""

    def register(function: Callable[[], object]) -> Callable:
        FAULTS.append((function, expected))
        return function

    return register


def run(script: list[str], *args: object, **options: object) -> subprocess.CompletedProcess:
    """One of the scripts, to its end, its streams as text. No traceback ever."""
    options = {"capture_output": True, "text": True, "timeout": LIMIT, **options}
    result = subprocess.run([*script, *map(str, args)], errors="replace", **options)
    assert "Traceback" not in f"{result.stdout}{result.stderr}", result.stderr[-3000:]
    return result


def messages(text: str) -> list[str]:
    """The lines that are messages, not the summary."""
    return [line for line in text.splitlines() if re.match(r"(memory|asar_investigate)\.py: ", line)]


def one_line(result: subprocess.CompletedProcess, status: int, words: str = "") -> str:
    """The one message, where the status is this too."""
    found = messages(result.stderr)
    assert result.returncode == status, f"status {result.returncode}: {result.stderr[-3000:]}"
    assert len(found) == 1 and words in found[0], f"messages: {found or result.stderr[-3000:]}"
    return found[0]


def recorded(path: object) -> dict:
    """What a recording shows, as the JSON of a redraw."""
    return json.loads(run(MEMORY, "--in", path, "--json", "-", "--quiet", check=True).stdout)


def whole(path: object, at_least: float) -> dict:
    """The same; it must reach so many seconds and have nine of ten samples due."""
    found = recorded(path)
    due = found["duration"] / found["interval"]
    assert found["duration"] >= at_least, f"only {found['duration']} s of {at_least}"
    assert found["samples"] >= 0.9 * due - 1, f"{found['samples']} samples of {due:.0f}"
    return found


def path_said(text: str) -> str:
    """The path of a recording that a message names."""
    found = re.findall(r"\S+\.csv", "\n".join(messages(text)))
    assert found, f"no path of the samples: {text[-3000:]}"
    return found[-1]


def small_disk(size: str) -> Path:
    """A file system of this size at disk/."""
    os.mkdir("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", "disk"], check=True)
    return Path("disk")


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


FILL = "cat /dev/zero >disk/filler 2>/dev/null"


# ---------------------------------------------------------------- disks and folders


@fault("one line says in which other place the samples are")
def disk_full_from_the_start() -> None:
    fill(small_disk("64k"))
    result = run(MEMORY, "--csv", "disk/s.csv", "sleep", 1)
    one_line(result, 0, "No space left")
    whole(path_said(result.stderr), 0.9)


@fault("one line says in which other place the samples are, those from before too")
def disk_full_in_the_middle() -> None:
    small_disk("1m")
    words = ["--interval", "0.01", "sh", "-c", f"sleep 0.5; {FILL}; sleep 1"]
    result = run(MEMORY, "--csv", "disk/s.csv", *words)
    assert recorded("disk/s.csv")["samples"] > 30
    one_line(result, 0, "No space left")
    whole(path_said(result.stderr), 1.4)


@fault("status 125, the graph that was there stays, the recording too and its path is said")
def disk_full_while_the_graph_is_written() -> None:
    small_disk("1m")
    Path("disk/g.png").write_bytes(b"old" * 1000)
    words = ["--out", "disk/g.png", "sh", "-c", f"sleep 0.5; {FILL}; sleep 0.2"]
    result = run(MEMORY, "--csv", "s.csv", *words)
    assert result.returncode == 125 and "disk/g.png: No space left" in result.stderr, result.stderr
    assert Path("disk/g.png").read_bytes() == b"old" * 1000, "the old graph"
    whole("s.csv", 0.7)
    assert os.listdir("disk") == ["filler", "g.png"] or len(os.listdir("disk")) == 2


@fault("what is left out is said, status 2, and no half file is there")
def disk_full_while_literals_are_extracted() -> None:
    Path("a.js").write_text("".join(f'"{LITERAL}{n:04}";' for n in range(100)))
    small_disk("64k")
    result = run(ASAR, "a.js", "--extract", "disk/blobs", "--json", "r.json")
    assert result.returncode == 2 and "No space left" in result.stderr, result.stderr[-300:]
    assert len(messages(result.stderr)) == 1, f"{len(messages(result.stderr))} messages"
    assert len(json.loads(Path("r.json").read_text())["sources"][0]["literals"]) == 100
    sizes = {path.stat().st_size for path in Path("disk/blobs").iterdir()}
    assert len(sizes) == 1, f"half a file: {sizes}"


@fault("the samples are kept elsewhere, a line says where, the summary is shown")
def folder_of_all_outputs_removed() -> None:
    os.mkdir("gone")
    outputs = ["--csv", "gone/s.csv", "--out", "gone/g.png", "--json", "gone/s.json"]
    result = run(MEMORY, *outputs, "sh", "-c", "sleep 0.5; rm -r gone; sleep 0.5; exit 3")
    whole(path_said(result.stderr), 0.9)
    assert "PSS at its peak" in result.stderr and result.returncode in (3, 125), result.stderr


@fault("the samples are kept in a place that a line names")
def working_folder_removed() -> None:
    os.mkdir("gone")
    words = ["--csv", "s.csv", "sh", "-c", "sleep 0.5; rm -r ../gone; sleep 0.5"]
    whole(path_said(run(MEMORY, *words, cwd="gone").stderr), 0.9)


# ---------------------------------------------------------------- streams, terminals, signals


@fault("the command's status where all was written, else 125; the recording is whole")
def streams_closed_or_full() -> None:
    for closing in ("<&-", ">&-", "2>&-", ">/dev/full", "2>/dev/full", "2>&1 | true", "<&- >&- 2>&-"):
        shell = f'"$@" {closing}'
        words = ["sh", "-c", shell, "sh", *MEMORY, "--csv", "s.csv", "sh", "-c", "sleep 0.5; exit 7"]
        status = run(words).returncode
        assert status == 7 or "|" in closing, f"{closing}: status {status}"
        whole("s.csv", 0.5)
        os.unlink("s.csv")


@fault("status 125 or 2 and one line where stderr is there; 0 where the reader has just left")
def reports_that_nobody_takes() -> None:
    run(MEMORY, "--csv", "s.csv", "sleep", 0.3)
    Path("a.js").write_text(f'"{LITERAL}"')
    for words, status in (([*MEMORY, "--in", "s.csv"], 125), ([*ASAR, "a.js"], 2)):
        for closing in (">/dev/full", ">&-"):
            one_line(run(["sh", "-c", f'"$@" {closing}', "sh", *words, "--json", "-"]), status)
        pipe = 'set -o pipefail; "$@" | true'
        assert run(["bash", "-c", pipe, "sh", *words, "--json", "-"]).returncode == 0, words


@fault("the command is told (SIGHUP); recording whole, graph made")
def terminal_gone() -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.execv(PYTHON, [*MEMORY, "--csv", "s.csv", "--out", "g.png", "sleep", "60"])
    time.sleep(1.5)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (129, 125), f"status {status}"
    assert whole("s.csv", 0.5)["exit_status"] == 129
    assert os.path.getsize("g.png") > 10_000


@fault("the time axis goes on, what was missed counts as due, figures as before")
def memory_py_stopped_and_continued() -> None:
    process = subprocess.Popen([*MEMORY, "--csv", "s.csv", "sleep", "3"], stderr=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    process.send_signal(signal.SIGCONT)
    text = process.communicate(timeout=LIMIT)[1].decode()
    found = recorded("s.csv")
    due = int(re.search(r"of (\d+) due", text)[1])
    assert 2.9 < found["duration"] < 3.5 and 29 <= due <= 35, (found["duration"], due)
    assert 15 <= found["samples"] <= due - 8, f"{found['samples']} samples"


@fault("it is measured while it is stopped, and its end is seen")
def command_stopped_and_continued() -> None:
    code = "import os, signal; held = bytearray(50 << 20); os.kill(os.getpid(), signal.SIGSTOP)"
    words = ["sh", "-c", f"{PYTHON} -c '{code}' & sleep 1; kill -CONT $!; wait $!; exit 4"]
    assert run(MEMORY, "--csv", "s.csv", *words).returncode == 4
    assert whole("s.csv", 1)["pss"]["end"] > 50 * MIB


@fault("all of a hundred recordings draw, none lacks more than the last two samples")
def memory_py_killed_a_hundred_times() -> None:
    for number in range(100):
        words = ["--interval", "0.02", "--csv", f"{number}.csv", "sleep", "0.9"]
        process = subprocess.Popen([*MEMORY, *words], stderr=subprocess.DEVNULL)
        while not os.path.exists(f"{number}.csv") or b"\n0." not in Path(f"{number}.csv").read_bytes():
            time.sleep(0.01)
        begun = time.monotonic()
        time.sleep(random.uniform(0, 0.4))
        process.kill()
        lived = time.monotonic() - begun
        process.wait()
        found = recorded(f"{number}.csv")
        assert found["duration"] >= lived - 0.1, f"{found['duration']} s of {lived:.2f}"


# ---------------------------------------------------------------- limits


def memory_cgroup(limit: int) -> Path:
    """A memory cgroup (v1 or v2) of this size."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        v2 = kind == "cgroup2" and "memory" in Path(place, "cgroup.subtree_control").read_text()
        if v2 or (kind == "cgroup" and "memory" in options.split(",")):
            group = Path(place, f"faults-{os.urandom(4).hex()}")
            with contextlib.suppress(OSError):
                group.mkdir()
                (group / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit))
                return group
    raise NotHere("no memory cgroup (it needs root and the memory controller)")


def run_in_cgroup(limit: int, *args: object) -> subprocess.CompletedProcess:
    """memory.py and its command in a cgroup of this size."""
    group = memory_cgroup(limit)
    try:
        enter = f'echo $$ >"{group}/cgroup.procs"; exec "$@"'
        return run(["sh", "-c", enter, "sh", *MEMORY], *args)
    finally:
        end = time.monotonic() + LIMIT
        while (group / "cgroup.procs").read_text() and time.monotonic() < end:
            time.sleep(0.02)
        group.rmdir()


@fault("the kernel kills the command: status 137, recording whole")
def out_of_memory_by_the_command() -> None:
    code = "import time\nheld = []\nwhile True: held.append(bytearray(1 << 20)); time.sleep(0.005)"
    result = run_in_cgroup(150 * MIB, "--csv", "s.csv", PYTHON, "-c", code)
    assert result.returncode == 137, (result.returncode, result.stderr[-300:])
    assert whole("s.csv", 0.3)["pss"]["peak"] > 90 * MIB


@fault("the kernel kills memory.py: the hidden recording beside the graph draws")
def out_of_memory_by_the_graph() -> None:
    result = run_in_cgroup(34 * MIB, "--out", "g.png", "sleep", 1)
    left = [name for name in os.listdir() if name.endswith(".csv")]
    assert result.returncode == -9 and len(left) == 1, (result.returncode, result.stderr, left)
    whole(left[0], 0.9)


@fault("as many as Python itself needs are enough, for more processes than descriptors too")
def few_descriptors() -> None:
    Path("a.js").write_text(f'"{LITERAL}"')
    sleepers = "n=0; while [ $n -lt 30 ]; do sleep 1 & n=$((n + 1)); done; wait"
    for number in range(4, 24, 2):
        limit = ["prlimit", f"--nofile={number}"]
        if subprocess.run([*limit, PYTHON, "-c", "import psutil"], stderr=-3).returncode == 0:
            run([*limit, *MEMORY], "--csv", "s.csv", "sh", "-c", sleepers, check=True)
            assert whole("s.csv", 1)["processes"] == 31, number
            run([*limit, *ASAR], "a.js", check=True)


@fault("one line and 126 where nothing can be forked, or a whole recording")
def few_threads() -> None:
    Path("a.js").write_text(f'"{LITERAL}"')
    limited = [*NOBODY, "prlimit", "--nproc=1"]
    result = run([*limited, *MEMORY], "--csv", "s.csv", "sleep", 0.5)
    if result.returncode:
        one_line(result, 126)
    else:
        whole("s.csv", 0.5)
    assert run([*limited, *ASAR], "a.js").returncode == 0


# ---------------------------------------------------------------- load

THOUSAND = """
import os, time
for number in range(1000):
    if not os.fork():
        time.sleep(6)
        os._exit(0)
for number in range(1000):
    os.wait()
"""
SHORT = """
import os, time
begun = time.monotonic()
for number in range(1500):
    if not os.fork():
        os._exit(0)
    os.wait()
    time.sleep(max(0, begun + number / 300 - time.monotonic()))
"""
STORM = """
import os, time
children = []
for level in range(9):
    pid = os.fork()
    children = [*children, pid] if pid else []
time.sleep(2)
for pid in children:
    os.waitpid(pid, 0)
"""


@fault("all 1,001 are seen, nine of ten samples are taken, within half of a core")
def a_thousand_processes() -> None:
    assert run(MEMORY, "--csv", "s.csv", PYTHON, "-c", THOUSAND).returncode == 0
    found = whole("s.csv", 6)
    assert found["processes"] == 1001, f"{found['processes']} processes"
    assert found["own"]["cpu_seconds"] < 0.5 * found["duration"], found["own"]


@fault("nine of ten samples are taken, memory.py's own memory does not grow")
def three_hundred_short_lived_processes_a_second() -> None:
    assert run(MEMORY, "--csv", "s.csv", PYTHON, "-c", SHORT).returncode == 0
    assert whole("s.csv", 4.9)["own"]["peak_rss"] < 60 * MIB


@fault("all 512 are seen, and their end")
def a_storm_of_forks() -> None:
    assert run(MEMORY, "--csv", "s.csv", PYTHON, "-c", STORM).returncode == 0
    found = recorded("s.csv")
    assert found["processes"] == 512, f"{found['processes']} processes"


# ---------------------------------------------------------------- names

NAMES = ("new\nline", "\x1b[31mred", 'a"b,c', "# command: x", "\udcff", ") R 1 (", "system", " ",
         "1,0,,,", "\u202eevil\u2028", "'", "%s%n", "a" * 200)  # fmt: skip
RENAME = """
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(15, os.fsencode(sys.argv[1]), 0, 0, 0)
time.sleep(0.3)
"""


@fault("each is one process in every sample, and prints no control character")
def names_of_all_kinds() -> None:
    for name in NAMES:
        shutil.copy("/bin/sleep", f"./{name}")
        for words in ([f"./{name}", "0.3"], [PYTHON, "-c", RENAME, name]):
            result = run(MEMORY, "--csv", "s.csv", "--out", "g.png", *words)
            assert result.returncode == 0, f"{name!r}: {result.stderr[-200:]}"
            assert all(c.isprintable() for c in result.stderr.replace("\n", "")), repr(name)
            found = whole("s.csv", 0.3)
            assert found["processes"] == len(found["by_process"]) == 1, f"{name!r}: {found}"


# ---------------------------------------------------------------- other users, namespaces

UNDUMPABLE = f"""
import ctypes, time
held = "{LITERAL}" + bytearray(50 << 20).decode()
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print(flush=True)
time.sleep(2)
"""


@fault("the summary says that children may be missed")
def hidden_processes() -> None:
    mount = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    hiding = ["unshare", "--mount", "sh", "-c", mount, "sh", *NOBODY]
    result = run([*hiding, *MEMORY], "--csv", "s.csv", "sleep", 0.5)
    assert "hidepid" in result.stderr, result.stderr[-300:]
    whole("s.csv", 0.5)


@fault("its RSS stands in, the figures are called upper bounds; it cannot be ended and is named")
def setuid_command_of_another_user() -> None:
    shutil.copy(os.path.realpath(PYTHON), "setuid")
    os.chmod("setuid", 0o4755)
    code = "import os, time; os.setresuid(0, 0, 0); time.sleep(30)"
    words = ["--csv", "s.csv", "--duration", "1", "./setuid", "-c", code]
    environment = {**os.environ, "PYTHONHOME": sys.prefix}
    result = run([*NOBODY, *MEMORY], *words, env=environment)
    assert result.returncode == 0, result.stderr
    one_line(result, 0, "could not be ended: setuid")
    assert "PSS of 1 process could not be read" in result.stderr and "<=" in result.stderr
    found = whole("s.csv", 0.9)
    assert found["unreadable"] == 1 and found["pss"]["peak"] == found["rss"]["peak"] > 0


@fault("RSS stands in, the figures are called upper bounds; asar_investigate.py: one line, status 2")
def target_that_is_not_dumpable() -> None:
    target = subprocess.Popen([*NOBODY, PYTHON, "-c", UNDUMPABLE], stdout=subprocess.PIPE)
    target.stdout.readline()
    Path("a.js").write_text(f'"{LITERAL}"')
    words = ["--pid", target.pid]
    result = run([*NOBODY, *ASAR], "a.js", *words, "--json", "a.json")
    one_line(result, 2, f"{target.pid}")
    result = run([*NOBODY, *MEMORY], "--csv", "s.csv", *words)
    assert "PSS of 1 process could not be read" in result.stderr, result.stderr[-300:]
    assert whole("s.csv", 0.5)["pss"]["peak"] > 50 * MIB
    target.wait()


@fault("processes in a pid or user namespace below are measured like others")
def commands_in_namespaces_of_their_own() -> None:
    code = "import time; held = bytearray(50 << 20); time.sleep(1)"
    for options in (["--pid", "--fork"], ["--pid", "--fork", "--mount-proc"], ["--user"]):
        result = run(MEMORY, "--csv", "s.csv", "unshare", *options, PYTHON, "-c", code)
        assert result.returncode == 0, f"{options}: {result.stderr[-200:]}"
        found = whole("s.csv", 1)
        assert 50 * MIB < found["pss"]["peak"] < 80 * MIB, f"{options}: {found['pss']}"


@fault("measured as outside; where /proc is another namespace's, one line and 125")
def scripts_in_namespaces() -> None:
    for options in (["--pid", "--fork", "--mount-proc"], ["--user"], ["--user", "--map-root-user"]):
        inside = ["unshare", *options]
        assert run([*inside, *MEMORY], "--csv", "s.csv", "sleep", 0.5).returncode == 0, options
        whole("s.csv", 0.5)
    inside = ["unshare", "--pid", "--fork"]
    one_line(run([*inside, *MEMORY], "sleep", 1), 125, "another pid namespace")


# ---------------------------------------------------------------- files that are none


@fault("one line that names the file and status 2, or that it is not whole; 10 s, 400 MiB")
def recordings_that_are_none() -> None:
    run(MEMORY, "--csv", "good.csv", "--out", "g.png", "sleep", 0.5)
    good = Path("good.csv").read_bytes()
    os.mkfifo("fifo")
    bad = {
        "empty": b"", "png": Path("g.png").read_bytes(), "binary": os.urandom(10**6),
        "utf16": good.decode().encode("utf-16"), "one line": b"1" * 10**8, "zeros": bytes(10**7),
        "gzip": b"\x1f\x8b" + good, "head": good[: good.index(b"time,pid")],
        "json": b'{"a": [1, 2]}', "other columns": b"a,b,c\n1,2,3\n" * 1000,
        "comments": b"# a: b\n" * 10**6, "script": (ROOT / "memory.py").read_bytes(),
    }  # fmt: skip
    for name, data in bad.items():
        Path(name).write_bytes(data)
    limited = ["prlimit", f"--as={400 * MIB}", "timeout", "10", *MEMORY]
    for path in (*bad, "fifo", ".", "absent", "/dev/zero", "/dev/null", "/proc/self/mem"):
        result = run([*limited, "--in"], path)
        if path not in ("empty", "head", "comments"):
            one_line(result, 2, path)
        else:
            assert "recording is not whole (its head is cut off)" in result.stdout, result


@fault("all of it is shown, or that it is not whole, or one line and status 2")
def recordings_that_are_damaged() -> None:
    run(MEMORY, "--csv", "good.csv", "sh", "-c", "sleep 0.3; sleep 0.3")
    good = Path("good.csv").read_bytes()
    for number in range(100):
        place, data = random.randrange(len(good)), bytearray(good)
        if number % 2:
            data = data[:place]
        else:
            data[place : place + 20] = random.choice((b"", b"-1", b"nan", b"9" * 30, b"\0\xff\n"))
        Path("bad.csv").write_bytes(data)
        result = run(MEMORY, "--in", "bad.csv", "--json", "s.json")
        if result.returncode:
            one_line(result, 2, "bad.csv")
        elif "not whole" not in result.stdout:
            assert json.loads(Path("s.json").read_text())["samples"] == good.count(b'"system"')


# ---------------------------------------------------------------- all of them


def attempt(function: Callable[[], object], folder: Path) -> str:
    """Bring about one fault, in a folder for anybody to write; what was lost."""
    folder.mkdir()
    folder.chmod(0o777)
    os.chdir(folder)
    try:
        function()
    except AssertionError as error:
        return f"lost: {' '.join(str(error).split())[-3000:]}"
    except subprocess.TimeoutExpired as error:
        return f"lost: no end within {error.timeout:.0f} s"
    except NotHere as error:
        return f"not tried: {error}"
    finally:
        os.chdir("/")
        subprocess.run(["umount", folder / "disk"], stderr=subprocess.DEVNULL)
    return "lost: nothing"


def inside(words: list[str], work: Path) -> int:
    """All faults asked for; the number of those in which something was lost."""
    lost = 0
    for function, expected in FAULTS:
        if not words or any(word in function.__name__ for word in words):
            said = attempt(function, work / function.__name__)
            bad = said.startswith("lost") and said != "lost: nothing"
            lost += bad
            mark = "LOST" if bad else "ok" if said == "lost: nothing" else "-"
            title = function.__name__.replace("_", " ")
            print(f"{mark:5} {title}\n      expected: {expected}\n      {said}", flush=True)
    print(f"something was lost in {lost}")
    return 1 if lost else 0


SET_UP = """
cd "$0"
mkdir python packages scripts
mount --bind "$1" python && mount --bind "$2" packages && mount --bind "$3" scripts &&
    mount --bind matplotlib /var/tmp || exit
export PYTHONPATH="$0/packages" PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR="$0/matplotlib"
python=$4
shift 4
exec "$0/python/bin/$python" "$0/scripts/tests/faults.py" --inside "$0" "$@"
"""


def main(words: list[str]) -> int:
    """Start this script again in namespaces, where all of it may be read by other users."""
    if words[:1] == ["--inside"]:
        return inside(words[2:], Path(words[1]))
    if os.geteuid():
        sys.exit("faults.py: it mounts and changes users: sudo tests/faults.py")
    import psutil

    packages = Path(psutil.__file__).parent.parent
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        os.mkdir(f"{work}/matplotlib", 0o777)
        places = [sys.base_prefix, packages, ROOT, version]
        return subprocess.run([*NAMESPACES, "sh", "-c", SET_UP, work, *places, *words]).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
