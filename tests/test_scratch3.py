"""The real Scratch editor in the real Electron and in Chromium, and memory.py measuring it."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import matplotlib.image
import numpy
import psutil
import pytest
from bundles import run_asar

from conftest import FORBIDDEN, LIMIT, MEMORY, MIB, ROOT, alive, load, run, start, wait_for

SCRATCH = [sys.executable, str(ROOT / "tests" / "scratch3")]
ROLES = {
    "electron": ("scratch3", "renderer", "gpu-process", "zygote", "utility network"),
    "chromium": (
        "chromium",
        "renderer",
        "gpu-process",
        "zygote",
        "utility network",
        "utility storage",
    ),
}
SHOWN = {
    "electron, newest": (),
    "electron, 2020": ("--old",),
    "chromium, newest": ("--chromium",),
    "chromium, 2020": ("--chromium", "--old"),
}


def scratch3_module():
    loader = importlib.machinery.SourceFileLoader("scratch3", SCRATCH[1])
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("scratch3", loader))
    loader.exec_module(module)
    return module


def scratch3(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": LIMIT, **options}
    return subprocess.run([*SCRATCH, *map(str, args)], **options)


def path_of(*args: str) -> Path:
    return Path(scratch3(*args, check=True).stdout.rstrip("\n"))


@pytest.fixture(scope="module", autouse=True)
def fetched():
    """Chromium, and everything that is shown in the cache."""
    names = ("chromium", "chromium-browser", "google-chrome")
    if not any(map(shutil.which, names)):
        pytest.skip("Chromium is missing: apt install chromium")
    result = scratch3("--fetch", timeout=None)
    if result.returncode:
        pytest.skip(result.stderr)


@pytest.fixture(scope="module")
def libraries():
    """What Electron is linked with."""
    if platform.machine() != "x86_64":
        pytest.skip(f"{FORBIDDEN}: the npm registry's Electron, which is for x86-64")
    program = path_of("--asar").parent.with_name("scratch3")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    if "not found" in linked:
        pytest.skip(f"apt install chromium libgtk-3-0: Electron's libraries are missing\n{linked}")


@pytest.fixture(scope="module")
def display(libraries):
    """An Xvfb of the tests' own, which says on which display it is."""
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb is missing: apt install xvfb")
    read, write = os.pipe()
    words = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
    xvfb = subprocess.Popen(words, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with open(read) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    xvfb.terminate()
    xvfb.wait(LIMIT)


@pytest.fixture(params=["electron", "chromium"])
def which(request, monkeypatch):
    """Both programs; the words that ask tests/scratch3 for one of them are more[which]."""
    if request.param == "electron":
        monkeypatch.setenv("DISPLAY", request.getfixturevalue("display"))
    return request.param


more = {"electron": (), "chromium": ("--chromium",)}


def screenshot(*args: str) -> numpy.ndarray:
    """Of the editor, 800 x 1280 pixels of three colours from 0 to 255."""
    result = scratch3(*args, "--screenshot", "s.png")
    assert result.returncode == 0, result.stderr
    return (matplotlib.image.imread("s.png")[:, :, :3] * 255).astype(int)


def share(part: numpy.ndarray, colour: tuple[int, int, int]) -> float:
    return (abs(part - colour).sum(axis=2) < 30).mean()


@pytest.mark.parametrize("shown", SHOWN)
def test_the_editor_is_shown(shown, display, monkeypatch):
    """The cat's orange on the stage and in the list of sprites, the flag's green, the blocks' blue
    with the white arrows that are images: none of it without WebGL or images."""
    monkeypatch.setenv("DISPLAY", display)
    picture = screenshot(*SHOWN[shown])
    stage, arrows = picture[100:450, 800:1270], picture[174:256, 97:117]
    assert share(stage, (255, 171, 25)) > 0.01, "no cat on the stage"
    assert share(stage, (255, 255, 255)) > 0.8
    assert share(picture[575:612, 805:865], (255, 171, 25)) > 0.02, "no costume of the sprite"
    assert share(picture[55:85, 795:820], (76, 191, 86)) > 0.2, "no green flag"
    assert share(picture, (76, 151, 255)) > 0.02, "no blocks"
    assert share(arrows, (255, 255, 255)) > 0.03, "no arrows on the blocks"


def test_escaped_it_is_the_same_script_and_runs_the_same():
    """Only escapes differ, and what is seen does not."""
    plain = path_of("--old", "--bundle").read_bytes().decode()
    escaped = path_of("--old", "--escaped", "--bundle").read_bytes().decode()
    assert len(plain) == 18_948_992 and max(plain) > "\xff"
    assert len(escaped) == 20_411_030 and max(escaped) <= "\xff"
    assert unescaped(escaped) == unescaped(plain)
    different = screenshot("--chromium", "--old", "--escaped") != screenshot("--chromium", "--old")
    assert different.any(axis=2).mean() < 0.01, "more than a caret or a half-drawn border"


def unescaped(text: str) -> bytes:
    """In UTF-16, where a pair of escapes is the same as its character."""
    text = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)
    return text.encode("utf-16-le", "surrogatepass")


