#!/usr/bin/env python3
"""What can go wrong around the two scripts: what is tried, what should come of it, what was lost.

    # tests/faults.py               all of it, some four minutes; as root
    # tests/faults.py disk names    what has one of these words in its name
    ok    disk full
          expected: one line says in which other place the samples are, those from before too
          lost: nothing

Everything happens in namespaces of its own and a temporary folder, which end with it.
"""

from __future__ import annotations

import base64
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

import psutil

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
MEMORY = [PYTHON, str(ROOT / "memory.py")]
ASAR = [PYTHON, str(ROOT / "asar_investigate.py")]
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
MESSAGE_RE = re.compile(r"^(?:memory|asar_investigate)\.py: .*", re.M)
MIB = 2**20
LITERAL = base64.b64encode(random.Random(1).randbytes(3000)).decode()


class NotHere(Exception):
    """What this machine does not let us try."""


def run(script: list[str], *args: object, **options: object) -> subprocess.CompletedProcess:
    """One of the scripts to its end, without a traceback, its streams as text."""
    options = {"capture_output": True, "text": True, "errors": "replace", "timeout": 120, **options}
    result = subprocess.run([*script, *map(str, args)], **options)
    assert "Traceback" not in f"{result.stdout}{result.stderr}", result.stderr
    return result


def one_line(result: subprocess.CompletedProcess, status: int, words: str = "") -> str:
    """The only message, which holds these words, where the exit status is this one."""
    found = MESSAGE_RE.findall(result.stderr)
    assert result.returncode == status, f"status {result.returncode}: {result.stderr}"
    assert len(found) == 1 and words in found[0], f"{len(found)} messages: {result.stderr}"
    return found[0]


def recorded(path: str, at_least: float, share: float = 0.9) -> dict:
    """The JSON of a recording that reaches so many seconds, with this share of its samples."""
    found = json.loads(run(MEMORY, "--in", path, "--json", "-", "--quiet", check=True).stdout)
    due = found["duration"] / found["interval"]
    assert found["duration"] >= at_least, f"all after {found['duration']} s of {at_least:.1f}"
    assert found["samples"] >= share * due - 1, f"{found['samples']} of {due:.0f} samples"
    return found


def place_said(result: subprocess.CompletedProcess) -> str:
    """The path of a recording that the last message names."""
    return re.search(r"\S+\.csv$", MESSAGE_RE.findall(result.stderr)[-1])[0]


def small_disk() -> str:
    """A file system of 64 KiB at disk/, and a command that fills it."""
    os.mkdir("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", "disk"], check=True)
    return "cat /dev/zero >disk/filler 2>/dev/null"


# ---------------------------------------------------------------- disks, streams, signals


def try_disk_full() -> None:
    """one line says in which other place the samples are, those from before too"""
    fill = small_disk()
    for before, after in ((0, 1), (0.5, 1)):  # from the start, in the middle
        Path("disk/filler").write_bytes(bytes(0 if before else 2**16))
        words = ["--interval", "0.01", "sh", "-c", f"sleep {before}; {fill}; sleep {after}"]
        result = run(MEMORY, "--csv", "disk/s.csv", *words)
        one_line(result, 0, "disk/s.csv: No space left")
        recorded(place_said(result), before + after)
        os.unlink("disk/s.csv")


def try_disk_full_while_the_graph_is_written() -> None:
    """status 125, the graph that was there stays, the recording too"""
    fill = small_disk()
    Path("disk/g.png").write_bytes(b"old")
    words = ["--out", "disk/g.png", "sh", "-c", f"sleep 0.5; {fill}; sleep 0.5"]
    result = run(MEMORY, "--csv", "s.csv", *words)
    assert result.returncode == 125 and "disk/g.png: No space left" in result.stderr, result.stderr
    assert Path("disk/g.png").read_bytes() == b"old" and len(os.listdir("disk")) == 2
    recorded(place_said(result), 1)


