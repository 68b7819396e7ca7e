#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = ["psutil>=5.8.0", "matplotlib>=3.3.4"]
# ///
"""Which big base64 literals a bundle, a folder or an app.asar holds.

    $ ./asar_investigate.py --top 3 --in $(tests/scratch3 --old --bundle)
    .../scratch-gui.js
      18.5 MiB: 91 base64 literals of 256 characters or more, 3500516 characters, 18.1 %

    The largest of 91 contents
        characters    string   decoded times  kind                    place
      1     603480    603480    452608     1  font/ttf                .../scratch-gui.js:189249:19
      2     296508    296508    222380     1  font/otf                .../scratch-gui.js:189255:19
      3     278368    278368    208776     1  font/ttf                .../scratch-gui.js:189273:19
    ...
    As V8 keeps it
      .../scratch-gui.js
        18948992 characters, 292248 beyond Latin-1: two bytes each, 36.1 MiB in memory
        the first at line 28037, column 57; as \\u escapes: one byte each, 19.5 MiB, 16.7 MiB less

Data goes one way: path -> sources -> literals -> report. Nothing of an input is executed, and no
name from an archive is used as a path to write to.
"""

from __future__ import annotations

import argparse
import bisect
import codecs
import contextlib
import os
import re
import stat
import sys
import time
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple, TextIO

VERSION = "1.0"
MIB = 2**20
WINDOW = 2**20  # bytes read at a time
NEAR, AROUND = 2**10, 2**16  # bytes looked at around a run for the string it stands in
HEAD = 1024  # decoded bytes that tell a kind
MAX_HEADER = 100 * MIB  # of an archive: some 300,000 files; json needs ten times as much
MAX_PATH = 4096  # characters of a member's path, as of a file's
FORMATS = (".png", ".svg", ".pdf")

# The reference: what the scan finds, byte for byte, for N characters and more.
STANDARD = r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{%d,}={0,2}"
URL_SAFE = r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{%d,}={0,2}"  # if it overlaps none of the first

LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
EITHER = bytes(int(byte in LETTERS + b"+/-_") for byte in range(256))  # for bytes.translate
URL_SAFE_ONLY, STANDARD_ONLY = (b"-", b"_"), (b"+", b"/")  # of the characters of either alphabet
BELOW_U0100 = bytes(range(0xC4))  # in UTF-8 all bytes but the first ones of U+0100 and beyond
ASTRAL = bytes(range(0xF0, 0x100))  # the first bytes of U+10000 and beyond: two UTF-16 units
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
ASTRAL_RE = re.compile(r"[\U00010000-\U0010ffff]")
MARK = b"qZ7base64runZq7"  # stands for a run while its surroundings are looked at
ESCAPE_RE = re.compile(
    r"\\(?:u\{[0-9A-Fa-f]+\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|\r\n|[0-7]{1,3}|.)", re.S
)
HEX_RE = re.compile(rb"(?:[0-9a-f]+|[0-9A-F]+)")
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

    def read(self, offset: int, count: int) -> bytes:
        """Bytes from offset on (fewer at the end), by pread: nothing is mapped."""
        count = min(count, self.size - offset)
        return os.pread(self.fd, count, self.base + offset) if count > 0 else b""

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


