"""Matchers that come trained, such as CLIP, SigLIP or BLIP, by the name of a checkpoint.

Nothing of a checkpoint is copied where one is saved: its name and its fingerprint are. Two
towers may take another text encoder that was trained to share their space, as a multilingual one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import StringConstraints

from visita.artifact import Name
from visita.encoders.pretrained.families import FAMILIES
from visita.encoders.pretrained.model import repository
from visita.encoders.pretrained.text import VECTOR, PretrainedText
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.errors import ArtifactError, ConfigError, MismatchError
from visita.matchers.base import BaseMatcher, SavedMatcher, load_folder, needed
from visita.matchers.rerank import FIRST, PretrainedReranker, RerankedMatcher
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures
from visita.vectors import unit

KIND = "pretrained matcher"
LOGIT_WEIGHTS = {
    "blip": PretrainedReranker.scale / (1 + PretrainedReranker.scale),
    "albef": 1.0,
    "blip2": 1.0,
}
"""beta of the re-ranker: BLIP's evaluation adds the logit of a match to the cosine, ALBEF's
orders by the logit alone, and BLIP-2's head has added the nearest cosine already."""


class SavedPretrained(SavedMatcher):
    """The manifest of a ``DualMatcher`` or a ``PairedMatcher``."""

    image_encoder: Annotated[Name, StringConstraints(pattern=f"^({'|'.join(FAMILIES)}):.")]
    text_encoder: Annotated[Name, StringConstraints(pattern="^[^:]+:.")]
    first_stage: bool


class OfCheckpoint(BaseMatcher):
    """A matcher of which a checkpoint's name and fingerprint are saved."""

    image_encoder: str
    text_encoder: str
    kind = KIND
    schema = SavedPretrained

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {
            **self.calibrated(),
            "image_encoder": self.image_encoder,
            "text_encoder": self.text_encoder,
            "first_stage": self.reranker is None,
        }

    @classmethod
    def read(cls, folder: Path, saved: SavedPretrained) -> Any:
        """Return what was saved in ``folder``, whose checkpoint must still be there.

        Raises
        ------
        ArtifactError
            If the checkpoint is gone.
        MismatchError
            If the checkpoint or the way it is read has changed.
        """
        matcher = replace(_as_saved(folder, saved), **saved.shared())
        if matcher.fingerprint() != saved.fingerprint:
            raise MismatchError(
                f"{folder} was saved with other files of {matcher.name}: put those back, or make "
                "it anew by its name."
            )
        return matcher


@dataclass(frozen=True, repr=False)
class DualMatcher(OfCheckpoint):
    """A ``Matcher`` by the vectors of two towers, as they are.

    Attributes
    ----------
    image_encoder : str
        Such as ``clip:openai/clip-vit-base-patch32``.
    text_encoder : str
        The same, or one whose vectors are of the same space.
    """

    image_encoder: str
    text_encoder: str

    def identity(self) -> list[str]:
        """Return what the checkpoints' files are and how pictures and texts are read."""
        of_images = IMAGE_ENCODERS.load(self.image_encoder)().fingerprint()
        return [of_images, self.open_text_encoder().fingerprint()]

    def write(self, draft: Path) -> None:
        """Write nothing."""

    def adaptable(self) -> DualMatcher:
        """Return itself."""
        return self

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.open_text_encoder().dim

    @property
    def recipe(self) -> Recipe:
        """The vector of a picture."""
        return Recipe({self.image_encoder: (VECTOR,)})

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
        [vectors] = needed(self.name, self.recipe, columns)
        return unit(vectors)

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return unit vectors, float32 (m, dim): that of a text is the mean of its passages'."""
        return unit(TextFeatures(texts.offsets, unit(texts.vectors)).pooled())


