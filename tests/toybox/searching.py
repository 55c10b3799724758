"""An engine, a family of matchers, and a kind of saved ones."""

from __future__ import annotations

import sys
from pathlib import Path

from visita.artifact import read_json
from visita.errors import ConfigError
from visita.gallery.engines import ExactIndex
from visita.matchers import load
from visita.types import FloatArray, Matcher


class ToyEngine(ExactIndex):
    """The exact engine, which says that it is there."""

    def __init__(self, vectors: FloatArray) -> None:
        super().__init__(vectors)
        print(f"toy engine of {len(vectors)} vectors", file=sys.stderr)


def by_name(name: str, text_encoder: str | None = None) -> Matcher:
    """Return the saved matcher that ``toy:FOLDER`` names."""
    if text_encoder:
        raise ConfigError(f"toy:{name} takes no other text encoder.")
    return load(Path(name))


class ToyKind:
    """A saved matcher that only says where another one is."""

    @classmethod
    def load(cls, folder: Path) -> Matcher:
        return load(Path(read_json(folder / "manifest.json")["matcher"]))
