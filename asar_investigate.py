#!/usr/bin/env python3
"""Which big base64 literals a bundle, a folder or an app.asar holds, and where they sit in memory.

    $ ./asar_investigate.py --top 1 --in $(tests/scratch3 --old --bundle)
    .../1.bundle.js
      18.5 MiB: 91 base64 literals of 256 characters or more, 3500516 characters, 18.1 %
    ...

Data goes one way: path -> sources -> literals -> (their copies in processes, core files and heap
snapshots) -> report. Nothing of an input is executed, no name in it is a path to write to.
"""

from __future__ import annotations

import argparse
import bisect
import codecs
import contextlib
import errno
import marshal
import os
import re
import stat
import struct
import sys
import time
import warnings
from array import array
from binascii import a2b_base64
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from heapq import nlargest
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import BinaryIO, NamedTuple, TextIO

VERSION = "1.0"
MIB = 2**20
WINDOW = 2**20  # bytes read at a time
TEMPORARY_FOLDER = "/var/tmp" if os.access("/var/tmp", os.W_OK) else "/tmp"  # often in RAM

# ---------------------------------------------------------------- sources and literals
# What flows from section to section: where bytes are (Source), the base64 in them (Literal), how V8
# keeps a text (Script), and all of that for one file or archive member (Scanned).


class Problem(Exception):
    """Something that could not be read, said in one line; the rest is still reported."""


class Source(NamedTuple):
    """A file, a member of an archive or a piece of memory: its name, and where its bytes are."""

    path: str
    file: str
    base: int  # where it begins in the file, or its address
    size: int  # in characters
    fd: int = -1
    width: int = 1  # bytes a character
    space: Pages | Core | None = None  # the memory that it is a piece of

    def read(self, offset: int, count: int) -> bytes:
        """Characters from offset on (fewer at the end), by pread: nothing is mapped."""
        start = self.base + self.width * offset
        size = self.width * max(0, min(count, self.size - offset))
        data = self.space.bytes_at(start, start + size) if self.space else b""
        while len(data) < size and (more := os.pread(self.fd, size - len(data), start + len(data))):
            data += more  # a read may be short: before a bad sector, on FUSE
        return narrowed(data) if self.width == 2 else data

    def pieces(self, start: int, end: int, size: int = WINDOW) -> Iterator[tuple[int, bytes]]:
        """The characters from start to end in pieces, each with its offset."""
        while start < end and (piece := self.read(start, min(size, end - start))):
            yield start, piece
            start += len(piece)

    def part(self, offset: int, length: int) -> Source:
        """`length` characters from byte `offset` on, as a source of its own."""
        return self._replace(base=self.base + offset, size=length)


class Literal(NamedTuple):
    """One base64 run that holds data."""

    offset: int  # bytes from the start of the file or member; in a process an address
    line: int | None
    column: int | None
    string_length: int | None
    mime: str | None
    in_comment: bool  # the value of a sourceMappingURL comment
    length: int  # from here on: the fields of its Content
    decoded: int
    sha256: bytes
    kind: str


class Script(NamedTuple):
    """A text as V8 keeps it: one byte a UTF-16 unit, or two if any is beyond Latin-1."""

    characters: int
    beyond_latin1: int
    size: int  # bytes in memory
    escaped_size: int  # bytes if each unit beyond Latin-1 were written as \uXXXX
    valid_utf8: bool


class Scanned:
    """What one source holds. Literals are packed: some 150 bytes each where a tuple takes 500."""

    def __init__(self, source: Source, left_out: Counter) -> None:
        self.source = source
        self.script: Script | None = None  # None: no text
        self.packed: list[bytes] = []
        self.left_out = left_out  # reason -> number of runs; shared by all sources

    def add(self, found: Literal | str) -> None:
        """Keep a literal, or count why a run is left out."""
        if isinstance(found, str):
            self.left_out[found] += 1
        else:
            self.packed.append(marshal.dumps(tuple(found)))

    def literal(self, number: int) -> Literal:
        return Literal(*marshal.loads(self.packed[number]))

    def literals(self) -> Iterator[Literal]:
        return map(self.literal, range(len(self.packed)))


