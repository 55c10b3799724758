"""WebDataset: tar files in which what belongs together has one name and several endings.

Source: https://github.com/webdataset/webdataset; img2dataset writes such tars, with the caption
in ``.txt`` and what is known of the picture in ``.json``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from visita.data.pairs import PairSet
from visita.data.pictures import is_picture_name, printable
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.bounds import Bounds
from visita.data.readers.columns import TEXT, texts_of
from visita.data.readers.table import loaded, split_named
from visita.data.readers.unpacked import MOST_PICTURE, Unpacked
from visita.errors import DataError
from visita.types import Skipped

TEXT_ENDINGS = ("txt", "text", "caption", "cap")
MOST_NOTES = 1_000_000
"""Bytes of a text or JSON in a tar, and of what tar itself keeps of one file."""
MOST_FILES = 20_000_000


class WebDataset:
    """Reads one ``.tar``, or all in a folder; pictures are unpacked into the cache.

    Tars named for ``train``, ``val`` or ``test`` are these splits; else splits are drawn.
    """

    looks_for = (
        "a .tar file, or a folder of them, with pictures and texts of the same name, as in "
        "000.jpg and 000.txt or 000.json"
    )

    def recognises(self, path: Path) -> bool:
        return bool(_tars(path))

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        tars = _tars(path)
        if not tars:
            raise DataError(f"{path} is not WebDataset: it should be {self.looks_for}.")
        bounds = Bounds(path if path.is_dir() else path.parent, roots)
        splits = {tar: split_named(tar.name) for tar in tars}
        unpacked, problems = Unpacked(), list[Skipped]()
        captions: list[Caption] = []
        for tar in tars:
            if tar != path:
                bounds.check(tar)
            split = splits[tar] if all(splits.values()) else None
            captions += _captions(tar, split, unpacked, problems)
        return assemble(f"webdataset:{path}", captions, problems, seed, bounds)


class _Sample(NamedTuple):
    """What a tar holds under one name."""

    pictures: list[tuple[str, Path]]
    """Endings and files."""
    texts: list[str]
    notes: list[Any]
    """Of its JSON."""


def _tars(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(tar for tar in path.glob("*.tar") if tar.is_file())
    return [path] if path.suffix.lower() == ".tar" else []


def _captions(
    tar: Path, split: str | None, unpacked: Unpacked, problems: list[Skipped]
) -> Iterator[Caption]:
    samples: dict[str, _Sample] = {}
    try:
        # "r:" reads no compressed tar, whose headers alone could fill the memory.
        with tar.open("rb") as file, tarfile.open(fileobj=_Careful(file), mode="r:") as archive:  # type: ignore[call-overload]
            for number, member in enumerate(archive):
                if number >= MOST_FILES:
                    raise DataError(f"{printable(str(tar))} holds more than {MOST_FILES:,} files.")
                if member.isreg():
                    _take(archive, member, samples, unpacked, problems)
                archive.members = []  # which would keep all
    except (tarfile.TarError, OverflowError, ValueError, EOFError) as error:
        raise DataError(f"{printable(str(tar))} cannot be read as a tar: {error}.") from error
    for key, sample in samples.items():
        yield from _paired(f"{tar.stem}/{key}", sample, split, problems)


def _take(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    samples: dict[str, _Sample],
    unpacked: Unpacked,
    problems: list[Skipped],
) -> None:
    """Add a file of the tar to what has its name."""
    folder, name = PurePosixPath(member.name).parent, PurePosixPath(member.name).name
    stem, _, ending = name.partition(".")
    ending = ending.lower()
    wanted = is_picture_name(name), ending in TEXT_ENDINGS, ending == "json"
    if not any(wanted) or not stem:
        return
    most = MOST_PICTURE if wanted[0] else MOST_NOTES
    if member.size > most:
        problems.append(Skipped(printable(member.name), f"is larger than {most:,} bytes"))
        return
    content = archive.extractfile(member)
    assert content is not None  # true of regular files
    raw = content.read()
    sample = samples.setdefault(str(folder / stem), _Sample([], [], []))
    if wanted[0]:
        sample.pictures.append((ending, unpacked.keep(raw, name)))
    elif wanted[1]:
        sample.texts.append(raw.decode("utf-8", "replace"))
    else:
        sample.notes.append(loaded(raw))


def _paired(
    key: str, sample: _Sample, split: str | None, problems: list[Skipped]
) -> Iterator[Caption]:
    texts = sample.texts or [text for note in sample.notes for text in _noted(note)]
    if not sample.pictures or not any(text.strip() for text in texts):
        lacks = "text" if sample.pictures else "picture"
        problems.append(Skipped(printable(key), f"has no {lacks} beside it"))
        return
    ending, file = sample.pictures[0]
    for number, text in enumerate(texts):
        yield Caption(f"{key}.{ending}", file, text, (key, number), split)


def _noted(note: Any) -> Iterator[str]:
    """Yield the texts in the JSON of a sample."""
    if isinstance(note, dict):
        cell = next((note[name] for name in TEXT if name in note), None)
        yield from (text for text in texts_of(cell) if text)


class _Careful:
    """A file that refuses to be read in pieces larger than any that is asked for rightly."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_PICTURE:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()
