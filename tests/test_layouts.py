"""The single files that users keep, in their authors' naming, give the same outputs as the diffusers folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from seeing_core.errors import InputError
from seeing_core.generators.animatediff import AnimateDiff
from seeing_core.generators.audioldm import AudioLDM
from seeing_core.generators.base import NoiseLevel
from seeing_core.weights import Lora, load_animatediff, load_audioldm
from seeing_core.weights.animatediff import clip_tokenizer
from tests.stand_ins_original import (
    original_audioldm,
    original_motion,
    original_sd,
    original_vae,
    write,
    write_wide_audioldm,
    write_wide_motion,
    write_wide_sd,
)

LEVEL = NoiseLevel(torch.tensor(500), 0.7, 0.7)


@pytest.fixture(scope="module")
def audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wide_audioldm(tmp_path_factory.mktemp("layouts") / "audioldm")


@pytest.fixture(scope="module")
def video_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("layouts")
    return write_wide_sd(folder / "sd"), write_wide_motion(folder / "motion")


@torch.no_grad()
def heard(model: AudioLDM) -> tuple[torch.Tensor, torch.Tensor]:
    task = model.conditioned(["a bell"], "noise", duration_s=0.4)
    z = task.initial_noise([1])
    eps = task.predict_noise(z, LEVEL, task.initial_prompt(1))
    return eps, task.decode_all(eps)


@torch.no_grad()
def seen(model: AnimateDiff) -> tuple[torch.Tensor, torch.Tensor]:
    task = model.conditioned(["a bell rings"], "text", duration_s=0.5, fps=4, width=64, height=64)
    z = task.initial_noise([1])
    eps = task.predict_noise(z, LEVEL, task.initial_prompt(1))
    return eps, task.decode_all(eps)


def assert_same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.std() > 1e-4
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_original_audioldm(audio_folder: Path, tmp_path: Path, suffix: str) -> None:
    path = write(original_audioldm(audio_folder), tmp_path / f"audioldm-s-full{suffix}")
    single = load_audioldm(path, tokenizer=audio_folder / "tokenizer")
    folder = load_audioldm(audio_folder)
    assert_same(heard(single), heard(folder))
    assert single.vae.config.scaling_factor == pytest.approx(0.9)
    assert dict(single.scheduler.config).items() >= {"beta_end": 0.0195, "set_alpha_to_one": False}.items()


def test_original_audioldm_has_heads_of_32_channels(audio_folder: Path, tmp_path: Path) -> None:
    """As the authors' configuration sets them: 1, 2, 3 and 5 heads for these widths."""
    path = write(original_audioldm(audio_folder), tmp_path / "audioldm.ckpt")
    unet = load_audioldm(path, tokenizer=audio_folder / "tokenizer").unet
    assert [block.attentions[0].transformer_blocks[0].attn1.heads for block in unet.down_blocks[1:]] == [2, 3, 5]


@pytest.mark.parametrize(
    "base, motion",
    [
        ("sd15.safetensors", "v3_sd15_mm.ckpt"),
        ("sd15.ckpt", "mm.safetensors"),
        ("folder", "mm_sd_v15_v2.ckpt"),
        ("sd15.safetensors", "folder"),
    ],
)
def test_original_animatediff(video_folders: tuple[Path, Path], tmp_path: Path, base: str, motion: str) -> None:
    sd, adapter = video_folders
    one = sd if base == "folder" else write(original_sd(sd), tmp_path / base)
    other = adapter if motion == "folder" else write(original_motion(adapter), tmp_path / motion)
    assert_same(seen(load_animatediff(one, other)), seen(load_animatediff(sd, adapter)))