def stride_for(count: int) -> int:
    """How far apart samples may be so that a run of count has 16 of them or more.

    A prime: number tables (0,1,0,1) and escapes (\\u5b57) repeat every 2 or 6 bytes.
    """
    primes = (n for n in range(count // 16, 1, -1) if all(n % d for d in range(2, int(n**0.5) + 1)))
    return next(primes, 1)


def long_runs(source: Source, count: int) -> Iterator[tuple[int, int]]:
    """Start and end of each longest run of count or more characters of either alphabet.

    In C as far as it goes: of every so many bytes one is looked at, and where 16 in a row are
    in an alphabet, all of them. A window in which that is often in vain goes to the regular
    expression. Windows overlap by count - 1, so that a run has its start in one of them.
    """
    stride = stride_for(count)
    expression = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{%d,}" % count)
    position, size = 0, max(WINDOW, 2 * count)
    while position < source.size:
        window = source.read(position, size)
        short = len(window) < min(size, source.size - position)
        last = short or position + len(window) == source.size
        following = len(window) if last else len(window) - count + 1
        for start, end in window_runs(window, count, stride, expression):
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
    window: bytes, count: int, stride: int, expression: re.Pattern
) -> Iterator[tuple[int, int]]:
    """The runs of count or more within one window."""
    samples = window[::stride].translate(EITHER)
    wanted = b"\1" * (count // stride)
    found, vain = samples.find(wanted), 0
    while found >= 0:
        place = found * stride
        behind = window[max(0, place - stride) : place].translate(EITHER)
        start = place - len(behind) + behind.rfind(b"\0") + 1
        end = end_in(window, place)
        if end - start >= count:
            yield start, end
        else:
            vain += 1
            if vain > 1000:
                yield from (m.span() for m in expression.finditer(window, end))
                return
        found = samples.find(wanted, max(found + 1, end // stride))


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
        standard = list(split_run(source, start, end, count, URL_SAFE_ONLY))
        if standard == [(start, end)]:
            yield start, end, False
            continue
        found = [(*run, False) for run in standard]
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


def place_of(row: Row) -> str:
    """'path:line:column' of a text, 'path at byte offset' of what is none."""
    path, literal = printable(row.source.path), row.literal
    if literal.line is None:
        return f"{path} at byte {literal.offset}"
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


def report_text(report: Report, top: int, bold: bool) -> str:
    """The whole report, under 100 columns. Never a literal's content."""
    rows = rows_of(report)
    sections = [
        ("", inputs_section(report)),
        (f"The largest of {len(rows)} contents", largest_section(rows[:top])),
        ("By kind", kinds_section(report)),
        ("Source maps in line", maps_section(report)),
        ("More than once", duplicates_section(rows)),
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
        files = "" if end - begin == 1 else f"{end - begin} files, "
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
        lines.append(f"{number:>3}{sizes}  {kind:24}{elide(place_of(row), 33)}")
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
    ]
    whole = sum(source.size for source in sources)
    largest = sorted(sources, key=lambda source: (-source.size, source.path))[:10]
    return [
        f"  {source.size:>12}{share(source.size, whole):>9}  {elide(printable(source.path), 73)}"
        for source in largest
    ]


def report_json(report: Report) -> dict[str, object]:
    """The report for programs. Sizes in bytes; lengths in characters."""
    times: dict[str, int] = {}
    for scanned in report.scanned:
        for literal in scanned.literals:
            times[literal.sha256] = times.get(literal.sha256, 0) + 1
    return {
        "sources": [source_json(scanned, times) for scanned in report.scanned],
        "left_out": left_out(report),
        "problems": [{"path": path, "problem": text} for path, text in report.problems],
        "heaps": [],
    }


def source_json(scanned: Scanned, times: dict[str, int]) -> dict[str, object]:
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
            {**literal._asdict(), "occurrences": times[literal.sha256]}
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
        source = row.source._replace(fd=fd)
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


def save_picture(report: Report, out: str, top: int) -> None:
    """Two panels of bars: the largest literals, and the kinds."""
    from matplotlib.figure import Figure

    rows, kinds = rows_of(report)[: min(top, 20)], totals_by_kind(report)[:12]
    figure = Figure(figsize=(12, 8), dpi=100)
    upper, lower = figure.subplots(
        2, 1, gridspec_kw={"height_ratios": [max(1, len(rows)) + 2, max(1, len(kinds)) + 2]}
    )
    figure.subplots_adjust(left=0.3, right=0.97, top=0.9, bottom=0.07, hspace=0.25)
    names = ", ".join(os.path.basename(path.rstrip("/")) for path, *_ in report.inputs)
    title = elide(f"Base64 literals in {printable(names)}", 90).replace("$", r"\$")
    figure.text(0.01, 0.985, title, size=14, weight="bold", va="top")
    count = sum(len(scanned.literals) for scanned in report.scanned)
    length = sum(row[1][0] for row in totals_by_kind(report))
    whole = sum(scanned.source.size for scanned in report.scanned)
    note = f"{count} literals, {size_text(length)} of {size_text(whole)} ({share(length, whole)})"
    figure.text(0.01, 0.945, note, size=10, va="top")
    bars(upper, [(picture_label(row), row.literal.length) for row in rows], "#0072B2")
    upper.set_title("The largest, each content once", loc="left", size=10)
    labels = [(f"{kind} ({number})", length) for kind, (length, _, number) in kinds]
    bars(lower, labels, "#E69F00")
    lower.set_title("All of them, by kind (number)", loc="left", size=10)
    lower.set_xlabel("KiB of base64 characters in the file")
    figure.savefig(out, format=os.path.splitext(out)[1][1:].lower())


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
        description="Which big base64 literals a bundle, a folder or an app.asar holds.",
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
    add = result.add_argument_group("what to write").add_argument
    add("--top", metavar="N", type=rows_number, default=20, help="rows of the table (20)")
    add("--json", metavar="FILE", help="the whole report for programs; - is stdout")
    add("--extract", metavar="DIR", help="write each decoded literal to a file in DIR")
    add("--out", metavar="FILE", type=picture, help="a picture of the largest and of the kinds")
    add("--version", action="version", version=f"%(prog)s {VERSION}", help="show the version")
    add("-h", "--help", action="help", help="show this help")
    return result


def write_report(report: Report, options: argparse.Namespace) -> None:
    """The report on stdout, and the files that were asked for."""
    if options.json != "-":
        bold = sys.stdout is not None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
        trouble = tell(report_text(report, options.top, bold), sys.stdout)
        if trouble:
            report.problem("stdout", trouble)
    if options.extract:
        extract(report, options.extract)
    if options.out:
        try:
            save_picture(report, options.out, options.top)
        except ImportError:
            report.problem(
                options.out, "needs matplotlib: apt install python3-matplotlib (or pip install it)"
            )
        except OSError as error:
            report.problem(options.out, error.strerror)
    if options.json:
        write_json(report, options.json)


def write_json(report: Report, out: str) -> None:
    """The report for programs, to a file or (-) to stdout."""
    import json

    text = json.dumps(report_json(report), indent=1)
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
    if not paths:
        say("give files, folders or .asar archives (see --help)")
        return 2
    report = Report(options.min_size)
    try:
        for path in paths:
            report.add(path)
        report.clear()
        write_report(report, options)
    except KeyboardInterrupt:
        report.clear()
        return 130
    return 2 if report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
