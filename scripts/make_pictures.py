"""Makes the README's pictures and the workflows' thumbnails from real runs on the pocket models.

    .venv/bin/python -m scripts.make_pictures
    .venv/bin/python -m scripts.make_pictures --node SeeingHearing_Describe ...   only these nodes, alone

web/docs/graph.png: the video to audio workflow after a run, in ComfyUI's page.  workflows/<name>.jpg: each task's result.
web/docs/pictures/<node>.png: each node, those that make something with what they made, for the help pages.
web/docs/results.png: ten clips with the sound that was made for them, above each the clip's own sound.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import torch
from PIL import Image, ImageDraw
from playwright.sync_api import Page
from torch import Tensor

from scripts.comfy_page import comfy_page, load_graph
from scripts.comfy_server import ROOT, ComfyServer
from scripts.demo import SHOWN, TASKS, run, sample_picture, sample_sound, sample_video
from seeing_core.guidance.settings import AUDIO_PRESETS
from seeing_core.media.audio_file import read_sound
from seeing_core.media.types import VideoFrames
from seeing_core.pocket import MODELS_DIR
from seeing_core.tasks import RunConfig, video_to_audio
from seeing_core.visuals.images import stacked
from seeing_core.visuals.preview import PAPER, WIDTH, frame_strip, sound_picture
from seeing_core.weights import load_audioldm, load_imagebind
from tests.pocket.judges import judge_sound_kind
from tests.pocket.world import TEST_SEEDS, make_clip

PICTURES = ROOT / "web" / "docs"
RESULTS = 10
FIT_VIEW = """() => { window.app.canvas.ds.scale = 0.58; window.app.canvas.ds.offset = [125, 440];
  window.app.graph.setDirtyCanvas(true, true) }"""
ALONE = """([name, number]) => { window.app.graph.clear(); const node = LiteGraph.createNode(name); node.pos = [120, 120];
  node.id = number // the page remembers widget values by id
  window.app.graph.add(node); window.app.canvas.ds.scale = 1; window.app.canvas.ds.offset = [0, 0];
  window.app.graph.setDirtyCanvas(true, true); return node.id }"""
BESIDE_ITS_TASK = """(id) => { const node = window.app.graph.getNodeById(id); window.app.canvas.ds.scale = 1;
  window.app.canvas.ds.offset = [150 - node.pos[0], 120 - node.pos[1]]; window.app.graph.setDirtyCanvas(true, true) }"""
LIKE = {  # workflows for ComfyUI's own models, which are not here to make a picture
    "pocket_align_model": ["stable_audio_video_to_audio"],
    "pocket_audio_to_video": ["wan_audio_to_video"],
    "pocket_video_and_audio_together": ["ltx2_video_and_audio"],
}
POCKET_BAND = "shown: what the pocket demo models make"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--node", nargs="+", default=[])
    chosen = options.parse_args().node
    PICTURES.mkdir(parents=True, exist_ok=True)
    if chosen:
        with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
            with comfy_page(server, width=1700, height=1600) as page:
                node_pictures(page, server, chosen)
        return
    results_sheet().save(PICTURES / "results.png", optimize=True)
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        for task in SHOWN.values():
            picture = thumbnail(asyncio.run(run(server, task, None, 0)), server)
            picture.save(ROOT / "workflows" / f"{task.workflow}.jpg", quality=85)
            for real in (task.workflow.removeprefix("pocket_"), *LIKE.get(task.workflow, ())):
                labelled(picture, POCKET_BAND).save(ROOT / "workflows" / f"{real}.jpg", quality=85)
        for sample in (sample_video, sample_picture, sample_sound):
            sample(server.base / "input")
        with comfy_page(server, width=1700, height=1600) as page:
            node_pictures(page, server)
            for task in TASKS.values():
                task_picture(page, task.workflow)
        with comfy_page(server, width=1700, height=860) as page:
            open_workflow(page, "pocket_video_to_audio")
            run_it(page)
            page.evaluate(FIT_VIEW)
            page.wait_for_timeout(2000)
            page.screenshot(path=PICTURES / "graph.png")


def node_pictures(page: Page, server: ComfyServer, chosen: Sequence[str] = ()) -> None:
    """Each node of the pack, or each chosen one, alone."""
    for index, name in enumerate(sorted(server.get("/object_info"))):
        if name in chosen or (not chosen and name.startswith("SeeingHearing_")):
            number = page.evaluate(ALONE, [name, 1000 + index])
            page.wait_for_timeout(500)
            shoot(page, number, name)


def task_picture(page: Page, workflow: str) -> None:
    """The task's node with its result, over the picture of it alone."""
    open_workflow(page, workflow)
    [(number, name)] = page.evaluate("""() => window.app.graph.nodes.filter((node) => node.widgets?.some(
      (widget) => widget.name === 'player')).map((node) => [node.id, node.type])""")
    page.evaluate(BESIDE_ITS_TASK, number)  # Chromium gives a player controls for the part of it that is seen when it appears
    run_it(page)
    shoot(page, number, name)


