"""asar_investigate.py: the scan, what stands around a run, kinds, inputs, report and files."""

from __future__ import annotations

import base64
import bz2
import codecs
import collections
import contextlib
import copy
import errno
import gzip
import hashlib
import io
import json
import lzma
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
import zipfile
from pathlib import Path
from unittest.mock import patch

import pytest
from bundles import archive, asar, asar_parts, base64_of, noise, write_asar
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import asar_investigate
from asar_investigate import Source, find_runs
from conftest import FORBIDDEN, LIMIT, MIB, ROOT

SCRIPT = [sys.executable, str(ROOT / "asar_investigate.py")]
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
RUN = base64_of(256).decode()
OTHER = base64_of(300, 2).decode()
KEYS = {
    "sources": {"path", "size", "two_byte", "characters", "beyond_latin1", "literals"},
    "literals": {
        "offset",
        "line",
        "column",
        "length",
        "string_length",
        "decoded",
        "kind",
        "mime",
        "sha256",
        "occurrences",
    },
}
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture(autouse=True)
def limit():
    """A test that goes on for a minute fails."""

    def late(*_: object) -> None:
        pytest.fail("not within 60 s")

    was = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(os.environ.get("TEST_LIMIT", "60")))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, was)


def call(*args: object) -> tuple[int, str, str]:
    """The exit status, stdout and stderr of main() in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = asar_investigate.main([str(arg) for arg in args])
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()


def run(*args: object, **options: object) -> subprocess.CompletedProcess:
    """The script as users run it."""
    options = {"capture_output": True, "text": True, "timeout": LIMIT, **options}
    return subprocess.run([*SCRIPT, *map(str, args)], **options)


def told(*args: object, status: int = 0) -> dict:
    """What --json - says."""
    found, out, err = call(*args, "--json", "-")
    assert found == status, (found, err)
    return json.loads(out)


def literals(text: str | bytes, *options: object, name: str = "a.js") -> list[dict]:
    """The literals of a file with this text."""
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return told(name, *options)["sources"][0]["literals"]


def one(text: str | bytes, *options: object) -> dict:
    found = literals(text, *options)
    assert len(found) == 1, found
    return found[0]


@contextlib.contextmanager
def source_of(data: bytes, name: str = "data"):
    """The bytes as an open source."""
    Path(name).write_bytes(data)
    fd = os.open(name, os.O_RDONLY)
    try:
        yield Source(name, name, 0, len(data), fd)
    finally:
        os.close(fd)


def scanned(source: Source, count: int) -> asar_investigate.Scanned:
    """All that a source holds."""
    scan = asar_investigate.Scanner(source, count, collections.Counter())
    scan.run()
    return scan.result


@contextlib.contextmanager
def windows(size: int):
    """Read in windows and pieces of this size."""
    window = patch.object(asar_investigate, "WINDOW", size)
    with window, patch.object(Source.pieces, "__defaults__", (size,)):
        yield


# ---------------------------------------------------------------- the scan


def reference(data: bytes, count: int) -> list[tuple[int, int]]:
    """What design.md defines: the runs of both expressions, without their padding.

    Of a long URL-safe run it finds stretches without - and _, if any are long enough: see
    test_a_large_url_safe_literal_is_one.
    """
    standard = rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{%d,}={0,2}" % count
    url_safe = rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{%d,}={0,2}" % count
    first = [(m.start(), m.start() + len(m[0].rstrip(b"="))) for m in re.finditer(standard, data)]
    found = list(first)
    taken = bytearray(len(data))
    for start, end in first:
        taken[start:end] = b"\1" * (end - start)
    for match in re.finditer(url_safe, data):
        start, end = match.start(), match.start() + len(match[0].rstrip(b"="))
        if re.search(rb"[-_]", match[0]) and 1 not in taken[start:end]:
            found.append((start, end))
    return sorted(found)


def check(data: bytes, count: int, window: int) -> None:
    with windows(window), source_of(data) as source:
        assert list(find_runs(source, count)) == reference(data, count)


CLASSES = (
    ALPHABET, ALPHABET + b"+/", ALPHABET + b"-_", ALPHABET + b"+/-_", b"+/-_", b"AB=-/", b"=",
    b"\"'`\\", b"\r\n", "é字😀".encode(), bytes(range(256)), b"A-", b"a+", b"A", b" ",
)  # fmt: skip


@st.composite
def segment(draw, count: int) -> bytes:
    """A unit of one class, repeated to about, just below, at or above a length that matters."""
    letters = draw(st.sampled_from(CLASSES))
    unit = bytes(draw(st.lists(st.sampled_from(letters), min_size=1, max_size=7)))
    near = draw(st.sampled_from((0, 1, count, count, 2 * count, 64, 100, 257, 1000)))
    length = max(1, near + draw(st.integers(-2, 2)))
    return (unit * (length // len(unit) + 1))[:length]


@st.composite
def haystack(draw) -> tuple[bytes, int]:
    count = draw(st.one_of(st.integers(1, 300), st.sampled_from((1, 2, 15, 16, 17, 31, 32, 33))))
    return b"".join(draw(st.lists(segment(count), max_size=12))), count


@settings(quick, max_examples=600)
@given(haystack(), st.sampled_from((64, 100, 257, 1000, 2**20)))
@example((b"A" * 3000, 256), 64)
@example((b"-" * 300 + b"A" * 300, 256), 64)
@example((b"", 1), 64)
def test_runs_are_those_of_the_reference(found, window):
    check(*found, window)


@pytest.mark.parametrize("count", (1, 2, 3, 15, 16, 17, 31, 32, 48, 64, 100, 255, 256, 300, 1024))
@pytest.mark.parametrize("window", (64, 257, 2**20))
def test_lengths_around_the_limit(count, window):
    parts = []
    for length in (count - 1, count, count + 1, 2 * count, 3 * count - 1):
        for mark in (b"", b"-", b"+", b"+-", b"-" * 3 + b"A" * count + b"/"):
            part = (b"A" * max(length - len(mark), 0) + mark)[:length] + mark
            parts += [part, part + b"=", part + b"==", part + b"==="]
    random.Random(count).shuffle(parts)
    for separator in (b" ", b"\0", b"'", b"="):
        check(separator.join(parts), count, window)


@pytest.mark.parametrize("window", (1000, 2**20))
def test_many_near_misses_and_then_runs(window):
    """Where many samples in a row are of the alphabet in vain; and what looks like tables."""
    miss = b"".join(b"a" * (255 - n % 3) + b" " for n in range(3000))
    tables = b"0,1," * 20_000 + b"\\u5b57" * 20_000
    check(miss + b"A" * 256 + b"-" + miss + b"B" * 1000 + tables + b"C" * 300, 256, window)


@pytest.mark.parametrize("size", (10_000, 400_000, 3 * MIB))
def test_a_large_url_safe_literal_is_one(size):
    """Though by chance it has standard runs in it, which the reference finds instead."""
    random.seed(size)
    data = base64.urlsafe_b64encode(random.randbytes(size)).rstrip(b"=")
    assert len(data) < 50_000 or len(reference(data, 256)) > 2
    runs = [(1, 1 + len(data)), (4 + len(data), 4 + len(data) + len(RUN))]
    with source_of(b'"' + data + b'","' + RUN.encode()) as source:
        assert list(find_runs(source, 256)) == runs
    mixed = data + b"+" + RUN.encode() + b"-" + RUN.encode()  # is no URL-safe run as a whole
    markup = bytes(random.choices(b"abcdefgh >", (4,) * 9 + (1,), k=100_000))
    text = base64.urlsafe_b64encode(markup).rstrip(b"=")  # few of - and _, but not none
    assert len(text) // 256 < text.count(b"-") < len(text) // 64 and len(reference(text, 256)) > 9
    with source_of(text) as source:
        assert list(find_runs(source, 256)) == [(0, len(text))]
    names = b"eyJ-" + b"abcd" * 2000 + b"_" + b"abcd" * 2000  # too few of - and _ for data
    for text in (mixed, names, b"-" * 70 + RUN.encode() * 9):
        check(text[-20_000:], 256, MIB)


@pytest.mark.parametrize("unit", (b"-" + b"abcdefg_" * 600, b"+" + b"ab_" * 1500))
def test_long_url_safe_runs_are_read_a_few_times_each(monkeypatch, unit):
    """Not a window for each of them."""
    data, pread, read = (unit + b'"') * 400, os.pread, []
    monkeypatch.setattr(os, "pread", lambda *args: read.append(pread(*args)) or read[-1])
    with source_of(data) as source:
        assert len(list(find_runs(source, 256))) == 400
    assert sum(map(len, read)) < 8 * len(data)


@pytest.mark.parametrize("letters", CLASSES)
def test_whole_files_of_one_class(letters):
    data = bytes(random.Random(1).choices(letters, k=70_000))
    for count in (1, 16, 256):
        check(data, count, 1000)


def test_runs_at_every_place_of_a_window():
    """A run over the border of two windows is one, wherever it begins."""
    for start in range(0, 300, 7):
        for length in (99, 100, 101, 500):
            check(b" " * start + b"Q" * length + b"= " + b"R" * 100, 100, 257)


def test_what_is_read_at_a_time_is_bounded():
    """However long a run must be, and however many of one alphabet are in one of either."""
    data = (b"A" * 300 + b"-") * 10_000 + b"A" * 1_000_000 + b" "
    read, sizes = Source.read, []

    def counted(source: Source, offset: int, size: int) -> bytes:
        sizes.append(size)
        return read(source, offset, size)

    with windows(1000), source_of(data) as source, patch.object(Source, "read", counted):
        assert next(find_runs(source, 300)) == (0, 300)
        assert len(sizes) < 8100  # two ends of runs, and not all that is within them
        assert list(find_runs(source, 900_000)) == [(3_010_000, 4_010_000)]
    assert max(sizes) == 1000


# ---------------------------------------------------------------- left out

LEFT_OUT = {
    "hexadecimal digits": ("0123456789abcdef" * 16, "0123456789ABCDEF" * 20),
    "letters of one case": ("abcdefghij" * 30, "SOME_CONSTANT_NAMES" * 20, "/" * 300),
    "length that base64 cannot have": (RUN + "A", RUN + "=", RUN + "AB="),
}


@pytest.mark.parametrize("reason", LEFT_OUT)
def test_what_is_no_data_is_left_out_and_counted(reason):
    texts = LEFT_OUT[reason]
    Path("a.js").write_text("\n".join(f'"{text}"' for text in texts))
    found = told("a.js")
    assert found["left_out"] == {reason: len(texts)}
    assert found["sources"][0]["literals"] == []
    assert f"{len(texts)}  {reason}" in call("a.js")[1]


def test_alphabets_are_left_out():
    text = ALPHABET.decode()
    Path("a.js").write_text(f'"{text}+/", "{text}-_", "{text}"')
    assert told("a.js", "--min-size", 62)["left_out"] == {"an alphabet": 3}
    base32 = text[:26] + "234567"
    Path("a.js").write_text(f'"{base32}", "{base32.lower()}"')
    assert told("a.js", "--min-size", 32)["left_out"] == {"an alphabet": 2}


@quick
@given(haystack())
def test_runs_found_are_reported_or_left_out(found):
    data, count = found
    Path("a.js").write_bytes(data)
    result = told("a.js", "--min-size", count)
    reported = len(result["sources"][0]["literals"])
    assert reported + sum(result["left_out"].values()) == len(reference(data, count))


def test_low_entropy_is_no_reason():
    """Tables of a font, a picture of one colour, silence: all of it real data."""
    for data in (b"\0\1\0\0" + b"\0\0\1\0\0\2" * 60, bytes(300), b"\x89PNG" + b"\7" * 400):
        text = base64.b64encode(data).decode()
        assert one(f'"{text}"')["decoded"] == len(data)


def test_the_beginning_tells_whether_it_is_data(monkeypatch):
    """Not a later piece of it, which may be a few digits."""
    monkeypatch.setattr(asar_investigate, "PIECE", len(RUN))
    assert one(f'"{RUN}beef"')["length"] == len(RUN) + 4


@quick
@given(st.binary(min_size=183, max_size=185), st.booleans(), st.booleans())
def test_content(data, url_safe, padded):
    """Offset, lengths and SHA-256, for both alphabets, with padding or without."""
    data = b"\xfb\xef\xbe\xff\xff\xffaZ~" + data  # ++++////YVp+
    run = base64.urlsafe_b64encode(data) if url_safe else base64.b64encode(data)
    run = run if padded else run.rstrip(b"=")
    text = b'x = "' + run + b'";'
    found = one(text)
    assert text[found["offset"] :][: found["length"]] == run
    assert found["decoded"] == len(data) and found["length"] == found["string_length"] == len(run)
    assert found["sha256"] == hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- kinds

NOISE = noise(300)
KINDS = [
    ("font/ttf", b"\0\1\0\0"), ("font/ttf", b"true\0"), ("font/ttc", b"ttcf"),
    ("font/otf", b"OTTO\0"), ("archive/xz", b"\xfd7zXZ\0"), ("archive/bzip2", b"BZh91AY&SY"),
    ("font/woff", b"wOFF"), ("font/woff2", b"wOF2"),
    ("font/eot", b"\x80\1" + bytes(6) + b"\1\0\2\0" + bytes(22) + b"LP"),
    ("image/png", b"\x89PNG\r\n\x1a\n"), ("image/jpeg", b"\xff\xd8\xff\xe0"),
    ("image/gif", b"GIF89a"), ("image/gif", b"GIF87a"), ("image/webp", b"RIFF\x24\1\0\0WEBPVP8 "),
    ("image/bmp", b"BM\x36\1\0\0\0\0\0\0\x36\0\0\0"), ("image/ico", b"\0\0\1\0\1\0"),
    ("image/avif", b"\0\0\0\x20ftypavif"), ("image/heic", b"\0\0\0\x20ftypheic"),
    ("video/mp4", b"\0\0\0\x20ftypisom"), ("audio/m4a", b"\0\0\0\x20ftypM4A "),
    ("image/svg", b"<svg xmlns='x'>"), ("xml", b"<?xml version='1.0'?><a>"),
    ("image/svg", b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg>"),
    ("audio/mp3", b"ID3\3"), ("audio/mp3", b"\xff\xfb\x90"), ("audio/mp3", b"\xff\xf3\x90"),
    ("audio/mp3", b"\xff\xf2\x90"), ("audio/mp3", b"\xff\xfa\x90"), ("audio/aac", b"\xff\xf1\x50"),
    ("audio/aac", b"\xff\xf9\x50"), ("audio/wav", b"RIFF\x24\1\0\0WAVEfmt "),
    ("audio/ogg", b"OggS"), ("audio/flac", b"fLaC"),
    ("audio/midi", b"MThd"), ("video/webm", b"\x1a\x45\xdf\xa3"), ("wasm", b"\0asm\1\0\0\0"),
    ("archive/zip", b"PK\3\4"), ("archive/gzip", b"\x1f\x8b\x08"),
    ("archive/zlib", b"\x78\x01"), ("archive/zlib", b"\x78\x9c"),
    ("archive/zlib", b"\x78\xda"), ("archive/zstd", b"\x28\xb5\x2f\xfd"),
    ("document/pdf", b"%PDF-1.7"), ("model/glb", b"glTF\2\0\0\0"), ("program/elf", b"\x7fELF\2\1"),
    ("database/sqlite", b"SQLite format 3\0"), ("unknown", b""), ("unknown", b"RIFF\x24\1\0\0XXXX"),
    ("image/tiff", b"II*\0"), ("image/tiff", b"MM\0*"),
]  # fmt: skip
WORDS = b"What is in it, and what it is? " * 10
TEXTS = [
    ("source map", b'{"version":3,"sources":["' + WORDS + b'"]}'),
    ("source map", b'{ "version" : 3, "file": "' + WORDS + b'"}'),
    ("json", b'{"name": "' + WORDS + b'"}'),
    ("json", b'[{"name": "' + WORDS + b'"}]'),
    ("json", b'{"version": 30, "name": "' + WORDS + b'"}'),
    ("html", b"<!DOCTYPE html><title>" + WORDS),
    ("html", b"<html><body>" + WORDS),
    ("image/svg", b"\xef\xbb\xbf<!-- made --><svg>" + WORDS),
    ("Intel HEX", b":020000040000FA\n" + b":10000000C0070000D1060000D1000000B1060000CA\n" * 8),
    ("Intel HEX", b":10000000C0070000D1060000D1000000B1060000CA\r\n" * 8),
    ("text", WORDS),
    ("text", "Größe, 文字, Ω\n".encode() * 20),
    ("text", b"x^2 + y^2 = z^2; " + WORDS),
    ("text", b"Sounds: WAVE and more. " + WORDS),
    ("text", b"Images: WEBP and more. " + WORDS),
    ("text", b"For those who look for it there is HELP, some of it. " + WORDS),
    ("text", b"true is what it is, " + WORDS),
    ("text", b"SQLite is a library. " + WORDS),
    ("text", b"ID3 is for music, OTTO for nothing. " + WORDS),
    ("text", b"\xef\xbb\xbf" + WORDS),
    ("json", b'\xef\xbb\xbf{"name": "' + WORDS + b'"}'),
    ("html", b"<!-- c --><html><body><svg></svg></body></html>" + WORDS),
    ("UTF-16 text", WORDS.decode().encode("utf-16")),
    ("unknown", b"a text, and then\0a zero. " + WORDS),
]


@pytest.mark.parametrize("kind, head", KINDS)
def test_kind_of_binary_data(kind, head):
    assert one(b'"%s"' % base64.b64encode(head + NOISE))["kind"] == kind


@pytest.mark.parametrize("kind, text", TEXTS)
def test_kind_of_texts(kind, text):
    assert one(b'"%s"' % base64.b64encode(text))["kind"] == kind


@quick
@given(st.binary(max_size=1100))
def test_every_content_has_a_kind(head):
    assert asar_investigate.kind_of(head)


def test_a_text_cut_within_a_character_is_a_text():
    for before in (b"", b"x", b"xx", b"xxx", codecs.BOM_UTF8, codecs.BOM_UTF8 + b"x"):
        text = before + "字".encode() * 900
        assert one(b'"%s"' % base64.b64encode(text))["kind"] == "text"


# ---------------------------------------------------------------- what stands around

SVG = "data:image/svg+xml;base64,"
WOFF = "data:font/woff2;base64,"
MORE = base64_of(256, 3).decode() + "AB"
# JavaScript that calls x with a string literal, and the lengths of the strings with base64 in them
STRINGS = {
    "single": (f"x('{RUN}')", [256]),
    "double": (f'x("{RUN}")', [256]),
    "backtick": (f"x(`{RUN}`)", [256]),
    "more of them": (f"x('a'); x(\"{RUN}\"); x('b')", [256]),
    "padding": (f'x("{OTHER[:-2]}==")', [300]),
    "behind a word": (f'x((() => {{return"{RUN}"}})())', [256]),
    "tagged": (f"x(String.raw`{RUN}`)", [256]),
    "data URI": (f'x("{SVG}{RUN}")', [256 + len(SVG)]),
    "space around": (f'x("  {RUN} - ")', [261]),
    "other quotes behind": (f"x(\"{RUN} 'a' `b`\")", [264]),
    "escapes": (rf'x("\x41\u0042\u{{1F600}}\n\t\0\101\q {RUN}\\")', [10 + 256 + 1]),
    "surrogates": (rf'x("\ud83d\ude00 {RUN}")', [259]),
    "astral": (f'x("😀字é {RUN}")', [5 + 256]),
    "escaped quote behind": (rf'x("{RUN} \" ")', [259]),
    "backslash before the quote": (rf'x("{RUN}\\")', [257]),
    "template of lines": (f"x(`\n{RUN}\n`)", [258]),
    "a line that goes on": (f'x("ab\\\n{RUN}\\\n")', [258]),
    "a line that goes on, CRLF": (f'x("ab\\\r\n{RUN}\\\r\n")', [258]),
    "template of lines, CRLF": (f"x(`\r\n{RUN}\r\n`)", [258]),
    "long escape": (rf'x("\u{{000000041}} {RUN}")', [258]),
    "in a substitution": (f"x(`a${{x('{RUN}')}}c`)", [256]),
    "strings of code's marks": (f"x('a;',x(\"{RUN}\"),'.b')", [256]),
    "strings of style": (f"x.c='color:red;',x(\"{RUN}\"),x.d='.foo'", [256]),
    "strings of quotes": (f'x("a =\'",x("{RUN}"),"\',")', [256]),
    "url": (f'x("a{{src:url({WOFF}{RUN})}}")', [12 + len(WOFF) + 256]),
    "url with quotes": (f"x(\"a{{src:url('{WOFF}{RUN}')}}\")", [14 + len(WOFF) + 256]),
    "url with escaped quotes": (rf'x("a{{src:url(\"{WOFF}{RUN}\")}}")', [14 + len(WOFF) + 256]),
    "two urls": (
        f"x(\"a{{b:url('{WOFF}{RUN}'),url('{SVG}{RUN}')}}\")",
        2 * [20 + len(WOFF) + len(SVG) + 512],
    ),
    "font-face": (
        f"x(\"@font-face{{font-family:'A';src:url({WOFF}{RUN})}}\")",
        [37 + len(WOFF) + 256],
    ),
    "two font-faces": (
        f"x(\"@font-face{{font-family:'A';src:url({WOFF}{RUN})}}"
        f"@font-face{{font-family:'B';src:url({WOFF}{RUN})}}\")",
        2 * [2 * (37 + len(WOFF) + 256)],
    ),
    "concatenation": (f"x('{RUN}' + '{OTHER}')", [256, 300]),
    "parted by an escape": (rf'x("{RUN}\x2b{RUN}")', 2 * [256 + 1 + 256]),
    "parted by a slash's escape": (rf'x("{RUN}\/{MORE}")', 2 * [256 + 1 + 258]),
    "eval": (rf'eval("x(\"{RUN}\")")', [256]),
    "eval, single": (rf"eval('x(\'{RUN}\')')", [256]),
    "eval, both": (f"eval(\"x('{RUN}')\")", [256]),
    "eval, both, an escape": (rf"""eval("x('\\n{RUN}')")""", [257]),
    "eval, template, an escape": (rf'eval("x(`a\\n{RUN}`)")', [258]),
    "eval, escapes": (rf'eval("x(\"a\\nb\\\\ {RUN}\")")', [5 + 256]),
    "eval, data URI": (rf'eval("x(\"{SVG}{RUN}\");\nx(\"a\")")', [256 + len(SVG)]),
    "eval twice": (r'eval("eval(\"x(\\\"' + RUN + r'\\\")\")")', [256]),
    "eval twice, escapes": (r'eval("eval(\"x(\\\"a\\\\n ' + RUN + r'\\\")\")")', [259]),
}


@pytest.mark.parametrize("name", STRINGS)
def test_string_length(name):
    code, lengths = STRINGS[name]
    found = literals(f"var a = 1;\n{code};\n")
    assert [literal["string_length"] for literal in found] == lengths


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_node_keeps_strings_of_these_lengths():
    """The expected lengths above are those that a JavaScript engine has."""
    codes = [code for code, _ in STRINGS.values()]
    script = (
        "const all = JSON.parse(require('fs').readFileSync(0)).map(code => {"
        " globalThis.found = [];"
        " globalThis.x = s => { if (s && s.length > 250) found.push(s.length); };"
        " (0, eval)(code.replace(' + ', '); x(')); return found; });"
        "console.log(JSON.stringify(all));"
    )
    result = subprocess.run(
        ["node", "-e", script], input=json.dumps(codes), capture_output=True, text=True, check=True
    )
    for name, lengths in zip(STRINGS, json.loads(result.stdout)):
        assert sorted(set(STRINGS[name][1])) == sorted(set(lengths)), name


@settings(quick, max_examples=100)
@given(
    st.text(st.characters(blacklist_characters="/", blacklist_categories=["Cs"]), max_size=40),
    st.text(st.characters(blacklist_characters="/", blacklist_categories=["Cs"]), max_size=40),
    st.booleans(),
)
def test_string_length_of_any_json_string(before, behind, ascii_only):
    """JSON's escapes are JavaScript's. Quotes of another kind before the run would mislead."""
    before = re.sub("['`\"]", "", before)
    text = f"{before} {RUN} {behind}"
    found = literals(json.dumps({"a": text}, ensure_ascii=ascii_only))
    assert found[0]["string_length"] == len(text.encode("utf-16-le")) // 2


ESCAPES = (r"\n", r"\t", r"\x00", r"\u002b", r"\b", r"\x2b", r"\u{2b}", r"\\\n", r"\'")


@pytest.mark.parametrize("escape", ESCAPES)
def test_an_escape_before_a_run_is_not_part_of_it(escape):
    found = one(f'x("{escape}{RUN}");')
    assert (found["offset"], found["length"]) == (3 + len(escape), 256)
    assert found["sha256"] == hashlib.sha256(base64.b64decode(RUN)).hexdigest()
    assert found["string_length"] == 256 + (2 if len(escape) == 4 and "n" in escape else 1)
    inner = escape.replace("\\", r"\\")
    found = one(f'eval("x(\\"{inner}{RUN}\\")")')
    assert found["length"] == 256, "the same in a string of code"


def test_what_looks_like_an_escape_and_is_none():
    tabs = r"\t" * 300  # the quote is out of sight
    codes = {rf'x("\\n{RUN[1:]}")': 5, rf'x("\/{RUN[1:]}")': 4, rf'x("{tabs}\\n{RUN[1:]}")': 605}
    for code, offset in codes.items():
        found = one(code)
        assert (found["offset"], found["length"]) == (offset, 256)
    assert told("a.js", "--min-size", 256)["left_out"] == {}
    Path("a.js").write_text(rf'x("\n{RUN[1:]}")')
    reason = "too short without the escape before it"
    assert told("a.js")["left_out"] == {reason: 1}


def test_escapes_that_are_decoded_are_linear(monkeypatch):
    """Each takes a microsecond, and a look far away may see 64,000 of them."""
    unescape, calls = asar_investigate.unescape, []
    monkeypatch.setattr(asar_investigate, "unescape", lambda it: calls.append(1) or unescape(it))
    many = "\\n" * 31_000
    found = literals(f'x("{many} {RUN} , {RUN} {many}");\n' * 24)
    assert found[0]["string_length"] == 2 * 31_000 + 2 * 256 + 5
    assert len(calls) < 24 * 31_000


UNKNOWN = {
    "HTML": f'<p>it\'s</p>\n<img src="{SVG}{RUN}" alt="">\n',
    "CSS": f'a {{ src: url("{WOFF}{RUN}") }}\n',
    "HTML in a template of many lines": f"x(`\n{'<p>it is a long one</p>' * 99}\n{'%' * 70_000}\n"
    f'<img src="{SVG}{RUN}" alt="">\n`)',
    "binary": f'\0x("{RUN}")',
    "not closed": f'x("{RUN}\n")',
    "regular expression": f"x = /{RUN}/;",
    "an apostrophe": f"<p>it's {RUN}', they say</p>",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_string_length_is_null_where_it_cannot_be_known(name):
    assert one(UNKNOWN[name])["string_length"] is None


@pytest.mark.parametrize("name", ("a.html", "B.HTM", "a.css", "a.svg", "a.xml"))
def test_strings_of_markup_are_not_javascript(name):
    for text in (f'<img\n src="{SVG}{RUN}"\n alt="">', f'a{{content:"{SVG}{RUN}";}}'):
        assert literals(text, name=name)[0]["string_length"] is None


WHOLE = {
    "HTML in a string": f'x(\'<img src="{SVG}{RUN}" alt="">\')',
    "HTML in a template": f'x(`\n<p>it is</p>\n<img src="{SVG}{RUN}" alt="">\n`)',
    "JSON in a string": f'x(\'{{"a":"{RUN}"}}\')',
    "JSON, escaped": f'x("{{\\"a\\":\\"{RUN}\\"}}")',
    "far from the line's start": f'{"x(1);" * 20_000}x("a", "{RUN}", "b")',
    "far, in CSS": f"{'x(1);' * 20_000}x(\"a{{b:url('{SVG}{RUN}')}}\")",
}


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
@pytest.mark.parametrize("name", WHOLE)
def test_string_length_is_that_of_the_whole_string(name):
    script = "globalThis.x = (...all) => all.forEach(s => s.length > 250 && console.log(s.length));"
    command = ["node", "-e", f"{script} (0, eval)(require('fs').readFileSync(0, 'utf8'))"]
    length = subprocess.run(command, input=WHOLE[name], capture_output=True, text=True, check=True)
    assert one(WHOLE[name])["string_length"] == int(length.stdout)


PIECES = ['\\"', "\\\\", "//", "/*", "*/", "url(", "eval(", "data:image/png;base64,", "\\u"]
PIECES += ["sourceMappingURL=", "${", *"\"'`\\(,=> \n字a{}"]


@st.composite
def surroundings(draw) -> str:
    """What may mislead: short pieces, each again and again."""
    parts = st.tuples(st.sampled_from(PIECES), st.sampled_from((1, 1, 1, 2, 7, 300, 5000)))
    return "".join(piece * times for piece, times in draw(st.lists(parts, max_size=12)))


class Counted:
    """A regular expression that counts the characters it has gone over."""

    total = 0

    def __init__(self, expression: re.Pattern) -> None:
        self.expression = expression

    def match(self, text: str, start: int = 0, *end: int) -> re.Match | None:
        found = self.expression.match(text, start, *end)
        Counted.total += (found.end() if found else len(text)) - start
        return found

    def search(self, text: str, start: int = 0, *end: int) -> re.Match | None:
        found = self.expression.search(text, start, *end)
        Counted.total += (found.end() if found else len(text)) - start
        return found


@pytest.fixture
def counted(monkeypatch):
    """All regular expressions of the look-around count."""
    expressions = {mark: Counted(one) for mark, one in asar_investigate.CLOSING_QUOTE_RE.items()}
    monkeypatch.setattr(asar_investigate, "CLOSING_QUOTE_RE", expressions)
    for name in ("NEWLINE_RE", "EVAL_RE", "CODE_BEFORE_RE", "CODE_AFTER_RE"):
        monkeypatch.setattr(asar_investigate, name, Counted(getattr(asar_investigate, name)))


@quick
@given(surroundings(), surroundings())
@example('"\\' * 30_000, "x" * 60_000)
@example("\"'`/*" * 10_000, "x" * 60_000)
@example("'" * 60_000, "'" * 60_000)
@example('eval("' * 9000, '")' * 9000)
def test_what_is_looked_at_is_linear(counted, before, behind):
    """Once for each kind of quote, before and behind, at each of five depths."""
    Counted.total = 0
    asar_investigate.string_around(before + RUN[:1], behind)
    assert Counted.total <= 40 * (len(before) + len(behind) + 100)


@quick
@given(st.lists(st.tuples(surroundings(), st.sampled_from((RUN, OTHER, RUN * 9))), max_size=9))
def test_what_is_read_around_runs_is_linear(parts):
    """Near each of them, and far only as often as the way between them pays for."""
    data = "".join(before + run for before, run in parts).encode()
    with source_of(data) as source:
        read, count = Source.read, [0]

        def counted(source: Source, offset: int, size: int) -> bytes:
            count[0] += min(size, source.size)
            return read(source, offset, size)

        with patch.object(Source, "read", counted):
            found = scanned(source, 256)
    near = (2 * asar_investigate.NEAR + 100) * (len(data) // 256 + 1)
    assert count[0] <= 9 * len(data) + near + 40 * asar_investigate.FAR + 9 * MIB
    assert len(found.packed) + sum(found.left_out.values()) == len(reference(data, 256))


def test_json_and_no_string_at_all():
    found = one(json.dumps({"a": [RUN]}))
    assert found["string_length"] == 256
    for text in (RUN, f"\\/{RUN[1:]}", f"// {RUN}\n", f'"{RUN}', f'{RUN}"', f'"a"\n{RUN}\n"b"'):
        assert one(text)["string_length"] is None, text


def test_a_string_of_many_kilobytes():
    for before, behind in ((3000, 10), (10, 3000), (60_000, 60_000)):
        text = "%" * before + RUN + "%" * behind
        assert one(f'"{text}"')["string_length"] == len(text)


@pytest.mark.parametrize("form", ("//# {}\n", "//@ {}", "/*# {} */", "/*# {}*/", "//#\t{}\r\n"))
def test_source_map_comments(form):
    value = "data:application/json;charset=utf-8;base64," + RUN
    found = one("x();\n" + form.format(f"sourceMappingURL={value}"))
    assert found["in_comment"] and found["string_length"] == len(value)
    assert found["mime"] == "application/json"


def test_source_map_comments_in_eval():
    content = base64.b64encode(b'{"version":3,"file":"' + WORDS + b'"}').decode()
    value = f"data:application/json;charset=utf-8;base64,{content}"
    for end in ("\\n//# sourceURL=webpack:///a.js\\n", "\\n", "", " "):
        code = f'eval("x(\\"a\\");\\n//# sourceMappingURL={value}{end}");'
        found = one(code)
        assert found["in_comment"] and found["string_length"] == len(value)
        assert found["kind"] == "source map"
    assert "1 source map in line, " in call("a.js")[1]


def test_a_quoted_map_is_in_no_comment():
    found = one(f'"data:application/json;base64,{RUN}"')
    assert not found["in_comment"] and "source map in line" not in call("a.js")[1]


@pytest.mark.parametrize(
    "prefix, mime",
    [
        ("data:image/png;base64,", "image/png"),
        ("data:image/svg+xml;charset=utf-8;base64,", "image/svg+xml"),
        ("data:application/x-font-ttf;charset=utf-8;name=a.b;base64,", "application/x-font-ttf"),
        ("data:application/vnd.ms-fontobject;base64,", "application/vnd.ms-fontobject"),
        ("data:Image/PNG;base64,", "image/png"),
        ("DATA:image/png;BASE64,", "image/png"),
        ("data:image/svg+xml;utf8;base64,", "image/svg+xml"),
        (r"data:image\/png;base64,", "image/png"),
        ("data:image/png; base64,", "image/png"),
        (r"data:text/css;charset=\"utf-8\";base64,", "text/css"),
        ("data:image/png;data:;base64,", "text/plain"),
        ("data:image/png,;base64,", None),
        ("data:;base64,", "text/plain"),
        ("data:;charset=utf-8;base64,", "text/plain"),
        ("data:image/png,", None),
        ("image/png;base64,", None),
        ("", None),
    ],
)
def test_declared_type(prefix, mime):
    for text in (f'"{prefix}{RUN}"', f"url({prefix}{RUN})", f"`{prefix}{RUN}`"):
        assert one(text)["mime"] == mime


def test_declared_type_is_looked_for_at_one_place(monkeypatch):
    """Not at each "data:" before the run."""
    counted = Counted(asar_investigate.DATA_URI_RE)
    monkeypatch.setattr(asar_investigate, "DATA_URI_RE", counted)
    monkeypatch.setattr(Counted, "total", 0)
    assert one("data:;a=" * 64 + RUN)["mime"] is None
    assert Counted.total < 20


def test_declared_type_is_shown_where_it_differs():
    png = base64.b64encode(b"\x89PNG" + NOISE).decode()
    Path("a.js").write_text(f'"data:image/png;base64,{png}"')
    assert "image/png (" not in call("a.js")[1]
    Path("a.js").write_text(f'"data:image/jpeg;base64,{png}"')
    assert "image/png (image/" in call("a.js")[1]


# ---------------------------------------------------------------- places

PLACES = st.lists(
    st.one_of(
        st.sampled_from(("\n", "\r\n", "é", "字", "😀", " ", "\ufeff", "x" * 300, "é字" * 200)),
        st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=9),
        st.sampled_from((RUN, OTHER, RUN + "=")).map(lambda run: f'"{run}"'),
    ),
    max_size=20,
).map(lambda parts: "".join(parts).encode())
ANYTHING = st.lists(
    st.one_of(
        PLACES,
        st.binary(max_size=6).map(lambda data: data.replace(b"\0", b"")),
        st.sampled_from(
            (b"\xff", b"\xe5\xad", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", RUN.encode())
        ),
    ),
    max_size=6,
).map(b"".join)


def decoded(data: bytes) -> str:
    """The text as V8 gets it."""
    text = data.decode("utf-8", "replace")
    return text[text.startswith("\ufeff") :]


def check_places(data: bytes) -> None:
    with source_of(data) as source:
        found = scanned(source, 200).literals()
    for literal in found:
        before = decoded(data[: literal.offset])
        assert literal.line == before.count("\n") + 1
        assert literal.column == len(before) - before.rfind("\n")


@quick
@given(PLACES)
def test_lines_and_columns(data):
    check_places(data)


@quick
@given(ANYTHING)
@example(b"\xc3" + RUN.encode())
def test_lines_and_columns_where_it_is_no_utf8(data):
    check_places(data)


@pytest.mark.parametrize("size", (2**15, 2**16, 2**20))
@pytest.mark.parametrize("character", ("é", "字", "😀"))
def test_characters_across_the_borders_of_pieces(size, character):
    for shift in range(-4, 3):
        check_places(f"{'x' * (size + shift)}{character}\n{character} {RUN}".encode())


def test_binary_files_have_offsets():
    data = b"\0\1\2\n\n" + RUN.encode() + b"\0"
    Path("a.bin").write_bytes(data)
    source = told("a.bin")["sources"][0]
    assert source["literals"][0]["line"] is None and source["literals"][0]["column"] is None
    assert source["literals"][0]["offset"] == 5
    assert source["characters"] is None and source["two_byte"] is None
    assert "a.bin at byte 5" in call("a.bin")[1]


# ---------------------------------------------------------------- as V8 keeps it


def check_script(data: bytes) -> None:
    text = decoded(data)
    units, beyond = len(text.encode("utf-16-le")) // 2, [c for c in text if c > "\xff"]
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    with source_of(data) as source:
        script = scanned(source, 256).script
    assert (script.characters, script.beyond_latin1) == (len(text), len(beyond))
    assert script.valid_utf8 == valid
    assert script.size == units * (2 if beyond else 1)
    assert script.escaped_size == units + 5 * sum(1 + (c > "\uffff") for c in beyond)


@quick
@given(PLACES)
@example("\ufeffé 字 😀".encode())
def test_characters_and_sizes(data):
    check_script(data)


@quick
@given(ANYTHING)
@example(b"abc\xc3")
@example("字".encode()[:2])
def test_characters_of_what_is_no_utf8(data):
    check_script(data)


def test_characters_across_the_borders_of_pieces_are_counted():
    for shift in range(-4, 3):
        check_script(("x" * (2**15 + shift) + "é字😀\n" + "é" * 40_000 + "字").encode())


def test_two_byte_is_reported():
    Path("a.js").write_text("var a = 'é';\nvar b = '字😀';\n")
    source = told("a.js")["sources"][0]
    assert source["two_byte"] is True and source["beyond_latin1"] == 2
    assert source["characters"] == 27
    text = call("a.js")[1]
    assert re.search(r" 27 +2 +56 B +43 B  a\.js\n", text)
    assert "two bytes a character: 1" in text
    Path("a.js").write_text("var a = 'é';\n")
    source = told("a.js")["sources"][0]
    assert source["two_byte"] is False and source["beyond_latin1"] == 0
    assert re.search(r" 13 +0 +13 B +-  a\.js\n", call("a.js")[1])
    Path("a.js").write_bytes(b"var a = '\xe9';\n")
    assert "invalid UTF-8" in call("a.js")[1]


# ---------------------------------------------------------------- inputs


def one_line(text: str, *parts: str) -> None:
    """stderr holds one line that names all of these, and no traceback."""
    assert text.count("\n") == 1 and text.startswith("asar_investigate.py: "), text
    for part in parts:
        assert part in text
    assert len(text) < 1000 and text.strip("\n").isprintable()


def test_several_inputs_and_both_ways_to_name_them():
    Path("a.js").write_text(f'"{RUN}"')
    Path("b.js").write_text(f'"{RUN}", "{OTHER}", "{RUN}"')
    ways = "a.js b.js", "--in a.js b.js", "a.js --in b.js", "--in a.js --in b.js"
    for args in map(str.split, ways):
        found = told(*args)
        assert [source["path"] for source in found["sources"]] == ["a.js", "b.js"]
        times = [one["occurrences"] for source in found["sources"] for one in source["literals"]]
        assert times == [3, 3, 1, 3]
        assert found["problems"] == [] and found["left_out"] == {}
    text = call("a.js", "b.js")[1]
    assert "1 content more than once; once each would save 512 characters" in text


def test_the_same_content_in_both_alphabets_is_one():
    data = b"\xfb\xff" + NOISE
    texts = [base64.b64encode(data), base64.urlsafe_b64encode(data).rstrip(b"=")]
    found = literals(b" ".join(texts))
    assert [literal["occurrences"] for literal in found] == [2, 2]


@pytest.mark.parametrize("option", ("--pid", "--core", "--heap"))
def test_options_that_are_given_twice(option):
    Path("a.js").write_text(f'"{RUN}"')
    status, _, err = call("a.js", option, "999999998", option, "999999999")
    assert status == 2 and re.findall(r"9{8}[89]", err) == ["999999998", "999999999"]


def test_folders():
    Path("d/b/c").mkdir(parents=True)
    Path("secret.js").write_text(f'"{RUN}"')
    for name in ("d/x.js", "d/b/c/y.js"):
        Path(name).write_text(f'"{RUN}"')
    Path("d/empty").write_bytes(b"")
    os.mkfifo("d/fifo")
    for name, target in {
        "out": "../secret.js", "up": "..", "loop": ".", "gone": "nowhere", "in": "x.js",
        "self": "self", "below": "x.js/y", "c.asar": "c.asar",
    }.items():  # fmt: skip
        Path("d", name).symlink_to(target)
    paths = [source["path"] for source in told("d")["sources"]]
    assert sorted(paths) == ["d/b/c/y.js", "d/empty", "d/x.js"]
    assert sorted(told("d/")["sources"][0]["path"]) == sorted("d/empty")
    text = call("d")[1]
    assert "3 files" in text and "The largest files, whatever they hold" in text
    assert len(told("d/in")["sources"]) == 1  # a link that was named is followed


@pytest.mark.parametrize("name", ("-", "fifo", "/dev/fd/0"))
def test_stdin_and_pipes(name):
    """Through a pipe, an archive too, and for --extract once more."""
    os.mkfifo("fifo")
    write_asar("app.asar", {"a.js": f'"{RUN}"'.encode(), "b.js": b" " * 3 * MIB + OTHER.encode()})
    output = "cat app.asar > fifo &" if name == "fifo" else "cat app.asar |"
    line = f'{output} "$0" "$1" {name} --json r.json --extract out'
    result = subprocess.run(["bash", "-c", line, *SCRIPT], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(Path("r.json").read_text())["sources"]
    shown = "stdin" if name == "-" else name
    assert [source["path"] for source in found] == [f"{shown}/a.js", f"{shown}/b.js"]
    assert Path("out/002-unknown.bin").read_bytes() == base64.b64decode(RUN)


def test_a_pipe_that_does_not_block():
    """As a program of libuv leaves it, that has it as its own stdin."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    writer = subprocess.Popen(["sh", "-c", f"sleep 0.5; echo {RUN}"], stdout=theirs)
    os.close(theirs)
    result = subprocess.run([*SCRIPT, "-"], stdin=ours, capture_output=True, text=True)
    os.close(ours)
    assert writer.wait() == 0 and (result.returncode, result.stderr) == (0, "")
    assert "1 base64 literal of" in result.stdout


