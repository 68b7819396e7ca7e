"""The real Scratch editor in Chromium, and memory.py measuring it."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.image
import psutil
import pytest

import memory
from conftest import LIMIT, MIB, ROOT, alive, load, run, start, wait_for

SCRATCH = [sys.executable, str(ROOT / "tests" / "scratch3")]
ROLES = ("main", "renderer", "gpu-process", "zygote", "utility network", "utility storage")
BUILDS = {"newest": [], "2020": ["--old"]}


@pytest.fixture(scope="module", autouse=True)
def packages():
    """Chromium, and both builds in the cache."""
    names = ("chromium", "chromium-browser", "google-chrome")
    if not any(map(shutil.which, names)):
        pytest.skip("Chromium is missing: apt install chromium")
    for more in BUILDS.values():
        result = subprocess.run([*SCRATCH, *more, "--bundle"], capture_output=True, text=True)
        if result.returncode:
            pytest.skip(result.stderr)


@pytest.mark.parametrize("build", BUILDS)
def test_the_editor_is_shown(build):
    """The cat's orange on the white stage, the blocks' blue: none of it without WebGL or images."""
    result = subprocess.run([*SCRATCH, *BUILDS[build], "--screenshot", "s.png"], timeout=LIMIT)
    assert result.returncode == 0
    picture = (matplotlib.image.imread("s.png")[:, :, :3] * 255).astype(int)
    stage = picture[100:450, 800:1270]

    def share(part, colour) -> float:
        return (abs(part - colour).sum(axis=2) < 30).mean()

    assert share(stage, (255, 171, 25)) > 0.01, "no cat on the stage"
    assert share(stage, (255, 255, 255)) > 0.8
    assert share(picture, (76, 151, 255)) > 0.02, "no blocks"


@pytest.mark.parametrize("build", BUILDS)
def test_memory_py_measures_the_editor(build):
    words = " ".join([*SCRATCH, *BUILDS[build]])
    args = ["--cmd", words, "--duration", "15", "--csv", "s.csv", "--json", "s.json"]
    result = run(*args, "--out", "s.png")
    assert result.returncode == 0, result.stderr
    found = load("s.json")
    assert found["processes"] >= 8 and found["unreadable"] == 0 and found["samples"] >= 14
    names = [use["process"] for use in found["by_process"]]
    for role in ROLES:
        assert any(name.endswith(role) for name in names), (role, names)
    assert 300 * MIB < found["pss"]["peak"] < 0.7 * found["rss"]["peak"]
    assert sum(use["pss_at_peak"] for use in found["by_process"]) == found["pss"]["peak"]
    split = found["pss_peak_split"]
    assert sum(split.values()) == pytest.approx(found["pss"]["peak"], rel=0.01)
    assert min(split.values()) > MIB
    assert Path("s.png").stat().st_size > 30_000
    assert not any(alive(use["pid"]) for use in found["by_process"])


def test_anonymous_memory_agrees_with_the_kernels_account(cgroup):
    scratch = subprocess.Popen([*SCRATCH, "--old"], preexec_fn=cgroup.enter)
    try:
        tree = memory.Tree([psutil.Process(scratch.pid)])
        wait_for(lambda: sum(process.memory.anon for process in tree.sample()) > 200 * MIB)
        time.sleep(5)  # to rest
        ratios = []
        for _ in range(9):
            ours = sum(process.memory.anon for process in tree.sample())
            ratios.append(ours / cgroup.anonymous())
            time.sleep(0.3)
        assert statistics.median(ratios) == pytest.approx(1, abs=0.01), ratios
    finally:
        scratch.terminate()
        scratch.wait(LIMIT)


def test_ctrl_c_and_sigterm_end_all_of_it(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is too long for Chromium's socket
        monkeypatch.setenv("TMPDIR", folder)
        end_by_signals()
        assert not [name for name in os.listdir(folder) if "scratch3" in name]


def end_by_signals() -> None:
    for number in (2, 15):
        process = start("--interval", "0.2", "--json", "s.json", *SCRATCH)
        me = psutil.Process(process.pid)
        wait_for(lambda me=me: len(me.children(recursive=True)) >= 8)
        below = me.children(recursive=True)
        process.send_signal(number)
        process.communicate(timeout=LIMIT)
        assert process.returncode == 128 + number
        wait_for(lambda below=below: not any(alive(p.pid) for p in below), limit=10)


def test_it_ends_by_itself():
    assert subprocess.run([*SCRATCH, "--seconds", "2"], timeout=LIMIT).returncode == 0


def test_offline_and_missing_programs(tmp_path):
    """Once cached no npm is needed; without it or Chromium one line says what to install."""
    env = {**os.environ, "PATH": str(tmp_path)}
    words = [sys.executable, str(ROOT / "tests" / "scratch3")]
    result = subprocess.run([*words, "--bundle"], env=env, capture_output=True, text=True)
    assert result.returncode == 0 and Path(result.stdout.strip()).stat().st_size > 10_000_000
    result = subprocess.run(words, env=env, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "apt install chromium" in result.stderr
    env["XDG_CACHE_HOME"] = str(tmp_path / "empty")
    result = subprocess.run([*words, "--bundle"], env=env, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.splitlines()[-1].count("npm")
    assert "Traceback" not in result.stderr
