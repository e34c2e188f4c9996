"""Downloads from a hub on loopback: resumed, checked, refused by name, never half there."""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seeing_core.weights import download
from seeing_core.weights.catalog import (
    AUDIOLDM,
    BASE,
    IMAGEBIND,
    MOTION,
    TOKENIZER,
    Checksum,
    RemoteModel,
)
from tests.hub import Shelf, open_hub
from tests.hub_client import fetched

MB = 2**20
REPOSITORY = "guoyww/animatediff"
CONTENT = np.random.default_rng(0).bytes(24 * MB + 5)
KNOWN = RemoteModel(
    "module.ckpt", "animatediff_models", REPOSITORY, len(CONTENT), "Apache 2.0", "https://example.org/page", file="module.ckpt"
)


@pytest.fixture(scope="module")
def hub_and_clients() -> Iterator[tuple[str, Shelf, ProcessPoolExecutor, ProcessPoolExecutor]]:
    """The hub, and processes that know it: some allowed to go online, one not."""
    context = multiprocessing.get_context("spawn")
    with open_hub() as (address, shelf), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", address)
        patch.setenv("HF_HUB_OFFLINE", "1")
        offline = ProcessPoolExecutor(1, mp_context=context)
        assert offline.submit(len, []).result() == 0  # it has started, with this environment
        patch.delenv("HF_HUB_OFFLINE")
        patch.delenv("TRANSFORMERS_OFFLINE", raising=False)
        online = ProcessPoolExecutor(2, mp_context=context)
        for waiting in [online.submit(fetched, KNOWN, Path("/dev/null/x")) for _ in range(2)]:
            waiting.exception()  # both are up
        yield address, shelf, online, offline
        online.shutdown()
        offline.shutdown()


@pytest.fixture
def shelf(hub_and_clients: tuple[str, Shelf, ProcessPoolExecutor, ProcessPoolExecutor]) -> Shelf:
    """The hub's, emptied."""
    vars(hub_and_clients[1]).update(vars(Shelf()))
    hub_and_clients[1].files[REPOSITORY, "module.ckpt"] = CONTENT
    return hub_and_clients[1]


