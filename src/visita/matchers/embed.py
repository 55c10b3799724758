"""The matcher that training returns: two-sided networks joined into one vector a side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from visita.arguments import check_levels
from visita.artifact import (
    Name,
    Width,
    fingerprint_of,
    read_arrays,
    read_manifest,
    write_arrays,
    write_folder,
)
from visita.encoders.engine import Runner, cached_runner, cores
from visita.encoders.fitted import install_fitted, save_fitted
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS, TOPIC_MODELS
from visita.errors import ArtifactError, MismatchError
from visita.matchers.base import KIND, Calibrated, SavedMatcher, SavedRecipe
from visita.matchers.weights import checked, network_of, restored
from visita.matchers.words import WordMap
from visita.types import FloatArray, Recipe, TextEncoder, TextFeatures, TopicModel

WEIGHTS = "weights.safetensors"


TEXT = "text"
"""Folder of a topic model inside the matcher's."""


IMAGES = "images"
"""That of image encoders that were fitted too."""


ROWS = 256
"""Rows a call of the graph; bounds the memory of embedding millions."""


@dataclass(frozen=True, repr=False)
class JointMatcher(Calibrated):
    """A ``Matcher``: an inner product of unit vectors from a ``JointSpace``.

    Attributes
    ----------
    space : dict
        Arguments of the ``JointSpace`` (features, parts, dim), as JSON values.
    tensors : dict of arrays
        The state of the ``JointSpace``, as ``rounded`` keeps it.
    encoders : dict
        Fingerprint of every encoder that the features must come from.
    topic_model : TopicModel or None
        The text encoder where it was fitted: it travels inside the matcher.
    words : WordMap or None
        What finds the pictures of single words, where that was learnt.
    facts : dict
        What ran: configuration, seeds, versions, data, numbers.
    """

    recipe: Recipe
    text_encoder: str
    text_levels: tuple[str, ...]
    space: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    encoders: Mapping[str, str]
    topic_model: TopicModel | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    words: WordMap | None = None

    def fingerprint(self) -> str:
        """Return a hash over everything that decides the vectors, encoders included."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        arrays = {
            name: [str(array.dtype), list(array.shape), sha256(array.tobytes()).hexdigest()]
            for name, array in sorted(self.tensors.items())
        }
        return fingerprint_of([self._description(), arrays])

    def _description(self) -> dict[str, Any]:
        return {
            "recipe": {"levels": dict(self.recipe.levels), "mirror": self.recipe.mirror},
            "text_encoder": self.text_encoder,
            "text_levels": self.text_levels,
            "space": dict(self.space),
            "encoders": dict(self.encoders),
        }

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from."""
        if self.topic_model is not None:
            return self.topic_model
        encoder: TextEncoder = TEXT_ENCODERS.load(self.text_encoder)(self.text_levels)
        return encoder

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return unit vectors, float32 (n, dim), from the recipe's columns, (n, d) each.

        Raises
        ------
        MismatchError
            If a column of the recipe is missing.
        """
        return self._vectors(self._image_runner, self.stack(columns))

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return unit vectors, float32 (m, dim); a text is the mean of its passages."""
        return self._vectors(self._text_runner, texts.pooled())

    def _vectors(self, run: Runner, features: FloatArray) -> FloatArray:
        blocks = [run(features[s : s + ROWS])[0] for s in range(0, len(features) or 1, ROWS)]
        return checked(self.name, np.concatenate(blocks), (self.dim,))

    def stack(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return float32 (n, views, d): the recipe's columns side by side, a row a view."""
        missing = [name for name in self.recipe.columns() if name not in columns]
        if missing:
            raise MismatchError(
                f"{self.name} needs the features {', '.join(missing)}; "
                "extract them with this matcher's recipe."
            )
        return stack_columns(columns, self.recipe)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.space["dim"])

    def network(self) -> Any:
        """Return the torch ``JointSpace`` with this matcher's weights, in evaluation mode."""
        from visita.networks.fusion import JointSpace  # noqa: PLC0415 - training and first export

        return network_of(self.name, lambda: JointSpace(**self.space), restored(self.tensors))

    @cached_property
    def _image_runner(self) -> Runner:
        views = len(self.recipe.views())
        return self._runner("image", (-1, views, self.space["image_features"]))

    @cached_property
    def _text_runner(self) -> Runner:
        return self._runner("text", (-1, self.space["text_features"]))

    def _runner(self, side: str, shape: tuple[int, ...]) -> Runner:
        example = np.random.default_rng(0).random((2, *shape[1:]), dtype=np.float32)
        return cached_runner(
            f"{self.name}-{side}",
            {"matcher": self.fingerprint(), "side": side},
            partial(self._side, side),
            lambda: [example],
            [shape],
            streams=cores(),
        )

    def _side(self, side: str) -> Any:
        from visita.networks.fusion import ImageSide, TextSide  # noqa: PLC0415 - first export only

        return (ImageSide if side == "image" else TextSide)(self.network()).eval()

    def save(self, folder: Path, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write the matcher as an artifact folder, atomically, its topic model inside.

        ``beside`` may write further files into the folder it is given.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        saved = {
            **self._description(),
            **self.calibrated(),
            "fingerprint": self.fingerprint(),
            "facts": dict(self.facts),
        }
        with write_folder(folder, KIND, saved) as draft:
            write_arrays(draft / WEIGHTS, self.tensors)
            if self.topic_model is not None:
                self.topic_model.save(draft / TEXT)
            save_fitted(self.recipe, draft / IMAGES)
            if self.words is not None:
                self.words.save(draft)
            if beside:
                beside(draft)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved matcher and check that the installed encoders are the ones it knows.

        Raises
        ------
        ArtifactError
            If the folder is not a whole matcher.
        MismatchError
            If an encoder differs from the one it was trained with.
        """
        saved = read_manifest(folder, KIND, SavedJoint)
        install_fitted(folder / IMAGES)
        matcher = cls(
            **saved.calibrated(),
            recipe=saved.recipe.recipe(),
            text_encoder=saved.text_encoder,
            text_levels=saved.text_levels,
            space=saved.space.model_dump(exclude_unset=True),
            tensors=read_arrays(folder / WEIGHTS),
            encoders=saved.encoders,
            topic_model=_topic_model(saved.text_encoder, folder / TEXT),
            facts=saved.facts,
            words=WordMap.read(folder, saved.space.dim),
        )
        text = matcher.open_text_encoder()
        check_encoders(folder, matcher.encoders, matcher.recipe, text)
        widths = [shape[-1] for shape in level_shapes(matcher.recipe)]
        if (sum(widths), text.dim) != (saved.space.image_features, saved.space.text_features):
            raise ArtifactError(f"{folder} reads other widths than those of its encoders.")
        return matcher


class SavedSpace(BaseModel):
    """The arguments of a ``JointSpace``, which checks its parts itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    image_features: Width
    text_features: Width
    parts: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100)]
    dim: Width


