"""What the tests share: the scripts as users run them, and waiting for a condition."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MIB = 2**20
MEMORY = [sys.executable, str(ROOT / "memory.py")]
TREE = [sys.executable, str(ROOT / "tests" / "tree.py")]
FORBIDDEN = "not to be had on this machine"  # by what is installed: a reason to skip in CI too
LIMIT = 120  # seconds that nothing here takes, not even on a loaded machine


for number in (signal.SIGINT, signal.SIGHUP):  # under nohup they would be ignored in all tests
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


def start(*args: object, **options: object) -> subprocess.Popen:
    """memory.py with these arguments, its streams as pipes."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*MEMORY, *map(str, args)], **options)


def run(*args: object, **options: object) -> subprocess.CompletedProcess:
    """memory.py with these arguments, until it has ended."""
    options = {"capture_output": True, "text": True, "timeout": LIMIT, **options}
    return subprocess.run([*MEMORY, *map(str, args)], **options)


def wait_for(condition, what: str = "condition", limit: float = LIMIT):
    """The first true value of condition(); fails when there is none in time."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {limit} s")


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def load(path) -> dict:
    return json.loads(Path(path).read_text())


class Workload:
    """tests/tree.py as a running process that has said what it holds."""

    def __init__(self, *args: object, idle: bool = False) -> None:
        self.process = subprocess.Popen(
            [*TREE, *map(str, args), "--seconds", "0", "--json", *(["--idle"] if idle else [])],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told = json.loads(self.process.stdout.readline())
        self.pid = self.process.pid
        self.pids = self.told["pids"]
        self.expected = self.told["expected"]

    def __enter__(self) -> Workload:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(LIMIT)
        self.process.stdout.close()


def with_mounted(what: str, where: str, *words: str) -> subprocess.CompletedProcess:
    """Run a command where something else is mounted over a file or folder."""
    mount = f'mount --bind {what} {where} || exit 77; exec "$@"'
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if sys.prefix.startswith(where):
        pytest.skip(f"{FORBIDDEN}: Python itself is in {where}")
    result = subprocess.run([*apart, *words], capture_output=True, text=True)
    if result.returncode in (1, 77):
        pytest.skip(f"{FORBIDDEN}: a file system of one's own")
    return result


@pytest.fixture
def swap():
    """A swap file of its own."""
    Path("swap").write_bytes(bytes(16 * MIB))
    Path("swap").chmod(0o600)
    if subprocess.run("mkswap swap && swapon swap", shell=True, capture_output=True).returncode:
        pytest.skip(f"{FORBIDDEN}: swap (it needs root, and a file system that allows it)")
    yield
    subprocess.run(["swapoff", "swap"], check=True)


def memory_cgroup() -> tuple[Path, str] | None:
    """A new memory cgroup (v1 or v2), and the key of its anonymous memory in memory.stat."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        control = Path(place, "cgroup.subtree_control")
        v1 = kind == "cgroup" and "memory" in options.split(",")
        v2 = kind == "cgroup2" and "memory" in control.read_text().split()
        if v1 or v2:
            group = Path(place, f"memory-py-test-{os.getpid()}")
            with contextlib.suppress(OSError):
                group.mkdir()
                return group, "rss" if v1 else "anon"
    return None


class Cgroup:
    """A memory cgroup of the test's own: the kernel's account of the processes in it."""

    def __init__(self, group: Path, key: str) -> None:
        self.group, self.key = group, key

    def enter(self) -> None:
        """For preexec_fn: the process joins the group."""
        self.group.joinpath("cgroup.procs").write_text(str(os.getpid()))

    def anonymous(self) -> int:
        """Anonymous memory in bytes."""
        text = self.group.joinpath("memory.stat").read_text()
        return int(dict(line.split() for line in text.splitlines())[self.key])


@pytest.fixture
def cgroup():
    found = memory_cgroup()
    if not found:
        pytest.skip(f"{FORBIDDEN}: no memory cgroup (it needs root and the memory controller)")
    yield Cgroup(*found)
    wait_for(lambda: not found[0].joinpath("cgroup.procs").read_text())
    found[0].rmdir()


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    """Each test in an empty folder of its own, matplotlib's cache in a common one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    os.environ.pop("NO_COLOR", None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI all that can be installed is there: a skipped test is a failure."""
    outcome = yield
    report = outcome.get_result()
    forbidden = FORBIDDEN in str(report.longrepr)
    if report.skipped and not (hasattr(report, "wasxfail") or forbidden) and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
