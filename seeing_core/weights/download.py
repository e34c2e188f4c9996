"""Well-known models fetched when a user asks for it: resumable, checked, and never half there under their own name.

Not `huggingface_hub.snapshot_download`: since its version 2 it throws away what has come when it is cancelled or cut off, and
before version 1 it tells of no bytes and cannot be cancelled within a file. One file can have 4.5 GB.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from ..errors import InputError
from .catalog import GB, RemoteModel
from .remote import RemoteFile, files_of, named_failures

Callback = Callable[[int, int], None]
"""Told how many bytes of how many are there; an exception it raises cancels, and what has come is kept."""
MARGIN = 200_000_000  # bytes left free on the disk
BLOCK = 8 * 2**20
WAIT_S = 0.5


def fetch(wanted: RemoteModel, folder: Path, callback: Callback = lambda done, total: None) -> Path:
    """The model below `folder`, fetched unless it is there. Two that ask at once get one download.

    Raises InputError when offline, refused, not found, out of space, or when size or checksum are wrong.
    """
    from huggingface_hub import constants

    target = folder / wanted.name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(target, callback, wanted.size):
        if target.is_file():
            return target
        if constants.HF_HUB_OFFLINE:
            raise InputError(
                f"download of {wanted.name}",
                "HF_HUB_OFFLINE, which forbids downloads",
                "a connection",
                f"Or get it from {wanted.page} by hand, into {target}.",
            )
        files = files_of(wanted)
        single = len(files) == 1 and files[0].name == (wanted.file or wanted.name)
        places = [(file, target if single else target / file.name) for file in files]
        logging.info("Fetching %s (%s) from %s", wanted.name, wanted.facts, wanted.page)
        _fetch_all(wanted, folder, [(file, place) for file, place in places if not place.exists()], callback)
    return target


def _fetch_all(wanted: RemoteModel, folder: Path, places: Sequence[tuple[RemoteFile, Path]], callback: Callback) -> None:
    total = sum(file.size or 0 for file, _ in places)
    parts = [_part(file, place) for file, place in places]
    _check_space(wanted, folder, total - sum(part.stat().st_size for part in parts if part.exists()))
    done = 0
    for file, place in places:
        with named_failures(wanted, place):
            _fetch_one(wanted, file, place, lambda size, before=done: callback(before + size, total or wanted.size))
        done += file.size or place.stat().st_size


def _fetch_one(wanted: RemoteModel, file: RemoteFile, place: Path, callback: Callable[[int], None]) -> None:
    """Bytes into a `.part`, checked, then renamed in one step."""
    from huggingface_hub.file_download import http_get

    part = _part(file, place)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    with part.open("r+b") as opened:
        have = opened.seek(0, 2)
        if file.size is not None and have > file.size:
            have = opened.truncate(opened.seek(0))
        callback(have)
        http_get(file.url, _Watched(opened, callback), resume_size=have, headers=dict(file.headers), expected_size=file.size)
    _check(wanted, file, part, callback)
    part.replace(place)


class _Watched:
    """A file that reports how far it has been written."""

    def __init__(self, file: BinaryIO, callback: Callable[[int], None]) -> None:
        self._file, self._told = file, callback
        self.tell, self.seek, self.truncate = file.tell, file.seek, file.truncate

    def write(self, chunk: bytes) -> int:
        written = self._file.write(chunk)
        self._file.flush()
        self._told(self._file.tell())
        return written


def _part(file: RemoteFile, place: Path) -> Path:
    """Where the bytes gather; named by the checksum too, so that another release of the file does not go on from it."""
    return place.with_name(f"{place.name}.{file.digest[:12] or 'download'}.part")


def _check(wanted: RemoteModel, file: RemoteFile, part: Path, callback: Callable[[int], None]) -> None:
    """Raises InputError, and removes the part, when the size or the checksum is not what it should be."""
    size = part.stat().st_size
    found = _digest(part, len(file.digest), lambda: callback(size))
    if file.size not in (None, size) or found != (file.digest if found else ""):
        part.unlink()
        received = f"{size:,} bytes" if file.size not in (None, size) else f"checksum {found[:16]}..."
        expected = f"{file.size:,} bytes" if file.size not in (None, size) else f"{file.digest[:16]}..."
        raise InputError(
            f"download of {wanted.name}, file '{file.name}'",
            received,
            expected,
            "It was thrown away. Run it again; if it stays so, the file at the source has changed.",
        )
    if not found:
        logging.warning("%s: the server names no checksum; only its size was checked", file.name)


def _digest(path: Path, digits: int, callback: Callable[[], None]) -> str:
    """sha256 for 64 digits, git's blob sha1 for 40, nothing otherwise."""
    if digits == 64:
        digest = hashlib.sha256()
    elif digits == 40:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    else:
        return ""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            callback()
    return digest.hexdigest()


def _check_space(wanted: RemoteModel, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN:
        raise InputError(
            f"download of {wanted.name}",
            f"{free / GB:.1f} GB free in '{folder}'",
            f"{(needed + MARGIN) / GB:.1f} GB",
            "Make room, or name a folder on another disk in extra_model_paths.yaml.",
        )


@contextmanager
def _alone(target: Path, callback: Callback, total: int) -> Iterator[None]:
    """One at a time for each target, over processes too; who waits can still cancel. The lock's file is gone afterwards."""
    name = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir(), f"seeing_hearing_{name}.lock")
    while True:
        lock = FileLock(path)
        try:
            lock.acquire(timeout=WAIT_S)
        except Timeout:
            callback(0, total)
            continue
        if path.exists():
            break
        lock.release()  # of a file that the one before has removed: another may hold its successor
    try:
        yield
    finally:
        with suppress(PermissionError):  # Windows: while another waits for it, who will remove it
            path.unlink(missing_ok=True)
        lock.release()
