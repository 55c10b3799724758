"""A collection as files: a table of its pictures, or the pictures themselves."""

from __future__ import annotations

import csv
import io
import stat
from collections.abc import Iterator, Sequence
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from visita.errors import VisitaError
from visita.serve import models
from visita.serve.library import Library
from visita.serve.pictures import checked, describe, pieces
from visita.serve.problems import NotFoundError, NotReadyError

COLUMNS = ("path", "gallery", "id", "date", "width", "height", "title", "caption")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What begins so, a spreadsheet would compute."""
MISSING = "missing.txt"
UNIX = 3
"""The system of an entry that may be a link."""


def found(
    library: Library, members: Sequence[models.Named]
) -> tuple[list[models.Picture], list[models.Named]]:
    """Return what is known of pictures, and which are in no gallery now."""
    pictures, missing = [], []
    for member in members:
        try:
            pictures.append(describe(library.of(member.gallery).shelf, member.id))
        except (NotFoundError, NotReadyError):
            missing.append(member)
    return pictures, missing


def as_csv(pictures: Sequence[models.Picture]) -> bytes:
    """Return a table, a picture a row, which is safe to open in a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for picture in pictures:
        writer.writerow([_cell(getattr(picture, column)) for column in COLUMNS])
    return out.getvalue().encode("utf-8-sig")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def as_zip(library: Library, pictures: Sequence[models.Picture]) -> Iterator[bytes]:
    """Yield an archive of the files; what cannot be read is named in ``missing.txt``."""
    sink, missing = _Sink(), []
    with ZipFile(sink, "w", ZIP_STORED) as archive:
        for number, picture in enumerate(pictures, 1):
            try:
                file, _ = checked(library.of(picture.gallery).shelf, picture.id)
            except VisitaError as error:
                missing.append(f"{picture.path}: {error}")
                continue
            info = ZipInfo(f"{number:04d}-{picture.name}")
            with archive.open(info, "w", force_zip64=True) as entry:
                for piece in pieces(file):
                    entry.write(piece)
                    yield sink.take()
        if missing:
            archive.writestr(MISSING, "\n".join(missing))
    yield sink.take()


def as_links(pictures: Sequence[models.Picture]) -> bytes:
    """Return an archive that unpacks, on the service's machine, to a folder of links to files."""
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_STORED) as archive:
        for number, picture in enumerate(pictures, 1):
            info = ZipInfo(f"{number:04d}-{picture.name}")
            info.create_system, info.external_attr = UNIX, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, picture.path)
    return out.getvalue()


class _Sink(io.RawIOBase):
    """What an archive is written to, piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken
