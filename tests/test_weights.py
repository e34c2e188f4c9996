"""Loaders: whole checkpoints load; anything missing, foreign, damaged or dangerous is refused with a readable report."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from seeing_core.errors import InputError
from seeing_core.weights import convert_imagebind, load_audioldm, load_imagebind
from tests.stand_ins import write_imagebind

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "vocoder": "model.safetensors",
    "text_encoder": "model.safetensors",
}
Change = Callable[[dict[str, Tensor]], object]


def last(state: dict[str, Tensor]) -> str:
    return next(key for key in reversed(sorted(state)) if state[key].ndim > 1)


def drop(state: dict[str, Tensor]) -> None:
    del state[last(state)]


def add(state: dict[str, Tensor]) -> None:
    state["surplus.weight"] = torch.zeros(3)


def widen(state: dict[str, Tensor]) -> None:
    state[last(state)] = torch.cat([state[last(state)]] * 2)


def poison(value: float) -> Change:
    return lambda state: state[last(state)].view(-1)[0].fill_(value)


DAMAGE = {
    "missing": (drop, r"1 missing \("),
    "extra": (add, r"1 unexpected \(surplus.weight\)"),
    "shape": (widen, r"1 wrong shape \(.* \(\d+.*\), not \(\d+"),
    "nan": (poison(torch.nan), "NaN or infinite weights"),
    "inf": (poison(torch.inf), "NaN or infinite weights"),
}
damage = pytest.mark.parametrize("change, report", DAMAGE.values(), ids=DAMAGE)


@pytest.fixture
def folder(audioldm_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(audioldm_folder, tmp_path / "copy")


def edit(path: Path, change: Change) -> None:
    state = load_file(path)
    change(state)
    save_file(state, path, metadata={"format": "pt"})


def reconfigure(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_stand_ins_load_and_are_frozen(audioldm_folder: Path, imagebind_file: Path) -> None:
    for model in (load_audioldm(audioldm_folder), load_imagebind(imagebind_file)):
        assert not model.training and not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize("change, report", list(DAMAGE.values())[:4], ids=list(DAMAGE)[:4])
def test_audioldm_with_wrong_weights(folder: Path, part: str, change: Change, report: str) -> None:
    edit(folder / part / WEIGHTS[part], change)
    with pytest.raises(InputError, match=rf"^AudioLDM part '.*copy.{part}': received .*{report}.*; expected "):
        load_audioldm(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "vocoder", "text_encoder", "tokenizer", "scheduler"])
def test_audioldm_without_a_part(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=rf"^AudioLDM: received folder '.*copy' without {part}; expected a diffusers"):
        load_audioldm(folder)


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize("share", [0, 99])
def test_audioldm_with_a_truncated_file(folder: Path, part: str, share: int) -> None:
    path = folder / part / WEIGHTS[part]
    path.write_bytes(path.read_bytes()[: path.stat().st_size * share // 100])
    with pytest.raises(InputError, match=rf"^AudioLDM part '.*copy.{part}': received a file that cannot be read"):
        load_audioldm(folder)


@pytest.mark.parametrize("part", WEIGHTS)
def test_audioldm_with_an_emptied_part(folder: Path, part: str) -> None:
    (folder / part / WEIGHTS[part]).unlink()
    with pytest.raises(InputError, match=rf"^AudioLDM part '.*copy.{part}': received a file that cannot be read"):
        load_audioldm(folder)
    (folder / part / "config.json").unlink()
    with pytest.raises(InputError, match=rf"^AudioLDM part '.*copy.{part}': received a folder without config.json"):
        load_audioldm(folder)


@pytest.mark.parametrize(
    "file", ["unet/config.json", "vocoder/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"]
)
def test_audioldm_with_a_damaged_configuration(folder: Path, file: str) -> None:
    (folder / file).write_text('{"half')
    with pytest.raises(InputError, match="^AudioLDM.*: received .*cannot be read"):
        load_audioldm(folder)


def test_audioldm_with_an_emptied_tokenizer(folder: Path) -> None:
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="^AudioLDM tokenizer: received files that cannot be read"):
        load_audioldm(folder)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^AudioLDM: received folder '.*nowhere' without unet, vae"):
        load_audioldm(tmp_path / "nowhere")


def test_a_stable_diffusion_folder(folder: Path) -> None:
    """The same component names with a UNet conditioned by text tokens and a three-channel VAE."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        cross_attention_dim=16,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        attention_head_dim=4,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).save_pretrained(folder / "unet")
    AutoencoderKL(block_out_channels=(8,), norm_num_groups=4).save_pretrained(folder / "vae")
    with pytest.raises(InputError, match="^AudioLDM: received '.*copy', which holds another kind of diffusion model"):
        load_audioldm(folder)
    shutil.rmtree(folder / "vocoder")
    with pytest.raises(InputError, match="^AudioLDM: received folder '.*copy' without vocoder"):
        load_audioldm(folder)


def test_parts_of_two_checkpoints(folder: Path) -> None:
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    config = ClapTextConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        projection_dim=48,
        max_position_embeddings=514,
    )
    ClapTextModelWithProjection(config).save_pretrained(folder / "text_encoder")
    with pytest.raises(InputError, match="^AudioLDM: received a text encoder whose embedding does not fit the UNet"):
        load_audioldm(folder)