def try_disk_full_while_literals_are_extracted() -> None:
    """one line, status 2, the report is made, no half of a file is left"""
    small_disk()
    Path("a.js").write_text("".join(f'"{n:04}{LITERAL}";' for n in range(100)))
    one_line(run(ASAR, "a.js", "--extract", "disk/blobs", "--json", "r.json"), 2, "No space left")
    assert len(json.loads(Path("r.json").read_text())["sources"][0]["literals"]) == 100
    assert {path.stat().st_size for path in Path("disk/blobs").iterdir()} == {3003}


def try_folders_removed() -> None:
    """the summary is shown, a line says in which other place the samples are"""
    outputs = ["--csv", "s.csv", "--out", "g.png", "--json", "s.json"]
    for extra in ([], outputs[2:], outputs):
        os.mkdir("gone")
        words = [*extra, "sh", "-c", "sleep 0.5; rm -r ../gone; sleep 0.5"]
        result = run(MEMORY, *words, cwd="gone")
        assert "PSS at its peak" in result.stderr, result.stderr
        if extra:
            recorded(place_said(result), 1)


def try_streams_closed_or_full() -> None:
    """the command's status, the recording whole; a report that nobody takes: one line, 125 or 2"""
    for closing in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"):
        shell = ["sh", "-c", f'"$@" {closing}', "sh"]
        result = run([*shell, *MEMORY], "--csv", "s.csv", "sh", "-c", "sleep 0.5; exit 7")
        assert result.returncode == 7, f"{closing}: status {result.returncode}"
        recorded("s.csv", 0.5)
    Path("a.js").write_text(f'"{LITERAL}"')
    for words, status in (([*MEMORY, "--in", "s.csv"], 125), ([*ASAR, "a.js"], 2)):
        for closing in (">/dev/full", ">&-"):
            shell = ["sh", "-c", f'"$@" {closing}', "sh"]
            one_line(run([*shell, *words, "--json", "-"]), status)
        result = run(["sh", "-c", '"$@" | true', "sh", *words, "--json", "-"])
        assert not MESSAGE_RE.findall(result.stderr), result.stderr


def try_terminal_gone() -> None:
    """the command is told (SIGHUP), the recording is whole, the graph is made"""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(PYTHON, [*MEMORY, "--csv", "s.csv", "--out", "g.png", "sleep", "60"])
    time.sleep(1.5)
    os.close(terminal)
    os.waitpid(pid, 0)
    assert recorded("s.csv", 0.3)["exit_status"] == 129 and os.path.getsize("g.png") > 10_000


def try_stopped_and_continued() -> None:
    """memory.py: what it missed was due, the time goes on; a command: measured, its end is seen"""
    process = subprocess.Popen([*MEMORY, "--csv", "s.csv", "sleep", "3"], stderr=subprocess.PIPE)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        time.sleep(1)
        process.send_signal(number)
    due = int(re.search(rb"of (\d+) due", process.communicate()[1])[1])
    assert due >= 30 and recorded("s.csv", 3, 0.5)["samples"] <= due - 9
    code = "import os; held = bytearray(50 << 20); os.kill(os.getpid(), 19)"
    words = ["sh", "-c", f"{PYTHON} -c '{code}' & sleep 1; kill -CONT $!; wait $!; exit 4"]
    assert run(MEMORY, "--csv", "t.csv", *words).returncode == 4
    assert recorded("t.csv", 1)["pss"]["end"] > 50 * MIB


def try_killed_a_hundred_times() -> None:
    """each recording draws, and lacks at most the last tenth of a second"""
    for number in range(100):
        path = Path(f"{number}.csv")
        words = [*MEMORY, "--interval", "0.02", "--csv", path, "sleep", "0.9"]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        while not path.exists() or b"system" not in path.read_bytes():
            time.sleep(0.01)
        begun = time.monotonic()
        time.sleep(random.uniform(0, 0.4))
        process.kill()
        lived = time.monotonic() - begun
        process.wait()
        recorded(str(path), lived - 0.1, 0.5)


# ---------------------------------------------------------------- limits and load


