"""Where literals sit: real heap snapshots, running programs, core files."""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import psutil
import pytest
from bundles import WEBPACK, base64_of, npm_folder, scratch_bundle, source_map_bundle
from snapshots import (
    HOLDERS,
    SHOWN,
    DevTools,
    Forbidden,
    Literal,
    Unavailable,
    core_by_gcore,
    core_by_kernel,
    editor,
    heap_of_node,
    heap_of_page,
    holder,
    node_with_bundle,
    page,
    page_of,
    process_of,
    rss,
)

from conftest import FORBIDDEN, LIMIT, MIB, ROOT, alive

SCRIPT = [sys.executable, str(ROOT / "asar_investigate.py")]
FONTS = [603480, 296508, 278368, 59552, 52176, 48712, 29480]
STRINGS = ("string", "concatenated string", "sliced string")
BACKING = {  # of the programs that hold a whole copy
    "file": "file",
    "written": "anonymous",
    "anonymous": "anonymous",
    "shared": "shared",
    "dev_shm": "shared",
    "memfd": "shared",
    "across": "anonymous",
    "two_bytes": "anonymous",
    "churn": "anonymous",
}
PARTIAL = ("cut", "overwritten")
PAGE = """<!DOCTYPE html>
<meta charset="utf-8">
<title>A bundle with a source map</title>
<script src="{umd}/react.production.min.js"></script>
<script src="{umd}/react-dom.production.min.js"></script>
<script src="1.bundle.js"></script>
"""


def run(*args: object, **options: object) -> subprocess.CompletedProcess:
    command = [*SCRIPT, *map(str, args), "--json", "report.json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, **options)


def investigate(*args: object, **options: object) -> dict:
    """The report, where all could be read."""
    result = run(*args, **options)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(Path("report.json").read_text())


def literals(report: dict) -> list[dict]:
    return [one for source in report["sources"] for one in source["literals"]]


def of_length(report: dict, length: int) -> dict:
    (found,) = (one for one in literals(report) if one["length"] == length)
    return found


def whole(literal: dict) -> list[dict]:
    """The strings of heap snapshots that are this literal, not those that it is only a part of."""
    return [one for one in literal["heaps"] if one["whole"]]


def places(found: list[dict]) -> set[tuple[int, int]]:
    return {(one["address"], one["width"]) for one in found}


@contextlib.contextmanager
def skipping():
    """What this machine does not have is a reason to skip; in CI a skipped test fails."""
    try:
        yield
    except Forbidden as problem:
        pytest.skip(f"{FORBIDDEN}: {problem}")
    except Unavailable as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="module")
def bundle() -> Path:
    try:
        npm_folder(WEBPACK)
        return scratch_bundle(old=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"npm is missing, or the network: {error}")


@pytest.fixture(scope="module")
def font(bundle) -> Literal:
    """The largest literal of the editor."""
    offset = re.search(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{600000}", bundle.read_bytes()).start()
    return Literal(bundle, offset, FONTS[0])


@pytest.fixture(scope="module")
def url(bundle) -> str:
    """The DevTools URL of the running editor of 2020."""
    with skipping(), editor(old=True) as found:
        yield found


def in_memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)


def test_reading_a_renderer_leaves_its_memory_as_it_is(url, bundle, font):
    """Stopped meanwhile: running, its own RSS moves by some MiB in as many seconds."""
    renderer = process_of(url, "renderer")
    text = bundle.read_bytes()[font.offset :][: font.length]
    wide = text.decode().encode("utf-16-le")
    os.kill(renderer, signal.SIGSTOP)
    try:
        before = rss(renderer)
        report = investigate(bundle, "--pid", renderer)
        after = rss(renderer)
        for one in of_length(report, font.length)["memory"]:
            expected = text if one["width"] == 1 else wide
            assert in_memory(renderer, one["address"], len(expected)) == expected
    finally:
        os.kill(renderer, signal.SIGCONT)
    assert abs(after - before) < MIB, (before, after)


