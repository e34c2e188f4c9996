"""Folders that hold no captioner, a damaged one, or one that wants to run code."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from seeing_core.captions.loading import load_audio_captioner, load_image_captioner
from seeing_core.errors import InputError
from tests.stand_ins_captions import write_blip, write_qwen2_audio, write_qwen_vl

PICTURE = torch.rand(1, 3, 60, 90, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("LLM")
    writers = {"Qwen2VL": write_qwen_vl, "blip": write_blip, "qwen2_audio": write_qwen2_audio}
    return {name: write(root / name) for name, write in writers.items()}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a stand-in's folder, to be spoilt."""
    return lambda name: Path(shutil.copytree(folders[name], tmp_path / name))


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda folder: shutil.rmtree(folder), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "no_such_kind"}'), "no_such_kind"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 20), "cannot be read"),
        (lambda folder: os.truncate(folder / "model.safetensors", 9000), "cannot be read"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "expected"),
        (lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "vocab.json", "merges.txt")], "expected"),
        (lambda folder: (folder / "chat_template.json").unlink(), "chat template"),
    ],
)
def test_damaged_folders_are_named(copy: Callable[[str], Path], spoil: Callable[[Path], Any], words: str) -> None:
    folder = copy("Qwen2VL")
    spoil(folder)
    with pytest.raises(InputError, match=words) as error:
        load_image_captioner(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda state: state.pop("model.norm.weight"), "1 missing.*norm.weight"),
        (lambda state: state.update({"lm_head.weight": torch.zeros(7, 32)}), "1 wrong shape.*lm_head"),
        (lambda state: state["model.norm.weight"].fill_(float("nan")), "NaN.*norm.weight"),
    ],
)
def test_weights_that_do_not_fit_are_named(copy: Callable[[str], Path], change: Callable[[dict], Any], words: str) -> None:
    path = copy("Qwen2VL") / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=words):
        load_image_captioner(path.parent)


def test_a_missing_shard_is_named(copy: Callable[[str], Path]) -> None:
    folder = copy("qwen2_audio")
    (folder / "model-00002-of-00004.safetensors").unlink()
    with pytest.raises(InputError, match="model-00002-of-00004"):
        load_audio_captioner(folder)


def test_models_of_another_kind_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="image captioner"):
        load_image_captioner(folders["qwen2_audio"])
    with pytest.raises(InputError, match="audio captioner"):
        load_audio_captioner(folders["Qwen2VL"])


class Touches:
    """A pickle that would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "ran"))


def test_code_in_a_weight_file_is_not_run(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder, marker = copy("blip"), tmp_path / "marker"
    torch.save({"weight": Touches(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be read"):
        load_image_captioner(folder)
    assert not marker.exists()


def with_own_code(folder: Path, marker: Path, model_type: str) -> Path:
    """Adds Python files that leave a marker when they are run."""
    code = f"""from pathlib import Path
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
Path({str(marker)!r}).write_text("ran")
class OwnConfig(Qwen2VLConfig):
    model_type = {model_type!r}
class OwnModel(Qwen2VLForConditionalGeneration):
    config_class = OwnConfig
"""
    (folder / "own.py").write_text(code)
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForImageTextToText": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type, "auto_map": own}))
    return folder


def test_code_of_a_model_runs_only_when_allowed(
    copy: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    marker = tmp_path / "marker"
    folder = with_own_code(copy("Qwen2VL"), marker, "own_kind")
    names = {"visual.": "model.visual.", "model.": "model.language_model.", "lm_head.": "lm_head."}  # its classes' own
    state = {
        new + key.removeprefix(old): value
        for key, value in load_file(folder / "model.safetensors").items()
        for old, new in names.items()
        if key.startswith(old)
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="trust_remote_code"):
        load_image_captioner(folder)
    assert not marker.exists()
    assert len(load_image_captioner(folder, remote_code=True).caption(PICTURE, max_tokens=2)) == 1
    assert marker.exists()


def test_code_beside_a_known_model_is_left_alone(copy: Callable[[str], Path], tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    folder = with_own_code(copy("Qwen2VL"), marker, "qwen2_vl")
    assert len(load_image_captioner(folder).caption(PICTURE, max_tokens=2)) == 1
    assert not marker.exists()


def test_loading_and_asking_warn_of_nothing(folders: dict[str, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_image_captioner(folders["Qwen2VL"]).caption(PICTURE, max_tokens=2)
