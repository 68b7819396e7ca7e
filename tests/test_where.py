"""asar_investigate.py: where literals sit, in made heap snapshots and cores and small processes.

Real ones, of the real editor, are in test_where_real.py. Made ones: what real tools write only for
32-bit programs or damaged, and what is to be found in them is known.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import ctypes
import hashlib
import json
import mmap
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
from functools import partial
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import psutil
import pytest
from bundles import asar, base64_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_asar import SCRIPT, call, run, told

import asar_investigate
from asar_investigate import Index, Source, narrowed, runs_in
from conftest import FORBIDDEN, LIMIT, MIB, alive, wait_for, with_mounted

FONT, OTHER, THIRD = (
    base64_of(size, seed).decode() for size, seed in ((5000, 1), (3000, 2), (800, 3))
)
FIELDS = ("type", "name", "id", "self_size", "edge_count", "trace_node_id", "detachedness")
TYPES = ("hidden", "string", "native", "object", "concatenated string")
STRING, NATIVE, OBJECT, CONCATENATED = 1, 2, 3, 4
PAGE = os.sysconf("SC_PAGE_SIZE")
many = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


BUNDLE = f'a = "{FONT}";\nb = "{OTHER}";\nc = "data:font/woff;base64,{THIRD}";\n'


@pytest.fixture
def bundle():
    """A bundle with three literals."""
    return Path("bundle.js").write_text(BUNDLE) and "bundle.js"


# ---------------------------------------------------------------- heap snapshots


def snapshot(
    nodes, strings, edges=(), fields=FIELDS, separators=(",", ":"), more="", types=TYPES
) -> bytes:
    """A heap snapshot; nodes as (type, name, id, self_size, edge_count)."""
    numbers = []
    for node in nodes:
        values = dict(zip(FIELDS, node))
        numbers += [values.get(field, 0) for field in fields]
    meta = {
        "node_fields": list(fields),
        "node_types": [list(types), "string", "number", "number", "number", "number", "number"],
        "edge_fields": ["type", "name_or_index", "to_node"],
        "edge_types": [["context", "internal"], "string_or_number", "node"],
    }
    head = {"snapshot": {"meta": meta, "node_count": len(nodes), "edge_count": len(edges)}}
    body = {"nodes": numbers, "edges": [n for edge in edges for n in edge],
            "trace_function_infos": [], "trace_tree": [0, [1, [2]]], "samples": [],
            "locations": [], "strings": list(strings)}  # fmt: skip
    return json.dumps({**head, **body}, separators=separators).encode() + more.encode()


def of_heap(data: bytes, *args: object, status: int = 0) -> dict:
    """What is told of a heap snapshot and the bundle."""
    Path("s.heapsnapshot").write_bytes(data)
    return told("bundle.js", "--heap", "s.heapsnapshot", *args, status=status)


def strings_of(found: dict, number: int) -> list[tuple]:
    """Of a literal: node id, width and whether it is the whole string."""
    heaps = found["sources"][0]["literals"][number]["heaps"]
    return [(text["node_id"], text["width"], text["whole"]) for text in heaps]


NAMES = ["", 'he said "\\', FONT[:1024], OTHER[:1024], f"data:font/woff;base64,{THIRD}"[:1024],
         f"@font-face {{src: url({FONT}"[:1024], base64_of(4000, 9).decode()[:1024],
         "\\\\\"x\u1234",
         "system / ExternalStringData", "(concatenated string)"]  # fmt: skip
NODES = [
    (OBJECT, 0, 1, 100, 0),
    (STRING, 2, 3, 5000 + 12, 0),
    (STRING, 2, 5, 5000 + 16, 0),
    (STRING, 3, 7, 2 * 3000 + 12, 0),
    (STRING, 4, 9, 824, 0),  # 22 + 800 rounded up to 824: 12 is not in it
    (STRING, 4, 11, 836, 0),
    (STRING, 5, 13, 9012, 0),
    (STRING, 6, 15, 4012, 0),
    (STRING, 7, 17, 20, 0),
    (STRING, 3, 19, 60, 2),
    (NATIVE, 8, 21, 3012, 0),
    (NATIVE, 8, 23, 152, 0),
    (CONCATENATED, 9, 25, 20, 0),
]
EDGES = [(1, 1, 10 * len(FIELDS)), (1, 2, 11 * len(FIELDS))]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), ("\n,", ":")])
def test_strings_of_a_snapshot(bundle, separators):
    found = of_heap(snapshot(NODES, NAMES, EDGES, separators=separators))
    assert strings_of(found, 0) == [(3, 1, True), (5, 1, True), (13, None, False)]
    assert strings_of(found, 1) == [(7, 2, True), (19, None, False)]
    assert strings_of(found, 2) == [(11, 1, True)]
    heap = found["heaps"][0]
    assert heap["nodes"] == len(NODES) and heap["self_size"] == sum(node[3] for node in NODES)
    assert heap["types"]["native"] == {"count": 2, "self_size": 3164}
    kinds = (STRING, CONCATENATED)
    assert heap["strings"] == sum(node[3] for node in NODES if node[0] in kinds)
    assert heap["base64"]["strings"] == 6  # four of the bundle's, two that are in no input
    status, out, err = call("bundle.js", "--heap", "s.heapsnapshot")
    assert status == 0 and not err
    assert "10028 in 2" in out and "in none of the inputs, @15" in out


@given(st.permutations(FIELDS), st.lists(st.sampled_from(["x", "y", "z"]), unique=True))
@many
def test_columns_are_found_by_name(order, more):
    Path("bundle.js").write_text(f'a = "{FONT}"; b = "{OTHER}"; c = "{THIRD}"')
    fields = [*order, *more]
    edges = [(kind, name, to // len(FIELDS) * len(fields)) for kind, name, to in EDGES]
    found = of_heap(snapshot(NODES, NAMES, edges, fields))
    assert strings_of(found, 0) == [(3, 1, True), (5, 1, True), (13, None, False)]
    assert strings_of(found, 1) == [(7, 2, True), (19, None, False)]


def test_strings_by_the_thousand_and_across_windows(bundle):
    """Of each string its number is right, whatever quotes and backslashes stand before it."""
    chance = random.Random(1)
    pieces = ['"', "\\", "\\\\", '\\"', "\n", "x", "/", "\u1234", "\0", ",", "]", "}", "[{"]
    names = ["".join(chance.choices(pieces, k=chance.randrange(60))) for _ in range(60_000)]
    names[100] = names[30_000] = names[59_999] = FONT[:1024]
    names[40_000] = "".join(chance.choices(pieces, k=1_500_000)) + '"' + OTHER + '"'
    nodes = [(STRING, n, 2 * n + 1, 5012 if n != 40_000 else 2_000_000, 0) for n in range(60_000)]
    found = of_heap(snapshot(nodes, names))
    assert strings_of(found, 0) == [(201, 1, True), (60_001, 1, True), (119_999, 1, True)]
    assert strings_of(found, 1) == [(80_001, None, False)]


def test_heaps_beside_the_processes(bundle):
    """And no sum of other base64 in memory where none was searched."""
    assert of_heap(snapshot(NODES, NAMES, EDGES))["other"] is None
    with subprocess.Popen(["sleep", "60"]) as process:
        args = ["bundle.js", "--heap", "s.heapsnapshot", "--pid", process.pid]
        assert told(*args)["other"] == {"runs": 0, "bytes": 0}
        assert re.search(r"^  heaps .* of the PSS, \d", call(*args)[1], re.M)
        process.kill()


SOUND = snapshot(NODES, NAMES)


@pytest.mark.parametrize("data, place", [
    (b"", "byte 0: damaged or cut short, or no heap snapshot"),
    (b"[1,2]", "byte 0: damaged or cut short, or no heap snapshot"),
    (b"{}", "byte 0: damaged or cut short, or no heap snapshot"),
    (b'{"snapshot":{"meta":7},"nodes":[],"edges":[],"strings":[""]}', "byte 12: damaged, or no"),
    (b'{"snapshot":{"a"', "byte 12: damaged, or no heap snapshot"),
    (b'{"nodes":[],"strings":[""]}', "byte 0: damaged or cut short, or no heap snapshot"),
    (SOUND[: SOUND.index(b'"nodes":[3') + 10], "cut short within nodes"),
    (SOUND.replace(b'"edges":[]', b'"edges":[1'), "cut short within edges"),
    (SOUND[:-400], "cut short within strings"),
    (snapshot([(9, 2, 3, 4, 5)], NAMES), "node @3: invalid type or name"),
    (SOUND.replace(b'"nodes":[3', b'"nodes":[3.5'), "within nodes"),
    (SOUND.replace(b'"nodes":[3', b'"nodes":[[3]'), "within nodes"),
    (SOUND.replace(b'"nodes":[3', b'"nodes":[-3'), "within nodes"),
    (SOUND.replace(b'],"edges"', b',3],"edges"'), "92 numbers in nodes, not as many as it says"),
])  # fmt: skip
def test_bad_snapshots(bundle, data, place):
    Path("s.heapsnapshot").write_bytes(data)
    status, out, err = call("bundle.js", "--heap", "s.heapsnapshot")
    assert status == 2 and err.count("\n") == 1 and place in err and "s.heapsnapshot" in err
    assert "5000" in out  # the bundle is still reported


def test_figures_up_to_where_a_snapshot_is_damaged(bundle, monkeypatch):
    """Of nodes, strings and edges what stands before the damage counts, and that is said."""
    monkeypatch.setattr(asar_investigate, "WINDOW", 16)  # the numbers of a window count or do not
    whole = snapshot(NODES, NAMES, EDGES)
    third = whole.index(b"1,3,7,6012,")  # the node behind the first three
    for data, counted, strings in (
        (whole[:third] + b"?" + whole[third:], 2, 1),  # damaged within nodes: strings are read
        (whole[:third], 3, 0),  # cut short there
        (whole[: whole.index(b'"edges"') + 12], len(NODES), 0),  # cut short within edges
        (whole.replace(OTHER[:1000].encode(), b"\n", 1), len(NODES), 2),  # within strings
        (whole.replace(b'"trace_tree":[0,', b'"trace_tree":[0,"'), len(NODES), 0),
        (whole[:-1], len(NODES), 3),
    ):
        found = of_heap(data, status=2)
        (heap,) = found["heaps"]
        assert heap["nodes"] == counted and not heap["complete"]
        assert len(strings_of(found, 0)) == strings
        assert len(found["problems"]) == 1 and "byte" in found["problems"][0]["problem"]
        out = call("bundle.js", "--heap", "s.heapsnapshot")[1]
        assert "damaged, what could be read" in out and "?: not in what" in out


@pytest.mark.parametrize("damage", [
    (b'"nodes":[3,0', b'"nodes":[3 0'), (b'"nodes":[3,0', b'"nodes":[03,0'),
    (b'"edges":[1,', b'"edges":[1,,'), (b'"edges":[1,', b'"edges":[1,x,'),
    (b'"samples":[]', b'"samples":[,]'), (b'"samples":[]', b'"samples":[1 2]'),
    (b'"samples":[]', b'"samples":[],'), (b'"samples":[]', b'"samples":[]"locations":[]'),
    (b'he said', b'he\tsaid'), (b'he said', b'he \\said'), (b'he said', b'he \xff said'),
    (b'he said', b'he \\u12g4 said'), (b'"(concat', b'x"(concat'), (b'"(concat', b'""(concat'),
    (b'string)"]}', b'string)"]'), (b'string)"]}', b'string)"]}}'), (b'string)"]}', b'string)",]}'),
    (b'"edges":[1,', b'"edges":[1],'), (b'"node_count":13', b'"node_count":12'),
])  # fmt: skip
def test_snapshots_that_are_no_json_or_lack_something(bundle, damage):
    """Most were reported with status 0 when quotes and brackets alone were looked at."""
    data = snapshot(NODES, NAMES, EDGES)
    assert is_sound(data) and damage[0] in data and not is_sound(data.replace(*damage, 1))
    found = of_heap(data.replace(*damage, 1), status=2)
    assert len(found["problems"]) == 1 and found["heaps"][0]["nodes"] <= len(NODES)


def test_literals_that_begin_alike(bundle):
    """As mp3s do: told apart by more characters, and by the size."""
    same = base64_of(1600, 3).decode()
    texts = [same + base64_of(size, size).decode() for size in (4000, 2400, 3000)]
    texts += [FONT[:1000] + base64_of(600, n).decode() for n in range(60)]
    Path("bundle.js").write_text("".join(f'"{text}"\n' for text in texts))
    nodes = [(STRING, n, n, len(text) + 12, 0) for n, text in enumerate(texts)]
    nodes.append((STRING, len(texts), 99, 1012, 0))
    found = of_heap(snapshot(nodes, [text[:1024] for text in texts] + [FONT[:1000]]))
    assert [strings_of(found, n) for n in range(63)] == [[(n, 1, True)] for n in range(63)]
    assert found["heaps"][0]["base64"]["strings"] == 64  # what they have in common is another
    segments = [(n * 2**16, f"\0A{text}/".encode()) for n, text in enumerate(texts)]
    found = of_core(core(segments))
    for n in range(63):
        assert (n * 2**16 + 2, 1, "anonymous") in copies_of(found, n)


def test_literals_of_one_length_that_begin_alike():
    """As icons do: a snapshot has their first 1024 characters alone. Each gets its share."""
    same = base64_of(1600, 3).decode()
    texts = [same + base64_of(600, seed).decode() for seed in range(3)]
    texts.append(same + base64_of(540, 3).decode())
    Path("bundle.js").write_text("".join(f'"{text}"\n' for text in texts))
    nodes = [(STRING, 0, n, len(texts[n // 2]) + 12, 0) for n in (0, 6, 2, 7, 4)]
    nodes += [(STRING, 0, n, 32, 0) for n in (10, 12, 14)]  # their text is outside of the heap
    found = of_heap(snapshot(nodes, [same[:1024]]))
    places = [[(n, 1, True), (n + 10, None, False)] for n in (0, 2, 4)]
    assert [strings_of(found, n) for n in range(4)] == [*places, [(6, 1, True), (7, 1, True)]]


def icons(number: int) -> list[str]:
    """SVG images of one size that differ in 12 bytes in their middle, as icon sets have them."""
    head = b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><path d="M1 2h3"/>'
    names = (f"{n:012o}".translate(str.maketrans("01234567", "abcdefgh")) for n in range(number))
    middles = (b"<g>" * 6 + name.encode() for name in names)  # so that no needle is in both
    return [base64.b64encode(head * 3 + middle + head * 3).decode() for middle in middles]


def test_a_thousand_literals_that_begin_and_end_alike():
    """Each is found by its hash in cores and heaps; few are compared with each other."""
    texts = icons(1100)
    Path("bundle.js").write_text("".join(f'"{text}"\n' for text in texts))
    strings = [f"data:image/svg+xml;base64,{text}" for text in texts]
    nodes = [(STRING, n, n, len(text) + 12, 0) for n, text in enumerate(strings)]
    found = of_heap(snapshot(nodes, strings))
    assert [strings_of(found, n) for n in range(1100)] == [[(n, 1, True)] for n in range(1100)]
    found = of_core(core([(0x1000, "\0".join(texts).encode())]))
    size = len(texts[0]) + 1
    for n in range(1100):
        assert copies_of(found, n) == [(0x1000 + n * size, 1, "anonymous")]
    assert found["other"] == {"runs": 0, "bytes": 0}


def test_what_is_like_too_many_literals_is_said():
    """What is compared is bounded: of such copies with something behind them some are missing."""
    texts = icons(1100)
    Path("bundle.js").write_text("".join(f'"{text}"\n' for text in texts))
    found = of_core(core([(0x1000, "AAA\0".join(texts).encode())]), status=2)
    assert sum(len(one["cores"]) for one in found["sources"][0]["literals"]) in range(1, 1100)
    assert "not all of it was compared" in found["problems"][0]["problem"]


@pytest.mark.parametrize("size", [400, 900, 5000])
def test_a_copy_without_its_beginning_or_end_is_no_whole_copy(size):
    """The literal's are not in RAM; what is there is told, whichever part it is."""
    text = base64_of(size, 3).decode()
    Path("bundle.js").write_text(f'"{text}"')
    middle = f"\0{text[1000:2000]}" if size == 5000 else ""
    found = of_core(core([(0x1000, f"{text[:300]}\0{text[-300:]}{middle}".encode())]))
    assert found["other"] == {"runs": 3 if middle else 2, "bytes": 1600 if middle else 600}
    assert copies_of(found, 0) == []
    assert "base64 in memory that is not a whole copy: " in call("bundle.js", "--core", "core.1")[1]


