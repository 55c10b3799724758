"""Decoding texts from anywhere: UTF-8, UTF-16 or the encoding of Chinese files."""

from __future__ import annotations

import re
from pathlib import Path

from visita.data.pictures import printable
from visita.errors import DataError

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
