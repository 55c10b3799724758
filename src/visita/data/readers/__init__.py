"""Reading pairs of images and texts, whatever layout they come in.

A reader is one short file here with a class that fits ``Reader``, and one line in the table.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

from visita.data.pairs import PairSet
from visita.data.pictures import printable
from visita.errors import DataError
from visita.registry import Registry

__all__ = ["READERS", "Reader", "open_pairs"]

READERS = Registry(
    "reader",
    {
        "flickr8k": "visita.data.readers.flickr8k:Flickr8k",
        "coco": "visita.data.readers.coco:Coco",
        "folder": "visita.data.readers.folder:Folder",
        "table": "visita.data.readers.table:Table",
        "sohu": "visita.data.readers.sohu:Sohu",
        "flickr30k": "visita.data.readers.flickr30k:Flickr30k",
        "flickr30k-karpathy": "visita.data.readers.flickr30k:Flickr30kKarpathy",
        "flickr30k-m-rnn": "visita.data.readers.flickr30k:Flickr30kMRnn",
        "karpathy": "visita.data.readers.karpathy:Karpathy",
        "karpathy-with-restval": "visita.data.readers.karpathy:KarpathyWithRestval",
        "karpathy-without-restval": "visita.data.readers.karpathy:KarpathyWithoutRestval",
        "croissant": "visita.data.readers.croissant:Croissant",
    },
)


class Reader(Protocol):
    """One layout of pairs on disk."""

    looks_for: str
    """What ``recognises`` looks for, in words for an error message."""

    def recognises(self, path: Path) -> bool:
        """Tell whether ``path``, which exists, looks like this layout."""
        ...

    def read(self, path: Path, seed: int) -> PairSet:
        """Read the pairs; ``seed`` draws the splits where the data bring none.

        Raises
        ------
        DataError
            If ``path`` does not have this layout, or nothing in it is usable.
        """
        ...


def open_pairs(spec: str, seed: int = 0) -> PairSet:
    """Read pairs of images and texts.

    Parameters
    ----------
    spec
        ``reader:path``, such as ``flickr8k:data/flickr8k``, or a path alone, whose layout
        is then recognised.
    seed
        Draws the splits where the data bring none.

    Raises
    ------
    DataError
        If the path does not exist, no reader or more than one recognises it, or nothing
        in it is usable.
    UnknownNameError
        If no reader has that name.
    """
    try:
        name, path = _parse(spec)
        reader: Reader | None = READERS.load(name)() if name else None
        if not path.exists():
            raise DataError(f"{printable(str(path))} does not exist; check the path.")
        return (reader or _recognise(path)).read(path, seed)
    except OSError as error:
        raise DataError(f"{printable(spec)} cannot be read: {error.strerror}.") from error


def _parse(spec: str) -> tuple[str, Path]:
    # A path may hold colons, and a single letter before one is a Windows drive.
    name, colon, rest = spec.partition(":")
    whole = _path(spec)
    named = colon and (name in READERS or (re.fullmatch(r"\w[\w-]+", name) and not whole.exists()))
    return (name, _path(rest)) if named else ("", whole)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111  Path's fails for a file called ~x


def _recognise(path: Path) -> Reader:
    readers: dict[str, Reader] = {name: READERS.load(name)() for name in READERS.names()}
    found = [name for name, reader in readers.items() if reader.recognises(path)]
    if len(found) == 1:
        return readers[found[0]]
    fault = f"could be {' or '.join(found)}" if found else "is not a data set that visita knows"
    layouts = "; ".join(f"{name}: {reader.looks_for}" for name, reader in readers.items())
    raise DataError(
        f"{printable(str(path))} {fault}. Put the reader's name first, as in folder:PATH. "
        f"What each looks for: {layouts}."
    )
