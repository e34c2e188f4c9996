"""python -m seeing_core.evaluate over folders of good and bad files, interrupted and resumed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from seeing_core.evaluate.__main__ import _jobs, main
from seeing_core.evaluate.measure import Job, Options, Record, Tools, measure_file
from seeing_core.evaluate.report import as_csv, summarise
from seeing_core.media.mux import mux
from seeing_core.media.types import Waveform
from seeing_core.metrics.features import Features
from tests.made import bursts, jumping_video

# Feature extractors of choice, which the command imports by name.


def shaped(sound):
    """Two features and three classes."""
    samples = sound.samples[0]
    return Features(torch.stack([samples.std(), samples.abs().max()])[None], samples[:3] * 0 + torch.arange(3))


def slow(sound):
    time.sleep(0.5)
    return shaped(sound)


def delicate(sound):
    """Fails on silence, and ends its process on a sound longer than 2.5 s."""
    if not sound.samples.abs().max() > 0.01:
        raise ZeroDivisionError("silence")
    if sound.duration_s > 2.5:
        os._exit(3)
    return shaped(sound)


ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.xdist_group("evaluate")  # its good files are measured once
EVENTS_S = (0.6, 1.24, 1.6)
SHAPED = "tests.test_evaluate:shaped"
SILENCE = Waveform(torch.zeros(1, 32000), 16000)


def video(path, *, still=False, silent=False, late_s=0.0):
    """A video of 2 s at 25 fps that jumps and sounds at EVENTS_S."""
    jumps = [] if still else [round(time_s * 25) for time_s in EVENTS_S]
    sound = SILENCE if silent else bursts([time_s + late_s for time_s in EVENTS_S], 2.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    return mux(jumping_video(50, 25.0, jumps), sound, path)


def without_sound(source, path):
    import av

    with av.open(str(source)) as read, av.open(str(path), "w") as write:
        stream = read.streams.video[0]
        copy = write.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                write.mux(packet)


def wave(path, sound):
    import av
    import numpy as np

    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=sound.rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound.samples.numpy() * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = sound.rate_hz
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def run(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "seeing_core.evaluate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """generated: good, still, silent, truncated and other files; reference: good ones. And where the report goes."""
    base = tmp_path_factory.mktemp("evaluate")
    made, real = base / "generated", base / "reference"
    good = video(made / "good.mp4")
    video(made / "deep" / "late.mp4", late_s=0.2)
    video(made / "still.mp4", still=True)
    video(made / "silent.mp4", silent=True)
    video(made / "nothing.mp4", still=True, silent=True)
    without_sound(good, made / "trackless.mp4")
    wave(made / "paired.wav", bursts(EVENTS_S, 2.0))
    wave(made / "alone.wav", bursts(EVENTS_S, 2.0))
    (made / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size * 6 // 10])
    (made / "stub.mp4").write_bytes(good.read_bytes()[:300])
    (made / "empty.mp4").touch()
    (made / "notes.doc").write_text("not a video")
    (made / "notes.txt").write_text("a prompt")
    (made / "picture.PNG").write_text("not looked at")
    (made / ".hidden.mp4").write_text("not looked at")
    video(real / "paired.mp4")
    video(real / "good.mp4")
    return made, real, base / "out" / "report.json"


@pytest.fixture(scope="module")
def report(folders):
    made, real, out = folders
    done = run(
        "--generated", made, "--reference", real, "--out", out, "--workers", 2, "--sound-features", SHAPED, "--flow-side", 64
    )
    assert done.returncode == 0, done.stderr
    return done, json.loads(out.read_text(encoding="utf-8"))


def by_name(report, group="generated"):
    return {file["name"]: file for file in report[1]["files"] if file["group"] == group}


def test_good_files_are_measured(report):
    files = by_name(report)
    assert files["good.mp4"]["scores"]["av_align_one_to_one"] == 1.0
    assert files["good.mp4"]["fps"] == 25.0 and files["good.mp4"]["frames"] == 50 and files["good.mp4"]["duration_s"] == 2
    assert abs(files["good.mp4"]["scores"]["lag_ms"]) <= 50
    assert files["deep/late.mp4"]["scores"]["av_align_one_to_one"] == 0.0
    assert files["deep/late.mp4"]["scores"]["lag_ms"] == pytest.approx(200, abs=50)
    assert files["deep/late.mp4"]["scores"]["lag_abs_ms"] == files["deep/late.mp4"]["scores"]["lag_ms"]


def test_still_and_silent_files_have_defined_scores_or_none(report):
    files = by_name(report)
    assert files["still.mp4"]["scores"]["av_align_one_to_one"] == 0.0
    assert files["silent.mp4"]["scores"]["av_align_one_to_one"] == 0.0
    assert files["nothing.mp4"]["scores"]["av_align_one_to_one"] is None
    assert files["nothing.mp4"]["scores"]["lag_ms"] is None
    assert files["trackless.mp4"]["scores"] == {} and files["trackless.mp4"]["sound"] is None
    assert files["alone.wav"]["scores"] == {} and files["alone.wav"]["picture"] is None


def test_a_sound_is_measured_with_the_picture_of_its_reference(report):
    paired = by_name(report)["paired.wav"]
    assert (paired["picture"], paired["sound"], paired["scores"]["av_align_one_to_one"]) == ("reference", "own", 1.0)


@pytest.mark.parametrize(
    "name, words",
    [
        ("cut.mp4", "breaks off"),
        ("stub.mp4", "without picture and sound"),
        ("empty.mp4", "cannot be read"),
        ("notes.doc", "cannot be read"),
    ],
)
def test_broken_files_are_listed_and_stop_nothing(report, name, words):
    assert words in by_name(report)[name]["error"] and by_name(report)[name]["scores"] == {}
    assert f"Not measured: generated/{name}: " in report[0].stdout
    assert not {".hidden.mp4", "notes.txt", "picture.PNG"} & set(by_name(report))


def test_means_count_defined_values_only(report):
    means = report[1]["means"]["generated"]["av_align_one_to_one"]
    assert (means["count"], means["undefined"]) == (5, 1)  # good, late, still, silent, paired; nothing
    assert means["mean"] == pytest.approx(2 / 5) and means["low"] <= means["mean"] <= means["high"]
    assert report[1]["means"]["reference"]["av_align_one_to_one"]["mean"] == 1.0


def test_distances_and_notes(report):
    distances, notes = report[1]["distances"], "\n".join(report[1]["notes"])
    assert distances[f"Fréchet distance (sound, features '{SHAPED}')"] >= 0
    assert distances["Fréchet distance (picture, features 'look')"] >= 0
    assert distances[f"MKL ({SHAPED}, softmax, 2 pairs)"] == pytest.approx(0, abs=1e-4)
    assert distances[f"ISc ({SHAPED})"] == pytest.approx(1)
    assert "4 files could not be measured" in notes and "1 files were measured with the picture or the sound" in notes
    assert "1 files have neither onsets nor motion" in notes and "2 files have no sound track or no picture" in notes


def test_csv_and_plots(folders, report):
    out = folders[2]
    with out.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file) if row["group"] == "generated"}
    assert rows["good.mp4"]["av_align_one_to_one"] == "1.0" and rows["nothing.mp4"]["av_align_one_to_one"] == ""
    assert "breaks off" in rows["cut.mp4"]["error"] and len(rows) == 12
    beside = out.parent / "report_files"
    plots = {str(path.relative_to(beside)) for path in beside.rglob("*.png")}
    assert len(plots) == 8 and {"generated/deep/late.mp4.png", "reference/good.mp4.png"} <= plots
    assert str(beside) in report[0].stdout


def test_a_second_run_measures_nothing_again(folders, report):
    made, real, out = folders
    kept = {path: path.stat().st_mtime_ns for path in (out.parent / "report_files").rglob("*")}
    again = ["--generated", made, "--reference", real, "--out", out, "--sound-features", SHAPED, "--flow-side", 64]
    assert main([str(word) for word in again]) == 0
    assert {path: path.stat().st_mtime_ns for path in (out.parent / "report_files").rglob("*")} == kept
    second = json.loads(out.read_text(encoding="utf-8"))
    assert second == report[1]


def test_a_changed_file_or_option_is_measured_again(folders, report, tmp_path):
    from seeing_core.evaluate.store import Store

    made, _, out = folders
    store, options = Store(out.parent / "report_files"), Options(SHAPED, "look", 64)
    job = Job("generated", "good.mp4", str(made / "good.mp4"), str(folders[1] / "good.mp4"))
    assert store.load(job, options).scores["av_align_one_to_one"] == 1.0
    assert store.load(job, Options("mel", "look", 64)) is None
    before = os.stat(job.path)
    os.utime(job.path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert store.load(job, options) is None
    os.utime(job.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.load(job, options) is not None


def heed_ctrl_c():
    """Shells start what runs in the background with Ctrl-C ignored, which would be inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_and_resumed(tmp_path):
    made, out = tmp_path / "made", tmp_path / "report.json"
    for index in range(5):
        video(made / f"{index}.mp4")
    command = [
        "--generated",
        made,
        "--out",
        out,
        "--workers",
        1,
        "--flow-side",
        64,
        "--sound-features",
        "tests.test_evaluate:slow",
        "--picture-features",
        "none",
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "seeing_core.evaluate", *map(str, command)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    beside = tmp_path / "report_files"
    limit = time.monotonic() + 120
    while len(list(beside.rglob("*.json"))) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)  # as Ctrl-C does: to the command and its workers
    _, words = running.communicate(timeout=60)
    kept = {path: path.stat().st_mtime_ns for path in beside.rglob("*.json")}
    assert running.returncode == 130 and not out.exists()
    assert 2 <= len(kept) < 5 and f"Interrupted: {len(kept)} of 5 files" in words
    assert "Traceback" not in words

    assert main([str(word) for word in command]) == 0
    assert len(list(beside.rglob("*.json"))) == 5 and not list(beside.rglob("*.part"))
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert len(json.loads(out.read_text(encoding="utf-8"))["files"]) == 5


