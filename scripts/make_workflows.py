"""Makes the shared workflows from workflows/api/<name>.json, which are written by hand for the real weights:

- the same files, with the defaults of inputs that a node has got since,
- workflows/api/pocket_<name>.json, the same on the built-in pocket models, where the pack's own models make the output,
- workflows/<name>.json for the editor, laid out and written by ComfyUI's own page.

Run it after a change to a node's inputs:  bash scripts/setup.sh --browser && .venv/bin/python -m scripts.make_workflows
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.comfy_page import comfy_page
from scripts.comfy_server import ROOT, ComfyServer
from tests.pocket.world_kinds import KINDS, precise_captions

FOLDER = ROOT / "workflows"
POCKET = "pocket (built in)"
WIDGETS = ("INT", "FLOAT", "STRING", "COMBO", "BOOLEAN")
GAP, TOP, PAD = 40, 80, 20


@dataclass(frozen=True)
class Layout:
    """columns: group title, width, and node id -> its least height, from left to right.

    steps: what the note says to do.  models: what it says of ComfyUI's own models that are needed; empty: the pack's are.
    """

    title: str
    steps: str
    columns: tuple[tuple[str, int, dict[str, int]], ...]
    models: str = ""


MODELS = {"2": 60, "3": 60}
BELOW_WIDGETS = 70  # Nodes 2.0 adds the name of the pack and a row for advanced inputs
RESULT_ROOM = {
    "SeeingHearing_VideoToAudio": 280,
    "SeeingHearing_ImageToAudio": 280,
    "SeeingHearing_AudioToVideo": 440,
    "SeeingHearing_VideoAndAudio": 480,
    "SeeingHearing_PlotAlignment": 260,
    "SeeingHearing_AlignmentReport": 260,
    "SeeingHearing_AlignModel": 300,
}  # player, and the picture of what formed
DECIDES = """

Who decides: the **prompt** says what {made}, the {given} says when. Left empty, the prompt is completed with what ImageBind \
finds in the {given}."""
REPORT = ("How the guidance went", 360, {"13": 0})
LAYOUTS = {
    "video_to_audio": Layout(
        "Sound for a silent clip",
        """1. **Load Video**: choose your clip.
2. Write the **prompt**, or leave it empty, and press **Run**. Another **seed** gives another sound."""
        + DECIDES.format(made="is heard", given="video"),
        (
            ("1  Your clip", 300, {"1": 400}),
            ("2  The models", 320, MODELS),
            ("3  Its sound", 400, {"4": 0}),
            ("4  The video with its sound", 340, {"5": 150, "6": 460}),
            ("How the guidance went", 360, {"7": 0}),
        ),
    ),
    "image_to_audio": Layout(
        "Sound for an image",
        """1. **Load Image**: choose your image.
2. Set the **duration** of the sound in seconds, write the **prompt** or leave it empty, and press **Run**.

Who decides: the **prompt** says what is heard. Left empty, it is completed with what ImageBind finds in the image.""",
        (
            ("1  Your image", 300, {"1": 330}),
            ("2  The models", 320, MODELS),
            ("3  Its sound", 400, {"4": 0}),
            ("4  Listen", 320, {"5": 140}),
            ("How the guidance went", 360, {"7": 0}),
        ),
    ),
    "audio_to_video": Layout(
        "A video for a sound",
        """1. **Load Audio**: choose your sound. The video will be just as long.
2. Write the **prompt**, or leave it empty, and press **Run**. Another **seed** gives another video."""
        + DECIDES.format(made="is seen", given="sound"),
        (
            ("1  Your sound", 320, {"1": 160}),
            ("2  The models", 320, MODELS),
            ("3  Its frames", 400, {"4": 0}),
            ("4  The video with your sound", 340, {"5": 170, "6": 460}),
            ("How the guidance went", 360, {"7": 0}),
        ),
    ),
    "video_and_audio_together": Layout(
        "A video with its sound, from words",
        """1. Write the **prompt**: what should be seen and heard.
2. Set the **duration** in seconds and press **Run**. Another **seed** gives another video.

Who decides: the **prompt** says what; video and sound then agree on when. Left empty, a phrase is drawn, one for each seed.""",
        (
            ("1  The models", 320, {"1": 60, "2": 60, "3": 60}),
            ("2  Video and sound", 400, {"4": 0}),
            ("3  Together", 340, {"5": 170, "6": 460}),
            ("How the guidance went", 360, {"7": 0}),
        ),
    ),
    "align_model": Layout(
        "Sound for a clip, with ComfyUI's own sampler",
        """1. **Load Video**: choose your clip. Write what is heard into the first **CLIP Text Encode**.