def size_text(size: int) -> str:
    """A size in bytes for people: 603480 -> '589.3 KiB'."""
    for unit, name in ((2**30, "GiB"), (MIB, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def count_text(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# ---------------------------------------------------------------- the scan
# In: a source and a number N. Out: start and end of each run of base64 of N characters or more: the
# matches of (?<![A-Za-z0-9+/])[A-Za-z0-9+/]{N,}={0,2}, and those of the URL-safe alphabet,
# (?<![A-Za-z0-9_-])[A-Za-z0-9_-]{N,}={0,2}, that overlap none of them, or are so long that they do
# by chance (then these alone). bytes.translate and bytes.find do most of it, on a sample of bytes.

LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
EITHER, IN_STANDARD, IN_URL_SAFE = (  # for bytes.translate: 1 in the alphabet, else 0
    bytes(int(byte in LETTERS + more) for byte in range(256)) for more in (b"+/-_", b"+/", b"-_")
)
Span = tuple[int, int]  # start and end, without padding


def stride_for(count: int) -> int:
    """The distance between samples that puts 20 or more in a run of count; 1 for short runs."""
    # coprime to 6: number tables (0,1,0,1) repeat every 2 bytes, escapes (\u5b57) every 6
    return count // 24 // 6 * 6 + 1


def find_runs(source: Source, count: int) -> Iterator[Span]:
    """Each run in order of place; a long one of URL-safe data is never taken apart."""
    for start, end in long_runs(source, count):
        piece, part = source.read(start, min(end - start, WINDOW)), source._replace(size=end)
        marks = piece.count(b"-") + piece.count(b"_")  # some 1 in 32 of URL-safe data
        url_safe = marks > len(piece) // 256 > 16 and run_end(part, start, IN_URL_SAFE) == end
        if url_safe or (not marks and end - start == len(piece)):
            yield start, end
            continue
        standard = long_runs(part, count, IN_STANDARD, start)
        ahead = next(standard, None)  # the first standard run that is not yielded yet
        for run in chain(long_runs(part, count, IN_URL_SAFE, start), [(end, end)]):
            while ahead and ahead[1] <= run[0]:
                yield ahead
                ahead = next(standard, None)
            if run[0] < end and not (ahead and ahead[0] < run[1]):  # (end, end) is no run
                yield run


def long_runs(source: Source, count: int, alphabet: bytes = EITHER, at: int = 0) -> Iterator[Span]:
    """Each longest run of count or more characters of an alphabet."""
    shortest = min(count, WINDOW // 2)  # windows overlap: so much of each run is in one
    while at < source.size:
        window = source.read(at, WINDOW)
        last = len(window) < WINDOW
        next_window = len(window) - shortest + 1
        for start, end in window_runs(window, shortest, alphabet):
            if end == len(window) and not last:
                end = run_end(source, at + end, alphabet) - at
                next_window = end
            if end - start >= count:
                yield at + start, at + end
        at = source.size if last else at + next_window


def window_runs(window: bytes, count: int, alphabet: bytes = EITHER) -> Iterator[Span]:
    """The runs of count or more within one window."""
    # Sample one byte in `stride`. Where enough samples in a row are in the alphabet, look at each
    # byte up to the next sample that is not: linear on any input.
    stride, prefix = stride_for(count), min(count, 8)
    wanted = b"\1" * (count // stride)
    run = re.compile(b"\0%b\1{%d,}" % (b"\1" * prefix, count - prefix))  # a literal prefix is fast
    window = b"\0" + window  # so that a byte stands before each run
    samples = window[::stride].translate(alphabet) + b"\0"
    found = samples.find(wanted)
    while found >= 0:
        last = samples.find(b"\0", found) if stride > 1 else len(window)
        start = (found - 1) * stride
        for match in run.finditer(window[start : last * stride].translate(alphabet)):
            yield start + match.start(), start + match.end() - 1
        found = samples.find(wanted, last)


def run_end(source: Source, offset: int, alphabet: bytes = EITHER) -> int:
    """Where a run that goes on beyond its window ends."""
    for start, piece in source.pieces(offset, source.size):
        if (end := piece.translate(alphabet).find(b"\0")) >= 0:
            return start + end
    return source.size


# ---------------------------------------------------------------- around a run
# In: what stands before and after a run. Out: the length of the string literal it stands in, as a
# JavaScript parser has it, and its declared type. All of it is linear in what is looked at.

# RFC 2397, in lower case, and what browsers tolerate
DATA_URI_RE = re.compile(rb"data:([\w.+-]+\\?/[\w.+-]+)?(?:;[^;,]*)*; *base64,\Z")
MARKUP = (".html", ".htm", ".xhtml", ".xml", ".svg", ".css")  # their strings are not JavaScript's
SOURCE_MAP_RE = re.compile(rb"/[/*][#@][ \t]{0,9}sourceMappingURL=([^\s\"'\\*]*)\Z")
CLOSING_QUOTE_RE = {  # 1: rest of a string (of a template: to a substitution), 2: its end
    '"': re.compile(r'([^"\\\n]*(?:\\.[^"\\\n]*)*)(")?', re.S),
    "'": re.compile(r"([^'\\\n]*(?:\\.[^'\\\n]*)*)(')?", re.S),
    "`": re.compile(r"((?:[^`\\$]+|\\.|\$(?!\{))*)[^`\\]*(?:\\.[^`\\]*)*(`)?", re.S),
}
NEWLINE_RE = re.compile(r"(?<!\\)\n")
EVAL_RE = re.compile(r"\beval\((?:[\w$.]{1,80}\()?\s*$")
CODE_BEFORE_RE = re.compile(  # what code has before a string (not CSS), and after it
    r"(?:[=\[{,:;+?&|!<>~^*%}-]|(?<!\b[Uu][Rr][Ll])\("
    r"|\b(?:return|case|typeof|throw|in|of|from|import|default|else|do|void|yield|await))\s*$"
)
CODE_AFTER_RE = re.compile(
    r"\s*(?:[\])},;:+.?=&|!*%\[-]|$|//|/\*|(?:in|of|instanceof|from)\b)|[ \t\r]*\n"
)
ESCAPE_RE = re.compile(  # ECMA-262, EscapeSequence
    r"(?s)\\(?:u\{0*(?:[0-9A-Fa-f]{1,5}|10[0-9A-Fa-f]{4})\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}"
    r"|[0-7]{1,3}|.)"
)


def escape_length(before: bytes, run: str, length: int) -> int:
    """How many characters of a run end an escape: the n of \\nAAAA. The slash of \\/ is data."""
    # Code within a string doubles each backslash and escapes its quotes: the backslashes before the
    # last quote tell how deep this is. If they do not, a length that base64 cannot have does.
    text = before.rstrip(b"\\")
    up_to_quote = text[: max(0, *map(text.rfind, (b'"', b"'", b"`")))]
    pair = 2 * (1 + len(up_to_quote) - len(up_to_quote.rstrip(b"\\")))  # one backslash, escaped
    only_pairs = (len(before) - len(text)) % pair == 0
    if (only_pairs and length % 4 != 1) or run[0] == "/":
        return 0
    return ESCAPE_RE.match(f"\\{run}").end() - 1


def string_around(before: str, after: str, depth: int = 0) -> int | None:
    """UTF-16 units of the string from `before` to `after`; in eval("..."), of its code's string."""
    found = sorted(filter(None, (string_in(quote, before, after) for quote in CLOSING_QUOTE_RE)))
    while len(found) > 1 and opens_no_string(before, found[0][0], found[1][0]):
        del found[0]
    if not found:
        return None
    start, end = found[0]  # the outermost: other quotes within it are its text
    inside, rest = (ESCAPE_RE.sub(unescape, part) for part in (before[start:], after[:end]))
    is_code = depth < 4 and EVAL_RE.search(before[max(0, start - 120) : start - 1])
    inner = string_around(inside, rest, depth + 1) if is_code else None
    return inner or len((inside + rest).encode("utf-16-le", "surrogatepass")) // 2


def string_in(quote: str, before: str, after: str) -> tuple[int, int] | None:
    """Where a string in such quotes starts in `before` and ends in `after`; None if not in code."""
    # HTML and CSS are not code. Of a template it is the part between substitutions.
    start = last_quote(before, quote)
    if not start or (quote != "`" and NEWLINE_RE.search(before, start)):
        return None
    code = before[max(0, start - 25) : start - 1]
    tagged = quote == "`" and code[-1:].isidentifier()
    if code and not tagged and not CODE_BEFORE_RE.search(code):
        return None
    substitution = last_quote(before, "${") if quote == "`" else 0
    if substitution > start:
        start = before.find("}", substitution) + 1
        if not start or "{" in before[substitution + 1 : start]:  # still open, or with braces
            return None
    closing = CLOSING_QUOTE_RE[quote].match(after)
    closed = closing[2] and CODE_AFTER_RE.match(after, closing.end())
    return (start, closing.end(1)) if closed else None


def opens_no_string(before: str, start: int, inner: int) -> bool:
    """Whether the quote before `start` closes a string, or is within another."""
    between, quote = before[start : inner - 1], before[inner - 1]
    opening = last_quote(before[: start - 1], before[start - 1])
    code = before[max(0, opening - 25) : opening - 1]
    closes = opening and CODE_BEFORE_RE.search(code) and CODE_AFTER_RE.match(before, start)
    return bool(closes) or (between.count(quote) - between.count(f"\\{quote}")) % 2 == 1


def last_quote(before: str, quote: str) -> int:
    """One past the last such quote that has no backslash before it; 0 if there is none."""
    place = before.rfind(quote)
    while place > 0 and before[place - 1] == "\\":
        place = before.rfind(quote, 0, place)
    return place + 1


def unescape(match: re.Match) -> str:
    body = match[0][1:]
    if body[0] in "01234567":
        return chr(int(body, 8))
    if len(body) > 1:
        return chr(int(body[1:].strip("{}"), 16))
    return "" if body in "\n\u2028\u2029" else {"n": "\n", "t": "\t", "r": "\r"}.get(body, body)


# ---------------------------------------------------------------- what a run holds
# In: a run. Out: its decoded size, hash and kind, or the reason why it is not data.

HEAD = 1024  # decoded bytes that tell a kind
PIECE = 3 * 2**18  # characters decoded at a time, a multiple of four
TO_STANDARD = bytes.maketrans(b"-_", b"+/")
HEX_RE = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
ONE_CASE_RE = re.compile(rb"[^a-z]+|[^A-Z]+")
JSON_RE = re.compile(rb'\{\s*["}]|\[\s*["\[{\]\d-]')

KINDS = (  # kind, what its data begins with
    ("font/ttf", rb"\0\x01\0\0|true\0"),
    ("font/ttc", rb"ttcf"),
    ("font/otf", rb"OTTO\0"),
    ("font/woff2", rb"wOF2"),
    ("font/woff", rb"wOFF"),
    ("font/eot", rb".{8}[\0-\x02]\0[\x01\x02]\0.{22}LP"),
    ("image/png", rb"\x89PNG"),
    ("image/jpeg", rb"\xff\xd8\xff"),
    ("image/gif", rb"GIF8"),
    ("image/webp", rb"RIFF.{4}WEBP"),
    ("image/tiff", rb"II\*\0|MM\0\*"),
    ("image/ico", rb"\0\0\x01\0"),
    ("image/bmp", rb"BM.{4}\0{4}"),
    ("image/avif", rb".{4}ftypavi"),
    ("image/heic", rb".{4}ftyp(?:he|mif1)"),
    ("audio/m4a", rb".{4}ftypM4A"),
    ("video/mp4", rb".{4}ftyp"),
    ("video/webm", rb"\x1aE\xdf\xa3"),
    ("audio/wav", rb"RIFF.{4}WAVE"),
    ("audio/mp3", rb"ID3[\x02-\x04]|\xff[\xfa\xfb\xf2\xf3]"),
    ("audio/aac", rb"\xff[\xf1\xf9]"),
    ("audio/midi", rb"MThd"),
    ("audio/ogg", rb"OggS"),
    ("audio/flac", rb"fLaC"),
    ("wasm", rb"\0asm"),
    ("archive/zip", rb"PK\x03\x04"),
    ("archive/gzip", rb"\x1f\x8b\x08"),
    ("archive/zlib", rb"x[\x01\x9c\xda]"),
    ("archive/zstd", rb"\x28\xb5\x2f\xfd"),
    ("archive/xz", rb"\xfd7zXZ\0"),
    ("archive/bzip2", rb"BZh[1-9]1AY&SY"),
    ("archive/package", rb"!<arch>\ndebian|hsqs|\x7fELF.{4}AI\x02|7z\xbc|Rar!|Cr24|\xed\xab\xee"),
    ("UTF-16 text", rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff|(?:[\t\n\r -~]\0){8}|(?:\0[\t\n\r -~]){8}"),
    ("document/pdf", rb"%PDF"),
    ("model/glb", rb"glTF[\x01\x02]\0"),
    ("database/sqlite", rb"SQLite format 3\0"),
    ("program/elf", rb"\x7fELF"),
    ("image/svg", rb"(?i:(?=<(?:svg|\?xml|!doctype svg|!--))(?:(?!<html).)*?<svg)"),
    ("xml", rb"(?i:<\?xml)"),
    ("html", rb"(?i:(?:<!--.*?-->\s*)?<(?:!doctype )?html)"),
    ("source map", rb'\{\s*"version"\s*:\s*3\b'),
    ("Intel HEX", rb":[0-9A-Fa-f]{10}"),
)
KINDS_RE = re.compile(b"|".join(b"(%b)" % beginning for _, beginning in KINDS), re.S)
NOT_SEARCHED = ("gzip", "zip", "zstd", "xz", "bzip2", "package", "UTF-16 text")  # whole files
ENDINGS = {"jpeg": "jpg", "gzip": "gz", "bzip2": "bz2", "text": "txt", "unknown": "bin"}


class Content(NamedTuple):
    """What a run's characters hold."""

    length: int  # characters with padding
    decoded: int
    sha256: bytes
    kind: str


def content_of(source: Source, start: int, end: int, out: BinaryIO | None = None) -> Content | str:
    """Decode a run and its padding, to a file if asked; or the reason why it is not data."""
    after = source.read(end, 2)
    padding = len(after) - len(after.lstrip(b"="))
    length = end - start + padding
    if (end - start) % 4 == 1 or (padding and length % 4):
        return "length that base64 cannot have"
    digest, size, head = sha256(), 0, b""
    for _, piece in source.pieces(start, end, PIECE):
        if not head and (reason := why_not_data(piece)):  # its beginning tells
            return reason
        try:
            data = a2b_base64(piece.translate(TO_STANDARD) + b"=" * (-len(piece) % 4))
        except ValueError:  # a running process changed it
            return "changed while it was read"
        digest.update(data)
        if out:
            out.write(data)
        size += len(data)
        head = head or data[:HEAD]
    return Content(length, size, digest.digest(), kind_of(head))


def why_not_data(piece: bytes) -> str:
    """Why a run is plainly not data; "" if it may be."""
    if HEX_RE.fullmatch(piece) and piece.strip(b"A"):
        return "hexadecimal digits"
    if len(piece) < 256 and (LETTERS[:26] in piece or LETTERS[26:52] in piece):
        return "an alphabet"
    if ONE_CASE_RE.fullmatch(piece) and b"AAAA" not in piece and b"+" not in piece:
        return "letters of one case"  # AAAA are three zeros, and no word has a + in it
    return ""


def kind_of(head: bytes) -> str:
    """The kind of data that begins with these bytes, white space before them aside."""
    head = head.removeprefix(codecs.BOM_UTF8)
    begin = head.lstrip()
    if match := KINDS_RE.match(begin):
        return KINDS[match.lastindex - 1][0]
    with contextlib.suppress(UnicodeDecodeError):
        text, _ = codecs.utf_8_decode(head)  # it may be cut within a character
        if text and all(c.isprintable() or c in "\n\r\t" for c in text):
            return "json" if JSON_RE.match(begin) else "text"
    return "unknown"


# ---------------------------------------------------------------- one source
# In: a source. Out: all that it holds, with line and column of each literal.

NEAR, FAR = 2**10, 2**16  # bytes looked at on each side of a run
TEXT_PIECE = 2**14  # bytes: small, as those that are all ASCII cost least


class Text:
    """Reads a source once from start to end: lines, columns, and how V8 keeps its characters."""

    def __init__(self, source: Source, begin: bytes) -> None:
        self.source = source
        self.offset = 3 if begin.startswith(codecs.BOM_UTF8) else 0  # V8 gets none
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.line = self.column = 1
        self.characters = self.units = self.beyond = 0

    def go_to(self, offset: int) -> tuple[int, int]:
        """Line and column (in characters, from 1) of an offset that is not before the last."""
        pieces = self.source.pieces(self.offset, offset, TEXT_PIECE)
        for _, piece in chain(pieces, [(offset, b"")]):  # b"": a run begins a new character
            try:
                text = self.decoder.decode(piece, final=not piece)
            except UnicodeDecodeError:
                self.decoder.errors = "replace"  # V8 gets U+FFFD
                text = self.decoder.decode(piece, final=not piece)
            units = len(text)
            if not text.isascii():
                self.beyond += units - len(text.encode("latin-1", "ignore"))
                units = len(text.encode("utf-16-le")) // 2
            self.units += units
            lines = len(piece) - len(piece.replace(b"\n", b""))  # bytes.count takes longer
            self.column = len(text) - text.rfind("\n") if lines else self.column + len(text)
            self.line += lines
            self.characters += len(text)
        self.offset = max(self.offset, offset)
        return self.line, self.column

    def script(self) -> Script:
        """How V8 keeps it. Reads to the end."""
        self.go_to(self.source.size)
        size = self.units * (2 if self.beyond else 1)
        escaped = self.units + 5 * (self.beyond + self.units - self.characters)
        return Script(self.characters, self.beyond, size, escaped, self.decoder.errors == "strict")


class Scanner:
    """Finds all that one source holds."""

    def __init__(self, source: Source, count: int, left_out: Counter) -> None:
        self.source, self.count, self.far_looks = source, count, 0
        self.result = Scanned(source._replace(fd=-1), left_out)
        begin = source.read(0, 8192)
        self.text = None if b"\0" in begin else Text(source, begin)
        self.is_code = self.text and not source.path.lower().endswith(MARKUP)

    def run(self) -> None:
        """Find all of it. Raises Problem; what was found before that counts too."""
        for run in find_runs(self.source, self.count):
            self.result.add(self.literal(*run))
        self.result.script = self.text.script() if self.text else None
        if self.source.size and not self.source.read(self.source.size - 1, 1):
            raise Problem("it has become shorter while it was read")

    def literal(self, start: int, end: int) -> Literal | str:
        """A run that holds data; or why it is left out."""
        before = self.source.read(max(0, start - 512), min(512, start))
        if self.text and before.endswith(b"\\"):
            run = self.source.read(start, 8).decode("latin-1")
            start += escape_length(before, run, end - start)
            if end - start < self.count:
                return "too short without the escape before it"
        content = content_of(self.source, start, end)
        if isinstance(content, str):
            return content
        lower, comment = before.lower(), SOURCE_MAP_RE.search(before)
        uri = DATA_URI_RE.match(lower, max(0, lower.rfind(b"data:")))
        mime = (uri[1] or b"text/plain").decode().replace("\\", "") if uri else None
        in_comment = bool(uri and comment)
        if in_comment:
            string_length = len(comment[1]) + content.length
            if content.kind == "json":  # a source map that does not begin with "version"
                content = content._replace(kind="source map")
        else:
            string_length = self.string_length(start, end) if self.is_code else None
        line, column = self.text.go_to(start) if self.text else (None, None)
        return Literal(start, line, column, string_length, mime, in_comment, *content)

    def string_length(self, start: int, end: int) -> int | None:
        """The length of the string around a run, if it is seen near the run or farther away."""
        # Far looks are rationed by how much was scanned: so all of them together stay linear.
        rationed = self.far_looks >= 16 + start // FAR
        for reach in (NEAR,) if rationed else (NEAR, FAR):
            first = max(0, start - reach)
            parts = self.source.read(first, start + 1 - first), self.source.read(end, reach)
            if reach == FAR:
                self.far_looks += 1 + sum(part.count(b"\\") for part in parts) // 4096  # escapes
            # before has the run's first character too, which may be escaped: \/
            texts = (part.decode("utf-8", "replace").replace("\r\n", "\n") for part in parts)
            if length := string_around(*texts):
                return length + end - start - 1
        return None


# ---------------------------------------------------------------- archives
# In: an open file. Out: its members as sources, each checked against the file's size. Links are
# passed over: what they lead to is read where it is.


def archive_of(source: Source) -> tuple[object, int] | None:
    """An ASAR archive's header and where its data begins; None if the file is not one.

    Little-endian, as electron/asar writes it with Chromium's Pickle: u32 4, u32 H (bytes of the
    header), u32 H - 4, u32 J (bytes of JSON), the JSON. The data begins at 8 + H.
    """
    start = source.read(0, 17).ljust(17)
    four, length, pickled, json_length = struct.unpack_from("<4I", start)
    consistent = four == 4 and pickled == length - 4 and start[16:] == b"{"
    if not (consistent or source.path.lower().endswith(".asar")):
        return None
    if consistent and json_length <= min(length - 8, 100 * MIB):  # some 300,000 files
        import json

        with contextlib.suppress(RecursionError, ValueError):
            header = json.loads(
                source.read(16, json_length),  # "integrity", half of it, is left out
                object_hook=lambda one: None if isinstance(one.get("algorithm"), str) else one,
            )
            return header, 8 + length
    raise Problem("byte 0: not a valid ASAR header; searched as a plain file")


def archive_entries(header: object) -> Iterator[tuple[str, object]]:
    """Path and entry of each file of an archive; the entry is None if its name is invalid."""
    todo = [("", header)]
    while todo:
        path, entry = todo.pop()
        files = entry.get("files") if isinstance(entry, dict) else None
        for name in sorted(files, reverse=True) if isinstance(files, dict) else ():
            below = f"{path}/{name}" if path else name
            bad = name in ("", ".", "..") or re.search(r"[/\0]", name) or len(below) > 4096
            todo.append((below[: len(path) + 40], None) if bad else (below, files[name]))
        if not isinstance(files, dict) and not (isinstance(entry, dict) and "link" in entry):
            yield path, entry


def member(archive: Source, data_start: int, path: str, entry: object) -> Source:
    """One file of an archive, checked against its size; fd is -1 if it is in FILE.unpacked."""
    shown, beside = f"{archive.path}/{path}", f"{archive.file}.unpacked"
    known = entry if isinstance(entry, dict) else {}
    size, offset = known.get("size"), known.get("offset")
    if type(size) is int and 0 <= size < 2**63:
        if known.get("unpacked") is True:
            if os.path.realpath(f"{beside}/{path}") != f"{os.path.realpath(beside)}/{path}":
                raise Problem("there is a symbolic link in its path; not read")
            return Source(shown, f"{beside}/{path}", 0, size)
        if isinstance(offset, str) and re.fullmatch(r"\d{1,19}", offset):
            start = data_start + int(offset)
            if start + size <= archive.size:
                return Source(shown, archive.file, start, size, archive.fd)
            end = f"the archive's end at byte {archive.size}"
            raise Problem(f"bytes {start} to {start + size} are beyond {end}; not read")
    raise Problem("invalid name, size or offset in the archive's header; not read")


# ---------------------------------------------------------------- inputs
# In: paths. Out: a Report of all that they hold, and what could not be read, which is said at once.


class Report:
    """All that has been read: the inputs one by one, what they hold, what went wrong."""

    def __init__(self, min_size: int) -> None:
        self.min_size = min_size
        self.scanned: list[Scanned] = []
        self.left_out: Counter = Counter()  # why runs are not data, and how many
        self.inputs: list[tuple[str, int, int]] = []  # path, and its part of scanned
        self.problems: list[tuple[str, str]] = []
        self.unpacked: set[str] = set()  # files beside archives that were read with them
        self.begin, self.quiet_until = time.monotonic(), 1.0  # seconds before progress is shown

    def problem(self, path: str, text: str) -> None:
        """Say at once what could not be read, and go on."""
        self.problems.append((path, text))
        say(f"{path}: {text}")

    @contextlib.contextmanager
    def catching(self, path: str) -> Iterator[None]:
        """Report what goes wrong in the block and go on after it; show progress on a terminal."""
        try:
            yield
        except (Problem, OSError, UnicodeError, ImportError, RuntimeError, MemoryError) as error:
            self.problem(path, getattr(error, "strerror", None) or str(error) or "out of memory")
        passed = time.monotonic() - self.begin
        if passed > self.quiet_until and sys.stderr and sys.stderr.isatty():
            self.quiet_until = 2 * passed
            say(f"{count_text(len(self.scanned), 'file')} searched, now {path}")


def say(message: str) -> None:
    write_text(f"asar_investigate.py: {printable(message)}\n", sys.stderr)


def write_text(text: str, stream: TextIO | None) -> bool:
    """Print text, escaped where the encoding lacks it. False for errors except a closed pipe."""
    if stream is None:  # closed before the start
        return False
    try:
        encoding = stream.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", file=stream)
        stream.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # or Python's flush at exit would fail too
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return isinstance(error, BrokenPipeError)
    return True


def read_input(report: Report, path: str) -> None:
    """Scan a file, folder, archive or pipe."""
    begin = len(report.scanned)
    with report.catching(path):
        if path == "-" or stat.S_ISFIFO(os.stat(path).st_mode):
            read_pipe(report, path)
        elif os.path.isdir(path):
            read_folder(report, path)
        else:
            with open_regular(path) as source:
                read_file(report, source)
        report.inputs.append((path, begin, len(report.scanned)))


def read_folder(report: Report, folder: str) -> None:
    """Scan the regular files below a folder, by name. Symbolic links are not followed."""
    todo, files, problems = [folder], 0, len(report.problems)
    while todo:
        path = todo.pop()
        with report.catching(path):
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            todo += [e.path for e in reversed(entries) if e.is_dir(follow_symlinks=False)]
            paths = [e.path for e in entries if e.is_file(follow_symlinks=False)]
            files += len(paths)
            for file in paths:
                if file not in report.unpacked:  # else it has been read with its archive
                    with report.catching(file), open_regular(file) as source:
                        read_file(report, source)
    if not files and len(report.problems) == problems:
        raise Problem("there is no file in this folder")


def read_pipe(report: Report, path: str) -> None:
    """Scan what comes through a pipe: kept in a file without a name."""
    import tempfile

    fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY)
    with open(fd, "rb") as pipe, tempfile.TemporaryFile(dir=TEMPORARY_FOLDER) as kept:
        os.set_blocking(fd, True)  # its writer may have left it non-blocking
        kept.writelines(iter(lambda: pipe.read(WINDOW), b""))
        kept.flush()
        fd = os.dup(kept.fileno())  # open to the end: --extract and --pid read it again
    shown = "stdin" if path == "-" else path
    read_file(report, Source(shown, f"/dev/fd/{fd}", 0, os.fstat(fd).st_size, fd))


def read_file(report: Report, source: Source) -> None:
    """Scan an open file, or each member if it is an archive."""
    archive, total, searched = None, 0, {}
    with report.catching(source.path):
        archive = archive_of(source)
    if not archive:
        scan(report, source)
        return
    header, data_start = archive
    for path, entry in archive_entries(header):
        shown = f"{source.path}/{path}"
        with report.catching(shown):
            found = member(source, data_start, path, entry)
            if found.fd < 0:
                report.unpacked.add(found.file)
                with open_regular(found.file) as beside:
                    scan(report, beside._replace(path=shown))
                if beside.size < found.size:
                    raise Problem(f"ends at byte {beside.size} instead of {found.size}")
                continue
            place = found._replace(path="")  # several names may share the same bytes
            earlier = searched.get(place)
            total += 16 * len(earlier.packed) if earlier else found.size
            if total > 4 * source.size:
                report.problem(shown, "the files before it overlap; the rest is not read")
                return
            searched[place] = scan(report, found, earlier)


def scan(report: Report, source: Source, earlier: Scanned | None = None) -> Scanned:
    """Scan a file, or take what an earlier scan found in the same bytes under another name."""
    kind = kind_of(source.read(0, 16)).replace("archive/", "")
    if kind in NOT_SEARCHED:
        report.problem(source.path, f"{kind}: not searched inside; gunzip, unzip or iconv it first")
    scanner = Scanner(source, report.min_size, report.left_out)
    report.scanned.append(scanner.result)
    if earlier:
        scanner.result.script, scanner.result.packed = earlier.script, earlier.packed
    else:
        with report.catching(source.path):
            scanner.run()
    return scanner.result


@contextlib.contextmanager
def open_regular(path: str) -> Iterator[Source]:
    """A regular file as a source, until the end of the block."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or (not found.st_size and os.read(fd, 1)):  # /proc
            raise Problem("not a regular file")
        yield Source(path, path, 0, found.st_size, fd)
    finally:
        os.close(fd)


# ---------------------------------------------------------------- base64 in memory
# In: the memory of a process or a core file. Out: its base64 runs, of one byte a character or of
# two, and which of them are copies of literals.

NEEDLE = 24  # characters of a fingerprint
NEEDLE_RE = re.compile(rb"x(?=([A-Za-wyz0-9+/_-][A-Za-z0-9+/_-]{%d}))" % (NEEDLE - 1))
CUT = 1024  # characters of a string that V8 writes into a heap snapshot
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")  # 16384 on a Pi 5
ZEROS_TO_255 = bytes(255 * (not byte) for byte in range(256))


def narrowed(data: bytes, odd: int = 0, stride: int = 1) -> bytes:
    """Two-byte characters (every stride-th) as one byte each, 0 for those beyond Latin-1."""
    low, high = data[odd : -1 : 2 * stride], data[odd + 1 :: 2 * stride]
    if high == bytes(len(high)):
        return low
    mask = int.from_bytes(high.translate(ZEROS_TO_255), "little")
    return (int.from_bytes(low, "little") & mask).to_bytes(len(low), "little")


def runs_in(space: Pages | Core, count: int, start: int, end: int, beyond: int) -> Iterator[Source]:
    """Runs of one or two bytes a character that begin in start to end, and end past `beyond`."""
    size = max(WINDOW // 4, 2 * count)  # small enough for the processor's cache
    memory = Source("memory", "", 0, sys.maxsize, space=space)
    while start < end:
        first = max(0, start - 2)  # the character before it tells whether a run begins there
        last_end = following = min(start + size, end)
        window = space.bytes_at(first, following + 2 * count)
        for odd, width, characters in views(window, count):
            for low, high in window_runs(characters, count):
                rest = memory._replace(base=first + odd + width * low, width=width)
                if start <= rest.base < following:  # else it is another window's
                    length = run_end(rest, high - low) if high == len(characters) else high - low
                    last_end = max(last_end, rest.base + width * length)
                    if rest.base + width * length > beyond:
                        yield rest._replace(size=length)
        start = max(following, last_end - 1)  # a run's last byte may begin one of another width


def views(window: bytes, count: int) -> Iterator[tuple[int, int, bytes]]:
    """First byte, width and characters of each view of a window that may have such a run in it."""
    stride = stride_for(2 * count)  # half as many samples as in a file: most memory is no text
    wanted = b"\1" * (count // stride)
    if wanted in window[::stride].translate(EITHER):
        yield 0, 1, window
    for odd in (0, 1):
        low = window[odd :: 2 * stride].translate(EITHER)  # this alone rules most windows out
        if wanted in low and wanted in narrowed(window, odd, stride).translate(EITHER):
            yield odd, 2, narrowed(window, odd)


class Match(NamedTuple):
    """A copy in memory of a literal, or of a source's text or a part of it."""

    key: bytes | int  # the hash of the literal, or the number of the source
    address: int
    width: int
    size: int  # bytes, with padding
    whole: bool


class Index:
    """Finds copies of literals in runs: by hash if the run is the literal, else by needles.

    A needle is a rare fingerprint of NEEDLE characters near either end of a literal. It starts
    after an "x", wherever the literal is in a run; of a literal without an x it is the edge.
    """

    def __init__(self, report: Report) -> None:
        self.rows = Rows(report)
        self.lengths = array("q", (-(-4 * row.literal.decoded // 3) for row in self.rows))
        self.sizes = set(self.lengths)
        self.by_hash = {row.literal.sha256: n for n, row in enumerate(self.rows)}
        self.needles: dict[bytes, list[int]] = {}  # number of a row << 40 | offset in its literal
        self.credit = 2**16  # token bucket: comparisons left; what is searched adds to them
        self.missed: dict[str, tuple[str, str]] = {}  # file -> path, why copies may be missing
        for number, length in enumerate(self.lengths):  # without padding
            head, last = self.read(number, 0, CUT // 2), max(0, length - CUT // 2)
            tail = self.read(number, last, CUT // 2) if last else head
            for text, start, step in ((head, 0, 1), (tail, last, -1)):
                found = [(match[1], start + match.start()) for match in NEEDLE_RE.finditer(text)]
                edge = max(0, len(text) - NEEDLE) if step < 0 else 0
                found = found[::step] or [(text[edge:][:NEEDLE], start + edge)]  # outermost first
                needle, offset = min(found, key=lambda one: len(self.needles.get(one[0], ())))
                self.needles.setdefault(needle, []).append(number << 40 | offset)

    def read(self, number: int, start: int, count: int) -> bytes:
        """Characters of a row's literal, read from its input; none if that is gone."""
        literal, source, _ = self.rows[number]
        with contextlib.suppress(OSError), open(source.file, "rb", buffering=0) as file:
            there = source._replace(fd=file.fileno()).part(literal.offset, self.lengths[number])
            if text := there.read(start, count):
                return text
        self.missed[source.file] = source.path, "it has ended, or is gone: literals not looked for"
        return b""

    def same(self, number: int, run: Source, first: int) -> bool:
        """Whether a literal that would begin at `first` equals the run where the two overlap."""
        pieces = run.pieces(max(0, first), min(run.size, first + self.lengths[number]), 2**14)
        return all(self.read(number, at - first, len(piece)) == piece for at, piece in pieces)

    def candidates(self, run: Source) -> Iterator[tuple[int, int, int]]:
        """Where a needle is in a run, its row, and where that row's literal would begin."""
        for start in range(0, run.size, 2**16):
            part = run.read(start, 2**16 + NEEDLE)
            self.credit += len(part) // 128
            edges = (start, part[:NEEDLE]), (start + len(part) - NEEDLE, part[-NEEDLE:])
            inside = [(start + match.start(), match[1]) for match in NEEDLE_RE.finditer(part)]
            for position, needle in (edges[0], *inside, edges[1]):
                for packed in self.needles.get(needle, ()):  # the longest literals first
                    self.credit -= 1
                    if self.credit < 0:
                        self.missed[""] = "base64 like many literals", "not all of it was compared"
                        return
                    yield position, packed >> 40, position - packed % 2**40

    def in_run(self, run: Source) -> Iterator[tuple[int, int, bool]]:
        """Row of each literal in a run, where it begins, and whether it is there as a whole."""
        content = content_of(run, 0, run.size) if run.size in self.sizes else ""
        if isinstance(content, Content) and content.sha256 in self.by_hash:
            yield self.by_hash[content.sha256], 0, True
            return
        done = 0  # up to here whole copies take up the run; a part may have others in it
        for position, number, first in self.candidates(run):
            if position >= done and self.same(number, run, first):
                whole = 0 <= first <= run.size - self.lengths[number]
                done = first + self.lengths[number] if whole else done
                yield number, first, whole


def copies_in(runs: Iterable[Source], index: Index) -> tuple[set[Match], dict[tuple, int]]:
    """The copies of literals in runs of memory; and bytes of other base64 by its place."""
    found, other = set(), {}
    for run in runs:
        there = list(index.in_run(run))
        for number, first, whole in there:
            literal, address = index.rows[number].literal, run.base + run.width * first
            found.add(Match(literal.sha256, address, run.width, run.width * literal.length, whole))
        if not any(whole for *_, whole in there) and data_in(run):
            size = run.width * run.size
            place = run.space.backing(run.base, size)[1] or (run.space.path, run.base)
            other[place] = size
    return found, other


def data_in(run: Source) -> Content | None:
    """What the beginning of a run decodes to; None if it is not data."""
    content = content_of(run, 0, min(run.size, 2**16) // 4 * 4)
    return content if isinstance(content, Content) else None


# ---------------------------------------------------------------- script sources in memory
# In: copies of literals in memory. Out: the texts of the sources that they stand in. A literal's
# address less its place in the text is where that begins; from there on it is compared. A part
# of a text that holds none of these literals is not found.

TEXT_STEP = 2**14  # bytes of a text that are compared at a time
ANCHORS = 1000  # literals of a source, the largest, that lead to copies of it
AROUND = 256  # characters beyond a literal's string that make the text found one of its source


class SourceText:
    """A source's text in a temporary file: as V8 keeps it or, of width 1, as it was loaded."""

    def __init__(self, scanned: Scanned, literals: Sequence[Literal], width: int) -> None:
        import tempfile

        one_byte = "utf-8" if scanned.script.beyond_latin1 else "latin-1"
        encoding = one_byte if width == 1 else "utf-16-le"
        decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self.width, self.places, start = width, {}, 0  # offset -> place in the text
        self.file = tempfile.TemporaryFile(dir=TEMPORARY_FOLDER)  # noqa: SIM115 (closed later)
        with open_regular(scanned.source.file) as file:
            source = scanned.source._replace(fd=file.fd)
            for offset in (*sorted(literal.offset for literal in literals), source.size):
                for _, piece in chain(source.pieces(start, offset), [(offset, b"")]):
                    self.file.write(decode(piece, final=not piece).encode(encoding, "replace"))
                start, self.places[offset] = offset, self.file.tell()
        self.size = self.file.tell()
        self.file.flush()

    def reach(self, space: Pages | Core, begin: int, place: int, step: int) -> int:
        """The address up to which memory has the text, forward (step 1) or backward (-1)."""
        while True:
            low, high = sorted((place, min(max(0, place + step * TEXT_STEP), self.size)))
            text = os.pread(self.file.fileno(), high - low, low)[::step]
            there = space.bytes_at(begin + low, begin + high)[::step]
            pairs = enumerate(zip(text, there))
            same = len(text) if text == there else next(n for n, (a, b) in pairs if a != b)
            place += step * (same - same % self.width)
            if same < TEXT_STEP:
                return begin + place


class SourceFinder:
    """Finds the sources that copies of literals stand in."""

    def __init__(self, report: Report) -> None:
        self.anchors: dict[bytes, list[tuple[int, Literal]]] = {}
        largest = []  # of each source
        for number, scanned in enumerate(report.scanned):
            literals = scanned.literals() if scanned.script else ()
            largest.append(nlargest(ANCHORS, literals, key=lambda one: one.length))
            for literal in largest[-1]:
                self.anchors.setdefault(literal.sha256, []).append((number, literal))
        self.text = lru_cache(8)(lambda n, width: SourceText(report.scanned[n], largest[n], width))

    def around(self, space: Pages | Core, matches: Sequence[Match]) -> list[Match]:
        """The text around each copy of a literal, if it is more than a string by itself."""
        found: list[Match] = []
        most = max(16, 2**15 // (len(matches) or 1))  # sources tried for each match
        anchors = ((match, self.anchors.get(match.key, [])[:most]) for match in matches)
        tries = [(number, match, literal) for match, held in anchors for number, literal in held]
        for number, match, literal in sorted(tries, key=lambda it: (it[0], it[1].address)):
            at, width = match.address, match.width
            if found and found[-1].key == number and at < found[-1].address + found[-1].size:
                continue  # it is in the text found last
            with contextlib.suppress(FileNotFoundError, PermissionError, Problem):  # Index says it
                text = self.text(number, width)
                place = text.places[literal.offset]
                start, end = (text.reach(space, at - place, place, step) for step in (-1, 1))
                size = end - start
                if size >= width * (max(literal.length, literal.string_length or 0) + AROUND):
                    found.append(Match(number, start, width, size, whole=size == text.size))
        return found


# ---------------------------------------------------------------- processes
# Pids -> these processes and their descendants, and which of their memory is in RAM. A page of a
# file or of shared memory that several of them map is searched in the first one alone.

MAPPING_RE = re.compile(  # a line of /proc/PID/maps of what may be read or executed
    r"^(\w+)-(\w+) (?:r...|..x.) (\w+) (\S+) (\d+)(?! *\[(?:vvar|vsyscall)) *(.*)$", re.M
)
IN_RAM_RE = re.compile(r"^\d+ \d+ (\d+):(\d+) .* - (?:tmpfs|ramfs|devtmpfs) ", re.M)  # mountinfo
# For bytes.translate: highest byte of a pagemap entry -> a: anonymous, f: file or shared, s: swap
PAGE_STATE = bytes(b"..ssafaf"[flags >> 5] for flags in range(256))
UNREADABLE = "its memory may not be read: use sudo, or be its user with kernel.yama.ptrace_scope 0"
PRESENT_RE = re.compile(rb"[af]+")
NEW_RE = re.compile(rb"(k+o?|o|(?=[af]))[af]*")  # searched: k; but not with the next page: o
RAM_PATHS = ("/memfd:", "/dev/zero", "/dev/shm/", "/SYSV", "/anon_hugepage")  # no files on disk


class Mapping(NamedTuple):
    """A line of /proc/PID/maps (proc_pid_maps(5)); of a core file a segment, or what was mapped."""

    start: int
    end: int
    offset: int  # in the file that is mapped; of a segment in the core file
    path: str = ""
    device: str = ""
    inode: int = 0

    @property
    def file_id(self) -> tuple | None:
        """The identity of its file or shared memory; None if it has none."""
        # A SysV segment and a memfd may have one inode's number: so the path. Mappings of one
        # device, or of anon_inode:, differ though all of it is the same.
        is_device = self.path.startswith("/dev/") and not self.path.startswith(RAM_PATHS)
        is_file = self.inode and self.path.startswith("/") and not is_device
        return (self.device, self.inode, self.path) if is_file else None

    def place(self, address: int) -> int:
        """Where an address is in the file."""
        return self.offset + address - self.start


def mapping_at(mappings: Sequence[Mapping], address: int) -> Mapping:
    """The mapping of an address, from a sorted list; else one whose offsets are addresses."""
    at = bisect.bisect(mappings, (address + 1,)) - 1
    inside = at >= 0 and address < mappings[at].end
    return mappings[at] if inside else Mapping(address, address, address)


class Pages:
    """The pages of a live process, as /proc/PID/maps and pagemap tell; nothing is faulted in.

    pagemap (Documentation/admin-guide/mm/pagemap.rst): a little-endian u64 a page, of which the
    highest byte tells all: bit 63 present, 62 swapped, 61 file page or shared, 56 mapped once.
    """

    def __init__(self, pid: int) -> None:
        self.pid, self.searched, self.swap = pid, 0, 0
        devices = IN_RAM_RE.findall(proc_text(f"/proc/{pid}/mountinfo"))
        self.in_ram = {f"{int(major):02x}:{int(minor):02x}" for major, minor in devices}
        for tid in os.listdir(f"/proc/{pid}/task"):  # the main thread may have ended
            with open(f"/proc/{tid}/maps", errors="replace", newline="\n") as file:
                if lines := MAPPING_RE.findall(file.read()):
                    break
        else:
            raise ProcessLookupError
        self.mappings = [
            Mapping(int(start, 16), int(end, 16), int(offset, 16), path, device, int(inode))
            for start, end, offset, device, inode, path in lines
        ]
        self.path, self.file = f"process {pid}", f"/proc/{tid}/mem"
        self.segments = ()  # only a core has any: for mapping_at, offsets in mem are addresses
        self.mem = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        self.pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        with open(f"/proc/{tid}/auxv", "rb") as file:
            numbers = array("L", file.read())  # getauxval(3)
        at = dict(zip(numbers[::2], numbers[1::2])).get(25, 0)  # AT_RANDOM: bytes that forks keep
        self.family = int.from_bytes(self.bytes_at(at, at + 16), "little")

    def close(self) -> None:
        os.close(self.mem)
        os.close(self.pagemap)

    def flags(self, start: int, end: int) -> bytes:
        """The highest byte of each page's entry."""
        first = start // PAGE_SIZE
        entries = os.pread(self.pagemap, 8 * (-(-end // PAGE_SIZE) - first), 8 * first)
        if not entries:
            raise ProcessLookupError
        return entries[7::8]

    def bytes_at(self, start: int, end: int) -> bytes:
        """What is in RAM from an address to another, zeros for the rest."""
        first, last = max(0, start) // PAGE_SIZE * PAGE_SIZE, min(end, self.mappings[-1].end)
        present = self.flags(first, last).translate(PAGE_STATE) if first < last else b""
        parts, at = [], start
        for match in PRESENT_RE.finditer(present):
            low = max(start, first + PAGE_SIZE * match.start())
            high = min(last, first + PAGE_SIZE * match.end())
            parts.append(bytes(low - at))
            while low < high:
                try:
                    part = os.pread(self.mem, high - low, low)
                except OSError:  # EIO: a page that is gone by now, or a device's
                    part = bytes(min(high - low, PAGE_SIZE - low % PAGE_SIZE))
                if not part:
                    raise ProcessLookupError
                parts.append(part)
                low += len(part)
            at = low
        return b"".join([*parts, bytes(end - at)])

    def regions(self, seen: dict[tuple, dict[int, object]]) -> Iterator[tuple[int, ...]]:
        """Ranges for runs_in: resident pages; of files only those that `seen` lacks, now in it."""
        for mapping in self.mappings:
            for place in range(mapping.start, mapping.end, 2**16 * PAGE_SIZE):
                flags = self.flags(place, min(mapping.end, place + 2**16 * PAGE_SIZE))
                pages = bytearray(flags.translate(PAGE_STATE))
                self.swap += PAGE_SIZE * pages.count(b"s")
                self.searched += PAGE_SIZE * (pages.count(b"a") + pages.count(b"f"))
                if mapping.file_id:
                    begin, known = mapping.place(place), seen.setdefault(mapping.file_id, {})
                    for start, end in [match.span() for match in re.finditer(b"f+", pages)]:
                        places = [begin + PAGE_SIZE * n for n in range(start, end)]
                        areas = [*map(known.get, places), None]  # those they were searched in
                        for n, area in enumerate(areas[:-1]):
                            if area:  # k: in the same as the next page
                                pages[start + n] = ord("k" if area is areas[n + 1] else "o")
                        known.update(dict.fromkeys(places, object()))
                for match in NEW_RE.finditer(pages):
                    low, start, end = (place + PAGE_SIZE * n for n in (*match.span(1), match.end()))
                    page = max(low, start - PAGE_SIZE)  # a run may begin here and end after start
                    while page > low and any(views(self.bytes_at(page, page + PAGE_SIZE), 1024)):
                        page -= PAGE_SIZE
                    yield page, end, start

    def backing(self, address: int, size: int) -> tuple[str, tuple]:
        """What backs most of a copy's pages, and the identity of its memory.

        A page of a file or of shared memory is the same page in each process that maps it; an
        anonymous one that is mapped more than once was shared by fork, at the same address.
        """
        flags = self.flags(max(0, address), address + size)
        present, mapping = flags.translate(PAGE_STATE), mapping_at(self.mappings, address)
        if b"s" in present:
            return "swap", ()
        if present.count(b"f") < present.count(b"a") or not mapping.inode:  # or it is gone by now
            shared = 2 * sum(flag & 1 for flag in flags) < len(flags)
            return "anonymous", (self.family if shared else self.pid, address)
        ram = mapping.path.startswith(RAM_PATHS) or mapping.device in self.in_ram
        place = mapping.file_id, mapping.place(address)
        return "shared" if ram else "file", place if mapping.file_id else (self.pid, address)


def proc_text(path: str) -> str:
    """A file of /proc; empty where it cannot be read."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
    return ""


def process_tree(pid: int) -> list[int]:
    """The process of a pid or thread id, and its descendants."""
    try:
        import psutil

        os.stat("/proc/self/pagemap")
    except (ImportError, OSError):
        raise Problem("needs Linux, and psutil: apt install python3-psutil (or pip)") from None
    try:
        group = re.search(r"^Tgid:\t(\d+)$", proc_text(f"/proc/{pid}/status"), re.M)
        process = psutil.Process(int(group[1]) if group else pid)
        return [process.pid, *(child.pid for child in process.children(recursive=True))]
    except (psutil.Error, OSError):
        raise Problem("no such process") from None


def app_archive(pids: Iterable[int]) -> list[str]:
    """The first archive beside one of these programs or on its command line; [] if none is."""
    for pid in pids:
        with contextlib.suppress(OSError):  # another user's: reported when its memory is read
            program, folder = (os.readlink(f"/proc/{pid}/{name}") for name in ("exe", "cwd"))
            words = filter(None, proc_text(f"/proc/{pid}/cmdline").split("\0")[1:])
            here, there = (os.readlink(f"/proc/{of}/ns/mnt") for of in ("self", pid))
            root = "" if here == there else f"/proc/{pid}/root"  # a container's, or Flatpak's
            newer = ", perhaps newer than the program" if program.endswith(" (deleted)") else ""
            for word in (f"{os.path.dirname(program)}/resources", *words):
                place = root + os.path.join(folder, word)
                for path in (place, f"{place}/app.asar"):
                    if path.endswith(".asar") and os.path.isfile(path):
                        say(f"process {pid}: its archive is the input: {path}{newer}")
                        return [path]
    return []


def process_of(pid: int) -> dict[str, object]:
    """A process for the JSON; its sizes are those of smaps_rollup (proc.rst), None if denied."""
    roles = re.findall(r"--type=([a-z-]{1,30})", proc_text(f"/proc/{pid}/cmdline"))
    name = " ".join((proc_text(f"/proc/{pid}/comm").rstrip("\n") or "?", *roles[:1]))
    rollup = re.findall(r"^(\w+): +(\d+) kB$", proc_text(f"/proc/{pid}/smaps_rollup"), re.M)
    sizes = {field: 1024 * int(size) for field, size in rollup}
    bits = proc_text(f"/proc/{pid}/coredump_filter")
    memory = {"rss": sizes.get("Rss"), "pss": sizes.get("Pss"), "anonymous": sizes.get("Pss_Anon")}
    later = {"searched": None, "swap": None, "coredump_filter": int(bits, 16) if bits else None}
    return {"pid": pid, "name": name, **memory, **later}


# ---------------------------------------------------------------- core files
# A core file (elf(5), core(5)) -> its memory by address, and which of it belongs to files.

PT_LOAD, PT_NOTE, PF_R, NT_FILE = 1, 4, 4, 0x46494C45


class Core:
    """A core file's memory by address."""

    def __init__(self, source: Source) -> None:
        self.source, self.path, self.file = source, source.path, source.path
        self.segments: list[Mapping] = []
        self.mappings: list[Mapping] = []  # what was mapped (NT_FILE)
        self.damage, self.searched, lost, self.left_out = "", 0, 0, []  # addresses, bytes
        wide, headers = program_headers(source)
        for kind, offset, address, size, memory, flags in headers:
            there = max(0, min(size, source.size - offset))
            if kind == PT_LOAD:
                self.left_out.append((address, max(0, memory - size) if flags & PF_R else 0))
                lost += size - there
                self.segments += [Mapping(address, address + there, offset)] if there else []
            elif kind == PT_NOTE and not self.mappings:
                notes = source.read(offset, min(there, 16 * MIB))  # some 100,000 mappings
                try:
                    self.mappings = sorted(file_mappings(notes, wide))
                except (ValueError, struct.error):
                    self.damage = f"byte {offset}: damaged list of file mappings: read as anonymous"
        self.segments.sort()
        total = sum(part.end - part.start for part in self.segments)
        pairs = zip(self.segments, self.segments[1:])
        if total > source.size or any(one.end > other.start for one, other in pairs):
            raise Problem("its segments overlap; not read")
        if not total + lost:
            raise Problem("it holds no memory")
        if lost:
            self.damage = f"cut short: {size_text(lost)} of its memory are missing"

    def regions(self, _: object) -> Iterator[tuple[int, ...]]:
        """Its memory, the holes of a sparse file left out (lseek(2), SEEK_DATA)."""
        spans: list[Span] = []
        for part in self.segments:
            shift, fd = part.start - part.offset, self.source.fd
            with contextlib.suppress(OSError):  # ENXIO: a hole to the end of the file
                place = os.lseek(fd, part.offset, os.SEEK_DATA)
                while place + shift < part.end:
                    hole = min(os.lseek(fd, place, os.SEEK_HOLE), part.end - shift)
                    near = spans and place + shift - spans[-1][1] < PAGE_SIZE  # searched as one
                    spans.append((spans.pop()[0] if near else place + shift, hole + shift))
                    self.searched += hole - place
                    place = os.lseek(fd, hole, os.SEEK_DATA)
        return ((start, end, 0) for start, end in spans)

    def bytes_at(self, start: int, end: int) -> bytes:
        """What is in it from an address to another, zeros for the rest."""
        data, at = bytearray(end - start), max(0, bisect.bisect(self.segments, (start + 1,)) - 1)
        for part in self.segments[at : bisect.bisect(self.segments, (end,))]:
            low, high = max(start, part.start), min(end, part.end)
            if low < high:
                there = self.source.read(part.offset + low - part.start, high - low)
                if len(there) < high - low:
                    raise Problem("it has become shorter while it was read")
                data[low - start : high - start] = there
        return bytes(data)

    def backing(self, address: int, _: int) -> tuple[str, tuple]:
        """What a copy is. 'file': of a file's mapping, which may have been written to."""
        path = mapping_at(self.mappings, address).path
        of_file = "shared" if path.startswith(RAM_PATHS) else "file"
        return of_file if path else "anonymous", ()

    def as_json(self) -> dict[str, object]:
        """Its sizes in bytes; a segment is one mapping."""
        of_files = [p for p in self.segments if self.backing(p.start, 0)[0] != "anonymous"]
        return {
            "path": self.path,
            "searched": self.searched,
            "file_mappings": sum(mapping.end - mapping.start for mapping in self.mappings),
            "file_mappings_dumped": sum(part.end - part.start for part in of_files),
            "left_out": sum(n for at, n in self.left_out if not mapping_at(self.mappings, at).path),
        }


def program_headers(source: Source) -> tuple[bool, Iterator[tuple[int, ...]]]:
    """Whether a core is 64-bit; kind, offset, address, size, size in memory, flags of headers."""
    ident = source.read(0, 64)
    if len(ident) < 64 or not re.match(rb"\x7fELF[\x01\x02]\x01.{10}\x04\0", ident, re.S):
        raise Problem("byte 0: not a little-endian ELF core file")
    wide = ident[4] == 2
    table, header = ("<32xQ14xHH", "<IIQQ8xQQ8x") if wide else ("<28xI10xHH", "<III4xIII4x")
    begin, length, count = struct.unpack_from(table, ident)
    headers = source.read(begin, length * count)
    if length != struct.calcsize(header) or len(headers) < length * count or count == 0xFFFF:
        raise Problem(f"byte {begin}: program headers beyond the end, or more than 65534")
    order = (0, 2, 3, 4, 5, 1) if wide else range(6)
    return wide, map(itemgetter(*order), struct.iter_unpack(header, headers))


def file_mappings(notes: bytes, wide: bool) -> list[Mapping]:
    """The file mappings that the notes list. Raises ValueError, struct.error.

    A note: sizes of name and data and its type, u32 each, then both, padded to 4. NT_FILE's data:
    count, page size, count times start, end and offset, the paths.
    """
    place, unit, layout = 0, 8 if wide else 4, "<3Q" if wide else "<3I"
    while place + 12 <= len(notes):
        name, size, kind = struct.unpack_from("<III", notes, place)
        begin = place + 12 + name + -name % 4
        (note,) = struct.unpack_from(f"{size}s", notes, begin)
        if kind == NT_FILE:
            count = int.from_bytes(note[:unit], "little")
            middle = (2 + 3 * count) * unit
            *paths, rest = note[middle:].split(b"\0", min(count, size))
            if len(paths) != count or rest:
                raise ValueError
            places = struct.iter_unpack(layout, note[2 * unit : middle])
            return [Mapping(*place, os.fsdecode(path)) for place, path in zip(places, paths)]
        place = begin + size + -size % 4
    return []


# ---------------------------------------------------------------- heap snapshots
# A .heapsnapshot -> its totals by node type, and its strings that hold base64.
# V8's src/profiler/heap-snapshot-generator.cc writes one JSON object: "snapshot", which names the
# columns of a node, arrays of numbers, and "strings" last, cut at CUT characters but for sources of
# scripts. It is read in pieces. Other arrays are passed over, "trace_tree" without a look at it.

STRING_TYPES = ("string", "concatenated string", "sliced string")  # DevTools: strings
TEXT = rb'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})+'
END = rb'("\s*[,\]])'  # of a string
TEXT_OR_END = rb"%b%b?|%b" % (TEXT, END, END)  # "?": or a missing END backtracks through TEXT
NUMBER = rb"\s*-?(?:0|[1-9]\d*)\s*"
NUMBERS = rb"(?:%b,)+(?=%b)|%b(?=\])" % (NUMBER, NUMBER, NUMBER)
URI_START_RE = re.compile(rb'(?:data:[^"\\,]{0,200};base64,)?')


class Base64(NamedTuple):
    """A base64 run in the text of a snapshot's string, or a literal in it."""

    literals: dict[int, deque[bytes]]  # length of the string -> hashes of those it may be
    prefix: int | None  # characters of the string before it; None: the string has more after it
    length: int
    kind: str

    def in_node(self, node_id: int, size: int, header: int) -> tuple[bytes | None, dict]:
        """The literal that a string node of this size holds, or None; and the node for the JSON."""
        whole = self.prefix is not None and size >= self.length
        facts = {"node_id": node_id, "self_size": size, "kind": self.kind, "whole": whole}
        for width in (1, 2):
            lengths = range((size - header) // width, (size - 33) // width, -1)
            for length in filter(self.literals.get, lengths if whole else self.literals):
                self.literals[length].rotate(-1)  # each in its turn, as nothing tells them apart
                return self.literals[length][-1], {**facts, "width": width if whole else None}
        return None, {**facts, "width": None}


def base64_in_text(text: Source, index: Index, count: int) -> Iterator[Base64]:
    """The runs in a string's text that are data."""
    for start, end in long_runs(text, count):
        run = text.part(start, end - start)
        if not (data := data_in(run)):
            continue
        before, after = text.read(0, min(start, 256)), text.read(end, 3)
        alone = URI_START_RE.fullmatch(before) and not after.strip(b"=")
        if alone and text.size >= CUT:  # it may be cut: the size of a node tells more
            head = run.part(0, min(CUT, run.size))
            begin = (n for _, n, first in index.candidates(head) if first == 0)
            found = inside = {n for n in begin if index.same(n, head, 0)}
        else:
            inside = {n for n, _, whole in index.in_run(run) if whole or not alone}
            found = {n for n in inside if alone and index.lengths[n] == run.size}
        literals = defaultdict(deque)
        for one in (index.rows[number].literal for number in sorted(found)):
            for length in {start + one.length, one.string_length or start + one.length}:
                literals[length].append(one.sha256)
        if alone:
            yield Base64(literals, start, run.size, data.kind)
        for number in inside - found:
            yield Base64({0: deque([index.rows[number].literal.sha256])}, None, run.size, data.kind)


class Cursor:
    """A place in a snapshot's text. Raises Problem where that is damaged."""

    def __init__(self, source: Source) -> None:
        self.source, self.place = source, 0
        self.window, self.start = b"", 0  # the part of the file that was read last

    def take(self, expression: bytes, wrong: str) -> bytes:
        """Match an expression again and again until one of its groups has matched: that group."""
        while True:
            if self.start + len(self.window) - self.place < 4096:  # so much is seen at least
                window, self.start = self.source.read(self.place, 2**16), self.place
                try:
                    self.window = window[: codecs.utf_8_decode(window)[1]]
                except UnicodeDecodeError as error:
                    self.window = window[: error.start]
            if not (match := re.compile(expression).match(self.window, self.place - self.start)):
                raise Problem(f"byte {self.place}: damaged or cut short{wrong}")
            self.place = self.start + match.end()
            if match.lastindex:
                return match[match.lastindex]


class Heap:
    """A V8 heap snapshot: number and bytes of its nodes by type, its base64 strings."""

    def __init__(self, source: Source, index: Index, count: int) -> None:
        self.source, self.index, self.text = source, index, Cursor(source)
        self.count = min(count, CUT // 2)  # characters of the shortest run that is looked for
        self.damage = ""  # what is wrong first; the figures are those of what could be read
        self.arrays = 0  # the bits of all arrays' sizes: of 4 bytes a word, or 8
        self.nodes_start, self.string_count = source.size, sys.maxsize  # until they are known
        self.texts: dict[int, list[Base64]] = {}  # number of a string -> its base64
        self.held = array("Q")  # of each node with base64: number of its string, id, size
        self.texts_by_size: Counter = Counter()  # of nodes that may be a source's text
        self.read_meta()
        for read in (self.read_arrays, self.read_nodes):
            try:
                read()
            except Problem as problem:
                self.damage = self.damage or str(problem)

    def read_meta(self) -> None:
        """Read what "snapshot" says: names of types and fields, number of nodes."""
        import json

        self.text.take(rb'(\s*\{\s*"snapshot"\s*:\s*)', ", or no heap snapshot")
        place = self.text.place
        try:
            text = self.source.read(place, MIB)
            about, length = json.JSONDecoder().raw_decode(text.decode("latin-1"))
            text[:length].decode()
            meta = about["meta"]
            self.types = {str(name): {"count": 0, "self_size": 0} for name in meta["node_types"][0]}
            self.fields = list(meta["node_fields"])
            self.columns = itemgetter(*map(self.fields.index, ("type", "name", "id", "self_size")))
            self.node_count = about["node_count"]
        except (LookupError, TypeError, ValueError, RecursionError):
            raise Problem(f"byte {place}: damaged, or no heap snapshot") from None
        self.text.place += length

    def read_arrays(self) -> None:
        """Go to the end, and keep where the nodes are, and the base64 in strings."""
        text, key_and_bracket = self.text, rb'\s*,\s*"(\w+)"\s*:\s*\['
        while (key := text.take(key_and_bracket, "").decode()) != "strings":
            if key == "nodes":
                self.nodes_start = text.place
            unchecked = key in ("nodes", "trace_tree")  # nodes are read later, trace_tree never
            inside = rb'[^"\]]+|\]' if unchecked else NUMBERS
            text.take(rb'(\])(?=\s*,\s*")|' + inside, f" within {key}")
        number, end = 0, b","
        short = rb'((?:\s*"[^"\\\x00-\x1f]{0,%d}"\s*,)*)' % (self.count - 1)  # many at once
        while end.endswith(b","):
            number += text.take(short, "").count(b'"') // 2
            text.take(rb'(\s*")', " within strings")
            start = text.place
            end = text.take(TEXT_OR_END, " within strings")
            length = text.place - len(end) - start
            if length >= self.count:
                string = self.source.part(start, length)
                self.texts[number] = list(base64_in_text(string, self.index, self.count))
            number += 1
        self.string_count = number
        text.take(rb"(\s*\}\s*)\Z", " after strings")

    def read_nodes(self) -> None:
        """Add up the nodes by type, and keep those of the strings that hold base64."""
        types, totals = list(self.types), list(self.types.values())
        numbers = chain.from_iterable(self.numbers())
        nodes = map(self.columns, zip(*[numbers] * len(self.fields)))
        for kind, name, node_id, size in nodes:
            if kind >= len(types) or name >= self.string_count:
                raise Problem(f"node @{node_id}: invalid type or name")
            total = totals[kind]
            total["count"] += 1
            total["self_size"] += size
            if size >= 2**14 and types[kind] in ("string", "native"):  # may be a source's text
                self.texts_by_size[size] += 1
            if types[kind] == "array":
                self.arrays |= size
            elif name in self.texts and types[kind] in STRING_TYPES:
                self.held.extend((name, node_id, size))

    def numbers(self) -> Iterator[array]:
        """The numbers in "nodes", in pieces; a Problem at the end if node_count does not fit."""
        import json

        place, length, end = self.nodes_start, 0, -1
        while end < 0:
            piece = self.source.read(place, WINDOW)
            end = piece.find(b"]")
            try:
                used = piece.rindex(b",") if end < 0 else end
                numbers = array("Q", json.loads(f"[{piece[:used].decode()}]"))
            except (ValueError, TypeError, OverflowError, RecursionError):
                raise Problem(f"past byte {place}: damaged or cut short within nodes") from None
            yield numbers
            place += used + 1
            length += len(numbers)
        if length / len(self.fields) != self.node_count:
            raise Problem(f"{length} numbers in nodes, not as many as it says")

    def base64(self) -> Iterator[tuple[bytes | None, dict]]:
        """Base64.in_node for each base64 of each string node."""
        header = 12 if self.arrays % 8 or not self.arrays else 16  # 4 bytes a word, or 8
        for name, node_id, size in zip(*[iter(self.held)] * 3):
            yield from (text.in_node(node_id, size, header) for text in self.texts[name])

    def as_json(self) -> dict[str, object]:
        """Its totals, those of the strings as DevTools' statistics count them."""
        whole = ({**one, "in_inputs": bool(sha)} for sha, one in self.base64() if one["whole"])
        sizes = array("Q", (one["self_size"] for _, one in self.base64() if one["whole"]))
        largest = nlargest(1000, whole, key=itemgetter("self_size"))
        return {
            "path": self.source.path,
            "complete": not self.damage,
            "nodes": sum(total["count"] for total in self.types.values()),
            "self_size": sum(total["self_size"] for total in self.types.values()),
            "strings": sum(self.types[n]["self_size"] for n in self.types if n in STRING_TYPES),
            "base64": {"strings": len(sizes), "self_size": sum(sizes), "largest": largest},
            "types": self.types,
        }


# ---------------------------------------------------------------- all of it joined
# What the command line asks for -> the copies of each literal and of each source, for the report.


class Copy(NamedTuple):
    """A literal, or a source's text, in RAM, in a core file or in a heap snapshot."""

    facts: dict[str, object]  # as the JSON has it
    size: int  # bytes; 0: partly in swap, or only a part of a heap's string
    place: tuple  # the identity of its memory: equal where it is shared


class Where:
    """The copies of literals, by the hash of what they hold, and of sources, by their number."""

    def __init__(self, options: argparse.Namespace) -> None:
        asked = {"RAM": options.pid, "cores": options.core, "heaps": options.heap}
        self.asked = {column: given for column, given in asked.items() if given}
        self.with_inputs = bool(options.paths)  # without them there are no sources to look for
        self.partly: set[str] = set()  # columns of which not all could be read
        self.facts: dict[str, list[dict]] = {"processes": [], "cores": [], "heaps": []}  # for JSON
        self.copies: dict[str, dict[bytes | int, list[Copy]]] = {}  # column -> key -> copies
        self.heap_texts: Counter = Counter()  # sizes of heaps' large strings, how many of each
        self.other: dict[tuple, int] = {}  # base64 that is not a whole copy: its place -> bytes

    def sizes(self, key: bytes | int) -> dict[str, tuple[int, int]]:
        """Bytes and number of copies in each column; memory that several share counts once."""
        found = {}
        for column, copies in self.copies.items():
            here = [one for one in copies.get(key, ()) if one.size]
            found[column] = sum({one.place: one.size for one in here}.values()), len(here)
        return found

    def as_json(self, key: bytes | int) -> dict[str, object]:
        """The copies for programs. Sources are not looked for in heaps."""
        found: dict[str, object] = {"ram": self.sizes(key).get("RAM", (None,))[0]}
        for column in self.asked:
            if column != "heaps" or isinstance(key, bytes):
                copies = self.copies.get(column, {}).get(key, ())
                found["memory" if column == "RAM" else column] = [one.facts for one in copies]
        return found

    def closing(self) -> dict[str, int | None] | None:
        """What the resident anonymous memory of the processes is made of, each byte once."""
        sizes = [one["anonymous"] for one in self.facts["processes"] if one["searched"] is not None]
        if not sizes or None in sizes:
            return None
        texts: set[tuple] = set()  # of sources: owner, start, end
        base64, in_heaps = 0, 0  # in_heaps: what the heaps count too
        for key, copies in self.copies["RAM"].items():
            anonymous = [one for one in copies if one.facts["backing"] == "anonymous"]
            outside = [one for one in anonymous if not one.facts.get("in_source")]
            ranges = {(*one.place, one.place[1] + one.size) for one in outside}
            if isinstance(key, int):
                texts |= ranges
            else:
                base64 += covered(ranges)
                in_heaps += min(covered(ranges), self.sizes(key).get("heaps", (0,))[0])
        lengths = Counter(end - start for _, start, end in texts)
        for size, number in self.heap_texts.items():  # characters and a header, rounded up
            in_heaps += size * min(number, sum(lengths[size - header] for header in range(33)))
        sources = covered(texts) if self.with_inputs else None
        heaps = self.facts["heaps"]
        heap = sum(one["self_size"] for one in heaps) - in_heaps if heaps else None
        parts = {"anonymous": sum(sizes), "sources": sources, "base64": base64, "heap": heap}
        return {**parts, "rest": sum(sizes) - (sources or 0) - base64 - (heap or 0)}


def covered(ranges: set[tuple]) -> int:
    """Bytes in ranges, each with owner, start and end, of which some may overlap."""
    size, ends = 0, Counter()
    for owner, start, end in sorted(ranges):
        size += max(0, end - max(start, ends[owner]))
        ends[owner] = max(end, ends[owner])
    return size


class Search:
    """Looks for literals in processes, cores and snapshots; without inputs, for all base64."""

    def __init__(self, report: Report, where: Where) -> None:
        self.report, self.where = report, where
        self.index = Index(report) if where.with_inputs else None
        self.finder = SourceFinder(report)
        self.seen: dict[tuple, dict[int, object]] = {}  # pages: file -> place -> mark of an area
        self.in_files: dict[tuple, set[Match]] = {}  # copies in them, with places as addresses

    def tree(self, pid: int) -> None:
        """Look in a process and its descendants, but never in our own."""
        with self.report.catching(f"process {pid}"):
            pids = process_tree(pid)
            known = {os.getpid(), *(one["pid"] for one in self.where.facts["processes"])}
            for one in sorted(set(pids) - known):
                self.process(one, named=one == pids[0])

    def process(self, pid: int, named: bool) -> None:
        """Look in a process. That it has ended is a problem only if it was named."""
        process = process_of(pid)
        with self.report.catching(f"process {pid} ({process['name']})"):
            try:
                with contextlib.closing(Pages(pid)) as pages:
                    pages.path += f" {process['name']}"  # as the report names it
                    self.memory("RAM", pages, {"pid": pid, "process": process["name"]})
                    process.update(searched=pages.searched, swap=pages.swap)
            except (FileNotFoundError, ProcessLookupError):
                if not (named or os.path.exists(f"/proc/{pid}/exe")):
                    return
                raise Problem("it has ended, or is a kernel thread, or a new program") from None
            except PermissionError:
                raise Problem(UNREADABLE) from None
        self.where.facts["processes"].append(process)

    def core(self, path: str) -> None:
        with self.report.catching(path), open_regular(path) as source:
            core = Core(source)
            self.memory("cores", core, {"path": path})
            self.where.facts["cores"].append(core.as_json())
            if core.damage:
                raise Problem(core.damage)

    def heap(self, path: str) -> None:
        """Find the strings of a heap snapshot that hold literals."""
        self.index = self.index or Index(self.report)
        with self.report.catching(path), open_regular(path) as source:
            heap = Heap(source, self.index, self.report.min_size)
            kept = self.where.copies.setdefault("heaps", defaultdict(list))
            for key, facts in heap.base64():
                if key:
                    size = facts["self_size"] if facts["whole"] else 0
                    kept[key].append(Copy({"path": path, **facts}, size, (path, facts["node_id"])))
            self.where.facts["heaps"].append(heap.as_json())
            self.where.heap_texts += heap.texts_by_size
            if heap.damage:
                raise Problem(heap.damage)

    def memory(self, column: str, space: Pages | Core, owner: dict[str, object]) -> None:
        """Search the memory of a process or a core; nothing is kept if it ends halfway."""
        report, count, scanned, other = self.report, self.report.min_size, [], {}
        seen = {file: dict(pages) for file, pages in self.seen.items()}
        runs = (run for span in space.regions(seen) for run in runs_in(space, count, *span))
        if self.index:
            found, other = copies_in(runs, self.index)
        else:
            scanned, found = base64_in(runs, space, count)
        for match in found:
            mapping = mapping_at(space.mappings, match.address)
            if mapping.file_id:
                there = match._replace(address=mapping.place(match.address))
                self.in_files.setdefault(mapping.file_id, set()).add(there)
        matches = sorted(found.union(self.copies_elsewhere(space)))
        texts = self.finder.around(space, matches)
        edges = sorted(t.address for t in texts), sorted(t.address + t.size for t in texts)
        copies = [(one, copy_of(one, space, owner, edges)) for one in (*texts, *matches)]
        kept = self.where.copies.setdefault(column, defaultdict(list))
        for match, copy in copies:
            if match.whole or isinstance(match.key, int) or not copy.size:  # 0: partly in swap
                kept[match.key].append(copy)
        self.where.other.update(other)
        self.seen = seen
        if scanned:
            begin = len(report.scanned)
            report.inputs.append((space.path, begin, begin + len(scanned)))
            report.scanned += scanned
            report.left_out += scanned[0].left_out  # one for all of them

    def copies_elsewhere(self, space: Pages | Core) -> Iterator[Match]:
        """Copies in pages of files that were searched already, where another process maps them."""
        for mapping in space.mappings:
            for match in self.in_files.get(mapping.file_id, ()):
                start, size = match.address - mapping.place(0), match.size // match.width
                memory = Source("memory", "", start, size, width=match.width, space=space)
                if mapping.start <= start < mapping.end:
                    contents = (content_of(memory, 0, size - n) for n in range(3))  # padding
                    if any(isinstance(c, Content) and c.sha256 == match.key for c in contents):
                        yield match._replace(address=start, whole=True)


def copy_of(match: Match, space: Pages | Core, owner: dict, edges: tuple[list, list]) -> Copy:
    """A copy of a literal or of a source's text, and what backs it."""
    backing, place = space.backing(match.address, match.size)
    facts = {**owner, "address": match.address, "width": match.width, "backing": backing}
    if isinstance(match.key, int):
        facts.update(bytes=match.size, whole=match.whole)
    else:  # within texts: more of them have begun than ended
        begun, ended = (bisect.bisect(edge, match.address) for edge in edges)
        facts.update(in_source=begun > ended)
    return Copy(facts, 0 if backing == "swap" else match.size, place or (space.path, match.address))


def base64_in(runs: Iterable[Source], space: Pages | Core, count: int) -> tuple[list, set[Match]]:
    """All base64 in memory, as Scanned for each width of characters, and as copies of itself."""
    one = Source(space.path, space.file, 0, 0)
    two = one._replace(path=f"{space.path}, two bytes a character", width=2)
    left_out: Counter = Counter()
    parts, found = {source.width: Scanned(source, left_out) for source in (one, two)}, set()
    for run in runs:
        padded = run._replace(size=run.size + 2)
        for start, end in find_runs(run, count):
            content = content_of(padded, start, end)
            if isinstance(content, str):
                parts[run.width].add(content)
                continue
            address, size = run.base + run.width * start, run.width * content.length
            place = mapping_at(space.segments, address).place(address)
            begin = place, None, None, None, None, False
            parts[run.width].add(Literal(*begin, *content))
            found.add(Match(content.sha256, address, run.width, size, True))
    parts[1].source = one._replace(size=space.searched)
    return list(parts.values()), found


def look_elsewhere(report: Report, options: argparse.Namespace) -> Where:
    """Look for the literals where it was asked for: in processes, core files, heap snapshots."""
    where = Where(options)
    if not where.asked:
        return where
    search = Search(report, where)
    looks = {"RAM": search.tree, "cores": search.core, "heaps": search.heap}
    for column, given in where.asked.items():
        before = len(report.problems)
        for one in dict.fromkeys(given):
            looks[column](one)
        if len(report.problems) > before:
            where.partly.add(column)
    for path, why in search.index.missed.values() if search.index else ():
        where.partly.update(where.asked)
        report.problem(path, why)
    return where


# ---------------------------------------------------------------- the report
# In: a Report and where its literals sit. Out: text, in sections of lines under 100 columns.

DUMPED = ("anonymous", "shared anonymous", "private file", "shared file")  # core(5), by bit


class Row(NamedTuple):
    """One content, and where it stands: the first place, and how often in all inputs."""

    literal: Literal
    source: Source
    times: int

    def place(self, width: int) -> str:
        """'path:line:column' in text, else 'path at byte offset'."""
        literal, is_process = self.literal, self.source.file.startswith("/proc/")
        at = f" at {literal.offset:#x}" if is_process else f" at byte {literal.offset}"
        at = at if literal.line is None else f":{literal.line}:{literal.column}"
        return elide(self.source.path + at, width)


class Rows:
    """Each content once, the largest first, ties by place; bytes with several names count once."""

    def __init__(self, report: Report) -> None:
        first_named = {one.source._replace(path=""): one for one in reversed(report.scanned)}
        self.scanned = sorted(first_named.values(), key=lambda one: one.source.path)
        hashes = sorted(literal.sha256 for one in self.scanned for literal in one.literals())
        groups = ((content, len(list(same))) for content, same in groupby(hashes))
        self.times = {content: number for content, number in groups if number > 1}
        del hashes  # before the peak of memory use, which follows
        ranks = enumerate(self.scanned)
        places = (rank << 32 | n for rank, one in ranks for n in range(len(one.packed)))
        self.numbers, seen = array("Q"), set()  # a literal is one number: there may be a million
        for number in sorted(places, key=lambda number: -self.row(number).literal.length):
            row = self.row(number)
            if row.literal.sha256 not in seen:
                self.numbers.append(number)
            if row.times > 1:
                seen.add(row.literal.sha256)

    def row(self, number: int) -> Row:
        one = self.scanned[number >> 32]
        literal = one.literal(number & 0xFFFFFFFF)
        return Row(literal, one.source, self.times.get(literal.sha256, 1))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, at: int) -> Row:
        return self.row(self.numbers[at])


def laid_out(section: Sequence[str | tuple]) -> list[str]:
    """Tuples as rows of a table, right-aligned but for the last column; strings as they are."""
    tuples = (row for row in section if isinstance(row, tuple))
    rows = [["-" if cell is None else str(cell) for cell in row] for row in tuples]
    widths = [max(map(len, column)) for column in zip(*rows)][:-1]
    lines = ("  ".join(["", *map(str.rjust, row, widths), row[-1]]) for row in rows)
    return [next(lines) if isinstance(row, tuple) else row for row in section]


def elide(text: str, width: int) -> str:
    """A text in a column: what can be printed, and the end of it if that is too long."""
    text = printable(text)
    return text if len(text) <= width else "..." + text[3 - width :]


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def report_text(report: Report, rows: Rows, where: Where, top: int, bold: bool) -> str:
    """The whole report. Never a literal's content."""
    sections = {
        "": input_lines(report, where),
        f"The largest of {count_text(len(rows), 'content')}": largest_lines(rows, where, top),
        "By kind": kind_lines(report),
        "Where they sit: the whole copies of each": where_lines(report, where, rows, top),
        "What was searched": searched_lines(where),
        "Heap snapshots": heap_lines(where, top),
        "What the anonymous memory is made of": closing_lines(where),
        "As V8 keeps it": script_lines(report, top),
        "Left out: no data": [("number", "why"), *((n, why) for why, n in report.left_out.items())],
        "The largest files, whatever they hold": file_lines(report) if where.with_inputs else [],
    }
    lines = []
    for title, section in sections.items():
        if len(section) > 1:  # more than a table's head
            heading = f"\033[1m{title}\033[0m" if bold else title
            lines += [*([heading] if title else []), *laid_out(section), ""]
    return "\n".join(lines)


def input_lines(report: Report, where: Where) -> list[str]:
    lines, many = [], [(f"{len(report.inputs)} inputs", 0, len(report.scanned))]
    for path, begin, end in many if len(report.inputs) > 8 else report.inputs:
        part = report.scanned[begin:end]
        literals = chain.from_iterable(one.literals() for one in part)
        size, length = sum(one.source.size for one in part), sum(one.length for one in literals)
        number = count_text(sum(len(one.packed) for one in part), "base64 literal")
        files = f"{end - begin} files, " if end - begin != 1 and where.with_inputs else ""
        found = f"{number} of {report.min_size} characters or more, {length} characters"
        lines += [elide(path, 96), f"  {files}{size_text(size)}: {found}, {share(length, size)}"]
    return lines


def largest_lines(rows: Rows, where: Where, top: int) -> list[str | tuple]:
    """The table: characters with padding, the string around in UTF-16 units, decoded bytes."""
    lines = [("", "characters", "string", "decoded", "times", f"{'kind':24}place")]
    for number, row in enumerate(islice(rows, top), 1):
        literal, kind, mime = row.literal, row.literal.kind, row.literal.mime
        subtype = {"audio/mp3": "mpeg", "source map": "json"}.get(kind, kind.rpartition("/")[2])
        kind = f"{kind} ({mime})" if mime and subtype not in mime else kind  # the declared type
        kind = kind if len(kind) < 24 else kind[:20] + "..."
        sizes = literal.length, literal.string_length, literal.decoded, row.times
        lines.append((number, *sizes, f"{kind:24}{row.place(32)}"))
    if rows.times and where.with_inputs:  # several processes may share what they hold
        wasted = sum(row.literal.length * (row.times - 1) for row in rows)
        again = f"{count_text(len(rows.times), 'content')} more than once"
        lines.append(f"  {again}; once each would save {wasted} characters ({size_text(wasted)})")
    return lines


def kind_lines(report: Report) -> list[str | tuple]:
    """Totals by kind, and what in-line source maps take, which are seldom meant."""
    whole = sum(one.source.size for one in report.scanned)
    kinds, maps = {}, []
    for literal in chain.from_iterable(one.literals() for one in report.scanned):
        length, decoded, number = kinds.get(literal.kind, (0, 0, 0))
        kinds[literal.kind] = length + literal.length, decoded + literal.decoded, number + 1
        if literal.in_comment:
            maps.append(literal.length)
    lines = [("characters", "decoded", "share", "number", "kind")]
    for kind, (length, decoded, number) in sorted(kinds.items(), key=lambda one: -one[1][0]):
        lines.append((length, decoded, share(length, whole), number, kind))
    if maps:
        text = f"{count_text(len(maps), 'source map')} in line, {sum(maps)} characters"
        lines.append(f"  {text}: V8 keeps each once more as a string; often it is a mistake")
    return lines


def script_lines(report: Report, top: int) -> list[str | tuple]:
    """How V8 keeps the texts that are, or may be, scripts: those with the most to save first."""
    texts = [(one.script, one.source.path) for one in report.scanned if one.script]
    if len(report.scanned) > 1:
        texts = [one for one in texts if one[1].lower().endswith((".js", ".mjs", ".cjs", ".jsx"))]
    texts.sort(key=lambda one: one[0].escaped_size - one[0].size)
    lines = [("characters", "beyond Latin-1", "in memory", "with \\u", "script")]
    for script, path in texts[: min(top, 5)]:
        escaped = size_text(script.escaped_size) if script.beyond_latin1 else None
        name = elide(path, 34) + ("" if script.valid_utf8 else " (invalid UTF-8)")
        size = size_text(script.size)
        lines.append((script.characters, script.beyond_latin1, size, escaped, name))
    size = size_text(sum(script.size for script, _ in texts))
    saved = size_text(sum(max(0, script.size - script.escaped_size) for script, _ in texts))
    two = sum(script.beyond_latin1 > 0 for script, _ in texts)
    last = f"  {count_text(len(texts), 'script')}, {size} in memory; two bytes a character: {two}"
    return [*lines, f"{last}; \\u escapes would save {saved}"] if texts else []


def file_lines(report: Report) -> list[tuple]:
    """The largest of several files, those in archives too."""
    sources = [one.source for one in report.scanned]
    whole = sum(source.size for source in sources)
    largest = nlargest(10, sources, key=lambda source: source.size)
    rows = [(one.size, share(one.size, whole), elide(one.path, 73)) for one in largest]
    return [("bytes", "share", "file"), *rows] if len(rows) > 1 else []


def where_lines(report: Report, where: Where, rows: Rows, top: int) -> list[str | tuple]:
    """For literals and sources the strings of heaps that hold them, copies in RAM and in cores."""
    found = enumerate((row.literal for row in islice(rows, top)), 1)
    keys = [(n, one.length, one.kind, one.sha256) for n, one in found]
    for n, (source, script) in enumerate((one.source, one.script) for one in report.scanned):
        if any(n in copies for copies in where.copies.values()):
            keys.append(("", script.characters, source.path, n))
    lines = [("", "characters", *(f"in {column}" for column in where.copies), "what")]
    for number, length, name, key in keys if where.copies else ():
        cells = [number, length]
        for column, (size, copies) in where.sizes(key).items():
            absent = "?" if column in where.partly else "-"
            absent = absent if number or column != "heaps" else ""  # no look for sources there
            cells.append(f"{size} in {copies}" if copies else absent)
        lines += [(*cells, elide(name, 40)), *owner_lines(where, key)]
    if where.copies:
        lines.append(f"  {totals(rows, where)}")
    if where.other:
        other = f"{count_text(len(where.other), 'run')}, {size_text(sum(where.other.values()))}"
        lines.append(f"  base64 in memory that is not a whole copy: {other}")
    if where.partly & where.copies.keys():
        lines.append("  ?: not in what could be read, and not all could be")
    return lines


def totals(rows: Rows, where: Where) -> str:
    """Bytes of all contents in the inputs, and of their copies in each column."""
    texts = [f"{size_text(sum(row.literal.length for row in rows))} in the inputs"]
    for column in where.copies:
        size = sum(where.sizes(row.literal.sha256)[column][0] for row in rows)
        least = "at least " if column in where.partly else ""
        texts.append(f"{least}{size_text(size)} in {column}")
    return f"{count_text(len(rows), 'content')}: {', '.join(texts)}"


def owner_lines(where: Where, key: bytes | int) -> list[str]:
    """Copies by process or file, backing and width; in heaps those with more around them."""
    anonymous = {process["pid"]: process["anonymous"] for process in where.facts["processes"]}
    found: Counter = Counter()
    for column, copies in where.copies.items():
        for facts, size, _ in copies.get(key, ()):
            owner = "{process} {pid}".format(**facts) if "pid" in facts else facts["path"]
            kind = facts.get("backing", "inside a longer string, or outside the heap")
            kind = "partly in swap" if kind == "swap" else kind
            kind += " two-byte" if facts["width"] == 2 else ""
            kind += " in a source" if facts.get("in_source") else ""
            if "bytes" in facts:  # a source
                kind += "" if facts["whole"] else " in part"
                total = anonymous.get(facts.get("pid")) if facts["backing"] == "anonymous" else None
                kind += f", {share(facts['bytes'], total)} of its anonymous memory" if total else ""
            if column != "heaps" or not size:
                found[elide(owner, 30), kind] += 1
    return [f"{'':14}{owner}: {number} {kind}" for (owner, kind), number in found.items()]


def closing_lines(where: Where) -> list[str | tuple]:
    """The sum: what the processes' anonymous memory is made of."""
    found = where.closing() or {}
    which = "the processes that could be read" if "RAM" in where.partly else "these processes"
    names = (
        f"resident anonymous memory of {which}",
        "script sources with base64 in them",
        "base64 strings outside the sources",
        "JavaScript heap without the strings above",
        "the rest",
    )
    parts = ((size, name) for size, name in zip(found.values(), names) if size is not None)
    rows = ((size, share(size, found["anonymous"]), name) for size, name in parts)
    lines: list[str | tuple] = [("bytes", "share", "what"), *rows]
    if found and found["rest"] < 0:
        lines.append("  a rest below zero: others share that memory, or a heap is not all resident")
    return lines


def searched_lines(where: Where) -> list[str | tuple]:
    """The processes and core files that were searched."""
    lines = [("pid", "PSS", "searched", "in swap", "process or core file")]
    for process in where.facts["processes"]:
        sizes = (process[key] for key in ("pss", "searched", "swap"))
        texts = (None if size is None else size_text(size) for size in sizes)
        lines.append((process["pid"], *texts, printable(process["name"])[:50]))
    for core in where.facts["cores"]:
        mapped, dumped = size_text(core["file_mappings"]), size_text(core["file_mappings_dumped"])
        name = f"{elide(core['path'], 24)} with {dumped} of {mapped} of file mappings"
        lines.append((None, None, size_text(core["searched"]), None, name))
        if size := core["left_out"]:
            lines.append(f"  {size_text(size)} more not in it: never used, or by coredump_filter")
    for bits in sorted({one["coredump_filter"] for one in where.facts["processes"]} - {None}):
        dumped = ", ".join(name for n, name in enumerate(DUMPED) if bits >> n & 1)
        lines.append(f"  coredump_filter {bits:#x}: a core dump has {dumped or 'no'} memory")
    return lines


def heap_lines(where: Where, top: int) -> list[str | tuple]:
    lines = [("bytes", "share", "nodes", "type")]
    for heap in where.facts["heaps"]:
        base64, whole = heap["base64"], heap["self_size"]
        damaged = "" if heap["complete"] else ": damaged, what could be read"
        lines += [
            f"  {elide(heap['path'], 60)}{damaged}",
            f"    {heap['nodes']} nodes, {size_text(whole)}; strings {size_text(heap['strings'])}; "
            f"base64 strings {base64['strings']}, {size_text(base64['self_size'])}",
        ]
        types = [(total["self_size"], total["count"], n) for n, total in heap["types"].items()]
        for size, number, name in sorted(types, reverse=True)[:8]:
            lines.append((size, share(size, whole), number, printable(name)[:60]))
        for text in [text for text in base64["largest"] if not text["in_inputs"]][: min(top, 5)]:
            name = f"{text['kind']} in none of the inputs, @{text['node_id']}"
            lines.append((text["self_size"], None, 1, name))
    size = sum(heap["self_size"] for heap in where.facts["heaps"])
    pss = sum(process["pss"] or 0 for process in where.facts["processes"])
    if size and pss:
        lines.append(f"  heaps {size_text(size)}, {share(size, pss)} of the PSS, {size_text(pss)}")
    return lines


# ---------------------------------------------------------------- what is written
# In: the report, and where its literals sit. Out: JSON, a literal at a time; a file for each of
# their contents; a picture.

COLOURS = {"inputs": "#0072B2", "heaps": "#E69F00", "RAM": "#009E73", "cores": "#CC79A7"}


def json_lines(report: Report, rows: Rows, where: Where) -> Iterator[str]:
    """The report for programs, a literal a line. Sizes in bytes; lengths in characters."""
    import json

    told: Counter = Counter()  # content -> places so far that have its copies
    yield '{"sources": ['
    for number, scanned in enumerate(report.scanned):
        script = scanned.script
        head = script._asdict() if script else dict.fromkeys(Script._fields)
        head["two_byte"] = bool(script.beyond_latin1) if script else None
        head.update(path=scanned.source.path, size=scanned.source.size, **where.as_json(number))
        yield f'{"," if number else ""}{json.dumps(head)[:-1]}, "literals": ['
        for n, literal in enumerate(scanned.literals()):
            key, times = literal.sha256, rows.times.get(literal.sha256, 1)
            found = {**literal._asdict(), "sha256": key.hex(), "occurrences": times}
            if times > 16:  # all copies at each place would be quadratic
                told[key] += 1
            copies = where.as_json(key) if told[key] <= 16 else dict.fromkeys(where.as_json(b""))
            yield ("," if n else "") + json.dumps({**found, **copies})
        yield "]}"
    other = {"runs": len(where.other), "bytes": sum(where.other.values())}
    rest = {
        "left_out": report.left_out,
        "problems": [{"path": path, "problem": text} for path, text in report.problems],
        **where.facts,
        "closing": where.closing(),
        "other": other if {"RAM", "cores"} & where.asked.keys() else None,
    }
    yield "], " + json.dumps(rest)[1:]


def extract(report: Report, rows: Rows, folder: str) -> None:
    """Write each content to a file of its own: 001-font-ttf.ttf, the largest first."""
    os.makedirs(folder, exist_ok=True)
    for number, row in enumerate(rows, 1):
        name = re.sub("[/ ]", "-", row.literal.kind).lower()
        ending = name.rpartition("-")[2]
        path = os.path.join(folder, f"{number:03}-{name}.{ENDINGS.get(ending, ending)}")
        try:
            extract_content(row, path)
        except (Problem, OSError) as error:
            if getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
                raise
            report.problem(path, getattr(error, "strerror", None) or str(error))


def extract_content(row: Row, path: str) -> None:
    """Write one content to a new file; none is left that is not whole."""
    literal, length = row.literal, -(-4 * row.literal.decoded // 3)  # without padding
    with open(row.source.file, "rb") as file, open(path, "xb") as out:
        source = row.source._replace(fd=file.fileno())
        try:
            content = content_of(source.part(literal.offset, literal.length), 0, length, out)
            out.flush()
            if isinstance(content, str) or content.sha256 != literal.sha256:
                raise Problem(f"{row.source.file} has changed since it was searched; not written")
        except BaseException:
            os.unlink(path)
            raise


def save_picture(report: Report, rows: Rows, where: Where, out: str, top: int) -> None:
    """The largest literals: their size in the inputs, and in each place that was looked at."""
    from matplotlib.figure import Figure

    warnings.filterwarnings("ignore", "Glyph")  # its font lacks one that a path has
    panel = Figure(figsize=(12, 8), dpi=100, tight_layout=True).subplots()
    shown = list(islice(rows, min(top, 12 if where.copies else 20)))
    height = 0.8 / (1 + len(where.copies))
    for n, row in enumerate(shown):
        sizes = {"inputs": (row.literal.length, row.times), **where.sizes(row.literal.sha256)}
        for at, (place, (size, number)) in enumerate(sizes.items()):
            y, width, label = n + at * height, size / 1024, f"in {place}" if n == 0 else ""
            panel.barh(y, width, 0.9 * height, color=COLOURS[place], label=label)
            copies = f", {number} copies" if number > 1 else ""
            text = "?" if not size and place in where.partly else size_text(size) + copies
            panel.text(width, y, f" {text}", va="center", size=7)
    places = ((row.literal.kind, row.literal.line, row.literal.offset) for row in shown)
    labels = [f"{kind}, line {n}" if n else f"{kind}, byte {offset}" for kind, n, offset in places]
    panel.set_yticks([n + 0.4 - height / 2 for n in range(len(shown))])
    panel.set_yticklabels(labels, size=9)
    panel.invert_yaxis()
    panel.margins(x=0.15, y=0.01)
    if shown:
        panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncol=len(COLOURS), frameon=False)
    panel.set_xlabel("KiB, of all whole copies together")
    inputs = ", ".join(os.path.basename(path.rstrip("/")) for path, *_ in report.inputs)
    title = elide(f"Base64 literals in {inputs}", 90).replace("$", r"\$")
    panel.set_title(f"{title}\n{totals(rows, where)}", loc="left", pad=24)
    panel.figure.savefig(out, format=out.rpartition(".")[2].lower())


# ---------------------------------------------------------------- the command line

EXAMPLES = """examples:
  ./asar_investigate.py --in resources/app.asar
  ./asar_investigate.py --in unpacked/1.bundle.js --out literals.png
  ./asar_investigate.py app.asar --extract blobs --json report.json
  ./asar_investigate.py --in unpacked --pid $(pgrep -o scratch)
  ./asar_investigate.py --in unpacked --heap page.heapsnapshot --out heap.png"""


def at_least(least: int, text: str) -> int:
    """A number from `least` on, K and M understood, for argparse."""
    match = re.fullmatch(r"(\d{1,9})([KMkm]?)", text)
    found = int(match[1]) * {"": 1, "K": 2**10, "M": MIB}[match[2].upper()] if match else -1
    if not least <= found <= 16 * MIB:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from {least} to 16M")
    return found


def process_ids(text: str) -> list[int]:
    """Process ids with commas between them, for argparse."""
    if not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a process id")
    return [int(word) for word in text.split(",")]


def image_name(text: str) -> str:
    """The name of a picture that can be made, for argparse."""
    from importlib.util import find_spec

    if not text.lower().endswith((".png", ".svg", ".pdf")):
        raise argparse.ArgumentTypeError(f"{text}: the ending must be one of .png, .svg, .pdf")
    if not find_spec("matplotlib"):
        raise argparse.ArgumentTypeError("needs matplotlib: apt install python3-matplotlib")
    return text


def parser() -> argparse.ArgumentParser:
    """The command line; the README shows its help."""
    result = argparse.ArgumentParser(
        prog="asar_investigate.py",
        usage="asar_investigate.py [options] PATH ...  (or --in PATH ...)",
        description="Which big base64 literals a bundle, a folder or an app.asar holds,\n"
        "and where they sit in memory.",
        epilog=EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=78),
        allow_abbrev=False,
        add_help=False,
    )
    add = result.add_argument_group("what to search").add_argument
    add("paths", nargs="*", metavar="PATH", help="files, folders, .asar archives; - is stdin")
    several = {"nargs": "+", "action": "extend", "default": []}
    add("--in", metavar="PATH", dest="more", help="the same", **several)
    least = "shortest literal, in characters without padding; N may end in K or M (256)"
    add("--min-size", metavar="N", type=partial(at_least, 1), default=256, help=least)
    add = result.add_argument_group("where to look for them").add_argument
    tree = "these processes and their descendants; without PATH, their app.asar is the input"
    add("--pid", metavar="PID", type=process_ids, help=tree, **several)
    add("--core", metavar="FILE", help="core dumps, gcore's or the kernel's", **several)
    add("--heap", metavar="FILE", help="V8 heap snapshots", **several)
    add = result.add_argument_group("what to write").add_argument
    add("--top", metavar="N", type=partial(at_least, 0), default=20, help="rows of the table (20)")
    add("--json", metavar="FILE", help="the whole report for programs; - is stdout")
    add("--extract", metavar="DIR", help="write each decoded literal to a file in DIR")
    add("--out", metavar="FILE", type=image_name, help="a picture: the largest, and where they sit")
    add("--version", action="version", version=f"%(prog)s {VERSION}", help="show the version")
    add("-h", "--help", action="help", help="show this help")
    return result


def write_report(report: Report, where: Where, options: argparse.Namespace) -> None:
    """The report on stdout, and the files that were asked for."""
    rows = Rows(report)
    if options.extract:
        with report.catching(options.extract):
            extract(report, rows, options.extract)
    if options.out:
        with report.catching(options.out):
            save_picture(report, rows, where, options.out, options.top)
    texts = (f"{line}\n" for line in json_lines(report, rows, where))
    if options.json and options.json != "-":
        with report.catching(options.json), open(options.json, "w", encoding="utf-8") as file:
            file.writelines(texts)
    if options.json != "-":
        bold = sys.stdout is not None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
        texts = [report_text(report, rows, where, options.top, bold)]
    if not all(write_text(text, sys.stdout) for text in texts):
        report.problem("stdout", "could not be written")


def main(argv: Sequence[str] | None = None) -> int:
    """Search and report. Returns 0, or 2 when something could not be read or written."""
    options = parser().parse_args(argv)
    options.paths += options.more
    options.pid = list(chain.from_iterable(options.pid))
    real, inputs = os.path.realpath, [*options.paths, *options.core, *options.heap]
    over = {*map(real, inputs)} & {real(p) for p in (options.json, options.out) if p and p != "-"}
    if over or "" in (options.json, options.extract) or not (inputs or options.pid):
        say(f"{min(over)}: is an input" if over else "give inputs, and no empty names (see --help)")
        return 2
    report = Report(options.min_size)
    try:
        if not options.paths:
            with contextlib.suppress(Problem):  # said when the memory is to be searched
                options.paths = app_archive(chain.from_iterable(map(process_tree, options.pid)))
        for path in dict.fromkeys(options.paths):
            read_input(report, path)
        write_report(report, look_elsewhere(report, options), options)
    except KeyboardInterrupt:
        return 130
    return 2 if report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
