"""A small hub on loopback that speaks what huggingface_hub asks: model pages, redirects to large files, ranges."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 100_000  # files from this size on lie behind a redirect and have a sha256, as on the Hub


@dataclass
class Shelf:
    """What the hub holds and how it behaves.

    files: by repository and name.  statuses: answers other than the file, by the same.  cut_after: the connection breaks
    after so many bytes, once for each entry.  wrong: served instead of what was announced.  asked: every request.
    """

    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    wrong: dict[tuple[str, str], bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    pause_s: float = 0.0

    def add(self, repository: str, **files: bytes) -> None:
        self.files |= {(repository, name): content for name, content in files.items()}

    def fetched(self, name: str) -> list[str]:
        """The ranges in which a file's bytes were asked for."""
        return [part for method, path, part in self.asked if method == "GET" and path.endswith(name) and "/cdn/" in path]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        shelf, path = self.server.shelf, unquote(urlsplit(self.path).path)
        shelf.asked.append((self.command, path, self.headers.get("Range", "")))
        words = path.strip("/").split("/")
        if words[:2] == ["api", "models"]:
            return self._page("/".join(words[2:4]))
        if words[0] == "cdn":
            return self._bytes("/".join(words[1:3]), "/".join(words[3:]))
        repository, name = "/".join(words[:2]), "/".join(words[4:])
        content = shelf.files.get((repository, name))
        if repository in shelf.statuses or content is None:
            return self._refuse(shelf.statuses.get(repository, 404), repository)
        headers = {"X-Repo-Commit": COMMIT}
        if len(content) < LARGE:
            digest = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            return self._send(200, content, headers | {"ETag": f'"{digest}"'})
        size = shelf.sizes.get((repository, name), len(content))
        elsewhere = f"http://localhost:{self.server.server_port}/cdn/{repository}/{name}"  # another host than the hub's
        self._send(
            302,
            b"",
            headers
            | {"Location": elsewhere, "X-Linked-Size": str(size), "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"'},
        )

    def _page(self, repository: str) -> None:
        shelf = self.server.shelf
        names = [name for owner, name in shelf.files if owner == repository]
        if repository in shelf.statuses or not names:
            return self._refuse(shelf.statuses.get(repository, 404), repository)
        page = {
            "id": repository,
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": name} for name in names],
        }
        self._send(200, json.dumps(page).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, repository: str) -> None:
        code = "RepoNotFound" if status in (401, 404) else "GatedRepo" if status == 403 else ""
        if status == 404 and any(owner == repository for owner, _ in self.server.shelf.files):
            code = "EntryNotFound"
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": "refused"})

    def _bytes(self, repository: str, name: str) -> None:
        shelf = self.server.shelf
        content = shelf.wrong.get((repository, name), shelf.files[repository, name])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = start + shelf.cut_after.pop(0) if shelf.cut_after else len(content)
        for place in range(start, min(stop, len(content)), 2**20):
            self.wfile.write(content[place : min(place + 2**20, stop)])
            self.server.resting.wait(shelf.pause_s)
        if stop < len(content):
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class _Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.shelf, self.resting = Shelf(), threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that cancelled is no error."""


@contextmanager
def open_hub() -> Iterator[tuple[str, Shelf]]:
    """Its address, and the shelf to fill."""
    hub = _Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{hub.server_port}", hub.shelf
    hub.shutdown()
    hub.server_close()
