"""Makes the README's pictures and the workflows' thumbnails from real runs on the pocket models.

    .venv/bin/python -m scripts.make_pictures

web/docs/graph.png: the video to audio workflow after a run, in ComfyUI's page.  workflows/<name>.jpg: each task's result.
web/docs/results.png: ten clips with the sound that was made for them, above each the clip's own sound.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import av
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from scripts.comfy_page import comfy_page, load_graph
from scripts.comfy_server import ROOT, ComfyServer
from scripts.demo import TASKS, run, sample_video
from seeing_core.media import Clip
from seeing_core.pictures import frame_strip, sound_picture
from seeing_core.pocket import MODELS_DIR
from seeing_core.pocket.judges import judge_sound_kind
from seeing_core.pocket.world import TEST_SEEDS, make_clip
from seeing_core.settings import SOUND_PRESETS
from seeing_core.sound_file import read_sound
from seeing_core.tasks import Run, video_to_audio
from seeing_core.weights import load_audioldm, load_imagebind

PICTURES = ROOT / "web" / "docs"
RESULTS = 10
FIT_VIEW = """() => { window.app.canvas.ds.scale = 0.58; window.app.canvas.ds.offset = [125, 350];
  window.app.graph.setDirtyCanvas(true, true) }"""


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    results_sheet().save(PICTURES / "results.png", optimize=True)
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        for task in TASKS.values():
            picture = thumbnail(asyncio.run(run(server, task, None, 0)))
            for name in (task.workflow, task.workflow.removeprefix("pocket_")):
                picture.save(ROOT / "workflows" / f"{name}.jpg", quality=85)
        sample_video(server.base / "input")
        with comfy_page(server, width=1700, height=800) as page:
            graph = ROOT / "workflows" / "pocket_video_to_audio.json"
            load_graph(page, json.loads(graph.read_text(encoding="utf-8")))
            page.evaluate(FIT_VIEW)
            page.get_by_role("button", name="Run").first.click()
            page.wait_for_function("() => window.app.nodeOutputs && window.app.nodeOutputs['6']", timeout=180_000)
            page.wait_for_timeout(4000)
            page.screenshot(path=PICTURES / "graph.png")


def thumbnail(path: Path) -> Image.Image:
    """A strip of the result's frames and the picture of its sound, as far as it has them."""
    frames, samples = read(path)
    rows = ([frame_strip(frames)] if frames is not None else []) + [sound_picture(samples)]
    return stacked(rows)


def read(path: Path) -> tuple[Tensor | None, Tensor]:
    """Frames (n, 3, H, W), 0..1, or None, and samples (n,) of a file."""
    with av.open(str(path)) as file:
        pictures = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)
                    ] if file.streams.video else []
    frames = torch.stack(pictures).permute(0, 3, 1, 2).float() / 255 if pictures else None
    return frames, read_sound(str(path)).samples.mean(0)


def results_sheet() -> Image.Image:
    """Ten fresh clips, ambiguous captions, the default settings of Video to Audio."""
    model = load_audioldm(MODELS_DIR / "audioldm")
    binder = load_imagebind(MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors")
    cells = []
    for seed in range(TEST_SEEDS, TEST_SEEDS + RESULTS):
        clip = make_clip(seed)
        result = video_to_audio(model, binder, Clip(clip.frames, clip.fps), Run([seed], 30, SOUND_PRESETS["balanced"]),
                                prompt=clip.ambiguous_caption)
        made = result.sounds[0].samples[0]
        label = f"{clip.kind}: judged as {judge_sound_kind(made)[0]}"
        cells.append(labelled(stacked([frame_strip(clip.frames), sound_picture(clip.samples), sound_picture(made)]), label))
    rows = [beside(cells[start : start + 5]) for start in range(0, RESULTS, 5)]
    sheet = stacked(rows)
    return sheet.resize((sheet.width // 2, sheet.height // 2))


def stacked(pictures: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


def beside(pictures: list[Image.Image], gap: int = 12) -> Image.Image:
    whole = Image.new("RGB", (sum(p.width + gap for p in pictures), max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width + gap
    return whole


def labelled(picture: Image.Image, text: str) -> Image.Image:
    band = Image.new("RGB", (picture.width, 40), "white")
    ImageDraw.Draw(band).text((6, 8), text, fill="black", font_size=24)
    return stacked([band, picture])


if __name__ == "__main__":
    main()