def test_a_part_of_another_class(folder: Path) -> None:
    shutil.rmtree(folder / "vocoder")
    shutil.copytree(folder / "text_encoder", folder / "vocoder")
    with pytest.raises(InputError, match="^AudioLDM part '.*vocoder': received weights that do not fit: .*missing"):
        load_audioldm(folder)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_imagebind_formats_are_equal(tmp_path: Path, suffix: str) -> None:
    towers = load_imagebind(write_imagebind(tmp_path / f"imagebind{suffix}", seed=4)).towers.state_dict()
    other = load_imagebind(write_imagebind(tmp_path / "other.safetensors", seed=4)).towers.state_dict()
    assert towers.keys() == other.keys() and all(torch.equal(towers[key], other[key]) for key in towers)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@damage
def test_imagebind_with_wrong_weights(tmp_path: Path, suffix: str, change: Change, report: str) -> None:
    path = write_imagebind(tmp_path / f"imagebind{suffix}")
    if suffix == ".safetensors":
        edit(path, change)
    else:
        state = torch.load(path)
        change(state)
        torch.save(state, path)
    with pytest.raises(InputError, match=rf"^ImageBind file '.*imagebind{suffix}': received .*{report}.*; expected "):
        load_imagebind(path)


@pytest.mark.parametrize("tower", ["vision", "audio", "text"])
def test_imagebind_without_a_tower(tmp_path: Path, tower: str) -> None:
    path = write_imagebind(tmp_path / "imagebind.safetensors")
    edit(path, lambda state: [state.pop(key) for key in list(state) if f".{tower}." in key])
    with pytest.raises(InputError, match="^ImageBind file '.*': received .*; expected .*ImageBind"):
        load_imagebind(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0, 5, 50, 99])
def test_imagebind_truncated(tmp_path: Path, suffix: str, share: int) -> None:
    path = write_imagebind(tmp_path / f"imagebind{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * share // 100])
    with pytest.raises(InputError, match=rf"^file '.*imagebind{suffix}': received a file that cannot be read safely"):
        load_imagebind(path)


class Payload:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize(
    "write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))], ids=["torch", "pickle"]
)
def test_code_in_a_weight_file_is_refused_and_not_run(tmp_path: Path, write: Callable[[object, Path], object]) -> None:
    path, trace = tmp_path / "imagebind.pth", tmp_path / "executed"
    write({"weight": Payload(trace)}, path)
    with pytest.raises(InputError, match="^file '.*imagebind.pth': received a file that cannot be read safely"):
        load_imagebind(path)
    assert not trace.exists()
    if write is torch.save:
        torch.load(path, weights_only=False)
        assert trace.exists()  # the payload would have worked


def test_imagebind_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "imagebind.pth"
    torch.save([torch.zeros(3)], path)
    with pytest.raises(InputError, match="^file '.*': received something else than a state dict; expected names and"):
        load_imagebind(path)
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="^ImageBind file '.*': received other weights .*; expected an ImageBind check"):
        load_imagebind(path)


def test_imagebind_file_absent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^file '.*absent.pth': received no such file; expected a weight file"):
        load_imagebind(tmp_path / "absent.pth")


def test_imagebind_has_no_memory_for_towers_that_are_not_used(imagebind_file: Path) -> None:
    towers = load_imagebind(imagebind_file).towers
    assert {key.split(".")[1] for key in towers.state_dict()} == {"vision", "audio", "text"}
    assert not any(value.is_meta for value in towers.state_dict().values())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_imagebind_is_mapped_not_copied(tmp_path: Path, suffix: str) -> None:
    """In a process of its own: what is not backed by the file grows by far less than the file."""
    import subprocess
    import sys

    from tests.stand_ins import IMAGEBIND_SIZES, write_imagebind_of

    sizes = IMAGEBIND_SIZES | {"vision_embed_dim": 1024, "vision_num_blocks": 16}
    path = write_imagebind_of(sizes, tmp_path / f"wide{suffix}")
    code = (
        "import sys, psutil; from seeing_core.binders.imagebind import build; from seeing_core.weights import load_imagebind\n"
        f"load_imagebind({str(write_imagebind(tmp_path / 'small.safetensors'))!r})\n"  # all imports are done
        "def own(): info = psutil.Process().memory_full_info(); return info.rss - info.shared\n"
        f"before = own(); model = load_imagebind({str(path)!r}); print(own() - before)\n"
    )
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(grown.stdout) < 0.3 * path.stat().st_size


def test_imagebind_in_half_precision_and_three_towers(tmp_path: Path) -> None:
    source = write_imagebind(tmp_path / "imagebind_huge.pth")
    target = convert_imagebind(source, tmp_path / "imagebind_huge_fp16.safetensors")
    state = load_file(target)
    assert all(value.dtype == torch.float16 for value in state.values())
    assert {key.split(".")[1] for key in state} == {"vision", "audio", "text"}
    assert target.stat().st_size < 0.55 * source.stat().st_size
    sound = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.1
    ours, exact = (load_imagebind(path).embed_audio(sound, [(0.0, 1.0)]).clips[0] for path in (target, source))
    assert torch.cosine_similarity(ours, exact).min() > 0.999
    with pytest.raises(InputError, match="^target file: received '.*fp16.safetensors'; expected a new .safetensors file"):
        convert_imagebind(source, target)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="^ImageBind file '.*other.pth': received other weights"):
        convert_imagebind(tmp_path / "other.pth", tmp_path / "new.safetensors")
    assert not (tmp_path / "new.safetensors").exists() and not list(tmp_path.glob("*.part"))


def test_imagebind_without_audio(tmp_path: Path) -> None:
    path = write_imagebind(tmp_path / "imagebind.safetensors")
    edit(path, lambda state: [state.pop(key) for key in list(state) if ".audio." in key])
    with pytest.raises(InputError, match="received what looks like ImageBind without audio; expected"):
        load_imagebind(path)
