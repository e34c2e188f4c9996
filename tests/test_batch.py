"""python -m seeing_core.batch over folders of good and bad files: all good ones made, killed and resumed to the same bytes."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import av
import psutil
import pytest
import torch
from PIL import Image

from seeing_core.batch.__main__ import main, options_of, states_of
from seeing_core.batch.jobs import in_groups, jobs_of
from seeing_core.batch.work import Maker
from seeing_core.errors import InputError
from seeing_core.media.audio_file import read_sound
from seeing_core.media.mux import mux
from seeing_core.media.types import VideoFrames, Waveform
from seeing_core.media.video_file import VideoFile
from seeing_core.pocket import MODELS_DIR
from tests.made import bursts, jumping_video

ROOT = Path(__file__).resolve().parent.parent
ANIMATEDIFF = MODELS_DIR / "animatediff"
MODELS = {
    "--audioldm": [MODELS_DIR / "audioldm"],
    "--binder": [MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors"],
    "--animatediff": [ANIMATEDIFF / "sd", ANIMATEDIFF / "motion_adapter"],
}
FPS = 10.0
QUICK = ("--preset", "x0")  # guided, without drafts
pytestmark = pytest.mark.xdist_group("batch")  # its undisturbed run is made once


def arguments(task: str, inputs: Path, out: Path, *more: object, steps: int = 2) -> list[str]:
    needs = ["--binder", *(["--audioldm"] if task != "a2v" else []), *(["--animatediff"] if task in ("a2v", "joint") else [])]
    models = [word for name in needs for word in (name, *MODELS[name])]
    return [str(word) for word in (task, "--inputs", inputs, "--out", out, "--steps", steps, *models, *more)]


def video(path: Path, frames: int = 6, *, jumps: Sequence[int] = (2,), sound: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mux(jumping_video(frames, FPS, jumps), bursts([0.2], frames / FPS), path)
    if not sound:
        whole = VideoFile(str(path))
        silent = path.with_name("silent.part")
        with av.open(str(path)) as read, av.open(str(silent), "w", format="mp4") as write:
            stream = read.streams.video[0]
            copy = write.add_stream_from_template(stream)
            for packet in read.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    write.mux(packet)
        assert len(VideoFile(str(silent)).times_s) == len(whole.times_s)
        os.replace(silent, path)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 files: 36 that can be made, of three lengths, and four that cannot."""
    folder = tmp_path_factory.mktemp("batch") / "clips"
    good = video(folder / "good 0.mp4")
    for number in range(1, 28):
        video(folder / f"good {number}.mp4", 5 + number % 3, jumps=[number % 4 + 1])
    video(folder / "still.mp4", jumps=[])
    video(folder / "silent.mp4", sound=False)
    video(folder / "a" / "same.mp4")
    video(folder / "b" / "same.mp4", jumps=[3])
    video(folder / "Zażółć gęślą 日本語.mp4")
    shutil.copy(good, folder / "twin.mp4")
    shutil.copy(good, folder / "twin.m4v")
    shutil.copy(good, folder / "b" / "prompted.mp4")
    (folder / "b" / "prompted.txt").write_text("an orange bell\n ringing", encoding="utf-8")
    (folder / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size * 6 // 10])
    (folder / "stub.mp4").write_bytes(good.read_bytes()[:300])
    (folder / "empty.mp4").touch()
    (folder / "notes.doc").write_text("no video")
    (folder / ".hidden.mp4").write_text("not looked at")
    assert len(jobs_of("v2a", folder)) == 40
    return folder


BROKEN = {"cut.mp4", "stub.mp4", "empty.mp4", "notes.doc"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "seeing_core.batch", *words]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture(scope="module")
def made(clips: Path) -> tuple[int, str, Path]:
    """An undisturbed run, in batches of up to four: its exit code, what it said, and its folder."""
    out = clips.parent / "undisturbed"
    running = start(arguments("v2a", clips, out, *QUICK, "--batch", 4))
    _, words = running.communicate(timeout=400)
    return running.returncode, words, out


def test_all_good_ones_are_made_and_the_others_listed(clips: Path, made: tuple[int, str, Path]) -> None:
    code, words, out = made
    assert code == 1 and "40 inputs: 0 made before" in words
    with (out / "failures.csv").open(newline="", encoding="utf-8") as file:
        failed = {row["input"]: row["reason"] for row in csv.DictReader(file)}
    assert set(failed) == BROKEN and all(f"Not made: {name}: " in words for name in BROKEN)
    assert "breaks off" in failed["cut.mp4"] or "cannot be" in failed["cut.mp4"]
    results = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.mp4"))
    assert len(results) == 36
    assert {"a/same.mp4", "b/same.mp4", "Zażółć gęślą 日本語.mp4", "twin.mp4.mp4", "twin.m4v.mp4", "silent.mp4"} <= set(results)
    assert not list(out.rglob("*.part"))
    for name in ("good 1.mp4", "silent.mp4", "b/prompted.mp4"):
        result, given = VideoFile(str(out / name)), VideoFile(str(clips / name))
        assert torch.equal(torch.stack(list(result.frames([0, 4]))), torch.stack(list(given.frames([0, 4]))))
        sound = read_sound(str(out / name))
        assert sound is not None and sound.samples.abs().max() > 1e-3
        assert abs(sound.duration_s - given.duration_s) < 0.08  # AAC counts in packets of 64 ms


def test_a_result_says_what_it_was_made_from(made: tuple[int, str, Path]) -> None:
    out = made[2]
    beside = json.loads((out / "b" / "prompted.mp4.json").read_text(encoding="utf-8"))
    assert beside["prompt"] == "an orange bell ringing" and beside["of"]["seed"] == 0 and beside["of"]["steps"] == 2
    assert beside["of"]["settings"]["mode"] == "x0" and {"loss", "terms", "step"} <= set(beside["trace"][0])
    assert {"vision", "text"} <= set(beside["trace"][0]["terms"])
    with av.open(str(out / "b" / "prompted.mp4")) as file:
        assert json.loads(file.metadata["comment"]) == beside
    losses = [json.loads((out / name).read_text())["trace"][0]["loss"] for name in ("good 0.mp4.json", "a/same.mp4.json")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)  # the same video: each result has its own trace, not the batch's
    assert json.loads((out / "good 2.mp4.json").read_text())["trace"][0]["loss"] != pytest.approx(losses[0], abs=1e-4)


def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(clips: Path, made: tuple[int, str, Path]) -> None:
    """The command alone is killed, as the system does when memory runs out: its worker must not outlive it."""
    out, chance = clips.parent / "disturbed", random.Random(7)
    seen: list[int] = []
    for _ in range(5):
        running = start(arguments("v2a", clips, out, *QUICK, "--batch", 4))
        limit, wanted = time.monotonic() + 120, len(list(out.rglob("*.mp4.json"))) + 1
        while len(list(out.rglob("*.mp4.json"))) < wanted and running.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(chance.random())
        workers = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        assert workers and not psutil.wait_procs(workers, timeout=20)[1]
        seen.append(len(list(out.rglob("*.mp4.json"))))
        for path in out.rglob("*.mp4"):  # nothing half there under its own name
            assert len(list(VideoFile(str(path)).frames([0, 4]))) == 2 and read_sound(str(path)) is not None
    assert seen == sorted(seen) and 0 < seen[0] < 36
    running = start(arguments("v2a", clips, out, *QUICK, "--batch", 4))
    _, words = running.communicate(timeout=400)
    assert running.returncode == 1 and f"40 inputs: {seen[-1]} made before, 0 made from other files" in words
    assert contents(out) == contents(made[2])


def test_a_second_run_makes_nothing_and_other_settings_are_noticed(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, out = tmp_path / "few", tmp_path / "out"
    few.mkdir()
    for name in ("good 1.mp4", "good 2.mp4"):
        shutil.copy(clips / name, few / name)
    assert main(arguments("v2a", few, out, *QUICK)) == 0
    first = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    assert main(arguments("v2a", few, out, *QUICK)) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")} == first
    assert "2 inputs: 2 made before" in capsys.readouterr().err
    (few / "good 1.txt").write_text("a bell")
    options = options_of(arguments("v2a", few, out, *QUICK))
    assert states_of(jobs_of("v2a", few), options) == {"good 1.mp4": "changed", "good 2.mp4": "made"}
    assert main(arguments("v2a", few, out, *QUICK, "--seed", 1)) == 0
    assert "0 made before, 2 made from other files or with other settings and made again" in capsys.readouterr().err
    assert all(path.stat().st_mtime_ns != first[path] for path in out.rglob("*.mp4"))


def make(words: Sequence[str], inputs: Path, size: int = 1, *, exact: bool = False) -> list[str]:
    """The command's work in this process; the reasons of what failed.  exact: in double precision."""
    options = options_of(words)
    jobs = jobs_of(options.task, inputs)
    work = Maker(options, 0)
    if exact:
        work.audio.double()
        work.binder.double()
    groups = in_groups(jobs, {job.name: 0 if size > 1 else job.name for job in jobs}, size)
    return [failure.reason for group in groups for _, failure in work(group) if failure is not None]


def test_a_batch_equals_its_members_alone(tmp_path: Path) -> None:
    """In double precision: guidance magnifies the rounding of single precision, which differs between sizes of a batch."""
    images = tmp_path / "images"
    images.mkdir()
    for name, colour in (("a", "orange"), ("b", "red"), ("c", "lime"), ("d", "blue")):
        Image.new("RGB", (64, 48), colour).save(images / f"{name}.png")
    (images / "a.txt").write_text("a bell ringing")
    for size in (1, 4):
        words = arguments("i2a", images, tmp_path / str(size), "--duration", 0.6, "--batch", size, steps=4)
        assert make(words, images, size, exact=True) == []
    for name in "abcd":
        alone, together = (read_sound(str(tmp_path / size / f"{name}.wav")) for size in ("1", "4"))
        assert alone is not None and together is not None and alone.samples.abs().max() > 1e-3
        assert (alone.samples - together.samples).abs().max() <= 1e-4
        first, second = (json.loads((tmp_path / size / f"{name}.wav.json").read_text())["trace"] for size in ("1", "4"))
        assert [point["loss"] for point in first] == pytest.approx([point["loss"] for point in second], abs=1e-4)


def test_the_other_tasks_and_candidates(tmp_path: Path) -> None:
    images, sounds, texts = tmp_path / "images", tmp_path / "sounds", tmp_path / "texts"
    for folder in (images, sounds, texts):
        folder.mkdir()
    Image.new("RGB", (64, 48), "orange").save(images / "bell.png")
    mux(VideoFrames(torch.zeros(6, 3, 16, 16), 10.0), bursts([0.2], 0.6), sounds / "horn.mp4")
    (texts / "one.txt").write_text("an orange bell ringing")
    assert make(arguments("i2a", images, tmp_path / "i2a", "--duration", 0.6, "--candidates", 2), images) == []
    best, second = (read_sound(str(tmp_path / "i2a" / name)) for name in ("bell.wav", "bell.2.wav"))
    assert best is not None and second is not None and best.duration_s == second.duration_s == 0.6
    assert not torch.equal(best.samples, second.samples)
    report = json.loads((tmp_path / "i2a" / "bell.wav.json").read_text())
    assert any("candidates, best first" in note for note in report["notes"])
    assert make(arguments("a2v", sounds, tmp_path / "a2v", "--fps", 8), sounds) == []
    assert len(VideoFile(str(tmp_path / "a2v" / "horn.mp4")).times_s) == 5
    assert make(arguments("joint", texts, tmp_path / "joint", "--duration", 0.5), texts) == []
    both = VideoFile(str(tmp_path / "joint" / "one.mp4"))
    assert len(both.times_s) == 4 and read_sound(str(tmp_path / "joint" / "one.mp4")) is not None


def table(path: Path, *rows: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_csv_says_what_each_file_needs(tmp_path: Path) -> None:
    rows = [["file", "prompt", "seed", "strength"], ["deep/a.mp4", "rain, heavy", "7", ""], ["b.mp4", "", "", "0.5"]]
    path = table(tmp_path / "jobs.csv", *rows)
    (tmp_path / "b.txt").write_text("a bell")
    second, first = jobs_of("v2a", path)
    assert (first.prompt, first.seed, first.strength, first.output) == ("rain, heavy", 7, None, "deep/a.mp4")
    assert (second.prompt, second.seed, second.strength) == ("a bell", None, 0.5)
    assert first.path == str(tmp_path / "deep" / "a.mp4")


@pytest.mark.parametrize(
    "rows, words",
    [
        ([["path"], ["a.mp4"]], "received the columns path; expected file and any of prompt"),
        ([["file", "seed"], ["a.mp4", "many"]], "line 2, seed: received 'many'; expected a number"),
        ([["file"], ["../a.mp4"]], "expected a path below"),
        ([["file"], ["a.mp4"], ["a.mp4"]], "received 'a.mp4' twice"),
        ([["file"], ["a.mp4", "too", "many"]], "line 2: received a row that does not fit"),
        ([["file"]], "which is empty"),
    ],
)
def test_a_wrong_csv_is_told(tmp_path: Path, rows: list[list[str]], words: str) -> None:
    with pytest.raises(InputError) as raised:
        jobs_of("v2a", table(tmp_path / "jobs.csv", *rows))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "more, words",
    [
        (["--preset", "best"], "--preset: received 'best'; expected one of balanced"),
        (["--batch", "0"], "--batch: received 0"),
        (["--binder", "/nowhere"], "model: received '/nowhere'"),
        (["--inputs", "/nowhere"], "--inputs: received '/nowhere'"),
    ],
)
def test_wrong_arguments_are_told_before_anything_runs(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    assert main([*arguments("v2a", clips, tmp_path / "out"), *more]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_what_is_grouped_does_not_depend_on_what_was_made(clips: Path) -> None:
    jobs = jobs_of("v2a", clips)
    keys = {job.name: len(job.name) % 2 for job in jobs}
    groups = in_groups(jobs, keys, 3)
    assert sorted(job.name for group in groups for job in group) == sorted(job.name for job in jobs)
    assert all(len(group) <= 3 and len({keys[job.name] for job in group}) == 1 for group in groups)
    assert groups == in_groups(jobs, keys, 3)


def test_a_written_sound_is_what_was_made(tmp_path: Path) -> None:
    from seeing_core.batch.results import write_sound

    waveform = Waveform(torch.linspace(-1, 1, 800).repeat(2, 1), 16000)
    comment = json.dumps({"prompt": "Zażółć", "trace": [0.5] * 500}, ensure_ascii=False)
    write_sound(tmp_path / "a.wav", waveform, comment)
    with av.open(str(tmp_path / "a.wav")) as file:
        assert file.metadata["comment"] == comment
    read = read_sound(str(tmp_path / "a.wav"))
    assert read is not None and read.rate_hz == 16000
    assert (read.samples[0] - waveform.samples[0]).abs().max() <= 1 / 32768 + 1e-6
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