def test_stdin_that_is_closed():
    result = subprocess.run(
        ["bash", "-c", '"$0" "$1" - <&-', *SCRIPT], capture_output=True, text=True
    )
    assert result.returncode == 2
    one_line(result.stderr, "-")


def zipped(data: bytes) -> bytes:
    with zipfile.ZipFile("made.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.js", data)
    return Path("made.zip").read_bytes()


NOT_SEARCHED = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zip": zipped,
    "zstd": lambda _: b"\x28\xb5\x2f\xfd" + NOISE,  # no package of every Python makes it
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "UTF-16 text": lambda data: codecs.BOM_UTF16_BE + data.decode().encode("utf-16-be"),
    "text": lambda data: data.decode().encode("utf-32"),
    "16 text": lambda data: f"a = {data.decode()};".encode("utf-16-le"),  # without a BOM
    "package": lambda _: b"!<arch>\ndebian-binary   " + NOISE,  # .deb
    "pack": lambda _: b"hsqs" + NOISE,  # squashfs: a snap
    "age": lambda _: b"\x7fELF\2\1\1\0AI\2" + NOISE,  # AppImage
    "packag": lambda _: b"\xed\xab\xee\xdb\3\0" + NOISE,  # .rpm
    "ackage": lambda _: b"Cr24\3\0\0\0" + NOISE,  # .crx
    "packa": lambda _: b"Rar!\x1a\7\1\0" + NOISE,
    "TF-16 text": lambda data: f"a = {data.decode()};".encode("utf-16-be"),
}