def test_the_picture_has_a_question_mark_where_the_table_has_one(bundle, monkeypatch):
    """Where a core could not be read, what it does not show is not 0 bytes."""
    from matplotlib.axes import Axes

    text, shown = Axes.text, []

    def record(panel: Axes, x: float, y: float, label: str, **more: object) -> object:
        shown.append(label)
        return text(panel, x, y, label, **more)

    monkeypatch.setattr(Axes, "text", record)
    Path("core.1").write_bytes(core([(0x1000, FONT.encode())]))
    Path("none").write_text("no core")
    status, out, _ = call("bundle.js", "--core", "core.1", "none", "--out", "m.png")
    assert status == 2 and "  ?: not in what could be read" in out
    assert shown[0] != " ?" and " ?" in shown
    assert not any(label.startswith(" 0 B") for label in shown)


def test_a_copy_in_the_other_alphabet(bundle):
    other = FONT.translate(str.maketrans("+/", "-_"))
    assert other != FONT
    assert copies_of(of_core(core([(0x1000, other.encode())])), 0) == [(0x1000, 1, "anonymous")]


def test_strings_with_a_header_of_32_bytes(bundle):
    """As Node.js 24 has them where the text is outside of the heap. Less for it is more likely."""
    longer = FONT + base64_of(12).decode()
    Path("bundle.js").write_text(f'{BUNDLE}d = "{longer}";')
    nodes = [(STRING, 1, 1, 5012 + 12, 0), (STRING, 2, 3, 3000 + 32, 0), (STRING, 2, 5, 6032, 0)]
    found = of_heap(snapshot(nodes, ["", longer[:1024], OTHER[:1024]]))
    assert [strings_of(found, n) for n in (0, 3)] == [[], [(1, 1, True)]]
    assert strings_of(found, 1) == [(3, 1, True), (5, 2, True)]