def test_files_that_end_their_process_or_break_the_extractor_stop_nothing(tmp_path):
    made = tmp_path / "made"
    video(made / "a.mp4")
    video(made / "b.mp4", silent=True)
    wave(made / "c.wav", bursts([1.0], 3.0))
    assert (
        main(
            [
                "--generated",
                str(made),
                "--out",
                str(made / "report.json"),
                "--workers",
                "1",
                "--flow-side",
                "64",
                "--sound-features",
                "tests.test_evaluate:delicate",
                "--picture-features",
                "none",
            ]
        )
        == 0
    )
    files = {file["name"]: file for file in json.loads((made / "report.json").read_text())["files"]}
    assert set(files) == {"a.mp4", "b.mp4", "c.wav"}
    assert files["a.mp4"]["scores"]["av_align_one_to_one"] == 1.0 and files["a.mp4"]["error"] is None
    assert files["b.mp4"]["error"] == "ZeroDivisionError: silence"
    assert "ended unexpectedly" in files["c.wav"]["error"]


@pytest.mark.parametrize(
    "extra, words",
    [
        (["--sound-features", "vgg"], "sound features: received 'vgg'"),
        (["--sound-features", "vggish=/nowhere.pth"], "no such file"),
        (["--binder", "/nowhere.safetensors"], "no such file"),
        (["--reference", "/nowhere"], "folder: received '/nowhere'"),
        (["--prompts", "/nowhere.csv"], "prompts: received '/nowhere.csv'"),
    ],
)
def test_wrong_arguments_are_told_before_anything_runs(tmp_path, capsys, extra, words):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.mp4").touch()
    assert main(["--generated", str(tmp_path / "made"), "--out", str(tmp_path / "r.json"), *extra]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


def test_an_empty_folder_is_named(tmp_path, capsys):
    assert main(["--generated", str(tmp_path), "--out", str(tmp_path / "r.json")]) == 2
    assert "which is empty" in capsys.readouterr().err


def test_binder_and_prompts(tmp_path, imagebind_file):
    path = video(tmp_path / "made" / "a.mp4")
    (tmp_path / "prompts.csv").write_text("a,a ball bouncing\n")
    (job,) = _jobs(tmp_path / "made", None, tmp_path / "r.json", str(tmp_path / "prompts.csv"))
    assert job == Job("generated", "a.mp4", str(path), None, "a ball bouncing")
    record, fit = measure_file(job, Tools.of(Options("none", "none", 64, str(imagebind_file))))
    assert all(-1 <= record.scores[name] <= 1 for name in ("binder_av", "binder_vt", "binder_at"))
    assert record.scores["binder_av"] == fit.binder.av and "sound and prompt" in record.words
    assert record.sound_rows is None and record.picture_rows is None


def test_frame_rates_that_differ_are_noted():
    def record(name, fps):
        return Record(
            "generated",
            name,
            picture="own",
            sound="own",
            fps=fps,
            scores=dict.fromkeys(
                (
                    "av_align_one_to_one",
                    "av_align_paper",
                    "lag_ms",
                    "lag_abs_ms",
                    "lag_correlation",
                    "binder_av",
                    "binder_vt",
                    "binder_at",
                ),
                0.5,
            ),
        )

    report = summarise(Options(), [record("a", 8.0), record("b", 25.0)])
    assert "8 fps (1)" in report.notes[0] and "do not compare between frame rates" in report.notes[0]
    assert not summarise(Options(), [record("a", 8.0), record("b", 8.0)]).notes


def test_names_cannot_break_the_table():
    report = summarise(Options(), [Record("generated", '<b>,"x".mp4', error="a <script> & more")])
    assert next(csv.DictReader(as_csv(report).splitlines()))["name"] == '<b>,"x".mp4'
