"""Where the models lie: ComfyUI's own folder names, the pack's built-in models, and never a path outside them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import folder_paths

from ..seeing_core.errors import InputError
from ..seeing_core.pocket import MODELS_DIR

POCKET = "pocket (built in)"
EXTENSIONS = {"audioldm": set(), "imagebind": {".pth", ".safetensors"}}
DEPTH = 3  # how many folders below a model root a diffusers folder is looked for


def register() -> None:
    """Adds models/audioldm and models/imagebind to ComfyUI's model folders."""
    for name, extensions in EXTENSIONS.items():
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        folder_paths.folder_names_and_paths[name][1].update(extensions)


def audioldm_choices() -> list[str]:
    return [POCKET, *sorted(_audioldm_folders())]


def imagebind_choices() -> list[str]:
    return [POCKET, *folder_paths.get_filename_list("imagebind")]


def audioldm_folder(choice: str) -> Path:
    """The folder of a choice. Raises InputError naming the folders looked in when there is none of that name."""
    if choice == POCKET:
        return MODELS_DIR / "audioldm"
    found = _audioldm_folders()
    if choice not in found:
        raise InputError("AudioLDM model", f"'{choice}'", "one of the model folders found in "
                         + _roots("audioldm", "diffusers"), "Press R in the editor after you have added a model.")
    return found[choice]


def imagebind_file(choice: str) -> Path:
    """The file of a choice. Raises InputError naming the folders looked in when there is none of that name."""
    if choice == POCKET:
        return MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors"
    path = folder_paths.get_full_path("imagebind", choice)
    if path is None or choice not in folder_paths.get_filename_list("imagebind"):
        raise InputError("ImageBind model", f"'{choice}'", "one of the files found in " + _roots("imagebind"),
                         "Press R in the editor after you have added a model.")
    return Path(path)


def _roots(*names: str) -> str:
    return ", ".join(root for name in names for root in folder_paths.get_folder_paths(name))


def _audioldm_folders() -> dict[str, Path]:
    """Every folder below models/audioldm and models/diffusers whose model_index.json is AudioLDM's, by its name."""
    found: dict[str, Path] = {}
    for root in [*folder_paths.get_folder_paths("audioldm"), *folder_paths.get_folder_paths("diffusers")]:
        for folder, below, files in os.walk(root, followlinks=True):
            inside = Path(folder).relative_to(root)
            if "model_index.json" in files:
                below.clear()
                if _is_audioldm(Path(folder) / "model_index.json"):
                    found.setdefault(inside.as_posix(), Path(folder))
            elif len(inside.parts) >= DEPTH:
                below.clear()
    return found


def _is_audioldm(index: Path) -> bool:
    try:
        return json.loads(index.read_text(encoding="utf-8")).get("_class_name") == "AudioLDMPipeline"
    except (OSError, ValueError, AttributeError):
        return False
