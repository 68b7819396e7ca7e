"""memory.py's sum of PSS against a read of everything, of programs that move and stand still.

tests/restless.py's programs stand still while both read, so that nothing depends on timing. They
run at the same time, as what takes time here is standing still.
"""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from full_read import full_read
from restless import CASES, FILE_MIB

from conftest import FORBIDDEN, LIMIT, MIB, ROOT, start, wait_for

RESTLESS = [sys.executable, str(ROOT / "tests" / "restless.py")]
AT_ONCE = 6  # programs
FIRST = 5  # samples of the first plateau, which is only there to be left
STANDS = 25  # samples of each of the others
PLATEAUS = 3
TURNS = 2  # of STANDS samples: what is wrong after 5 s stays so (the first design: 8 s and more)
NEAR = 0.02
OUTSIDER = "outsider"
BENCH_ONLY = ("insider", "crowd900")  # one is the outsider's other half, one takes long to start


class Plateau(NamedTuple):
    """Sums of PSS in bytes."""

    shown: int  # by the last sample
    bound: int  # how uncertain that is, as the recording says
    true: int


class Recording:
    """A CSV that is being written: the last whole sample in it, and how many there are."""

    def __init__(self, path: Path) -> None:
        self.file = path.open(newline="")
        self.rest = ""
        self.samples = self.sum = self.shown = 0
        self.time = 0.0
        self.bounds: dict[float, int] = {}

    def has(self, samples: int) -> bool:
        """Read on; whether there are so many."""
        *lines, self.rest = (self.rest + self.file.read()).split("\n")
        for row in csv.reader(lines):
            if row[0].startswith("# uncertain: "):
                time, size = row[0].split()[2:4]
                self.bounds[float(time)] = int(size)
            elif row[0].startswith("#") or row[1] == "pid":
                continue
            elif row[1] == "0":
                self.samples, self.time = self.samples + 1, float(row[0])
                self.shown, self.sum = self.sum, 0
            else:
                self.sum += int(row[4] or row[3])
        return self.samples >= samples

    @property
    def bound(self) -> int:
        """What the recording says of its last sample."""
        near = [time for time in self.bounds if abs(time - self.time) < 0.05]
        return max((self.bounds[time] for time in near), default=0)


class Program:
    """A program that says when it stands still."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process

    def stands(self, number: int) -> None:
        line = self.process.stdout.readline()
        if line == f"plateau {number}\n":
            return
        reason = self.process.stderr.read()
        if "Invalid argument" in reason or "Cannot allocate memory" in reason:  # no huge page
            pytest.skip(f"{FORBIDDEN}: {reason}")
        pytest.fail(f"plateau {number}: {line}{reason}")

    def move(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(LIMIT)
        finally:
            self.process.terminate()
            self.process.wait(LIMIT)
            self.process.stdout.close()
            self.process.stderr.close()


def watch(case: str, folder: Path) -> list[Plateau]:
    """What memory.py's last sample of each plateau but the first shows, and what is true."""
    path, mapped = folder / f"{case}.csv", folder / f"{case}.mapped"
    mapped.touch()
    os.truncate(mapped, FILE_MIB * MIB)
    options, pipe = ["--plateaus", "--file", str(mapped)], subprocess.PIPE
    programs = []
    with contextlib.ExitStack() as stack:
        if case == OUTSIDER:
            pipes = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True}
            programs.append(Program(subprocess.Popen([*RESTLESS, case, *options], **pipes)))
            stack.callback(programs[0].end)
        command = [*RESTLESS, "insider" if case == OUTSIDER else case, *options]
        memory = start("--quiet", "--interval", "0.1", "--csv", path, *command, stdin=pipe)
        programs.append(Program(memory))
        stack.callback(programs[-1].end)
        return list(plateaus(programs, memory.pid, path))


def plateaus(programs: list[Program], pid: int, path: Path) -> Iterator[Plateau]:
    """Let the programs move from plateau to plateau, and read each when it has stood a while."""
    for program in programs:
        program.stands(1)
    recording = Recording(path)
    with recording.file:
        wait_for(lambda: recording.has(FIRST), "first samples")
        for number in range(2, PLATEAUS + 1):
            for program in programs:
                program.move()
                program.stands(number)
            for _ in range(TURNS):
                recording.has(0)
                samples = recording.samples + STANDS
                wait_for(lambda samples=samples: recording.has(samples), "samples")
                true = full_read(pid, itself=False)
                assert true.still, "the program does not stand still"
                found = Plateau(recording.shown, recording.bound, true.pss)
                if holds(found):
                    break
            yield found


def holds(plateau: Plateau) -> bool:
    """Whether what is shown is true, or the recording says by how much it may not be."""
    wrong = abs(plateau.shown - plateau.true)
    return wrong <= max(NEAR * plateau.true, plateau.bound)


@pytest.fixture(scope="module")
def watched(request, tmp_path_factory) -> Iterator[dict[str, Future]]:
    """Each case that is asked for, while it runs, in turn, some at a time."""
    folder = tmp_path_factory.mktemp("truth")
    items = [item for item in request.session.items if item.module is request.module]
    cases = [item.callspec.params["case"] for item in items]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(watch, case, folder) for case in cases}


@pytest.mark.parametrize("case", [case for case in CASES if case not in BENCH_ONLY])
def test_sum_of_pss(case, watched):
    found = watched[case].result()
    assert len(found) == PLATEAUS - 1
    for plateau in found:
        sizes = ", ".join(f"{name} {size / MIB:.1f}" for name, size in plateau._asdict().items())
        assert holds(plateau), f"MiB: {sizes}"