def test_running_editor(url, bundle, font):
    """All of Chromium's processes: the font is in the page's renderer. The editor runs on."""
    browser, renderer, gpu = (process_of(url, kind) for kind in ("browser", "renderer", "GPU"))
    report = investigate(bundle, "--pid", browser)
    assert alive(renderer) and alive(gpu)
    with DevTools(page_of(url)) as devtools:
        assert devtools.value(SHOWN) is True
    assert {browser, renderer, gpu} <= {one["pid"] for one in report["processes"]}
    copies = [one for one in of_length(report, font.length)["memory"] if one["pid"] == renderer]
    assert {one["width"] for one in copies} == {1, 2}
    assert {one["backing"] for one in copies} == {"anonymous"}
    assert not [one for one in literals(report) for held in one["memory"] if held["pid"] == gpu]


def check_source(report: dict, heap: bool = False) -> dict:
    """1.bundle.js once, in two bytes a character, in a renderer; the sum adds up."""
    (source,) = (one for one in report["sources"] if one["path"].endswith("1.bundle.js"))
    (copy,) = source["memory"]
    assert (copy["width"], copy["backing"], copy["whole"]) == (2, "anonymous", True)
    units = source["characters"] + 133  # beyond U+FFFF: two units each
    assert copy["bytes"] == source["ram"] == 2 * units == 37_898_250
    assert copy["process"].endswith(" renderer")
    inside = [held for one in source["literals"] for held in one["memory"] if held["in_source"]]
    assert len(inside) == len(source["literals"]) == 91
    assert {(held["pid"], held["width"]) for held in inside} == {(copy["pid"], 2)}
    closing = report["closing"]
    parts = [closing[name] or 0 for name in ("sources", "base64", "heap", "rest")]
    assert sum(parts) == closing["anonymous"] and min(parts) >= 0
    assert closing["sources"] == copy["bytes"] and (closing["heap"] is not None) == heap
    rams = sum(one["ram"] for one in source["literals"])
    wide = sum(2 * one["length"] for one in source["literals"])
    assert closing["base64"] == pytest.approx(rams - wide, abs=200)  # without the padding
    return closing


def test_the_source_in_a_running_editor(bundle, tmp_path):
    """A new one: after some 30 seconds Blink compresses it. With a snapshot, each byte once."""
    with skipping(), editor(old=True) as url:
        browser = process_of(url, "browser")
        check_source(investigate(bundle, "--pid", browser))
        heap = heap_of_page(url, tmp_path / "page.heapsnapshot")
        report = investigate(bundle, "--pid", browser, "--heap", heap)
    (total,) = (one["self_size"] for one in report["heaps"])
    closing = check_source(report, heap=True)
    counted = closing["sources"] + closing["base64"]
    assert total - counted < closing["heap"] < total - closing["sources"]