@pytest.mark.parametrize("kind", NOT_SEARCHED)
def test_what_is_compressed_is_said(kind):
    Path("a.bin").write_bytes(NOT_SEARCHED[kind](f'"{RUN}"'.encode()))
    status, out, err = call("a.bin")
    assert status == 2 and "0 base64 literals" in out
    one_line(err, "a.bin", kind, "not searched", "gunzip")


def test_many_inputs_are_summed():
    names = [f"{n}.js" for n in range(50)]
    for n, name in enumerate(names):
        Path(name).write_text(f'"{base64_of(256 + 4 * n, n).decode()}"')
    out = call(*names)[1]
    assert "50 inputs\n  50 files, " in out and "50 base64 literals" in out
    assert out.index("49.js:1:2") < 400 and out.count(".js") < 40


def test_what_cannot_be_read_is_said_and_the_rest_reported():
    Path("loop").symlink_to("loop")
    Path("empty").mkdir()
    Path("a.js").write_text(f'"{RUN}"')
    for bad, reason in {
        "gone": "No such file",
        "loop": "symbolic links",
        "a.js/b": "Not a directory",
        "x" * 300: "too long",
        "empty": "no file",
        "/dev/zero": "not a regular file",
        "/proc/self/environ": "not a regular file",  # its size is said to be 0
    }.items():
        status, out, err = call(bad, "a.js", "--json", "-")
        assert status == 2
        one_line(err, bad, reason)
        found = json.loads(out)
        assert found["sources"][-1]["literals"][0]["length"] == 256
        assert [problem["path"] for problem in found["problems"]] == [bad]


