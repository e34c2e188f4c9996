"""What the Hub, or another server, says of the files of a well-known model: addresses, sizes, checksums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError
from .catalog import RemoteModel
from .files import first_line

INDICES = ("model_index.json", "config.json")  # what makes a folder a model: fetched last
SMALL = (".json", ".txt", ".model", ".jinja")
OTHER_FORMS = (".fp16.", "non_ema", "flax_", "tf_", "openvino", "onnx", "training_args")


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    name: with "/" between folders.  size: bytes, if known.  digest: sha256 (64 digits), or git's sha1 of small files (40),
    or empty when no one says.
    """

    name: str
    url: str
    size: int | None
    digest: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def files_of(wanted: RemoteModel) -> list[RemoteFile]:
    """The files of a model, its index last. Raises InputError when the server refuses, cannot be reached, or is not asked."""
    with named_failures(wanted):
        if wanted.source.startswith(("http://", "https://")):
            return [_at_url(wanted)]
        if wanted.file:
            return [_in_repository(wanted, wanted.file)]
        return _whole_repository(wanted)


def _at_url(wanted: RemoteModel) -> RemoteFile:
    checksum = wanted.checksums.get(wanted.name)
    return RemoteFile(wanted.name, wanted.source, checksum.size if checksum else None, checksum.sha256 if checksum else "")


def _in_repository(wanted: RemoteModel, name: str, revision: str | None = None) -> RemoteFile:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(wanted.source, name, revision=revision)
    metadata = get_hf_file_metadata(url)
    checksum = wanted.checksums.get(name)
    if checksum:
        return RemoteFile(name, url, checksum.size, checksum.sha256, build_hf_headers())
    return RemoteFile(name, url, metadata.size, metadata.etag or "", build_hf_headers())


def _whole_repository(wanted: RemoteModel) -> list[RemoteFile]:
    from huggingface_hub import HfApi

    info = HfApi().model_info(wanted.source)
    names = _wanted(wanted, [sibling.rfilename for sibling in info.siblings or []])
    if not names:
        raise InputError(wanted.name, f"a repository without weights, {wanted.page}", "the model's files")
    return [_in_repository(wanted, name, info.sha) for name in names]


def _wanted(wanted: RemoteModel, names: Iterable[str]) -> list[str]:
    """One form of each weight, safetensors before pickles, and the small files beside them; the index last."""
    paths = [_safe(wanted, name) for name in names]
    kept = [path for path in paths if _belongs(wanted, path) and not any(form in path.name for form in OTHER_FORMS)]
    safe = {path.parent for path in kept if path.suffix == ".safetensors"}
    chosen = [
        path for path in kept if path.suffix in (*SMALL, ".safetensors") or (path.suffix == ".bin" and path.parent not in safe)
    ]
    return [str(path) for path in sorted(chosen, key=lambda path: (path.name in INDICES and len(path.parts) == 1, str(path)))]


def _belongs(wanted: RemoteModel, path: PurePosixPath) -> bool:
    if path.name.startswith("."):
        return False
    if len(path.parts) == 1:
        return not wanted.parts or path.name in INDICES
    return path.parts[0] in wanted.parts


def _safe(wanted: RemoteModel, name: str) -> PurePosixPath:
    """The name of a file below the model's own folder. Raises InputError for any that would lie elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(sign in name for sign in "\\\0:") or not path.parts:
        raise InputError(
            wanted.name, f"a file named {name!r} in {wanted.page}", "names inside the model's folder", "Do not use this source."
        )
    return path


@contextmanager
def named_failures(wanted: RemoteModel, target: Path | None = None) -> Iterator[None]:
    """Whatever the network does, as an InputError with what to do about it."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    by_hand = f"Or get it from {wanted.page} by hand" + (f", into {target}." if target else ".")
    where = f"download of {wanted.name}"
    # The Hub's error is also its HTTP library's, whichever of three that is in this release: its bases cover all others.
    network: tuple[Any, ...] = (HfHubHTTPError, *HfHubHTTPError.__bases__, OSError)
    try:
        yield
    except InputError:
        raise
    except OfflineModeIsEnabled as error:
        raise InputError(where, "HF_HUB_OFFLINE, which forbids downloads", "a connection", by_hand) from error
    except network as error:
        status = getattr(error.response, "status_code", None) if isinstance(error, HfHubHTTPError) else None
        if status in (401, 403):
            raise InputError(
                where,
                f"a refusal ({status})",
                "access",
                f"Accept the licence on the page, then log in with: hf auth login. {by_hand}",
            ) from error
        if status == 404:
            raise InputError(where, "the answer that there is no such file (404)", f"it on {wanted.page}", by_hand) from error
        raise InputError(
            where,
            f"a failure ({first_line(error)})",
            "a connection and a disk with room",
            f"Run it again: what has come is kept. {by_hand}",
        ) from error