class Snapshot:
    """A heap snapshot read as JSON in one piece: what the script's reading is compared with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = json.loads(path.read_bytes())
        meta = data["snapshot"]["meta"]
        self.node_count, self.strings = data["snapshot"]["node_count"], data["strings"]
        fields, types = meta["node_fields"], meta["node_types"][0]
        columns = [data["nodes"][column :: len(fields)] for column in range(len(fields))]
        self.nodes = dict(zip(fields, columns))
        self.types = [types[number] for number in self.nodes["type"]]
        self.stride = len(fields)

    def totals(self) -> dict[str, dict[str, int]]:
        counts, sizes = Counter(self.types), Counter()
        for kind, size in zip(self.types, self.nodes["self_size"]):
            sizes[kind] += size
        return {kind: {"count": counts[kind], "self_size": sizes[kind]} for kind in counts}

    def holding(self, texts: list[str], header: int, step: int) -> dict[int, set[tuple]]:
        """Length of each one-byte string -> id and size of the nodes that are it.

        The text is compared as far as a snapshot has it, and the size that V8 gives it.
        """
        found = defaultdict(set)
        numbers = {text[:1024]: len(text) for text in texts}
        for number, kind in enumerate(self.types):
            text = self.strings[self.nodes["name"][number]] if kind == "string" else ""
            length = numbers.get(text)
            if length is None:
                continue
            rounded = header + (length + step - 1) // step * step
            size = self.nodes["self_size"][number]
            if size == rounded:
                found[length].add((self.nodes["id"][number], size))
        return found


@pytest.fixture(scope="module")
def page_heap(url, tmp_path_factory) -> Snapshot:
    with skipping():
        return Snapshot(heap_of_page(url, tmp_path_factory.mktemp("heap") / "page.heapsnapshot"))


@pytest.fixture(scope="module")
def node_heap(bundle, tmp_path_factory) -> Snapshot:
    with skipping():
        file = tmp_path_factory.mktemp("heap") / "node.heapsnapshot"
        return Snapshot(heap_of_node(bundle, file))


def check_totals(report: dict, snapshot: Snapshot) -> None:
    (heap,) = report["heaps"]
    totals = snapshot.totals()
    assert heap["path"] == str(snapshot.path)
    assert {kind: total for kind, total in heap["types"].items() if total["count"]} == totals
    assert heap["nodes"] == snapshot.node_count == len(snapshot.types)
    assert heap["self_size"] == sum(snapshot.nodes["self_size"])
    sizes = [totals.get(kind, {"self_size": 0})["self_size"] for kind in STRINGS]
    assert heap["strings"] == sum(sizes)


def check_strings(report: dict, snapshot: Snapshot, header: int, step: int, bundle: Path) -> None:
    """The nodes of each literal that is a string by itself are those that the oracle finds."""
    data = bundle.read_bytes()
    alone = [one for one in literals(report) if one["string_length"] == one["length"]]
    lengths = Counter(one["length"] for one in alone)
    alone = [one for one in alone if one["length"] > 1024 and lengths[one["length"]] == 1]
    texts = [data[one["offset"] :][: one["length"]].decode() for one in alone]
    expected = snapshot.holding(texts, header, step)
    assert len(expected) > 50
    for one in alone:
        found = [(held["node_id"], held["self_size"]) for held in whole(one)]
        assert sorted(found) == sorted(expected[one["length"]]), one
        assert all((held["path"], held["width"]) == (str(snapshot.path), 1) for held in whole(one))


def test_heap_of_the_editor(page_heap, bundle):
    report = investigate(bundle, "--heap", page_heap.path)
    check_totals(report, page_heap)
    sizes = [held["self_size"] for one in FONTS for held in whole(of_length(report, one))]
    assert sizes == [603492, 296520, 278380, 59564, 52188, 48724, 29492]
    check_strings(report, page_heap, 12, 4, bundle)
    (heap,) = report["heaps"]
    assert sum(sizes) < heap["base64"]["self_size"] < heap["strings"]
    assert 70 < heap["base64"]["strings"] < page_heap.totals()["string"]["count"]


def test_heap_of_node(node_heap, bundle):
    """A header of 16 bytes, and sizes that are multiples of 8."""
    report = investigate(bundle, "--heap", node_heap.path)
    check_totals(report, node_heap)
    sizes = [held["self_size"] for one in FONTS for held in whole(of_length(report, one))]
    assert sizes == [603496, 296528, 278384, 59568, 52192, 48728, 29496]
    check_strings(report, node_heap, 16, 8, bundle)


def test_two_heaps_at_once(page_heap, node_heap, bundle):
    report = investigate(bundle, "--heap", page_heap.path, node_heap.path)
    assert [heap["path"] for heap in report["heaps"]] == [str(page_heap.path), str(node_heap.path)]
    sizes = {held["path"]: held["self_size"] for held in whole(of_length(report, FONTS[0]))}
    assert sizes == {str(page_heap.path): 603492, str(node_heap.path): 603496}


def test_source_map_in_line_is_a_string_of_its_own(bundle, tmp_path):
    """V8 keeps the comment's value besides the source, in which it is there in two bytes."""
    path = source_map_bundle(tmp_path, eval_form=False)
    umd = (bundle.parent.parent / "umd").as_uri()
    html = tmp_path / "page.html"
    html.write_text(PAGE.format(umd=umd))
    with skipping(), page(html) as url:
        renderer = process_of(url, "renderer")
        report = investigate(path, "--min-size", "1M", "--pid", renderer)
        heap = heap_of_page(url, "map.heapsnapshot")
    (found,) = literals(report)
    assert found["kind"] == "source map" and found["length"] > 29_000_000
    widths = {(one["pid"], one["width"], one["backing"]) for one in found["memory"]}
    assert widths >= {(renderer, 1, "anonymous"), (renderer, 2, "anonymous")}
    (found,) = literals(investigate(path, "--min-size", "1M", "--heap", heap))
    value = found["length"] + len("data:application/json;charset=utf-8;base64,")
    assert found["string_length"] == value
    (string,) = whole(found)
    assert string["self_size"] == 12 + (value + 3) // 4 * 4 and string["width"] == 1


