"""Trains the pocket models from nothing: python -m tests.pocket.train [--stage NAME] [--out DIR]."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import torch

from seeing_core.pocket import MODELS_DIR
from tests.pocket.training.common import Card, Folders, card_path

COMMAND = "python -m tests.pocket.train"
# Each a module of `training`, with a function of its name after `train_`, and the stages whose models it builds on. The first
# ones that can begin do, so what others wait for comes first.
NEEDS: dict[str, tuple[str, ...]] = {
    "mel_vae": (),
    "clap": (),
    "vocoder": ("mel_vae",),
    "picture_vae": (),
    "binder": ("mel_vae", "vocoder"),
    "audio_unet": ("mel_vae", "vocoder", "clap"),
    "video": ("picture_vae",),
    "pe_av": ("mel_vae", "vocoder"),
}
STAGES = tuple(NEEDS)


def trainer(stage: str) -> Callable[[Folders], Card]:
    """The function that trains a stage; only its own module is imported."""
    return getattr(import_module(f"{__package__}.training.{stage}"), f"train_{stage}")


def run_stage(name: str, folders: Folders) -> None:
    """Run one stage unless its card exists."""
    if card_path(folders, name).exists():
        print(f"{name}: finished before, skipped", flush=True)
        return
    card = trainer(name)(folders)
    card.save(folders)
    print(f"{name}: done in {card.seconds:.0f} s", card.scores, flush=True)


def run_stages(names: Sequence[str], folders: Folders, side_by_side: int, threads: int) -> None:
    """Run stages, each as soon as those it needs have finished, up to `side_by_side` at once in processes of their own.

    Small models gain little from a second thread, and two of them from a second core everything.
    """
    waiting, running = list(names), dict[Future[None], str]()
    with ProcessPoolExecutor(side_by_side, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        while waiting or running:
            unfinished = {*waiting, *running.values()}
            for name in [one for one in waiting if not unfinished & set(NEEDS[one])][: side_by_side - len(running)]:
                waiting.remove(name)
                running[pool.submit(run_stage, name, folders)] = name
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                done.result()
                del running[done]


def write_card(folders: Folders, command: str) -> None:
    """Write card.json and CARD.md from the cards of the finished stages; of others what was written before stays."""
    path = folders.out / "card.json"
    before = json.loads(path.read_text()) if path.exists() else {"stages": []}
    known = {card["stage"]: card for card in before["stages"]}
    known |= {name: json.loads(card_path(folders, name).read_text()) for name in STAGES if card_path(folders, name).exists()}
    cards = [known[name] for name in STAGES if name in known]
    total_mb = sum(path.stat().st_size for path in folders.out.rglob("*.safetensors")) / 1e6
    document = before | {"command": command, "megabytes": round(total_mb, 2), "stages": cards}
    (folders.out / "card.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [
        "# Pocket models",
        "",
        "Small models trained from nothing on the world of `tests/pocket/world.py`, in the formats of the "
        "real ones. They know eight kinds of object and nothing else: a demonstration, not a tool.",
        "",
        f"Made by `{command}`. Weights: {total_mb:.1f} MB in fp16. Seconds are wall-clock time, with whatever else the "
        "machine was doing.",
        "",
        "| stage | steps | seconds | losses | scores |",
        "|---|---|---|---|---|",
    ]
    for card in cards:
        losses = ", ".join(f"{key} {value:.4g}" for key, value in card["losses"].items())
        scores = ", ".join(f"{key} {value:.4g}" for key, value in card["scores"].items())
        lines.append(f"| {card['stage']} | {card['steps']} | {card['seconds']:.0f} | {losses} | {scores} |")
    later = document.get("measured_later", {})
    if later:
        lines += ["", "Of these stages the losses and seconds were lost; measured afterwards, from the saved weights:", ""]
        lines += [f"- {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in own.items()) for name, own in later.items()]
    (folders.out / "CARD.md").write_text("\n".join(lines) + "\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--stage", default="all", choices=("all", *STAGES))
    parser.add_argument("--out", type=Path, default=MODELS_DIR, help="folder of the finished models")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("pocket_training"),
        help="folder of checkpoints; a stage whose card is there is skipped",
    )
    parser.add_argument("--side-by-side", type=int, default=2, help="how many stages to train at once")
    parser.add_argument("--threads", type=int, default=1, help="processor threads of each")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Train the asked stages and write the card."""
    options = parse(arguments)
    folders = Folders(options.out, options.work)
    folders.out.mkdir(parents=True, exist_ok=True)
    folders.work.mkdir(parents=True, exist_ok=True)
    names = STAGES if options.stage == "all" else [options.stage]
    run_stages(names, folders, options.side_by_side, options.threads)
    write_card(folders, COMMAND)


if __name__ == "__main__":
    main(sys.argv[1:])
