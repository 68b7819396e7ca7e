"""memory.py: recordings, what is computed from them, and pictures of them. No processes."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import resource
import tracemalloc
from pathlib import Path

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import memory
from conftest import run

MIB = 2**20
HEAD = """\
# command: demo
# start: 2026-11-22T12:00:00Z
# interval: 1
# system: Linux
# version: memory.py 1.0
time,pid,process,rss,pss,uss,swap,anon,file,shmem,age
"""
FOOT = """\
# system after: 20
# samples due: 5
# own cpu seconds: 0.250
# own peak rss: 1000
# exit status: 7
# duration: 4.000
"""
BODY = """\
0.000,10,"a",100,80,60,0,70,10,0,0
0.000,0,"system",50,,,,,,,0
1.000,10,"a b",300,200,100,5,150,40,10,0
1.000,11,"c # ""d"", e",100,50,20,0,50,0,0,0
1.000,0,"system",400,,,,,,,0
2.000,10,"a b",200,100,100,0,80,20,0,1.26
2.000,0,"system",-30,,,,,,,0
3.000,10,"a b",200,100,100,0,80,20,0,0.4
3.000,11,"c",90,40,20,0,40,0,0,0
3.000,0,"system",100,,,,,,,0
"""


SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture
def recording(tmp_path):
    def write(text: str, name: str = "run.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def as_json(path, capsys) -> dict:
    assert memory.main(["--in", str(path), "--quiet", "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def used(pid: int, name: str, pss: int, rss: int, at_peak: int) -> dict:
    sizes = {"peak_pss": pss, "peak_rss": rss, "pss_at_peak": at_peak, "peak_part": pss}
    return {"pid": pid, "process": name, **sizes}


def test_json_of_a_known_recording(recording, capsys):
    found = as_json(recording(HEAD + BODY + FOOT), capsys)
    assert found == {
        "command": "demo",
        "exit_status": 7,
        "duration": 4.0,
        "interval": 1.0,
        "samples": 4,
        "processes": 2,
        "unreadable": 0,
        "uncertain": None,
        "made_of": None,
        # each value holds until the next sample, the last one until the end
        "pss": {
            "peak": 250,
            "peak_time": 1.0,
            "mean": round((80 + 250 + 100 + 140) / 4),
            "end": 140,
        },
        "uss": {"peak": 120, "peak_time": 1.0, "mean": 100, "end": 120},
        "rss": {
            "peak": 400,
            "peak_time": 1.0,
            "mean": round((100 + 400 + 200 + 290) / 4),
            "end": 290,
        },
        "swap": {"peak": 5, "peak_time": 1.0, "mean": 1, "end": 0},
        "system": {"peak": 400, "peak_time": 1.0, "mean": 130, "end": 100},
        "pss_peak_split": {"anon": 200, "file": 40, "shmem": 10},
        "by_process": [
            used(10, "a b", 200, 300, 200),
            used(11, 'c # "d", e', 50, 100, 50),
            used(11, "c", 40, 90, 0),  # absent for a sample and back: another process
        ],
        "kernel_peak_rss": None,
        "own": {"cpu_seconds": 0.25, "peak_rss": 1000},
    }


def test_mean_is_weighted_by_time(recording, capsys):
    rows = (
        '0.000,1,"a",100,100,,,,,,0\n0.000,0,"system",0,,,,,,,0\n'
        '1.000,1,"a",100,300,,,,,,0\n1.000,0,"system",0,,,,,,,0\n'
        '9.000,1,"a",100,100,,,,,,0\n9.000,0,"system",0,,,,,,,0\n'
    )
    found = as_json(recording(HEAD + rows + "# duration: 10\n"), capsys)
    assert found["pss"]["mean"] == (100 * 1 + 300 * 8 + 100 * 1) / 10


def test_rss_stands_in_for_what_could_not_be_read(recording, capsys):
    rows = (
        '0.000,1,"mine",100,60,50,1,40,20,0,0\n0.000,2,"yours",1000,,,,,,,\n'
        '0.000,0,"system",0,,,,,,,0\n'
    )
    foot = "# unreadable: Permission denied (1 process)\n" + FOOT
    path = recording(HEAD + rows + foot)
    found = as_json(path, capsys)
    assert found["unreadable"] == 1
    assert found["pss"]["peak"] == 1060 and found["uss"]["peak"] == 1050
    assert found["swap"]["peak"] == 1
    assert found["pss_peak_split"] == {"anon": 40, "file": 20, "shmem": 0}
    assert [use["pss_at_peak"] for use in found["by_process"]] == [1000, 60]
    assert [use["peak_pss"] for use in found["by_process"]] == [None, 60]
    assert memory.main(["--in", str(path)]) == 0
    text = capsys.readouterr().out
    assert "PSS of 1 process could not be read (Permission denied" in text
    assert "upper bounds" in text and "not readable" in text and "<=" in text


def test_without_pss_on_the_system_rss_stands_in(recording, capsys):
    rows = '0.000,1,"a",100,,70,,,,,\n0.000,0,"system",0,,,,,,,0\n'
    path = recording(HEAD + rows + "# unreadable: psutil has no PSS here (1 process)\n" + FOOT)
    found = as_json(path, capsys)
    assert found["swap"] is None and found["pss_peak_split"] is None
    assert found["uss"]["peak"] == 70 and found["pss"]["peak"] == found["rss"]["peak"] == 100
    assert found["by_process"][0]["peak_pss"] is None
    assert memory.main(["--in", str(path), "--out", "g.svg"]) == 0
    text = capsys.readouterr().out
    assert "! PSS of 1 process could not be read (psutil has no PSS here" in text
    assert re.search(r"^PSS +<=0\.0 MiB", text, re.M)
    assert "could not be read" in Path("g.svg").read_text()


def uncertain(times: dict[str, str]) -> str:
    """BODY with comments of uncertainty before the samples of these times."""
    text = BODY
    for time, said in times.items():
        place = text.index(f"{time},10")
        text = f"{text[:place]}# uncertain: {said}\n{text[place:]}"
    return text


def test_what_is_uncertain_is_said(recording, capsys):
    """From its sample to the next; the most of it, and for how long."""
    body = uncertain({"0.000": "0.000 1000000", "1.000": "1.000 2097152", "3.000": "3.000 5"})
    path = recording(HEAD + body + FOOT)
    found = as_json(path, capsys)
    assert found["uncertain"] == {"peak": 2 * MIB, "seconds": 3.0}
    assert found["pss"]["peak"] == 250
    assert memory.main(["--in", str(path), "--out", "g.svg"]) == 0
    text = capsys.readouterr().out.replace("\n  ", " ")
    said = "! for 3.0 s memory changed too fast to be read: PSS may be off by up to 2.0 MiB\n"
    assert said in text
    assert "for 3.0 s memory changed" in Path("g.svg").read_text()


def test_uncertainty_of_a_killed_run_stands_in_its_recording(recording, capsys):
    body = uncertain({"3.000": "3.000 7000"})
    assert as_json(recording(HEAD + body), capsys)["uncertain"] == {"peak": 7000, "seconds": 0.0}
    broken = uncertain({"1.000": "1.000 many", "2.000": "", "3.000": "3.000 -5"})
    assert as_json(recording(HEAD + broken + FOOT), capsys)["uncertain"] is None


def test_the_end_is_from_before_the_exits(recording, capsys):
    """Of the last two seconds the last sample with the most processes."""
    rows = ""
    for now, pids in (("0.0", 6), ("5.0", 5), ("6.8", 4), ("7.0", 3), ("7.2", 1)):
        for pid in range(1, pids + 1):
            size = 100 * pids + pid
            rows += f'{now},{pid},"a",{size},{size},{size},0,{size},0,0,0\n'
        rows += f'{now},0,"system",{now[0]},,,,,,,0\n'
    found = as_json(recording(HEAD + rows + "# duration: 7.3\n"), capsys)
    assert found["pss"]["end"] == 401 + 402 + 403 + 404 and found["system"]["end"] == 6
    # asked for when one of two had just ended by itself: what lived then
    place = rows.index("7.2,1,")
    rows = f"{rows[:place]}# ending: 7.1\n{rows[place:]}"
    found = as_json(recording(HEAD + rows + "# duration: 7.3\n"), capsys)
    assert found["pss"]["end"] == 301 + 302 + 303


BETWEEN = "# kernel peak rss: 209715200\n# between samples: {} 104857600 10 python3 a b\n"


def test_what_lived_between_two_samples_is_said(recording, capsys):
    path = recording(HEAD + BODY + BETWEEN.format(200 * MIB) + FOOT)
    assert as_json(path, capsys)["kernel_peak_rss"] == 200 * MIB
    assert memory.main(["--in", str(path)]) == 0
    text = capsys.readouterr().out.replace("\n  ", " ")
    assert "! python3 a b (10), or a descendant, had 200.0 MiB RSS between two samples" in text
    assert "saw 100.0 MiB at most: --interval 0.2 may see it" in text
    short = HEAD.replace("# interval: 1\n", "# interval: 0.002\n")
    path = recording(short + BODY + BETWEEN.format(200 * MIB) + FOOT)
    assert memory.main(["--in", str(path)]) == 0
    assert "--interval 0.001 may see it" in capsys.readouterr().out.replace("\n  ", " ")
    path = recording(HEAD + BODY + BETWEEN.format(109 * MIB) + FOOT)  # no more than a tenth
    assert memory.main(["--in", str(path)]) == 0
    assert "between" not in capsys.readouterr().out


def test_too_short_to_be_sampled(recording, capsys):
    path = recording(HEAD + "# kernel peak rss: 209715200\n" + FOOT)
    assert memory.main(["--in", str(path)]) == 0
    said = (
        "! too short to be sampled, or without memory of its own; its largest RSS by the kernel's"
    )
    assert f"{said}\n  account: 200.0 MiB\n" in capsys.readouterr().out


def test_control_characters_of_a_recording_are_escaped(recording, capsys):
    body = BODY.replace('"a b"', '"a\x1b[2J\u202e b"')
    head = HEAD.replace("demo", "de\x1b]0;x\x07mo")
    foot = FOOT + BETWEEN.format(200 * MIB).replace("python3", "py\x1b[1m")
    path = recording(head + body + foot, "run\x1b[7m.csv")
    assert memory.main(["--in", str(path), str(path)]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "a\\x1b[2J\\u202e b" in text and "de\\x1b]0;x\\x07mo" in text
    assert "run\\x1b[7m.csv" in text and "py\\x1b[1m" in text


def test_own_cost_that_is_negative_is_none(recording, capsys):
    path = recording(HEAD + BODY + FOOT.replace("0.250", "-1"))
    assert as_json(path, capsys)["own"]["cpu_seconds"] is None
    assert memory.main(["--in", str(path)]) == 0
    assert "%" not in capsys.readouterr().out


def test_only_regular_files_are_read(capsys):
    os.mkfifo("fifo")
    for path in ("/dev/zero", "fifo", "."):
        assert memory.main(["--in", path]) == 2
        said = f"memory.py: {path}: must be a regular file\n"
        assert capsys.readouterr().err == said


def test_a_file_that_cannot_be_read_is_named(capsys):
    """/proc/PID/mem is a regular file of which the first page gives EIO, as a failing disk does."""
    assert memory.main(["--in", "/proc/self/mem"]) == 2
    assert capsys.readouterr().err == "memory.py: /proc/self/mem: Input/output error\n"


def test_a_full_disk_leaves_the_graph_that_was_there(recording):
    """A limit on the size of files stands for it: the same error at the same place."""
    path = recording(HEAD + BODY + FOOT)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    for name, option in (("g.png", "--out"), ("s.json", "--json")):
        assert run("--quiet", "--in", path, option, name).returncode == 0
        before = Path(name).read_bytes()
        result = run("--quiet", "--in", path, option, name, preexec_fn=limit)
        assert result.returncode == 125
        assert result.stderr == f"memory.py: {name}: {os.strerror(errno.EFBIG)}\n"
        assert Path(name).read_bytes() == before
    assert sorted(os.listdir(".")) == ["g.png", "run.csv", "s.json"]  # no part is left


def test_a_link_to_a_graph_stays_one(recording):
    os.mkdir("pictures")
    os.symlink("pictures/g.svg", "g.svg")
    assert memory.main(["--in", str(recording(HEAD + BODY + FOOT)), "--out", "g.svg"]) == 0
    assert os.path.islink("g.svg") and Path("pictures/g.svg").read_text().startswith("<?xml")


def test_the_files_written_are_named_last(recording, capsys):
    path = recording(HEAD + BODY + FOOT)
    assert memory.main(["--in", str(path), "--json", "s.json", "--out", "g.svg"]) == 0
    assert capsys.readouterr().out.endswith("\nwritten: s.json, g.svg\n")
    assert memory.main(["--in", str(path), "--json", "-"]) == 0
    assert "written" not in capsys.readouterr().err


def test_a_run_in_which_nothing_lived(recording, capsys):
    path = recording(HEAD + FOOT)
    found = as_json(path, capsys)
    assert found["samples"] == found["processes"] == 0
    assert found["pss"] is found["rss"] is found["system"] is None
    assert found["by_process"] == []
    assert memory.main(["--in", str(path), "--out", "g.png"]) == 0
    said = "! too short to be sampled, or without memory of its own\n"
    assert said in capsys.readouterr().out
    assert memory.main(["--in", str(path), str(path), "--out", "g.png"]) == 0


def test_pandas_reads_the_recording(recording):
    path = recording(HEAD + BODY + FOOT)
    frame = pandas.read_csv(path, comment="#")
    assert ",".join(frame.columns) + "\n" == memory.HEADER
    assert len(frame) == 10 and frame.rss.sum() == 50 + 400 - 30 + 100 + 990
    assert frame.process[3] == 'c # "d", e'


whole = (HEAD + BODY + FOOT).encode()


@SETTINGS
@given(st.integers(0, len(whole)))
def test_cut_off_anywhere_it_still_reads(tmp_path_factory, end):
    path = tmp_path_factory.mktemp("cut") / "cut.csv"
    path.write_bytes(whole[:end])
    run = memory.Run(str(path))
    rows = whole[:end].count(b'"system"') and whole[:end].decode().count(",,,,,,,0\n")
    assert run.samples == rows
    if end < len(whole):
        assert "cut" in run.meta
        assert "not whole" in memory.summary(run)
        assert "too short" not in memory.summary(run)


@SETTINGS
@given(st.integers(0, len(whole) - 1), st.binary(max_size=20), st.integers(0, 30))
def test_damaged_anywhere_it_is_read_or_refused(tmp_path_factory, place, junk, gone):
    path = tmp_path_factory.mktemp("damaged") / "damaged.csv"
    path.write_bytes(whole[:place] + junk + whole[place + gone :])
    try:
        run = memory.Run(str(path))
    except memory.Problem as problem:
        assert "not a recording" in str(problem)
        assert place <= whole.index(b"\n0.000")
    else:
        json.dumps(memory.run_to_dict(run), allow_nan=False)
        memory.summary(run)


def test_what_comes_after_the_last_whole_sample_is_ignored(recording, capsys):
    path = recording(HEAD + BODY + '4.000,10,"a b",9000,9000,1,0,1,1,1,0\n4.000,11,"c",80')
    assert memory.main(["--in", str(path)]) == 0
    text = capsys.readouterr().out
    assert "! the recording is not whole (row 12 is cut off or damaged)" in text
    assert memory.Run(str(path)).metrics["pss"]["peak"] == 250


@pytest.mark.parametrize("text", ["", "# command: de", HEAD, HEAD[:-1]])
def test_a_head_that_is_cut_off_is_said(recording, text):
    assert memory.Run(str(recording(text))).meta["cut"] == "it has no end"


def test_line_ends_and_byte_order_mark_of_windows(recording, capsys):
    plain = as_json(recording(HEAD + BODY + FOOT), capsys)
    text = "\ufeff" + (HEAD + BODY + FOOT).replace("\n", "\r\n")
    assert as_json(recording(text, "windows.csv"), capsys) == plain


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "\0\0\0\0\n", "hello\n", "hello", b"\x89PNG\r\n\x1a\n12", "x" * 200_000]
)
def test_no_recording(recording, capsys, text):
    path = recording(text, "other.csv")
    assert memory.main(["--in", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"memory.py: {path}: not a recording of memory.py (made with --csv)\n"


def test_missing_recording(capsys):
    assert memory.main(["--in", "nowhere.csv"]) == 2
    assert capsys.readouterr().err == "memory.py: nowhere.csv: No such file or directory\n"


SUMMARY = """\
demo
4.0 s, 2 processes at most, exit status 7

                  peak            at          mean           end
