"""Heap snapshots, core files and programs that hold a literal in a known place, for the tests.

Recipes, run by hand (the first two want Chromium or Node.js, `page` websocket-client too):

    python3 tests/snapshots.py page FILE                 # the newest editor in Chromium
    python3 tests/snapshots.py page FILE --old           # the editor of 2020
    python3 tests/snapshots.py page FILE --html PAGE     # any page
    python3 tests/snapshots.py node FILE BUNDLE          # Node.js with the bundle's literals
    python3 tests/snapshots.py gcore FILE PID            # a core of a running process
    python3 tests/snapshots.py core FILE BUNDLE          # the kernel's core of such a Node.js
    python3 tests/snapshots.py hold KIND BUNDLE OFFSET LENGTH   # one of the programs, see HOLDERS
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import mmap
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--remote-debugging-port=0",
    "--allow-file-access-from-files",
    "--no-first-run",
    "--password-store=basic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
DEVTOOLS_RE = re.compile(r"DevTools listening on (ws://\S+)")
LIMIT = 120  # seconds that nothing here takes, not even on a loaded machine
# What the editor shows last: the sprite's blocks in the palette, on a page that has loaded
SHOWN = """document.readyState === "complete"
    && document.querySelectorAll("canvas").length > 0
    && document.querySelectorAll(".blocklyDraggable").length > 20"""
LOADED = 'document.readyState === "complete"'

# The bundle is loaded as it is, by require(). Its entry, which needs a browser, is not run: the
# first call of a webpack module is where its table of modules is taken. Then each module with a
# long base64 run is run, as the page does, and what it exports is kept. What a module does before
# it fails (some want a DOM) counts: by then V8 has parsed its literals and keeps them.
NODE = r"""
const [bundle, file] = process.argv.slice(1);
const call = Function.prototype.call;
let webpack;
globalThis.window = globalThis;
Function.prototype.call = function (...args) {
    if (args.length === 4 && args[3] && args[3].m) {
        webpack = args[3];
        Function.prototype.call = call;
        return undefined;
    }
    return Reflect.apply(this, args[0], args.slice(1));
};
require(bundle);
globalThis.kept = [];
let failed = 0;
for (const [id, module] of Object.entries(webpack.m)) {
    if (/[A-Za-z0-9+\/]{256}/.test(module)) {
        let exported;
        try { exported = webpack(id); } catch (error) { failed++; }
        kept.push(module, exported);
    }
}
try { webpack(-1); } catch (error) { error.stack; }  // V8 then knows where its lines end: a
// snapshot tells the line of each function, which takes ten times as long without
"".match(/x/);  // the last match would hold on to its module's text
for (let i = 0; i < 3; i++) gc();
if (file) require("v8").writeHeapSnapshot(file);
console.log(JSON.stringify({pid: process.pid, modules: kept.length / 2, failed}));
process.stdin.on("end", () => process.exit(0)).resume();
"""


class Unavailable(Exception):
    """What is missing on this machine, in one line."""


class Forbidden(Unavailable):
    """What this machine does not allow, whatever is installed."""


def wait_for(condition: Callable[[], object], what: str) -> object:
    """The first true value of condition()."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {LIMIT} s")


class DevTools:
    """A connection to one target."""

    def __init__(self, url: str) -> None:
        try:
            import websocket
        except ImportError:
            raise Unavailable("websocket-client is missing: pip install websocket-client") from None
        self.socket = websocket.create_connection(
            url, timeout=LIMIT, suppress_origin=True, skip_utf8_validation=True
        )
        self.number = 0

    def __enter__(self) -> DevTools:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def call(self, method: str, event: Callable[[dict], object] | None = None, **params) -> dict:
        """The result of a command; what arrives before it goes to event()."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if event:
                event(message)

    def value(self, expression: str) -> object:
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")


def page_of(devtools_url: str, timeout: float = LIMIT) -> str:
    """The DevTools URL of the browser's page. The spare renderer has no target in this list."""
    server = devtools_url.replace("ws://", "http://").partition("/devtools/")[0]

    def pages() -> list[str]:
        with urllib.request.urlopen(f"{server}/json/list", timeout=timeout) as answer:
            found = json.load(answer)
        return [
            one["webSocketDebuggerUrl"]
            for one in found
            if one["type"] == "page" and one["url"].startswith("file:")
        ]

    return wait_for(pages, "a page in DevTools' list")[0]


def process_of(devtools_url: str, kind: str) -> int:
    """The process id of the browser, the gpu process (GPU), or the page's renderer.

    Of the renderers, a spare one among them, the page's is the one with the most memory.
    """
    with DevTools(devtools_url) as devtools:
        processes = devtools.call("SystemInfo.getProcessInfo")["processInfo"]
    return max((one["id"] for one in processes if one["type"] == kind), key=rss)


