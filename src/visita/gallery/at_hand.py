"""Files that can be opened: those of a folder as they are, objects of a bucket as copies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from visita.data.buckets import ObjectFile, fetch
from visita.data.pictures import PictureFile
from visita.errors import PassingError

AT_ONCE = 64
"""Objects that have a copy at one time."""
_CONNECTIONS = 8


def at_hand(
    files: Mapping[str, PictureFile], paths: Iterable[str]
) -> Iterator[tuple[Mapping[str, PictureFile], Iterable[str], Mapping[str, str]]]:
    """Yield files that can be opened, which of them are to be read, and why others cannot be.

    A copy of an object is there until the next are asked for.

    Raises
    ------
    DataError
        If a bucket cannot be used any more.
    """
    if not isinstance(next(iter(files.values()), None), ObjectFile):
        yield files, paths, {}
        return
    source = iter(paths)
    while some := list(islice(source, AT_ONCE)):
        with tempfile.TemporaryDirectory(prefix="visita-") as folder:
            copies: dict[str, PictureFile] = {}
            faults: dict[str, str] = {}
            with ThreadPoolExecutor(_CONNECTIONS) as pool:
                jobs = [pool.submit(_copied, files[path], folder) for path in some]
                for path, job in zip(some, jobs, strict=True):
                    try:
                        copies[path] = job.result()
                    except PassingError as error:
                        faults[path] = f"{error}; it is tried again at the next sync"
            yield copies, list(copies), faults


def _copied(file: PictureFile, folder: str) -> PictureFile:
    return fetch(file, Path(tempfile.mkdtemp(dir=folder)))