@pytest.fixture
def nobody():
    """Not root for a while: root may read everything."""
    os.chmod(".", 0o777)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    yield
    os.seteuid(was)


def test_unreadable_files_and_folders(nobody):
    Path("d/locked").mkdir(parents=True)
    Path("d/a.js").write_text(f'"{RUN}"')
    Path("d/b.js").write_text(f'"{OTHER}"')
    os.chmod("d/b.js", 0)
    os.chmod("d/locked", 0)
    try:
        status, out, err = call("d")
    finally:
        os.chmod("d/locked", 0o700)
    assert status == 2 and err.count("\n") == 2 and err.count("Permission denied") == 2
    assert "d/b.js" in err and "d/locked" in err and "1 base64 literal of" in out
    os.chmod("d/locked", 0)
    try:
        one_line(call("d/locked")[2], "d/locked", "Permission denied")  # not "no file" besides
    finally:
        os.chmod("d/locked", 0o700)


def test_empty_file():
    Path("a.js").write_bytes(b"")
    found = told("a.js")["sources"][0]
    assert found["size"] == found["characters"] == 0 and found["literals"] == []
    status, out, err = call("a.js")
    assert status == 0 and err == "" and "0 base64 literals" in out


def shrinking(monkeypatch, path: str, reads: int, size: int) -> None:
    """After so many reads the file has only this size."""
    pread, count = os.pread, [0]

    def read(fd, *args):
        count[0] += 1
        if count[0] == reads:
            os.truncate(path, size)
        return pread(fd, *args)

    monkeypatch.setattr(os, "pread", read)