def run_in_cgroup(limit: int, *args: object) -> subprocess.CompletedProcess:
    """memory.py and its command in a memory cgroup (v1 or v2) of this size."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        group = Path(place, f"faults-{os.urandom(4).hex()}")
        v2 = kind == "cgroup2" and "memory" in Path(place, "cgroup.subtree_control").read_text()
        if v2 or (kind == "cgroup" and "memory" in options.split(",")):
            break
    else:
        raise NotHere("no memory cgroup")
    group.mkdir()
    (group / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit))
    try:
        enter = f'echo $$ >"{group}/cgroup.procs"; exec "$@"'
        return run(["sh", "-c", enter, "sh", *MEMORY], *args)
    finally:
        while (group / "cgroup.procs").read_text():
            time.sleep(0.02)
        group.rmdir()


def try_out_of_memory() -> None:
    """the command is killed: status 137; memory.py is, by its graph: the hidden recording draws"""
    code = "import time\nheld = []\nwhile True: held.append(bytearray(1 << 20)); time.sleep(0.005)"
    result = run_in_cgroup(150 * MIB, "--csv", "s.csv", PYTHON, "-c", code)
    assert result.returncode == 137, f"status {result.returncode}: {result.stderr}"
    assert recorded("s.csv", 0.3)["pss"]["peak"] > 90 * MIB
    result = run_in_cgroup(34 * MIB, "--out", "g.png", "sleep", 1)
    assert result.returncode == -9, f"status {result.returncode}: {result.stderr}"
    recorded(*[name for name in os.listdir() if name.startswith(".g.png")], 0.9)


def try_few_descriptors() -> None:
    """as many as Python needs to start are enough, for more processes than descriptors too"""
    Path("a.js").write_text(f'"{LITERAL}"')
    sleepers = "n=0; while [ $n -lt 30 ]; do sleep 1 & n=$((n + 1)); done; wait"
    for number in range(4, 24, 2):
        limit = ["prlimit", f"--nofile={number}"]
        python = [*limit, PYTHON, "-c", "import ctypes, psutil"]
        if subprocess.run(python, capture_output=True).returncode == 0:
            run([*limit, *MEMORY], "--csv", "s.csv", "sh", "-c", sleepers, check=True)
            assert recorded("s.csv", 1)["processes"] == 31, f"with {number}"
            run([*limit, *ASAR], "a.js", check=True)


def try_few_threads() -> None:
    """a command that cannot be started: one line, 126; asar_investigate.py needs no thread"""
    limited = [*NOBODY, "prlimit", "--nproc=1"]
    one_line(run([*limited, *MEMORY], "sleep", 0.5), 126)
    Path("a.js").write_text(f'"{LITERAL}"')
    run([*limited, *ASAR], "a.js", check=True)


def children(count: int, life: float, every: float = 0) -> str:
    """A program with so many children: how long they live, and what is between their starts."""
    return f"""
import os, time
begun = time.monotonic()
for number in range({count}):
    if not os.fork():
        time.sleep({life})
        os._exit(0)
    time.sleep(max(0, begun + number * {every} - time.monotonic()))
for number in range({count}):
    os.wait()
"""


STORM = """
import os, time
own = []
for level in range(9):
    pid = os.fork()
    own = [*own, pid] if pid else []
time.sleep(2)
for pid in own:
    os.waitpid(pid, 0)
"""


def try_a_thousand_processes() -> None:
    """all 1,001 are seen in two of three samples due, within half of a core"""
    run(MEMORY, "--csv", "s.csv", PYTHON, "-c", children(1000, 6), check=True)
    found = recorded("s.csv", 6, 2 / 3)
    assert found["processes"] == 1001, f"{found['processes']} processes"
    assert found["own"]["cpu_seconds"] < 0.5 * found["duration"], found["own"]


def try_300_short_lived_processes_a_second() -> None:
    """three of four samples due, memory.py's own memory does not grow"""
    run(MEMORY, "--csv", "s.csv", PYTHON, "-c", children(1500, 0.01, 1 / 300), check=True)
    assert recorded("s.csv", 4.9, 0.75)["own"]["peak_rss"] < 40 * MIB


