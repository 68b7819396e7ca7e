#!/usr/bin/env python3
"""asar_investigate.py beside ripgrep, grep -oE and a plain Python re, whole commands in one run.

    sudo apt install ripgrep grep chromium npm
    .venv/bin/python tests/bench_asar.py
    .venv/bin/python tests/bench_asar.py hostile [SCRIPT ...]    # another version beside it

Each row: the median wall time of some runs taken in turn, as a ratio to asar_investigate.py's
(above 1: asar_investigate.py is faster), and the peak memory of the process in MiB. The rivals only
find the runs; asar_investigate.py decodes, hashes and names them, counts lines and characters.

hostile: inputs of 20 MB that were made to be slow, as multiples of 20 MB of plain code.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bundles import archive, base64_of

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20
PLAIN = """import re, sys
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        for match in re.finditer(rb"[A-Za-z0-9+/]{%d,}={0,2}" % int(sys.argv[1]), file.read()):
            print(path, match.start(), len(match[0]))
"""


def tools(size: int, files: Sequence[str]) -> dict[str, list[str]]:
    """The commands that find the runs of so many characters in these files."""
    expression = f"[A-Za-z0-9+/]{{{size},}}={{0,2}}"
    scan = str(ROOT / "asar_investigate.py")
    found = {
        "asar_investigate": [sys.executable, scan, "--min-size", str(size), *files],
        "ripgrep": ["rg", "--no-config", "-c", "-a", "-o", expression, *files],
        "grep -oE": ["grep", "-a", "-b", "-oE", expression, *files],
        "python re": [sys.executable, "-c", PLAIN, str(size), *files],
    }
    return {name: words for name, words in found.items() if shutil.which(words[0])}


MEASURE = """import os, resource, subprocess, sys, time
begin = time.perf_counter()
with open(os.devnull, "w") as null:
    subprocess.call(["timeout", *sys.argv[1:]], stdout=null)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - begin, used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


def once(words: Sequence[str], limit: float) -> tuple[float, float, float]:
    """Wall seconds, peak MiB and CPU seconds of one run of a command (infinite: it takes too long).

    Started from a small process: ru_maxrss includes that of the process it was forked from.
    """
    measure = [sys.executable, "-S", "-c", MEASURE, str(limit), *words]
    text = subprocess.run(measure, check=True, capture_output=True, text=True).stdout
    wall, peak, cpu = (float(word) for word in text.split())
    return (wall if wall < limit else float("inf")), peak / 1024, cpu


def compare(name: str, size: int, files: Sequence[str], runs: int, limit: float = 120) -> None:
    """One block of the table."""
    commands = tools(size, files)
    walls: dict[str, list[float]] = {tool: [] for tool in commands}
    peaks = dict.fromkeys(commands, 0.0)
    for n in range(runs + 1):
        for tool, words in commands.items():
            if n and walls[tool] and walls[tool][0] == float("inf"):
                continue
            wall, peak, _ = once(words, limit)
            if n or wall > 5:  # the first is a warm-up
                walls[tool].append(wall)
            peaks[tool] = max(peaks[tool], peak)
    mass = sum(os.path.getsize(file) for file in files)
    print(f"\n{name}, {mass / 1e6:.0f} MB, {size} characters and more")
    ours = statistics.median(walls["asar_investigate"])
    for tool, times in walls.items():
        median = statistics.median(times)
        seconds = f"{median:9.3f} s" if median < limit else f"  > {limit:.0f} s"
        print(f"  {tool:18}{seconds:>12}{median / ours:8.2f} x{peaks[tool]:9.0f} MiB", flush=True)


def bundle(*more: str) -> bytes:
    """The real bundle's bytes."""
    words = [sys.executable, str(ROOT / "tests" / "scratch3"), "--bundle", *more]
    path = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    return Path(path).read_bytes()


def write(path: Path, data: bytes, size: int) -> str:
    """Data again and again, to a size."""
    with open(path, "wb") as file:
        while file.tell() < size:
            file.write(data[: size - file.tell()])
    return str(path)


SIZE = 20 * 10**6
RUN = base64_of(256)
FAR = b" x" * 600


