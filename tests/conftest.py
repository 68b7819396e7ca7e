"""What the tests share: the scripts as users run them, and waiting for a condition."""

from __future__ import annotations

import json
import os
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
LIMIT = 120  # seconds that nothing here takes, not even on a loaded machine


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


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    """Each test in an empty folder of its own, matplotlib's cache in a common one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    os.environ.pop("NO_COLOR", None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI everything is there: a skipped test is a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
