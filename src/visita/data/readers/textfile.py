"""Reading text files, with an error that says where one is not UTF-8."""

from __future__ import annotations

from pathlib import Path

from visita.data.pictures import printable
from visita.errors import DataError


def read_text(path: Path) -> str:
    """Return the file's text without a byte order mark; line ends stay as they are.

    Raises
    ------
    DataError
        If it cannot be read or is not UTF-8.
    """
    name = printable(str(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from error
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 (byte {error.start} is 0x{content[error.start]:02x}); "
            f"save it as UTF-8."
        ) from error


def read_lines(path: Path) -> list[str]:
    """Return the file's lines without their ends.

    Raises
    ------
    DataError
        If it cannot be read or is not UTF-8.
    """
    # Not splitlines, which also parts a line at characters such as U+2028.
    return [line.removesuffix("\r") for line in read_text(path).split("\n")]
