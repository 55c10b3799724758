"""Reading pairs of images and texts, whatever layout they come in.

A reader is one short file here with a class that fits ``Reader``, and one line in the table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from visita.arguments import whole
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
        "coco-drawn": "visita.data.readers.coco:CocoDrawn",
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
        "webdataset": "visita.data.readers.webdataset:WebDataset",
        "multi30k": "visita.data.readers.multi30k:Multi30k",
        "newsimages": "visita.data.readers.newsimages:NewsImages",
    },
)


class Reader(Protocol):
    """One layout of pairs on disk."""

    looks_for: str
    """What ``recognises`` looks for, in words for an error message."""

    def recognises(self, path: Path) -> bool:
        """Tell whether ``path``, which exists, looks like this layout."""
        ...

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        """Read the pairs; ``seed`` draws the splits where the data bring none.

        Nothing outside the data set's folder is read, but for what is in ``roots``.

        Raises
        ------
        DataError
            If ``path`` does not have this layout, or nothing in it is usable.
        """
        ...


class Source(NamedTuple):
    """Pairs on disk, and folders beside where their pictures may lie."""

    spec: str
    roots: tuple[Path | str, ...]


Data = PairSet | Source | str | Path | Any
"""What ``open_pairs`` takes; the last is a DataFrame or a data set of ``datasets``."""
GENERAL = ("folder", "table")
"""Layouts that others are, too: one with a name of its own goes before."""
MOST_SEED = 2**32 - 1


def open_pairs(
    data: Data, *, seed: int = 0, root: Path | str | Iterable[Path | str] = ()
) -> PairSet:
    """Read pairs of images and texts.

    Parameters
    ----------
    data
        ``reader:path``, such as ``flickr8k:data/flickr8k``, or a path alone, whose layout
        is then recognised; a pandas or polars DataFrame, or a ``datasets.Dataset`` or
        ``DatasetDict``, with the columns of a table. A ``PairSet`` is returned as it is.
    seed
        Draws the splits where the data bring none; from 0 to 2³² - 1.
    root
        A folder, or several, where pictures may lie beside the data's own: paths and links
        that lead elsewhere are left out.

    Raises
    ------
    DataError
        If the path does not exist, no reader or more than one recognises it, or nothing
        in it is usable.
    UnknownNameError
        If no reader has that name.
    ConfigError
        If there is no such seed.
    TypeError
        If ``data`` is none of these.

    Examples
    --------
    >>> visita.open_pairs("folder:mypairs")
    <PairSet 'folder:mypairs': 40 images (train 28, dev 6, test 6), 120 texts, 120 pairs>
    """
    whole(seed, "A seed", 0, MOST_SEED)
    if isinstance(data, PairSet):
        return data
    if isinstance(data, Source):
        return open_pairs(data.spec, seed=seed, root=data.roots)
    roots = [_path(str(folder)) for folder in ([root] if isinstance(root, str | Path) else root)]
    for folder in roots:
        if not folder.is_dir():
            raise DataError(f"The root {printable(str(folder))} is not a folder; check the path.")
    if isinstance(data, str | Path):
        return _read(str(data), seed, roots)
    from visita.data.readers.records import is_frame, read_frame  # noqa: PLC0415  rarely needed

    if is_frame(data):
        return read_frame(data, seed, roots)
    raise TypeError(
        f"Pairs are READER:PATH, a path, a PairSet, a pandas or polars DataFrame, or a data set of "
        f"'datasets'; not {type(data).__name__}."
    )


def _read(spec: str, seed: int, roots: Sequence[Path]) -> PairSet:
    try:
        name, path = _parse(spec)
        reader: Reader | None = READERS.load(name)() if name else None
        if not path.exists():
            raise DataError(f"{printable(str(path))} does not exist; check the path.")
        return (reader or _recognise(path)).read(path, seed, roots)
    except OSError as error:
        raise DataError(f"{printable(spec)} cannot be read: {error.strerror}.") from error


def _parse(spec: str) -> tuple[str, Path]:
    # A path may hold colons, and a single letter before one is a Windows drive.
    name, colon, rest = spec.partition(":")
    path = _path(spec)
    is_named = colon and (
        name in READERS or (re.fullmatch(r"\w[\w-]+", name) and not path.exists())
    )
    return (name, _path(rest)) if is_named else ("", path)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111  Path's fails for a file called ~x


def _recognise(path: Path) -> Reader:
    readers: dict[str, Reader] = {name: READERS.load(name)() for name in READERS.names()}
    names = [name for name, reader in readers.items() if reader.recognises(path)]
    names = [name for name in names if name not in GENERAL] or names
    if len(names) == 1:
        return readers[names[0]]
    fault = f"could be {' or '.join(names)}" if names else "is not a data set that visita knows"
    layouts = "; ".join(f"{name}: {reader.looks_for}" for name, reader in readers.items())
    raise DataError(
        f"{printable(str(path))} {fault}. Put the reader's name first, as in folder:PATH. "
        f"What each looks for: {layouts}."
    )
