"""The base model taken from ComfyUI's own checkpoint loader: the same video as from the file itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.comfy_server import ComfyServer, error_of, output_files
from tests.server.conftest import IMAGEBIND, run
from tests.stand_ins import write_imagebind
from tests.stand_ins_original import (
    original_motion,
    original_sd,
    write,
    write_detectable_sd,
    write_wide_motion,
)

BASE, MOTION, LORA = "small_sd15.safetensors", "mm_sd_v15_v2.ckpt", "style.safetensors"
OUTPUTS = ("model", "clip", "vae")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base, made = tmp_path_factory.mktemp("comfyui"), tmp_path_factory.mktemp("made")
    models = base / "models"
    state = original_sd(write_detectable_sd(made / "sd"))
    write({key: value.half() for key, value in state.items()}, models / "checkpoints" / BASE)
    del state
    motion = write_wide_motion(made / "motion", widths=(320, 320, 320, 320))
    write(original_motion(motion), models / "animatediff_models" / MOTION)
    layer, random = "lora_unet_down_blocks_0_attentions_0_proj_out", torch.Generator().manual_seed(3)
    write(
        {
            f"{layer}.lora_down.weight": torch.randn(4, 320, 1, 1, generator=random),
            f"{layer}.lora_up.weight": torch.randn(320, 4, 1, 1, generator=random),
            f"{layer}.alpha": torch.tensor(4.0),
        },
        models / "loras" / LORA,
    )
    write_imagebind(models / "imagebind" / IMAGEBIND)
    with ComfyServer(base) as running:
        yield running


def video(*borrowed: str, lora: str = "none") -> dict:
    """Two frames of a sound. The base and the LoRA by name, or these outputs of ComfyUI's own loaders of them."""
    loader = {"motion": MOTION, "precision": "fp32", "base": BASE, "lora": lora}
    if borrowed:
        loader |= {"base": "pocket (built in)", "lora": "none"} | {name: ["own", OUTPUTS.index(name)] for name in borrowed}
        if lora != "none":
            loader |= {"model": ["own lora", 0], "clip": ["own lora", 1]}
    return {
        "own": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": BASE}},
        "own lora": {
            "class_type": "LoraLoader",
            "inputs": {"model": ["own", 0], "clip": ["own", 1], "lora_name": LORA, "strength_model": 1.0, "strength_clip": 1.0},
        },
        "loader": {"class_type": "SeeingHearing_LoadAnimateDiff", "inputs": loader},
        "binder": {"class_type": "SeeingHearing_LoadImageBind", "inputs": {"model": IMAGEBIND}},
        "sound": {"class_type": "EmptyAudio", "inputs": {"duration": 0.5, "sample_rate": 16000, "channels": 1}},
        "task": {
            "class_type": "SeeingHearing_AudioToVideo",
            "inputs": {
                "video_model": ["loader", 0],
                "binder": ["binder", 0],
                "audio": ["sound", 0],
                "prompt": "a bell",
                "negative_prompt": "",
                "steps": 2,
                "fps": 4.0,
                "seed": 1,
                "duration": 0.5,
                "width": 64,
                "height": 64,
                "guidance_scale": 2.0,
                "preset": "paper",
                "preset.strength": 0.0,
            },
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["task", 0], "filename_prefix": "made"}},
    }


def frames(server, *borrowed: str, lora: str = "none") -> np.ndarray:
    entry = run(server, video(*borrowed, lora=lora))
    assert not error_of(entry)
    return np.stack([np.asarray(Image.open(path), np.int16) for path in output_files(entry, server)])


def test_a_checkpoint_that_comfyui_has_loaded_makes_the_same_video(server):
    from_file, borrowed = frames(server), frames(server, *OUTPUTS)
    assert from_file.std() > 5  # there is something to see
    assert np.abs(from_file - borrowed).max() <= 1

    own_lora, borrowed_lora = frames(server, lora=LORA), frames(server, *OUTPUTS, lora=LORA)
    assert np.abs(own_lora - from_file).max() > 10  # it does something
    assert np.abs(own_lora - borrowed_lora).max() <= 1


def test_all_three_or_none(server):
    message = error_of(run(server, video("model", "vae")))
    assert "model, clip and vae: received no clip; expected all three or none" in message
