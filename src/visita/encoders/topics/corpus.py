"""Texts for topic models: files and folders of them, and how they are cut into words."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from visita.data.files import read_limited
from visita.errors import ArtifactError, DataError, MissingExtraError
from visita.progress import report_skipped
from visita.types import Skipped

SEGMENTER = "words-1/jieba-0.42.1"
"""Which rules cut a text; a topic model knows only words that were cut by the same ones."""
_RUN = re.compile(r"[^\W_]+")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def words(text: str) -> list[str]:
    """Return the words of ``text`` in their order, casefolded, without punctuation.

    A word is a run of letters and digits of Unicode (in its NFKC form, so that full-width
    and plain letters are the same). A run with Chinese characters is cut by jieba.

    Raises
    ------
    MissingExtraError
        If the text has Chinese characters and jieba is not installed.
    """
    runs = _RUN.findall(unicodedata.normalize("NFKC", text))
    if _HAN.search(text):
        runs = [
            word for run in runs for word in (_jieba().lcut(run) if _HAN.search(run) else [run])
        ]
    return [word.casefold() for word in runs]


def known_words(path: Path, words: object) -> tuple[str, ...]:
    """Return the words that a file of a saved model lists.

    Raises
    ------
    ArtifactError
        If they are not words, each once.
    """
    listed = words if isinstance(words, list) else []
    if not listed or not all(isinstance(word, str) and word for word in listed):
        raise ArtifactError(f"{path} lists no words; copy it again.")
    if len(set(listed)) < len(listed):
        raise ArtifactError(f"{path} lists a word twice; copy it again.")
    return tuple(listed)


def _cut(run: str) -> list[str]:
    return list(_jieba().cut(run)) if _HAN.search(run) else [run]


@cache
def _jieba() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the age of its own code
            import jieba  # noqa: PLC0415 - only for Chinese texts
    except ModuleNotFoundError as error:
        raise MissingExtraError("Chinese text", "chinese") from error
    tokenizer = jieba.Tokenizer()
    # Left to itself it logs to stderr and trusts a file in the shared temporary folder.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


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