PSS          250.0 MiB         1.0 s     142.5 MiB     140.0 MiB
USS          120.0 MiB         1.0 s     100.0 MiB     120.0 MiB
RSS          400.0 MiB         1.0 s     247.5 MiB     290.0 MiB
swap           5.0 MiB         1.0 s       1.2 MiB       0.0 MiB
system       400.0 MiB         1.0 s     130.0 MiB     100.0 MiB
system: change of the whole machine's memory in use since just before the start
freed after exit: 80.0 MiB
PSS at its peak: 200.0 MiB anonymous + 40.0 MiB file-backed + 10.0 MiB shared
PSS ▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃███████████████▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅ 0 to 250.0 MiB

   PSS at peak      peak PSS      peak RSS      pid  process
     200.0 MiB     200.0 MiB     300.0 MiB       10  a b
      50.0 MiB      50.0 MiB     100.0 MiB       11  c # "d", e
       0.0 MiB      40.0 MiB      90.0 MiB       11  c

memory.py itself: 4 samples of 5 due, 6.2 % of a CPU, 10.0 MiB RSS; values at most 1.3 s old
"""


def in_mib(text: str) -> str:
    """A recording with all its sizes taken as MiB instead of bytes."""
    sizes = re.compile(r"(?<=,)(-?\d+)(?=,)|(?<=after: )\d+|(?<=rss: )\d+")
    lines = [re.match(r'([^"#]*,"(?:[^"]|"")*")?(.*\n)', line) for line in text.splitlines(True)]
    return "".join(
        (line[1] or "") + sizes.sub(lambda size: str(int(size[0]) * MIB), line[2]) for line in lines
    )


def test_summary_of_a_known_recording(recording, capsys):
    path = recording(HEAD + in_mib(BODY + FOOT.replace("1000", "10")))
    assert memory.main(["--in", str(path)]) == 0
    assert capsys.readouterr().out == SUMMARY


def write_long(path, samples: int, processes: int, peak_at: int) -> None:
    """A recording of 10 samples a second with one peak of PSS of 7777 bytes."""
    with open(path, "w") as file:
        file.write(HEAD)
        for n in range(samples):
            for pid in range(1, processes + 1):
                pss = 7777 if (n == peak_at and pid == 1) else 1000 + (n * pid) % 100
                file.write(f'{n / 10:.3f},{pid},"p{pid}",{pss + 100},{pss},{pss},0,{pss},0,0,0\n')
            file.write(f'{n / 10:.3f},0,"system",{n},,,,,,,0\n')
        file.write(f"# duration: {samples / 10}\n")


@pytest.mark.parametrize("seed", range(5))
def test_thinning_keeps_peaks_and_bounds(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(memory, "MAX_POINTS", 100)
    peak_at = random.Random(seed).randrange(3000)
    write_long(tmp_path / "long.csv", 3000, 4, peak_at)
    run = memory.Run(str(tmp_path / "long.csv"))
    assert run.metrics["pss"]["peak_time"] == peak_at / 10
    assert len(run.points) == 101  # and the end
    top = max(run.points, key=lambda point: point.totals["pss"])
    assert top.memories[(1, 0.0)].pss == 7777 and top.time == peak_at / 10
    assert top.totals["pss"] == run.metrics["pss"]["peak"]
    gaps = [b.time - a.time for a, b in zip(run.points, run.points[1:])]
    assert min(gaps) > 0 and max(gaps) <= 6  # spread evenly
    assert max(point.totals["system"] for point in run.points) == 2999


def test_process_names():
    name = memory.process_name
    assert name(["/usr/lib/chromium/chromium", "--type=renderer", "--x"], "chromium") == (
        "chromium renderer"
    )
    # Chromium rewrites its arguments as one
    assert name(["/opt/app --type=gpu-process --lang=de"], "app") == "app gpu-process"
    utility = "--type=utility --utility-sub-type=network.mojom.NetworkService"
    assert name(["/opt/app", *utility.split()], "app") == "app utility network"
    assert name(["/usr/bin/python3", "-u", "x.py"], "python3") == "python3 x.py"
    assert name(["python3", "-c", "import os", "x"], "python3") == "python3"
    assert name(["java", "-Xmx1g", "-jar", "/opt/a.jar"], "java") == "java a.jar"
    assert name(["postgres: writer"], "postgres") == "postgres"
    assert name(["python3.11", "/home/me/tree.py", "--private"], "python3.11") == (
        "python3.11 tree.py"
    )
    assert name(["python3", "-m", "http.server"], "python3") == "python3 http.server"
    assert name(["python3", "tree.py"], "daemon 1") == "python3 tree.py (daemon 1)"
    assert name(["npm pack left-pad"], "npm pack left-p") == "npm"
    assert name(["node", "x.js"], "MainThread") == "node x.js"
    assert name([], "kthread") == "kthread" and name([""], "odd") == "odd"
    assert name(["-bash"], "bash") == "-bash"


def test_control_characters_are_escaped():
    assert memory.printable("a\nb\x1b[2J\u202ec\udcff é") == "a\\nb\\x1b[2J\\u202ec\\udcff é"


ROLLUP = b"""\
558fdc422000-7ffe47265000 ---p 00000000 00:00 0                          [rollup]
Rss:                1636 kB
Pss:                 368 kB
Pss_Anon:            116 kB
Pss_File:            252 kB
Pss_Shmem:             0 kB
Private_Clean:        44 kB
Private_Dirty:       116 kB
SwapPss:               3 kB
"""


def test_parse_rollup():
    kib = [1636, 368, 160, 3, 116, 252, 0]
    assert memory.memory_of(memory.parse_sizes(ROLLUP)) == tuple(1024 * n for n in kib)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".PNG"])
def test_formats(recording, ending):
    assert memory.main(["--in", str(recording(HEAD + BODY + FOOT)), "--out", "g" + ending]) == 0
    with open("g" + ending, "rb") as file:
        start = file.read(100)
    magic = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending.lower()]
    assert start.startswith(magic)


def texts(figure: Figure) -> str:
    """All the text of a figure."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [axes.get_xlabel(), axes.get_ylabel()]
        found += [axes.get_title(loc="left"), axes.get_title(loc="right")]
        legend = axes.get_legend()
        found += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join(found)