@pytest.mark.parametrize(("header", "align", "array"), [(16, 8, 48), (12, 4, 44)])
def test_literals_of_nearly_one_length_that_begin_alike(header, align, array):
    """Node.js has 8 bytes a word, Electron 4: an array's size tells which."""
    same = base64_of(1600, 3).decode()
    texts = [same + base64_of(size, size).decode() for size in (412, 408)]
    Path("bundle.js").write_text("".join(f'"{text}"\n' for text in texts))
    sizes = [-(-(header + len(text)) // align) * align for text in texts]
    assert header == 12 or sizes[1] - len(texts[0]) in range(12, 16)  # a header of 12 fits as well
    nodes = [(STRING, 0, n, size, 0) for n, size in enumerate(sizes, 1)] + [(5, 1, 9, array, 0)]
    text = snapshot(nodes, [same[:1024], ""], types=(*TYPES, "array"))
    assert [strings_of(of_heap(text), n) for n in (0, 1)] == [[(1, 1, True)], [(2, 1, True)]]


def test_a_string_that_two_literals_make_up():
    """It is whole and none of them; each of them is a part of it."""
    texts = [base64_of(size, size).decode() for size in (400, 440)]
    Path("bundle.js").write_text(" ".join(texts))
    found = of_heap(snapshot([(STRING, 1, 7, 852, 0)], ["", "".join(texts)]))
    assert [strings_of(found, n) for n in (0, 1)] == [[(7, None, False)]] * 2
    assert found["heaps"][0]["base64"]["strings"] == 1


def test_a_string_that_only_begins_with_base64(bundle):
    names = ["", base64_of(400, 4).decode() + "; var x = 1;", base64_of(400, 5).decode()]
    found = of_heap(snapshot([(STRING, 1, 3, 50_012, 0), (STRING, 2, 5, 412, 0)], names))
    base64 = found["heaps"][0]["base64"]
    assert base64["strings"] == 1 and base64["largest"][0]["node_id"] == 5


@pytest.mark.parametrize("data", [
    b'{"snapshot":{},' + b",".join(b'"k%d":[]' % n for n in range(300_000)),
    snapshot(NODES, [*NAMES, "\\" * 20_000_000], EDGES),
    snapshot([(OBJECT, 0, 1, 10**400, 0)], NAMES),
    snapshot([(OBJECT, 0, 1, -1, 0)], NAMES),
], ids=["keys", "backslashes", "huge", "negative"])  # fmt: skip
def test_hostile_snapshots_take_bounded_time(bundle, data):
    """test_asar.py's limit of a minute holds here too."""
    begin = time.monotonic()
    Path("s.heapsnapshot").write_bytes(data)
    status, _, err = call("bundle.js", "--heap", "s.heapsnapshot")
    assert status == (0 if len(data) > 2**24 else 2) and err.count("\n") == status // 2
    assert time.monotonic() - begin < 30


def test_a_count_of_nodes_that_is_a_string(bundle):
    """It is not repeated, as "*" would, to as many bytes as a short file asks for."""
    fields = [*FIELDS, *"x" * 100_000]
    data = snapshot([], [""], fields=fields).replace(b'"node_count":0', b'"node_count":"%s"')
    tracemalloc.start()
    found = of_heap(data % (b"9" * 10_000), status=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MIB and "not as many as it says" in found["problems"][0]["problem"]


def test_strings_by_the_thousand_are_passed_over_together(bundle, monkeypatch):
    takes, take = [], asar_investigate.Cursor.take
    monkeypatch.setattr(
        asar_investigate.Cursor, "take", lambda *args: takes.append(1) or take(*args)
    )
    found = of_heap(snapshot([(STRING, 50_000, 7, 5012, 0)], [*["", "x"] * 25_000, FONT[:1024]]))
    assert strings_of(found, 0) == [(7, 1, True)] and len(takes) < 500


def test_nodes_by_the_thousand_of_one_string(bundle):
    """What is kept of each is some bytes."""
    nodes = [(STRING, 1, n, 4012, 0) for n in range(100_000)]
    Path("s.heapsnapshot").write_bytes(snapshot(nodes, ["", base64_of(4000, 9).decode()[:1024]]))
    del nodes
    tracemalloc.start()
    status, out, _ = call("bundle.js", "--heap", "s.heapsnapshot")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 0 and "base64 strings 100000, 382.6 MiB" in out and peak < 32 * MIB


def test_nodes_by_the_thousand_that_many_literals_begin_like(monkeypatch):
    """Of each only the lengths that fit its size are looked up, not those of all literals."""

    class Counted(collections.defaultdict):
        looked = 0

        def get(self, *key):
            Counted.looked += 1
            return super().get(*key)

        def items(self):
            Counted.looked += len(self)
            return super().items()

    monkeypatch.setattr(asar_investigate, "defaultdict", Counted)
    same = base64_of(1200, 3).decode()
    texts = [same + base64_of(4 * n, n).decode() for n in range(400, 1400)]
    Path("bundle.js").write_text("".join(f'"{text}"\n' for text in texts))
    nodes = [(STRING, 0, n, 900_000, 0) for n in range(2000)]
    nodes += [(STRING, 0, n, len(texts[n % 1000]) + 12, 0) for n in range(2000, 3000)]
    found = of_heap(snapshot(nodes, [same[:1024]]))
    assert [strings_of(found, n) for n in range(1000)] == [
        [(n + 2000, 1, True)] for n in range(1000)
    ]
    passes, fitting = 3, 21 + 11  # of one byte a character and of two
    assert 2000 * fitting < Counted.looked < (passes * fitting + 20) * len(nodes)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, some taken out, the end cut off, numbers grown."""
    result = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(result) or 1)
        what = chance.randrange(7)
        if what == 0:
            result[place : place + 1] = bytes([chance.randrange(256)])
        elif what == 1:
            del result[place : place + chance.randrange(1, 40)]
        elif what == 2:
            result[place:place] = chance.choice([b"99999999999999999999", b"-1", b'"', b"]", b"["])
        elif what == 3 and not chance.randrange(3):
            del result[chance.randrange(len(result) or 1) :]
        elif what == 4:
            result[place : place + 8] = struct.pack("<Q", chance.randrange(2**64))
        elif what == 5:
            result[place:place] = chance.choice([b"\\", b",", b",,", b" ", b"\xc3", b"{", b"0"])
        else:
            result[place : place + 1] = bytes([chance.choice(b'0123456789,[]{}"\\: ')])
    return bytes(result)


def is_sound(data: bytes) -> bool:
    """Whether a snapshot is JSON, and its nodes are as many as it says; the oracle.

    What is passed over may be anything: the trace tree.
    """
    try:
        text = re.sub(r'"trace_tree"\s*:\s*\[[^"]*\](?=\s*,\s*")', '"trace_tree":[]', data.decode())
        found = json.loads(text)
        about, meta = found["snapshot"], found["snapshot"]["meta"]
        return (
            len(found["nodes"]) == about["node_count"] * len(meta["node_fields"])
            and all(type(n) is int and n >= 0 for n in found["nodes"])
            and max(found["nodes"][:: len(meta["node_fields"])]) < len(meta["node_types"][0])
            and max(found["nodes"][1 :: len(meta["node_fields"])]) < len(found["strings"])
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


def fuzz_snapshot(chance: random.Random) -> None:
    """A damaged snapshot is reported with status 0 only if nothing is wrong with it."""
    separators = chance.choice([(",", ":"), (", ", ": "), ("\n,", ":")])
    data = mutated(snapshot(NODES, NAMES, EDGES, separators=separators), chance)
    Path("s.heapsnapshot").write_bytes(data)
    status, out, err = call("bundle.js", "--heap", "s.heapsnapshot")
    assert "5000" in out and status == 2 * err.count("\n"), (status, err)
    assert status == 2 or is_sound(data), data


def fuzz_core(chance: random.Random) -> None:
    """A damaged core never ends in a traceback."""
    files = [(0x1000, 0x3000, "/lib/x.so"), (0x9000, 0xA000, "/dev/shm/y")]
    segments = [(0x1000, b"\0" * 100 + FONT.encode()), (0x9000, FONT.encode("utf-16-le"))]
    data = core(segments, files, chance.random() < 0.5)
    head = chance.choice(
        [200, 700, len(data)]
    )  # most of the bytes are memory, any of them is right
    Path("core.1").write_bytes(mutated(data[:head], chance) + data[head:])
    for inputs in (["bundle.js"], []):
        status, _, err = call(*inputs, "--core", "core.1")
        assert status == 2 * err.count("\n"), (status, err)


@given(st.randoms(use_true_random=False))
@many
def test_damaged_snapshots(chance):
    """By hand: `PYTHONPATH=. .venv/bin/python tests/test_where.py 3000` damages so many of each."""
    Path("bundle.js").write_text(BUNDLE)
    fuzz_snapshot(chance)


def test_memory_of_a_large_snapshot(bundle):
    """120 MB, one string of it a script's source of 40 MB: read in under 64 MiB."""
    nodes = [(OBJECT, 0, n, 16, 0) for n in range(1_500_000)]
    nodes[-1] = (STRING, 1, 7, 5012, 0)
    source = f'x = "{FONT}";' + "var y = 'z';" * 3_000_000
    Path("big.heapsnapshot").write_bytes(snapshot(nodes, ["", FONT[:1024], source]))
    del nodes, source
    code = (  # ru_maxrss would have this process's in it
        "import re, sys, asar_investigate; status = asar_investigate.main(sys.argv[1:]); "
        "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "
        "print(status, peak, file=sys.stderr)"
    )
    words = [sys.executable, "-c", code, "bundle.js", "--heap", "big.heapsnapshot", "--json", "-"]
    env = {**os.environ, "PYTHONPATH": str(Path(asar_investigate.__file__).parent)}
    result = subprocess.run(words, env=env, capture_output=True, text=True, timeout=LIMIT)
    status, peak = result.stderr.split()
    assert status == "0" and int(peak) < 64 * 1024
    assert strings_of(json.loads(result.stdout), 0) == [(7, 1, True)]


# ---------------------------------------------------------------- core files


def core(segments, files=(), wide=True, cut=0, count=None, left_out=()) -> bytes:
    """A core file: segments as (address, bytes), file mappings as (start, end, path).

    Of the first segments so many bytes more are left out by the process's coredump_filter.
    """
    word = "Q" if wide else "I"
    unit = struct.calcsize(word)
    places = b"".join(struct.pack(f"<3{word}", start, end, 0) for start, end, _ in files)
    names = b"".join(path.encode() + b"\0" for *_, path in files)
    note = struct.pack(f"<2{word}", len(files) if count is None else count, 1) + places + names
    notes = struct.pack("<III", 5, 3, 1) + b"CORE\0\0\0\0" + b"abc\0"
    notes += struct.pack("<III", 5, len(note), 0x46494C45) + b"CORE\0\0\0\0" + note
    notes += b"\0" * (-len(notes) % 4)
    head, size = (64, 56) if wide else (52, 32)
    headers, body = [], b""
    start = head + size * (1 + len(segments))
    parts = [(4, 0, notes), *((1, a, d) for a, d in segments)]
    more_and_flags = [(0, 4), *left_out]
    for (kind, address, data), (more, flags) in zip_longest(
        parts, more_and_flags, fillvalue=(0, 4)
    ):
        offset, length, whole = start + len(body), len(data), len(data) + more
        if wide:
            values = struct.pack("<IIQQQQQQ", kind, flags, offset, address, 0, length, whole, 1)
        else:
            values = struct.pack("<8I", kind, offset, address, 0, length, whole, flags, 1)
        headers.append(values)
        body += data
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    middle = struct.pack(f"<HHI3{word}I", 4, 62, 1, 0, head, 0, 0)
    ident += middle + struct.pack("<6H", head, size, 1 + len(segments), 0, 0, 0)
    assert len(ident) == head and unit
    data = ident + b"".join(headers) + body
    return data[: len(data) - cut]


def of_core(data: bytes, status: int = 0) -> dict:
    """What is told of a core and the bundle."""
    Path("core.1").write_bytes(data)
    return told("bundle.js", "--core", "core.1", status=status)


def copies_of(found: dict, number: int, key: str = "cores") -> list[tuple]:
    """Address, width and backing of a literal's copies."""
    copies = found["sources"][0]["literals"][number][key]
    return [(copy["address"], copy["width"], copy["backing"]) for copy in copies]


@pytest.mark.parametrize("wide", [True, False])
def test_copies_in_a_core(bundle, wide):
    one, two = FONT.encode(), OTHER.encode("utf-16-le")
    segments = [
        (0x1000, b"\0" * 17 + one + b"\0" * 83),
        (0x1000 + 5100, b"A" + two[:3000]),  # at an odd address
        (0x10000, b"\0\0" + two[:3000]),
        (0x10000 + 3002, two[3000:] + b"\0\0"),
        (0x20000, one[:2000] + b"!" + one[2001:]),
        (0x30000, THIRD.encode()),
        (0x40000, THIRD.encode()),
    ]
    files = [(0x30000, 0x31000, "/lib/x.so"), (0x40000, 0x41000, "/memfd:y (deleted)"),
             (0x50000, 0x60000, "/lib/y.so")]  # fmt: skip
    found = of_core(core(segments, files, wide))
    assert copies_of(found, 0) == [(0x1011, 1, "anonymous")]
    assert copies_of(found, 1) == [(0x10002, 2, "anonymous")]
    assert copies_of(found, 2) == [(0x30000, 1, "file"), (0x40000, 1, "shared")]
    told = found["cores"][0]
    assert told["searched"] == sum(len(data) for _, data in segments)
    assert told["file_mappings"] == 0x12000 and told["file_mappings_dumped"] == 1600


@pytest.mark.parametrize("wide", [True, False])
def test_what_a_core_leaves_out_is_said(bundle, wide):
    """As of coredump_filter 0. Not what no one may read: Chromium reserves terabytes of it."""
    segments = [(0x1000, FONT.encode()), *((n << 16, b"") for n in (2, 3, 4))]
    left_out = [(0, 4), (0x5000, 4), (0x6000, 0), (0x7000, 4)]
    Path("core.1").write_bytes(
        core(segments, [(4 << 16, 5 << 16, "/lib/x.so")], wide, left_out=left_out)
    )
    _, out, _ = call("bundle.js", "--core", "core.1", "--json", "report.json")
    assert json.loads(Path("report.json").read_text())["cores"][0]["left_out"] == 0x5000
    assert "  20.0 KiB more not in it: never used, or by coredump_filter\n" in out


def test_copies_of_what_stands_at_many_places_take_no_multiple_in_the_json():
    """Each of 1,000 places had each of 1,000 copies: of 5 MB of text 6 GB of JSON."""
    text = base64_of(256).decode()
    Path("bundle.js").write_text(f'"{text}"\n' * 1000)
    found = of_core(core([(0x1000, f"{text}\0".encode() * 1000)]))
    literals = found["sources"][0]["literals"]
    assert len(literals) == 1000 and len(json.dumps(found)) < 4 * MIB
    assert all(len(one["cores"]) == 1000 for one in literals[:16])
    assert all(one["cores"] is None and one["ram"] is None for one in literals[16:])


def test_a_core_without_inputs(bundle):
    Path("core.1").write_bytes(core([(0x1000, b"\0" + FONT.encode() + b"\0")]))
    found = told("--core", "core.1")
    (literal,) = found["sources"][0]["literals"]
    assert literal["length"] == 5000 and literal["cores"][0]["address"] == 0x1001
    assert Path("core.1").read_bytes()[literal["offset"] :].startswith(FONT.encode())
    status, out, _ = call("--core", "core.1", "--extract", "blobs")
    assert status == 0 and "core.1 at byte" in out and len(os.listdir("blobs")) == 1


def test_the_holes_of_a_sparse_core_are_not_read(bundle):
    """64 GiB of which 5,000 bytes are there."""
    with open("core.1", "wb") as file:
        data = core([(0x100000, b"\0")])
        header = struct.pack("<IIQQQQQQ", 1, 4, 2**16, 0x100000, 0, 2**36, 2**36, 1)
        file.write(data[:120] + header)
        file.seek(2**16 + 2**35 + 5)
        file.write(FONT.encode())
        file.truncate(2**16 + 2**36)
    found = told("bundle.js", "--core", "core.1")
    assert copies_of(found, 0) == [(0x100000 + 2**35 + 5, 1, "anonymous")]
    assert found["cores"][0]["searched"] < MIB


def with_bytes(data: bytes, place: int, new: bytes) -> bytes:
    """The same with other bytes at a place."""
    return data[:place] + new + data[place + len(new) :]


GOOD = core([(0x1000, b"\0" * 100 + FONT.encode()), (0x9000, OTHER.encode())])


@pytest.mark.parametrize("data, place", [
    (b"", "byte 0: not a little-endian ELF core file"),
    (b"\x7fELF", "byte 0: not a little-endian ELF core file"),
    (with_bytes(GOOD, 16, b"\2"), "byte 0: not a little-endian ELF core file"),
    (with_bytes(GOOD, 4, b"\7"), "byte 0: not a little-endian ELF core file"),
    (with_bytes(GOOD, 5, b"\2"), "byte 0: not a little-endian ELF core file"),
    (with_bytes(GOOD, 32, b"\xff" * 8), "program headers beyond the end"),
    (with_bytes(GOOD, 54, b"\1"), "program headers beyond the end"),
    (with_bytes(GOOD, 56, b"\xff\xff"), "program headers beyond the end"),
    (GOOD[:-2000], "2.0 KiB of its memory are missing"),
])  # fmt: skip
def test_bad_cores(bundle, data, place):
    Path("core.1").write_bytes(data)
    status, out, err = call("bundle.js", "--core", "core.1")
    assert status == 2 and err.count("\n") == 1 and place in err and "core.1" in err
    assert "5000" in out


def test_what_a_cut_core_holds_is_still_found(bundle):
    assert copies_of(of_core(GOOD[:-2000], status=2), 0) == [(0x1000 + 100, 1, "anonymous")]


def test_segments_upon_each_other_are_not_read(bundle):
    """As no tool writes them: each could be as large as the file."""
    data = core([(n << 32, b"") for n in range(100)] + [(1 << 60, FONT.encode())])
    for n in range(100):
        data = with_bytes(data, 64 + 56 * (n + 1) + 8, struct.pack("<QQQQ", 0, n << 32, 0, 10**4))
    Path("core.1").write_bytes(data)
    status, _, err = call("bundle.js", "--core", "core.1")
    assert status == 2 and "overlap" in err


def test_hostile_cores_take_bounded_time(bundle):
    """Program headers, notes and mappings by the thousand, in holes of a sparse file."""
    begin = time.monotonic()
    many = with_bytes(GOOD, 56, b"\xfe\xff")
    for data in (many, core([], [(0, 2**40, "x")] * 60_000), core([], [(1, 2, "x")], count=2**60)):
        Path("core.1").write_bytes(data)
        os.truncate("core.1", 2**40)
        assert call("bundle.js", "--core", "core.1")[0] in (0, 2)
    for segments in ([(0, b"x" * 10**7)], [(2 * n, b"x") for n in range(65_000)]):
        Path("core.1").write_bytes(core(segments))
        assert call("bundle.js", "--core", "core.1")[0] == 0
    assert time.monotonic() - begin < 30


def test_a_two_byte_literal_at_an_odd_place(bundle):
    """The segment begins at an odd byte of the file, and so it is counted from there."""
    data = core([(0x1000, b"A"), (0x2000, FONT.encode("utf-16-le"))])
    odd = data.index(FONT.encode("utf-16-le")) % 2
    Path("core.1").write_bytes(
        core([(0x1000, b"A" * (2 - odd)), (0x2000, FONT.encode("utf-16-le"))])
    )
    status, _, err = call("--core", "core.1", "--extract", "blobs")
    assert status == 0 and not err
    (literal,) = (one for s in told("--core", "core.1")["sources"] for one in s["literals"])
    place = Path("core.1").read_bytes().index(FONT.encode("utf-16-le"))
    assert place % 2 and literal["offset"] == place and literal["cores"][0]["address"] == 0x2000


def test_what_was_asked_for_is_in_the_json_also_if_nothing_could_be_read(bundle):
    found = told("bundle.js", "--core", "no", "--heap", "no", "--pid", 2**22 + 1, status=2)
    literal = found["sources"][0]["literals"][0]
    assert literal["memory"] == literal["cores"] == literal["heaps"] == [] and not literal["ram"]
    assert found["processes"] == found["cores"] == found["heaps"] == []
    assert len(found["problems"]) == 3
    found = told("no.js", "--core", "core.1", status=2)  # an input was named: no search without
    assert found["sources"] == []


def test_a_core_given_twice_is_read_once(bundle):
    Path("core.1").write_bytes(GOOD)
    found = told("bundle.js", "--core", "core.1", "core.1")
    assert len(found["cores"]) == 1 and len(copies_of(found, 0)) == 1


@pytest.mark.parametrize("damage", [
    (b"CORE\0\0\0\0\2\0", b"CORE\0\0\0\0\3\0"),  # the number of mappings
    (b"/lib/x.so\0", b"/lib/x.so "),
])  # fmt: skip
def test_a_damaged_list_of_file_mappings_is_said(bundle, damage):
    """Without it copies in files read as anonymous ones."""
    files = [(0x1000, 0x3000, "/lib/x.so"), (0x9000, 0xA000, "/dev/shm/y")]
    data = core([(0x1000, FONT.encode())], files)
    assert copies_of(of_core(data), 0) == [(0x1000, 1, "file")]
    found = of_core(data.replace(*damage, 1), status=2)
    assert copies_of(found, 0) == [(0x1000, 1, "anonymous")]
    assert "list of file mappings" in found["problems"][0]["problem"]


def test_a_list_of_file_mappings_that_is_all_zeros(bundle):
    """None is what its count says; 8 million empty paths are not taken apart first."""
    data = core([(0x1000, FONT.encode())], [(0, 1, "x" * 2**23)])
    place = data.index(b"CORE\0\0\0\0\1\0") + 8
    Path("core.1").write_bytes(with_bytes(data, place, bytes(2**23)))
    del data
    tracemalloc.start()
    status, _, err = call("bundle.js", "--core", "core.1")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 2 and "damaged list of file mappings" in err and peak < 56 * MIB


def test_a_place_in_a_core_of_many_segments_is_looked_up():
    """Not searched from the first segment on."""
    Path("core.1").write_bytes(core([(n * PAGE, b"A" * 16) for n in range(1000)]))
    passed = []

    class Segments(list):
        def __iter__(self):
            return (passed.append(one) or one for one in super().__iter__())

    with asar_investigate.open_regular("core.1") as source:
        found = asar_investigate.Core(source)
        found.segments = Segments(found.segments)
        data = found.bytes_at(900 * PAGE - 1, 901 * PAGE + 1)
    assert data == b"\0" + b"A" * 16 + bytes(PAGE - 16) + b"A"
    assert len(passed) < 10


def test_a_core_without_memory_is_said(bundle):
    assert "no memory" in of_core(core([]), status=2)["problems"][0]["problem"]


@given(st.randoms(use_true_random=False))
@many
def test_damaged_cores(chance):
    Path("bundle.js").write_text(BUNDLE)
    fuzz_core(chance)


# ---------------------------------------------------------------- memory


class Held:
    """Bytes as the memory that begins at address 0."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def bytes_at(self, start: int, end: int) -> bytes:
        return self.data[start:end].ljust(end - start, b"\0")

    def source(self, width: int) -> Source:
        return Source("held", "", 0, len(self.data) // width, width=width, space=self)


@given(st.binary(max_size=300), st.integers(0, 40), st.integers(0, 400))
@many
def test_two_byte_characters(data, start, count):
    """Every other byte, where the one behind it is 0."""
    raw = data[: len(data) // 2 * 2]
    expected = bytes(a if not b else 0 for a, b in zip(raw[::2], raw[1::2]))
    assert narrowed(raw) == narrowed(data) == expected
    assert narrowed(data, 0, 3) == expected[::3]
    assert narrowed(data, 1, 3) == narrowed(data[1:])[::3]
    memory = Held(raw).source(2)
    assert memory.read(start, count) == expected[start : start + count]
    Path("m").write_bytes(raw)
    with open("m", "rb") as file:
        source = Source("m", "m", 0, memory.size, file.fileno(), 2)
        assert source.read(start, count) == expected[start : start + count]


@given(st.data(), st.sampled_from([2, 16, 64, 256]), st.sampled_from([16, 64, 1000, 2**20]))
@many
def test_runs_of_memory(data, count, window):
    """Of one byte a character and of two, at any address; the oracle: an expression.

    However the windows fall, and wherever the part ends in which they are to begin.
    """
    lengths = data.draw(st.lists(st.integers(0, 3 * count), min_size=1, max_size=12))
    gaps = data.draw(st.lists(st.sampled_from(["\0", " ", "\u1241"]), min_size=12, max_size=12))
    widths = data.draw(
        st.lists(st.sampled_from(["utf-16-le", "latin-1"]), min_size=12, max_size=12)
    )
    raw = b"".join(
        ("A" * length + gap * 2).encode(width, "replace")
        for length, gap, width in zip(lengths, gaps, widths)
    )
    size = data.draw(st.integers(0, len(raw)))
    with patch.object(asar_investigate, "WINDOW", window):
        runs = list(runs_in(Held(raw), count, 0, size, 0))
    expected = [
        (width, odd + width * match.start(), odd + width * match.end())
        for odd, width in ((0, 1), (0, 2), (1, 2))
        for match in re.finditer(rb"A{%d,}" % count, narrowed(raw[odd:]) if width == 2 else raw)
    ]
    expected = [run for run in expected if run[1] < size]
    assert sorted((m.width, m.base, m.base + m.width * m.size) for m in runs) == sorted(expected)


def test_a_run_may_begin_with_the_last_character_of_another(monkeypatch):
    """Text of one byte a character that is followed by text of two, beyond a window's end."""
    monkeypatch.setattr(asar_investigate, "WINDOW", 64)
    raw = b"A" * 100 + ("B" * 100).encode("utf-16-le")
    runs = runs_in(Held(raw), 16, 0, len(raw), 0)
    assert [(run.width, run.base, run.size) for run in runs] == [(1, 0, 101), (2, 100, 100)]


@given(st.data())
@many
def test_whole_copies(data):
    """What a run of memory holds, with anything before and behind it; the end may be missing."""
    texts = [base64_of(size, seed).decode() for seed, size in enumerate((400, 1200, 5000, 9000))]
    Path("b.js").write_text("".join(f'"{text}"\n' for text in texts))
    report = asar_investigate.Report(256)
    asar_investigate.read_input(report, "b.js")
    number = data.draw(st.integers(0, 3))
    text = texts[::-1][number]
    start = data.draw(st.sampled_from([0, 0, 0, 1]))
    end = data.draw(st.sampled_from([len(text), len(text), len(text) - 100]))
    before = base64_of(data.draw(st.integers(0, 300)) // 4 * 4 + 4, 77).decode()
    behind = base64_of(data.draw(st.integers(0, 300)) // 4 * 4, 78).decode()
    held = (before + text[start:end] + behind).encode()
    found = list(Index(report).in_run(Held(held).source(1)))
    whole = [(number, len(before), True)] if start == 0 and end == len(text) else []
    assert [one for one in found if one[2]] == whole


def test_a_literal_that_a_longer_one_begins_with():
    """The longer one, of which this may be a part, does not hide it."""
    Path("b.js").write_text(f'"{FONT}"; "{FONT[:800]}"')
    report = asar_investigate.Report(256)
    asar_investigate.read_input(report, "b.js")
    held = Held(f"n{FONT[:800]}".encode()).source(1)
    assert (1, 1, True) in list(Index(report).in_run(held))


@pytest.mark.parametrize(("before", "behind"), [("n", ""), ("", "Z")])
def test_a_literal_without_a_needle_is_found_by_its_beginning_or_end(before, behind):
    text = FONT[:1200].replace("x", "y")
    Path("b.js").write_text(f'"{text}"')
    report = asar_investigate.Report(256)
    asar_investigate.read_input(report, "b.js")
    held = Held((before + text + behind).encode()).source(1)
    assert list(Index(report).in_run(held)) == [(0, len(before), True)]


@pytest.mark.parametrize("length", [2**16 - 5000, 2**16 - 12, 2**16, 3 * 2**16 + 4])
def test_copies_far_into_a_run(length):
    """They are looked for in parts of a run; in what a copy covers there is no other."""
    texts = [base64_of(size, size) for size in (9000, 100_000)]
    Path("b.js").write_bytes(b" ".join(texts))
    report = asar_investigate.Report(256)
    asar_investigate.read_input(report, "b.js")
    gap = base64_of(length, 77)
    held, places = b"", []
    for number in (0, 1, 0, 0, 1):  # by size: 0 is the larger
        held += gap
        places.append((number, len(held), True))
        held += texts[1 - number]
    assert list(Index(report).in_run(Held(held + gap).source(1))) == places


def test_a_page_that_cannot_be_read_is_zeros(monkeypatch):
    """/proc/self/mem where nothing is mapped any more."""
    monkeypatch.setattr(asar_investigate.Pages, "flags", lambda *_: b"\x80" * 3)
    with contextlib.closing(asar_investigate.Pages(os.getpid())) as pages:
        assert pages.bytes_at(PAGE + 10, 3 * PAGE) == bytes(2 * PAGE - 10)


# ---------------------------------------------------------------- processes

HOLD = """
import sys
one = open("bundle.js", "rb").read()
two = one.decode().encode("utf-16-le")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(bundle):
    """A process that holds the bundle in one and in two bytes a character."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        yield process


def test_copies_in_a_process(holder):
    found = told("bundle.js", "--pid", holder.pid)
    for literal in found["sources"][0]["literals"]:
        widths = sorted(copy["width"] for copy in literal["memory"])
        assert set(widths) == {1, 2}
        assert {copy["backing"] for copy in literal["memory"]} == {"anonymous"}
        assert {copy["pid"] for copy in literal["memory"]} == {holder.pid}
        assert literal["ram"] == sum(widths) * literal["length"]
    (process,) = found["processes"]
    assert process["searched"] > 4 * MIB and process["swap"] == 0
    assert process["coredump_filter"] == int(Path("/proc/self/coredump_filter").read_text(), 16)
    status, out, err = call("bundle.js", "--pid", holder.pid)
    assert status == 0 and not err and "anonymous two-byte" in out and "coredump_filter" in out


def test_a_process_without_inputs(holder):
    found = told("--pid", holder.pid)
    one, two = found["sources"]
    assert one["path"].startswith(f"process {holder.pid} ") and "two bytes" in two["path"]
    lengths = [
        sorted({literal["length"] for literal in source["literals"]}) for source in (one, two)
    ]
    assert {800, 3000, 5000} <= set(lengths[0]) and {800, 3000, 5000} <= set(lengths[1])
    assert found["closing"]["sources"] is None  # there are none to look for
    addresses = {literal["offset"] for literal in two["literals"]}
    for literal in two["literals"]:
        assert addresses & {copy["address"] for copy in literal["memory"]}
    status, out, _ = call("--pid", holder.pid, "--extract", "blobs", "--out", "m.png")
    assert status == 0 and " at 0x" in out
    assert len(os.listdir("blobs")) >= 3 and Path("m.png").stat().st_size > 10_000


def test_memory_that_changes_while_it_is_read(monkeypatch):
    """What was base64 when it was found, and is none any more, is left out with that reason."""
    Path("core.1").write_bytes(core([(0x1000, b"\0" + FONT.encode() + b"\0")]))
    changed = b"\xff" + FONT[:1001].encode()
    pieces = Source.pieces
    monkeypatch.setattr(
        Source, "pieces", lambda *where: iter([(0, changed)]) if where[0].space else pieces(*where)
    )
    found = told("--core", "core.1")
    assert found["left_out"] == {"changed while it was read": 1}


def test_descendants_are_searched_and_itself_is_not(bundle):
    """This process and those below it, but for the one that searches and has read the bundle."""
    code = "import time; x = open('bundle.js', 'rb').read(); print(1, flush=True); time.sleep(99)"
    words = ["sh", "-c", f'{sys.executable} -c "{code}"; true']
    with subprocess.Popen(words, stdout=subprocess.PIPE) as shell:
        assert shell.stdout.readline()
        (child,) = psutil.Process(shell.pid).children()
        found = json.loads(run("bundle.js", "--pid", os.getpid(), "--json", "-").stdout)
        child.kill()
    (*_, literal) = found["sources"][0]["literals"]
    pids = {copy["pid"] for copy in literal["memory"]}
    assert child.pid in pids and pids <= {os.getpid(), shell.pid, child.pid}
    searched = {process["pid"] for process in found["processes"]}
    assert searched == {os.getpid(), shell.pid, child.pid}


def test_no_such_process(bundle):
    with subprocess.Popen(["true"]) as ended:
        pass
    status, out, err = call("bundle.js", "--pid", ended.pid)
    assert status == 2 and err == f"asar_investigate.py: process {ended.pid}: no such process\n"
    assert "5000" in out


@pytest.mark.parametrize("text", ["0", "-1", "x", "1x", "99999999999"])
def test_bad_process_numbers(text):
    status, out, err = call(f"--pid={text}")
    assert status == 2 and not out and "--pid" in err


def test_without_psutil(bundle):
    Path("psutil.py").write_text("raise ImportError")
    result = run("bundle.js", "--pid", os.getpid(), env={**os.environ, "PYTHONPATH": "."})
    assert result.returncode == 2 and "5000" in result.stdout
    assert "apt install python3-psutil" in result.stderr and result.stderr.count("\n") == 1


def test_pages_that_are_gone_by_now_are_no_files():
    """A copy may be freed before its pages are looked at: an anonymous mapping stays one."""
    with mmap.mmap(-1, 4 * PAGE, mmap.MAP_PRIVATE) as memory:  # never touched
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        pages = asar_investigate.Pages(os.getpid())
        assert pages.backing(address, 3 * PAGE)[0] == "anonymous"
        pages.close()


SWAPPED = """
import ctypes, mmap, os, sys
data = open("bundle.js", "rb").read()
memory = mmap.mmap(-1, 4 * mmap.PAGESIZE, mmap.MAP_PRIVATE)
memory.write(data[:5000])
data = None
begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(mmap.PAGESIZE), 21)  # PAGEOUT
print(begin, flush=True)
sys.stdin.read()
"""


def test_swap_is_counted_and_not_read_back(bundle, swap):
    with subprocess.Popen(
        [sys.executable, "-c", SWAPPED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        begin = int(process.stdout.readline())
        status = Path(f"/proc/{process.pid}/status")
        before = re.search(r"VmSwap:.*", status.read_text())[0]
        found = told("bundle.js", "--pid", process.pid)
        out = call("bundle.js", "--pid", process.pid)[1]
        assert re.search(r"VmSwap:.*", status.read_text())[0] == before != "VmSwap:\t       0 kB"
    literal = found["sources"][0]["literals"][0]
    copies = [copy for copy in literal["memory"] if copy["address"] == begin + 5]
    assert [copy["backing"] for copy in copies] == ["swap"]
    assert found["processes"][0]["swap"] >= PAGE and "partly in swap" in out


def test_memory_shared_by_fork_is_summed_once(bundle):
    """Three copies at one address, of which a page is each one's own."""
    code = """
import mmap, os, sys
text = open("bundle.js", "rb").read() * 20
memory = mmap.mmap(-1, len(text) + mmap.PAGESIZE, mmap.MAP_PRIVATE)
memory.write(text)
del text
children = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        memory[-1] = 1
        os.read(0, 1)
        os._exit(0)
print("ready", flush=True)
os.read(0, 1)
"""
    Path("b.js").write_text(f'"{base64_of(100_000, 5).decode()}"')
    code = code.replace("bundle.js", "b.js").replace("* 20", "")
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        found = told("b.js", "--pid", process.pid)
    (literal,) = found["sources"][0]["literals"]
    places = [(one["pid"], one["address"]) for one in literal["memory"]]
    shared = [address for _, address in places]
    assert len(places) >= 3 and max(map(shared.count, shared)) == 3
    assert literal["ram"] == 100_000 * len(set(shared))


MAPPED = """
import mmap, sys
with open("mapped", "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
half = len(memory) // 2
sum(memory[:: mmap.PAGESIZE])
gone = {"first": (half, half), "second": (0, half), "all": ()}[sys.argv[1]]
if gone:
    memory.madvise(mmap.MADV_DONTNEED, *gone)  # from this process's page table alone
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def mapping(*parts):
    """Processes that have mapped all of the file, the first or the second half."""
    with contextlib.ExitStack() as stack:
        found = []
        for part in parts:
            words = [sys.executable, "-c", MAPPED, part]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            found.append(stack.enter_context(subprocess.Popen(words, **pipes)))
            assert found[-1].stdout.readline()
        yield found


def test_pages_of_a_file_are_read_once(bundle):
    """However many processes have mapped them, and whichever part is in each one's page table."""
    size = 8 * MIB
    text = bytearray(size)
    text[size // 2 - 2500 : size // 2 + 2500] = FONT.encode()  # half of it in each half
    text[1000:4000] = OTHER.encode()
    Path("mapped").write_bytes(text)
    with mapping("first", "second", "all", "all") as processes:
        pids = [process.pid for process in processes]
        seen, sizes = {}, []
        for pid in pids:
            pages = asar_investigate.Pages(pid)
            sizes.append(sum(end - start for _, end, start in pages.regions(seen)))
            assert pages.searched >= sizes[-1]
            pages.close()
        alone = asar_investigate.Pages(pids[3])
        whole = sum(end - start for _, end, start in alone.regions({}))
        alone.close()
        found = told("bundle.js", "--pid", ",".join(map(str, pids[:2])), *pids[2:])
    for found_new in sizes[2:]:  # neither the file's pages nor Python's own
        assert found_new + size < whole
    assert sizes[0] > size // 2
    font, other, _ = found["sources"][0]["literals"]
    assert sorted(copy["pid"] for copy in font["memory"]) == sorted(pids[2:])
    assert font["ram"] == 5000
    assert sorted(copy["pid"] for copy in other["memory"]) == sorted([pids[0], *pids[2:]])
    assert other["ram"] == 3000


MAPPED_TWICE = """
import mmap, sys
with open("mapped", "rb") as file:
    kept = [mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) for _ in range(3)]
[memory[0] for memory in kept]
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_file_that_is_mapped_more_than_once_in_each_process(bundle):
    """Each place is told, in the first process too; its bytes count once."""
    Path("mapped").write_bytes(FONT.encode().ljust(4 * PAGE, b"\0"))
    words, pipes = [sys.executable, "-c", MAPPED_TWICE], {"stdin": -1, "stdout": -1}
    with subprocess.Popen(words, **pipes) as one, subprocess.Popen(words, **pipes) as two:
        assert one.stdout.readline() and two.stdout.readline()
        font, *_ = told("bundle.js", "--pid", one.pid, two.pid)["sources"][0]["literals"]
    assert [copy["pid"] for copy in font["memory"]] == 3 * [one.pid] + 3 * [two.pid]
    assert font["ram"] == len(FONT)


@pytest.mark.parametrize("size", [500, 499])
@pytest.mark.parametrize("behind", ["=", "==", "\0", "é", "AAAA"])
@pytest.mark.parametrize("code", ["latin-1", "utf-16-le"])
def test_what_lacks_its_padding_is_found_wherever_its_file_is_mapped(size, behind, code):
    """At each of three places: beside the first they were compared as if they had it."""
    text = base64.b64encode(random.Random(2).randbytes(size)).decode()
    Path("b.js").write_text(f'a = "{text}"')
    data = f"\0{text.rstrip('=')}{behind}\0".encode(code)
    Path("mapped").write_bytes(data.ljust(4 * PAGE, b"\0"))
    with subprocess.Popen([sys.executable, "-c", MAPPED_TWICE], stdin=-1, stdout=-1) as process:
        assert process.stdout.readline()
        (literal,) = told("b.js", "--pid", process.pid)["sources"][0]["literals"]
        process.stdin.close()
    assert [one["backing"] for one in literal["memory"]] == ["file"] * 3


MAPPED_PAGES = """
import mmap, sys
first, last = (mmap.PAGESIZE * int(word) for word in sys.argv[1:])
with open("mapped", "rb") as file:
    memory = mmap.mmap(file.fileno(), last - first, mmap.MAP_SHARED, mmap.PROT_READ, offset=first)
sum(memory[:: mmap.PAGESIZE])
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 4), (0, 16)],
        [(0, 4), (4, 16), (0, 16)],
        [(0, 4), (3, 16)],
        [(0, 4), (3, 6), (5, 16), (0, 16)],
    ],
)
@pytest.mark.parametrize(
    ("begin", "size"), [(3.99, 300), (3.97, 600), (3.97, 4 * PAGE), (0.9, 6 * PAGE)]
)
@pytest.mark.parametrize("code", ["latin-1", "utf-16-le"])
def test_what_begins_in_pages_that_were_searched_in_another_process(parts, begin, size, code):
    """And goes on in pages that were not, or not together with them; nothing is told twice."""
    start, text = int(begin * PAGE), base64_of(size, 5).decode()
    data = bytearray(20 * PAGE)
    data[start : start + len(text.encode(code))] = text.encode(code)
    data[100 : 100 + len(OTHER)] = OTHER.encode()
    Path("mapped").write_bytes(data)
    Path("b.js").write_text(f'a = "{text}"')
    with contextlib.ExitStack() as stack:
        pids = []
        for part in parts:
            words = [sys.executable, "-c", MAPPED_PAGES, *map(str, part)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = stack.enter_context(subprocess.Popen(words, **pipes))
            pids += [process.pid] if process.stdout.readline() else []
        copies = told("b.js", "--pid", *pids)["sources"][0]["literals"][0]["memory"]
        alone = told("--pid", *pids)["sources"]
    end = start + len(text.encode(code))
    places = [(first * PAGE, last * PAGE) for first, last in parts]
    whole = [pid for pid, (low, high) in zip(pids, places) if low <= start and end <= high]
    assert [copy["pid"] for copy in copies] == whole
    lengths = [literal["length"] for source in alone for literal in source["literals"]]
    assert lengths.count(len(text)) == bool(whole) and lengths.count(len(OTHER)) == 1


def test_copies_are_looked_for_where_their_part_of_a_file_is_mapped():
    """Not in each of a thousand mappings of other parts of it."""
    text, places = Held(bytes(10 * PAGE) + FONT.encode() + bytes(990 * PAGE)), []
    mappings = [
        asar_investigate.Mapping(n * PAGE, (n + 1) * PAGE, n * PAGE, "/file", "08:01", 7)
        for n in range(1000)
    ]

    def bytes_at(start: int, end: int) -> bytes:
        places.append(start)
        return text.bytes_at(start, end)

    sha256 = hashlib.sha256(base64.b64decode(FONT)).digest()
    match = asar_investigate.Match(sha256, 10 * PAGE, 1, 5000, False)
    search = SimpleNamespace(in_files={mappings[0].file_id: {match}})
    space = SimpleNamespace(mappings=mappings, bytes_at=bytes_at)
    found = list(asar_investigate.Search.copies_elsewhere(search, space))
    assert found == [match._replace(whole=True)] and len(places) < 10


FORKED = """
import mmap, os, sys
memory = mmap.mmap(-1, 2**20, mmap.MAP_PRIVATE)
with open("bundle.js", "rb", buffering=0) as file:
    file.readinto(memory)
os.write(1, b"%d\\n" % os.fork())
sys.stdin.read()
"""


def test_what_forks_share_is_summed_once_a_program(bundle):
    """Two that have it at the same address, where addresses are not random; children first."""
    words = ["setarch", "-R", sys.executable, "-c", FORKED]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as one, subprocess.Popen(words, **pipes) as two:
        pids = [int(max(process.stdout.readline() for _ in range(2))) for process in (one, two)]
        found = told("bundle.js", "--pid", *pids, one.pid, two.pid)
        Path("other.js").write_text("a()")
        other = told("other.js", "--pid", *pids, one.pid, two.pid)["other"]
        assert "would save" not in call("--pid", one.pid)[1]  # they share it
    font, *_ = found["sources"][0]["literals"]
    assert {copy["pid"] for copy in font["memory"]} == {*pids, one.pid, two.pid}
    assert font["ram"] == 2 * len(FONT)
    assert 2 <= other["bytes"] / len(FONT + OTHER + THIRD) < 3  # not four times


HIDDEN = """
import ctypes, mmap, sys
libc = ctypes.CDLL(None)
memory = mmap.mmap(-1, 16 * mmap.PAGESIZE, mmap.MAP_PRIVATE)
with open("bundle.js", "rb") as file:
    text = file.read(5005)[5:]
begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
memory[101 : 10101] = b"".join(bytes([byte, 0]) for byte in text)
memory.seek(8 * mmap.PAGESIZE)
memory.write(text)
del text
half = ctypes.c_void_p(begin + 8 * mmap.PAGESIZE)
assert not libc.mprotect(half, ctypes.c_size_t(8 * mmap.PAGESIZE), mmap.PROT_EXEC)
print(begin, flush=True)
sys.stdin.read()
"""


def test_text_at_odd_addresses_and_in_memory_that_is_executed_alone(bundle):
    words = [sys.executable, "-c", HIDDEN]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        begin = int(process.stdout.readline())
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        found = told("bundle.js", "--pid", process.pid)
    assert re.search(f"^{begin + 8 * PAGE:x}-\\S+ --xp", maps, re.M)
    places = [
        (one["address"], one["width"]) for one in found["sources"][0]["literals"][0]["memory"]
    ]
    assert {(begin + 101, 2), (begin + 8 * PAGE, 1)} <= set(places)


def test_processes_that_have_ended_and_threads(bundle):
    """A zombie that was named is said. Without inputs a process that ends loses only its own."""
    zombie = subprocess.Popen(["true"])
    wait_for(lambda: not alive(zombie.pid))
    status, out, err = call("bundle.js", "--pid", zombie.pid)
    assert status == 2 and "it has ended, or is a kernel thread" in err and "5000" in out
    assert err.count("\n") == 1
    status, _, err = call("--pid", zombie.pid)  # its archive is looked for first
    assert status == 2 and "it has ended" in err and err.count("\n") == 1
    zombie.wait()


def test_a_process_whose_first_thread_has_ended(bundle):
    code = """
import ctypes, os, sys, threading
text = open("bundle.js", "rb").read()
def rest():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        pass
    os.write(1, b"ready\\n")
    os.read(0, 1)
    os._exit(0)
threading.Thread(target=rest).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        found = told("bundle.js", "--pid", process.pid)
        thread = max(map(int, os.listdir(f"/proc/{process.pid}/task")))
        again = told("bundle.js", "--pid", thread, process.pid)
    assert all(literal["memory"] for literal in found["sources"][0]["literals"])
    assert [one["pid"] for one in again["processes"]] == [process.pid]


@pytest.mark.parametrize("named", [True, False])
def test_a_process_that_ends_while_it_is_searched(bundle, monkeypatch, named):
    """One that is named is said, and that not all was looked at; a descendant of it is not."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    words = [sys.executable, "-c", HOLD if named else code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:
        assert process.stdout.readline()
        ending = process if named else psutil.Process(process.pid).children()[0]
        flags, calls = asar_investigate.Pages.flags, []

        def killing(pages, start, end):
            calls.append(pages.pid)
            if calls.count(ending.pid) == 5:
                ending.kill()
                wait_for(lambda: not alive(ending.pid))
            return flags(pages, start, end)

        monkeypatch.setattr(asar_investigate.Pages, "flags", killing)
        Path("report.json").unlink(missing_ok=True)
        status, out, err = call("bundle.js", "--pid", process.pid, "--json", "report.json")
        process.kill()
    found = json.loads(Path("report.json").read_text())
    assert calls.count(ending.pid) >= 5 and "5000" in out
    if named:
        assert status == 2 and err.count("\n") == 1 and "it has ended" in err
        assert [one["searched"] for one in found["processes"]] == [None]
        assert found["sources"][0]["literals"][0]["ram"] is None and "in RAM" not in out
    else:
        assert status == 0 and not err
        assert [one["pid"] for one in found["processes"]] == [process.pid]


def test_a_descendant_that_begins_another_program_while_it_is_searched(bundle, monkeypatch):
    """Its memory is gone, but it is not: that is said."""
    code = (
        "import os, sys; print(1, flush=True); sys.stdin.readline(); os.execlp('sleep', 'x', '99')"
    )
    words = ["sh", "-c", f'{sys.executable} -c "{code}"; true']
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout.readline()
        (child,) = psutil.Process(shell.pid).children()
        flags, calls = asar_investigate.Pages.flags, []

        def going_on(pages, start, end):
            calls.append(pages.pid)
            if calls.count(child.pid) == 5:
                os.write(shell.stdin.fileno(), b"\n")
                wait_for(lambda: child.name() == "sleep")
            return flags(pages, start, end)

        monkeypatch.setattr(asar_investigate.Pages, "flags", going_on)
        status, _, err = call("bundle.js", "--pid", shell.pid)
        child.kill()
    assert status == 2 and err.count("\n") == 1
    assert f"process {child.pid} (" in err and "a new program" in err


def test_what_could_not_be_looked_at_does_not_read_as_none(bundle):
    """Of two processes one is gone: "?" and "at least" stand there, not "-" alone."""
    with subprocess.Popen(["true"]) as ended:
        pass
    with subprocess.Popen(["sleep", "99"]) as sleep:
        status, out, _ = call("bundle.js", "--pid", sleep.pid, ended.pid)
        sleep.kill()
    assert status == 2 and "at least 0 B in RAM" in out and out.count("?  unknown") == 3
    assert "not in what could be read" in out


def test_literals_of_a_process_are_looked_for_in_heaps(bundle):
    """Without inputs its memory, read again while it runs, tells what the strings begin with."""
    Path("s.heapsnapshot").write_bytes(snapshot(NODES, NAMES, EDGES))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD], **pipes) as process:
        assert process.stdout.readline()
        found = told("--pid", process.pid, "--heap", "s.heapsnapshot")
    literals = [one for source in found["sources"] for one in source["literals"]]
    fonts = [one["heaps"] for one in literals if one["length"] == 5000]
    assert fonts and all([text["node_id"] for text in font[:2]] == [3, 5] for font in fonts)


def test_literals_of_a_process_that_ends_while_it_is_searched(bundle, monkeypatch):
    """Without inputs its memory is where the literals are: they are gone, and that is said."""
    words = [sys.executable, "-c", HOLD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as one, subprocess.Popen(words, **pipes) as two:
        assert one.stdout.readline() and two.stdout.readline()
        index = asar_investigate.Index

        def ending(report):
            one.kill()
            one.wait()
            return index(report)

        monkeypatch.setattr(asar_investigate, "Index", ending)
        Path("s.heapsnapshot").write_bytes(snapshot(NODES, NAMES, EDGES))
        status, _, err = call("--pid", one.pid, two.pid, "--heap", "s.heapsnapshot")
    assert status == 2 and err.count("\n") == 1
    assert f"process {one.pid} " in err and "it has ended" in err


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("bundle.js").write_text(BUNDLE)
        for seed in range(int(sys.argv[1])):
            for fuzz in (fuzz_snapshot, fuzz_core):
                fuzz(random.Random(seed))


# ---------------------------------------------------------------- script sources in memory

SOURCE = "".join(f"function f{n}() {{ return {n}; }} // é\n" for n in range(20000))
SOURCE = f'{SOURCE}a = "{FONT}";\n{SOURCE[::-1]}b = "{OTHER}";\n'
HOLD_SOURCE = """
import ctypes, json, mmap, os, sys
text = open("source.js", encoding="utf-8").read()
kept = {}
def keep(name, data, file=-1, at=0):
    flags = mmap.MAP_PRIVATE | (mmap.MAP_ANONYMOUS if file < 0 else 0)
    if name == "memfd":
        flags = mmap.MAP_SHARED
    if file >= 0 and data:
        os.write(file, data)
    memory = mmap.mmap(file, len(data) or os.fstat(file).st_size, flags)
    if file < 0:
        memory[:] = data
    sum(memory[::4096])
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    kept[name] = (memory, start)
code = sys.argv[1]
two, one = text.encode("utf-16-le"), text.encode(code)
keep("two", two)
keep("one", one)
keep("memfd", one, os.memfd_create("source"))
keep("part", two[len(text) // 4 * 2:])
keep("alone", sys.argv[2].encode())
keep("file", b"", os.open("source.latin1", os.O_RDONLY))
del two, one, text
print(json.dumps({name: start for name, (_, start) in kept.items()}), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def source_holder(text: str, code: str):
    """A process with copies of a source, and where they are; text and what it reads are files."""
    Path("source.js").write_text(text, encoding="utf-8")
    Path("source.latin1").write_bytes(text.encode(code))
    words = [sys.executable, "-c", HOLD_SOURCE, code, FONT]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is gone
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, env=environment, **pipes) as process:
        yield process, json.loads(process.stdout.readline())


SOURCES = [(SOURCE, "latin-1"), (SOURCE + "\u2192", "utf-8")]


@pytest.mark.parametrize(("text", "code"), SOURCES, ids=["latin-1", "beyond"])
def test_copies_of_a_source(text, code):
    """Of one byte and two, whole and in part; in JSON and in the report."""
    size, narrow = len(text), len(text.encode(code))
    with source_holder(text, code) as (process, at):
        found = told("source.js", "--pid", process.pid)
        out = call("source.js", "--pid", process.pid)[1]
    (source,) = found["sources"]
    copies = {copy["address"]: copy for copy in source["memory"]}
    fields = ("width", "backing", "bytes", "whole")
    part = 2 * size - size // 4 * 2
    expected = {
        "two": (2, "anonymous", 2 * size, True),
        "one": (1, "anonymous", narrow, True),
        "memfd": (1, "shared", narrow, True),
        "file": (1, "file", narrow, True),
        "part": (2, "anonymous", part, False),
    }
    told_of = {name: tuple(copies[at[name]][field] for field in fields) for name in expected}
    assert told_of == expected and len(copies) == len(expected)
    assert source["ram"] == 2 * size + 3 * narrow + part
    alone = [one for one in source["literals"][0]["memory"] if not one["in_source"]]
    assert at["alone"] in {one["address"] for one in alone}
    inside = [one for one in source["literals"][0]["memory"] if one["in_source"]]
    assert len(inside) == 5
    closing = found["closing"]
    assert closing["sources"] == 2 * size + narrow + part
    assert len(FONT) <= closing["base64"] < 10 * len(FONT)
    assert closing["heap"] is None
    names = ("sources", "base64", "rest")
    assert sum(closing[name] for name in names) == closing["anonymous"]
    assert closing["anonymous"] == found["processes"][0]["anonymous"]
    assert 0 < closing["rest"] < 30 * MIB
    assert "in part" in out and "in a source" in out and "script sources" in out
    anonymous = closing["anonymous"]
    assert f"two-byte, {200 * size / anonymous:.1f} % of its anonymous memory\n" in out


def test_a_source_in_a_core():
    """The part of it that a gap in the core leaves, and which literals are in it."""
    Path("source.js").write_text(SOURCE, encoding="utf-8")
    text = SOURCE.encode("utf-16-le")
    low = len(text) // 8 * 2
    Path("core.1").write_bytes(
        core([(0x10000, FONT.encode() + b"\0"), (0x100000, text), (0x8000000, text[low:])])
    )
    (source,) = told("source.js", "--core", "core.1")["sources"]
    fields = ("address", "width", "bytes", "whole")
    copies = [tuple(copy[field] for field in fields) for copy in source["cores"]]
    assert sorted(copies) == [
        (0x100000, 2, len(text), True),
        (0x8000000, 2, len(text) - low, False),
    ]
    held = [(copy["address"], copy["in_source"]) for copy in source["literals"][0]["cores"]]
    assert sorted(held)[0] == (0x10000, False) and [one for _, one in held].count(True) == 2
    assert "25000 in 3" in call("source.js", "--core", "core.1")[1], "each copy is summed"


def test_no_room_for_the_text_of_a_source_is_said():
    """Or its copies would read as none."""
    Path("source.js").write_text(SOURCE, encoding="utf-8")
    Path("core.1").write_bytes(core([(0x10000, SOURCE.encode("latin-1"))]))
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (100_000, 100_000))
    result = run("source.js", "--core", "core.1", preexec_fn=limit)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "core.1: File too large" in result.stderr and "5000" in result.stdout


def test_sources_are_looked_for_also_without_var_tmp():
    """Their text is kept elsewhere. It read as no copies, status 0."""
    Path("source.js").write_text(SOURCE, encoding="utf-8")
    Path("core.1").write_bytes(core([(0x10000, SOURCE.encode("latin-1"))]))
    Path("var").mkdir()  # as in a small container
    result = with_mounted("var", "/var", *SCRIPT, "source.js", "--core", "core.1", "--json", "-")
    assert result.returncode == 0 and not result.stderr
    (copy,) = json.loads(result.stdout)["sources"][0]["cores"]
    assert copy["whole"] and copy["bytes"] == len(SOURCE)


def test_what_two_inputs_have_is_summed_once():
    with source_holder(SOURCE, "latin-1") as (process, _):
        Path("again.js").write_text(SOURCE, encoding="utf-8")
        one = told("source.js", "--pid", process.pid)
        two = told("source.js", "again.js", "--pid", process.pid)
    assert [source["ram"] for source in two["sources"]] == 2 * [one["sources"][0]["ram"]]
    assert two["closing"]["sources"] == one["closing"]["sources"]


def test_a_source_is_prepared_once(monkeypatch):
    """However many there are, and in whatever order the copies of their literals stand."""
    texts = [base64_of(800, n).decode() for n in range(60)]
    for n in range(12):
        code = "".join(f'"{text}" + {n};\n' for text in texts[n::12])
        Path(f"{n}.js").write_text(code)
    Path("core.1").write_bytes(core([(0x1000, "\0".join(texts).encode())]))
    made, prepare = [], asar_investigate.SourceText

    def counted(*args):
        made.append(args[0].source.path)
        return prepare(*args)

    monkeypatch.setattr(asar_investigate, "SourceText", counted)
    assert call(*(f"{n}.js" for n in range(12)), "--core", "core.1")[0] == 0
    assert sorted(made) == sorted(f"{n}.js" for n in range(12))


def test_sources_that_have_but_a_literal_of_many_others():
    """One icon in each of many scripts: every one of them is found by it."""
    texts = [f'x("{THIRD}");' + f"y({n});" * 100 for n in range(40)]
    for n, text in enumerate(texts):
        Path(f"{n}.js").write_text(text)
    Path("core.1").write_bytes(core([(0x1000, "\0".join(texts).encode())]))
    found = told(*(f"{n}.js" for n in range(40)), "--core", "core.1")
    for source in found["sources"]:
        assert [one["whole"] for one in source["cores"]] == [True]


def test_copies_of_a_source_by_the_thousand_take_bounded_time():
    """Not each of them times all others."""
    text = f'x("{THIRD}");' + "y(1);" * 60 + "\n"
    Path("small.js").write_text(text)
    Path("core.1").write_bytes(core([(0x1000, (text + "\0").encode() * 20_000)]))
    begin = time.monotonic()
    (source,) = told("small.js", "--core", "core.1")["sources"]
    assert time.monotonic() - begin < 15
    copies = source["literals"][0]["cores"]
    assert len(source["cores"]) == len(copies) == 20_000
    assert all(copy["in_source"] for copy in copies)


def test_a_picture_of_a_path_that_its_font_lacks_characters_of():
    Path("字.js").write_text(BUNDLE)
    result = run("字.js", "--out", "m.png")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_heap_that_is_larger_than_the_memory_is_said(bundle):
    """And a source, and a literal, that are in it too are summed once."""
    with source_holder(SOURCE, "latin-1") as (process, _):
        size = 2**30
        strings = ["big", FONT, "text"]
        font, text = (len(FONT) + 15) // 4 * 4, len(SOURCE) + 12
        nodes = [(OBJECT, 0, 1, size, 0), (STRING, 1, 3, font, 0), (NATIVE, 2, 5, text, 0)]
        Path("1.heapsnapshot").write_bytes(snapshot(nodes, strings))
        words = ("source.js", "--pid", process.pid, "--heap", "1.heapsnapshot")
        closing = told(*words)["closing"]
        out = call(*words)[1]
    assert closing["heap"] in range(size, size + 64) and closing["rest"] < 0
    names = ("sources", "base64", "heap", "rest")
    assert sum(closing[name] for name in names) == closing["anonymous"]
    assert "a rest below zero" in out


@pytest.mark.parametrize("way", ["beside", "argument", "folder"])
def test_the_archive_of_a_process_is_found(way):
    """Beside its program, or named on its command line."""
    folder = Path("app", "resources")
    folder.mkdir(parents=True)
    (folder / "app.asar").write_bytes(asar({"1.bundle.js": BUNDLE.encode()}))
    program, words = shutil.which("sleep"), ["99"]
    if way == "beside":
        program = shutil.copy(program, "app/program")
    else:
        program = sys.executable
        words = ["-c", "input()", "app/resources" + "/app.asar" * (way == "argument")]
    with subprocess.Popen([os.path.abspath(program), *words], stdin=subprocess.PIPE) as process:
        # in the middle of its exec it has no command line
        wait_for(lambda: words[-1] in Path(f"/proc/{process.pid}/cmdline").read_text())
        status, _, err = call("--pid", process.pid, "--json", "r.json")
        process.kill()
    assert status == 0 and err.count("\n") == 1 and "app.asar" in err
    report = json.loads(Path("r.json").read_text())
    assert [one["path"].rpartition("/")[2] for one in report["sources"]] == ["1.bundle.js"]
    assert len(report["sources"][0]["literals"]) == 3


def test_the_archive_of_a_process_in_a_container():
    """Its own archive, not the one that stands here under the same name."""
    for folder, text in (("app", "here"), ("inside", BUNDLE)):
        Path(folder, "resources").mkdir(parents=True)
        (Path(folder, "resources") / "app.asar").write_bytes(asar({"1.bundle.js": text.encode()}))
    shutil.copy(shutil.which("sleep"), "inside/program")
    mount = 'mount --bind inside app || exit 77; cd /; exec "$1/app/program" 99'
    words = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mount,
        "sh",
        os.getcwd(),
    ]
    with subprocess.Popen(words) as process:
        comm = Path(f"/proc/{process.pid}/comm")
        wait_for(lambda: process.poll() is not None or comm.read_text() == "program\n")
        if process.poll() is not None:
            pytest.skip(f"{FORBIDDEN}: a file system of one's own")
        status, _, err = call("--pid", process.pid, "--json", "r.json")
        process.kill()
    assert status == 0 and "newer" not in err
    assert len(json.loads(Path("r.json").read_text())["sources"][0]["literals"]) == 3


def test_the_archive_of_a_program_that_was_replaced():
    """As by an update while it runs: what is there now may not be what it has read."""
    Path("app", "resources").mkdir(parents=True)
    Path("app", "resources", "app.asar").write_bytes(asar({"1.bundle.js": BUNDLE.encode()}))
    program = shutil.copy(shutil.which("sleep"), "app/program")
    with subprocess.Popen([os.path.abspath(program), "99"]) as process:
        wait_for(lambda: "99" in Path(f"/proc/{process.pid}/cmdline").read_text())
        os.unlink(program)
        status, _, err = call("--pid", process.pid)
        process.kill()
    assert status == 0 and "app.asar, perhaps newer than the program" in err
