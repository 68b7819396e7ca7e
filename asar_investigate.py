#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = ["psutil>=5.8.0", "matplotlib>=3.3.4"]
# ///
"""Which big base64 literals a bundle, a folder or an app.asar holds, and where they sit in memory.

    $ ./asar_investigate.py --top 3 --in $(tests/scratch3 --old --bundle)
    .../1.bundle.js
      18.5 MiB: 91 base64 literals of 256 characters or more, 3500516 characters, 18.1 %

    The largest of 91 contents
        characters    string   decoded times  kind                    place
      1     603480    603480    452608     1  font/ttf                .../1.bundle.js:189249:19
      2     296508    296508    222380     1  font/otf                .../1.bundle.js:189255:19
      3     278368    278368    208776     1  font/ttf                .../1.bundle.js:189273:19
    ...
    As V8 keeps it
      .../1.bundle.js
        18948992 characters, 292248 beyond Latin-1: two bytes each, 36.1 MiB in memory
        the first at line 28037, column 57; as \\u escapes: one byte each, 19.5 MiB, 16.7 MiB less

Data goes one way: path -> sources -> literals -> (their copies in processes, core files and heap
snapshots) -> report. Nothing of an input is executed, and no name from an archive is used as a path
to write to.
"""

from __future__ import annotations

import argparse
import bisect
import codecs
import contextlib
import errno
import functools
import os
import re
import stat
import struct
import sys
import time
from binascii import a2b_base64
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple, TextIO

VERSION = "1.0"
MIB = 2**20
WINDOW = 2**20  # bytes read at a time
FEW, MANY = 24, 64  # samples that a run has at least
NEAR, AROUND = 2**10, 2**16  # bytes looked at around a run for the string it stands in
HEAD = 1024  # decoded bytes that tell a kind
MAX_HEADER = 100 * MIB  # of an archive: some 300,000 files; json needs ten times as much
MAX_PATH = 4096  # characters of a member's path, as of a file's
COLOURS = {"inputs": "#0072B2", "heaps": "#E69F00", "RAM": "#009E73", "cores": "#CC79A7"}
FORMATS = (".png", ".svg", ".pdf")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096  # 16384 on a Pi 5
NEEDLE = 24  # characters that lead from a place in memory to a literal
PT_LOAD, PT_NOTE, NT_FILE = 1, 4, 0x46494C45  # elf(5)
MAX_NOTES = 16 * MIB  # of a core: some 100,000 file mappings
CUT = 1024  # characters of a string that V8 writes into a snapshot
EXTERNAL_STRING = 256  # bytes: more than the object in V8's heap has

# The reference: what the scan finds, byte for byte, for N characters and more.
STANDARD = r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{%d,}={0,2}"
URL_SAFE = r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{%d,}={0,2}"  # if it overlaps none of the first

LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
EITHER = bytes(int(byte in LETTERS + b"+/-_") for byte in range(256))  # for bytes.translate
URL_SAFE_ONLY, STANDARD_ONLY = (b"-", b"_"), (b"+", b"/")  # of the characters of either alphabet
BELOW_U0100 = bytes(range(0xC4))  # in UTF-8 all bytes but the first ones of U+0100 and beyond
ASTRAL = bytes(range(0xF0, 0x100))  # the first bytes of U+10000 and beyond: two UTF-16 units
ZEROS = bytes(int(not byte) for byte in range(256))
ZEROS_TO_255 = bytes(255 * (not byte) for byte in range(256))
PRESENT = bytes(  # of a pagemap entry's highest byte: anonymous, file or shared, swapped, none
    b".s"[flags >> 6 & 1] if not flags & 128 else b"af"[flags >> 5 & 1] for flags in range(256)
)
TO_STANDARD = bytes.maketrans(b"-_", b"+/")

DATA_URI_RE = re.compile(
    rb"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.-]+=[^;,\"'\\\s()]*)*);base64,$", re.I
)
SOURCE_MAP_RE = re.compile(rb"/[/*][#@][ \t]*sourceMappingURL=([^\s\"'\\]*)$")
VALUE_END_RE = re.compile(rb"[\s\"'\\*]")
CSS_URL_RE = re.compile(rb"url\([ \t]{0,4}\\*$", re.I)
BEYOND_RE = re.compile(r"[^\0-\xff]")
QUOTES = (b'"', b"'", b"`")
NEWLINE_RE = re.compile(rb"(?<!\\)\n")
TOKEN_RE = re.compile(  # JavaScript's comments and strings
    rb"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`", re.S
)
NEEDLE_RE = re.compile(rb"(?<!x)x(?=([A-Za-z0-9+/_-]{%d}))" % NEEDLE)
ASTRAL_RE = re.compile(r"[\U00010000-\U0010ffff]")
MARK = b"qZ7base64runZq7"  # stands for a run while its surroundings are looked at
ESCAPE_RE = re.compile(
    r"\\(?:u\{[0-9A-Fa-f]+\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|\r\n|[0-7]{1,3}|.)", re.S
)
HEX_RE = re.compile(rb"(?:[0-9a-f]+|[0-9A-F]+)")
TGID_RE = re.compile(r"^Tgid:\t(\d+)$", re.M)
ROLE_RE = re.compile(r"--type=([a-z-]{1,30})")  # of a Chromium process
ROLLUP_RE = re.compile(r"^(\w+): +(\d+) kB$", re.M)
PRESENT_RE = re.compile(rb"[af]+")
KEY_RE = re.compile(rb'[\s,]*"([\w ]{1,64})"\s*:\s*([\[{])')  # in a heap snapshot
BRACKET_RE = re.compile(rb"[\[\]]")
STRING_START_RE = re.compile(rb'(?:^|[\[,\s])"((?:data:[^"\\,]{0,200};base64,)?)$')
NUMBER_RE = re.compile(r"\d{1,19}")
SOURCE_MAP_JSON_RE = re.compile(rb'\{\s*"version"\s*:\s*3\b')
INTEL_HEX_RE = re.compile(rb":[0-9A-Fa-f]{10}")
JSON_RE = re.compile(rb'(?:\{\s*["}]|\[\s*["\[{\]\d-])')

