"""A real ComfyUI server with this pack in it, in a process of its own, for the demo and for the tests."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
COMFYUI = Path(os.environ.get("COMFYUI_PATH", ROOT / ".venv" / "ComfyUI"))
START_LIMIT_S = 180
LINK = "seeing_hearing"

Event = Callable[[str, dict[str, Any]], None]


class ComfyServer:
    """Starts on entry, stops on exit.  base: ComfyUI's folder for models, input, output; made if absent.

    options: further arguments of ComfyUI's main.py.  environment: variables set beside this process's own.

    Raises RuntimeError with the log's end if the server does not start or the pack's import failed.
    """

    def __init__(
        self,
        base: Path,
        *,
        output: Path | None = None,
        cpu: bool = True,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.base, self.output, self.cpu, self.options = base, output or base / "output", cpu, options
        self.environment = environment or {}
        self.log = base / "server.log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ComfyServer:
        nodes = self.base / "custom_nodes"
        for folder in (nodes, self.base / "input", self.output):
            folder.mkdir(parents=True, exist_ok=True)
        link = nodes / LINK
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT, target_is_directory=True)
        command = [
            sys.executable,
            "main.py",
            "--listen",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--disable-api-nodes",
            "--base-directory",
            str(self.base),
            "--preview-method",
            "auto",
            "--output-directory",
            str(self.output),
            "--database-url",
            "sqlite:///:memory:",
            *(["--cpu"] if self.cpu else []),
            *self.options,
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=COMFYUI, stdout=log, stderr=log, env=os.environ | self.environment)
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_until_ready(self) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit and self.process.poll() is None:
            try:
                self.get("/system_stats")
                break
            except OSError:
                time.sleep(0.3)
        else:
            raise RuntimeError("ComfyUI did not start:\n" + self.log_end())
        if "(IMPORT FAILED)" in self.log.read_text(errors="replace"):
            raise RuntimeError("ComfyUI started, but could not import the pack:\n" + self.log_end())

    def log_end(self, characters: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-characters:]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def post(self, path: str, body: Any) -> Any:
        """The JSON answer. Raises urllib.error.HTTPError for a status over 399."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    async def upload(self, path: Path, name: str) -> str:
        """Uploads a media file as the page does; returns the name under which workflows find it."""
        form = aiohttp.FormData()
        form.add_field("image", path.read_bytes(), filename=name)
        form.add_field("overwrite", "true")
        async with aiohttp.ClientSession() as session, session.post(self.url + "/upload/image", data=form) as answer:
            answer.raise_for_status()
            return (await answer.json())["name"]

    async def run(
        self, prompt: dict[str, Any], *, event: Event = lambda kind, data: None, extra_data: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Queues an API-format workflow, tells `event` each message, returns its history entry when it has ended.

        extra_data: the page's own settings for this run, such as {"preview_method": "none"}.

        Raises RuntimeError when the server refuses the workflow.
        """
        client = uuid.uuid4().hex
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{self.url}/ws?clientId={client}", max_msg_size=0) as socket_:
                queued = {"prompt": prompt, "client_id": client, "extra_data": dict(extra_data or {})}
                async with session.post(self.url + "/prompt", json=queued) as answer:
                    reply = await answer.json()
                if answer.status != 200 or reply.get("node_errors"):
                    raise RuntimeError(f"ComfyUI refused the workflow: {json.dumps(reply, indent=1)}")
                async for message in socket_:
                    if message.type == aiohttp.WSMsgType.BINARY:
                        event("preview", {"bytes": message.data})
                        continue
                    kind, data = (parsed := json.loads(message.data))["type"], parsed.get("data", {})
                    event(kind, data)
                    if data.get("prompt_id") == reply["prompt_id"] and kind in (
                        "execution_success",
                        "execution_error",
                        "execution_interrupted",
                    ):
                        break
        return await self._history(reply["prompt_id"])

    async def _history(self, prompt_id: str) -> dict[str, Any]:
        import asyncio

        for _ in range(100):  # the entry appears a moment after the last message
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry:
                return entry
            await asyncio.sleep(0.1)
        raise RuntimeError("ComfyUI lost the workflow:\n" + self.log_end())


def output_files(entry: dict[str, Any], server: ComfyServer) -> list[Path]:
    """The files that a finished workflow saved."""
    saved = [
        item
        for node in entry["outputs"].values()
        for items in node.values()
        if isinstance(items, list)
        for item in items
        if isinstance(item, dict) and item.get("type") == "output"
    ]
    return [server.output / item["subfolder"] / item["filename"] for item in saved]


def error_of(entry: dict[str, Any]) -> str:
    """The exception message of a failed workflow; empty when it did not fail."""
    for kind, data in entry["status"]["messages"]:
        if kind == "execution_error":
            return re.sub(r"\s+", " ", data["exception_message"]).strip()
    return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
