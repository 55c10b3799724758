"""Files that a stranger may have written: regular ones, up to a size, as text of any encoding."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visita.data.pictures import printable
from visita.errors import DataError


def read_limited(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    DataError
        If it cannot be read, holds more than ``most`` bytes, or is a device or a pipe, which
        may never end.
    """
    name = printable(str(path))
    try:
        with open(path, "rb", opener=open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataError(f"{name} is not a regular file; name a file on disk.")
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{name!r} is not a path: {error}.") from error
    if len(content) > most:
        raise DataError(f"{name} is larger than {most:,} bytes, the most that is read.")
    return content


def open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a pipe, who may never come."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


LIMIT = 20_000_000
"""Bytes of the largest text that is read."""


# 200 of the commonest characters, half of any modern Chinese text; of other encodings' bytes,
# read as Chinese, they are about one in twenty.
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之"
    "年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样"
    "理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将"
    "两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信"
    "表化老给世位次度门任常先"
)
_HAN = re.compile("[\u4e00-\u9fff]")


def decode_prose(source: Path | bytes) -> str:
    """Return a file's text, whether it is in UTF-8, UTF-16 with its mark, or GB18030.

    What is not UTF-8 is taken for GB18030 only if it then reads like Chinese.

    Parameters
    ----------
    source
        A file, or its bytes.

    Raises
    ------
    DataError
        If it cannot be read, is larger than ``LIMIT``, or is in none of these encodings.
    """
    name, content = name_of(source), source if isinstance(source, bytes) else _read(source)
    if len(content) > LIMIT:
        raise DataError(f"{name} is larger than {LIMIT // 10**6} MB; cut it into smaller texts.")
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in content and not utf16:
        raise DataError(f"{name} is not a text: it holds zero bytes; save it as plain text, UTF-8.")
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "gb18030" or _reads_like_chinese(text):
            return text
    raise DataError(
        f"{name} is in no known encoding: not UTF-8, UTF-16 with a byte order mark, or Chinese in "
        f"GB18030. Convert it from its own, as in  iconv -f ISO-8859-1 -t UTF-8 old.txt > new.txt"
    )


def name_of(source: Path | bytes) -> str:
    """Return what to call a text in a message."""
    return "The text" if isinstance(source, bytes) else printable(str(source))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LIMIT + 1)
    except OSError as error:
        raise DataError(f"{printable(str(path))} cannot be read: {error.strerror}.") from error


def _reads_like_chinese(text: str) -> bool:
    han = _HAN.findall(text[:100_000])
    return 0.15 * len(han) < sum(map(_COMMON.__contains__, han))


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


CROISSANT, KARPATHY, COCO, LIST = "croissant", "karpathy", "coco", "list"
HEAD = 100_000
"""Bytes: COCO's own files begin with a kilobyte of licences."""
_KINDS = (
    (LIST, re.compile(rb"^\s*\[")),
    (CROISSANT, re.compile(rb'"@context"\s*:')),
    (KARPATHY, re.compile(rb'"(?:sentids|sentences)"\s*:')),
    (COCO, re.compile(rb'"(?:images|annotations)"\s*:')),
)


def json_kind(path: Path) -> str:
    """Return the kind of the JSON file ``path``, or ``""``."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return ""
    with open(path, "rb", opener=open_at_once) as file:
        head = file.read(HEAD).removeprefix(b"\xef\xbb\xbf")
    return next((kind for kind, pattern in _KINDS if pattern.search(head)), "")