MAGIC = (  # kind, offset, first bytes there
    ("font/ttf", 0, b"\0\1\0\0"),
    ("font/ttf", 0, b"true"),
    ("font/ttc", 0, b"ttcf"),
    ("font/otf", 0, b"OTTO"),
    ("font/woff2", 0, b"wOF2"),
    ("font/woff", 0, b"wOFF"),
    ("image/png", 0, b"\x89PNG"),
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/gif", 0, b"GIF8"),
    ("image/webp", 8, b"WEBP"),
    ("image/ico", 0, b"\0\0\1\0"),
    ("image/avif", 4, b"ftypavi"),
    ("image/heic", 4, b"ftyphe"),
    ("image/heic", 4, b"ftypmif1"),
    ("audio/m4a", 4, b"ftypM4A"),
    ("video/mp4", 4, b"ftyp"),
    ("audio/wav", 8, b"WAVE"),
    ("audio/mp3", 0, b"ID3"),
    ("audio/mp3", 0, b"\xff\xfb"),
    ("audio/mp3", 0, b"\xff\xf3"),
    ("audio/mp3", 0, b"\xff\xf2"),
    ("audio/mp3", 0, b"\xff\xfa"),
    ("audio/aac", 0, b"\xff\xf1"),
    ("audio/aac", 0, b"\xff\xf9"),
    ("audio/ogg", 0, b"OggS"),
    ("audio/flac", 0, b"fLaC"),
    ("audio/midi", 0, b"MThd"),
    ("video/webm", 0, b"\x1aE\xdf\xa3"),
    ("wasm", 0, b"\0asm"),
    ("archive/zip", 0, b"PK\3\4"),
    ("archive/gzip", 0, b"\x1f\x8b\x08"),
    ("archive/zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("document/pdf", 0, b"%PDF"),
    ("model/glb", 0, b"glTF"),
    ("database/sqlite", 0, b"SQLite"),
    ("program/elf", 0, b"\x7fELF"),
)
WEAK_MAGIC = (  # where it is no text
    ("image/bmp", 0, b"BM"),
    ("font/eot", 34, b"LP"),
    ("archive/zlib", 0, b"x\x01"),
    ("archive/zlib", 0, b"x\x5e"),
    ("archive/zlib", 0, b"x\x9c"),
    ("archive/zlib", 0, b"x\xda"),
)
STRING_TYPES = ("string", "concatenated string", "sliced string")  # DevTools: strings
RAM_PATHS = ("/memfd:", "/dev/zero", "/dev/shm/", "/SYSV", "/anon_hugepage")  # no files on disk
COREDUMP_FILTER = (  # core(5), bit by bit; two more are for DAX
    "private anonymous", "shared anonymous", "private file", "shared file", "ELF headers",
    "huge", "shared huge",
)  # fmt: skip
ENDINGS = {  # where the kind's second half is no file name's ending
    "image/jpeg": "jpg",
    "archive/gzip": "gz",
    "archive/zstd": "zst",
    "audio/midi": "mid",
    "source map": "map",
    "Intel HEX": "hex",
    "text": "txt",
    "unknown": "bin",
}


class Problem(Exception):
    """Something that could not be read, said in one line; the rest is still reported."""


class Source(NamedTuple):
    """A file, or a member of an archive: its name to show, and where its bytes are."""

    path: str
    file: str
    base: int
    size: int
    fd: int = -1
    width = 1  # bytes a character

    def read(self, offset: int, count: int) -> bytes:
        """Bytes from offset on (fewer at the end), by pread: nothing is mapped."""
        count = min(count, self.size - offset)
        return os.pread(self.fd, count, self.base + offset) if count > 0 else b""

    def opened(self, fd: int) -> Source:
        """The same with its file open."""
        return self._replace(fd=fd)

    def pieces(self, start: int, end: int, size: int = WINDOW) -> Iterator[tuple[int, bytes]]:
        """The bytes from start to end in pieces, each with its offset."""
        while start < end:
            piece = self.read(start, min(size, end - start))
            if not piece:
                return
            yield start, piece
            start += len(piece)


class Literal(NamedTuple):
    """One base64 run that holds data. Sizes as in the README's table of JSON keys."""

    offset: int
    line: int | None
    column: int | None
    length: int
    string_length: int | None
    decoded: int
    kind: str
    mime: str | None
    sha256: str
    in_comment: bool  # the value of a sourceMappingURL comment


class Script(NamedTuple):
    """A text as V8 keeps it: UTF-16 units, those beyond Latin-1, and the size in bytes."""

    characters: int
    beyond_latin1: int
    units: int
    units_beyond: int
    first: tuple[int, int] | None  # line and column of the first one beyond Latin-1
    valid: bool  # UTF-8

    @property
    def size(self) -> int:
        """Bytes in memory: two a unit if any is beyond Latin-1, else one."""
        return self.units * (2 if self.beyond_latin1 else 1)

    @property
    def escaped_size(self) -> int:
        """Bytes if each unit beyond Latin-1 were written as an escape of six characters."""
        return self.units + 5 * self.units_beyond


class Scanned(NamedTuple):
    """What one source holds."""

    source: Source
    literals: list[Literal]
    script: Script | None  # None: no text
    left_out: dict[str, int]  # why, and how many runs
    problems: list[str]


# ---------------------------------------------------------------- text


def size_text(size: int) -> str:
    """A size in bytes for people: 603480 -> '589.3 KiB'."""
    for unit, name in ((2**30, "GiB"), (MIB, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def printable(text: str) -> str:
    """Text with control, format and undecodable characters escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


# ---------------------------------------------------------------- the scan


@functools.lru_cache
def stride_for(count: int, samples: int = FEW) -> int:
    """How far apart samples may be so that a run of count has so many of them, or more.

    A prime: number tables (0,1,0,1) and escapes (\\u5b57) repeat every 2 or 6 bytes.
    """
    candidates = range(count // samples, 1, -1)
    primes = (n for n in candidates if all(n % d for d in range(2, int(n**0.5) + 1)))
    return next(primes, 1)


def long_runs(source: Source, count: int) -> Iterator[tuple[int, int]]:
    """Start and end of each longest run of count or more characters of either alphabet.

    In C as far as it goes: of every so many bytes one is looked at, and where enough in a row are
    in an alphabet, all of them. Windows overlap by count - 1, so that a run has its start in one.
    """
    position, size = 0, max(WINDOW, 2 * count)
    while position < source.size:
        window = source.read(position, size)
        short = len(window) < min(size, source.size - position)
        last = short or position + len(window) == source.size
        following = len(window) if last else len(window) - count + 1
        for start, end in window_runs(window, count):
            if end < len(window) or last:
                yield position + start, position + end
            else:
                end = run_end(source, position + end)
                yield position + start, end
                following = end - position
        if short:  # it has shrunk
            raise Problem(f"ends at byte {position + len(window)} instead of {source.size}")
        position += following


def window_runs(
    window: bytes, count: int, begin: int = 0, density: int = FEW
) -> Iterator[tuple[int, int]]:
    """The runs of count or more within one window.

    Where few samples are often in vain more are taken, then the regular expression takes over.
    """
    stride = stride_for(count, density)
    samples = window[begin::stride].translate(EITHER)
    wanted = b"\1" * (count // stride)
    found, vain = samples.find(wanted), 0
    while found >= 0:
        place = begin + found * stride
        behind = window[max(0, place - stride) : place].translate(EITHER)
        start = place - len(behind) + behind.rfind(b"\0") + 1
        end = end_in(window, place)
        if end - start >= count:
            yield start, end
        else:
            vain += 1
        if vain > 4 and density == FEW:
            yield from window_runs(window, count, end, MANY)
            return
        if vain > 1000:
            expression = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{%d,}" % count)
            yield from (m.span() for m in expression.finditer(window, end))
            return
        found = samples.find(wanted, max(found + 1, (end - begin) // stride))


def end_in(window: bytes, place: int) -> int:
    """Where a run ends that goes on at a place, in pieces, as most are short."""
    size = 256
    while place < len(window):
        piece = window[place : place + size]
        end = piece.translate(EITHER).find(b"\0")
        if end >= 0:
            return place + end
        place, size = place + len(piece), min(4 * size, 2**16)
    return place


def run_end(source: Source, offset: int) -> int:
    """Where a run that goes on beyond its window ends."""
    for start, piece in source.pieces(offset, source.size):
        end = end_in(piece, 0)
        if end < len(piece):
            return start + end
    return source.size


def split_run(
    source: Source, start: int, end: int, count: int, separators: tuple[bytes, bytes]
) -> Iterator[tuple[int, int]]:
    """The parts of count or more characters between separators."""
    expression = re.compile(b"[%s%s]+" % separators[::-1])
    for offset, piece in source.pieces(start, end):
        if not any(separator in piece for separator in separators):
            continue
        for match in expression.finditer(piece):
            if offset + match.start() - start >= count:
                yield start, offset + match.start()
            start = offset + match.end()
    if end - start >= count:
        yield start, end


def find_runs(source: Source, count: int) -> Iterator[tuple[int, int, bool]]:
    """Start, end without padding and alphabet (True: URL-safe) of each run of the reference."""
    for start, end in long_runs(source, count):
        yield from runs_by_alphabet(source, start, end, count)


def runs_by_alphabet(
    source: Source, start: int, end: int, count: int
) -> Iterator[tuple[int, int, bool]]:
    """The runs of one alphabet within a run of either."""
    standard = list(split_run(source, start, end, count, URL_SAFE_ONLY))
    found = [(*run, False) for run in standard]
    if standard != [(start, end)]:
        for run in split_run(source, start, end, count, STANDARD_ONLY):
            at = bisect.bisect(standard, run)
            neighbours = standard[max(0, at - 1) : at + 1]
            if all(run[1] <= other[0] or other[1] <= run[0] for other in neighbours):
                found.append((*run, True))
    yield from sorted(found)


# ---------------------------------------------------------------- around a run


def escape_level(backslashes: int) -> int:
    """How many strings deep a quote behind so many backslashes is: 0, 1 (\\"), 2 (\\\\\\"), ..."""
    level = 0
    while backslashes & 1:
        level, backslashes = level + 1, backslashes >> 1
    return level


def string_length(before: bytes, run: int, behind: bytes) -> int | None:
    """UTF-16 units of the quoted string that a run stands in, as V8 would keep it.

    Args: what stands before the run, the run's length, what stands behind it. Strings and comments
    are told apart from the start of the line on; where that is too far away or tells of no string,
    the nearest quotes count. None if there is no string.
    """
    if not any(quote in before for quote in QUOTES):
        return None
    begin = before.rfind(b"\n") + 1
    if begin:
        found = string_in(before[begin:] + MARK + behind, 0)
        if found is not None:
            return found - len(MARK) + run
    return length_by_nearest(before, run, behind)


def string_in(code: bytes, depth: int) -> int | None:
    """UTF-16 units of the innermost string of a piece of code that MARK stands in.

    A string that is code itself (eval) is looked into, its escapes undone; quotes in CSS's
    url("...") are none of JavaScript.
    """
    place = code.find(MARK)
    for match in TOKEN_RE.finditer(code):
        if match.start() > place:
            break
        if match.end() > place and not CSS_URL_RE.search(code, match.start() - 9, match.start()):
            if match[0][:1] == b"/":
                return None
            text = unescaped(match[0][1:-1].decode("utf-8", "replace"))
            inner = string_in(text.encode("utf-8", "replace"), depth + 1) if depth < 4 else None
            return units(text) if inner is None else inner
    return None


def length_by_nearest(before: bytes, run: int, behind: bytes) -> int | None:
    """The same by the nearest quote of which there is another one behind, CSS's left out."""
    inner, place = None, len(before)
    for _ in range(8):
        place = max(before.rfind(quote, 0, place) for quote in QUOTES)
        if place < 0:
            break
        quote, text = before[place : place + 1], before[place + 1 :]
        level = escape_level(place - len(before[:place].rstrip(b"\\")))
        if quote != b"`" and NEWLINE_RE.search(text):
            break
        end = closing_quote(behind, quote, level)
        if end is not None:
            length = unescaped_length(text, level) + run + unescaped_length(behind[:end], level)
            if not CSS_URL_RE.search(before, max(0, place - 9), place):
                return length
            inner = inner or length
    return inner


def closing_quote(behind: bytes, quote: bytes, level: int) -> int | None:
    """Where the inside of a string ends that such a quote of this escape level has begun."""
    newline = NEWLINE_RE.search(behind) if quote != b"`" else None
    end = newline.start() if newline else len(behind)
    place = behind.find(quote, 0, end)
    while place >= 0:
        backslashes = place - len(behind[:place].rstrip(b"\\"))
        if escape_level(backslashes) <= level:
            return place - ((1 << level) - 1)
        place = behind.find(quote, place + 1, end)
    return None


def unescaped_length(data: bytes, level: int) -> int:
    """UTF-16 units of the inside of a string, its escapes undone, those of eval's string first."""
    text = data.decode("utf-8", "replace")
    for _ in range(level + 1):
        text = unescaped(text)
    return units(text)


def unescaped(text: str) -> str:
    """The inside of a JavaScript string with its escapes undone."""
    return ESCAPE_RE.sub(unescape, text) if "\\" in text else text


def units(text: str) -> int:
    """The length of a text in UTF-16 units."""
    return len(text) + len(ASTRAL_RE.findall(text))


def unescape(match: re.Match) -> str:
    """One escape of a JavaScript string (ECMA-262, EscapeSequence)."""
    body = match[0][1:]
    if body[0] in "ux" and len(body) > 1:
        code = int(body[1:].strip("{}"), 16)
        return chr(code) if code <= sys.maxunicode else "?"
    if body in ("\n", "\r\n", "\u2028", "\u2029"):
        return ""  # a line that goes on
    if body[0] in "01234567":
        return chr(int(body, 8))
    return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}.get(body, body)


class Around(NamedTuple):
    """What stands around a run."""

    string_length: int | None
    mime: str | None
    in_comment: bool


def look_around(source: Source, start: int, end: int) -> Around:
    """The string or comment value around a run, and its data URI's type."""
    before = source.read(max(0, start - NEAR), min(NEAR, start))
    uri = DATA_URI_RE.search(before)
    mime = (uri[1] or b"text/plain").decode().lower() if uri else None
    comment = SOURCE_MAP_RE.search(before)
    if comment:
        behind = source.read(end, NEAR)
        rest = VALUE_END_RE.search(behind)
        more = rest.start() if rest else len(behind)
        return Around(len(comment[1]) + end - start + more, mime, True)
    inside = min(8, end - start)  # an escape may end in the run: \\x2bAAAA
    for around in (NEAR, AROUND):
        begin = max(0, start - around)
        before = b"\n" * (begin == 0) + source.read(begin, start + inside - begin)
        found = string_length(before, end - start - inside, source.read(end, around))
        if found is not None or (begin == 0 and end + around >= source.size):
            break
    return Around(found, mime, False)


# ---------------------------------------------------------------- what a run holds


def kind_of(head: bytes) -> str:
    """The kind of data that begins with these bytes (the table in MAGIC, then texts)."""
    for kind, offset, magic in MAGIC:
        if head.startswith(magic, offset) and (offset != 8 or head[:4] == b"RIFF"):
            return kind
    kind = text_kind(head)
    for weak, offset, magic in WEAK_MAGIC:
        if kind == "unknown" and head.startswith(magic, offset):
            return weak
    return kind


def text_kind(head: bytes) -> str:
    """The kind of a text that begins with these bytes; 'unknown' if it is none."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = text.lower()
    if lower.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in lower:
        return "image/svg"
    if lower.startswith(b"<?xml"):
        return "xml"
    if lower.startswith((b"<!doctype html", b"<html")):
        return "html"
    if SOURCE_MAP_JSON_RE.match(text):
        return "source map"
    if INTEL_HEX_RE.match(text):
        return "Intel HEX"
    try:
        decoded = text[:-3].decode() if len(head) >= HEAD else text.decode()
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < len(text) - 8:
            return "unknown"
        decoded = text[: error.start].decode()
    if not decoded or not all(c.isprintable() or c in "\n\r\t" for c in decoded):
        return "unknown"
    return "json" if JSON_RE.match(text) else "text"


def ending_of(kind: str) -> str:
    """The file name's ending for a kind."""
    return ENDINGS.get(kind, kind.rpartition("/")[2])


class Content(NamedTuple):
    """What a run's characters hold."""

    decoded: int
    sha256: str
    head: bytes


def content_of(
    source: Source, start: int, end: int, padding: int, url_safe: bool = False
) -> Content | str:
    """Decode a run piece by piece; or why it is left out (it is no data)."""
    length = end - start
    if length % 4 == 1 or (padding and (length + padding) % 4):
        return "length that base64 cannot have"
    only_hex, upper, lower, zeros = True, False, False, False
    digest, size, head = sha256(), 0, b""
    for _, piece in source.pieces(start, end, 3 * 2**18):
        only_hex = only_hex and bool(HEX_RE.fullmatch(piece)) and bool(piece.strip(b"A"))
        zeros = zeros or b"AAAA" in piece or b"+" in piece
        upper = upper or piece[:4096] != piece[:4096].lower() or piece != piece.lower()
        lower = lower or piece[:4096] != piece[:4096].upper() or piece != piece.upper()
        standard = piece.translate(TO_STANDARD) if url_safe else piece
        data = a2b_base64(standard + b"=" * (-len(piece) % 4))
        digest.update(data)
        size += len(data)
        head = head or data[:HEAD]
    if only_hex:
        return "hexadecimal digits"
    if not ((upper and lower) or zeros):  # three zeros are AAAA; no word has a + in it
        return "letters of one case"
    if length < 256 and (LETTERS[:26] in piece or LETTERS[26:52] in piece):
        return "an alphabet"
    return Content(size, digest.hexdigest(), head)


# ---------------------------------------------------------------- one source


class Text:
    """Reads a source once from start to end: lines, columns, and how V8 keeps its characters."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.offset = 0
        self.line = self.column = 1
        self.characters = self.beyond = self.astral = 0
        self.first: tuple[int, int] | None = None
        self.binary = b"\0" in source.read(0, 8192)
        self.valid = True
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def go_to(self, offset: int) -> tuple[int, int]:
        """Line and column (in characters, from 1) of an offset that is not before the last."""
        for start, piece in self.source.pieces(self.offset, offset, 2**15):
            ascii_ = piece.isascii() and not self.decoder.getstate()[0]
            self.take(piece if ascii_ else self.decode(piece, start == 0))
        if self.decoder.getstate()[0]:  # what follows is ASCII or nothing
            self.take(self.decode(b"", False, True))
        self.offset = max(offset, self.offset)
        return self.line, self.column

    def decode(self, piece: bytes, begin: bool, final: bool = False) -> str:
        """A piece as text, counted. V8 gets what is no UTF-8 as U+FFFD, and no byte order mark."""
        try:
            text = self.decoder.decode(piece, final)
        except UnicodeDecodeError:
            self.valid = False
            pending = self.decoder.getstate()[0]
            self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
            text = self.decoder.decode(pending + piece, final)
        if begin:
            text = text[text.startswith("\ufeff") :]
        first_bytes = text.encode().translate(None, BELOW_U0100)
        if first_bytes:
            self.beyond += len(first_bytes)
            self.astral += len(first_bytes) - len(first_bytes.translate(None, ASTRAL))
            if not self.first:
                before = text[: BEYOND_RE.search(text).start()]
                at = before.rfind("\n")
                column = len(before) - at if at >= 0 else self.column + len(before)
                self.first = (self.line + before.count("\n"), column)
        return text

    def take(self, text: bytes | str) -> None:
        """Count characters and lines."""
        newline = "\n" if isinstance(text, str) else b"\n"
        lines = text.count(newline)
        self.characters += len(text)
        self.line += lines
        self.column = len(text) - text.rfind(newline) if lines else self.column + len(text)

    def script(self) -> Script | None:
        """How V8 keeps it; None where it is no text. Reads to the end."""
        if self.binary:
            return None
        self.go_to(self.source.size)
        return Script(
            characters=self.characters,
            beyond_latin1=self.beyond,
            units=self.characters + self.astral,
            units_beyond=self.beyond + self.astral,
            first=self.first,
            valid=self.valid,
        )


def scan(source: Source, count: int) -> Scanned:
    """All that one source holds. What it has found before a Problem goes with that."""
    result = Scanned(source, [], None, {}, [])
    text = Text(source)
    try:
        for start, end, url_safe in find_runs(source, count):
            padding = len(source.read(end, 2)) - len(source.read(end, 2).lstrip(b"="))
            content = content_of(source, start, end, padding, url_safe)
            if isinstance(content, str):
                result.left_out[content] = result.left_out.get(content, 0) + 1
                continue
            around = look_around(source, start, end + padding)
            kind = kind_of(content.head)
            if around.in_comment and kind == "json":
                kind = "source map"  # with its keys in another order
            line, column = (None, None) if text.binary else text.go_to(start)
            literal = Literal(
                start, line, column, end + padding - start, around.string_length, content.decoded,
                kind, around.mime, content.sha256, around.in_comment,
            )  # fmt: skip
            result.literals.append(literal)
    except Problem as problem:
        result.problems.append(str(problem))
    return result._replace(script=text.script())


# ---------------------------------------------------------------- inputs


class Archive(NamedTuple):
    """An ASAR archive: its file, its size, the JSON of its header and where its data begins."""

    path: str
    size: int
    header: dict
    data: int


def archive_header(path: str, fd: int, size: int) -> Archive | None:
    """The header of an ASAR archive, None where a file is none. Raises Problem where it is broken.

    Little-endian, as electron/asar writes it with Chromium's Pickle: u32 4, u32 H (bytes of the
    header), u32 H - 4, u32 J (bytes of JSON), the JSON. The data begins at 8 + H.
    """
    start = os.pread(fd, 17, 0)
    named = path.lower().endswith(".asar")
    four, length, pickled, json_length = (
        int.from_bytes(start[n : n + 4], "little") for n in (0, 4, 8, 12)
    )
    consistent = len(start) > 16 and four == 4 and pickled == length - 4 and start[16:] == b"{"
    if not (consistent or named):
        return None
    if not consistent or not 8 <= length <= size - 8 or json_length > length - 8:
        raise Problem("byte 0: no header of an ASAR archive; searched as a plain file")
    if json_length > MAX_HEADER:
        raise Problem(f"byte 12: a header of {size_text(json_length)}; searched as a plain file")
    import json

    try:
        header = json.loads(os.pread(fd, json_length, 16))
    except RecursionError:
        raise Problem("byte 16: folders too deep in the header; searched as a plain file") from None
    except ValueError as error:
        raise Problem(
            f"byte 16: the header is no JSON ({error}); searched as a plain file"
        ) from None
    return Archive(path, size, header, 8 + length)


def archive_members(archive: Archive) -> Iterator[tuple[str, Source | str]]:
    """Each file of an archive, or what is wrong with an entry. No recursion."""
    targets: dict[str, object] = {}  # of links
    paths: set[str] = set()
    todo: list[tuple[str, object]] = [("", archive.header)]
    total = 0
    while todo:
        path, entry = todo.pop()
        shown = f"{archive.path}/{path}" if path else archive.path
        paths.add(path)
        if not isinstance(entry, dict):
            yield shown, "the entry is no object"
        elif "files" in entry:
            yield from ((f"{shown}/{name:.40}", why) for name, why in below(path, entry, todo))
        elif "link" in entry:
            targets[path] = entry["link"]
        else:
            found = member(archive, path, shown, entry)
            total += found.size if isinstance(found, Source) and found.file == archive.path else 0
            if total > 4 * archive.size:
                yield shown, "the files before it lie in the same bytes; not read, nor the rest"
                return
            yield shown, found
    for path, target in targets.items():
        if not link_ends(target, targets, paths):
            yield f"{archive.path}/{path}", "a link to what is not in the archive"


def below(path: str, entry: dict, todo: list[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    """Put a folder's entries on the list of what to do; yield the names that cannot be."""
    if not isinstance(entry["files"], dict):
        yield "", '"files" is no object'
        return
    for name, inside in sorted(entry["files"].items(), reverse=True):
        if name in ("", ".", "..") or re.search(r"[/\\\0]", name):
            yield name, "the name is none of a file; not read"
        elif len(path) + len(name) >= MAX_PATH:
            yield name, "a path of more than 4096 characters; not read"
        else:
            todo.append((f"{path}/{name}" if path else name, inside))


def link_ends(path: object, targets: dict[str, object], paths: set[str]) -> bool:
    """Whether a path from the archive's root leads to something, by other links too."""
    for _ in range(40):
        if not isinstance(path, str) or len(path) > MAX_PATH:
            return False
        path = os.path.normpath(path)
        parts = path.split("/")
        heads = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
        head = next((head for head in heads if head in targets), None)
        if head is None:
            return path in paths
        if not isinstance(targets[head], str):
            return False
        path = targets[head] + path[len(head) :]
    return False


def member(archive: Archive, path: str, shown: str, entry: dict) -> Source | str:
    """One file of an archive, checked against the archive's size; or what is wrong with it."""
    size, offset = entry.get("size"), entry.get("offset")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        return '"size" is no number of bytes'
    if entry.get("unpacked") is True:
        return unpacked_member(archive, path, shown)
    if not isinstance(offset, str) or not NUMBER_RE.fullmatch(offset):
        return '"offset" is no number in a string'
    start = archive.data + int(offset)
    if start + size > archive.size:
        return f"bytes {start} to {start + size} are beyond the archive's end at {archive.size}"
    return Source(shown, archive.path, start, size)


def unpacked_member(archive: Archive, path: str, shown: str) -> Source | str:
    """A file that lies beside the archive."""
    folder = f"{archive.path}.unpacked"
    file = os.path.join(folder, *path.split("/"))
    try:
        file.encode(sys.getfilesystemencoding(), "surrogateescape")
    except UnicodeEncodeError:
        return "a name that no file can have"
    if os.path.commonpath([os.path.realpath(folder), os.path.realpath(file)]) != os.path.realpath(
        folder
    ):
        return "an unpacked file outside of the archive's folder; not read"
    try:
        found = os.stat(file)
    except OSError as error:
        return f"{file}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{file}: not a regular file"
    return Source(shown, file, 0, found.st_size)


class Report:
    """All that has been read: the inputs one by one, what they hold, what went wrong."""

    def __init__(self, min_size: int) -> None:
        self.min_size = min_size
        self.scanned: list[Scanned] = []
        self.inputs: list[tuple[str, int, int]] = []  # path, and its part of scanned
        self.problems: list[tuple[str, str]] = []
        self.unpacked: set[tuple[int, int]] = set()  # devices and inodes, read already
        self.begin = time.monotonic()
        self.read = self.shown = 0

    def problem(self, path: str, text: str) -> None:
        """Say at once what could not be read, and go on."""
        self.clear()
        self.problems.append((path, text))
        say(f"{path}: {text}")

    def add(self, path: str) -> None:
        """Scan one input: a file, a folder, an archive."""
        before = len(self.scanned)
        try:
            folder = stat.S_ISDIR(os.stat(path).st_mode)
        except (OSError, ValueError) as error:
            self.problem(path, getattr(error, "strerror", None) or str(error))
            return
        files = 0
        for file in self.walk(path) if folder else [path]:
            self.add_file(file, inside=folder)
            files += 1
        self.inputs.append((path, before, len(self.scanned)))
        if not files:
            self.problem(path, "there is no file in this folder")

    def walk(self, folder: str) -> Iterator[str]:
        """The regular files below a folder, by name. Symbolic links are not followed."""
        todo = [folder]
        while todo:
            path = todo.pop()
            try:
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            except OSError as error:
                self.problem(path, error.strerror)
                continue
            yield from (e.path for e in entries if e.is_file(follow_symlinks=False))
            todo += [e.path for e in reversed(entries) if e.is_dir(follow_symlinks=False)]

    def add_file(self, path: str, inside: bool) -> None:
        """Scan one file, or each member if it is an archive."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if inside else 0)
        try:
            fd = os.open(path, flags)
        except OSError as error:
            self.problem(path, error.strerror)
            return
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                self.problem(path, "not a regular file")
            elif (found.st_dev, found.st_ino) not in self.unpacked:
                self.add_open(path, fd, found.st_size)
        except OSError as error:
            self.problem(path, error.strerror)
        finally:
            os.close(fd)

    def add_open(self, path: str, fd: int, size: int) -> None:
        """The same for a file that is open."""
        try:
            archive = archive_header(path, fd, size)
        except Problem as problem:
            self.problem(path, str(problem))
            archive = None
        if not archive:
            self.scan(Source(path, path, 0, size, fd))
            return
        for shown, member in archive_members(archive):
            if isinstance(member, str):
                self.problem(shown, member)
            elif member.file == archive.path:
                self.scan(member._replace(fd=fd))
            else:
                self.add_unpacked(member)

    def add_unpacked(self, member: Source) -> None:
        """Scan a member that lies beside its archive."""
        try:
            fd = os.open(member.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            self.problem(member.path, error.strerror)
            return
        try:
            found = os.fstat(fd)
            self.unpacked.add((found.st_dev, found.st_ino))
            self.scan(member._replace(size=found.st_size, fd=fd))
        finally:
            os.close(fd)

    def scan(self, source: Source) -> None:
        """Scan one source and keep what it holds."""
        result = scan(source, self.min_size)
        for problem in result.problems:
            self.problem(source.path, problem)
        self.scanned.append(result._replace(source=source._replace(fd=-1)))
        self.read += source.size
        self.progress(source.path)

    def progress(self, path: str) -> None:
        """On a terminal, after a second: how far it is."""
        now = time.monotonic()
        if (
            now - self.begin < 1
            or now - self.shown < 0.2
            or not (sys.stderr and sys.stderr.isatty())
        ):
            return
        self.shown = now
        line = f"\r\033[K{len(self.scanned)} files, {size_text(self.read)}, {printable(path)}"
        print(line[:79], end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the progress away."""
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self.shown = 0


def say(message: str) -> None:
    """One line on stderr."""
    tell(f"asar_investigate.py: {printable(message)}", sys.stderr)


# ---------------------------------------------------------------- where the literals sit


class Memory(Source):
    """Memory of a process (/proc/PID/mem, an offset is an address) or of a core file.

    A page that cannot be read any more is zeros.
    """

    width = 1

    def at(self, place: int, count: int) -> bytes:
        """So many bytes from a place in the file on."""
        parts = []
        while count > 0:
            try:
                part = os.pread(self.fd, count, place)
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EFAULT):
                    raise
                part = bytes(min(count, PAGE_SIZE - place % PAGE_SIZE))
            if not part:
                raise Ended
            parts.append(part)
            place, count = place + len(part), count - len(part)
        return b"".join(parts)

    def read(self, offset: int, count: int) -> bytes:
        """Characters from offset on."""
        return self.at(self.base + offset, min(count, self.size - offset))

    def opened(self, fd: int) -> Memory:
        """All of the process's memory, or of the core, with its file open."""
        return self._replace(fd=fd, size=2**62)