def test_graph_says_what_it_shows(recording):
    figure = Figure()
    memory.draw_run(figure, memory.Run(str(recording(HEAD + in_mib(BODY + FOOT)))))
    text = texts(figure)
    for word in ("demo", "MiB", "seconds since the start", "RSS,", "PSS,", "USS,", "system,"):
        assert word in text
    assert "swap" in text and "peak 250.0 MiB at 1.0 s" in text and "a b (10)" in text
    assert -35 <= figure.axes[0].get_ylim()[0] <= -30  # the system's change
    assert figure.axes[1].get_ylim()[0] == 0


def test_missing_values_are_not_0(recording, capsys):
    """USS and swap are not known from 10 s on: RSS stands in, and swap's mean is that of 10 s."""
    rows = (
        '0.000,1,"a",200,150,100,50,100,50,0,0\n0.000,0,"system",0,,,,,,,0\n'
        '10.000,1,"a",300,,,,,,,\n10.000,0,"system",0,,,,,,,0\n'
    )
    found = as_json(recording(HEAD + rows + "# duration: 20\n"), capsys)
    assert found["uss"] == {"peak": 300, "peak_time": 10.0, "mean": 200, "end": 300}
    assert found["swap"]["mean"] == 50


@pytest.mark.parametrize(
    "line",
    [
        '0.500,1,"a",,1,1,1,1,1,1,0\n',
        f'0.500,1,"a",{"9" * 400},1,1,1,1,1,1,0\n',
        '0.500,1,"a",9000,8000,1,1,1,1,1,inf\n0.500,0,"system",1,,,,,,,0\n',
        '0.500,1,"a",-5,1,1,1,1,1,1,0\n',
        '0.500,0,"system",99999999999999999999,,,,,,,0\n',
        'nan,0,"system",1,,,,,,,0\n',
        "# exit status: nan\n# own peak rss: inf\n# duration: 1e999\n",
    ],
)
def test_absurd_values(recording, capsys, line):
    """A row of them ends the recording there."""
    path = recording(HEAD + BODY[: BODY.index("1.000")] + line + BODY[BODY.index("1.000") :])
    assert memory.main(["--in", str(path), "--json", "s.json", "--out", "g.png"]) == 0
    assert "Traceback" not in capsys.readouterr().err
    assert json.loads(Path("s.json").read_text())["samples"] == (4 if line[0] == "#" else 1)


