"""Features of pictures made worse on purpose; only the features are kept, never the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from PIL import Image

from visita.data.corruptions import CORRUPTIONS, RULES, corrupt
from visita.features.pictures import Item, RecipeEncoder


class CorruptedEncoder(RecipeEncoder):
    """What ``plain`` computes, from pictures with a corruption at a strength of 1 to 5.

    Its features have a folder of their own in the cache, as ``facts`` names the corruption.
    The networks are those of ``plain``, so that any number of corruptions loads them once.
    """

    def __init__(self, plain: RecipeEncoder, corruption: str, strength: int) -> None:
        self.recipe = plain.recipe
        self._networks = plain._networks
        self.corruption = corruption
        self.strength = strength

    def facts(self) -> Mapping[str, Any]:
        """Return what ``plain`` does, and the corruption."""
        amount = CORRUPTIONS[self.corruption].amounts[self.strength - 1]
        return {**super().facts(), "corruption": f"{RULES}/{self.corruption}/{amount}"}

    @contextmanager
    def read(self, item: Item, *, reduced: bool) -> Iterator[Image.Image]:
        """Lend the corrupted picture of one ``(key, file)`` in RGB.

        Raises
        ------
        PictureError
            If it cannot be decoded.
        """
        key, _ = item
        with super().read(item, reduced=reduced) as picture:
            yield corrupt(picture, self.corruption, self.strength, key)
