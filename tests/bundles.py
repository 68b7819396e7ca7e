"""Bundles and archives for tests and benchmarks: made ones, and real ones by real tools.

What comes from npm is fetched once into the folder that tests/scratch3 keeps its builds in
(~/.cache/scratch-profiling), and needs no network from then on. A recipe, run by hand:

    python3 tests/bundles.py inline FOLDER    # FOLDER/1.bundle.js with an in-line source map
    python3 tests/bundles.py eval FOLDER      # the same in webpack's eval form
    python3 tests/bundles.py asar FOLDER      # FOLDER/app.asar of the bundle of 2020
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEBPACK, ASAR = "webpack@5.112.2", "@electron/asar@3.4.1"

# The source map holds all of the 2020 bundle: some 29 million base64 characters. noParse: taken
# as it is. context: names in the map without this machine's folders.
BUILD = """
const [entry, folder, devtool] = process.argv.slice(1);
const {basename, dirname} = require("path");
require("webpack")({
    mode: "development", devtool, target: "web",
    context: dirname(entry), entry: "./" + basename(entry),
    externals: {react: "React", "react-dom": "ReactDOM"},
    module: {noParse: /./},
    output: {path: folder, filename: "1.bundle.js"},
}, (error, stats) => {
    if (error || stats.hasErrors()) {
        console.error(String(error || stats));
        process.exit(1);
    }
});
"""


def archive(header: object, data: bytes = b"") -> bytes:
    """An ASAR archive with this header: an object, or bytes taken as the JSON as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    padded = text + bytes(-len(text) % 4)
    sizes = struct.pack("<4I", 4, 8 + len(padded), 4 + len(padded), len(text))
    return sizes + padded + data


def asar(
    files: Mapping[str, bytes],
    unpacked: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
) -> bytes:
    """An ASAR archive. What is unpacked is only named in it: the caller writes it beside."""
    header, data = asar_parts(files, unpacked, links)
    return archive(header, data)


def asar_parts(
    files: Mapping[str, bytes],
    unpacked: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
) -> tuple[dict, bytes]:
    """The header and the data of such an archive, to be damaged before they are put together."""
    header: dict = {"files": {}}
    data = bytearray()
    for path, content in files.items():
        put(header, path, {"size": len(content), "offset": str(len(data))})
        data += content
    for path, content in (unpacked or {}).items():
        put(header, path, {"size": len(content), "unpacked": True})
    for path, target in (links or {}).items():
        put(header, path, {"link": target})
    return header, bytes(data)


def put(header: dict, path: str, entry: object) -> None:
    """An entry at its place in a header, the folders above it made."""
    *folders, name = path.split("/")
    for folder in folders:
        header = header["files"].setdefault(folder, {"files": {}})
    header["files"][name] = entry


def write_asar(
    path: str | Path,
    files: Mapping[str, bytes],
    unpacked: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
) -> Path:
    """The archive as a file, what is unpacked in the folder beside it."""
    path = Path(path)
    path.write_bytes(asar(files, unpacked, links))
    for name, content in (unpacked or {}).items():
        file = Path(f"{path}.unpacked", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes of no known kind, the same ones each time. The size is best a multiple of three."""
    return b"\xd1" + random.Random(seed).getrandbits(8 * size).to_bytes(size, "big")[1:]


def base64_of(size: int, seed: int = 1) -> bytes:
    """Base64 of so many characters (a multiple of four)."""
    return base64.b64encode(noise(size // 4 * 3, seed))


def cache() -> Path:
    """The folder that tests/scratch3 keeps its builds in."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "scratch-profiling")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def npm_folder(package: str) -> Path:
    """A folder of the cache with an npm package and what it needs. Their scripts are not run."""
    name = package.strip("@").replace("@", "-").replace("/", "-")
    folder = cache() / name
    with open(cache() / "lock-bundles", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        part = folder.with_name(name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        print(f"bundles: fetching {package} with npm, once", file=sys.stderr)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--no-package-lock"]
        command = ["npm", "install", *options, "--prefix", part, package]
        subprocess.run(command, cwd=part, check=True, stdout=subprocess.DEVNULL)
        part.rename(folder)
    return folder


def scratch_bundle(old: bool) -> Path:
    """The real editor's bundle, of 2020 or the newest."""
    command = [sys.executable, ROOT / "tests" / "scratch3", "--bundle", *(["--old"] if old else [])]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(result.stdout.strip())


def source_map_bundle(folder: str | Path, eval_form: bool) -> Path:
    """webpack's bundle of the 2020 bundle, with a source map of some 29 million characters."""
    devtool = "eval-cheap-source-map" if eval_form else "inline-cheap-source-map"
    folder = Path(folder).resolve()
    command = ["node", "-e", BUILD, scratch_bundle(old=True), folder, devtool]
    subprocess.run(command, cwd=npm_folder(WEBPACK), check=True)
    return folder / "1.bundle.js"


def run_asar(*args: object) -> None:
    """@electron/asar's command line: pack, extract, ..."""
    command = npm_folder(ASAR) / "node_modules" / ".bin" / "asar"
    subprocess.run([command, *map(str, args)], check=True, stdout=subprocess.DEVNULL)


def scratch_app(folder: str | Path) -> Path:
    """app.asar of the 2020 bundle as 1.bundle.js with some files more, one of them unpacked."""
    folder = Path(folder)
    app = folder / "app"
    (app / "static" / "deep").mkdir(parents=True)
    shutil.copyfile(scratch_bundle(old=True), app / "1.bundle.js")
    (app / "package.json").write_text('{"name": "scratch-desktop", "main": "main.js"}\n')
    (app / "main.js").write_text('require("electron");\n')
    (app / "empty.js").write_bytes(b"")
    (app / "static" / "deep" / "style.css").write_bytes(
        b"@font-face{src:url(data:font/woff2;base64,%s)}" % base64.b64encode(b"wOF2" + noise(3002))
    )
    (app / "addon.node").write_bytes(b"\x7fELF\2\1\1" + bytes(9) + base64_of(4000, 2))
    (app / "static" / "Current").symlink_to("deep")
    (app / "static" / "style.css").symlink_to("Current/style.css")
    run_asar("pack", app, folder / "app.asar", "--unpack", "*.node")
    shutil.rmtree(app)
    return folder / "app.asar"


def main() -> None:
    form, folder = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    print(scratch_app(folder) if form == "asar" else source_map_bundle(folder, form == "eval"))


if __name__ == "__main__":
    main()
