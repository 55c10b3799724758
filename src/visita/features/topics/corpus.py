"""Texts without pictures, to fit a topic model on: a file with one a line, or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from visita.data.reading import read_limited
from visita.errors import DataError
from visita.progress import report_skipped
from visita.types import Skipped

MOST_BYTES = 100_000_000
"""Of one file of a folder."""


def read_corpus(path: Path) -> list[str]:
    """Return the texts of a UTF-8 file with one text a line, or of a folder of ``.txt`` files.

    Blank texts are left out. A line or file that is not UTF-8 is reported on stderr and
    left out; the order is that of the lines, or of the sorted paths (subfolders included).

    Raises
    ------
    DataError
        If there is no such file or folder, it cannot be read, or it holds no text.
    """
    if path.exists() and not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a file on disk nor a folder.")
    try:
        pieces = _files(path) if path.is_dir() else _lines(path)
        texts = [text for name, raw in pieces if (text := _decoded(name, raw))]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    if not texts:
        raise DataError(
            f"{path} holds no text; give a UTF-8 file with one text a line or a folder of .txt."
        )
    return texts


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield f"{path}:{number}", line


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.txt")):
        try:
            yield str(path), read_limited(path, MOST_BYTES)
        except DataError as error:
            report_skipped([Skipped(str(path), str(error).removeprefix(f"{path} "))])


def _decoded(name: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        report_skipped([Skipped(name, f"not UTF-8 ({error.reason})")])
        return ""
