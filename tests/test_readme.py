"""The README: its help texts, its commands, its pictures."""

from __future__ import annotations

import base64
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from conftest import LIMIT, ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(  # in fences too
    r"^(?:    )?((?:xvfb-run -a )?\./(?:memory|asar_investigate)\.py .*)$", README, re.M
)


@pytest.mark.parametrize("script", [path.name for path in sorted(ROOT.glob("*.py"))])
def test_help_is_as_shown(script):
    env = {**os.environ, "COLUMNS": "80"}
    words = [sys.executable, str(ROOT / script), "--help"]
    text = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout
    words = ["```", *text.replace("-o, --out", "-o FILE, --out").split(), "```"]  # 3.13's layout
    assert " ".join(words) in " ".join(README.split())
    assert max(map(len, text.splitlines())) <= 80 and text.count("\n") <= 50
    options = set(re.findall(r"(?<!\S)--[a-z-]+", text))
    shown = " ".join(re.findall(rf"\./{re.escape(script)}[^\n]*", README))
    assert (
        set(re.findall(r"(?<= )--(?:cmd|out|csv|json|pid|in|interval|duration)\b", shown))
        <= options
    )


def test_every_picture_is_there_and_shown():
    shown = set(re.findall(r"\]\((images/[^)]+)\)", README))
    assert shown == {f"images/{path.name}" for path in (ROOT / "images").iterdir()}


def test_nothing_else_is_visible_at_the_top():
    """But for what Git ignores: what the README's commands write there."""
    made = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    names = {path.name for path in ROOT.iterdir() if path.name[0] != "."}
    names = {name for name in names if not any(fnmatch.fnmatch(name, one) for one in made)}
    fixed = {"memory.py", "images", "README.md", "requirements.txt", "tests"}
    assert fixed <= names <= {*fixed, "asar_investigate.py"}


def blocks(heading: str) -> list[str]:
    """The fenced code blocks under a heading of the README."""
    return re.findall(r"^```\n(.*?)^```$", README[README.index(heading) :], re.M | re.S)


def test_ci_runs_the_first_block_under_tests():
    """Which installs all that it needs: the packages, the editor, the environment."""
    ci = (ROOT / ".ci" / "run").read_text()
    assignment = re.search(r"^block=\$\((awk .* README\.md)\)$", ci, re.M)[1]
    block = subprocess.run(["sh", "-c", assignment], cwd=ROOT, capture_output=True, text=True)
    assert block.stdout == blocks("\n## Tests\n")[0]
    steps = [block.stdout.index(word) for word in ("apt-get", "pip install", "--fetch", "pytest")]
    assert steps == sorted(steps)


def test_the_first_block_sets_up_and_runs_the_main_job():
    install, command = blocks("# ")[0].splitlines()
    assert install.startswith("sudo apt-get update && sudo apt-get install -y python3-psutil")
    assert command.startswith("./memory.py --out graph.png python3 -c ")


def memory_commands() -> list[str]:
    return [c for c in COMMANDS if "./memory.py" in c and "--pid" not in c]


@pytest.mark.parametrize("command", memory_commands())
def test_memory_commands_run(command, tmp_path):
    """As they stand, from a copy of the files, but shorter; a comparison needs its recordings."""
    if "scratch3" in command:
        for program in ("chromium", "xvfb-run"):
            if not shutil.which(program):
                pytest.skip(f"{program} is missing: apt install chromium xvfb xauth libgtk-3-0")
    for name in ("memory.py", "tests"):
        os.symlink(ROOT / name, tmp_path / name)
    os.mkdir("images")
    words = shlex.split(command)
    display, words = words[: words.index("./memory.py")], words[words.index("./memory.py") :]
    if "--in" in words:
        for name in (word for word in words if word.endswith(".csv")):
            record = [sys.executable, "memory.py", "--quiet", "--csv", name, "sleep", "0.2"]
            subprocess.run(record, check=True)
    if "--cmd" in words:
        place = words.index("--cmd") + 1
        words[place] = re.sub("^scratch3", "tests/scratch3", words[place])
    if "scratch3" in command:
        words[1:1] = ["--duration", "6"]
    if "--duration" in words[3:]:
        words[words.index("--duration", 3) + 1] = "6"
    words[:0] = [*display, sys.executable]
    result = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
    assert result.returncode == 0, result.stderr
    assert "PSS" in result.stdout + result.stderr
    if "--out" in words:
        assert os.path.getsize(words[words.index("--out") + 1]) > 10_000


def test_asar_commands_run():
    """Those of the README, on an extracted bundle and an archive made here."""
    os.mkdir("unpacked")
    literal = base64.b64encode(bytes(range(256)) * 10)
    with open("unpacked/1.bundle.js", "wb") as file:
        file.write(b'module.exports = "%s"' % literal)
    header = json.dumps({"files": {"a.js": {"size": len(literal), "offset": "0"}}}).encode()
    sizes = (4, len(header) + 8, len(header) + 4, len(header))
    with open("app.asar", "wb") as file:
        file.write(b"".join(n.to_bytes(4, "little") for n in sizes) + header + literal)
    commands = [c for c in COMMANDS if c.startswith("./asar") and "$(" not in c]
    commands += re.findall(r"`(\./asar_investigate\.py [^`]+)`", README)
    assert commands
    for command in commands:
        words = [sys.executable, str(ROOT / "asar_investigate.py"), *shlex.split(command)[1:]]
        result = subprocess.run(words, capture_output=True, text=True)
        assert result.returncode == 0 and str(len(literal)) in result.stdout, result.stderr
