"""asar_investigate.py on the real editor's bundles, on archives and maps made by real tools."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import (
    ASAR,
    WEBPACK,
    base64_of,
    npm_folder,
    run_asar,
    scratch_app,
    scratch_bundle,
    source_map_bundle,
)

from conftest import LIMIT, ROOT

SCRIPT = [sys.executable, str(ROOT / "asar_investigate.py")]
FONTS = [603480, 296508, 278368, 59552, 52176, 48712, 29480]
# How acorn, the parser of webpack, tokenizes a script: the string at each of the given places
TOKENS = """
const [bundle, places] = process.argv.slice(1);
const fs = require("fs");
const text = fs.readFileSync(bundle, "utf8"), wanted = JSON.parse(fs.readFileSync(places));
const found = [];
for (const token of require("acorn").tokenizer(text, {ecmaVersion: "latest"})) {
    while (found.length < wanted.length && wanted[found.length] < token.end) {
        const inside = token.start <= wanted[found.length] && typeof token.value === "string";
        found.push(inside ? token.value.length : null);
    }
}
console.log(JSON.stringify(found));
"""


PACKAGES = ("jsoneditor@10.1.0", "mpd-parser@1.3.1")  # minified lines of 900 KB, an eval bundle
# The strings and templates of a script, as acorn parses it, around the given places
PARSED = """
const [script, places] = process.argv.slice(1);
const fs = require("fs");
const text = fs.readFileSync(script, "utf8"), wanted = JSON.parse(fs.readFileSync(places));
let tokens;
for (const sourceType of ["script", "module"]) {
    try {
        const onToken = tokens = [];
        require("acorn").parse(text, {ecmaVersion: "latest", sourceType, onToken});
        break;
    } catch (error) {}
}
console.log(JSON.stringify(wanted.map(place => {
    const token = tokens.find(token => token.start <= place && place < token.end);
    return token && /string|template/.test(token.type.label) ? token.value.length : null;
})));
"""


@pytest.fixture(scope="module", autouse=True)
def packages():
    try:
        for old in (True, False):
            scratch_bundle(old)
        for package in (WEBPACK, ASAR, *PACKAGES):
            npm_folder(package)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"npm or Node is missing, or the network: {error}")


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Path:
    """app.asar of the bundle of 2020, and the same unpacked again."""
    archive = scratch_app(tmp_path_factory.mktemp("app"))
    run_asar("extract", archive, archive.with_name("unpacked"))
    return archive


def run(*args: object) -> str:
    """What the script prints, as users run it."""
    command = [*SCRIPT, *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def sources(*args: object) -> list[dict]:
    return json.loads(run(*args, "--json", "-"))["sources"]


def lengths(source: dict, kind: str = "") -> list[int]:
    """The literals of a kind, the largest first."""
    found = [one["length"] for one in source["literals"] if one["kind"].startswith(kind)]
    return sorted(found, reverse=True)


def check_runs(path: Path, source: dict, left_out: int) -> None:
    """The runs are those of the reference expressions; each literal's content is there."""
    data = path.read_bytes()
    found = {}
    for match in re.finditer(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{256,}={0,2}", data):
        found[match.start()] = len(match[0])
    taken = bytearray(len(data))
    for start, length in found.items():
        taken[start : start + length] = b"\1" * length
    for match in re.finditer(rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{256,}={0,2}", data):
        if re.search(rb"[-_]", match[0]) and 1 not in taken[match.start() : match.end()]:
            found[match.start()] = len(match[0])
    literals = {one["offset"]: one["length"] for one in source["literals"]}
    assert literals.items() <= found.items()
    assert len(literals) == len(found) - left_out


def strings_of(path: Path, source: dict, script: str = TOKENS) -> list[int | None]:
    """The length of the string around each literal that a JavaScript parser sees."""
    data, last, units, places = path.read_bytes(), 0, 0, []
    for one in source["literals"]:
        text = data[last : one["offset"]].decode()
        units, last = units + len(text.encode("utf-16-le")) // 2, one["offset"]
        places.append(units)
    Path("places.json").write_text(json.dumps(places))
    command = ["node", "-e", script, str(path), str(Path("places.json").resolve())]
    output = subprocess.run(command, cwd=npm_folder(WEBPACK), stdout=subprocess.PIPE, check=True)
    return json.loads(output.stdout)


def check_strings(path: Path, source: dict) -> None:
    """Each string's length is the one that a JavaScript parser sees."""
    assert [one["string_length"] for one in source["literals"]] == strings_of(path, source)


@pytest.mark.parametrize("package", PACKAGES)
def test_strings_of_packages(package):
    """99 in 100 as acorn has them, and 95 in 100 are known at all."""
    name = package.rpartition("@")[0]
    agreed, known, in_strings = 0, 0, 0
    for source in sources(npm_folder(package) / "node_modules" / name):
        if not source["path"].endswith((".js", ".mjs")) or not source["literals"]:
            continue
        expected = strings_of(Path(source["path"]), source, PARSED)
        for literal, length in zip(source["literals"], expected):
            in_strings += length is not None
            known += None not in (length, literal["string_length"])
            agreed += length is not None and literal["string_length"] == length
    assert in_strings >= 6
    assert agreed >= 0.99 * known and known >= 0.95 * in_strings


CODES = (  # RUN stands for one
    "css`\n  background: url(data:image/png;base64,RUN);\n  color: ${1};\n`",
    "x(`data:${'image/png'};base64,RUN`)",
    "x(`a${1}b${2} RUN ${3} \\${4}`)",
    "x(`a${x('RUN')}c`)",
    "x(`a\r\nRUN\r\n`)",
    "x(`a${1}`, 'RUN', `${2}`)",
    'x("foo(\'"+"RUN"+"\')")',
    "t.c='color:red;',x(\"RUN\"),t.d='.foo'",
    "x('a;',\"RUN\",'.b')",
    'x(\'{"a":"RUN"}\')',
    'x("a =\'","RUN","\',")',
    'function* f() { yield"RUN" }',
)


@pytest.mark.parametrize("code", CODES)
def test_strings_of_code(code):
    """The length of the string, or of the part of a template, that acorn sees."""
    path = Path("a.js").resolve()
    path.write_bytes(code.replace("RUN", base64_of(256).decode()).encode())
    (source,) = sources(path)
    assert len(source["literals"]) == 1
    assert [one["string_length"] for one in source["literals"]] == strings_of(path, source, PARSED)


def check_characters(path: Path, source: dict) -> None:
    text = path.read_bytes().decode()
    beyond = len(re.findall(r"[^\0-\xff]", text))
    assert (source["characters"], source["beyond_latin1"]) == (len(text), beyond)
    assert source["two_byte"] is (beyond > 0)


def test_bundle_of_2020():
    path = scratch_bundle(old=True)
    report = json.loads(run(path, "--json", "-"))
    (source,) = report["sources"]
    assert len(source["literals"]) == 91 and sum(lengths(source)) == 3_500_516
    assert report["left_out"] == {} and report["problems"] == []
    assert lengths(source, "font/") == FONTS
    assert {one["kind"] for one in source["literals"] if one["length"] in FONTS} == {
        "font/ttf",
        "font/otf",
    }
    assert len(lengths(source, "audio/mp3")) == 61
    assert (source["characters"], source["beyond_latin1"]) == (18_948_992, 292_248)
    assert source["two_byte"] is True
    check_runs(path, source, left_out=0)
    check_strings(path, source)
    check_characters(path, source)


def test_report_of_the_bundle_of_2020():
    text = run(scratch_bundle(old=True))
    assert "91 base64 literals of 256 characters or more, 3500516 characters, 18.1 %" in text
    assert re.search(r"18948992 +292248 +36.1 MiB +19.5 MiB  \S", text)
    assert r"\u escapes would save 16.7 MiB" in text
    for length in FONTS[:5]:
        assert re.search(rf"^ *\d+ +{length} .* font/[ot]tf\b", text, re.M), length
    assert all(len(line) < 100 for line in text.splitlines())


def test_newest_bundle():
    path = scratch_bundle(old=False)
    report = json.loads(run(path, "--json", "-"))
    (source,) = report["sources"]
    assert len(source["literals"]) > 200 and lengths(source, "font/")[0] > 100_000
    check_runs(path, source, left_out=sum(report["left_out"].values()))
    check_strings(path, source)
    check_characters(path, source)


def test_contents_are_extracted():
    path = scratch_bundle(old=True)
    (source,) = sources(path, "--extract", "blobs")
    files = sorted(Path("blobs").iterdir())
    contents = {one["sha256"] for one in source["literals"]}
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == contents
    assert len(files) == len(contents)
    assert files[0].name == "001-font-ttf.ttf" and files[0].stat().st_size == 452_608


def test_archive_and_what_is_extracted_from_it_agree(app):
    packed = {source.pop("path"): source for source in sources("--in", app)}
    unpacked = app.with_name("unpacked")
    folder = {source.pop("path"): source for source in sources("--in", unpacked)}
    (bundle,) = sources("--in", unpacked / "1.bundle.js")
    names = {"1.bundle.js", "addon.node", "empty.js", "main.js", "package.json"}
    names.add("static/deep/style.css")
    assert set(packed) == {f"{app}/{name}" for name in names}
    for name in names:
        assert packed[f"{app}/{name}"] == folder[f"{unpacked}/{name}"], name
    assert bundle.pop("path") == f"{unpacked}/1.bundle.js"
    assert bundle == packed[f"{app}/1.bundle.js"] and len(bundle["literals"]) == 91
    (style,) = packed[f"{app}/static/deep/style.css"]["literals"]
    assert (style["kind"], style["mime"]) == ("font/woff2", "font/woff2")
    assert lengths(packed[f"{app}/addon.node"]) == [4000]


def test_largest_members_of_an_archive(app):
    text = run("--in", app)
    part = text[text.index("The largest files") :]
    assert re.search(r"^ +19348971 +\d+\.\d % +\S*/app\.asar/1\.bundle\.js$", part, re.M)


@pytest.mark.parametrize("eval_form", (False, True))
def test_source_map_in_line(eval_form):
    """webpack's, over all of the editor: in a comment of the bundle, or in an eval()."""
    path = source_map_bundle(".", eval_form)
    (source,) = sources(path)
    (found,) = (one for one in source["literals"] if one["in_comment"])
    value = found["length"] + len("data:application/json;charset=utf-8;base64,")
    assert 20_000_000 < found["length"] < 30_000_000
    assert (found["kind"], found["mime"]) == ("source map", "application/json")
    assert found["string_length"] == value and found["occurrences"] == 1
    data = path.read_bytes()
    end = found["offset"] + found["length"]
    comment = data[found["offset"] - 80 : found["offset"]]
    assert comment.endswith(b"//# sourceMappingURL=data:application/json;charset=utf-8;base64,")
    assert (b"\\n" in comment) is eval_form
    assert data[end:].startswith(rb"\n//#") if eval_form else data[end:] == b""
    assert lengths(source, "font/") == FONTS and len(source["literals"]) == 92
    text = run(path)
    assert re.search(rf"^  1 source map in line, {found['length']} ch", text, re.M)


def test_source_map_is_extracted_whole():
    path = source_map_bundle(".", eval_form=False)
    run(path, "--min-size", "16M", "--extract", "blobs")
    source_map = json.loads(Path("blobs/001-source-map.map").read_text())
    assert source_map["version"] == 3
    assert scratch_bundle(old=True).read_bytes().decode() in source_map["sourcesContent"]
