"""Where the models lie: ComfyUI's own folder names, the pack's built-in models, and never a path outside them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import folder_paths

from ..seeing_core.errors import InputError
from ..seeing_core.pocket import MODELS_DIR

POCKET = "pocket (built in)"
EXTENSIONS = {"audioldm": set(), "animatediff_models": set(), "imagebind": {".pth", ".safetensors"}, "LLM": set()}
DEPTH = 3  # how many folders below a model root a diffusers folder is looked for
AUDIOLDM = (("audioldm", "diffusers"), "model_index.json", "AudioLDMPipeline")
BASE = (("diffusers",), "model_index.json", "StableDiffusionPipeline")
MOTION = (("animatediff_models",), "config.json", "MotionAdapter")


def register() -> None:
    """Adds models/audioldm, models/animatediff_models, models/imagebind and models/LLM to ComfyUI's model folders."""
    for name, extensions in EXTENSIONS.items():
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        if extensions:  # another pack may have registered models/LLM with a list
            folder_paths.folder_names_and_paths[name][1].update(extensions)


def audioldm_choices() -> list[str]:
    return [POCKET, *sorted(_folders(*AUDIOLDM))]


def base_choices() -> list[str]:
    return [POCKET, *sorted(_folders(*BASE))]


def motion_choices() -> list[str]:
    return [POCKET, *sorted(_folders(*MOTION))]


def imagebind_choices() -> list[str]:
    return [POCKET, *folder_paths.get_filename_list("imagebind")]


def audioldm_folder(choice: str) -> Path:
    """The folder of a choice. Raises InputError naming the folders looked in when there is none of that name."""
    return MODELS_DIR / "audioldm" if choice == POCKET else _folder("AudioLDM model", choice, *AUDIOLDM)


def base_folder(choice: str) -> Path:
    """Likewise for Stable Diffusion 1.5."""
    return MODELS_DIR / "animatediff" / "sd" if choice == POCKET else _folder("base model", choice, *BASE)


def motion_folder(choice: str) -> Path:
    """Likewise for a motion module."""
    if choice == POCKET:
        return MODELS_DIR / "animatediff" / "motion_adapter"
    return _folder("motion module", choice, *MOTION)


def imagebind_file(choice: str) -> Path:
    """The file of a choice. Raises InputError naming the folders looked in when there is none of that name."""
    if choice == POCKET:
        return MODELS_DIR / "imagebind" / "imagebind_pocket.safetensors"
    path = folder_paths.get_full_path("imagebind", choice)
    if path is None or choice not in folder_paths.get_filename_list("imagebind"):
        raise _unknown("ImageBind model", choice, ("imagebind",))
    return Path(path)


def _folder(what: str, choice: str, roots: tuple[str, ...], index: str, class_name: str) -> Path:
    found = _folders(roots, index, class_name)
    if choice not in found:
        raise _unknown(what, choice, roots)
    return found[choice]


def _unknown(what: str, choice: str, roots: tuple[str, ...]) -> InputError:
    looked_in = ", ".join(root for name in roots for root in folder_paths.get_folder_paths(name))
    return InputError(what, f"'{choice}'", f"one of the models found in {looked_in}",
                      "Press R in the editor after you have added a model.")


def _folders(roots: tuple[str, ...], index: str, class_name: str) -> dict[str, Path]:
    """Every folder below these model roots whose index file names this class, by its name."""
    found: dict[str, Path] = {}
    for root in [root for name in roots for root in folder_paths.get_folder_paths(name)]:
        for folder, below, files in os.walk(root, followlinks=True):
            inside = Path(folder).relative_to(root)
            if index in files:
                below.clear()
                if _class_of(Path(folder) / index) == class_name:
                    found.setdefault(inside.as_posix(), Path(folder))
            elif len(inside.parts) >= DEPTH:
                below.clear()
    return found


def _class_of(index: Path) -> str | None:
    try:
        return json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError):
        return None
