"""Muxed files as a browser plays them: the pictures that were shown before, upright, and the sound in its place."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from scripts.comfy_page import chromium
from seeing_core.media.mux import mux
from seeing_core.media.video_file import VideoFile
from tests.test_formats import CLICK_S, click, number_of, remuxed, write

PLAY = """
async ([data, times]) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const video = document.createElement("video");
    const heard = event => new Promise((done, failed) => {
        video.addEventListener(event, done, {once: true});
        video.addEventListener("error", () => failed(video.error.message), {once: true});
    });
    const drawn = time => new Promise(done => {
        const look = (now, {mediaTime}) =>
            Math.abs(mediaTime - time) < 0.03 ? done() : video.requestVideoFrameCallback(look);
        video.requestVideoFrameCallback(look);
        setTimeout(done, 20000);  // a wrong picture is then judged as it stands
    });
    const loaded = heard("loadeddata");
    video.muted = true;
    video.src = URL.createObjectURL(new Blob([bytes], {type: "video/mp4"}));
    await loaded;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    const pictures = [];
    for (const time of times) {
        const there = drawn(time);  // "seeked" comes before the picture can be drawn
        video.currentTime = time;
        await there;
        context.drawImage(video, 0, 0);
        pictures.push(Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data));
    }
    const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes.buffer);
    const samples = sound.getChannelData(0);
    const onset = samples.findIndex(value => Math.abs(value) > 0.25) / sound.sampleRate;
    return {duration: video.duration, size: [canvas.width, canvas.height], pictures, onset, sound: sound.duration};
}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page()


def sources(folder: Path) -> dict[str, tuple[Path, range]]:
    """Files and the numbers of the pictures that they show."""
    base = write(folder / "base.mp4", count=50, options={"g": "50"}, sound="aac")

    def turned(stream):
        stream.set_display_rotation(90)

    return {
        "cut by an edit list": (remuxed(base, folder / "cut.mp4", 0.72), range(19, 51)),
        "clock from 5 s": (write(folder / "late.mkv", shift_s=5.0), range(1, 26)),
        "transport stream": (write(folder / "a.ts"), range(1, 26)),
        "turned": (write(folder / "turned.mp4", prepare=turned, shape=lambda picture: np.rot90(picture, -1)), range(1, 26)),
        "10 bits": (write(folder / "ten.mp4", pix_fmt="yuv420p10le"), range(1, 26)),
        "HEVC": (write(folder / "hevc.mp4", "libx265", options={"x265-params": "log-level=error"}), range(1, 26)),
        "ProRes": (write(folder / "a.mov", "prores_ks", "yuv422p10le", fps=Fraction(25)), range(1, 26)),
    }


KINDS = ("cut by an edit list", "clock from 5 s", "transport stream", "turned", "10 bits", "HEVC", "ProRes")


@pytest.mark.parametrize("kind", KINDS)
def test_plays(page: Page, tmp_path: Path, kind: str) -> None:
    source, shown = sources(tmp_path)[kind]
    video = VideoFile(str(source))
    made = mux(video, click(duration_s=video.duration_s), tmp_path / "muxed.mp4")
    wanted = [0, 7, len(shown) - 1]
    times_s = [(number + 0.5) / 25 for number in wanted]
    played = page.evaluate(PLAY, [base64.b64encode(made.read_bytes()).decode(), times_s])
    width, height = played["size"]
    pictures = [torch.tensor(one).view(height, width, 4)[..., :3].permute(2, 0, 1) / 255 for one in played["pictures"]]
    assert [number_of(picture) for picture in pictures] == [shown[number] for number in wanted]
    assert played["duration"] == pytest.approx(video.duration_s, abs=0.03)
    assert played["onset"] == pytest.approx(CLICK_S, abs=0.005)
