"""Pictures that a request names or brings, as what the library takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL.Image import Image

from visita.data.formats import BoundedFile, identify
from visita.errors import PictureError
from visita.search.finder import Finder
from visita.serve.library import Library
from visita.serve.models import Given


def opened(given: Given, library: Library, most_pixels: int) -> Image:
    """Return a picture in RGB, as the matcher's networks read it.

    Raises
    ------
    NotFoundError
        If there is none of this id.
    PictureError
        If it cannot be decoded, or is sent and has more pixels than it may; the message names
        no file of the service.
    """
    if given.data is not None:
        _check_pixels(given.data, most_pixels)
        with _as_file(given.data) as path:
            return _open(library.finder, path, "The picture that was sent")
    assert given.gallery is not None and given.id is not None  # or its shape was refused
    path = library.of(given.gallery).shelf.path(given.id)
    return _open(library.finder, path, path.name)


def _open(finder: Finder, path: Path, name: str) -> Image:
    try:
        return finder.pictures.open(path)
    except PictureError as error:
        raise type(error)(f"{name}: {str(error).removeprefix(f'{path}: ')}") from error


def _check_pixels(data: bytes, most: int) -> None:
    try:
        width, height = identify(BoundedFile(BytesIO(data))).size
    except PictureError:
        raise
    except Exception as error:  # headers of damaged files raise nearly anything
        raise PictureError("The picture that was sent cannot be decoded.") from error
    if width * height > most:
        raise PictureError(
            f"The picture that was sent has {width} x {height} pixels; the limit is "
            f"{most // 10**6:,} million."
        )


@contextmanager
def _as_file(data: bytes) -> Iterator[Path]:
    """Lend a file of its own to what is decoded in one way only, from files."""
    with tempfile.TemporaryDirectory(prefix="visita-") as folder:
        path = Path(folder, "picture")
        path.write_bytes(data)
        yield path
