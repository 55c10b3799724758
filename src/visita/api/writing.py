"""Captions for a picture that nobody wrote before: said by a trained captioner."""

from __future__ import annotations

from pathlib import Path

from PIL.Image import Image

from visita.api.captioning import Caption
from visita.api.finding import Finder, finder_of
from visita.baselines.writer import Writer
from visita.errors import ConfigError
from visita.matchers.rescorer import Rescorer
from visita.types import Matcher, TwoStage


class CaptionWriter:
    """Writes captions; a matcher whose second stage is a captioner is what can.

    Raises
    ------
    ConfigError
        If the matcher has none.
    """

    def __init__(self, matcher: Finder | Matcher | str | Path) -> None:
        self.finder = finder_of(matcher)
        second = self.finder.matcher.second if isinstance(self.finder.matcher, TwoStage) else None
        if not isinstance(second, Rescorer):
            raise ConfigError(
                f"{self.finder.matcher.name!r} cannot write captions: train one that does with  "
                "visita train baseline nic, or choose captions from texts."
            )
        self._second, self._writer = second, Writer(second)

    def caption(self, picture: Image | str | Path, k: int = 1) -> list[Caption]:
        """Return at most k captions; scores are the mean log probability of a word.

        Raises
        ------
        PictureError
            If the file cannot be decoded.
        """
        columns = self.finder.pictures.encode_pictures([picture])
        [packed] = self._second.pack_images(columns)
        return [Caption(text, score) for text, score in self._writer.write(packed, k)]
