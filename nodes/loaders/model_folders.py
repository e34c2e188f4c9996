"""Where the models lie: ComfyUI's own folder names, the pack's built-in models, and never a path outside them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths

from ...seeing_core.errors import InputError
from ...seeing_core.pocket import MODELS_DIR
from ...seeing_core.weights import catalog
from ...seeing_core.weights.catalog import RemoteModel
from .downloads import fetch_here

POCKET = "pocket (built in)"
NONE = "none"
WHOLE = (".ckpt", ".safetensors", ".pth", ".pt")
REGISTERED = {
    "audioldm": set(WHOLE),
    "animatediff_models": set(WHOLE),
    "imagebind": {".pth", ".safetensors"},
    "pe_av": set(),
    "LLM": set(),
    "animatediff_motion_lora": set(WHOLE),
}
DEPTH = 3  # how many folders below a model root a diffusers folder is looked for


@dataclass(frozen=True)
class ModelKind:
    """A kind of model.

    what: its name in messages.  pocket: the built-in one.  file_roots: ComfyUI model folders of single files.
    folder_roots, index, class_name: of model folders, and the file in them that names their class, under class_key.
    in_hub_cache: whether the Hugging Face cache is looked in as well.
    """

    what: str
    pocket: Path
    file_roots: tuple[str, ...]
    folder_roots: tuple[str, ...] = ()
    index: str = ""
    class_name: str = ""
    catalog: tuple[RemoteModel, ...] = ()
    class_key: str = "_class_name"
    in_hub_cache: bool = False

    @property
    def roots(self) -> list[str]:
        """The folders looked in."""
        return [
            root
            for name in dict.fromkeys((*self.file_roots, *self.folder_roots))
            for root in folder_paths.get_folder_paths(name)
        ]


AUDIOLDM = ModelKind(
    "AudioLDM model",
    MODELS_DIR / "audioldm",
    ("audioldm",),
    ("audioldm", "diffusers"),
    "model_index.json",
    "AudioLDMPipeline",
    catalog.AUDIOLDM,
)
BASE = ModelKind(
    "base model",
    MODELS_DIR / "animatediff" / "sd",
    ("checkpoints",),
    ("diffusers",),
    "model_index.json",
    "StableDiffusionPipeline",
    catalog.BASE,
)
MOTION = ModelKind(
    "motion module",
    MODELS_DIR / "animatediff" / "motion_adapter",
    ("animatediff_models",),
    ("animatediff_models",),
    "config.json",
    "MotionAdapter",
    catalog.MOTION,
)
IMAGEBIND = ModelKind(
    "ImageBind model", MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors", ("imagebind",), catalog=catalog.IMAGEBIND
)

PE_AV = ModelKind(
    "PE-AV model",
    MODELS_DIR / "pe_av",
    (),
    ("pe_av",),
    "config.json",
    "pe_audio_video",
    class_key="model_type",
    in_hub_cache=True,
    catalog=catalog.PE_AV,
)


def register() -> None:
    """Adds the pack's model folders to ComfyUI's."""
    for name, extensions in REGISTERED.items():
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        if extensions:  # another pack may have registered the folder with a list of its own
            folder_paths.folder_names_and_paths[name][1].update(extensions)


def choices(kind: ModelKind) -> list[str]:
    """The built-in model, what was found, and the well-known names that were not."""
    found = _found(kind)
    here = {name.rpartition("/")[2] for name in found}
    return [POCKET, *sorted(found), *(one.name for one in kind.catalog if one.name not in here)]


def path_of(kind: ModelKind, choice: str, download_if_missing: bool = False) -> Path:
    """The folder or file of a choice; a well-known one that is absent is fetched when that is allowed.

    Raises InputError naming the folders looked in, the size, the licence and the page when there is none of that name.
    """
    if choice == POCKET:
        return kind.pocket
    found = _found(kind)
    wanted = next((one for one in kind.catalog if one.name == choice), None)
    if wanted and choice not in found:  # it may lie in a subfolder
        found |= {choice: path for name, path in found.items() if name.rpartition("/")[2] == choice}
    if choice in found:
        return _inside(kind.what, found[choice])
    if wanted is None:
        raise InputError(
            kind.what,
            f"'{choice}'",
            f"one of the models found in {', '.join(kind.roots)}",
            "Press R in the editor after you have added a model.",
        )
    target = Path(folder_paths.get_folder_paths(wanted.folder)[0])
    if not download_if_missing:
        raise InputError(
            kind.what,
            f"'{choice}', which is not on this machine",
            f"it in {', '.join(kind.roots)}",
            f"Switch on download_if_missing to fetch it ({wanted.facts}), or get it from {wanted.page}, put it into "
            f"'{target / wanted.name}' and press R in the editor.",
        )
    return fetch_here(wanted, target)


def tokenizer_folder(audioldm: Path, download_if_missing: bool) -> Path | None:
    """RoBERTa's tokenizer for a single AudioLDM file, which brings none: beside it, or of any AudioLDM folder here."""
    if audioldm.is_dir():
        return None
    roots = [Path(root) for root in folder_paths.get_folder_paths("audioldm")]
    places = [
        audioldm.with_suffix(""),
        audioldm.parent,
        *(root / catalog.TOKENIZER.name for root in roots),
        *_model_folders_of(AUDIOLDM).values(),
    ]
    for place in places:
        if (place / "tokenizer" / "tokenizer_config.json").is_file():
            return _inside("AudioLDM tokenizer", place / "tokenizer")
    if download_if_missing:
        return fetch_here(catalog.TOKENIZER, roots[0]) / "tokenizer"
    raise InputError(
        "AudioLDM tokenizer",
        f"none beside '{audioldm}'",
        f"the folder 'tokenizer' of any AudioLDM in {roots[0]}",
        f"Switch on download_if_missing to fetch it (2 MB), or get it from {catalog.TOKENIZER.page} and put it into "
        f"'{roots[0] / catalog.TOKENIZER.name / 'tokenizer'}'.",
    )


