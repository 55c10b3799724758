"""Pictures by gallery and id: what is known of them, small copies and the files themselves."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from visita.data.decode import decoding
from visita.data.files import open_at_once
from visita.data.pictures import printable
from visita.durable import make_folder
from visita.errors import PictureError
from visita.home import cache_home
from visita.serve import models
from visita.serve.problems import GoneError, NotFoundError
from visita.serve.shelf import Shelf

Side = Literal["160", "320", "640", "1280"]
REDUCED_TO = 320
"""Small copies up to this side are made from a reduced picture, which keeps some 520 pixels."""
QUALITY = 82
PIECE = 2**18
TYPES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "image/jpeg"),
    **{".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".bmp": "image/bmp"},
    **{".avif": "image/avif", ".heic": "image/heic", ".heif": "image/heif"},
    **dict.fromkeys((".tif", ".tiff"), "image/tiff"),
}
OTHER = "application/octet-stream"


def describe(shelf: Shelf, picture: str) -> models.Picture:
    """Return what is known of a picture.

    Raises
    ------
    NotFoundError
        If there is none of this id.
    """
    path = str(shelf.path(picture))
    digests, paths = shelf.snapshot.digests, shelf.snapshot.paths
    copies = [paths[row] for row, digest in enumerate(digests) if digest == picture]
    [known] = shelf.described([path])
    return models.Picture(
        **{
            **{
                k: v for k, v in known.items() if k in models.Picture.model_fields and v is not None
            },
            "gallery": shelf.id,
            "id": picture,
            "path": printable(path),
            "name": printable(Path(path).name),
            "folder": known.get("folder") or "",
            "copies": tuple(printable(other) for other in copies if other != path),
            "keywords": tuple(filter(None, (known.get("keywords") or "").split("\n"))),
        }
    )


def thumbnail(shelf: Shelf, picture: str, side: Side) -> bytes:
    """Return a small JPEG, upright, whose longer side has at most so many pixels; made once.

    Raises
    ------
    NotFoundError, GoneError
        If there is none of this id, or its file is another now.
    PictureError
        If it cannot be decoded.
    """
    pixels = int(side)
    kept = cache_home() / "thumbnails" / picture[:2] / f"{picture}-{side}.jpg"
    shelf.row(picture)
    try:
        return kept.read_bytes()
    except FileNotFoundError:
        pass
    file, _ = checked(shelf, picture)
    file.close()
    path = shelf.path(picture)
    make_folder(kept.parent)
    draft = kept.with_suffix(f".{os.urandom(6).hex()}")
    try:
        with decoding(path, reduced=pixels <= REDUCED_TO) as whole:
            small = whole.copy()
            small.thumbnail((pixels, pixels))
        small.save(draft, "JPEG", quality=QUALITY)
    except PictureError as error:
        raise type(error)(f"{path.name}: {error}") from error
    draft.replace(kept)
    return kept.read_bytes()


def checked(shelf: Shelf, picture: str) -> tuple[FileIO, int]:
    """Open the file of a picture, which holds what was indexed; return its size too.

    Raises
    ------
    NotFoundError
        If there is none of this id, or a link leads out of the gallery.
    GoneError
        If the file is gone, or another now.
    """
    path = shelf.path(picture)
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(shelf.gallery.folder):
            raise NotFoundError(f"{path.name} is a link that leads out of its gallery's folder.")
        file = FileIO(real, opener=open_at_once)
        if hashlib.file_digest(file, "sha256").hexdigest() == picture:
            size = file.tell()
            file.seek(0)
            return file, size
        file.close()
    except OSError as error:
        raise GoneError(f"{path.name} cannot be read now: {error.strerror}.") from error
    raise GoneError(f"{path.name} is another picture now: let the gallery be brought in step.")


def pieces(file: FileIO) -> Iterator[bytes]:
    """Yield a file's bytes, and close it."""
    with file:
        while piece := file.read(PIECE):
            yield piece


def headers(name: str) -> dict[str, str]:
    """Return those of a file that is downloaded, whatever it is called."""
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(printable(name), safe='')}"
    }