@pytest.mark.parametrize("size", (0, 100, 3 * MIB))
@pytest.mark.parametrize("reads", (1, 2, 3, 4, 5, 7, 9, 12))
def test_a_file_that_shrinks(monkeypatch, size, reads):
    line = f'"{RUN}" "{OTHER}"\n'.encode() + b" " * 900_000
    Path("a.js").write_bytes(line * 5 + b"A" * 2 * MIB)
    Path("b.js").write_text(f'"{RUN}"')
    shrinking(monkeypatch, "a.js", reads, size)
    signal.alarm(3)
    status, out, err = call("a.js", "b.js", "--json", "-")
    assert json.loads(out)["sources"][-1]["path"] == "b.js"
    if status or err:
        assert status == 2
        one_line(err, "a.js")
    if reads < 5 and size < 3 * MIB:
        assert status == 2


def test_a_short_read_is_not_the_end(monkeypatch):
    """As FUSE gives them, and the kernel before a bad sector: then comes the error."""
    Path("a.bin").write_bytes(b"\0" * 3 * MIB + b'"' + RUN.encode() + b'"')
    pread, failing = os.pread, [sys.maxsize]

    def read(fd: int, size: int, offset: int) -> bytes:
        if offset >= failing[0]:
            raise OSError(errno.EIO, "Input/output error")
        return pread(fd, min(size, 100_001, failing[0] - offset), offset)

    monkeypatch.setattr(os, "pread", read)
    assert len(told("a.bin")["sources"][0]["literals"]) == 1
    failing[0] = 2 * MIB + 5
    status, _, err = call("a.bin")
    assert status == 2
    one_line(err, "a.bin", "Input/output error")


def test_a_file_cut_behind_its_last_run(monkeypatch):
    """The pass that counts its characters does not take what is left for all."""
    Path("a.js").write_bytes(b" " * 9000)
    runs = asar_investigate.find_runs

    def shrinking(*args: object):
        yield from runs(*args)
        os.truncate("a.js", 100)

    monkeypatch.setattr(asar_investigate, "find_runs", shrinking)
    status, _, err = call("a.js")
    assert status == 2
    one_line(err, "a.js", "shorter")


def test_a_file_cut_within_a_run(monkeypatch):
    """The part that is left is not passed off as the whole."""
    Path("a.js").write_bytes(b'"' + base64_of(4 * MIB) + b'"')
    shrinking(monkeypatch, "a.js", 9, 2 * MIB)
    status, _, err = call("a.js")
    assert status == 2
    one_line(err, "a.js")


def test_twenty_thousand_small_files():
    for folder in range(100):
        Path("d", str(folder)).mkdir(parents=True)
        for name in range(200):
            with open(f"d/{folder}/{name}.js", "w") as file:
                file.write(f"var a = {name};\n")
    Path("d/7/7.js").write_text(f'"{RUN}"')
    begin = time.monotonic()
    status, out, err = call("d")
    assert status == 0 and err == "" and "20000 files" in out and "1 base64 literal of" in out
    assert time.monotonic() - begin < 20


# ---------------------------------------------------------------- archives


def test_archive():
    files = {"a.js": f'"{RUN}"'.encode(), "d/e/b.js": f"é '{OTHER}'".encode(), "empty": b""}
    files["..\\up.js"] = MORE.encode()  # on Linux a backslash is a letter of a name
    files["algorithm"] = b"the key of an integrity, which is left out"
    unpacked = {"d/c.node": b"\x7fELF\0\0\0" + RUN.encode(), "d\\..\\..\\e.js": b"x"}
    links = {"link": "d/e/b.js", "dir": "d", "far": "dir/e/b.js", "deep/up": "a.js"}
    for name in ("app.asar", "core.bin"):
        write_asar(name, files, unpacked, links)
        found = told(name)
        assert found["problems"] == []
        shown = {source["path"]: source for source in found["sources"]}
        assert set(shown) == {f"{name}/{path}" for path in (*files, *unpacked)}
        assert shown[f"{name}/a.js"]["literals"][0]["offset"] == 1
        literal = shown[f"{name}/d/e/b.js"]["literals"][0]
        assert (literal["line"], literal["column"], literal["offset"]) == (1, 4, 4)
        assert shown[f"{name}/d/c.node"]["literals"][0]["occurrences"] == 2
        for path, content in (*files.items(), *unpacked.items()):
            assert shown[f"{name}/{path}"]["size"] == len(content)
        assert "The largest files" in call(name, "--extract", "out")[1]
        assert all(re.fullmatch(r"00\d-unknown\.bin", path) for path in os.listdir("out"))
        shutil.rmtree("out")


def test_archive_and_its_unpacked_files_are_read_once():
    Path("d").mkdir()
    write_asar("d/app.asar", {"a.js": RUN.encode()}, {"b/c.js": OTHER.encode()})
    Path("d/b.asar.unpacked").mkdir()
    Path("d/b.asar.unpacked/e.js").write_text("there is no b.asar")
    paths = [source["path"] for source in told("d")["sources"]]
    assert paths == ["d/app.asar/a.js", "d/app.asar/b/c.js", "d/b.asar.unpacked/e.js"]
    Path("d/app.asar.unpacked/b/named nowhere.js").write_text(RUN)
    paths.insert(2, "d/app.asar.unpacked/b/named nowhere.js")
    assert [source["path"] for source in told("d")["sources"]] == paths
    paths[:2] = ["d/app.asar", "d/app.asar.unpacked/b/c.js"]
    Path("d/app.asar").write_bytes(b"damaged")
    assert sorted(s["path"] for s in told("d", status=2)["sources"]) == sorted(paths)
    Path("app.asar").symlink_to(Path("d/app.asar").rename("elsewhere"))
    Path("app.asar").rename("d/app.asar")
    assert [source["path"] for source in told("d")["sources"]] == sorted(paths[1:])


def test_files_of_an_archive_at_one_offset():
    """As the newest asar packs files with the same content: that stands there once."""
    for number in (9, 3000):
        data = f'"{RUN}" '.encode() * 9
        names = {f"\\{n}.js": {"size": len(data), "offset": "0"} for n in range(number)}
        Path("app.asar").write_bytes(archive({"files": names}, data))
        status, out, err = call("app.asar")
        assert (status, err) == (0, "") and f"  {number} files, " in out
        assert "1 content more than once; once each would save 2048 characters" in out
        for source in told("app.asar")["sources"]:
            assert [one["occurrences"] for one in source["literals"]] == [9] * 9


def test_members_do_not_run_into_each_other():
    files = {"a.js": b"A" + RUN[1:].encode(), "b.js": OTHER.encode(), "c.js": b"x"}
    write_asar("app.asar", files)
    lengths = [[one["length"] for one in s["literals"]] for s in told("app.asar")["sources"]]
    assert lengths == [[256], [300], []]