def test_escape():
    module = scratch3_module()
    text = 'a = "é→\U0001f600\\n";\n//# sourceMappingURL=data:application/json;base64,e30=\nb()'
    assert module.escape(text) == 'a = "é\\u2192\\ud83d\\ude00\\n";\n\nb()'
    with pytest.raises(module.Problem, match="backslash"):
        module.escape('"\\→"')


def test_a_changed_tarball_is_refused(tmp_path):
    module = scratch3_module()
    empty = tmp_path / "empty.tgz"
    empty.write_bytes(b"")
    of_nothing = (
        "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
    )
    module.check_sha512(empty, of_nothing)
    empty.write_bytes(b"x")
    with pytest.raises(module.Problem, match=r"empty\.tgz: its sha512 is .* and not z4Ph"):
        module.check_sha512(empty, of_nothing)


@pytest.mark.parametrize("build", [(), ("--old",), ("--old", "--escaped")])
def test_the_archive_is_what_asar_extracts(build):
    """And the app in it is all ours: nothing is left of the one that came with Electron."""
    asar, bundle = path_of(*build, "--asar"), path_of(*build, "--bundle")
    assert asar.parts[-2:] == ("resources", "app.asar") and os.listdir(asar.parent) == ["app.asar"]
    run_asar("extract", asar, "unpacked")
    unpacked = Path("unpacked")
    assert (unpacked / "1.bundle.js").read_bytes() == bundle.read_bytes()
    assert json.loads((unpacked / "package.json").read_text())["main"] == "main.js"
    assert len(list(unpacked.glob("static/**/*.svg"))) > 100
    assert not list(unpacked.rglob("*.map")) and not list(unpacked.glob("scratch-gui*.js"))


