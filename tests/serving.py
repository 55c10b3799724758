"""A real ``visita serve`` in a process of its own, and plain HTTP to ask it."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

API = "/api/v1"
OWN = {"X-Visita": "1"}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """A service that runs."""

    host: str
    port: int
    process: subprocess.Popen[str]
    headers: dict[str, str] = field(default_factory=lambda: dict(OWN))

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send one request below ``/api/v1``, or to ``path`` where that begins with a slash."""
        address = path if path.startswith("/") else f"{API}/{path}"
        address += f"?{urlencode(query, doseq=True)}" if query else ""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = {} if content is None else {"Content-Type": "application/json"}
        connection = HTTPConnection(self.host, self.port, timeout=60)
        try:
            sent = self.headers | kind | (headers or {})
            connection.request(
                method or ("GET" if body is None else "POST"), address, content, sent
            )
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read())
        finally:
            connection.close()

    def gallery(self) -> str:
        """Return the id of the first gallery."""
        return self.ask("galleries").json["galleries"][0]["id"]

    def wait_until_ready(self) -> None:
        """Return once every gallery is in step."""
        while any(g["state"] == "indexing" for g in self.ask("galleries").json["galleries"]):
            self.wait()

    def wait(self) -> None:
        """Let it work for a moment, in which it must not end."""
        with pytest.raises(subprocess.TimeoutExpired):
            self.process.wait(0.1)

    def stop(self) -> str:
        """End it as Ctrl-C does, and return what it said."""
        self.process.send_signal(signal.SIGINT)
        _, told = self.process.communicate(timeout=60)
        return told


@contextmanager
def serving(
    *words: object,
    command: tuple[str, ...] = ("serve", "--port", "0", "--no-open"),
    **settings: Any,
) -> Iterator[Service]:
    """Run ``visita serve``, or another command that serves, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "visita", *command, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **settings,
    )
    try:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().strip())
        assert address.hostname and address.port, process.communicate()[1]
        yield Service(address.hostname, address.port, process)
    finally:
        process.kill()
        process.communicate()


def sent(picture: Path) -> dict[str, str]:
    """Return a picture as a request brings it."""
    return {"data": base64.b64encode(picture.read_bytes()).decode()}


def place(gallery: str, picture: str) -> str:
    """Return the end of the path of a picture."""
    return f"{quote(gallery, safe='')}/{picture}"