def rss(pid: int) -> int:
    """Bytes; exact, where statm is kept in counters per CPU."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss: +(\d+)", text, re.M)[1]) * 1024


def wait_loaded(devtools_url: str, condition: str = LOADED) -> None:
    """Until the page shows what it should, and its process's memory rests for two seconds."""
    with DevTools(page_of(devtools_url)) as devtools:
        wait_for(lambda: devtools.value(condition), "the page")
    pid, last = process_of(devtools_url, "renderer"), [0.0, 0.0]

    def rests() -> bool:
        now, size = time.monotonic(), rss(pid)
        if abs(size - last[1]) > 2**18:
            last[:] = now, size
        return now - last[0] > 2

    wait_for(rests, "the page at rest")


def heap_of_page(devtools_url: str, file: str | Path) -> Path:
    """A heap snapshot of the browser's page, as DevTools takes it, written as it arrives.

    Debugger.enable makes no difference: the value of sourceMappingURL is in the heap without it.
    """
    with DevTools(page_of(devtools_url)) as devtools, open(file, "w", encoding="utf-8") as out:

        def write(message: dict) -> None:
            if message["method"] == "HeapProfiler.addHeapSnapshotChunk":
                out.write(message["params"]["chunk"])

        devtools.call("HeapProfiler.enable")
        devtools.call("HeapProfiler.takeHeapSnapshot", write, reportProgress=False)
    return Path(file)


def devtools_url_of(lines: Iterator[str]) -> str:
    for line in lines:
        found = DEVTOOLS_RE.search(line)
        if found:
            return found[1]
    raise Unavailable("Chromium has ended without a DevTools URL")


@contextlib.contextmanager
def editor(old: bool) -> Iterator[str]:
    """The running editor's DevTools URL, once it is loaded and at rest."""
    command = [sys.executable, ROOT / "tests" / "scratch3", "--chromium", *["--old"] * old]
    if subprocess.run([*command, "--bundle"], stdout=subprocess.DEVNULL).returncode:  # fetches it
        raise Unavailable("the editor cannot be fetched, see above")
    scratch = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        url = devtools_url_of(scratch.stdout)
        wait_loaded(url, SHOWN)
        yield url
    finally:
        scratch.terminate()
        scratch.wait(LIMIT)
        scratch.stdout.close()


