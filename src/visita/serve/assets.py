"""The page: files that ship with visita, each with a fixed type; read once, when it starts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


class Asset(NamedTuple):
    """One file of the page."""

    content: bytes
    type: str
    etag: str


def assets() -> Mapping[str, Asset]:
    """Return the page's files by their path below ``serve/page``; ``""`` is the page itself."""
    found = {name: _read(file) for name, file in _below(files("visita.serve").joinpath("page"))}
    return {**found, "": found[INDEX]} if INDEX in found else found


def _below(folder: Traversable, start: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir() if folder.is_dir() else ():
        name = f"{start}{entry.name}"
        if entry.is_dir():
            yield from _below(entry, f"{name}/")
        elif _suffix(name) in TYPES:
            yield name, entry


def _read(file: Traversable) -> Asset:
    content = file.read_bytes()
    return Asset(
        content, TYPES[_suffix(file.name)], f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    )


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
