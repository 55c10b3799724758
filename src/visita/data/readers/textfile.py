"""Reading text files, with an error that says where one is not UTF-8."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visita.data.pictures import printable
from visita.data.reading import read_limited
from visita.errors import DataError

MOST_BYTES = 2_000_000_000
MOST_LINES = 10_000_000
MOST_CONTAINERS = 20_000_000
"""Lists and objects of a JSON file: each takes some 64 bytes, however short it is written."""


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return the file's text without a byte order mark; line ends stay as they are.

    Raises
    ------
    DataError
        If it cannot be read, holds more than ``most`` bytes or ``MOST_LINES``, or is not UTF-8.
    """
    content = read_limited(path, most)
    if content.count(b"\n") > MOST_LINES:
        raise DataError(f"{printable(str(path))} has more than {MOST_LINES:,} lines; part it.")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{printable(str(path))} is not UTF-8 (byte {error.start} is "
            f"0x{content[error.start]:02x}); save it as UTF-8."
        ) from error


def read_lines(path: Path, most: int = MOST_BYTES) -> list[str]:
    """Return the file's lines without their ends.

    Raises
    ------
    DataError
        As ``read_text``.
    """
    # Not splitlines, which also parts a line at characters such as U+2028.
    return [line.removesuffix("\r") for line in read_text(path, most).split("\n")]


def read_json(path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return what a JSON file holds; ``hook`` takes each object while it is read.

    Raises
    ------
    DataError
        If it cannot be read, is not JSON, or holds more than memory should.
    """
    name, text = printable(str(path)), read_text(path)
    if text.count("[") + text.count("{") > MOST_CONTAINERS:
        raise DataError(f"{name} holds more than {MOST_CONTAINERS:,} lists and objects; part it.")
    try:
        return json.loads(text, object_hook=hook)
    except RecursionError as error:
        raise DataError(f"{name} is not JSON for data: it is nested too deeply.") from error
    except ValueError as error:
        raise DataError(f"{name} is not JSON: {error}.") from error
