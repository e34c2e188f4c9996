"""Weight files made to do harm: refused by name, nothing of them is run, little memory is taken."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from seeing_core.errors import InputError
from seeing_core.weights import load_audioldm, load_imagebind
from seeing_core.weights.files import read_tensors
from tests.stand_ins import write_imagebind


class Payload:
    """Leaves a trace when it is unpickled with its code."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.trace,)


def with_protocol(number: int) -> Callable[[object, Path], object]:
    return lambda value, path: torch.save(value, path, pickle_protocol=number)


WRITERS: dict[str, Callable[[object, Path], object]] = {
    "torch": torch.save,
    "torch, pickle 4": with_protocol(4),
    "torch before 1.6": lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
    "pickle": lambda value, path: path.write_bytes(pickle.dumps(value)),
}
NAMED = (WRITERS["torch"], WRITERS["torch before 1.6"])  # PyTorch's reader knows no other forms, and says that


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".pt", ".bin"])
def test_code_is_named_and_not_run(tmp_path: Path, write: Callable[[object, Path], object], suffix: str) -> None:
    path, trace = tmp_path / f"model{suffix}", tmp_path / "executed"
    write({"state_dict": {"weight": torch.zeros(2)}, "callbacks": Payload(trace)}, path)
    with pytest.raises(InputError, match="cannot be read safely .*Do not use this file") as raised:
        read_tensors(path)
    assert ("it wants to run code: getattr" in str(raised.value)) == (write in NAMED)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["posix.system", "builtins.eval", "torch.hub.load"])
def test_hidden_code_is_not_run(tmp_path: Path, name: str) -> None:
    """Written by hand, as an attacker would; a function of torch itself is refused by torch's own list."""
    module, _, function = name.rpartition(".")
    body = f"c{module}\n{function}\n(Vtouch {tmp_path / 'executed'}\ntR.".encode()
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x02" + body)
    with pytest.raises(InputError, match=f"cannot be read safely.*{name.removeprefix('builtins.')}"):
        read_tensors(tmp_path / "model.ckpt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("write", [WRITERS["torch"], WRITERS["torch before 1.6"]], ids=["now", "before 1.6"])
def test_harmless_leftovers_of_training_are_read_past(tmp_path: Path, write: Callable[[object, Path], object]) -> None:
    import numpy as np

    path = tmp_path / "model.ckpt"
    write({"state_dict": {"module.weight": torch.ones(2)}, "best": np.float64(0.5), "epoch": 3}, path)
    assert read_tensors(path).tensors["weight"].tolist() == [1, 1]


def test_an_archive_that_unpacks_to_more_than_it_is(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(50_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.namelist():
            bomb.writestr(entry, plain.read(entry))
    assert (tmp_path / "bomb.pth").stat().st_size < 1_000_000
    before = psutil.Process().memory_info().rss
    with pytest.raises(InputError, match="^file '.*bomb.pth': received a compressed archive, which may unpack to any size"):
        read_tensors(tmp_path / "bomb.pth")
    assert psutil.Process().memory_info().rss - before < 50_000_000


def header(path: Path, tensors: dict[str, object], size: int | None = None) -> Path:
    text = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text)
    return path


@pytest.mark.parametrize(
    "tensors, size",
    [
        ({"weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, None),
        ({}, 2**50),
        ({}, 2**63),
        ({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}, None),
        ({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"}, None),
    ],
)
def test_headers_that_claim_what_is_not_there(tmp_path: Path, tensors: dict[str, object], size: int | None) -> None:
    path = header(tmp_path / "model.safetensors", tensors, size)
    with pytest.raises(InputError, match="^file '.*model.safetensors': received a file that cannot be read safely"):
        read_tensors(path)


def test_a_configuration_that_asks_for_terabytes(audioldm_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(audioldm_folder, tmp_path / "copy")
    path = folder / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 10**12}))
    with pytest.raises(
        InputError, match=r"text_encoder': received a configuration for .* numbers beside files of [\d,]+ bytes"
    ):
        load_audioldm(folder)


def test_an_imagebind_that_asks_for_terabytes(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = load_file(write_imagebind(tmp_path / "plain.safetensors"))
    config = {"out_embed_dim": 32, "vision_embed_dim": 2**24, "vision_num_blocks": 1, "vision_num_heads": 16}
    save_file(state, tmp_path / "huge.safetensors", metadata={"config": json.dumps(config)})
    with pytest.raises(InputError, match="^ImageBind file '.*huge.safetensors': received weights that do not fit"):
        load_imagebind(tmp_path / "huge.safetensors")


@pytest.mark.parametrize("part, name", [("unet", "diffusion_pytorch_model.bin"), ("text_encoder", "pytorch_model.bin")])
def test_code_in_a_diffusers_folder(audioldm_folder: Path, tmp_path: Path, part: str, name: str) -> None:
    folder = shutil.copytree(audioldm_folder, tmp_path / "copy")
    for path in (folder / part).glob("*.safetensors"):
        path.unlink()
    torch.save({"weight": Payload(tmp_path / "executed")}, folder / part / name)
    with pytest.raises(InputError, match=rf"^AudioLDM part '.*{part}', file '.*{name}': .*it wants to run code: getattr"):
        load_audioldm(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["../../secret.safetensors", "/etc/secret.safetensors", "a\0b", "..\\secret.safetensors", 7])
def test_an_index_that_names_files_elsewhere(audioldm_folder: Path, tmp_path: Path, name: object) -> None:
    folder = shutil.copytree(audioldm_folder, tmp_path / "copy")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"conv_in.weight": name}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="unet', file '.*index.json': received names of files outside its folder"):
        load_audioldm(folder)


def test_a_file_of_another_type(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="received a file of type '.gguf'; expected one of .safetensors, .ckpt"):
        read_tensors(tmp_path / "model.gguf")
