"""A hub on this machine: serves folders as repositories by the paths of the Hugging Face hub.

It can break off in the middle of a file, send other bytes, and refuse.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = "safetensors"
"""How the names of files end that are kept by SHA-256, as with LFS."""


@dataclass
class Hub:
    """What is served, and how badly.

    Attributes
    ----------
    repositories : dict of Path
        Folders by name, such as ``someone/tiny``.
    commits : dict of str
        What a repository's revision is called, if not by what it holds.
    licence : str or None
        What every repository states.
    breaks : int or None
        After so many bytes of a large file the connection is closed, once.
    kill : callable
        Called at that moment.
    altered : bool
        Large files come with another last byte.
    instead : bytes or None
        What comes in place of a large file, as where a network wants one to log in first.
    refused : dict of (int, str)
        Status and error code of a repository that nobody gets.
    asked : list of str
        The path of every request.
    ranges : list of str
        The ``Range`` of every request for a large file, ``""`` where there was none.
    """

    repositories: dict[str, Path] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    licence: str | None = "mit"
    breaks: int | None = None
    kill: Callable[[], None] = lambda: None
    altered: bool = False
    instead: bytes | None = None
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    url: str = ""

    def files(self, name: str) -> dict[str, bytes]:
        """Return the content of every file of a repository, by its path there."""
        folder = self.repositories[name]
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def commit(self, name: str) -> str:
        """Return the hash of what a repository holds now."""
        if name in self.commits:
            return self.commits[name]
        parts = [f"{file}:{digest(file, content)}" for file, content in self.files(name).items()]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()


def digest(file: str, content: bytes) -> str:
    """Return what the hub knows a file by."""
    if file.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """Answers one request of the hub's library."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(path)
        model = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        name = (model or file or [None, ""])[1]
        if name in self.hub.refused:
            self._refuse(*self.hub.refused[name])
        elif name not in self.hub.repositories:
            self._refuse(404, "RepoNotFound")
        elif model:
            self._tell(self._tree(name) if model[2] == "tree" else self._info(name))
        else:
            self._send(name, file[2])

    do_HEAD = do_GET  # noqa: N815 - the name that the server calls

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _tell(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _info(self, name: str) -> dict[str, Any]:
        siblings = []
        for file, content in self.hub.files(name).items():
            known = {"rfilename": file, "size": len(content), "blobId": digest(file, content)}
            large = {"size": len(content), "sha256": digest(file, content), "pointerSize": 130}
            siblings.append({**known, "lfs": large} if file.endswith(LARGE) else known)
        card = {"license": self.hub.licence} if self.hub.licence else {}
        sha = self.hub.commit(name)
        return {"id": name, "sha": sha, "siblings": siblings, "cardData": card, "tags": []}

    def _tree(self, name: str) -> list[dict[str, Any]]:
        entries = []
        for file, content in self.hub.files(name).items():
            known = {"type": "file", "path": file, "size": len(content)}
            large = {"size": len(content), "oid": digest(file, content), "pointerSize": 130}
            more = {"lfs": large} if file.endswith(LARGE) else {}
            entries.append({**known, "oid": digest(file, content), **more})
        return entries

    def _send(self, name: str, file: str) -> None:
        content = self.hub.files(name).get(file)
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        large, etag = file.endswith(LARGE), digest(file, content)
        if self.hub.altered and large:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if self.hub.instead is not None and large:
            content = self.hub.instead
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", self.hub.commit(name))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self._write(content[start:], large, asked)

    def _write(self, content: bytes, large: bool, asked: str) -> None:
        if not large:
            self.wfile.write(content)
            return
        self.hub.ranges.append(asked)
        end, self.hub.breaks = self.hub.breaks, None
        self.wfile.write(content[:end])
        if end is not None:
            self.hub.kill()
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve in a thread, at ``hub.url``."""
    answers = type("AnswersOfHub", (Answers,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