def try_a_storm_of_forks() -> None:
    """all 512 are seen, and their end; the samples for which there was no time are counted"""
    run(MEMORY, "--csv", "s.csv", PYTHON, "-c", STORM, check=True)
    found = recorded("s.csv", 2, 0.1)
    assert found["processes"] == 512, f"{found['processes']} processes"


# ---------------------------------------------------------------- names, other users, namespaces

NAMES = ("new\nline", "\x1b[31mred", 'a"b,c', "# command: x", "\udcff", ") R 1 (", "system", " ",
         "1,0,,,", "\u202eevil\u2028", "'", "%s%n", "a" * 200)  # fmt: skip
HELD = "held = bytearray(50 << 20); import time; time.sleep(1)"
UNDUMPABLE = f"import ctypes; ctypes.CDLL(None).prctl(4, 0); print(flush=True); {HELD}"


def try_names_of_all_kinds() -> None:
    """each is one process in every sample, no control character is printed"""
    for name in NAMES:
        shutil.copy("/bin/sleep", f"./{name}")
        result = run(MEMORY, "--csv", "s.csv", "--out", "g.png", f"./{name}", "0.3")
        assert result.returncode == 0, f"{name!r}: {result.stderr}"
        assert all(c.isprintable() for c in result.stderr.replace("\n", "")), repr(name)
        found = recorded("s.csv", 0.3)
        assert found["processes"] == len(found["by_process"]) == 1, f"{name!r}: {found}"


def try_hidden_processes() -> None:
    """with hidepid the summary says that children may be missed"""
    mount = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    hiding = ["unshare", "--mount", "sh", "-c", mount, "sh", *NOBODY]
    assert "hidepid" in run([*hiding, *MEMORY], "--csv", "s.csv", "sleep", 0.5).stderr
    recorded("s.csv", 0.5)


def try_setuid_command() -> None:
    """RSS stands in, figures are called upper bounds; what cannot be ended is named"""
    shutil.copy(os.path.realpath(PYTHON), "setuid")
    os.chmod("setuid", 0o4755)
    code = "import os, time; os.setresuid(0, 0, 0); time.sleep(30)"
    words = ["--csv", "s.csv", "--duration", "1", "./setuid", "-c", code]
    result = run([*NOBODY, *MEMORY], *words, env={**os.environ, "PYTHONHOME": sys.prefix})
    one_line(result, 0, "could not be ended: setuid")
    assert "PSS of 1 process could not be read" in result.stderr and "<=" in result.stderr
    found = recorded("s.csv", 0.9)
    assert found["unreadable"] == 1 and found["pss"]["peak"] == found["rss"]["peak"] > 0


def try_process_that_is_not_dumpable() -> None:
    """RSS stands in, figures are called upper bounds; asar_investigate.py: one line, status 2"""
    target = subprocess.Popen([*NOBODY, PYTHON, "-c", UNDUMPABLE], stdout=subprocess.PIPE)
    target.stdout.readline()
    Path("a.js").write_text(f'"{LITERAL}"')
    one_line(run([*NOBODY, *ASAR], "a.js", "--pid", target.pid), 2, str(target.pid))
    result = run([*NOBODY, *MEMORY], "--csv", "s.csv", "--pid", target.pid)
    assert "PSS of 1 process could not be read" in result.stderr and "<=" in result.stderr
    assert recorded("s.csv", 0.2)["pss"]["peak"] > 50 * MIB
    target.wait()


def try_namespaces() -> None:
    """commands and memory.py in others are measured; where /proc is not its own, one line, 125"""
    pid = ["unshare", "--pid", "--fork"]
    for inside in (pid, [*pid, "--mount-proc"], ["unshare", "--user"]):
        run(MEMORY, "--csv", "s.csv", *inside, PYTHON, "-c", HELD, check=True)
        assert 50 * MIB < recorded("s.csv", 1)["pss"]["peak"] < 80 * MIB, inside
        if inside != pid:
            run([*inside, *MEMORY], "--csv", "s.csv", "sleep", 0.5, check=True)
            recorded("s.csv", 0.5)
    one_line(run([*pid, *MEMORY], "sleep", 1), 125, "another pid namespace")


# ---------------------------------------------------------------- files that are no recordings