@contextlib.contextmanager
def page(html: str | Path) -> Iterator[str]:
    """The DevTools URL of a Chromium that shows a page, once it is loaded and at rest."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not chromium:
        raise Unavailable("Chromium is missing: apt install chromium")
    profile = tempfile.mkdtemp(prefix="snapshots-")
    command = [chromium, f"--user-data-dir={profile}", *FLAGS]
    if os.geteuid() == 0:
        command.append("--no-sandbox")
    log = Path(profile, "log")  # not a pipe: one that nobody reads could fill
    with open(log, "w") as errors:
        browser = subprocess.Popen(
            [*command, Path(html).resolve().as_uri()],
            stdout=errors,
            stderr=errors,
            env={**os.environ, "BREAKPAD_DUMP_LOCATION": profile},
        )
    try:
        url = wait_for(lambda: DEVTOOLS_RE.search(log.read_text()), "Chromium")[1]
        wait_loaded(url)
        yield url
    finally:
        browser.terminate()
        browser.wait(LIMIT)
        shutil.rmtree(profile, ignore_errors=True)


def start_node(*args: object) -> subprocess.Popen:
    """Node.js with the bundle's literals; it has said that it is ready, and waits for stdin."""
    if not shutil.which("node"):
        raise Unavailable("Node.js is missing: apt install nodejs")
    process = subprocess.Popen(
        ["node", "--expose-gc", "--no-memory-reducer", "-e", NODE, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    if not line:
        end(process)
        raise RuntimeError("Node.js has failed, see above")
    process.told = json.loads(line)
    return process


def end(process: subprocess.Popen) -> None:
    """End of stdin is what all the programs here wait for."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@contextlib.contextmanager
def node_with_bundle(bundle: str | Path) -> Iterator[subprocess.Popen]:
    """A Node.js that has loaded the bundle and run each module with a literal, at rest.

    See NODE: the bundle's text is whole and as it is, its entry is not run.
    """
    process = start_node(Path(bundle).resolve())
    try:
        yield process
    finally:
        end(process)


def heap_of_node(bundle: str | Path, file: str | Path) -> Path:
    """The heap snapshot of such a Node.js, by v8.writeHeapSnapshot() in it."""
    end(start_node(Path(bundle).resolve(), Path(file).resolve()))
    return Path(file)


def core_by_gcore(pid: int, file: str | Path) -> Path:
    """gcore's core. It leaves out what coredump_filter does not name, as the kernel does."""
    if not shutil.which("gcore"):
        raise Unavailable("gcore is missing: apt install gdb")
    prefix = Path(file).resolve()
    result = subprocess.run(
        ["gcore", "-o", prefix, str(pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    core = prefix.with_name(f"{prefix.name}.{pid}")
    if not core.exists():
        raise Unavailable(f"gcore has written no core: {' '.join(result.stdout.split())[-200:]}")
    return core.rename(file)


@contextlib.contextmanager
def core_pattern(folder: Path) -> Iterator[None]:
    """Cores go into the folder of the process, or for the time into this one."""
    path = Path("/proc/sys/kernel/core_pattern")
    pattern = path.read_text()
    if "/" not in pattern and "|" not in pattern:
        yield
        return
    try:
        path.write_text(f"{folder}/core.%p")
    except OSError as error:
        raise Forbidden(f"cores go to {pattern.strip()}, and only root can change it") from error
    try:
        yield
    finally:
        path.write_text(pattern)


def core_by_kernel(process: subprocess.Popen, file: str | Path) -> Path:
    """The core that the kernel writes at SIGABRT, which ends the process."""
    file, pid = Path(file).resolve(), process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_CORE)
    if hard == 0:
        raise Forbidden("cores of the kernel's: ulimit -Hc is 0")
    resource.prlimit(pid, resource.RLIMIT_CORE, (hard, hard))
    folders = [Path(os.readlink(f"/proc/{pid}/cwd")), file.parent]
    before = {path for folder in folders for path in folder.glob("*core*")}
    with core_pattern(file.parent):
        process.send_signal(signal.SIGABRT)
        process.wait(LIMIT)
    after = {path for folder in folders for path in folder.glob("*core*")}
    if not after - before:
        raise Forbidden("the kernel has written no core")
    (core,) = after - before
    return Path(shutil.move(core, file))


class Literal:
    """Where a literal is in a file."""

    def __init__(self, path: str | Path, offset: int, length: int) -> None:
        self.path, self.offset, self.length = Path(path), offset, length


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
PAGE = mmap.PAGESIZE
FAILED = ctypes.c_void_p(-1).value


def check(result: int) -> int:
    if result in (-1, FAILED):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def map_memory(size: int, flags: int, file: int = -1, write: bool = True) -> int:
    """The address. Not Python's mmap: this one can be cut, and no object of it is elsewhere."""
    access = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
    return check(LIBC.mmap(None, size, access, flags, file, 0))


def at(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def read_into(address: int, literal: Literal) -> None:
    """The literal at this address, and nowhere else: no Python object holds it on its way."""
    with open(literal.path, "rb", buffering=0) as file:
        os.preadv(file.fileno(), [at(address, literal.length)], literal.offset)


def room(literal: Literal, width: int = 1) -> int:
    """Pages for a literal that starts 100 bytes into the first, and one page more."""
    return (width * literal.length + 100) // PAGE * PAGE + 2 * PAGE


def hold_file(literal: Literal) -> list[int]:
    """The whole file mapped, read-only and private, every page of it touched."""
    size = literal.path.stat().st_size
    with open(literal.path, "rb") as file:
        start = map_memory(size, mmap.MAP_PRIVATE, file.fileno(), write=False)
    sum(at(start, size)[::PAGE])
    return [start + literal.offset]


def hold_written(literal: Literal) -> list[int]:
    """The same, writable, with every page of the literal written to: no longer the file's."""
    size = literal.path.stat().st_size
    with open(literal.path, "rb") as file:
        start = map_memory(size, mmap.MAP_PRIVATE, file.fileno())
    read_into(start + literal.offset, literal)
    return [start + literal.offset]


def hold_anonymous(literal: Literal) -> list[int]:
    start = map_memory(room(literal), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    read_into(start + 100, literal)
    return [start + 100]


def hold_shared(literal: Literal) -> list[int]:
    """Shared anonymous memory; the kernel calls it /dev/zero (deleted)."""
    start = map_memory(room(literal), mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    read_into(start + 100, literal)
    return [start + 100]


def hold_shared_file(literal: Literal, file: int) -> list[int]:
    os.ftruncate(file, room(literal))
    start = map_memory(room(literal), mmap.MAP_SHARED, file)
    os.close(file)
    read_into(start + 100, literal)
    return [start + 100]


def hold_dev_shm(literal: Literal) -> list[int]:
    """A file in /dev/shm that has no name any more when the program is ready."""
    file, path = tempfile.mkstemp(dir="/dev/shm")
    os.unlink(path)
    return hold_shared_file(literal, file)


def hold_memfd(literal: Literal) -> list[int]:
    return hold_shared_file(literal, os.memfd_create("literal"))


def hold_across(literal: Literal) -> list[int]:
    """Over the border of two mappings: the first half of its pages is read-only."""
    (address,) = hold_anonymous(literal)
    start = address - 100
    check(LIBC.mprotect(start, room(literal) // 2 // PAGE * PAGE, mmap.PROT_READ))
    return [address]


def hold_two_bytes(literal: Literal) -> list[int]:
    """As UTF-16; the one-byte copy it was made of is unmapped."""
    (source,) = hold_anonymous(literal)
    start = map_memory(room(literal, 2), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    size = 2 * literal.length
    at(start + 100, size)[::2] = at(source, literal.length)
    check(LIBC.munmap(source - 100, room(literal)))
    return [start + 100]


def hold_cut(literal: Literal) -> list[int]:
    """The last pages are gone."""
    (address,) = hold_anonymous(literal)
    start = address - 100
    check(LIBC.munmap(start + room(literal) - 2 * PAGE, 2 * PAGE))
    return [address]


def hold_overwritten(literal: Literal) -> list[int]:
    """The last pages are zeros."""
    (address,) = hold_anonymous(literal)
    ctypes.memset(address - 100 + room(literal) - 2 * PAGE, 0, 2 * PAGE)
    return [address]


def hold_undumpable(literal: Literal) -> list[int]:
    addresses = hold_anonymous(literal)
    check(LIBC.prctl(4, 0, 0, 0, 0))  # PR_SET_DUMPABLE
    return addresses


def hold_churn(literal: Literal) -> list[int]:
    """Children that live for some milliseconds, each with a copy of its own, four at a time."""
    addresses = hold_anonymous(literal)
    parent = os.getpid()
    for _ in range(4):
        if os.fork() == 0:
            while os.getppid() == parent:
                child = os.fork()
                if child == 0:
                    hold_anonymous(literal)
                    time.sleep(0.001 * (os.getpid() % 16))
                    os._exit(0)
                os.waitpid(child, 0)
            os._exit(0)
    return addresses


HOLDERS = {
    name[len("hold_") :]: function
    for name, function in list(globals().items())
    if name.startswith("hold_") and name != "hold_shared_file"
}


@contextlib.contextmanager
def holder(kind: str, literal: Literal, **options: object) -> Iterator[subprocess.Popen]:
    """A program that holds a literal in one way, in its `told`: pid, addresses, width."""
    command = [sys.executable, __file__, "hold", kind, literal.path, literal.offset, literal.length]
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        process.told = json.loads(process.stdout.readline())
        yield process
    finally:
        end(process)


def hold(kind: str, literal: Literal) -> None:
    addresses = HOLDERS[kind](literal)
    width = 2 if kind == "two_bytes" else 1
    print(json.dumps({"pid": os.getpid(), "addresses": addresses, "width": width}), flush=True)
    sys.stdin.read()


def take_page(file: Path, old: bool, html: Path | None) -> Path:
    with page(html) if html else editor(old) as url:
        return heap_of_page(url, file)


def take_core(file: Path, bundle: Path) -> Path:
    process = start_node(bundle.resolve())
    try:
        return core_by_kernel(process, file)
    finally:
        end(process)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    recipes = parser.add_subparsers(dest="recipe", required=True)
    for recipe in ("page", "node", "gcore", "core"):
        add = recipes.add_parser(recipe).add_argument
        add("file", type=Path)
        if recipe == "page":
            add("--old", action="store_true")
            add("--html", type=Path)
        elif recipe == "gcore":
            add("pid", type=int)
        else:
            add("bundle", type=Path)
    add = recipes.add_parser("hold").add_argument
    add("kind", choices=HOLDERS)
    add("bundle", type=Path)
    add("offset", type=int)
    add("length", type=int)
    return parser.parse_args()


def main() -> int:
    args = parse()
    try:
        if args.recipe == "page":
            print(take_page(args.file, args.old, args.html))
        elif args.recipe == "node":
            print(heap_of_node(args.bundle, args.file))
        elif args.recipe == "gcore":
            print(core_by_gcore(args.pid, args.file))
        elif args.recipe == "core":
            print(take_core(args.file, args.bundle))
        else:
            hold(args.kind, Literal(args.bundle, args.offset, args.length))
    except Unavailable as problem:
        print(f"snapshots: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
