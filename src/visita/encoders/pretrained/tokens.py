"""How the text of a pretrained model becomes numbers: words, special tokens, padding, length."""

from __future__ import annotations

import html
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from visita.errors import MissingExtraError

Ids = NDArray[np.int64]
Pieces = tuple[list[int], list[tuple[int, int]]]
"""Ids, and where each is in the text that was read: start and end."""


def _without_punctuation(text: str) -> str:
    """SigLIP's canonical form, as its tokenizer in transformers has it, but for lower case."""
    words = text.translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", words).strip()


def _as_a_caption(text: str) -> str:
    """ALBEF's ``pre_caption``, but for the cut after so many words."""
    caption = re.sub(r"[,.'!?\"()*#:;~]", "", text.lower())
    caption = caption.replace("-", " ").replace("/", " ").replace("<person>", "person")
    return re.sub(r"\s{2,}", " ", caption).rstrip("\n").strip(" ")


def _mended(text: str) -> str:
    """open_clip's ``basic_clean``: broken characters mended, HTML's read."""
    from ftfy import fix_text  # noqa: PLC0415 - open_clip's

    return html.unescape(html.unescape(fix_text(text)))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


CLEAN: dict[str, Callable[[str], str]] = {
    "": lambda text: text,
    "lower": str.lower,
    "siglip": lambda text: _without_punctuation(text.lower()),
    "siglip-cased": _without_punctuation,
    "albef": _as_a_caption,
    "open-clip-whitespace": lambda text: _on_one_line(_mended(text)),
    "open-clip-lower": lambda text: _on_one_line(_mended(text)).lower(),
    "open-clip-canonicalize": lambda text: _without_punctuation(
        _mended(text).replace("_", " ").lower()
    ),
}


@dataclass(frozen=True)
class Reading:
    """A tokenizer and what is put around its ids; all of it JSON.

    Attributes
    ----------
    file : str
        The tokenizer: of the library tokenizers, or a sentencepiece model (``.model``).
    before, after : tuple of int
        Special ids around each passage.
    pad : int
        What fills up shorter passages.
    longest : int
        Ids of a passage, special ones among them, that the model reads at most.
    fixed : bool
        Every passage is filled up to ``longest``, as in training.
    left : bool
        It is filled up in front.
    clean : str
        What is done to a text first, by its name in ``CLEAN``.
    pair : int or None
        First id where a picture is read along, if another.
    """

    file: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    pad: int
    longest: int
    fixed: bool = False
    left: bool = False
    clean: str = ""
    pair: int | None = None

    def passages(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """Return the passages of each text: of nearly equal length, special ids around each."""
        room = self.longest - len(self.before) - len(self.after)
        cleaned = [CLEAN[self.clean](_readable(text)) for text in texts]
        return [
            [[*self.before, *ids, *self.after] for ids in _cut(ids, room)]
            for ids, _ in self._pieces(cleaned)
        ]

    def beside_a_picture(self, ids: Sequence[int]) -> list[int]:
        """Return the ids of a passage as they are where a picture is read along."""
        return [ids[0] if self.pair is None else self.pair, *ids[1:]]

    def spans(self, text: str) -> Ids:
        """Return where each id of a text, special ones left out, is in it: int64 (t, 2).

        Start and end, without the space that a tokenizer may count to the word behind it.
        """
        readable = _readable(text)
        cleaned = CLEAN[self.clean](readable)
        places = _located(cleaned, readable)
        [(_, pieces)] = self._pieces([cleaned])
        spans = np.zeros((len(pieces), 2), np.int64)
        for row, (start, end) in enumerate(pieces):
            bare = end - len(cleaned[start:end].lstrip())
            spans[row] = places[bare], places[end - 1] + 1 if bare < end else places[bare]
        return spans

    def padded(self, passages: Sequence[list[int]]) -> tuple[Ids, Ids]:
        """Return ids and mask of passages, int64 (b, t) each."""
        length = self.longest if self.fixed else max(map(len, passages))
        ids = np.full((len(passages), length), self.pad, np.int64)
        mask = np.zeros_like(ids)
        for row, passage in enumerate(passages):
            start = length - len(passage) if self.left else 0
            ids[row, start : start + len(passage)] = passage
            mask[row, start : start + len(passage)] = 1
        return ids, mask

    @cached_property
    def _pieces(self) -> Callable[[Sequence[str]], list[Pieces]]:
        if self.file.endswith(".model"):
            return _sentence_pieces(self.file)
        tokenizer = Tokenizer.from_file(self.file)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return lambda texts: [
            (encoding.ids, encoding.offsets)
            for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ]


def sentence_piece(file: str) -> Any:
    """Return the sentencepiece model in a file.

    Raises
    ------
    MissingExtraError
        If the library is not installed.
    """
    try:
        from sentencepiece import SentencePieceProcessor  # noqa: PLC0415 - an extra's
    except ImportError as error:
        raise MissingExtraError("siglip:NAME", "transformers") from error
    return SentencePieceProcessor(model_file=file)


def _sentence_pieces(file: str) -> Callable[[Sequence[str]], list[Pieces]]:
    model = sentence_piece(file)
    # sentencepiece drops a space in front, so transformers puts this there and takes it off.
    unknown = model.id_to_piece(model.unk_id())
    extra, ahead = len(model.encode(unknown)), len(unknown) + 1

    def pieces(text: str) -> Pieces:
        encoded = model.encode(f"{unknown}▁{text}", return_type="offset_mapping")
        spans = [(max(0, s - ahead), max(0, e - ahead)) for s, e in encoded["offsets"][extra:]]
        return encoded["ids"][extra:], spans

    return lambda texts: [pieces(text) for text in texts]


def _readable(text: str) -> str:
    # Half a surrogate pair would stop the tokenizer.
    return text.encode("utf-8", "replace").decode()


def _located(cleaned: str, text: str) -> Sequence[int]:
    """Return where each character of a cleaned text, and its end, is in the text before.

    Cleaning drops marks and spaces, puts in spaces, and lowers letters, one of which can be two
    then; letters stay in their order. A space is where the letter before it is.
    """
    if cleaned == text:
        return range(len(text) + 1)
    letters = (
        (letter, place)
        for place, character in enumerate(text)
        for letter in dict.fromkeys(part.upper() for part in character + character.lower())
    )
    places, last = [], 0
    for character in cleaned:
        if not character.isspace():
            last = next((place for letter, place in letters if letter == character.upper()), last)
        places.append(last)
    return [*places, len(text)]


def _cut(ids: list[int], room: int) -> list[list[int]]:
    parts = max(1, -(-len(ids) // room))
    ends = [round(part * len(ids) / parts) for part in range(parts + 1)]
    return [ids[start:end] for start, end in pairwise(ends)]