def repeated(unit: bytes) -> bytes:
    """A unit again and again, to 20 MB."""
    return unit * (SIZE // len(unit))


def literals(before: bytes, behind: bytes, length: int = 256, size: int = SIZE) -> bytes:
    """Literals of different contents, close together."""
    data = base64_of(4_000_000)
    starts = random.Random(1).choices(range(len(data) - length), k=size // (length + 8))
    return b"".join(before + data[start : start + length] + behind for start in starts)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "literals, a line each": lambda: literals(b"", b"\n"),
    "literals in quotes": lambda: literals(b'"', b'",'),
    "literals in quotes, a line each": lambda: literals(b'"', b'",\n'),
    "literals in data URIs": lambda: literals(b'"data:image/png;base64,', b'",'),
    "literals in one template": lambda: b"`" + literals(b'<img src="', b'">\n') + b"`",
    "literals in one eval": lambda: b'eval("' + literals(b'x(\\"', b'\\");') + b'")',
    "literals with an escape before": lambda: literals(b'"\\n', b'",'),
    "literals with a dash between": lambda: literals(b"", b"-"),
    "strings that are not closed": lambda: repeated(b'"\\' * 30_000 + RUN + b"\n"),
    "quotes that are not closed": lambda: repeated(b"\"'`/*" * 6000 + RUN),
    "pairs of quotes": lambda: repeated(b"''" * 15_000 + RUN),
    "escaped quotes": lambda: repeated(b'\\"' * 16_000 + FAR + RUN + b'\\"' * 16_000 + b"\n"),
    "backslashes": lambda: repeated(b"\\" * 30_000 + RUN),
    "comments": lambda: repeated(b"//# sourceMappingURL=" * 1500 + RUN),
    "runs one too short": lambda: repeated(b"A" * 255 + b'"'),
    "short words": lambda: repeated(b"ABCDEFGHIJK MNOP"),
    "A-A-A-": lambda: repeated(b"A-"),
    "hexadecimal digits": lambda: repeated(b"0123456789abcdef" * 20 + b" "),
    "lines of nothing": lambda: repeated(b"\n"),
    "characters of two bytes": lambda: repeated("é".encode()),
    "no UTF-8": lambda: repeated(b"\xff"),
}


def many_files() -> bytes:
    """An archive of 300,000 files with the hashes that electron/asar writes, a link beside each."""
    folders: dict = {}
    for n in range(300_000):
        hashes = {"algorithm": "SHA256", "hash": f"{n:064x}", "blockSize": 2**22, "blocks": []}
        entry = {"size": 0, "offset": "0", "integrity": hashes}
        folders.setdefault(str(n // 1000), {"files": {}})["files"][f"{n}.js"] = entry
    folders["links"] = {"files": {f"{n}": {"link": "a/" * 999 + f"{n}"} for n in range(9999)}}
    return archive({"files": folders})


def hostile(scripts: Sequence[str]) -> None:
    """CPU time (two minutes at most) and peak of each version on inputs made to be slow."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.js")

        def row(name: str, data: bytes, *options: str) -> None:
            path.write_bytes(data)
            cells = []
            for script in scripts:
                *_, peak, cpu = once([sys.executable, script, *options, str(path)], 120)
                plain.setdefault(script, cpu)
                cells.append(f"{cpu:8.2f} s{cpu / plain[script]:7.1f} x{peak:6.0f} MiB")
            print(f"{name:34}{len(data) / 1e6:5.0f} MB{''.join(cells)}", flush=True)

        plain: dict[str, float] = {}
        code = re.sub(rb"[A-Za-z0-9+/]{200,}", b"", bundle("--old"))
        row("plain code", (code * 2)[:SIZE])
        for name, made in HOSTILE.items():
            row(name, made())
        row("plain code, --min-size 1", code[: SIZE // 10], "--min-size", "1")
        row("540,000 literals, --json", literals(b'"', b'",\n', 256, 540_000 * 264), "--json",
            os.path.join(folder, "r.json"))  # fmt: skip
        row("archive of 300,000 files and links", many_files())


def main() -> int:
    """Print the table."""
    if sys.argv[1:2] == ["hostile"]:
        hostile([str(ROOT / "asar_investigate.py"), *sys.argv[2:]])
        return 0
    old, new = bundle("--old"), bundle()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        one = [write(place / "bundle.js", old, len(old))]
        compare("the 2020 bundle", 256, one, 9)
        compare("the 2020 bundle", 1024, one, 9)
        many = [write(place / f"{n}.js", (old, new)[n % 2], 10**9 // 50) for n in range(10)]
        compare("bundles", 256, many, 3)
        compare("bundles", 1024, many, 3)
        ten = [write(place / "ten.js", old * 10, 10 * len(old))]
        compare("the 2020 bundle ten times in one file", 256, ten, 5)
        # runs one short, and 16 bytes of which one is none of a run: nothing can be skipped
        short = write(place / "short.js", b"A" * 255 + b'"', 20 * 10**6)
        compare("made: runs one too short", 256, [short], 3)
        often = write(place / "often.js", b"ABCDEFGHIJK MNOP", 20 * 10**6)
        compare("made: short words", 256, [often], 3)
        print("\nasar_investigate.py alone, time and memory by size (the 2020 bundle repeated)")
        for size in (10**7, 10**8, 10**9):
            path = write(place / "size.js", old, size)
            wall, peak, _ = once(tools(256, [path])["asar_investigate"], 600)
            print(
                f"  {size / 1e6:6.0f} MB{wall:9.2f} s{size / wall / 1e6:9.0f} MB/s{peak:7.0f} MiB"
            )
            os.unlink(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