def lora_choices(folder: str) -> list[str]:
    """'none', and the files in models/loras or models/animatediff_motion_lora."""
    return [NONE, *sorted(_files((folder,)))]


def lora_file(folder: str, choice: str) -> Path | None:
    """The file of a choice. Raises InputError when there is none of that name."""
    if choice == NONE:
        return None
    found = _files((folder,))
    if choice not in found:
        raise InputError("LoRA", f"'{choice}'", f"a file in {', '.join(folder_paths.get_folder_paths(folder))}")
    return _inside("LoRA", found[choice])


def _found(kind: ModelKind) -> dict[str, Path]:
    """Folders and single files, by their names with "/" between folders."""
    folders = _model_folders_of(kind)
    if kind.in_hub_cache:
        for name, folder in hub_cached():
            if model_config(folder, kind.index).get(kind.class_key) == kind.class_name:
                folders.setdefault(name, folder)
    files = {
        name: path
        for name, path in _files(kind.file_roots).items()
        if not any(folder in path.parents for folder in folders.values())
    }
    return files | folders


def _files(roots: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in roots:
        for name in folder_paths.get_filename_list(root):
            path = folder_paths.get_full_path(root, name)
            if path is not None and name.lower().endswith(WHOLE) and not _part_of_a_folder(Path(path)):
                found.setdefault(Path(name).as_posix(), Path(path))
    return found


def _part_of_a_folder(path: Path) -> bool:
    """Whether the file is one component of a diffusers or transformers folder."""
    return (path.parent / "config.json").is_file()


def _model_folders_of(kind: ModelKind) -> dict[str, Path]:
    """Every folder below the kind's roots whose index file names its class, by its name."""
    found: dict[str, Path] = {}
    for root in [root for name in kind.folder_roots for root in folder_paths.get_folder_paths(name)]:
        for folder, below, files in os.walk(root, followlinks=True):
            inside = Path(folder).relative_to(root)
            if kind.index in files:
                below.clear()
                if model_config(Path(folder), kind.index).get(kind.class_key) == kind.class_name:
                    found.setdefault(inside.as_posix(), Path(folder))
            elif len(inside.parts) >= DEPTH:
                below.clear()
    return found


def hub_cached() -> Iterator[tuple[str, Path]]:
    """The models in the Hugging Face cache, "owner/name", at the revision that was fetched last."""
    for folder in sorted(hub_cache().glob("models--*--*")):
        reference = folder / "refs" / "main"
        if reference.is_file():
            yield (
                folder.name.removeprefix("models--").replace("--", "/", 1),
                (folder / "snapshots" / reference.read_text(encoding="utf-8").strip()),
            )


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def model_config(folder: Path, index: str = "config.json") -> dict[str, Any]:
    """What a model folder says of itself; empty where nothing can be read."""
    try:
        config = json.loads((folder / index).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _inside(what: str, path: Path) -> Path:
    """The path. Raises InputError when it, or a file in it, is a link that leads out of all model folders."""
    allowed = list(_model_folders())
    for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
        real = one.resolve()
        if not any(folder == real or folder in real.parents for folder in allowed):
            raise InputError(
                what,
                f"'{one}', a link that leads out of the model folders, to '{real}'",
                "a file in a model folder",
                f"If you trust it, name '{real.parent}' in extra_model_paths.yaml.",
            )
    return path


def _model_folders() -> Iterator[Path]:
    yield MODELS_DIR.resolve()
    yield hub_cache().resolve()
    for folders, _ in folder_paths.folder_names_and_paths.values():
        yield from (Path(folder).resolve() for folder in folders)
