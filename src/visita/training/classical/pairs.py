"""What systems share that look at pairs: a second stage, after vectors found in closed form."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from visita.training.classical.baseline import WordBaseline
from visita.training.classical.cca import CCA


class PairBaseline(WordBaseline):
    """A system that scores pairs, where the vectors of CCA have found the first few."""

    validated: ClassVar[int] = 300
    """Pictures of dev that choose the epoch, with all their texts and all pairs of both."""

    first: CCA = CCA()
    """What finds; its own seed is not used."""
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of the score beside the cosine of the vectors: alone, as the papers have it."""

    def check(self) -> None:
        """Refuse what either stage cannot read."""
        super().check()
        self.first.check()