def test_memory_py_measures_electron_as_the_readme_says(libraries, monkeypatch):
    """With tests/ on the PATH the program is called scratch3, as on Raspberry Pi OS."""
    if not shutil.which("xauth"):
        pytest.skip("xvfb-run needs xauth: apt install xauth")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{ROOT / 'tests'}")
    words = ["--cmd", "scratch3 --old", "--duration", "20", "--json", "s.json", "--out", "s.png"]
    result = subprocess.run(["xvfb-run", "-a", *MEMORY, *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    check_measured("electron", 8)
    renderer = [use for use in load("s.json")["by_process"] if use["process"].endswith("renderer")]
    assert 150 * MIB < sum(use["pss_at_peak"] for use in renderer) < 300 * MIB


def test_memory_py_measures_chromium():
    """It is what is shown without a display, and a line says so."""
    env = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    result = run("--duration", "15", "--json", "s.json", "--out", "s.png", *SCRATCH, env=env)
    assert result.returncode == 0, result.stderr
    check_measured("chromium", 8)
    if platform.machine() == "x86_64":
        assert "scratch3: Electron needs a display, which xvfb-run -a would make" in result.stderr


def check_measured(which: str, processes: int) -> None:
    found = load("s.json")
    assert found["processes"] >= processes and found["unreadable"] == 0 and found["samples"] >= 14
    names = [use["process"] for use in found["by_process"]]
    for role in ROLES[which]:
        assert any(name.endswith(role) for name in names), (role, names)
    assert 300 * MIB < found["pss"]["peak"] < 0.7 * found["rss"]["peak"]
    assert sum(use["pss_at_peak"] for use in found["by_process"]) == found["pss"]["peak"]
    split = found["pss_peak_split"]
    assert sum(split.values()) == pytest.approx(found["pss"]["peak"], rel=0.01)
    assert min(split.values()) > MIB
    assert Path("s.png").stat().st_size > 30_000
    assert not any(alive(use["pid"]) for use in found["by_process"])


def test_anonymous_memory_agrees_with_the_kernels_account(which, cgroup):
    with running(*more[which], "--old", preexec_fn=cgroup.enter) as (scratch, _):
        wait_for(lambda: cgroup.anonymous() > 200 * MIB)
        time.sleep(5)  # to rest
        ratios = []
        for _ in range(5):
            result = run("--pid", scratch.pid, "--duration", "0.1", "--quiet", "--json", "-")
            ours = json.loads(result.stdout)["pss_peak_split"]["anon"]
            ratios.append(ours / cgroup.anonymous())
        assert statistics.median(ratios) == pytest.approx(1, abs=0.01), ratios


@contextlib.contextmanager
def running(*args: str, **options: object):
    """tests/scratch3 and the file that its stdout and stderr go to."""
    with open("log", "w+") as log:
        scratch = subprocess.Popen([*SCRATCH, *args], stdout=log, stderr=log, **options)
        try:
            yield scratch, Path("log")
        finally:
            scratch.terminate()
            scratch.wait(LIMIT)


@pytest.fixture
def temporary(monkeypatch):
    """TMPDIR, which must be empty again; tmp_path is too long for Chromium's socket."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)
        assert os.listdir(folder) == []


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def has_renderer(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):  # one that has just ended
        return any("--type=renderer" in str(process.cmdline()) for process in below(pid))
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_launcher_ends_all_of_it_in_order(number, which, temporary):
    """Once nothing more is written, not a line is: no child was missed by its parent."""
    with running(*more[which], "--verbose") as (scratch, log):
        wait_for(lambda: has_renderer(scratch.pid))
        wait_for(lambda: time.time() - log.stat().st_mtime > 3)
        family, before = below(scratch.pid), log.read_text()
        scratch.send_signal(number)
        assert scratch.wait(LIMIT) == 128 + number
        assert not any(alive(process.pid) for process in family)
        assert log.read_text() == before


def test_a_signal_that_comes_early_is_not_lost(which, temporary):
    for delay in (0, 0.02, 0.1, 0.5):
        with running(*more[which]) as (scratch, log):
            wait_for(lambda: list(temporary.glob("scratch3-*")))
            time.sleep(delay)
            scratch.terminate()
            assert scratch.wait(LIMIT) == 128 + signal.SIGTERM
            assert log.read_text() == "" and os.listdir(temporary) == []


def test_a_second_signal_does_not_interrupt_the_ending(which, temporary):
    """As when `timeout` tells the whole group, and memory.py its command."""
    with running(*more[which]) as (scratch, log):
        wait_for(lambda: len(below(scratch.pid)) >= 3)
        family = below(scratch.pid)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            scratch.send_signal(number)
        assert scratch.wait(LIMIT) > 128
        assert not any(alive(process.pid) for process in family)
        assert log.read_text() == ""


def test_what_does_not_end_is_killed(which, temporary):
    """In less time than memory.py has patience with its command."""
    with running(*more[which], "--old") as (scratch, _):
        main = wait_for(lambda: below(scratch.pid))[0]
        wait_for(lambda: has_renderer(scratch.pid))
        family = below(scratch.pid)
        main.suspend()
        begin = time.monotonic()
        scratch.terminate()
        assert scratch.wait(LIMIT) == 128 + signal.SIGTERM
        assert 3 < time.monotonic() - begin < 4.5
        assert not any(alive(process.pid) for process in family)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_memory_py_hands_signals_on(number, which, temporary):
    process = start("--interval", "0.2", "--json", "s.json", *SCRATCH, *more[which])
    wait_for(lambda: len(below(process.pid)) >= 6)
    family = below(process.pid)
    process.send_signal(number)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number
    wait_for(lambda: not any(alive(p.pid) for p in family), limit=10)


def test_it_ends_by_itself(which, temporary):
    result = scratch3(*more[which], "--seconds", "2")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_pgrep_finds_electron_and_the_archive_is_beside_it(display, monkeypatch):
    monkeypatch.setenv("DISPLAY", display)
    with running("--old") as (scratch, _):
        wait_for(lambda: below(scratch.pid))
        words = ["pgrep", "-o", "-P", str(scratch.pid), "scratch"]
        main = wait_for(lambda: subprocess.run(words, capture_output=True, text=True).stdout)
        program = Path(f"/proc/{int(main)}/exe").resolve()
    assert program.name == "scratch3"
    assert (program.parent / "resources" / "app.asar").samefile(path_of("--old", "--asar"))


def test_its_source_is_in_the_renderer(display, monkeypatch, tmp_path):
    """asar_investigate.py finds the archive by itself, and 1.bundle.js once, two bytes each."""
    monkeypatch.setenv("DISPLAY", display)
    words = [sys.executable, ROOT / "asar_investigate.py", "--json", tmp_path / "r.json", "--pid"]

    def copies() -> list[dict]:
        result = subprocess.run([*words, str(scratch.pid)], capture_output=True, text=True)
        assert result.returncode == 0 and "app.asar" in result.stderr, result.stderr
        sources = load(tmp_path / "r.json")["sources"]
        (bundle,) = (one for one in sources if one["path"].endswith("app.asar/1.bundle.js"))
        return bundle["memory"] if bundle["literals"][0]["memory"] else []

    with running("--old") as (scratch, _):
        wait_for(lambda: below(scratch.pid) and has_renderer(scratch.pid))
        (copy,) = wait_for(copies)
    assert (copy["bytes"], copy["width"], copy["whole"]) == (37_898_250, 2, True)
    assert (copy["backing"], copy["process"]) == ("anonymous", "scratch3 renderer")
    report = load(tmp_path / "r.json")["closing"]
    assert report["sources"] == copy["bytes"] and report["rest"] > 0


def test_devtools(which):
    with running(*more[which], "--port", "0") as (_, log):
        text = wait_for(lambda: re.search(r"^DevTools listening on ws://(\S+?)/", log.read_text()))
        url = f"http://{text[1]}/json"

        def page() -> dict:
            with urllib.request.urlopen(url, timeout=LIMIT) as answer:
                return next((page for page in json.load(answer) if page["type"] == "page"), {})

        assert wait_for(lambda: page().get("title") == "Scratch 3")
        folder = "app.asar" if which == "electron" else "newest-app"
        assert page()["url"].endswith(f"/{folder}/index.html")


def test_offline_and_missing_programs(tmp_path):
    """Once cached no npm is needed; what is missing is one line that says what to do."""
    env = {**os.environ, "PATH": str(tmp_path)}
    result = scratch3("--bundle", env=env)
    assert result.returncode == 0 and Path(result.stdout.strip()).stat().st_size > 10_000_000
    result = scratch3("--chromium", env=env)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "apt install chromium" in result.stderr
    env["XDG_CACHE_HOME"] = str(tmp_path / "empty")
    result = scratch3(env=env)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert result.stderr.endswith("tests/scratch3 --fetch\n")
    result = scratch3("--bundle", env=env)
    assert result.returncode == 1 and result.stderr.splitlines()[-1].count("apt install npm") == 1
    assert "Traceback" not in result.stderr
