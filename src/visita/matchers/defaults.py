"""What a matcher answers unless it says otherwise."""

from __future__ import annotations

from typing import Any

from visita.data.seen import Seen
from visita.errors import ConfigError
from visita.types import FloatArray, Reranker


class MatcherDefaults:
    """What a matcher answers that is neither re-ranked, nor scaled, nor to be adapted.

    One that is says so instead.
    """

    reranker: Reranker | None = None
    any_texts: Any = None
    seen: Seen | None = None
    weight: float = 0.0
    depth: int = 0

    @property
    def retriever(self) -> Any:
        """What makes the vectors."""
        return self

    @property
    def unscaled(self) -> Any:
        """What makes the vectors before local scaling."""
        return self

    def lengthened(self, images: FloatArray, texts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the vectors of images and texts, given those of ``unscaled``."""
        return images, texts

    def adaptable(self) -> Any:
        """Return the matcher whose vectors are adapted to one's own pairs.

        Raises
        ------
        ConfigError
            If there is none.
        """
        raise ConfigError(
            f"{getattr(self, 'name', self)!r} is made of several matchers: adapt one of them (they "
            "are in its folder, as part0, part1 …), and fuse again."
        )

    def combine(self, first: FloatArray, reranked: FloatArray) -> FloatArray:
        """Return the score of pairs from those of vectors and re-ranker, of one shape."""
        return (1 - self.weight) * first + self.weight * reranked
