"""The real architectures at real size, with random weights: do they load, and what do a step of each task and its memory cost?

    python -m tests.benchmarks.full_size --folder /some/where/with/15/GB

Writes AudioLDM-m (diffusers folder), Stable Diffusion 1.5 (one .safetensors in half precision, as many are), mm_sd_v15_v2
(.ckpt) and imagebind_huge (.pth),
loads them through the nodes of a real ComfyUI on the CPU, runs one guided step of each task, and prints seconds and the
most memory that was resident. Random weights say nothing of quality.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from scripts.comfy_server import ROOT, ComfyServer, error_of
from tests.server.conftest import film_path
from tests.stand_ins import write_roberta_tokenizer
from tests.stand_ins_original import original_motion_names, original_unet, original_vae

BASE, MOTION, AUDIO, BINDER = "v1-5-pruned-emaonly.safetensors", "mm_sd_v15_v2.ckpt", "audioldm-m-full", "imagebind_huge.pth"
NAMES = {"LoadAudioLDM": {"model": AUDIO}, "LoadAnimateDiff": {"base": BASE, "motion": MOTION},
         "LoadImageBind": {"model": BINDER}}
TASKS = ["video_to_audio", "image_to_audio", "audio_to_video", "video_and_audio_together"]


def randomised(shapes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Small random weights of these shapes, norms at one, masks as they are by design."""
    state = {}
    for key, value in shapes.items():
        if key.endswith(".mask"):
            state[key] = torch.full(value.shape, -torch.inf).triu(1)
        elif value.ndim == 1 and key.endswith("weight"):
            state[key] = torch.ones(value.shape)
        else:
            state[key] = torch.empty(value.shape).normal_(0, 0.02)
    return state


def write_part(folder: Path, model: nn.Module, file: str) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "save_config"):
        model.save_config(folder)
    else:
        model.config.save_pretrained(folder)
    save_file(randomised(model.state_dict()), folder / file, metadata={"format": "pt"})


def write_audioldm_m(folder: Path) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import ClapTextConfig, ClapTextModelWithProjection, SpeechT5HifiGan, SpeechT5HifiGanConfig

    widths = (192, 384, 576, 960)
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128, in_channels=8, out_channels=8, block_out_channels=widths, layers_per_block=2,
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
            up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"), cross_attention_dim=widths, attention_head_dim=8,
            class_embed_type="simple_projection", projection_class_embeddings_input_dim=512, class_embeddings_concat=True)
        vae = AutoencoderKL(
            in_channels=1, out_channels=1, down_block_types=("DownEncoderBlock2D",) * 3, latent_channels=8,
            up_block_types=("UpDecoderBlock2D",) * 3, block_out_channels=(128, 256, 512), layers_per_block=2,
            scaling_factor=0.9, sample_size=512)
        vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(
            model_in_dim=64, sampling_rate=16000, upsample_initial_channel=1024, upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4], normalize_before=False))
        text = ClapTextModelWithProjection(ClapTextConfig())
    for part, model, file in (("unet", unet, "diffusion_pytorch_model"), ("vae", vae, "diffusion_pytorch_model"),
                              ("vocoder", vocoder, "model"), ("text_encoder", text, "model")):
        write_part(folder / part, model, f"{file}.safetensors")
    write_roberta_tokenizer(folder / "tokenizer")
    DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195, clip_sample=False,
                  set_alpha_to_one=False, steps_offset=1).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDMPipeline"}))


def write_stable_diffusion(path: Path) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
                            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
        text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                            num_attention_heads=12))
    words = {f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}": value
             for key, value in text.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.half() for key, value in randomised(original_unet(unet) | original_vae(vae) | words).items()}
    save_file(state, path, metadata={"format": "pt"})


def write_motion_module(path: Path) -> None:
    from diffusers import MotionAdapter

    with torch.device("meta"):
        shapes = MotionAdapter().state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(randomised(original_motion_names(shapes)), path)


def write_imagebind_huge(path: Path) -> None:
    from seeing_core.binders.imagebind import SchedulesOnHost, build

    sizes = {"out_embed_dim": 1024, "vision_embed_dim": 1280, "vision_num_blocks": 32, "vision_num_heads": 16,
             "text_embed_dim": 1024, "text_num_blocks": 24, "text_num_heads": 16}
    with torch.device("meta"), SchedulesOnHost():
        shapes = build(sizes).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(randomised(shapes), path)


def write_all(models: Path) -> None:
    for write, place in ((write_audioldm_m, models / "audioldm" / AUDIO), (write_stable_diffusion, models / "checkpoints" / BASE),
                         (write_motion_module, models / "animatediff_models" / MOTION),
                         (write_imagebind_huge, models / "imagebind" / BINDER)):
        if not place.exists():
            write(place)
        size = sum(path.stat().st_size for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file())
        print(f"{place.name:34} {size / 1e9:5.2f} GB", flush=True)


def write_media(folder: Path) -> None:
    """The files that the shared workflows name."""
    from scipy.io import wavfile

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    Image.fromarray(random.integers(0, 255, (256, 256, 3), np.uint8)).save(folder / "picture.png")
    wavfile.write(folder / "sound.wav", 16000, random.normal(0, 3000, 32000).astype(np.int16))
    (folder / "silent_clip.mp4").write_bytes(film_path("bikes.mp4").read_bytes())


def workflow(name: str, side: int, seconds: float) -> dict[str, Any]:
    """A shared workflow on these models, one step."""
    api = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in api.values():
        kind, inputs = node["class_type"].removeprefix("SeeingHearing_"), node["inputs"]
        inputs |= NAMES.get(kind, {})
        if "seed" in inputs:
            small = {"steps": 1, "duration": seconds, "width": side, "height": side, "preset": "balanced"}
            inputs |= {field: value for field, value in small.items() if field in inputs}
    return api


def measure(server: ComfyServer, name: str, side: int, seconds: float) -> None:
    times: list[float] = []
    for _ in range(2):  # the first loads the models
        start = time.monotonic()
        api = workflow(name, side, seconds)
        for node in api.values():
            if "seed" in node["inputs"]:
                node["inputs"]["seed"] = len(times)
        message = error_of(asyncio.run(server.run(api)))
        if message:
            raise RuntimeError(message)
        times.append(time.monotonic() - start)
    peak = int(Path(f"/proc/{server.process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20
    print(f"{name:28} first {times[0]:6.0f} s, again {times[1]:6.0f} s, peak {peak:5.1f} GiB resident", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--side", type=int, default=256, help="pixels of the film's sides")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of what is made")
    parser.add_argument("--task", nargs="*", default=TASKS)
    wanted = parser.parse_args()
    write_all(wanted.folder / "models")
    print(f"writing took at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB", flush=True)
    write_media(wanted.folder / "input")
    for task in wanted.task:
        with ComfyServer(wanted.folder) as server:  # a fresh one each, so that the peak is the task's own
            measure(server, task, wanted.side, wanted.seconds)


if __name__ == "__main__":
    main()
