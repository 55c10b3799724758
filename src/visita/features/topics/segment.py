"""Texts cut into words, for topic models: English by letters, Chinese by jieba's dictionary."""

from __future__ import annotations

import re
import unicodedata
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from visita.errors import ArtifactError, MissingExtraError

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