def try_recordings_that_are_none() -> None:
    """one line that names the file, status 2, in ten seconds and 400 MiB"""
    run(MEMORY, "--csv", "s.csv", "--out", "g.png", "sleep", 0.5)
    good = Path("s.csv").read_bytes()
    bad = {
        "image": Path("g.png").read_bytes(), "binary": os.urandom(10**6), "zeros": bytes(10**7),
        "utf16": good.decode().encode("utf-16"), "one line": b"1" * 10**8, "json": b"[1, 2]",
        "gzip": b"\x1f\x8b" + good, "script": Path(MEMORY[1]).read_bytes(),
        "other columns": b"# a: b\n" * 10**5 + b"a,b,c\n1,2,3\n" * 1000,
    }  # fmt: skip
    for name, data in bad.items():
        Path(name).write_bytes(data)
    os.mkfifo("fifo")
    limited = ["prlimit", f"--as={400 * MIB}", "timeout", "10", *MEMORY]
    for path in (*bad, "fifo", ".", "absent", "/dev/zero", "/proc/self/mem"):
        one_line(run([*limited, "--in"], path), 2, path)


def try_damaged_recordings() -> None:
    """all of it is shown, or it says that it is not whole, or one line and status 2"""
    run(MEMORY, "--csv", "s.csv", "sh", "-c", "sleep 0.3; sleep 0.3")
    good = Path("s.csv").read_bytes()
    for number in range(100):
        place = random.randrange(len(good))
        junk = random.choice((b"", b"-1", b"nan", b"9" * 30, b"\0\xff\n"))
        Path("bad.csv").write_bytes(good[:place] + (number % 2) * (junk + good[place + 20 :]))
        result = run(MEMORY, "--in", "bad.csv", "--json", "s.json")
        if result.returncode:
            one_line(result, 2, "bad.csv")
        elif "not whole" not in result.stdout:
            assert json.loads(Path("s.json").read_text())["samples"] == good.count(b'"system"')


# ---------------------------------------------------------------- all of them


def attempt(function: Callable[[], None], folder: Path) -> str:
    """What was lost, when tried in a folder of its own that anybody may write to."""
    folder.mkdir()
    folder.chmod(0o777)
    os.chdir(folder)
    try:
        function()
    except NotHere as reason:
        return f"not tried: {reason}"
    except Exception as error:  # of the try as well: the others go on
        text = " ".join(f"{error} {getattr(error, 'stderr', '') or ''}".split())
        return f"LOST: {type(error).__name__}: {text[:400]}"
    finally:
        os.chdir("/")
    return "lost: nothing"


def inside(work: Path, words: list[str]) -> int:
    """Try what was asked for; 1 if something was lost."""
    status = 0
    for name, function in list(globals().items()):
        if name.startswith("try_") and any(word in name for word in words or [name]):
            said = attempt(function, work / name)
            status |= said.startswith("LOST")
            mark = {"lost": "ok", "LOST": "LOST", "not ": "-"}[said[:4]]
            print(f"{mark:5} {name[4:].replace('_', ' ')}")
            print(f"      expected: {function.__doc__}\n      {said}", flush=True)
    return status


SET_UP = """
cd "$0" && mkdir python packages scripts && mkdir -m 777 var &&
    mount --bind "$1" python && mount --bind "$2" packages && mount --bind "$3" scripts &&
    mount --bind var /var/tmp || exit
export PYTHONPATH="$0/packages" LD_LIBRARY_PATH="$0/python/lib"
export PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR="$0/var"
python=$0/python/bin/$4
shift 4
exec "$python" scripts/tests/faults.py --inside "$0" "$@"
"""


def main(words: list[str]) -> int:
    """This script again, in namespaces, where other users may read all that it needs."""
    if words[:1] == ["--inside"]:
        return inside(Path(words[1]), words[2:])
    if os.geteuid():
        sys.exit("faults.py: it mounts and changes users; it needs root")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        places = [sys.base_prefix, Path(psutil.__file__).parent.parent, ROOT, version]
        return subprocess.run([*NAMESPACES, "sh", "-c", SET_UP, work, *places, *words]).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
