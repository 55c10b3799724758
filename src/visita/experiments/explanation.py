"""Why a matcher gives a picture and a text its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from PIL.Image import Image

from visita.brief import Brief, brief
from visita.data.thumbnails import picture_uri, plain
from visita.matchers.pair import Pair
from visita.types import FloatArray

SIDE = 5
"""Cells along either side of a picture."""


@dataclass(frozen=True, repr=False)
class Word(Brief):
    """A word of the text.

    Attributes
    ----------
    text : str
    effect : float
        By how much the score falls when the word is left out.
    heat : float32 (5, 5)
        What each cell has to do with the word; see ``Explanation.words_by``. Where that is
        attention, as many cells as the second stage has.
    """

    text: str
    effect: float
    heat: FloatArray


@dataclass(frozen=True)
class Kernel:
    """One kernel: its weight, all of which sum to 1, and what it adds to the score."""

    name: str
    weight: float
    adds: float


@dataclass(frozen=True, repr=False)
class Explanation:
    """Where in a picture, in which words and by which kernels a score comes about.

    Attributes
    ----------
    text : str
    pair : Pair
        The score that is explained, and whether it is a match.
    heat : float32 (5, 5)
        By how much the score falls when a cell of the picture is made grey; rows from the top.
    words : tuple of Word
        In order.
    words_by : str
        ``attention``: a word's heat is what it and the cell add to the score together, by the
        attention of the matcher's second stage; ``hiding``: it is how much less the word adds
        to the score when the cell is made grey.
    kernels : tuple of Kernel
        What they add sums to the score.
    picture : Image
        A small copy of the picture.
    """

    text: str
    pair: Pair
    heat: FloatArray
    words: tuple[Word, ...]
    words_by: Literal["attention", "hiding"]
    kernels: tuple[Kernel, ...]
    picture: Image

    def _repr_html_(self) -> str:
        from visita.experiments.explanation_sheet import sheet  # noqa: PLC0415 - it draws this

        return f'<img src="{picture_uri(sheet(self))}" alt="{plain(self.text)}">'

    def __repr__(self) -> str:
        """Return the text, the verdict and how many words and kernels there are, in one line."""
        counts = f"{len(self.words)} words, {len(self.kernels)} kernels"
        return f"<Explanation {brief(self.text)}: {self.pair}; {counts}>"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "text": self.text,
            **self.pair.to_dict(),
            "heat": self.heat.tolist(),
            "words": [
                {"word": one.text, "effect": one.effect, "heat": one.heat.tolist()}
                for one in self.words
            ],
            "words_by": self.words_by,
            "kernels": [
                {"name": one.name, "weight": one.weight, "adds": one.adds} for one in self.kernels
            ],
        }