2. Press **Run**. Every sampler and scheduler works; **Align Model** guides whatever model goes through it.

Who decides: the prompt says what is heard, the video in **Align Target** says when.""",
        (
            ("1  Your clip", 300, {"1": 400, "4": 0}),
            ("2  The models", 320, MODELS),
            ("3  What is heard, and for how long", 340, {"5": 120, "6": 120, "7": 0}),
            ("4  Guided sampling", 360, {"8": 0, "9": 0}),
            ("5  The video with its sound", 340, {"10": 60, "11": 150, "12": 460}),
            REPORT,
        ),
    ),
    "stable_audio_video_to_audio": Layout(
        "Sound for a clip, by Stable Audio: 44.1 kHz, stereo",
        """1. **Load Video**: choose your clip. Write what is heard into the first **CLIP Text Encode**.
2. Press **Run**. If memory runs out, set **guide every** to 2.

Who decides: the prompt says what is heard, the video in **Align Target** says when.""",
        (
            ("1  Your clip", 300, {"1": 400, "4": 0}),
            ("2  The models", 320, {"2": 60, "14": 60, "3": 60}),
            ("3  What is heard, and for how long", 340, {"5": 120, "6": 120, "7": 0, "15": 60}),
            ("4  Guided sampling", 360, {"8": 0, "9": 0}),
            ("5  The video with its sound", 340, {"10": 60, "11": 150, "12": 460}),
            REPORT,
        ),
        "The files are those of ComfyUI's own Stable Audio template: *stable-audio-open-1.0.safetensors* in *checkpoints*, "
        "*t5-base.safetensors* in *text_encoders*.",
    ),
    "wan_audio_to_video": Layout(
        "A video for a sound, by Wan",
        """1. **Load Audio**: choose your sound. Write what is seen into the first **CLIP Text Encode**.
2. Set the **length** of the latent to 16 frames for each second of the sound, plus one, and press **Run**.

Who decides: the prompt says what is seen, the sound in **Align Target** says when.""",
        (
            ("1  Your sound", 320, {"1": 160, "4": 0}),
            ("2  The models", 320, {"2": 60, "14": 60, "15": 60, "3": 60}),
            ("3  What is seen, and how large", 340, {"5": 120, "6": 120, "7": 0}),
            ("4  Guided sampling", 360, {"16": 60, "8": 0, "9": 0}),
            ("5  The video with your sound", 340, {"10": 60, "11": 0, "12": 460}),
            REPORT,
        ),
        "The files are those of ComfyUI's own Wan 2.1 template: *wan2.1_t2v_1.3B_fp16.safetensors* in *diffusion_models*, "
        "*umt5_xxl_fp8_e4m3fn_scaled.safetensors* in *text_encoders*, *wan_2.1_vae.safetensors* in *vae*. A tiny VAE for Wan 2.1 in "
        "Align Model's *vae* saves most of the memory that guidance takes.",
    ),
    "ltx2_video_and_audio": Layout(
        "A video with its sound, by LTX-2",
        """1. Write what is seen and heard into the first **CLIP Text Encode**.
2. Press **Run**. LTX-2 makes picture and sound in one run; **Align Model** fits them to each other.

Who decides: the prompt says what; picture and sound then agree on when. An **Align Target** adds more.""",
        (
            ("1  The models", 340, {"1": 60, "2": 60, "14": 60, "3": 60}),
            ("2  What is seen and heard", 340, {"5": 120, "6": 120, "15": 60}),
            ("3  How large, how long", 320, {"16": 0, "17": 0, "7": 60}),
            ("4  Guided sampling", 360, {"8": 0, "18": 60, "19": 60, "20": 60, "21": 0, "9": 80}),
            ("5  Together", 340, {"22": 60, "10": 60, "23": 60, "11": 0, "12": 460}),
            REPORT,
        ),
        "The files are those of ComfyUI's own LTX-2 template: *ltx-2-19b-dev-fp8.safetensors* in *checkpoints*, "
        "*gemma_3_12B_it_fp4_mixed.safetensors* in *text_encoders*.",
    ),
}
POCKET_NOTE = """

The *pocket* models are small demonstration models that ship with the pack. They know a toy world of eight things; for \
real videos and sounds open the workflow of the same name without "pocket"."""
REAL_NOTE = """

The models belong in ComfyUI's *models* folder; the README says which, where, and under which licence. To try this without \
a download, open the workflow of the same name with "pocket"."""

LICENCE_NOTE = "ImageBind goes to *models/imagebind*; the README says where to get it, and under which licence."