def open_workflow(page: Page, workflow: str) -> None:
    load_graph(page, json.loads((ROOT / "workflows" / f"{workflow}.json").read_text(encoding="utf-8")))


def run_it(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.wait_for_function(
        "() => window.app.nodeOutputs && (window.app.nodeOutputs['6'] || window.app.nodeOutputs['5'])", timeout=600_000
    )
    page.wait_for_timeout(2000)


def shoot(page: Page, number: str, name: str) -> None:
    (PICTURES / "pictures").mkdir(exist_ok=True)
    raw = page.locator(f'[data-node-id="{number}"]').screenshot()
    Image.open(io.BytesIO(raw)).convert("RGB").quantize(128).save(PICTURES / "pictures" / f"{name}.png", optimize=True)


def thumbnail(path: Path, server: ComfyServer) -> Image.Image:
    """A strip of the result's frames, or the picture it was made for, and the picture of its sound."""
    frames, samples = read(path)
    if frames is not None:
        return stacked([frame_strip(frames), sound_picture(samples)])
    frame = Image.open(server.base / "input" / "picture.png").convert("RGB").resize((128, 128))
    row = Image.new("RGB", (WIDTH, 128), PAPER)
    row.paste(frame, ((WIDTH - 128) // 2, 0))
    return stacked([row, sound_picture(samples)])


def read(path: Path) -> tuple[Tensor | None, Tensor]:
    """Frames (n, 3, H, W), 0..1, or None, and samples (n,) of a file."""
    with av.open(str(path)) as file:
        pictures = (
            [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)] if file.streams.video else []
        )
    frames = torch.stack(pictures).permute(0, 3, 1, 2).float() / 255 if pictures else None
    return frames, read_sound(str(path)).samples.mean(0)


def results_sheet() -> Image.Image:
    """Ten fresh clips, ambiguous captions, the default settings of Video to Audio."""
    model = load_audioldm(MODELS_DIR / "audioldm")
    binder = load_imagebind(MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors")
    cells = []
    for seed in range(TEST_SEEDS, TEST_SEEDS + RESULTS):
        clip = make_clip(seed)
        result = video_to_audio(
            model,
            binder,
            VideoFrames(clip.frames, clip.fps),
            RunConfig([seed], 30, AUDIO_PRESETS["balanced"]),
            prompt=clip.ambiguous_caption,
        )
        made = result.waveforms[0].samples[0]
        label = f"{clip.kind}: judged as {judge_sound_kind(made)[0]}"
        cells.append(
            labelled(stacked([frame_strip(clip.frames), sound_picture(clip.samples), sound_picture(made)], "white"), label)
        )
    rows = [beside(cells[start : start + 5]) for start in range(0, RESULTS, 5)]
    sheet = stacked(rows, "white")
    return sheet.resize((sheet.width // 2, sheet.height // 2))


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
    return stacked([band, picture], "white")


if __name__ == "__main__":
    main()