def test_a_run_of_very_many_processes(recording, monkeypatch):
    """Of 20,000 short-lived ones the small are only counted: memory is bounded."""
    monkeypatch.setattr(memory, "MAX_USES", 500)
    rows = []
    for n in range(2000):
        for pid in range(10 * n + 1, 10 * n + 11):
            size = 5000 if pid == 555 else 1000 + pid % 7
            pss = "" if pid == 77 else size
            rows.append(f'{n}.000,{pid},"cc1",{size},{pss},{pss},0,{pss},0,0,0\n')
        rows.append(f'{n}.000,0,"system",0,,,,,,,0\n')
    path = recording(HEAD + "".join(rows) + "# duration: 2000\n")
    tracemalloc.start()
    run = memory.Run(str(path))
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()
    uses = run.figures["by_process"]
    assert len(uses) <= 510 and uses[0]["pid"] == 555
    assert run.figures["unreadable"] == 1  # though it is forgotten
    assert sum(use["pss_at_peak"] for use in uses) == run.metrics["pss"]["peak"]
    assert "19988 more processes" in memory.summary(run)
    figure = Figure()
    memory.draw_run(figure, run)
    assert "19993 other processes" in texts(figure)


def test_the_notes_of_a_graph_are_above_its_panels(recording):
    """However many lines they take, of the four that are shown."""
    kernel = "# between samples: 900000000 1000 12 " + "a long name " * 40 + "\n"
    run = memory.Run(str(recording(HEAD + kernel + "# hidden: others\n" + BODY + FOOT)))
    figure = Figure(figsize=(12, 10), dpi=100)
    memory.draw_run(figure, run)
    FigureCanvasAgg(figure).draw()
    notes, heading = figure.texts[1], figure.axes[0].get_title(loc="left")
    (title,) = figure.axes[0].findobj(lambda it: isinstance(it, Text) and it.get_text() == heading)
    assert notes.get_text().count("\n") == 3
    assert notes.get_window_extent().y0 > title.get_window_extent().y1