def test_duplicate_keys_the_last_counts():
    entry = b'"a.js":{"size":%d,"offset":"0"}'
    text = b'{"files":{' + entry % 9 + b"," + entry % 256 + b"}}"
    Path("app.asar").write_bytes(archive(text, RUN.encode()))
    assert told("app.asar")["sources"][0]["literals"][0]["length"] == 256


GOOD = asar({"good.js": RUN.encode()})
BAD_HEADERS = {
    "empty": b"",
    "short": GOOD[:10],
    "sixteen": GOOD[:16],
    "no pickle": b"x" * 500,
    "header beyond the end": GOOD[:4] + b"\xff\xff\xff\0" + GOOD[8:],
    "header of 2 GiB": GOOD[:4] + b"\xff\xff\xff\xff\xfb\xff\xff\xff" + GOOD[12:],
    "JSON longer than the header": GOOD[:12] + b"\xff\0\0\0" + GOOD[16:],
    "no JSON": archive(b"{files}" * 9, RUN.encode()),
    "JSON cut short": archive(b'{"files":{"a.js":{"size":1', RUN.encode()),
    "JSON not UTF-8": archive(b'{"files":{"\xff":{"size":1}}}', RUN.encode()),
    "JSON with a huge number": archive(b'{"files":{"a":{"size":' + b"9" * 5000 + b"}}}"),
    "a list": archive([1]),
    "no files": archive({}),
    "files is a list": archive({"files": []}),
    "100,000 folders deep": archive(b'{"files":{"a":' * 100_000 + b"{}" + b"}}" * 100_000),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_archives_with_a_bad_header(name):
    Path("app.asar").write_bytes(BAD_HEADERS[name])
    Path("b.js").write_text(f'"{RUN}"')
    status, out, err = call("app.asar", "b.js", "--json", "-")
    assert status == 2
    one_line(err, "app.asar")
    assert json.loads(out)["sources"][-1]["literals"]
    huge = "huge" in name and "size" in err  # a number to Debian 11's Python
    if not huge and name not in ("a list", "no files", "files is a list"):
        assert re.search(r"byte \d+", err)


BAD_ENTRIES = {  # name in the header, entry
    "offset beyond the end": ("bad.js", {"size": 9, "offset": "99999"}),
    "offset beyond 64 bits": ("bad.js", {"size": 9, "offset": "9" * 30}),
    "size beyond the end": ("bad.js", {"size": 99999, "offset": "0"}),
    "size of 4,300 digits": ("bad.js", b'{"size":%s,"offset":"0"}' % (b"9" * 4300)),
    "negative size": ("bad.js", {"size": -1, "offset": "0"}),
    "negative offset": ("bad.js", {"size": 9, "offset": "-9"}),
    "absurd size": ("bad.js", {"size": 6.6e306, "offset": "0"}),
    "infinite size": ("bad.js", b'{"size":Infinity,"offset":"0"}'),
    "absurd offset": ("bad.js", {"size": 9, "offset": "6.6e306"}),
    "offset as a number": ("bad.js", {"size": 9, "offset": 0}),
    "offset null": ("bad.js", {"size": 9, "offset": None}),
    "no offset": ("bad.js", {"size": 9}),
    "size as a string": ("bad.js", {"size": "9", "offset": "0"}),
    "size as a truth": ("bad.js", {"size": True, "offset": "0"}),
    "no size": ("bad.js", {"offset": "0"}),
    "a list": ("bad.js", []),
    "null": ("bad.js", None),
    "files null": ("bad", {"files": None}),
    "name ..": ("..", {"size": 9, "offset": "0"}),
    "name .": (".", {"size": 9, "offset": "0"}),
    "no name": ("", {"size": 9, "offset": "0"}),
    "name ../x": ("../x", {"size": 9, "offset": "0"}),
    "name with a slash": ("a/b", {"size": 9, "offset": "0"}),
    "absolute name": ("/tmp/x", {"size": 9, "offset": "0"}),
    "name with a NUL": ("a\0b", {"size": 9, "offset": "0"}),
    "folder ..": ("..", {"files": {"x": {"size": 9, "offset": "0"}}}),
    "absent unpacked file": ("bad.js", {"size": 9, "unpacked": True}),
    "unpacked name of half a character": ("bad\ud800.js", {"size": 9, "unpacked": True}),
    "unpacked name too long": ("bad" + "x" * 400, {"size": 9, "unpacked": True}),
    "unpacked folder ..": ("..", {"size": 9, "unpacked": True}),
    "unpacked link out": ("out.js", {"size": 9, "unpacked": True}),
    "unpacked FIFO": ("fifo", {"size": 9, "unpacked": True}),
    "unpacked file cut short": ("short", {"size": 9, "unpacked": True}),
}


def with_entry(name: str, entry: object) -> bytes:
    """An archive of good.js, the bad entry and more.js."""
    header, data = asar_parts({"good.js": RUN.encode(), "more.js": OTHER.encode()})
    header["files"][name] = "HERE" if isinstance(entry, bytes) else entry
    if isinstance(entry, bytes):
        return archive(json.dumps(header).encode().replace(b'"HERE"', entry), data)
    return archive(header, data)


@pytest.mark.parametrize("what", BAD_ENTRIES)
def test_archives_with_a_bad_entry(what):
    name, entry = BAD_ENTRIES[what]
    Path("app.asar").write_bytes(with_entry(name, entry))
    Path("secret.js").write_text(f'"{base64_of(400, 7).decode()}"')
    Path("app.asar.unpacked").mkdir()
    Path("app.asar.unpacked/out.js").symlink_to("../secret.js")
    os.mkfifo("app.asar.unpacked/fifo")
    Path("app.asar.unpacked/short").write_bytes(b"x" * 8)
    status, out, err = call("app.asar", "--json", "-")
    assert status == 2
    one_line(err, "app.asar")
    found = json.loads(out)
    lengths = [one["length"] for source in found["sources"] for one in source["literals"]]
    assert lengths == [256, 300]
    assert len(found["problems"]) == 1 and found["problems"][0]["path"].startswith("app.asar/")


def test_links_are_passed_over():
    """What they lead to is read where it is; nothing follows them, a circle or a long one."""
    links = {"x": "y", "y": "x", "out": "../../etc/passwd", "gone": "nowhere", "long": "a/" * 9999}
    write_asar("app.asar", {"a.js": RUN.encode()}, links={**links, "number": 7})
    found = told("app.asar")
    assert [source["path"] for source in found["sources"]] == ["app.asar/a.js"]


def test_archive_of_many_folders_within_each_other():
    """As deep as JSON allows; none of it by recursion."""
    write_asar("app.asar", {"d/" * 300 + "a.js": RUN.encode()})
    assert told("app.asar")["sources"][0]["literals"][0]["length"] == 256


def high_water(*args: object, status: int = 0, unit: int = MIB) -> int:
    """The most memory that the script ever had, in MiB."""
    code = (
        "import re, sys; sys.path.insert(0, sys.argv[1]); import asar_investigate\n"
        "status = asar_investigate.main(sys.argv[2:])\n"
        "text = open('/proc/self/status').read()\n"
        "print('HWM', re.search(r'VmHWM:\\s*(\\d+) kB', text)[1], file=sys.stderr)\n"
        "sys.exit(status)"
    )
    command = [sys.executable, "-c", code, str(ROOT), *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert result.returncode == status, result.stderr[-2000:]
    return int(re.search(r"HWM (\d+)", result.stderr)[1]) * 1024 // unit


def test_long_names_in_an_archive_take_no_multiple_of_its_size():
    """A folder with a name of 50,000 characters, with 4,000 files: paths of 200 MB."""
    names = {f"{n}.js": {"size": 0, "offset": "0"} for n in range(4000)}
    Path("app.asar").write_bytes(archive({"files": {"x" * 50_000: {"files": names}}}))
    status = call("app.asar")[0]  # 0 or 2: both are fine
    assert high_water("app.asar", status=status) < 64


def test_an_archive_whose_members_overlap_takes_no_multiple_of_its_time():
    """4,000 names for the same 3 MB: 12 GB to read."""
    data = base64_of(3_000_000)
    names = {f"{n}.js": {"size": len(data), "offset": "0"} for n in range(4000)}
    Path("app.asar").write_bytes(archive({"files": names}, data))
    try:
        assert run("app.asar", timeout=10).returncode in (0, 2)
    except subprocess.TimeoutExpired:
        pytest.fail("not within 10 s")


def tree(folder: str = ".") -> dict[str, bytes | None]:
    """All below a folder."""
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in Path(folder).rglob("*")
    }


def fields(header: dict) -> list[tuple[dict, str]]:
    """Each place of a header that holds a value."""
    places, todo = [], [header]
    while todo:
        entry = todo.pop()
        for key, value in entry.items():
            places.append((entry, key))
            if isinstance(value, dict):
                todo.append(value)
    return places


VALUES = st.one_of(
    st.sampled_from((None, True, [], {}, "", "..", "/etc/passwd", "0", "-1", "9" * 25, "\ud800")),
    st.integers(), st.floats(), st.text(max_size=5), st.integers(0, 700).map(str),
    st.just({"files": {}}), st.just({"link": ".."}), st.just({"size": 3, "unpacked": True}),
)  # fmt: skip


@st.composite
def mutated(draw) -> bytes:
    """An archive, damaged."""
    header, data = asar_parts(
        {"a.js": f'"{RUN}"'.encode(), "d/e/b.js": OTHER.encode(), "d/empty": b""},
        {"d/c.node": b"x"},
        {"link": "d/e/b.js"},
    )
    for _ in range(draw(st.integers(0, 3))):
        entry, key = draw(st.sampled_from(fields(header)))
        if draw(st.booleans()):
            entry[key] = copy.deepcopy(draw(VALUES))
        else:
            names = st.sampled_from(("..", "../evil", "/tmp/evil", "a\x1b[31mb", "size", "files"))
            entry[draw(names)] = entry.pop(key)
        if not header:
            break
    whole = bytearray(archive(header, data))
    for _ in range(draw(st.integers(0, 4))):
        whole[draw(st.integers(0, len(whole) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del whole[draw(st.integers(0, len(whole))) :]
    return bytes(whole)


def files_in(data: bytes) -> int:
    """The number of files that an archive's header names, as Python's json reads it."""
    length = int.from_bytes(data[12:16], "little")
    todo, count = [json.loads(data[16 : 16 + length])], 0
    while todo:
        entry = todo.pop()
        todo += entry.get("files", {}).values()
        count += "files" not in entry and "link" not in entry
    return count


DAMAGED = int(os.environ.get("DAMAGED_ARCHIVES", "400"))


@settings(quick, max_examples=DAMAGED)
@given(mutated())
def test_damaged_archives(data):
    """No traceback, nothing written but below the folder and the report, in bounded time.

    Status 0 only where each file that the header names was read.
    """
    home = os.getcwd()
    with tempfile.TemporaryDirectory(dir=home) as folder:
        os.chdir(folder)
        try:
            Path("in").mkdir()
            Path("in/app.asar").write_bytes(data)
            before = tree(home)
            begin = time.monotonic()
            status, _, err = call("in/app.asar", "--extract", "in/out", "--json", "in/r.json")
            assert time.monotonic() - begin < 5
            assert status in (0, 2) and (status == 0) == (err == "")
            assert "Traceback" not in err and all(map(str.isprintable, err.split("\n")))
            sources = json.loads(Path("in/r.json").read_text())["sources"]
            assert status or len(sources) == files_in(data)
            new = {path for path in tree(home) if path not in before}
            name = re.compile(r".*/in/(?:r\.json|out(?:/\d{3}-[a-z0-9-]+\.[a-z0-9]+)?)")
            assert all(name.fullmatch(path) for path in new), new
            assert {path: tree(home)[path] for path in before} == before
        finally:
            os.chdir(home)


# ---------------------------------------------------------------- worst cases

FAR = b" x" * 600 + b" "  # farther than one looks first
WORST = {
    "lines of base64": lambda n: b"\n".join(base64_of(300, i) for i in range(n // 301)),
    "base64 and commas": lambda n: b",".join(base64_of(300, i) for i in range(n // 301)),
    "runs just too short": lambda n: (b"A" * 255 + b" ") * (n // 256),
    "backslashes": lambda n: (b"\\" * 30_000 + RUN.encode()) * (n // 30_256),
    "quotes": lambda n: (b"'\"`" * 10_000 + FAR + RUN.encode() + FAR) * (n // 33_000),
    "urls": lambda n: (b"url('" * 6000 + FAR + RUN.encode() + FAR + b"'" * 10) * (n // 33_000),
    "data URIs": lambda n: (b"data:a/b;c=d" * 2600 + RUN.encode()) * (n // 31_456),
    "comments": lambda n: (b"//# sourceMappingURL=" * 1500 + RUN.encode()) * (n // 31_756),
    "parted": lambda n: b"-".join([RUN.encode()] * (n // 257)),
    "one-byte lines": lambda n: b"\n" * n,
    "two-byte characters": lambda n: "é".encode() * (n // 2),
    "no UTF-8": lambda n: b"\xff" * n,
}


@pytest.mark.parametrize("name", WORST)
def test_worst_cases_take_bounded_time(name):
    """A megabyte, in a hundred times of what is usual."""
    Path("a.js").write_bytes(WORST[name](MIB))
    try:
        assert run("a.js", timeout=4).returncode == 0
    except subprocess.TimeoutExpired:
        pytest.fail("not within 4 s")


# ---------------------------------------------------------------- the report


@pytest.fixture
def app() -> str:
    """A folder with all that a report can tell of."""
    long = "d/" + "/".join(["some folder with a long name"] * 6)
    Path(long).mkdir(parents=True)
    ttf = base64.b64encode(b"\0\1\0\0" + noise(900)).decode()
    source_map = base64.b64encode(b'{"version":3,"file":"' + WORDS + b'"}').decode()
    mime = "application/" + "x" * 120
    Path(long, "a.js").write_text(f'"{ttf}"; "{RUN}"; "字"\n' + f"x = '{'ab' * 150}'\n")
    Path(long, "b.js").write_text(f'"{ttf}"; "data:{mime};base64,{OTHER}"')
    Path("d/c.js").write_text(f"//# sourceMappingURL=data:application/json;base64,{source_map}\n")
    Path("d/e\x1b[31m\n字").write_bytes(b"\0\1" + base64_of(1000, 5))
    write_asar("d/app.asar", {"x\x1b]0;y\x07": base64_of(2000, 6)}, {"absent": b"x"})
    shutil.rmtree("d/app.asar.unpacked")
    return "d"


def test_report_is_narrow_and_plain(app):
    status, out, err = call(app)
    assert status == 2 and "absent" in err
    for line in out.splitlines():
        assert len(line) < 100 and line.isprintable() and line == line.rstrip()
    for title in ("The largest", "By kind", "As V8 keeps it", "Left out", "The largest files"):
        assert any(line.startswith(title) for line in out.splitlines()), title
    assert r"\x1b" in out and r"\n" in out


def test_report_never_shows_the_content(app):
    _, out, err = call(app)
    shown = out + err
    for path in Path(app).rglob("*"):
        if path.is_file():
            for match in re.finditer(rb"[A-Za-z0-9+/]{40,}", path.read_bytes()):
                for at in range(0, len(match[0]) - 20, 20):
                    piece = match[0][at : at + 20].decode()
                    assert piece not in shown or set(piece) == {"x"}


def test_report_is_sorted_by_size_ties_by_place():
    runs = [base64_of(length, seed).decode() for seed, length in enumerate((300, 400, 300, 256))]
    Path("b.js").write_text("\n".join(f'"{run}"' for run in runs))
    Path("a.js").write_text(f'\n\n"{base64_of(300, 9).decode()}"')
    out = call("b.js", "a.js")[1]
    assert re.findall(r"[ab]\.js:\d+:\d+", out) == [
        "b.js:2:2", "a.js:3:2", "b.js:1:2", "b.js:3:2", "b.js:4:2"
    ]  # fmt: skip


def test_top():
    Path("a.js").write_text("\n".join(base64_of(256 + 4 * n, n).decode() for n in range(30)))
    for args, rows in ((), 20), (("--top", 3), 3), (("--top", 100), 30), (("--top", 0), 0):
        assert len(re.findall(r"a\.js:\d+:\d+", call("a.js", *args)[1])) == rows
    for bad in ("-1", "x", "", "1.5"):
        status, out, err = call("a.js", "--top", bad)
        assert status == 2 and out == "" and "--top" in err
    assert len(told("a.js", "--top", 1)["sources"][0]["literals"]) == 30


def test_min_size():
    Path("a.js").write_text(" ".join(base64_of(n, n).decode() for n in (128, 252, 256, 1020, 1024)))
    for size, lengths in {
        "1K": [1024], "1k": [1024], "1024": [1024], "1020": [1020, 1024], "257": [1020, 1024],
        "253": [256, 1020, 1024], "1M": [], "100": [128, 252, 256, 1020, 1024],
    }.items():  # fmt: skip
        found = told("a.js", "--min-size", size)["sources"][0]["literals"]
        assert [literal["length"] for literal in found] == lengths
    assert [one["length"] for one in told("a.js")["sources"][0]["literals"]] == [256, 1020, 1024]
    for bad in ("0", "-1", "x", "1.5", "", "1G", "K", "99999999999", "1 K", "0x100"):
        status, out, err = call("a.js", f"--min-size={bad}")
        assert status == 2 and out == "" and "--min-size" in err


def test_wrong_usage():
    status, out, err = call()
    assert status == 2 and out == ""
    one_line(err)
    Path("a.js").write_text(f'"{RUN}"')
    for option in ("--json", "--extract", "--out"):  # of a shell's variable that is not set
        status, out, err = call("a.js", option, "")
        assert status == 2 and out == "" and err
    before = Path("a.js").read_text()
    os.symlink("a.js", "link.svg")
    for args in (
        ["a.js", "--json", "a.js"],
        ["a.js", "--json", "./a.js"],
        ["b.js", "--core", "a.js", "--json", "a.js"],
        ["link.svg", "--json", "a.js"],
        ["a.js", "--out", "link.svg"],
    ):
        status, out, err = call(*args)
        one_line(err, "a.js: is an input")
        assert status == 2 and Path("a.js").read_text() == before
    for args in (["--in"], ["a.js", "--out"], ["--nothing"], ["a.js", "--min", "3"]):
        status, out, err = call(*args)
        assert status == 2 and out == "" and "Traceback" not in err
    assert call("--help")[0] == 0 and call("--version")[0] == 0


def test_an_input_that_is_named_twice_is_read_once():
    Path("a.js").write_text(f'"{RUN}"')
    found = told("a.js", "--in", "a.js")
    assert [source["path"] for source in found["sources"]] == ["a.js"]
    assert found["sources"][0]["literals"][0]["occurrences"] == 1


def test_a_lack_of_memory_is_one_line(monkeypatch):
    def exhausted(*_: object) -> None:
        raise MemoryError

    Path("a.js").write_text(f'"{RUN}"')
    monkeypatch.setattr(asar_investigate, "long_runs", exhausted)
    status, _, err = call("a.js")
    assert status == 2
    one_line(err, "a.js: out of memory")


def on_terminal(*args: object, **env: str) -> str:
    """What the script writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*SCRIPT, *map(str, args)], stdout=theirs, stderr=theirs, env={**os.environ, **env}
    )
    os.close(theirs)
    found = b""
    with contextlib.suppress(OSError):  # EIO: it has ended
        while True:
            piece = os.read(ours, 65536)
            if not piece:
                break
            found += piece
    os.close(ours)
    assert process.wait(LIMIT) == 0
    return found.decode()


def test_escape_codes_on_a_terminal_alone():
    Path("a.js").write_text(f'"{RUN}"')
    assert "\033[1m" in on_terminal("a.js")
    assert "\033" not in on_terminal("a.js", NO_COLOR="1")
    assert "\033" not in run("a.js").stdout


def test_progress_on_a_terminal(monkeypatch):
    """After a second, and each time when twice as much has passed; names are escaped."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    names = [f"{n}\x1b[31m.js" for n in range(3)]
    for name in names:
        Path(name).write_text(f'"{RUN}"')
    report = asar_investigate.Report(256)
    asar_investigate.read_input(report, names[0])
    assert sys.stderr.getvalue() == ""
    report.begin -= 10
    asar_investigate.read_input(report, names[1])
    asar_investigate.read_input(report, names[2])
    one_line(sys.stderr.getvalue(), "1 file searched", r"1\x1b[31m.js")


@pytest.mark.parametrize("reader", ("head -1", "true", "head -c 1"))
@pytest.mark.parametrize("options", ("--top 5000", "--json -"))
def test_broken_pipe(reader, options):
    Path("a.js").write_bytes(b"\n".join(b'"%s"' % base64_of(256, n) for n in range(3000)))
    line = f'"$0" "$1" a.js {options} | {reader} > /dev/null'
    result = subprocess.run(["bash", "-c", line, *SCRIPT], capture_output=True, timeout=LIMIT)
    assert result.stderr == b"" and result.returncode == 0


def test_closed_streams():
    Path("a.js").write_text(f'"{RUN}"')
    for line in ('"$0" "$1" a.js >&-', '"$0" "$1" a.js --json r.json >&-',
                 '"$0" "$1" a.js > /dev/full'):  # fmt: skip
        result = subprocess.run(["bash", "-c", line, *SCRIPT], capture_output=True, text=True)
        assert "Traceback" not in result.stderr and result.stderr.count("\n") <= 1, line
    assert Path("r.json").exists() and "/dev/full" in line
    assert result.returncode != 0, "what could not be written is a failure"
    line = '"$0" "$1" gone a.js --json - 2>&-'
    result = subprocess.run(["bash", "-c", line, *SCRIPT], capture_output=True, text=True)
    assert result.returncode == 2 and json.loads(result.stdout)["problems"]


def test_any_locale():
    Path("字\udcff.js").write_text(f'"{RUN}"')
    for env in ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C"}):
        result = run("字\udcff.js", env={**os.environ, **env}, text=False)
        assert result.returncode == 0 and result.stderr == b"" and b".js" in result.stdout


# ---------------------------------------------------------------- for programs


def test_json(app):
    found = told(app, "--min-size", "200", status=2)
    assert {"sources", "left_out", "problems", "heaps"} <= set(found)
    assert found["left_out"] == {"letters of one case": 1} or sum(found["left_out"].values()) == 1
    assert [set(problem) for problem in found["problems"]] == [{"path", "problem"}]
    assert len(found["sources"]) == 5
    for source in found["sources"]:
        assert set(source) >= KEYS["sources"]
        if "app.asar" in source["path"]:
            continue
        data = Path(source["path"]).read_bytes()
        assert source["size"] == len(data)
        for literal in source["literals"]:
            assert set(literal) >= KEYS["literals"]
            run = data[literal["offset"] :][: literal["length"]]
            content = base64.b64decode(run)
            assert len(content) == literal["decoded"]
            assert hashlib.sha256(content).hexdigest() == literal["sha256"]


def test_json_file_and_failures():
    Path("a.js").write_text(f'"{RUN}"')
    status, out, _ = call("a.js", "--json", "r.json")
    assert status == 0 and "By kind" in out
    assert json.loads(Path("r.json").read_text()) == told("a.js")
    for bad in ("gone/r.json", "."):
        status, out, err = call("a.js", "--json", bad)
        assert status == 2 and "By kind" in out
        one_line(err, bad)


# ---------------------------------------------------------------- --extract


def test_extract():
    contents = {
        "001-font-ttf.ttf": b"\0\1\0\0" + noise(2000),
        "002-image-jpeg.jpg": b"\xff\xd8\xff" + NOISE * 4,
        "003-archive-gzip.gz": b"\x1f\x8b\x08" + NOISE * 3,
        "004-unknown.bin": b"\xfb\xff" + NOISE * 2,
        "005-source-map.map": b'{"version":3,"a":"' + WORDS + b'"}',
        "006-text.txt": WORDS,
        "007-image-svg.svg": b"<svg>" + WORDS[:300],
        "008-intel-hex.hex": b":10" + b"0" * 290,
    }
    runs = [base64.b64encode(data).decode() for data in contents.values()]
    runs[3] = base64.urlsafe_b64encode(contents["004-unknown.bin"]).decode().rstrip("=")
    runs[5] = runs[5].rstrip("=")
    random.Random(1).shuffle(runs)
    Path("a.js").write_text("; ".join(f'"{run}"' for run in [*runs, runs[0]]))
    status, _, err = call("a.js", "--extract", "new/blobs")
    assert status == 0 and err == ""
    found = {path.name: path.read_bytes() for path in Path("new/blobs").iterdir()}
    assert found == contents


def test_extract_in_pieces():
    data = noise(5_000_000)
    Path("a.js").write_bytes(b'"' + base64.b64encode(data) + b'"')
    assert call("a.js", "--extract", "out")[0] == 0
    assert Path("out/001-unknown.bin").read_bytes() == data


def test_extract_from_archives():
    png = b"\x89PNG" + NOISE
    write_asar("app.asar", {"a.js": RUN.encode()}, {"b.js": base64.b64encode(png)})
    assert call("app.asar", "--extract", "out")[0] == 0
    assert Path("out/001-image-png.png").read_bytes() == png
    assert Path("out/002-unknown.bin").read_bytes() == base64.b64decode(RUN)


def test_extract_never_overwrites_and_follows_no_link():
    Path("a.js").write_text(f'"{OTHER}"; "{RUN}"; "{base64_of(256, 9).decode()}"')
    Path("out").mkdir()
    Path("out/001-unknown.bin").write_text("mine")
    Path("victim").write_text("mine")
    Path("out/002-unknown.bin").symlink_to("../victim")
    Path("out/003-unknown.bin").symlink_to("../new")
    status, out, err = call("a.js", "--extract", "out")
    assert status == 2 and err.count("\n") == 3 and "By kind" in out
    for number in "123":
        assert f"out/00{number}-unknown.bin" in err
    assert Path("out/001-unknown.bin").read_text() == Path("victim").read_text() == "mine"
    assert not Path("new").exists()


def test_extract_to_a_full_disk_says_so_once():
    Path("a.js").write_text("".join(f'"{n:04}{RUN}"' for n in range(200)))
    mount = 'mkdir disk && mount -t tmpfs -o size=64k none disk || exit 77; exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    words += [*SCRIPT, "a.js", "--extract", "disk/out"]
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode in (1, 77):
        pytest.skip(f"{FORBIDDEN}: a file system of one's own")
    assert result.returncode == 2
    one_line(result.stderr, "disk/out: No space left on device")


def test_extract_where_it_cannot(nobody):
    Path("a.js").write_text(f'"{RUN}"')
    Path("file").write_text("mine")
    Path("locked").mkdir()
    os.chmod("locked", 0o555)
    for bad in ("file", "file/below", "locked", "locked/below"):
        status, out, err = call("a.js", "--extract", bad)
        assert status == 2 and "By kind" in out
        one_line(err, bad)
    assert Path("file").read_text() == "mine"


def test_a_run_that_changes_while_it_is_read_is_left_out():
    """A running process's memory, a file that is being written: found as base64, none any more."""
    with source_of(RUN[:100].encode() + b"!!!" + RUN[103:].encode()) as source:
        reason = asar_investigate.content_of(source, 0, len(RUN))
    assert reason == "changed while it was read"


CHANGED = {
    "emptied": b"",
    "cut": b'"' + RUN[:99].encode(),
    "other bytes": b"\xff" * 258,
    "padding": b'"A' + b"=" * 300,
}


@pytest.mark.parametrize("what", CHANGED)
def test_extract_of_what_has_changed(monkeypatch, what):
    """Between the scan and the writing. What is written is what was reported, or it is said."""
    Path("a.js").write_text(f'"{RUN}"')
    extract = asar_investigate.extract

    def late(report, rows, folder):
        Path("a.js").write_bytes(CHANGED[what])
        extract(report, rows, folder)

    monkeypatch.setattr(asar_investigate, "extract", late)
    status, _, err = call("a.js", "--extract", "out")
    assert status == 2
    one_line(err, "out/001-unknown.bin")


# ---------------------------------------------------------------- --out


PICTURES = {"a.png": b"\x89PNG", "a.SVG": b"<?xml", "a.pdf": b"%PDF"}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(app, name):
    status, _, err = call(app, "--out", name)
    assert status == 2 and err.count("\n") == 1  # the absent file
    data = Path(name).read_bytes()
    assert data.startswith(PICTURES[name]) and len(data) > 5000


def test_picture_of_nothing_and_of_odd_names():
    Path("a.js").write_text("x")
    assert call("a.js", "--out", "a.png")[0] == 0
    Path("$x_{$\udcff.js").write_text(f'"{RUN}"')
    status, _, err = call("$x_{$\udcff.js", "--out", "b.png")
    assert (status, err) == (0, "") and Path("b.png").stat().st_size > 5000


def test_picture_that_cannot_be():
    Path("a.js").write_text(f'"{RUN}"')
    for bad in ("a.gif", "a", "png", ".png/", ""):
        status, out, err = call("a.js", "--out", bad)
        assert status == 2 and out == "" and ".png, .svg, .pdf" in err
    status, out, err = call("a.js", "--out", "gone/a.png")
    assert status == 2
    one_line(err, "gone/a.png", "No such file")


def test_without_matplotlib(monkeypatch):
    Path("a.js").write_text(f'"{RUN}"')
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = call("a.js", "--out", "a.png", "--json", "r.json")
    assert status == 2 and out == "" and not Path("r.json").exists(), "it is said before the work"
    assert "--out: needs matplotlib: apt install" in err and err.count("\n") == 2
    assert call("a.js")[0] == 0


def test_no_package_is_needed_for_the_rest():
    """-I -S: no site-packages at all."""
    Path("a.js").write_text(f'"{RUN}"')
    command = [sys.executable, "-I", "-S", SCRIPT[1], "a.js", "--extract", "out", "--json", "-"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert result.returncode == 0 and result.stderr == "" and json.loads(result.stdout)


# ---------------------------------------------------------------- memory


def write_large(path: str) -> None:
    """300 MB: one literal of 100 MB, and text with small ones."""
    lines = (b'a = "%s"; // \xe5\xad\x97\n' % base64_of(4000, n) for n in range(14))
    text = (b"x " * 2**15).join(lines)
    with open(path, "wb") as file:
        file.write(b'"')
        for _ in range(100):
            file.write(base64_of(10**6, 1))
        file.write(b'";\n')
        while file.tell() < 300_000_000:
            file.write(text)


def test_memory_stays_under_64_mib():
    write_large("a.js")
    assert high_water("a.js", "--json", "r.json", "--extract", "out") < 64
    found = json.loads(Path("r.json").read_text())["sources"][0]
    assert found["literals"][0]["length"] == found["literals"][0]["string_length"] == 100_000_000
    assert Path("out/001-unknown.bin").stat().st_size == 75_000_000


def test_memory_of_many_literals():
    """300 bytes each at most beyond the first thousand, with the JSON."""
    peaks = []
    for number in (1000, 101_000):
        with open("a.js", "wb") as file:
            for n in range(number):
                file.write(b'"%s%08d",\n' % (RUN.encode(), n))
        peaks.append(high_water("a.js", "--json", "r.json", unit=1))
    assert len(json.loads(Path("r.json").read_text())["sources"][0]["literals"]) == 101_000
    assert peaks[1] - peaks[0] < 300 * 100_000


def test_memory_of_an_archive_of_many_files():
    """A thousandth of 300 MiB each, with the hashes that electron/asar writes."""
    hashes = {"algorithm": "SHA256", "hash": "0" * 64, "blockSize": 4194304, "blocks": ["0" * 64]}
    names = {
        f"{n}.js": {"size": 0, "offset": "0", "integrity": {**hashes, "hash": f"{n:064}"}}
        for n in range(60_000)
    }
    Path("app.asar").write_bytes(archive({"files": names}))
    assert high_water("app.asar") < 20 + 60


def test_memory_of_a_sparse_file_and_of_lines_without_end():
    with open("sparse", "wb") as file:
        file.truncate(300_000_000)
    assert high_water("sparse") < 64
    with open("a.js", "wb") as file:
        for _ in range(30):
            file.write("é字".encode() * 2 * 10**6)
    assert high_water("a.js") < 64


def test_a_matplotlib_that_cannot_start():
    """As where a user has no home: the report is there all the same."""
    Path("matplotlib").mkdir()
    Path("matplotlib", "__init__.py").write_text("raise RuntimeError('no home directory')")
    Path("a.js").write_text(f'"{"Ab1+" * 200}"')
    result = run("a.js", "--out", "a.png", env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert result.returncode == 2 and "1 base64 literal" in result.stdout
    assert result.stderr == "asar_investigate.py: a.png: no home directory\n"