MEASURE = """async (api) => {
  await window.app.loadApiJson(api, 'workflow')
  return Object.fromEntries(window.app.graph.nodes.map((node) => [node.id, node.computeSize()[1]]))
}"""
ARRANGE = """([places, groups, text]) => {
  const graph = window.app.graph
  for (const node of graph.nodes) {
    const [x, y, width, height] = places[node.id]
    node.pos = [x, y]
    const grows = node.widgets?.some((widget) => widget.name === 'player')
    node.setSize([width, grows ? node.computeSize()[1] : height])
    for (const widget of node.widgets ?? []) if (widget.name === 'control_after_generate') widget.value = 'fixed'
  }
  for (const [title, [x, y, width, height]] of Object.entries(groups)) {
    const group = new LiteGraph.LGraphGroup(title)
    group.pos = [x, y]
    group.size = [width, height]
    graph.add(group)
  }
  const note = LiteGraph.createNode('MarkdownNote')
  graph.add(note)
  note.pos = [0, -260]
  note.setSize([700, 220])
  note.widgets[0].value = text
  return graph.serialize()
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        for name in ("silent_clip.mp4", "picture.png", "sound.wav"):
            (server.base / "input" / name).touch()
        with comfy_page(server) as page:
            definitions = server.get("/object_info")
            for name, layout in LAYOUTS.items():
                api = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
                complete(api, definitions)
                for title, graph, note in _forms(name, layout, api):
                    write_api(FOLDER / "api" / f"{title}.json", graph)
                    text = f"## {layout.title}\n{layout.steps}{note}"
                    places, groups = arrange(layout, graph, page.evaluate(MEASURE, graph))
                    made = page.evaluate(ARRANGE, [places, groups, text])
                    (FOLDER / f"{title}.json").write_text(json.dumps(tidy(made), indent=1) + "\n", encoding="utf-8")


def _forms(name: str, layout: Layout, api: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    """Name, graph and the end of the note of each form in which a workflow is shared."""
    if layout.models:
        return [(name, api, f"\n\n{layout.models} " + LICENCE_NOTE)]
    return [(name, api, REAL_NOTE), (f"pocket_{name}", on_pocket(api), POCKET_NOTE)]


def complete(api: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Gives the pack's nodes the defaults of widgets that the file does not name yet."""
    for node in api.values():
        if node["class_type"].startswith("SeeingHearing_"):
            _complete(node["inputs"], definitions[node["class_type"]]["input"])


def _complete(inputs: dict[str, Any], definition: dict[str, Any], prefix: str = "") -> None:
    for group in ("required", "optional"):
        for name, (kind, options) in definition.get(group, {}).items():
            field = prefix + name
            if kind in WIDGETS:
                inputs.setdefault(field, options["default"])
            elif kind == "COMFY_DYNAMICCOMBO_V3":  # a choice with widgets of its own beneath it
                chosen = inputs.setdefault(field, options["options"][0]["key"])
                [own] = [option["inputs"] for option in options["options"] if option["key"] == chosen]
                _complete(inputs, own, field + ".")


def arrange(
    layout: Layout, api: dict[str, Any], widgets: dict[str, float]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """x, y, width, height of each node and of each group, left to right, with room for what nodes show after a run.

    widgets: the height that each node's widgets take.
    """
    places, groups, left = {}, {}, 0
    for title, width, nodes in layout.columns:
        top = TOP
        for node, least in nodes.items():
            room = RESULT_ROOM.get(api[node]["class_type"], 0)
            height = max(least, round(widgets[node]) + BELOW_WIDGETS) + room
            places[node] = [left + PAD, top, width, height]
            top += height + GAP + PAD
        groups[title] = [left, 0, width + 2 * PAD, top - GAP]
        left += width + 2 * PAD + GAP
    return places, groups


def on_pocket(api: dict[str, Any]) -> dict[str, Any]:
    """The workflow on the pocket models, in the words of their world."""
    pocket = json.loads(json.dumps(api))
    for node in pocket.values():
        for field in ("model", "base", "motion"):
            if isinstance(node["inputs"].get(field), str):
                node["inputs"][field] = POCKET
        if node["class_type"] == "CLIPTextEncode" and node["inputs"]["text"]:
            node["inputs"]["text"] = precise_captions(KINDS[0])[0]
        if node["class_type"] == "SeeingHearing_VideoAndAudio":
            node["inputs"]["prompt"] = precise_captions(KINDS[0])[0]
        if node["class_type"] == "SeeingHearing_ImageToAudio":
            node["inputs"]["duration"] = 2
    return pocket


def write_api(path: Path, api: dict[str, Any]) -> None:
    rows = [f"  {json.dumps(number)}: {json.dumps(node)}" for number, node in api.items()]
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def tidy(value: Any) -> Any:
    """The graph without empty entries."""
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    return value


if __name__ == "__main__":
    main()