def test_graph_of_nothing_but_zeros(recording):
    zeros = '0.1,5,"x",0,0,0,0,0,0,0,0\n0.1,0,"system",0,,,,,,,0\n'
    assert memory.main(["--in", str(recording(HEAD + zeros + FOOT)), "--out", "g.png"]) == 0


def test_matplotlib_is_not_heard_and_its_settings_are_not_the_users(recording):
    """No TeX is there; the folder of its caches cannot be made."""
    env = {**os.environ, "MPLCONFIGDIR": "/proc/none"}
    Path("matplotlibrc").write_text("text.usetex: True\n")  # read from the current folder
    result = run("--in", recording(HEAD + BODY + FOOT), "--quiet", "--out", "g.png", env=env)
    assert (result.returncode, result.stderr) == (0, "")


def test_graph_with_strange_names(recording):
    body = BODY.replace('"a b"', '"$x_1$ \\u202e 日本 $"').replace('"c"', '"_hidden"')
    path = recording(HEAD.replace("demo", "$\\frac{1}{2} $x # ☃") + body + FOOT)
    assert memory.main(["--in", str(path), "--out", "g.png"]) == 0


def test_comparison(recording, capsys):
    before = recording(HEAD + BODY + FOOT, "before.csv")
    after = recording(HEAD + BODY.replace("200,", "150,") + FOOT, "after.csv")
    args = ["--in", str(before), str(after), "--json", "both.json", "--out", "g.png"]
    assert memory.main(args) == 0
    text = capsys.readouterr().out
    assert text.count("demo\n") == 2 and "before.csv" in text and "after.csv" in text
    with open("both.json") as file:
        assert [run["pss"]["peak"] for run in json.load(file)] == [250, 200]
    figure = Figure()
    memory.draw_comparison(figure, memory.Run(str(before)), memory.Run(str(after)))
    assert "before.csv" in texts(figure) and "after.csv" in texts(figure)
    assert texts(figure).count("peak") == texts(figure).count("end") == 2