class Wide(Memory):
    """The same as characters of two bytes, which offset and size count; 0 beyond Latin-1."""

    width = 2

    def read(self, offset: int, count: int) -> bytes:
        """The lower bytes of characters from offset on."""
        return narrowed(self.at(self.base + 2 * offset, 2 * min(count, self.size - offset)))


class Ended(Exception):
    """A process has ended while it was read, or a file is shorter than it was."""


def memory_runs(region: Memory, count: int) -> Iterator[tuple[Memory, int, int]]:
    """The runs of count or more characters, of one byte or two, in a stretch of memory.

    Each window is read once for both; it has a character more before it, and the next one's first.
    """
    wide = Wide(*region._replace(size=region.size // 2))
    size = max(WINDOW, 2 * count)
    for place in range(0, region.size, size):
        begin = max(0, place - 2)
        raw = region.read(begin, place - begin + size + 2 * count)
        for memory, window in ((region, raw), (wide, wide_window(raw, count))):
            first, before = begin // memory.width, (place - begin) // memory.width
            for start, end in window_runs(window, count):
                if before <= start < before + size // memory.width:  # else it is another's
                    whole = end < len(window)
                    end = first + end if whole else run_end(memory, first + end)
                    yield memory, first + start, end


def wide_window(raw: bytes, count: int) -> bytes:
    """A window's two-byte characters; none if samples show that there is no such run in it."""
    raw = raw[: len(raw) // 2 * 2]
    for density in (FEW, MANY):
        stride = stride_for(count, density)
        low, high = raw[:: 2 * stride].translate(EITHER), raw[1 :: 2 * stride].translate(ZEROS)
        if b"\1" * (count // stride) not in masked(low, high):
            return b""
    return narrowed(raw)


def narrowed(raw: bytes) -> bytes:
    """Two-byte characters as one byte each, 0 for those with a higher byte."""
    low, high = raw[::2], raw[1::2]
    return low if high.count(0) == len(high) else masked(low, high.translate(ZEROS_TO_255))


def masked(data: bytes, mask: bytes) -> bytes:
    """The bitwise and of two of the same length."""
    both = int.from_bytes(data, "little") & int.from_bytes(mask, "little")
    return both.to_bytes(len(data), "little")


class Copy(NamedTuple):
    """A literal's characters in memory. Whole where all of them are there."""

    content: int  # its place in Where.rows
    address: int  # where its first character is, or would be
    width: int
    matched: int  # characters that are there


class Contents:
    """The literals to look for: by their hash, by their beginning, by needles (short pieces)."""

    def __init__(self, rows: Sequence[Row], count: int) -> None:
        self.rows = rows
        self.lengths = [row.literal.length for row in rows]  # without padding
        self.by_hash = {row.literal.sha256: content for content, row in enumerate(rows)}
        self.beginnings: list[tuple[bytes, int]] = []
        self.needles: dict[bytes, list[tuple[int, int]]] = {}
        self.head = min(count, 256)  # characters of a beginning that serves as a needle
        self.fd, self.file = -1, ""
        step = max(1024, sum(self.lengths) // 2**16)
        for content, row in enumerate(rows):
            self.lengths[content] -= self.read(content, row.literal.length - 2, 2).count(b"=")
            beginning = self.read(content, 0, min(CUT, self.lengths[content]))
            self.beginnings.append((beginning, content))
            self.put(beginning[: self.head], content, 0)
            for offset in range(0, self.lengths[content], 2**18):
                piece = self.read(content, offset, min(2**18, self.lengths[content] - offset))
                for place in range(0, len(piece), step):
                    found = NEEDLE_RE.finditer(piece, place, place + step)
                    match = next((m for m in found if m[1] not in self.needles), None)
                    if match:
                        self.put(match[1], content, offset + match.start())
        self.beginnings.sort()
        self.known_lengths = set(self.lengths)

    def put(self, needle: bytes, content: int, offset: int) -> None:
        """Keep a needle; one that stands in many places leads nowhere."""
        places = self.needles.setdefault(needle, [])
        if len(places) < 16:
            places.append((content, offset))

    def close(self) -> None:
        """Close the input that is open."""
        if self.file:
            os.close(self.fd)
        self.file = ""

    def read(self, content: int, start: int, count: int) -> bytes:
        """Characters of a literal; none where its input is gone."""
        row = self.rows[content]
        try:
            if self.file != row.source.file:  # the last one stays open
                self.close()
                self.fd = os.open(row.source.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                self.file = row.source.file
            count = min(count, row.literal.length - start)
            return row.source.opened(self.fd).read(row.literal.offset + start, count)
        except (OSError, Ended):
            return b""

    def that_begin(self, text: bytes) -> list[int]:
        """The literals that begin with a text of at most CUT characters."""
        at = bisect.bisect_left(self.beginnings, (text,))
        some = self.beginnings[at : at + 1000]
        return [content for beginning, content in some if beginning.startswith(text)]

    def in_run(self, memory: Source, start: int, end: int) -> list[tuple[int, int, int]]:
        """What a run of memory holds: content, where its first character would be, matched."""
        if end - start in self.known_lengths:
            found = content_of(memory, start, end, 0, True)
            content = -1 if isinstance(found, str) else self.by_hash.get(found.sha256, -1)
            if content >= 0 and self.lengths[content] == end - start:
                return [(content, start, end - start)]
        head = memory.read(start, self.head)
        places = {(content, start - offset) for content, offset in self.needles.get(head, ())}
        for offset, piece in memory.pieces(start, end, 2**18):
            for match in NEEDLE_RE.finditer(piece):
                for content, inside in self.needles.get(match[1], ()):
                    if len(places) < 256:
                        places.add((content, offset + match.start() - inside))
        return self.best(memory, start, end, places)

    def best(
        self, memory: Source, start: int, end: int, places: set[tuple[int, int]]
    ) -> list[tuple[int, int, int]]:
        """Of the places where literals may be, those with the most of them, none upon another."""
        result: list[tuple[int, int, int]] = []
        there = [(self.matched(memory, start, end, *place), *place) for place in places]
        for matched, content, base in sorted(there, reverse=True):
            low, high = max(start, base), min(end, base + self.lengths[content])
            apart = all(
                high <= other or other + self.lengths[known] <= low for known, other, _ in result
            )
            if apart and 2 * matched > high - low:  # what mp3s have in common is no copy
                result.append((content, base, matched))
        return result

    def matched(self, memory: Source, start: int, end: int, content: int, base: int) -> int:
        """How many characters of a literal stand where they would if its first is at base."""
        low, high = max(start, base), min(end, base + self.lengths[content])
        total = 0
        for offset, piece in memory.pieces(low, high, 2**18):
            wanted = self.read(content, offset - base, len(piece))
            if piece == wanted:
                total += len(piece)
                continue
            for n in range(0, len(piece), 256):
                if piece[n : n + 256] == wanted[n : n + 256]:
                    total += len(piece[n : n + 256])
        return total


class Found(NamedTuple):
    """What was found in the memory of one process or core."""

    copies: list[Copy]
    other: list[int]  # bytes of each run that is in none of the inputs


def search(regions: Iterator[tuple[int, Memory]], contents: Contents, count: int) -> Found:
    """Look for literals in stretches of memory, each with its address; one and two bytes wide."""
    matched: dict[tuple[int, int, int], int] = {}
    other = []
    for address, region in regions:
        for memory, start, end in memory_runs(region, count):
            known = 0
            for content, base, there in contents.in_run(memory, start, end):
                key = (content, address + base * memory.width, memory.width)
                matched[key] = matched.get(key, 0) + there
                known += there
            if not known and is_data(memory, start, end):
                other.append((end - start) * memory.width)
    return Found([Copy(*key, there) for key, there in sorted(matched.items())], other)


def is_data(memory: Memory, start: int, end: int) -> bool:
    """Whether a run of memory, or what is left of it, decodes to data."""
    return not isinstance(content_of(memory, start, end - (end - start) % 4, 0, True), str)


def memory_literals(regions: Iterator[tuple[int, Memory]], count: int) -> Iterator[Scanned]:
    """Without inputs: what stretches of memory hold, one for each width of characters."""
    size, found = 0, {}
    for _, region in regions:
        size += region.size
        for memory, begin, behind in memory_runs(region, count):
            odd = memory.base % memory.width
            whole = memory._replace(base=odd, size=0)  # of a process an offset is an address
            result = found.setdefault((memory.width, odd), Scanned(whole, [], None, {}, []))
            for start, end, url_safe in runs_by_alphabet(memory, begin, behind, count):
                literal = memory_literal(memory, start, end, url_safe)
                if isinstance(literal, str):
                    result.left_out[literal] = result.left_out.get(literal, 0) + 1
                else:
                    result.literals.append(literal)
    for (width, _), result in sorted(found.items()):
        yield result._replace(source=result.source._replace(size=size if width == 1 else 0))


def memory_literal(memory: Memory, start: int, end: int, url_safe: bool) -> Literal | str:
    """A literal in memory, or why a run is none."""
    tail = memory.read(end, 2)
    padding = len(tail) - len(tail.lstrip(b"="))
    content = content_of(memory, start, end, padding, url_safe)
    if isinstance(content, str):
        return content
    place, length = memory.base // memory.width + start, end + padding - start
    kind = kind_of(content.head)
    return Literal(
        place, None, None, length, None, content.decoded, kind, None, content.sha256, False
    )


# ---------------------------------------------------------------- processes


class Mapping(NamedTuple):
    """A line of /proc/PID/maps (proc_pid_maps(5))."""

    start: int
    end: int
    offset: int
    device: str
    inode: int
    path: str


class Process(NamedTuple):
    """A process whose memory was searched. Sizes in bytes; None: not known."""

    pid: int
    name: str
    rss: int | None
    pss: int | None
    searched: int | None
    swap: int | None
    coredump_filter: int | None


class Pages:
    """The pages of a live process, as /proc/PID/maps and pagemap tell; nothing is faulted in.

    pagemap (Documentation/admin-guide/mm/pagemap.rst): a little-endian u64 a page, of which the
    highest byte tells all: bit 63 present, 62 swapped, 61 file page or shared, 56 mapped once.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.searched = self.swap = 0
        self.in_ram = tmpfs_devices(pid)
        for tid in (pid, *map(int, os.listdir(f"/proc/{pid}/task"))):  # the first may have ended
            with open(f"/proc/{tid}/maps", "rb") as lines:
                self.mappings = [found for line in lines for found in readable(os.fsdecode(line))]
            self.file = f"/proc/{tid}/mem"
            if self.mappings:
                break
        else:
            raise Ended
        self.mem = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self.mem)
            raise

    def close(self) -> None:
        """Close its files."""
        os.close(self.mem)
        os.close(self.pagemap)

    def flags(self, start: int, end: int) -> bytes:
        """The highest byte of each page's entry."""
        first = start // PAGE_SIZE
        count = -(-end // PAGE_SIZE) - first
        entries = os.pread(self.pagemap, 8 * count, 8 * first)
        if not entries:
            raise Ended
        return entries[7::8]

    def resident(self) -> Iterator[tuple[int, int]]:
        """Start and end of each stretch of resident pages, of however many mappings."""
        begin = last = 0
        for mapping in self.mappings:
            for place in range(mapping.start, mapping.end, 2**16 * PAGE_SIZE):
                flags = self.flags(place, min(mapping.end, place + 2**16 * PAGE_SIZE))
                present = flags.translate(PRESENT)
                self.swap += PAGE_SIZE * present.count(b"s")
                for match in PRESENT_RE.finditer(present):
                    start, end = (place + PAGE_SIZE * n for n in match.span())
                    if start != last:
                        if last:
                            yield begin, last
                        begin = start
                    last = end
        if last:
            yield begin, last

    def regions(self) -> Iterator[tuple[int, Memory]]:
        """Its resident memory, in stretches with their addresses."""
        for start, end in self.resident():
            self.searched += end - start
            yield start, Memory(f"process {self.pid}", self.file, start, end - start, self.mem)

    def backing(self, address: int, size: int) -> tuple[str, tuple]:
        """What most of a copy's pages are, and what tells its memory from other memory.

        A page of a file or of shared memory is the same page in each process that maps it; an
        anonymous one that is mapped more than once was shared by fork, at the same address.
        """
        flags = self.flags(max(0, address), address + size)
        present = flags.translate(PRESENT)
        if b"s" in present:
            return "swap", (self.pid, address)
        mapping = self.mappings[max(0, bisect.bisect(self.mappings, (address + 1,)) - 1)]
        if present.count(b"f") < present.count(b"a") or not mapping.inode:  # or it is gone by now
            shared = 2 * sum(flag & 1 for flag in flags) < len(flags)
            return "anonymous", (0 if shared else self.pid, address)
        place = (mapping.device, mapping.inode, mapping.offset + address - mapping.start)
        ram = mapping.path.startswith(RAM_PATHS) or mapping.device in self.in_ram
        return "shared" if ram else "file", place


def readable(line: str) -> Iterator[Mapping]:
    """The mapping that a line of /proc/PID/maps tells of, if it may be read."""
    places, mode, offset, device, inode, path = (*line.rstrip("\n").split(maxsplit=5), "")[:6]
    if mode[0] == "r" and not path.startswith(("[vvar", "[vsyscall")):
        start, end = (int(word, 16) for word in places.split("-"))
        yield Mapping(start, end, int(offset, 16), device, int(inode), path)


def proc_text(path: str) -> str:
    """A file of /proc; empty where it cannot be read."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
    return ""


def tmpfs_devices(pid: int) -> set[str]:
    """The devices, as maps writes them, of the file systems that are in RAM alone."""
    found = set()
    for line in proc_text(f"/proc/{pid}/mountinfo").splitlines():
        words = line.split()
        if "-" in words and words[words.index("-") + 1] in ("tmpfs", "ramfs", "devtmpfs"):
            major, minor = (int(word) for word in words[2].split(":"))
            found.add(f"{major:02x}:{minor:02x}")
    return found


def process_and_descendants(pids: Sequence[int], problem: Callable[[str, str], None]) -> list[int]:
    """These pids and those of their descendants, asar_investigate.py's own left out."""
    import psutil

    found: dict[int, None] = {}
    for pid in pids:
        try:
            group = TGID_RE.search(proc_text(f"/proc/{pid}/status"))  # it may be a thread's number
            handle = psutil.Process(int(group[1]) if group else pid)
            tree = [handle, *handle.children(recursive=True)]
            found.update(dict.fromkeys(process.pid for process in tree))
        except (psutil.Error, OSError, OverflowError):
            problem(f"process {pid}", "there is none")
    found.pop(os.getpid(), None)
    return list(found)


def process_name(pid: int) -> str:
    """A process's name, with its role in Chromium or Electron: 'chromium renderer'."""
    role = ROLE_RE.search(proc_text(f"/proc/{pid}/cmdline"))
    name = proc_text(f"/proc/{pid}/comm").rstrip("\n") or "?"
    return f"{name} {role[1]}" if role else name


def process_told(pid: int, pages: Pages | None) -> Process:
    """What is said of a process beside its copies (proc_pid_smaps_rollup(5), core(5))."""
    rollup = proc_text(f"/proc/{pid}/smaps_rollup")
    sizes = {name: int(size) * 1024 for name, size in ROLLUP_RE.findall(rollup)}
    bits = proc_text(f"/proc/{pid}/coredump_filter").strip()
    return Process(
        pid,
        process_name(pid),
        sizes.get("Rss"),
        sizes.get("Pss"),
        pages.searched if pages else None,
        pages.swap if pages else None,
        int(bits, 16) if bits else None,
    )


def why_unreadable(error: OSError) -> str:
    """Why a process's memory may not be read, and what would help (ptrace(2), Yama)."""
    scope = proc_text("/proc/sys/kernel/yama/ptrace_scope").strip()
    also = f"; kernel.yama.ptrace_scope is {scope}, 0 allows it" if scope.strip("0") else ""
    return f"its memory may not be read ({error.strerror}): be its user, or use sudo{also}"


# ---------------------------------------------------------------- core files


class Core(NamedTuple):
    """A core file (elf(5), core(5)): where its memory is, and which of it belongs to files."""

    path: str
    segments: list[tuple[int, int, int]]  # address, offset in the file, size
    files: list[tuple[int, int, str]]  # start, end, path of each file mapping (NT_FILE)
    lost: int  # bytes that lie beyond the file's end

    def backing(self, address: int) -> str:
        """What a copy is. 'file': of a file's mapping, which may have been written to."""
        at = bisect.bisect(self.files, (address + 1,)) - 1
        if at < 0 or address >= self.files[at][1]:
            return "anonymous"
        return "shared" if self.files[at][2].startswith(RAM_PATHS) else "file"

    def dumped(self) -> tuple[int, int]:
        """Bytes of file mappings, and how many of them are in the core."""
        there = 0
        for address, _, size in self.segments:
            at = max(0, bisect.bisect(self.files, (address,)) - 1)
            for start, end, _ in self.files[at:]:
                if start >= address + size:
                    break
                there += max(0, min(end, address + size) - max(start, address))
        return sum(end - start for start, end, _ in self.files), there


def read_core(source: Source) -> Core:
    """What the program headers of a core file tell."""
    segments, notes, lost = [], b"", 0
    wide, headers = program_headers(source)
    for kind, offset, address, size in headers:
        there = max(0, min(size, source.size - offset))
        if kind == PT_LOAD:
            lost += size - there
            segments += [(address, offset, there)] if there else []
        elif kind == PT_NOTE:
            notes = notes or source.read(offset, min(there, MAX_NOTES))
    in_memory = [(address, address + size) for address, _, size in segments]
    in_file = [(offset, offset + size) for _, offset, size in segments]
    if not (apart(in_memory) and apart(in_file)):
        raise Problem("its segments lie upon each other; not read")
    files = sorted(file_mappings(notes, wide))
    if not apart([file[:2] for file in files]):
        files = []
    return Core(source.path, sorted(segments), files, lost)


def program_headers(source: Source) -> tuple[bool, Iterator[tuple[int, int, int, int]]]:
    """Whether a core is 64-bit, and kind, offset, address, size of each header (elf(5))."""
    ident = source.read(0, 64)
    if ident[:4] != b"\x7fELF" or len(ident) < 64 or ident[4] not in (1, 2):
        raise Problem("byte 0: no ELF file, so no core file")
    if ident[5] != 1:
        raise Problem("byte 5: a big-endian core file; only little-endian ones are read")
    if ident[16:18] != b"\4\0":
        raise Problem("byte 16: an ELF file, but no core file")
    wide = ident[4] == 2
    headers, sections = struct.unpack_from("<QQ" if wide else "<II", ident, 32 if wide else 28)
    length, count = struct.unpack_from("<HH", ident, 54 if wide else 42)
    if count == 0xFFFF and sections:  # there are more: the number is in the first section's sh_info
        info = source.read(sections + (44 if wide else 28), 4) if sections < source.size else b""
        count = int.from_bytes(info, "little")
    if length != (56 if wide else 32) or headers + length * count > source.size or count > 2**20:
        raise Problem(f"byte {headers}: program headers beyond the end at {source.size}")
    layout, order = ("<IIQQQQ", (0, 2, 3, 5)) if wide else ("<IIIII", (0, 1, 2, 4))
    all_of_them = (source.read(headers + n * length, length) for n in range(count))
    fields = (struct.unpack_from(layout, header) for header in all_of_them)
    return wide, (tuple(values[n] for n in order) for values in fields)


def apart(stretches: Sequence[tuple[int, int]]) -> bool:
    """Whether none of these stretches, each with start and end, lies upon another."""
    ordered = sorted(stretches)
    return all(before[1] <= after[0] for before, after in zip(ordered, ordered[1:]))


def file_mappings(notes: bytes, wide: bool) -> Iterator[tuple[int, int, str]]:
    """Start, end and path of the file mappings that a core's notes (elf(5), NT_FILE) tell of."""
    place, word = 0, "Q" if wide else "I"
    while place + 12 <= len(notes):
        name, size, kind = struct.unpack_from("<III", notes, place)
        begin = place + 12 + name + -name % 4
        place = begin + size + -size % 4
        note = notes[begin : begin + size]
        unit = struct.calcsize(word)
        if kind != NT_FILE or len(note) < 2 * unit:
            continue
        count = struct.unpack_from(f"<{word}", note)[0]
        if count <= len(note) // (3 * unit):
            paths = note[(2 + 3 * count) * unit :].split(b"\0", count)
            for n, path in zip(range(count), paths):
                start, end = struct.unpack_from(f"<2{word}", note, (2 + 3 * n) * unit)
                yield start, end, os.fsdecode(path)


def core_regions(core: Core, fd: int) -> Iterator[tuple[int, Memory]]:
    """A core's memory in stretches with their addresses, the holes of a sparse file left out."""
    joined: list[list[int]] = []
    for address, offset, size in core.segments:
        last = joined[-1] if joined else [0, 0, 0]
        if (last[0] + last[2], last[1] + last[2]) == (address, offset):
            last[2] += size
        else:
            joined.append([address, offset, size])
    for address, offset, size in joined:
        for start, end in data_extents(fd, offset, offset + size):
            source = Memory(core.path, core.path, start, end - start, fd)
            yield address + start - offset, source


def data_extents(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are no holes (lseek(2), SEEK_DATA)."""
    while start < end:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
        except OSError:  # a hole to the end of the file
            return
        hole = min(end, os.lseek(fd, start, os.SEEK_HOLE)) if start < end else end
        if start < hole:
            yield start, hole
        start = hole


# ---------------------------------------------------------------- heap snapshots


class HeapString(NamedTuple):
    """A string of a heap snapshot that holds base64. Sizes in bytes."""

    content: int | None  # which literal; None: in none of the inputs
    node_id: int
    self_size: int
    external: int  # of its characters, where they lie outside of V8's heap
    width: int | None
    whole: bool  # it holds that and nothing else, but for what stands before it in a data URI
    kind: str

    @property
    def size(self) -> int:
        """Bytes of the string, wherever its characters lie."""
        return self.self_size + self.external

    def told(self) -> dict[str, object]:
        """What it is for programs."""
        names = ("node_id", "self_size", "external", "width", "whole")
        return {name: getattr(self, name) for name in names}


class Heap(NamedTuple):
    """A V8 heap snapshot: number and bytes of its nodes by type, its base64 strings."""

    path: str
    types: dict[str, list[int]]
    strings: list[HeapString]

    @property
    def size(self) -> int:
        """Bytes of all nodes."""
        return sum(size for _, size in self.types.values())

    @property
    def strings_size(self) -> int:
        """Bytes of the strings, as DevTools' statistics count them."""
        return sum(size for name, (_, size) in self.types.items() if name in STRING_TYPES)

    @property
    def base64(self) -> list[HeapString]:
        """The strings that are base64 and nothing else, the largest first."""
        return sorted((text for text in self.strings if text.whole), key=lambda t: -t.size)

    def told(self) -> dict[str, object]:
        """The totals for programs."""
        types = {name: {"count": n, "self_size": size} for name, (n, size) in self.types.items()}
        base64 = {
            "strings": len(self.base64),
            "self_size": sum(text.size for text in self.base64),
            "largest": [{**text.told(), "kind": text.kind} for text in self.base64[:1000]],
        }
        return {
            "path": self.path,
            "nodes": sum(number for number, _ in self.types.values()),
            "self_size": self.size,
            "strings": self.strings_size,
            "base64": base64,
            "types": types,
        }


class InString(NamedTuple):
    """A base64 run in the text of a snapshot's string."""

    contents: list[int]  # literals that begin like this
    prefix: int | None  # characters of the string before it; None: it is no string of its own
    length: int
    kind: str


class Snapshot:
    """Reads a .heapsnapshot as a stream (V8's src/profiler/heap-snapshot-generator.cc).

    One JSON object: "snapshot" with "meta", which names the columns, flat arrays of numbers, and
    the strings last. A string's text is cut at 1024 characters, but for scripts' sources.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.places: dict[str, tuple[int, int]] = {}
        self.meta: dict = {}
        self.read_outline()
        try:
            self.types = [str(name) for name in self.meta["node_types"][0]]
            fields, edges = self.meta["node_fields"], self.meta["edge_fields"]
            wanted = ("type", "name", "id", "self_size", "edge_count")
            self.columns, self.stride = [fields.index(name) for name in wanted], len(fields)
            self.to_node, self.edge_stride = edges.index("to_node"), len(edges)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise Problem('byte 0: no heap snapshot: "snapshot" does not name the fields') from None

    def read_outline(self) -> None:
        """Where each array begins and ends; what "snapshot" says."""
        place, head = 0, self.source.read(0, 64)
        if not head.lstrip().startswith(b"{"):
            raise Problem("byte 0: no JSON object, so no heap snapshot")
        place = head.index(b"{") + 1
        while "strings" not in self.places:
            match = KEY_RE.match(self.source.read(place, 4096))
            if not match or len(self.places) > 64:
                raise Problem(f"byte {place}: no heap snapshot, or cut short: no name of an array")
            key, start = match[1].decode(), place + match.end()
            if match[2] == b"{":
                end = self.read_meta(start - 1)
            else:
                end = self.source.size if key == "strings" else self.end_of_numbers(key, start)
                self.places[key] = start, end - 1
            place = end
        if not {"nodes", "edges"} <= self.places.keys():
            raise Problem(f"byte {place}: no heap snapshot: no nodes, or no edges, before strings")

    def read_meta(self, start: int) -> int:
        """Where the object that begins here ends."""
        import json

        text = self.source.read(start, MIB).decode("latin-1")
        try:
            found, length = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError):
            raise Problem(f"byte {start}: no JSON, or cut short") from None
        if isinstance(found.get("meta"), dict):
            self.meta = found["meta"]
        return start + length

    def end_of_numbers(self, key: str, start: int) -> int:
        """Where an array ends that holds numbers, or arrays of them."""
        depth = 1
        for offset, piece in self.source.pieces(start, self.source.size, 2**18):
            if b"]" not in piece and b"[" not in piece:
                continue
            for match in BRACKET_RE.finditer(piece):
                depth += 1 if match[0] == b"[" else -1
                if not depth:
                    return offset + match.end()
        raise Problem(f"byte {self.source.size}: cut short within {key}")

    def numbers(
        self, key: str, wanted: Sequence[tuple[int, int]] = ()
    ) -> Iterator[tuple[int, list[int]]]:
        """An array's numbers in pieces, each with the place of its first one.

        Args: wanted: sorted places, from and to, that are wanted; without them all are.
        """
        done, left = 0, b""
        begin, end = self.places[key]
        at = 0
        for offset, piece in self.source.pieces(begin, end):
            last = offset + len(piece) == end
            cut = len(piece) if last else piece.rfind(b",")
            if cut < 0:
                raise Problem(f"byte {offset}: no list of numbers within {key}")
            text, left = left + piece[:cut], piece[cut + 1 :]
            while wanted and at < len(wanted) and wanted[at][1] <= done:
                at += 1
            if wanted and (at == len(wanted) or wanted[at][0] > done + text.count(b",")):
                done += text.count(b",") + 1
                continue
            numbers = numbers_of(text)
            if not numbers:
                raise Problem(f"byte {offset}: no list of numbers within {key}")
            yield done, numbers
            done += len(numbers)

    def base64(self, contents: Contents, count: int) -> dict[int, list[InString]]:
        """The base64 runs in the strings' texts, by the string's number."""
        region, found = self.texts(), {}
        quotes = Quotes(region)
        for start, end in long_runs(region, min(count, CUT // 2)):
            before = region.read(max(0, start - 256), min(256, start))
            escape = len(before) - len(before.rstrip(b"\\")) & 1
            start += (5 if region.read(start, 1) == b"u" else 1) if escape else 0
            number = quotes.until(start)
            content = content_of(region, start, end - (end - start) % 4, 0, True)
            if number is None or isinstance(content, str):
                continue
            uri = STRING_START_RE.search(before)
            alone = uri and not escape and region.read(end, 3).lstrip(b"=")[:1] == b'"'
            if alone:
                literals = contents.that_begin(region.read(start, min(end - start, CUT)))
            else:
                literals = [literal for literal, *_ in contents.in_run(region, start, end)]
            prefix = len(uri[1]) if alone else None
            kind = kind_of(content.head)
            found.setdefault(number, []).append(InString(literals, prefix, end - start, kind))
        return found

    def texts(self) -> Source:
        """The part of the file that holds the strings."""
        begin, _ = self.places["strings"]
        return self.source._replace(base=self.source.base + begin, size=self.source.size - begin)

    def number_of(self, text: bytes) -> int | None:
        """The number of a string that is known in full."""
        region, before = self.texts(), b""
        for offset, piece in region.pieces(0, region.size):
            at = (before + piece).find(b'"%b"' % text)
            if at >= 0:
                return Quotes(region).until(offset - len(before) + at + 1)
            before = piece[-len(text) - 2 :]
        return None

    def read(self, contents: Contents, count: int) -> Heap:
        """Its totals, and its strings that hold base64."""
        texts = self.base64(contents, count)
        external_name = self.number_of(b"system / ExternalStringData")
        wanted = {external_name, *texts}
        totals = [[0, 0] for _ in self.types]
        strings, externals, first_edge, before = [], {}, 0, 0
        is_string = [name in STRING_TYPES for name in self.types]
        for nodes in self.records("nodes"):
            columns = [nodes[column :: self.stride] for column in self.columns]
            if max(columns[0], default=0) >= len(self.types):
                raise Problem(f"byte {self.places['nodes'][0]}: nodes of a type without a name")
            for index, (kind, name, node_id, size, edges) in enumerate(zip(*columns), before):
                total = totals[kind]
                total[0] += 1
                total[1] += size
                if name in wanted:
                    if is_string[kind]:
                        strings.append((name, node_id, size, first_edge, first_edge + edges))
                    elif name == external_name:
                        externals[index] = size
                first_edge += edges
            before += len(columns[0])
        outside = self.outside(strings, externals)
        found = [
            heap_string(contents, text, node_id, size, outside.get(node_id, 0))
            for name, node_id, size, *_ in strings
            for text in texts.get(name, ())
        ]
        return Heap(self.source.path, dict(zip(self.types, totals)), found)

    def complete(self) -> bool:
        """Whether it ends as a snapshot does."""
        end = self.source.read(self.source.size - 64, 64)
        return b"".join(end.split()).endswith(b"]}")

    def records(self, key: str) -> Iterator[list[int]]:
        """An array's numbers in lists of whole records."""
        left: list[int] = []
        for _, numbers in self.numbers(key):
            numbers = left + numbers
            whole = len(numbers) - len(numbers) % self.stride
            left = numbers[whole:]
            yield numbers[:whole]
        if left:
            raise Problem(f"byte {self.places[key][1]}: {key} end within a record")

    def outside(
        self, strings: Sequence[tuple[int, ...]], externals: dict[int, int]
    ) -> dict[int, int]:
        """Node id -> bytes of its characters, for strings that lie outside of V8's heap.

        Such a string has an edge to a native node that has the size.
        """
        wanted = [
            (first * self.edge_stride, min(end, first + 100) * self.edge_stride, node_id)
            for _, node_id, size, first, end in strings
            if externals and size < EXTERNAL_STRING and first < end
        ][:10000]
        if not wanted:
            return {}
        edges: dict[int, list[int]] = {node_id: [] for *_, node_id in wanted}
        for done, numbers in self.numbers("edges", [place[:2] for place in wanted]):
            for first, end, node_id in wanted:
                if first < done + len(numbers) and end > done:
                    edges[node_id] += numbers[max(0, first - done) : max(0, end - done)]
        return {
            node_id: max(
                externals.get(to_node // self.stride, 0)
                for to_node in found[self.to_node :: self.edge_stride]
            )
            for node_id, found in edges.items()
            if found[self.to_node :]
        }


def numbers_of(text: bytes) -> list[int]:
    """Whole numbers that commas part; none where there is anything else."""
    import json

    with contextlib.suppress(ValueError, TypeError, RecursionError):
        numbers = json.loads(b"[%b]" % text)
        total = sum(numbers)
        if isinstance(total, int) and total < 2**63 and min(numbers) >= 0:
            return numbers
    return []


class Quotes:
    """Counts the quotes of JSON text, to tell which string of a list a place is in."""

    def __init__(self, source: Source) -> None:
        self.source, self.place, self.count, self.left = source, 0, 0, b""

    def until(self, place: int) -> int | None:
        """The number of the string that a place is in, from 0. Places must ascend."""
        for _, piece in self.source.pieces(self.place, place):
            text = self.left + piece
            backslashes = len(text) - len(text.rstrip(b"\\"))
            self.left = b"\\" * (backslashes & 1)
            text = text[: len(text) - backslashes].replace(b"\\\\", b"")
            self.count += text.count(b'"') - text.count(b'\\"')
        self.place = max(place, self.place)
        return self.count // 2 if self.count & 1 else None


def heap_string(
    contents: Contents, text: InString, node_id: int, self_size: int, external: int
) -> HeapString:
    """What a string of a snapshot holds: a literal as a whole if its size is the literal's."""
    for content in text.contents:
        literal = contents.rows[content].literal
        for characters in (literal.length + (text.prefix or 0), literal.string_length or 0):
            width = width_of(external or self_size, characters)
            if width and text.prefix is not None:
                return HeapString(content, node_id, self_size, external, width, True, text.kind)
    if text.prefix is not None and (external or self_size) >= text.length:  # another, alike
        return HeapString(None, node_id, self_size, external, None, True, text.kind)
    content = text.contents[0] if text.contents else None  # in a longer one, or Node.js's external
    return HeapString(content, node_id, self_size, external, None, False, text.kind)


def width_of(size: int, characters: int) -> int | None:
    """Bytes a character of a V8 string: its size is those, a header of 12 or 16, and rounding."""
    fits = (width for width in (1, 2) if 12 <= size - characters * width < 24)
    return next(fits, None)


# ---------------------------------------------------------------- all of it joined


class Place(NamedTuple):
    """A copy of a literal in a process or a core file."""

    copy: Copy
    holder: str  # the process's name, or the core's path
    pid: int | None
    backing: str
    whole: bool
    memory: tuple  # tells memory from other memory: a page may be in several processes

    def told(self) -> dict[str, object]:
        """What it is for programs."""
        address, width = self.copy.address, self.copy.width
        return {"address": address, "width": width, "backing": self.backing}


class Where:
    """Where the literals of a report sit."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.asked: set[str] = set()  # of pid, core, heap
        self.named: set[int] = set()  # processes on the command line
        self.processes: list[Process] = []
        self.cores: list[tuple[str, int, int, int]] = []  # path, searched, of files, dumped
        self.heaps: list[Heap] = []
        self.places: dict[int, list[Place]] = {}  # of each literal
        self.strings: dict[int, list[tuple[str, HeapString]]] = {}  # path of the snapshot, string
        self.other: list[int] = []  # bytes of base64 in memory that is in none of the inputs
        self.contents = Contents([], report.min_size)

    def columns(self) -> list[str]:
        """What was asked for and could be looked at."""
        asked = (("heaps", self.heaps), ("RAM", self.processes), ("cores", self.cores))
        return [name for name, found in asked if found]

    def of(self, content: int) -> list[Place]:
        """A literal's copies."""
        return self.places.get(content, [])

    def ram(self, content: int) -> int:
        """Bytes of RAM that the whole copies of a literal take, memory of several once."""
        length = self.contents.rows[content].literal.length
        memories = {p.memory: length * p.copy.width for p in self.of(content) if p.pid and p.whole}
        return sum(memories.values())

    def sizes(self, content: int) -> list[tuple[int, int]]:
        """Bytes and number of a literal's whole copies: strings in heaps, in RAM, in cores."""
        strings = [text for _, text in self.strings.get(content, []) if text.whole]
        whole = [place for place in self.of(content) if place.whole]
        length = self.contents.rows[content].literal.length
        cores = [length * place.copy.width for place in whole if not place.pid]
        found = {
            "heaps": (sum(text.size for text in strings), len(strings)),
            "RAM": (self.ram(content), len(whole) - len(cores)),
            "cores": (sum(cores), len(cores)),
        }
        return [found[name] for name in self.columns()]

    def json_of(self, content: int) -> dict[str, object]:
        """A literal's copies for programs: whole ones, and those of which a part is in swap."""
        found: dict[str, object] = {}
        told = [place for place in self.of(content) if place.whole or place.backing == "swap"]
        if "pid" in self.asked:
            found["memory"] = [
                {"pid": place.pid, "process": place.holder, **place.told()}
                for place in told
                if place.pid
            ]
            found["ram"] = self.ram(content) if self.processes else None
        if "core" in self.asked:
            found["cores"] = [
                {"path": place.holder, **place.told()} for place in told if not place.pid
            ]
        if self.asked & {"pid", "core"}:
            found["partial"] = len(self.of(content)) - len(told)
        if "heap" in self.asked:
            found["heaps"] = [
                {"path": path, **text.told()} for path, text in self.strings.get(content, [])
            ]
        return found

    def look(self, options: argparse.Namespace, without_inputs: bool) -> None:
        """Look in processes and their descendants, core files and heap snapshots."""
        self.asked = {name for name in ("pid", "core", "heap") if getattr(options, name)}
        self.named = set(options.pid)
        cores, heaps = dict.fromkeys(options.core), dict.fromkeys(options.heap)
        found = self.tree(options.pid) if options.pid else []
        if without_inputs:
            found = [pid for pid in found if self.process(pid, self.find_in_process)]
            cores = [path for path in cores if self.core(path, self.find_in_core)]
        self.contents = Contents(rows_of(self.report), self.report.min_size)
        for pid in found:
            self.process(pid, self.search_process)
        for path in cores:
            self.core(path, self.search_core)
        for path in heaps:
            self.heap(path)
        self.contents.close()

    def tree(self, pids: Sequence[int]) -> list[int]:
        """The pids of the processes to search."""
        if not os.path.exists("/proc/self/pagemap"):
            self.report.problem("--pid", "needs Linux, with its /proc/PID/pagemap")
            return []
        try:
            return process_and_descendants(pids, self.report.problem)
        except ImportError:
            self.report.problem(
                "--pid", "needs psutil: apt install python3-psutil (or pip install it)"
            )
            return []

    def process(self, pid: int, look: Callable[[int, Pages], None]) -> bool:
        """Open a process, look in it, close it. That one ends in the meantime is no error."""
        pages = None
        try:
            pages = Pages(pid)
            look(pid, pages)
            self.named.discard(pid)  # should it end now, that is no error
        except PermissionError as error:
            self.report.problem(f"process {pid} ({process_name(pid)})", why_unreadable(error))
            self.processes.append(process_told(pid, None))
            return False
        except (FileNotFoundError, ProcessLookupError, Ended):
            if pid in self.named and not pages:
                self.report.problem(f"process {pid}", "it has ended, there is nothing to search")
            return False
        except OSError as error:
            self.report.problem(f"process {pid} ({process_name(pid)})", error.strerror)
            return False
        finally:
            if pages:
                pages.close()
            self.report.progress(f"process {pid}")
        return True

    def find_in_process(self, pid: int, pages: Pages) -> None:
        """Without inputs: what base64 it holds."""
        name = f"process {pid} {process_name(pid)}"
        self.find(name, memory_literals(pages.regions(), self.report.min_size))

    def find(self, name: str, found: Iterator[Scanned]) -> None:
        """Add the base64 of a process or a core to the report, a source for each width."""
        begin = len(self.report.scanned)
        for scanned in found:
            shown = name if scanned.source.width == 1 else f"{name}, two bytes a character"
            source = scanned.source._replace(path=shown)
            self.report.scanned.append(scanned._replace(source=source))
        self.report.inputs.append((name, begin, len(self.report.scanned)))

    def search_process(self, pid: int, pages: Pages) -> None:
        """Find the literals' copies in a process."""
        name = process_name(pid)
        found = search(pages.regions(), self.contents, self.report.min_size)
        for copy in found.copies:
            size = self.contents.lengths[copy.content] * copy.width
            self.place(copy, name, pid, *pages.backing(copy.address, size))
        self.other += found.other
        self.processes.append(process_told(pid, pages))

    def place(self, copy: Copy, holder: str, pid: int | None, backing: str, memory: tuple) -> None:
        """Keep a copy."""
        whole = copy.matched == self.contents.lengths[copy.content]
        memory = (*memory, copy.content, copy.width)
        found = Place(copy, holder, pid, backing, whole, memory)
        self.places.setdefault(copy.content, []).append(found)

    def core(self, path: str, look: Callable[[Core, int], None]) -> bool:
        """Open a core file, look in it, close it."""
        try:
            with open_regular(path) as source:
                look(read_core(source), source.fd)
                return True
        except Problem as problem:
            self.report.problem(path, str(problem))
        except OSError as error:
            self.report.problem(path, error.strerror)
        except Ended:
            self.report.problem(path, "it has become shorter while it was read")
        finally:
            self.report.progress(path)
        return False

    def find_in_core(self, core: Core, fd: int) -> None:
        """Without inputs: what base64 it holds."""
        self.find(core.path, memory_literals(core_regions(core, fd), self.report.min_size))

    def search_core(self, core: Core, fd: int) -> None:
        """Find the literals' copies in a core file."""
        regions = list(core_regions(core, fd))
        found = search(iter(regions), self.contents, self.report.min_size)
        for copy in found.copies:
            memory = (core.path, copy.address)
            self.place(copy, core.path, None, core.backing(copy.address), memory)
        self.other += found.other
        searched = sum(memory.size for _, memory in regions)
        self.cores.append((core.path, searched, *core.dumped()))
        if core.lost:
            lost = f"{size_text(core.lost)} of the memory that it tells of are not in it"
            self.report.problem(core.path, f"cut short: {lost}")

    def heap(self, path: str) -> None:
        """Read a heap snapshot."""
        try:
            with open_regular(path) as source:
                snapshot = Snapshot(source)
                heap = snapshot.read(self.contents, self.report.min_size)
                self.heaps.append(heap)
                for text in heap.strings:
                    if text.content is not None:
                        self.strings.setdefault(text.content, []).append((path, text))
                if not snapshot.complete():
                    self.report.problem(path, f"byte {source.size}: cut short within strings")
        except Problem as problem:
            self.report.problem(path, str(problem))
        except OSError as error:
            self.report.problem(path, error.strerror)
        self.report.progress(path)


@contextlib.contextmanager
def open_regular(path: str) -> Iterator[Source]:
    """A regular file as a source, until the end of the block."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise Problem("not a regular file")
        yield Source(path, path, 0, found.st_size, fd)
    finally:
        os.close(fd)


# ---------------------------------------------------------------- the report


class Row(NamedTuple):
    """One content, and where it stands: the first place, and how often in all inputs."""

    literal: Literal
    source: Source
    places: int


def rows_of(report: Report) -> list[Row]:
    """Each content once, the largest first, ties by place."""
    first: dict[str, Row] = {}
    for scanned in report.scanned:
        for literal in scanned.literals:
            row = first.get(literal.sha256) or Row(literal, scanned.source, 0)
            if literal.length > row.literal.length:
                row = Row(literal, scanned.source, row.places)
            first[literal.sha256] = row._replace(places=row.places + 1)
    return sorted(
        first.values(), key=lambda r: (-r.literal.length, r.source.path, r.literal.offset)
    )


def offset_of(literal: Literal, source: Source) -> int:
    """Bytes from the begin of the file, or of the archive's member; of a process an address."""
    return literal.offset * source.width + (source.base if isinstance(source, Memory) else 0)


def place_of(row: Row) -> str:
    """'path:line:column' of a text, 'path at byte offset' of what is none."""
    path, literal = printable(row.source.path), row.literal
    if literal.line is None:
        offset = offset_of(literal, row.source)
        process = row.source.file.startswith("/proc/")
        return f"{path} at {offset:#x}" if process else f"{path} at byte {offset}"
    return f"{path}:{literal.line}:{literal.column}"


def kind_text(literal: Literal) -> str:
    """The kind, and the declared type where it says something else."""
    mime = literal.mime
    if not mime or mime.rpartition("/")[2].split("+")[0] in (literal.kind, ending_of(literal.kind)):
        return literal.kind
    half = literal.kind.rpartition("/")[2]
    known = {"mp3": "mpeg", "ttf": "font-ttf", "source map": "json", "ico": "x-icon"}.get(
        half, half
    )
    return literal.kind if known in mime else f"{literal.kind} ({mime})"


def elide(text: str, width: int) -> str:
    """The end of a text that is too long for a column."""
    return text if len(text) <= width else "..." + text[3 - width :]


def share(part: int, whole: int) -> str:
    """A share in per cent."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def report_text(report: Report, where: Where, top: int, bold: bool) -> str:
    """The whole report, under 100 columns. Never a literal's content."""
    rows = rows_of(report)
    sections = [
        ("", inputs_section(report)),
        (f"The largest of {len(rows)} contents", largest_section(rows[:top])),
        ("By kind", kinds_section(report)),
        ("Source maps in line", maps_section(report)),
        ("More than once", duplicates_section(rows)),
        ("Where they sit: the whole copies of each", where_section(where, top)),
        ("Processes", processes_section(where)),
        ("Core files", cores_section(where)),
        ("Heap snapshots: bytes, share, nodes, type", heaps_section(where, top)),
        ("As V8 keeps it", scripts_section(report, top)),
        ("Left out: no data", left_out_section(report)),
        ("The largest files, whatever they hold", members_section(report)),
    ]
    lines = []
    for title, section in sections:
        if section:
            heading = f"\033[1m{title}\033[0m" if bold else title
            lines += [*([heading] if title else []), *section, ""]
    return "\n".join(lines[:-1])


def inputs_section(report: Report) -> list[str]:
    """For each input its size, and the number, sum and share of its literals."""
    lines = []
    for path, begin, end in report.inputs:
        part = report.scanned[begin:end]
        size = sum(scanned.source.size for scanned in part)
        lengths = [literal.length for scanned in part for literal in scanned.literals]
        memory = any(isinstance(scanned.source, Memory) for scanned in part)
        files = "" if end - begin == 1 or memory else f"{end - begin} files, "
        lines += [
            elide(printable(path), 96),
            f"  {files}{size_text(size)}: {len(lengths)} base64 literals of {report.min_size} "
            f"characters or more, {sum(lengths)} characters, {share(sum(lengths), size)}",
        ]
    return lines


def largest_section(rows: Sequence[Row]) -> list[str]:
    """The table: characters with padding, the string around in UTF-16 units, decoded bytes.

    Behind the kind stands the declared type where it says something else.
    """
    if not rows:
        return []
    lines = [f"{'':3}{'characters':>11}{'string':>10}{'decoded':>10}{'times':>6}  {'kind':24}place"]
    for number, row in enumerate(rows, 1):
        literal = row.literal
        string = "-" if literal.string_length is None else literal.string_length
        sizes = f"{literal.length:>11}{string:>10}{literal.decoded:>10}{row.places:>6}"
        kind = printable(kind_text(literal))
        kind = kind if len(kind) < 24 else kind[:20] + "..."
        lines.append(f"{number:>3}{sizes}  {kind:24}{elide(place_of(row), 32)}")
    return lines


def kinds_section(report: Report) -> list[str]:
    """Totals by kind and their share of all that was read."""
    whole = sum(scanned.source.size for scanned in report.scanned)
    totals = totals_by_kind(report)
    if not totals:
        return []
    lines = [f"{'':>4}{'characters':>12}{'decoded':>12}{'share':>9}{'number':>9}  kind"]
    for kind, (length, decoded, number) in totals:
        lines.append(
            f"{'':>4}{length:>12}{decoded:>12}{share(length, whole):>9}{number:>9}  {kind}"
        )
    return lines


def totals_by_kind(report: Report) -> list[tuple[str, tuple[int, int, int]]]:
    """Characters, decoded bytes and number of the literals of each kind, the largest first."""
    totals: dict[str, tuple[int, int, int]] = {}
    for scanned in report.scanned:
        for literal in scanned.literals:
            length, decoded, number = totals.get(literal.kind, (0, 0, 0))
            new = (length + literal.length, decoded + literal.decoded, number + 1)
            totals[literal.kind] = new
    return sorted(totals.items(), key=lambda item: (-item[1][0], item[0]))


def maps_section(report: Report) -> list[str]:
    """In-line source maps: V8 keeps each a second time, and they are seldom meant."""
    found = [
        Row(literal, scanned.source, 1)
        for scanned in report.scanned
        for literal in scanned.literals
        if literal.in_comment
    ]
    if not found:
        return []
    length = sum(row.literal.length for row in found)
    return [
        f"  {len(found)} in comments, {length} characters ({size_text(length)}). V8 keeps each",
        "  value as a string of its own, besides the source. Often they are there by mistake.",
        *(f"    {row.literal.length:>12}  {elide(place_of(row), 78)}" for row in found[:5]),
    ]


def duplicates_section(rows: Sequence[Row]) -> list[str]:
    """What the contents that stand more than once waste."""
    again = [row for row in rows if row.places > 1]
    if not again:
        return []
    wasted = sum(row.literal.length * (row.places - 1) for row in again)
    return [
        f"  {len(again)} contents; once each would save {wasted} characters ({size_text(wasted)})"
    ]


def scripts_section(report: Report, top: int) -> list[str]:
    """How V8 keeps the texts that are, or may be, scripts: those with the most to save first."""
    found = [
        (scanned.script, scanned.source)
        for scanned in report.scanned
        if scanned.script and (len(report.scanned) == 1 or is_script(scanned.source.path))
    ]
    found.sort(key=lambda pair: (pair[0].escaped_size - pair[0].size, pair[1].path))
    two = [script for script, _ in found if script.beyond_latin1]
    lines = []
    if len(found) > 1:
        lines.append(
            f"  {len(found)} scripts, {size_text(sum(s.size for s, _ in found))} in memory; "
            f"{len(two)} of them with two bytes a character"
        )
    for script, source in found[: top if len(found) == 1 else min(top, 5)]:
        if script.beyond_latin1 or not script.valid or len(found) == 1:
            lines += script_lines(script, source)
    return lines


def is_script(path: str) -> bool:
    """Whether a name is a script's."""
    return path.lower().endswith((".js", ".mjs", ".cjs", ".jsx"))


def script_lines(script: Script, source: Source) -> list[str]:
    """How V8 keeps one script, and what it would take with \\u escapes."""
    width = "two bytes each" if script.beyond_latin1 else "one byte each"
    lines = [
        f"  {elide(printable(source.path), 96)}",
        f"    {script.characters} characters, {script.beyond_latin1} beyond Latin-1: "
        f"{width}, {size_text(script.size)} in memory",
    ]
    if script.beyond_latin1:
        line, column = script.first
        saved = script.size - script.escaped_size
        better = f"{size_text(saved)} less" if saved > 0 else f"{size_text(-saved)} more"
        lines += [
            f"    the first at line {line}, column {column}; as \\u escapes: one byte each, "
            f"{size_text(script.escaped_size)}, {better}"
        ]
    if not script.valid:
        lines.append("    it is no valid UTF-8: what is wrong in it counts as U+FFFD")
    return lines


def left_out_section(report: Report) -> list[str]:
    """Runs that are no data, by reason."""
    total = left_out(report)
    return [f"  {number:>6}  {reason}" for reason, number in sorted(total.items())]


def left_out(report: Report) -> dict[str, int]:
    """Reason -> number of runs."""
    total: dict[str, int] = {}
    for scanned in report.scanned:
        for reason, number in scanned.left_out.items():
            total[reason] = total.get(reason, 0) + number
    return total


def members_section(report: Report) -> list[str]:
    """The largest files of folders and archives."""
    sources = [
        scanned.source
        for _, begin, end in report.inputs
        if end - begin > 1
        for scanned in report.scanned[begin:end]
        if not isinstance(scanned.source, Memory)
    ]
    whole = sum(source.size for source in sources)
    largest = sorted(sources, key=lambda source: (-source.size, source.path))[:10]
    return [
        f"  {source.size:>12}{share(source.size, whole):>9}  {elide(printable(source.path), 73)}"
        for source in largest
    ]


def where_section(where: Where, top: int) -> list[str]:
    """For each literal the strings of heaps that hold it, its copies in RAM and in cores."""
    heads = "".join(f"{'in ' + name:>20}" for name in where.columns())
    lines = [f"{'':3}{'characters':>11}{heads}"] * bool(heads and where.contents.rows)
    for content, row in enumerate(where.contents.rows[:top]):
        cells = [f"{size} in {number}" if number else "-" for size, number in where.sizes(content)]
        lines.append(
            f"{content + 1:>3}{row.literal.length:>11}{''.join(f'{cell:>20}' for cell in cells)}"
        )
        lines += [f"{'':14}{line}" for line in copies_told(where, content)]
    ram = sum(where.ram(content) for content in range(len(where.contents.rows)))
    length = sum(row.literal.length for row in where.contents.rows)
    if where.processes:
        least = "at least " * any(process.searched is None for process in where.processes)
        lines += [
            f"  all {len(where.contents.rows)}: {size_text(length)} of different contents in the "
            f"inputs, {least}{size_text(ram)} in RAM now"
        ]
    if where.processes or where.cores:
        lines += [
            f"  base64 in memory that is in none of the inputs: {len(where.other)} runs, "
            f"{size_text(sum(where.other))}"
        ]
    return lines


def copies_told(where: Where, content: int) -> list[str]:
    """Lines that tell of a literal's copies by process or core, width and backing."""
    holders: dict[tuple[int, str], dict[str, int]] = {}
    for place in where.of(content):
        counts = holders.setdefault((place.pid or 0, place.holder), {})
        partial = "partly in swap" if place.backing == "swap" else "partial"
        kind = place.backing + " two-byte" * (place.copy.width == 2) if place.whole else partial
        counts[kind] = counts.get(kind, 0) + 1
    lines = []
    for (pid, holder), counts in holders.items():
        told = ", ".join(f"{number} {kind}" for kind, number in counts.items())
        name = f"{printable(holder)} {pid}" if pid else elide(printable(holder), 40)
        lines.append(f"{name}: {told}"[:84])
    longer = sum(not text.whole for _, text in where.strings.get(content, []))
    if longer:
        lines.append(f"in heaps also inside other strings, or as external ones: {longer}")
    return lines


def processes_section(where: Where) -> list[str]:
    """The processes that were searched, and what a core dump of them would hold."""
    lines = [f"{'pid':>10}{'PSS':>12}{'searched':>12}{'in swap':>12}  process"] * bool(
        where.processes
    )
    for process in where.processes:
        sizes = (process.pss, process.searched, process.swap)
        cells = "".join(f"{'-' if size is None else size_text(size):>12}" for size in sizes)
        lines.append(f"{process.pid:>10}{cells}  {printable(process.name)[:50]}")
    filters: dict[int, int] = {}
    for process in where.processes:
        if process.coredump_filter is not None:
            filters[process.coredump_filter] = filters.get(process.coredump_filter, 0) + 1
    for bits, number in filters.items():
        told = [(name, bits >> n & 1) for n, name in enumerate(COREDUMP_FILTER)]
        has = ", ".join(name for name, bit in told if bit) or "nothing"
        not_in = ", ".join(name for name, bit in told if not bit) or "nothing"
        lines += [
            f"  coredump_filter {bits:#x} (of {number} of them): a core dump by the kernel",
            f"    has {has}",
            f"    lacks {not_in}",
        ]
    return lines


def cores_section(where: Where) -> list[str]:
    """The core files that were searched, and how much of the file mappings is in them."""
    lines = []
    for path, searched, mapped, dumped in where.cores:
        lines += [
            f"  {elide(printable(path), 96)}",
            f"    {size_text(searched)} searched; of {size_text(mapped)} of file mappings "
            f"{size_text(dumped)} are in it",
        ]
    return lines


def heaps_section(where: Where, top: int) -> list[str]:
    """The totals of the heap snapshots, and their base64 strings."""
    lines = []
    for heap in where.heaps:
        nodes = sum(number for number, _ in heap.types.values())
        lines += [
            f"  {elide(printable(heap.path), 96)}",
            f"    {nodes} nodes, {size_text(heap.size)}; strings {size_text(heap.strings_size)}; "
            f"base64 strings {len(heap.base64)}, {size_text(sum(t.size for t in heap.base64))}",
        ]
        largest = sorted(heap.types.items(), key=lambda item: (-item[1][1], item[0]))
        for name, (number, size) in largest[:8]:
            lines.append(
                f"{size:>14}{share(size, heap.size):>9}{number:>10}  {printable(name)[:60]}"
            )
        for text in [text for text in heap.base64 if text.content is None][: min(top, 5)]:
            lines.append(f"{text.size:>14}  {text.kind} in none of the inputs, @{text.node_id}")
    pss = sum(process.pss or 0 for process in where.processes)
    if where.heaps and pss:
        whole = sum(heap.size for heap in where.heaps)
        lines.append(f"  heaps {size_text(whole)}, {share(whole, pss)} of the processes' PSS, "
                     f"{size_text(pss)}")  # fmt: skip
    return lines


def report_json(report: Report, where: Where) -> dict[str, object]:
    """The report for programs. Sizes in bytes; lengths in characters."""
    times: dict[str, int] = {}
    for scanned in report.scanned:
        for literal in scanned.literals:
            times[literal.sha256] = times.get(literal.sha256, 0) + 1
    places = {row.literal.sha256: where.json_of(n) for n, row in enumerate(where.contents.rows)}
    found = {
        "sources": [source_json(scanned, times, places) for scanned in report.scanned],
        "left_out": left_out(report),
        "problems": [{"path": path, "problem": text} for path, text in report.problems],
        "heaps": [heap.told() for heap in where.heaps],
    }
    if where.asked & {"pid", "core"}:
        names = ("path", "searched", "file_mappings", "file_mappings_dumped")
        found["processes"] = [process._asdict() for process in where.processes]
        found["cores"] = [dict(zip(names, core)) for core in where.cores]
        found["other"] = {"runs": len(where.other), "bytes": sum(where.other)}
    return found


def source_json(
    scanned: Scanned, times: dict[str, int], places: dict[str, dict[str, object]]
) -> dict[str, object]:
    """One source for programs."""
    script = scanned.script
    return {
        "path": scanned.source.path,
        "size": scanned.source.size,
        "two_byte": bool(script.beyond_latin1) if script else None,
        "characters": script.characters if script else None,
        "beyond_latin1": script.beyond_latin1 if script else None,
        "valid_utf8": script.valid if script else None,
        "literals": [
            {
                **literal._asdict(),
                "offset": offset_of(literal, scanned.source),
                "occurrences": times[literal.sha256],
                **places.get(literal.sha256, {}),
            }
            for literal in scanned.literals
        ],
    }


# ---------------------------------------------------------------- what is written


def extract(report: Report, folder: str) -> None:
    """Write each content to a file of its own: 001-font-ttf.ttf, the largest first."""
    try:
        os.makedirs(folder, exist_ok=True)
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        report.problem(folder, error.strerror)
        return
    for number, row in enumerate(rows_of(report), 1):
        kind = row.literal.kind
        name = f"{number:03}-{re.sub('[/ ]', '-', kind).lower()}.{ending_of(kind)}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            out = os.open(name, flags, 0o666, dir_fd=inside)
        except OSError as error:
            report.problem(os.path.join(folder, name), f"{error.strerror}; not written")
            continue
        try:
            trouble = write_content(row, out)
        except OSError as error:
            trouble = error.strerror
        finally:
            os.close(out)
        if trouble:
            os.unlink(name, dir_fd=inside)
            report.problem(os.path.join(folder, name), f"{trouble}; not written")
    os.close(inside)


def write_content(row: Row, out: int) -> str:
    """Decode a literal piece by piece into an open file. Returns what went wrong."""
    fd = os.open(row.source.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    digest = sha256()
    try:
        source = row.source.opened(fd)
        start = row.literal.offset
        for _, piece in source.pieces(start, start + row.literal.length, 3 * 2**18):
            piece = piece.rstrip(b"=").translate(TO_STANDARD)
            data = a2b_base64(piece + b"=" * (-len(piece) % 4))
            digest.update(data)
            while data:
                data = data[os.write(out, data) :]
    except ValueError:  # no base64 any more
        digest = sha256()
    finally:
        os.close(fd)
    same = digest.hexdigest() == row.literal.sha256
    return "" if same else f"{row.source.file} has changed since it was searched"


def save_picture(report: Report, where: Where, out: str, top: int) -> None:
    """Two panels of bars: the largest literals, and the kinds; or where the largest ones sit."""
    from matplotlib.figure import Figure

    rows = rows_of(report)[: min(top, 20)]
    figure = Figure(figsize=(12, 8), dpi=100)
    names = ", ".join(os.path.basename(path.rstrip("/")) for path, *_ in report.inputs)
    title = elide(f"Base64 literals in {printable(names)}", 90).replace("$", r"\$")
    figure.text(0.01, 0.985, title, size=14, weight="bold", va="top")
    count = sum(len(scanned.literals) for scanned in report.scanned)
    length = sum(row[1][0] for row in totals_by_kind(report))
    whole = sum(scanned.source.size for scanned in report.scanned)
    note = f"{count} literals, {size_text(length)} of {size_text(whole)} ({share(length, whole)})"
    if where.columns() and rows:
        panel = figure.subplots()
        figure.subplots_adjust(left=0.26, right=0.97, top=0.87, bottom=0.07)
        sits = where_bars(panel, where, rows[:12])
        note += f". Each content once: {sits}"
    else:
        draw_kinds(figure, report, rows)
    figure.text(0.01, 0.945, note, size=10, va="top")
    figure.savefig(out, format=os.path.splitext(out)[1][1:].lower())


def draw_kinds(figure: object, report: Report, rows: Sequence[Row]) -> None:
    """The largest literals above, the kinds below."""
    kinds = totals_by_kind(report)[:12]
    upper, lower = figure.subplots(
        2, 1, gridspec_kw={"height_ratios": [max(1, len(rows)) + 2, max(1, len(kinds)) + 2]}
    )
    figure.subplots_adjust(left=0.3, right=0.97, top=0.9, bottom=0.07, hspace=0.25)
    bars(upper, [(picture_label(row), row.literal.length) for row in rows], "#0072B2")
    upper.set_title("The largest, each content once", loc="left", size=10)
    labels = [(f"{kind} ({number})", length) for kind, (length, _, number) in kinds]
    bars(lower, labels, "#E69F00")
    lower.set_title("All of them, by kind (number)", loc="left", size=10)
    lower.set_xlabel("KiB of base64 characters in the file")


def where_bars(panel: object, where: Where, rows: Sequence[Row]) -> str:
    """For each literal a bar for the input and one for each place. Returns the sums."""
    names = ["inputs", *where.columns()]
    sizes = [
        [(row.literal.length, row.places), *where.sizes(content)]
        for content, row in enumerate(where.contents.rows)
    ]
    height = 0.8 / len(names)
    for at, name in enumerate(names):
        ys = [n + (at - (len(names) - 1) / 2) * height for n in range(len(rows))]
        values = [line[at] for line in sizes[: len(rows)]]
        colour = COLOURS[name]
        widths = [size / 1024 for size, _ in values]
        panel.barh(ys, widths, 0.9 * height, color=colour, label=f"in {name}")
        for y, width, (size, number) in zip(ys, widths, values):
            copies = f", {number} copies" if number > 1 else ""
            panel.text(width, y, f" {size_text(size)}{copies}", va="center", size=7)
    panel.set_yticks(range(len(rows)))
    panel.set_yticklabels([picture_label(row).replace("$", r"\$") for row in rows], size=9)
    panel.invert_yaxis()
    panel.margins(x=0.15, y=0.01)
    panel.legend(loc="lower right")
    panel.set_title("The largest: bytes of all their whole copies", loc="left", size=10)
    panel.set_xlabel("KiB")
    sums = [size_text(sum(line[at][0] for line in sizes)) for at in range(len(names))]
    return ", ".join(f"{size} in {name}" for size, name in zip(sums, names))


def picture_label(row: Row) -> str:
    """A bar's name: the kind and the place."""
    line = f"line {row.literal.line}" if row.literal.line else f"byte {row.literal.offset}"
    times = f", {row.places} times" if row.places > 1 else ""
    return f"{row.literal.kind}, {line}{times}"


def bars(panel: object, sizes: Sequence[tuple[str, int]], colour: str) -> None:
    """Horizontal bars with their values, the first at the top."""
    panel.barh(range(len(sizes)), [size / 1024 for _, size in sizes], color=colour)
    panel.set_yticks(range(len(sizes)))
    panel.set_yticklabels([label.replace("$", r"\$") for label, _ in sizes], size=9)
    panel.invert_yaxis()
    panel.margins(x=0.12)
    for place, (_, size) in enumerate(sizes):
        panel.text(size / 1024, place, f" {size_text(size)}", va="center", size=8)
    if not sizes:
        panel.text(0.5, 0.5, "none found", ha="center", transform=panel.transAxes)


# ---------------------------------------------------------------- the command line

EXAMPLES = """\
examples:
  npx asar extract app.asar unpacked
  ./asar_investigate.py --in unpacked/1.bundle.js
  ./asar_investigate.py app.asar --extract blobs --json report.json
  ./asar_investigate.py --in unpacked --pid $(pgrep -o scratch)
  ./asar_investigate.py --in unpacked --heap page.heapsnapshot --out heap.png
"""


def characters(text: str) -> int:
    """A number of characters, K and M understood, for argparse."""
    match = re.fullmatch(r"(\d{1,9})([KMkm]?)", text)
    number = int(match[1]) * {"": 1, "K": 2**10, "M": MIB}[match[2].upper()] if match else 0
    if not 1 <= number <= 16 * MIB:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 1 to 16M")
    return number


def rows_number(text: str) -> int:
    """A number of rows, for argparse."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a number of rows")
    return int(text)


def pid_number(text: str) -> int:
    """A process's number, for argparse."""
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a process's number")
    return int(text)


def picture(text: str) -> str:
    """The name of a picture that can be drawn, for argparse."""
    if os.path.splitext(text)[1].lower() not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text}: the ending must be one of {', '.join(FORMATS)}")
    return text


def parser() -> argparse.ArgumentParser:
    """The command line, as the README's table tells it."""
    result = argparse.ArgumentParser(
        prog="asar_investigate.py",
        usage="asar_investigate.py [options] PATH ...  (or --in PATH ...)",
        description="Which big base64 literals a bundle, a folder or an app.asar holds, "
        "and where they sit in memory.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    add = result.add_argument_group("what to search").add_argument
    add("paths", nargs="*", metavar="PATH", help="files, folders, .asar archives as they are")
    add("--in", nargs="+", metavar="PATH", dest="more", default=[], help="the same")
    add("--min-size", metavar="N", type=characters, default=256,
        help="shortest literal, in characters without padding; K and M (256)")  # fmt: skip
    add = result.add_argument_group("where to look for them").add_argument
    add("--pid", metavar="PID", nargs="+", type=pid_number, default=[],
        help="the memory of these processes and their descendants")  # fmt: skip
    add("--core", metavar="FILE", nargs="+", default=[], help="core dumps, gcore's or the kernel's")
    add("--heap", metavar="FILE", nargs="+", default=[], help="V8 heap snapshots")
    add = result.add_argument_group("what to write").add_argument
    add("--top", metavar="N", type=rows_number, default=20, help="rows of the table (20)")
    add("--json", metavar="FILE", help="the whole report for programs; - is stdout")
    add("--extract", metavar="DIR", help="write each decoded literal to a file in DIR")
    add(
        "--out",
        metavar="FILE",
        type=picture,
        help="a picture: the largest, the kinds, where they sit",
    )
    add("--version", action="version", version=f"%(prog)s {VERSION}", help="show the version")
    add("-h", "--help", action="help", help="show this help")
    return result


def write_report(report: Report, where: Where, options: argparse.Namespace) -> None:
    """The report on stdout, and the files that were asked for."""
    if options.json != "-":
        bold = sys.stdout is not None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
        trouble = tell(report_text(report, where, options.top, bold), sys.stdout)
        if trouble:
            report.problem("stdout", trouble)
    if options.extract:
        extract(report, options.extract)
    if options.out:
        try:
            save_picture(report, where, options.out, options.top)
        except ImportError:
            report.problem(
                options.out, "needs matplotlib: apt install python3-matplotlib (or pip install it)"
            )
        except OSError as error:
            report.problem(options.out, error.strerror)
    if options.json:
        write_json(report, where, options.json)


def write_json(report: Report, where: Where, out: str) -> None:
    """The report for programs, to a file or (-) to stdout."""
    import json

    text = json.dumps(report_json(report, where), indent=1)
    if out == "-":
        trouble = tell(text, sys.stdout)
        if trouble:
            report.problem("stdout", trouble)
        return
    try:
        with open(out, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        report.problem(out, error.strerror)


def tell(text: str, stream: TextIO | None) -> str:
    """Print what the stream's encoding can hold, the rest escaped. Returns what went wrong."""
    try:
        encoding = stream.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except AttributeError:  # closed before the start: no stream
        return "it is closed"
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # so that Python's own flush succeeds
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return "" if isinstance(error, BrokenPipeError) else error.strerror
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Search and report. Returns 0, or 2 when something could not be read or written."""
    options = parser().parse_args(argv)
    paths = [*options.paths, *options.more]
    elsewhere = options.pid or options.core or options.heap
    if not (paths or elsewhere):
        say("give files, folders or .asar archives (see --help)")
        return 2
    report = Report(options.min_size)
    where = Where(report)
    try:
        for path in paths:
            report.add(path)
        if elsewhere:
            where.look(options, without_inputs=not paths)
        report.clear()
        write_report(report, where, options)
    except KeyboardInterrupt:
        report.clear()
        return 130
    return 2 if report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