@pytest.fixture
def online(hub_and_clients: tuple[str, Shelf, ProcessPoolExecutor, ProcessPoolExecutor]) -> ProcessPoolExecutor:
    return hub_and_clients[2]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_checked_and_renamed(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    result, progress = online.submit(fetched, KNOWN, tmp_path / "new" / "folder").result()
    assert Path(result).read_bytes() == CONTENT and names(tmp_path) == ["new/folder/module.ckpt"]
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert progress[0] == (0, len(CONTENT)) and progress[-1] == (len(CONTENT), len(CONTENT)) and len(progress) > 3
    again, _ = online.submit(fetched, KNOWN, tmp_path / "new" / "folder").result()
    assert again == result and len(shelf.fetched("module.ckpt")) == 1


def test_a_cut_connection_is_taken_up_again(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    shelf.cut_after = [21 * MB]
    result, _ = online.submit(fetched, KNOWN, tmp_path).result()
    assert Path(result).read_bytes() == CONTENT
    assert shelf.fetched("module.ckpt") == ["", f"bytes={20 * MB}-"]


def test_cancel_leaves_a_part_that_the_next_run_goes_on_from(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    result, _ = online.submit(fetched, KNOWN, tmp_path, cancel_at=5 * MB).result()
    [part] = names(tmp_path)
    assert result == "cancelled" and part.startswith("module.ckpt.") and part.endswith(".part")
    have = (tmp_path / part).stat().st_size
    assert 5 * MB <= have < len(CONTENT)
    result, progress = online.submit(fetched, KNOWN, tmp_path).result()
    assert Path(result).read_bytes() == CONTENT and names(tmp_path) == ["module.ckpt"]
    assert progress[0][0] == have and shelf.fetched("module.ckpt")[-1] == f"bytes={have}-"


def test_another_release_does_not_go_on_from_an_old_part(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    online.submit(fetched, KNOWN, tmp_path, cancel_at=5 * MB).result()
    shelf.files[REPOSITORY, "module.ckpt"] = newer = CONTENT[::-1]
    result, _ = online.submit(fetched, KNOWN, tmp_path).result()
    assert Path(result).read_bytes() == newer


def test_wrong_bytes_are_thrown_away(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    shelf.wrong[REPOSITORY, "module.ckpt"] = CONTENT[:-1] + b"\0"
    result, _ = online.submit(fetched, KNOWN, tmp_path).result()
    assert result.startswith("download of module.ckpt, file 'module.ckpt': received checksum ") and "thrown away" in result
    assert names(tmp_path) == []


def test_a_file_that_is_not_the_published_one(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    """The server is consistent with itself, but the published checksum is another."""
    pinned = replace(KNOWN, checksums={"module.ckpt": Checksum(len(CONTENT), hashlib.sha256(b"other").hexdigest())})
    result, _ = online.submit(fetched, pinned, tmp_path).result()
    assert "received checksum" in result and hashlib.sha256(b"other").hexdigest()[:16] in result
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "status, words",
    [
        (404, "no such file (404)"),
        (401, "a refusal (401); expected access. Accept the licence"),
        (403, "a refusal (403)"),
        (500, "a failure ("),
    ],
)
def test_refusals_say_what_to_do(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path, status: int, words: str) -> None:
    shelf.statuses[REPOSITORY] = status
    result, _ = online.submit(fetched, KNOWN, tmp_path).result()
    assert result.startswith("download of module.ckpt: received ") and words in result
    assert "https://example.org/page by hand" in result and names(tmp_path) == []


def test_no_room(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    shelf.sizes[REPOSITORY, "module.ckpt"] = 2**60
    result, _ = online.submit(fetched, KNOWN, tmp_path).result()
    assert " GB free in '" in result and "expected 1152921504.8 GB. Make room" in result
    assert names(tmp_path) == [] and not shelf.fetched("module.ckpt")


def test_nothing_is_asked_when_offline(
    shelf: Shelf, hub_and_clients: tuple[str, Shelf, ProcessPoolExecutor, ProcessPoolExecutor], tmp_path: Path
) -> None:
    result, _ = hub_and_clients[3].submit(fetched, KNOWN, tmp_path).result()
    assert "received HF_HUB_OFFLINE, which forbids downloads" in result and not shelf.asked and names(tmp_path) == []


def test_two_that_ask_at_once_get_one_download(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    shelf.pause_s = 0.02
    results = [waiting.result()[0] for waiting in [online.submit(fetched, KNOWN, tmp_path) for _ in range(2)]]
    assert results == [str(tmp_path / "module.ckpt")] * 2
    assert len(shelf.fetched("module.ckpt")) == 1 and names(tmp_path) == ["module.ckpt"]


def test_no_lock_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), download._alone(tmp_path / "models" / "module.ckpt", lambda done, total: None, 1):
        assert len(names(tmp_path)) == 1
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_who_waits_for_another_can_cancel(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    shelf.pause_s = 0.1
    first = online.submit(fetched, KNOWN, tmp_path)
    while not shelf.fetched("module.ckpt"):
        assert not first.done()
    result, _ = online.submit(fetched, KNOWN, tmp_path, cancel_at=0).result()
    assert result == "cancelled" and first.result()[0] == str(tmp_path / "module.ckpt")


def test_a_file_from_another_server(
    shelf: Shelf, hub_and_clients: tuple[str, Shelf, ProcessPoolExecutor, ProcessPoolExecutor], tmp_path: Path
) -> None:
    """As ImageBind's: one URL, no hub, the published checksum."""
    url = f"{hub_and_clients[0]}/cdn/{REPOSITORY}/module.ckpt"
    checksum = Checksum(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    plain = replace(KNOWN, source=url, file="", checksums={"module.ckpt": checksum})
    shelf.cut_after = [12 * MB]
    result, _ = hub_and_clients[2].submit(fetched, plain, tmp_path).result()
    assert Path(result).read_bytes() == CONTENT


def whole_model(repository: str) -> dict[tuple[str, str], bytes]:
    """A repository with more forms of each weight than one needs."""
    weights = {
        f"{part}/{name}": CONTENT[: 200_000 + number]
        for number, part in enumerate(AUDIOLDM[1].parts[:4])
        for name in ("model.bin", "model.safetensors", "model.fp16.safetensors", "flax_model.msgpack")
    }
    small = {
        "model_index.json": b"{}",
        "README.md": b"x",
        "unet/config.json": b'{"a": 1}',
        "tokenizer/vocab.json": b"{}",
        "scheduler/scheduler_config.json": b"{}",
        "tokenizer/merges.txt": b"",
        "audio_sample.wav": b"x",
        "safety_checker/model.safetensors": CONTENT[:150_000],
        ".gitattributes": b"",
    }
    return {(repository, name): content for name, content in (weights | small).items()}


def test_a_whole_folder_in_one_form(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    model = AUDIOLDM[1]
    shelf.files = whole_model(model.source)
    result, progress = online.submit(fetched, model, tmp_path).result()
    assert result == str(tmp_path / model.name)
    assert names(tmp_path / model.name) == sorted(
        [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "tokenizer/merges.txt",
            "tokenizer/vocab.json",
            "unet/config.json",
            *(f"{part}/model.safetensors" for part in model.parts[:4]),
        ]
    )
    last = [path for method, path, _ in shelf.asked if method == "GET"][-1]
    assert last.endswith("/model_index.json")  # until then, no loader takes the folder for a model
    assert progress[-1][0] == progress[-1][1]


def test_a_folder_broken_off_is_completed(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    model = AUDIOLDM[1]
    shelf.files = whole_model(model.source)
    result, _ = online.submit(fetched, model, tmp_path, cancel_at=450_000).result()
    assert result == "cancelled" and "model_index.json" not in names(tmp_path / model.name)
    before = len(shelf.fetched("model.safetensors"))
    online.submit(fetched, model, tmp_path).result()
    assert "model_index.json" in names(tmp_path / model.name)
    assert len(shelf.fetched("model.safetensors")) <= before + 3


def test_only_a_tokenizer(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path) -> None:
    shelf.files = whole_model(TOKENIZER.source)
    online.submit(fetched, TOKENIZER, tmp_path).result()
    assert {"tokenizer/vocab.json", "tokenizer/merges.txt"} <= set(names(tmp_path / TOKENIZER.name))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "name", ["../../escaped.json", "/etc/escaped.json", "unet/..\\escaped.json", "C:/escaped.json", "a\0b.json"]
)
def test_names_that_lead_out_of_the_folder(shelf: Shelf, online: ProcessPoolExecutor, tmp_path: Path, name: str) -> None:
    model = AUDIOLDM[1]
    shelf.files = whole_model(model.source) | {(model.source, name): b"{}"}
    result, _ = online.submit(fetched, model, tmp_path / "deep" / "er").result()
    assert "received a file named" in result and "Do not use this source" in result
    assert names(tmp_path) == []


def test_the_catalogue_is_complete() -> None:
    models = (*AUDIOLDM, *IMAGEBIND, *BASE, *MOTION, TOKENIZER)
    assert len({model.name for model in models}) == len(models)
    for model in models:
        assert model.page.startswith("https://") and model.licence and model.size > 1_000_000
        for checksum in model.checksums.values():
            assert len(checksum.sha256) == 64 and set(checksum.sha256) <= set("0123456789abcdef")
        if model.file:
            assert all(name == model.file for name in model.checksums)
    assert sum(checksum.size for checksum in AUDIOLDM[0].checksums.values()) == AUDIOLDM[0].size