@dataclass(frozen=True, repr=False)
class PairedMatcher(OfCheckpoint, RerankedMatcher):  # type: ignore[misc]
    """A ``DualMatcher`` whose checkpoint also scores a picture and a text together.

    Its first stage is the checkpoint's own vectors, or what was adapted from them.
    """

    reranker: PretrainedReranker = field()  # type: ignore[assignment]

    @property
    def image_encoder(self) -> str:  # type: ignore[override]
        """Name of the checkpoint's encoders."""
        return self.reranker.encoder

    @cached_property
    def recipe(self) -> Recipe:
        """The vector of a picture and its tokens."""
        return Recipe({self.image_encoder: (VECTOR, *self.reranker.levels)})

    def write(self, draft: Path) -> None:
        """Write the first stage where it was adapted."""
        if not isinstance(self.first, OfCheckpoint):
            self.first.save(draft / FIRST)

    def adaptable(self) -> Matcher:
        """Return the first stage, behind which the checkpoint's head stays; it raises as there."""
        return self.first.adaptable()


Pretrained = DualMatcher | PairedMatcher


def pretrained(family: str, model: str, text_encoder: str | None = None) -> Pretrained:
    """Return the matcher of a checkpoint: ``"siglip", "google/siglip-base-patch16-224"``, say.

    ``text_encoder`` is the name of what reads the texts instead of the checkpoint's own tower.

    Raises
    ------
    MissingExtraError
        Without transformers.
    ArtifactError
        If the checkpoint cannot be found or fetched.
    ConfigError
        If it is of another family, or has a head that reads texts by its own tower.
    UnknownNameError
        If there is no such text encoder.
    MismatchError
        If the vectors of the text encoder are of another width.
    """
    images = f"{family}:{_place(family, model)}"
    texts = images if text_encoder is None else _whole_name(text_encoder)
    if texts != images:
        _check_pair(family, images, texts)
    text = _open(texts)
    facts = {"data": {"source": "the checkpoint's makers' data"}, "fingerprint": text.fingerprint()}
    name = images if texts == images else f"{images} with {texts}"
    first = DualMatcher(
        name=name, image_encoder=images, text_encoder=texts, threshold=text.threshold, facts=facts
    )
    if family not in LOGIT_WEIGHTS:
        return first
    weight = LOGIT_WEIGHTS[family]
    return PairedMatcher(
        name=name, first=first, reranker=PretrainedReranker(images), weight=weight, facts=facts
    )


def _whole_name(encoder: str) -> str:
    family, colon, model = encoder.partition(":")
    return f"{family}:{_place(family, model)}" if colon else encoder


def _place(family: str, model: str) -> str:
    local = Path(model.partition("@")[0]).expanduser()
    if local.exists():
        return str(Path(model).expanduser().absolute())
    return repository(model) if family == "clip" else model


def _open(texts: str) -> PretrainedText:
    encoder: PretrainedText = TEXT_ENCODERS.load(texts)((VECTOR,))
    return encoder


def _check_pair(family: str, images: str, texts: str) -> None:
    if family in LOGIT_WEIGHTS:
        raise ConfigError(
            f"{images} reads a text and a picture together, by its own text encoder, and can take "
            "no other: choose a model of two towers, such as clip:NAME."
        )
    [image_width] = IMAGE_ENCODERS.load(images)().level_shapes()[VECTOR]
    text_width = _open(texts).dim
    if image_width != text_width:
        raise MismatchError(
            f"{texts} is {text_width} wide and {images} {image_width} wide: a text encoder "
            "must have been trained to share the space of the pictures' encoder. Choose one that "
            "was."
        )


clip, siglip, blip, albef, metaclip2, chinese_clip, altclip, align, blip2, open_clip = (
    partial(pretrained, family) for family in FAMILIES
)


def _as_saved(folder: Path, saved: SavedPretrained) -> Any:
    family, model = saved.image_encoder.split(":", 1)
    # The checkpoint's own text tower is what no name means.
    text_encoder = None if saved.text_encoder == saved.image_encoder else saved.text_encoder
    matcher: Any = pretrained(family, model, text_encoder)
    if saved.first_stage:
        return matcher.retriever  # as the checkpoint comes
    if matcher.reranker and (folder / FIRST).is_dir():
        first = load_folder(folder / FIRST)
        if first.reranker or first.recipe != matcher.retriever.recipe:
            raise ArtifactError(f"{folder / FIRST} is no first stage of {matcher.name}.")
        return replace(matcher, first=first)
    return matcher
