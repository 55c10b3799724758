"""Matchers that come trained: CLIP, SigLIP, BLIP and ALBEF by the name of a checkpoint.

Nothing of a checkpoint is copied where one is saved: its name and its fingerprint are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from visita.artifact import read_manifest, write_folder
from visita.errors import ArtifactError, MismatchError
from visita.features.encoders import TEXT_ENCODERS
from visita.features.pretrained.names import FAMILIES, repository
from visita.features.pretrained.text import VECTOR, PretrainedText
from visita.kernels.unit import unit
from visita.matchers.calibrated import Calibrated, read_calibrated
from visita.matchers.pair_head import PairScorer
from visita.matchers.two_stage import TwoStageMatcher
from visita.types import FloatArray, Recipe, TextEncoder, TextFeatures

KIND = "pretrained matcher"
LOGIT_WEIGHTS = {"blip": PairScorer.scale / (1 + PairScorer.scale), "albef": 1.0}
"""beta of the second stage: BLIP's evaluation adds the logit of a match to the cosine, ALBEF's
orders by the logit alone."""


@dataclass(frozen=True)
class DualMatcher(Calibrated):
    """A ``Matcher`` by the vectors of a checkpoint's two towers, as they are.

    Attributes
    ----------
    text_encoder : str
        Name of both its encoders, such as ``clip:openai/clip-vit-base-patch32``.
    facts : dict
        Where it comes from.
    """

    text_encoder: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return a hash over the checkpoint's files and how texts are read."""
        return self.open_text_encoder().fingerprint()

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.open_text_encoder().dim

    @property
    def recipe(self) -> Recipe:
        """The vector of a picture."""
        return Recipe({self.text_encoder: (VECTOR,)})

    @property
    def text_levels(self) -> tuple[str, ...]:
        """The vector of a text."""
        return (VECTOR,)

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from."""
        encoder: TextEncoder = TEXT_ENCODERS.load(self.text_encoder)(self.text_levels)
        return encoder

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return unit vectors, float32 (n, dim), from the recipe's column.

        Raises
        ------
        MismatchError
            If the column is missing.
        """
        [column] = self.recipe.columns()
        if column not in columns:
            raise MismatchError(f"{self.name} needs the features {column}: extract them with it.")
        return unit(columns[column])

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return unit vectors, float32 (m, dim): that of a text is the mean of its passages'."""
        return unit(TextFeatures(texts.offsets, unit(texts.vectors)).pooled())

    def save(self, folder: Path) -> None:
        """Write the matcher as an artifact folder, atomically.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        _save(self, folder)


@dataclass(frozen=True)
class PairedMatcher(TwoStageMatcher):
    """A ``DualMatcher`` whose checkpoint also scores a picture and a text together."""

    second: PairScorer  # type: ignore[assignment]

    @property
    def recipe(self) -> Recipe:
        """The vector of a picture and its tokens."""
        return Recipe({self.text_encoder: (VECTOR, *self.second.levels)})

    def save(self, folder: Path) -> None:  # type: ignore[override]
        """Write the matcher as an artifact folder, atomically.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        _save(self, folder)


Pretrained = DualMatcher | PairedMatcher


def pretrained(family: str, model: str) -> Pretrained:
    """Return the matcher of a checkpoint: ``"siglip", "google/siglip-base-patch16-224"``, say.

    Raises
    ------
    MissingExtraError
        Without transformers.
    ArtifactError
        If the checkpoint cannot be found or fetched.
    ConfigError
        If it is of another family.
    """
    local = Path(model.partition("@")[0]).expanduser()
    place = str(Path(model).expanduser().absolute()) if local.exists() else repository(model)
    encoder = f"{family}:{place}"
    text: PretrainedText = TEXT_ENCODERS.load(encoder)()
    facts = {"data": {"source": "the checkpoint's makers' data"}, "fingerprint": text.fingerprint()}
    first = DualMatcher(name=encoder, text_encoder=encoder, threshold=text.threshold, facts=facts)
    if family not in LOGIT_WEIGHTS:
        return first
    weight = LOGIT_WEIGHTS[family]
    return PairedMatcher(
        name=encoder, first=first, second=PairScorer(encoder), weight=weight, facts=facts
    )


clip, siglip, blip, albef = (partial(pretrained, family) for family in FAMILIES)


class PretrainedFolder:
    """What ``kinds`` reads a saved pretrained matcher with."""

    @staticmethod
    def load(folder: Path) -> Pretrained:
        """Read a saved matcher, whose checkpoint must still be there.

        Raises
        ------
        ArtifactError
            If the folder is not such a matcher, or the checkpoint is gone.
        MismatchError
            If the checkpoint or the way it is read has changed.
        """
        saved = read_manifest(folder, KIND)
        try:
            found = replace(
                pretrained(*saved["text_encoder"].split(":", 1)),
                **read_calibrated(saved),
                facts=saved["facts"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder} is no matcher visita can read ({error!r}).") from error
        if found.fingerprint() != saved["fingerprint"]:
            raise MismatchError(
                f"{folder} was saved with other files of {found.text_encoder}: put those back, or "
                "make it anew by its name."
            )
        return found


def _save(matcher: Pretrained, folder: Path) -> None:
    saved = {
        **matcher.calibrated(),
        "text_encoder": matcher.text_encoder,
        "fingerprint": matcher.fingerprint(),
        "facts": dict(matcher.facts),
    }
    with write_folder(folder, KIND, saved):
        pass