def expect_places(found: list[dict], told: dict, backing: str) -> None:
    mine = [one for one in found if one["pid"] == told["pid"]]
    assert places(mine) == {(address, told["width"]) for address in told["addresses"]}
    assert len(mine) == 1 and mine[0]["backing"] == backing
    assert mine[0]["process"].startswith("python")


@pytest.mark.parametrize("kind", BACKING)
def test_where_a_program_holds_it(kind, bundle, font):
    with holder(kind, font) as program:
        report = investigate(bundle, "--pid", program.pid)
        one = of_length(report, font.length)
        expect_places(one["memory"], program.told, BACKING[kind])
        assert program.poll() is None
    if kind == "churn":
        return  # its children hold copies too
    held = [other for other in literals(report) if other["memory"]]
    assert len(held) == (91 if kind == "file" else 1)
    size = one["length"] * program.told["width"]
    assert one["ram"] == size


def test_program_that_maps_the_bundle(bundle, font):
    with holder("file", font) as program:
        report = investigate(bundle, "--pid", program.pid)
        start = program.told["addresses"][0] - font.offset
    for one in literals(report):
        assert places(one["memory"]) == {(start + one["offset"], 1)}
        assert one["memory"][0]["backing"] == "file"


@pytest.mark.parametrize("kind", PARTIAL)
def test_cut_copy_is_no_copy(kind, bundle, font):
    with holder(kind, font) as program:
        one = of_length(investigate(bundle, "--pid", program.pid), font.length)
    assert one["memory"] == [] and one["ram"] == 0


def test_base64_that_is_in_none_of_the_inputs(bundle, font):
    """One sum; the process itself is told with it."""
    Path("other.js").write_bytes(b'"' + base64_of(4000) + b'"')
    with holder("anonymous", font) as program:
        report = investigate("other.js", "--pid", program.pid)
        with_it = investigate(bundle, "--pid", program.pid)
        here = rss(program.pid)
    (one,) = literals(report)
    assert one["memory"] == [] and one["ram"] == 0
    (process,) = report["processes"]
    assert process["pid"] == program.pid and process["rss"] == here
    assert abs(process["searched"] - here) < MIB / 4  # the zero page is searched, and in no RSS
    assert font.length < process["pss"] <= here
    assert (process["swap"], process["coredump_filter"]) == (0, 0x33)
    more = report["other"]["bytes"] - with_it["other"]["bytes"]
    assert font.length - 2 <= more <= font.length
    assert report["other"]["runs"] - with_it["other"]["runs"] == 1


def test_each_program_is_tested():
    assert set(HOLDERS) == {*BACKING, *PARTIAL, "undumpable"}


def without_capabilities() -> None:
    """For preexec_fn: root then has none, as other users have none."""
    for number in range(64):
        ctypes.CDLL(None).prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP


def check_denied(pid: int, *args: object) -> None:
    result = run(*args, "--pid", pid, preexec_fn=without_capabilities)
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert str(pid) in line and re.search(r"\b(sudo|root)\b", line), line
    report = json.loads(Path("report.json").read_text())
    assert len(report["problems"]) == 1
    assert len(literals(report)) == 91 and not any(one["memory"] for one in literals(report))


def test_process_that_may_not_be_read(bundle, font):
    with holder("anonymous", font, preexec_fn=without_capabilities) as program:
        report = investigate(bundle, "--pid", program.pid, preexec_fn=without_capabilities)
        expect_places(of_length(report, font.length)["memory"], program.told, "anonymous")
    with holder("undumpable", font, preexec_fn=without_capabilities) as program:
        check_denied(program.pid, bundle)


@pytest.fixture
def somebody_elses() -> int:
    """A process of another user, without children."""
    if os.geteuid() == 0:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=65534) as process:
            yield process.pid
            process.stdin.close()
        return
    for process in psutil.process_iter(["uids", "cmdline"]):  # kernel threads have no cmdline
        with contextlib.suppress(psutil.Error):
            others = process.info["uids"].real != os.getuid() and process.info["cmdline"]
            if others and not process.children():
                yield process.pid
                return
    pytest.skip(f"{FORBIDDEN}: a process of another user")


def test_process_of_somebody_else(bundle, somebody_elses):
    check_denied(somebody_elses, bundle)


