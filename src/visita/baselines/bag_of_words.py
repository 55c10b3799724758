"""Bags of visual words matched with TF-IDF by CCA: what MKL-VisITA's paper calls traditional.

Sivic & Zisserman (2003), Csurka et al. (2004) for pictures, Ramos (2003) for texts, and
Hardoon et al. (2004) for what joins them, as the two share no word: without it, a distance
between a picture and a text means nothing. The paper names SIFT, HOG, bag of words, TF-IDF,
cosine and Euclidean distance, and no more; sizes are ours.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from visita.baselines.cca import CCA
from visita.data.pairs import PairSet
from visita.encoders.fitted import install
from visita.encoders.visual_words import VisualWords
from visita.errors import ConfigError
from visita.training.config import Levels

NOT_YET: dict[str, Levels] = {f"{VisualWords.family}:": ("fitted",)}


class BagOfWords(CCA):
    """TF-IDF over visual words of SIFT, HOG or both, and CCA."""

    paper: ClassVar[str] = "Sivic & Zisserman 2003, Csurka et al. 2004"
    extra: ClassVar[str | None] = "classical"

    image_levels: dict[str, Levels] = NOT_YET
    """Cannot be set: it names the words, which are fitted on the training pictures."""
    descriptors: tuple[Literal["sift", "hog"], ...] = ("sift", "hog")
    words: Annotated[int, Field(ge=2, le=10_000)] = 1000
    """Of each descriptor."""
    directions: Annotated[int, Field(ge=1, le=1000)] = 128
    image_ridge: Annotated[float, Field(gt=0)] = 3.0
    text_ridge: Annotated[float, Field(gt=0)] = 3.0

    def check(self) -> None:
        """Do nothing: its levels are not fitted yet."""

    def prepared(self, train: PairSet) -> Self:
        """Return the configuration that names the words, fitted and put into the cache."""
        words = VisualWords.fit(train.image_paths, self.descriptors, self.words, self.seed)
        install(words)
        return self.model_copy(update={"image_levels": {words.name: self.descriptors}})

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_pictures(cls, values: Any) -> Any:
        if "image_levels" in values or values.get("mirror"):
            raise ConfigError("Bags of words have no other pictures: set descriptors and words.")
        if "descriptors" in values and not values["descriptors"]:
            raise ConfigError("Name at least one of the descriptors, sift and hog.")
        return values