def test_tensors_in_memory_as_the_base(video_folders: tuple[Path, Path]) -> None:
    """As they come from a checkpoint that another program has loaded."""
    from diffusers import AutoencoderKL

    sd, adapter = video_folders
    state = original_sd(sd)
    assert_same(seen(load_animatediff(state, adapter)), seen(load_animatediff(sd, adapter)))
    with pytest.raises(InputError, match="Stable Diffusion: received what looks like SDXL"):
        load_animatediff(state | {"conditioner.embedders.1.model.ln_final.weight": torch.ones(4)}, adapter)
    vae = AutoencoderKL(
        block_out_channels=(32,) * 4,
        latent_channels=16,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    with pytest.raises(InputError, match="weights, whose VAE does not fit its UNet"):
        load_animatediff(state | original_vae(vae), adapter)


def test_motion_module_without_a_middle_block(video_folders: tuple[Path, Path], tmp_path: Path) -> None:
    """As in v3_sd15_mm.ckpt and mm_sd_v15.ckpt, whose positions end at 24 frames in the latter."""
    state = {key: value for key, value in original_motion(video_folders[1]).items() if not key.startswith("mid_block")}
    state = {key: value[:, :24] if key.endswith(".pe") else value for key, value in state.items()}
    model = load_animatediff(video_folders[0], write(state, tmp_path / "mm_sd_v15.ckpt"))
    assert seen(model)[0].isfinite().all()


def test_half_precision_files_give_nearly_the_same(video_folders: tuple[Path, Path], tmp_path: Path) -> None:
    half = {key: value.half() for key, value in original_sd(video_folders[0]).items()}
    model = load_animatediff(write(half, tmp_path / "half.safetensors"), video_folders[1])
    assert model.unet.dtype == torch.float32
    for a, b in zip(seen(model), seen(load_animatediff(*video_folders)), strict=True):
        assert (a - b).norm() < 0.05 * b.norm()


def test_clip_tokens_are_those_that_comfyui_uses() -> None:
    from transformers import CLIPTokenizer

    from scripts.comfy_server import COMFYUI

    ours, theirs = clip_tokenizer(), CLIPTokenizer.from_pretrained(COMFYUI / "comfy" / "sd1_tokenizer")
    assert ours.get_vocab() == theirs.get_vocab() and ours.model_max_length == 77
    for text in ("a dog barking in a hall", "Ünïcödé: 雨の音!", "x" * 400, "", "it's   3.14% <|endoftext|>"):
        assert ours(text).input_ids == theirs(text).input_ids


def test_a_folder_with_half_precision_copies_only(video_folders: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(video_folders[0], tmp_path / "sd")
    for part, name in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        whole = folder / part / f"{name}.safetensors"
        half = {key: value.half() if value.is_floating_point() else value for key, value in load_file(whole).items()}
        save_file(half, folder / part / f"{name}.fp16.safetensors", metadata={"format": "pt"})
        os.remove(whole)
    assert seen(load_animatediff(folder, video_folders[1]))[1].isfinite().all()


@pytest.mark.parametrize(
    "prefix, words",
    [
        ("model.diffusion_model.video_emb", "received .*looks like AudioLDM"),
        ("conditioner.embedders.1.x", "looks like SDXL"),
        ("down_blocks.0.motion_modules.0.x", "looks like an AnimateDiff motion module"),
        ("lora_unet_down.lora_up", "looks like a LoRA"),
        ("cond_stage_model.model.transformer.resblocks.0.x", "Stable Diffusion 2"),
    ],
)
def test_a_base_of_another_kind(video_folders: tuple[Path, Path], tmp_path: Path, prefix: str, words: str) -> None:
    path = write({f"{prefix}.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=rf"^Stable Diffusion file '.*other.safetensors': .*{words}"):
        load_animatediff(path, video_folders[1])


@pytest.mark.parametrize(
    "key, words",
    [
        ("cond_stage_models.0.x", "looks like AudioLDM 2"),
        ("cond_stage_model.transformer.text_model.x", "Stable Diffusion 1.5"),
    ],
)
def test_an_audio_file_of_another_kind(audio_folder: Path, tmp_path: Path, key: str, words: str) -> None:
    path = write({f"{key}.weight": torch.zeros(2, 2)}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=rf"^AudioLDM file '.*other.ckpt': received .*{words}; expected an AudioLDM"):
        load_audioldm(path, tokenizer=audio_folder / "tokenizer")


@pytest.mark.parametrize(
    "lost, words",
    [
        ("cond_stage_model.model.text_branch", "without 'embeddings"),
        ("first_stage_model.vocoder", "without 'conv_pre"),
        ("scale_factor", "scale_factor"),
        ("model.diffusion_model.input_blocks.4.0.in_layers.0.weight", "1 missing"),
    ],
)
def test_an_original_audioldm_that_lacks_something(audio_folder: Path, tmp_path: Path, lost: str, words: str) -> None:
    state = {key: value for key, value in original_audioldm(audio_folder).items() if not key.startswith(lost)}
    path = write(state, tmp_path / "audioldm.ckpt")
    with pytest.raises(InputError, match=rf"^AudioLDM file '.*audioldm.ckpt'.*: received .*{words}"):
        load_audioldm(path, tokenizer=audio_folder / "tokenizer")


def test_a_motion_module_for_sdxl(video_folders: tuple[Path, Path], tmp_path: Path) -> None:
    state = {key: value for key, value in original_motion(video_folders[1]).items() if not key.startswith("down_blocks.3")}
    with pytest.raises(InputError, match="motion module '.*': received a motion module with 3 levels, as for SDXL"):
        load_animatediff(video_folders[0], write(state, tmp_path / "mm_sdxl.ckpt"))


def lora_pair(width: int, rank: int = 2, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """down (rank, width) and up (width, rank)."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rank, width, generator=random), torch.randn(width, rank, generator=random)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_kohya_lora_is_added_to_unet_and_text_encoder(
    video_folders: tuple[Path, Path], tmp_path: Path, strength: float
) -> None:
    """The naming of most LoRAs for Stable Diffusion 1.5: W + strength alpha / rank up down."""
    down, up = lora_pair(32)
    words_down, words_up = lora_pair(64)
    unet = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    text = "lora_te_text_model_encoder_layers_1_self_attn_q_proj"
    state = {f"{unet}.lora_down.weight": down, f"{unet}.lora_up.weight": up, f"{unet}.alpha": torch.tensor(1.0)}
    for name in (text, text.replace("q_proj", "out_proj")):
        state |= {
            f"{name}.lora_down.weight": words_down.clone(),
            f"{name}.lora_up.weight": words_up.clone(),
            f"{name}.alpha": torch.tensor(2.0),
        }
    plain = load_animatediff(*video_folders)
    with_lora = load_animatediff(*video_folders, loras=[Lora(write(state, tmp_path / "style.safetensors"), strength)])
    added = weight_of(with_lora.unet, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q") - weight_of(
        plain.unet, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    )
    torch.testing.assert_close(added, strength * 0.5 * up @ down, rtol=1e-4, atol=1e-5)
    added = weight_of(with_lora.text_encoder, "encoder.layers.1.self_attn.q_proj") - weight_of(
        plain.text_encoder, "encoder.layers.1.self_attn.q_proj"
    )
    torch.testing.assert_close(added, strength * words_up @ words_down, rtol=1e-4, atol=1e-5)
    assert with_lora.unet.state_dict().keys() == plain.unet.state_dict().keys()
    assert not any(parameter.requires_grad for parameter in with_lora.parameters())


def weight_of(model: torch.nn.Module, ending: str) -> torch.Tensor:
    [weight] = [value for key, value in model.state_dict().items() if key.endswith(ending + ".weight")]
    return weight


def test_original_motion_lora_is_added_to_the_motion_module(video_folders: tuple[Path, Path], tmp_path: Path) -> None:
    down, up = lora_pair(32)
    block = "down_blocks.0.motion_modules.1.temporal_transformer.transformer_blocks.0.attention_blocks.1.processor.to_k_lora"
    path = write({f"{block}.down.weight": down, f"{block}.up.weight": up}, tmp_path / "v2_lora_ZoomIn.ckpt")
    name = "down_blocks.0.motion_modules.1.transformer_blocks.0.attn2.to_k"
    added = weight_of(load_animatediff(*video_folders, loras=[Lora(path)]).unet, name) - weight_of(
        load_animatediff(*video_folders).unet, name
    )
    torch.testing.assert_close(added, up @ down, rtol=1e-4, atol=1e-5)


def test_a_lora_of_another_kind(video_folders: tuple[Path, Path], tmp_path: Path) -> None:
    wide = write(
        {
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": torch.zeros(2, 640),
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight": torch.zeros(640, 2),
        },
        tmp_path / "sdxl.safetensors",
    )
    with pytest.raises(InputError, match="^LoRA '.*sdxl.safetensors': received weights that do not fit"):
        load_animatediff(*video_folders, loras=[Lora(wide)])
    whole = write(original_motion(video_folders[1]), tmp_path / "mm.ckpt")
    with pytest.raises(InputError, match="^LoRA '.*mm.ckpt': received an AnimateDiff motion module; expected a LoRA"):
        load_animatediff(*video_folders, loras=[Lora(whole)])