class SavedJoint(SavedMatcher):
    """The manifest of a ``JointMatcher``."""

    recipe: SavedRecipe
    text_encoder: Name
    text_levels: Annotated[tuple[Name, ...], Field(min_length=1)]
    space: SavedSpace
    encoders: dict[Name, Name]


def stack_columns(columns: Mapping[str, FloatArray], recipe: Recipe) -> FloatArray:
    """Return float32 (n, views, d): the columns of each view side by side."""
    views = [
        np.concatenate(
            [
                columns[f"{encoder}/{level}{view}"]
                for encoder, levels in recipe.levels.items()
                for level in levels
            ],
            axis=1,
        )
        for view in recipe.views()
    ]
    return np.stack(views, axis=1)


def encoder_fingerprints(recipe: Recipe, text: TextEncoder) -> dict[str, str]:
    """Return name → fingerprint of the encoders that a matcher would use."""
    found = {name: IMAGE_ENCODERS.load(name)().fingerprint() for name in recipe.levels}
    return {**found, text.name: text.fingerprint()}


def level_shapes(recipe: Recipe) -> list[tuple[int, ...]]:
    """Return the shape a picture of each of a recipe's levels, in its order.

    Raises
    ------
    UnknownNameError
        If an encoder has no such level.
    """
    found = []
    for encoder, levels in recipe.levels.items():
        known = IMAGE_ENCODERS.load(encoder)().level_shapes()
        check_levels(encoder, levels, known)
        found += [known[level] for level in levels]
    return found


def check_encoders(
    folder: Path, expected: Mapping[str, str], recipe: Recipe, text: TextEncoder
) -> None:
    """Make sure that the installed encoders are those that what is in ``folder`` knows.

    Raises
    ------
    MismatchError
        If one differs.
    """
    installed = encoder_fingerprints(recipe, text)
    for name, fingerprint in expected.items():
        if installed.get(name) != fingerprint:
            raise MismatchError(
                f"{folder} was trained with another {name} ({fingerprint}) than the installed "
                f"one ({installed.get(name)}); install that version or train again."
            )


def _topic_model(name: str, folder: Path) -> TopicModel | None:
    if name not in TOPIC_MODELS:
        return None
    model: TopicModel = TOPIC_MODELS.load(name).load(folder)
    return model