def test_process_of_somebody_else_without_inputs(somebody_elses):
    """Neither its archive nor its memory may be looked at: one line."""
    result = run("--pid", somebody_elses, preexec_fn=without_capabilities)
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2 and str(somebody_elses) in line and "sudo" in line


def test_unreadable_process_does_not_hide_another(bundle, font, somebody_elses):
    with holder("anonymous", font, preexec_fn=without_capabilities) as program:
        pids = (somebody_elses, program.pid)
        result = run(bundle, "--pid", *pids, preexec_fn=without_capabilities)
        assert result.returncode == 2 and len(result.stderr.splitlines()) == 1, result.stderr
        report = json.loads(Path("report.json").read_text())
        expect_places(of_length(report, font.length)["memory"], program.told, "anonymous")


def test_processes_that_end_while_they_are_read(bundle, font):
    with holder("churn", font) as program:
        for _ in range(3):
            report = investigate(bundle, "--pid", program.pid)
            expect_places(of_length(report, font.length)["memory"], program.told, BACKING["churn"])


def segments(core: mmap.mmap) -> list[tuple[int, int, int]]:
    """Offset, address and size in the file of each PT_LOAD of a 64-bit core."""
    table, count = struct.unpack_from("<Q", core, 32)[0], struct.unpack_from("<H", core, 56)[0]
    found = []
    for number in range(count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", core, table + 56 * number)
        if kind == 1:
            found.append((offset, address, size))
    return found


def places_in_core(path: Path, text: bytes) -> set[tuple[int, int]]:
    """Where a literal is in a core, found by searching the file for all of it."""
    found = set()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as core:
        for width, wanted in ((1, text), (2, text.decode().encode("utf-16-le"))):
            at = core.find(wanted)
            while at >= 0:
                for offset, address, size in segments(core):
                    if offset <= at < offset + size:
                        found.add((address + at - offset, width))
                at = core.find(wanted, at + 1)
    return found


def test_cores_of_node(bundle):
    """gcore's and the kernel's: the copies that --pid has found just before."""
    with skipping(), node_with_bundle(bundle) as node:
        report = investigate(bundle, "--pid", node.pid)
        cores = [core_by_gcore(node.pid, "gcore.core"), core_by_kernel(node, "kernel.core")]
    memory = {one["offset"]: places(one["memory"]) for one in literals(report)}
    assert all(one["memory"] for one in literals(report) if one["length"] in FONTS)
    report = investigate(bundle, "--core", *cores)
    assert [core["path"] for core in report["cores"]] == [str(core) for core in cores]
    for core in cores:
        for one in literals(report):
            found = [held for held in one["cores"] if held["path"] == str(core)]
            assert places(found) == memory[one["offset"]], (core, one["offset"])
            assert {held["backing"] for held in found} <= {"anonymous"}
    data = bundle.read_bytes()
    for length in FONTS:
        one = of_length(report, length)
        text = data[one["offset"] :][:length]
        assert places_in_core(cores[1], text) == memory[one["offset"]]
    for core in cores:
        core.unlink()  # pytest keeps a test's folder: 1 GB here


@pytest.mark.parametrize("kind", [kind for kind in BACKING if kind != "churn"])
def test_core_of_a_program(kind, bundle, font):
    """The kernel leaves out pages that are a file's, unless coredump_filter says otherwise."""
    with skipping(), holder(kind, font) as program:
        if kind == "file":
            Path(f"/proc/{program.pid}/coredump_filter").write_text("0x7f")
        core = core_by_kernel(program, f"{kind}.core")
    (one,) = of_length(investigate(bundle, "--core", core), font.length)["cores"]
    assert (one["path"], one["width"]) == (str(core), program.told["width"])
    assert [one["address"]] == program.told["addresses"]
    if kind == "written":  # a core does not tell whether the file still has the same
        assert one["backing"] in ("anonymous", "file")
    else:
        assert one["backing"] == BACKING[kind]


def test_core_without_the_files_pages(bundle, font):
    """The mapping is named in the core, its pages are not in it: no copy, and no error."""
    with skipping(), holder("file", font) as program:
        core = core_by_kernel(program, "small.core")
    assert not any(one["cores"] for one in literals(investigate(bundle, "--core", core)))
    assert str(bundle).encode() in core.read_bytes()
