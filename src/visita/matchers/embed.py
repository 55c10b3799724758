"""The matcher that training returns: two-sided networks joined into one vector a side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from visita.arguments import check_levels
from visita.artifact import Name, Width, read_arrays, write_arrays
from visita.encoders.engine import BuiltNetwork, Runner, cores
from visita.encoders.export import cached_runner
from visita.encoders.fitted import install_fitted, save_fitted
from visita.encoders.openvino import ov
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS, TOPIC_MODELS
from visita.encoders.weights import restored
from visita.errors import ArtifactError, MismatchError
from visita.matchers.base import KIND, SavedMatcher, SavedRecipe, WordMatcher, digests, needed
from visita.matchers.network import checked, network_of, suited
from visita.matchers.shares import Split, named, placed
from visita.networks.fusion_graph import Side, buildable, space_graph
from visita.types import FloatArray, Recipe, TextEncoder, TextFeatures, TopicModel

WEIGHTS = "weights.safetensors"
TEXT = "text"
"""Folder of a topic model inside the matcher's."""
IMAGES = "images"
"""That of image encoders that were fitted too."""
ROWS = 256
"""Rows a call of the graph; bounds the memory of embedding millions."""


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


@dataclass(frozen=True, repr=False)
class JointMatcher(WordMatcher):
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
    """

    recipe: Recipe
    text_encoder: str
    text_levels: tuple[str, ...]
    space: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]
    encoders: Mapping[str, str]
    topic_model: TopicModel | None = None

    kind = KIND
    schema = SavedJoint

    def identity(self) -> list[Any]:
        """Return what describes it, and its weights' digests."""
        return [self._description(), digests(self.tensors)]

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {**self._description(), **super().stated()}

    def _description(self) -> dict[str, Any]:
        return {
            "recipe": {"levels": dict(self.recipe.levels), "mirror": self.recipe.mirror},
            "text_encoder": self.text_encoder,
            "text_levels": self.text_levels,
            "space": dict(self.space),
            "encoders": dict(self.encoders),
        }

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from, each time the same."""
        return self.topic_model or self._text_encoder

    @cached_property
    def _text_encoder(self) -> TextEncoder:
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
        needed(self.name, self.recipe, columns)
        return stack_columns(columns, self.recipe)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.space["dim"])

    def network(self) -> Any:
        """Return the torch ``JointSpace`` with this matcher's weights, in evaluation mode."""
        from visita.networks.fusion import JointSpace  # noqa: PLC0415 - where torch runs or exports it

        return network_of(self.name, lambda: JointSpace(**self.space), restored(self.tensors))

    @cached_property
    def _image_runner(self) -> Runner:
        return self._runner("image")

    @cached_property
    def _text_runner(self) -> Runner:
        return self._runner("text")

    def _runner(self, side: Side, *, parts: bool = False) -> Runner:
        """Return what runs one side: to the joined vector, or to that of each part."""
        views = len(self.recipe.views())
        shape: tuple[int, ...] = (-1, self.space["text_features"])
        if side == "image":
            shape = (-1, views, self.space["image_features"])
        example = np.random.default_rng(0).random((2, *shape[1:]), dtype=np.float32)
        name = f"{self.name}-{side}{'-parts' if parts else ''}"
        facts = {"matcher": self.fingerprint(), "side": side, "parts": parts}
        module = partial(self._side, side, parts)
        if not suited(self.name, partial(buildable, self.space)):
            return cached_runner(name, facts, module, lambda: [example], [shape], streams=cores())

        def graph() -> ov.Model:
            other = "text_tower" if side == "image" else "image_tower"
            needed = {name: x for name, x in self.tensors.items() if other not in name}
            return space_graph(self.space, restored(needed), side, views, parts=parts)

        build = partial(suited, self.name, graph)
        return BuiltNetwork(name, facts, build, module, streams=cores()).runner()

    def _side(self, side: Any, parts: bool) -> Any:
        from visita.networks import fusion  # noqa: PLC0415 - on a GPU, or to export

        if parts:
            return fusion.PartVectors(self.network(), side).eval()
        return (fusion.ImageSide if side == "image" else fusion.TextSide)(self.network()).eval()

    def split(self) -> Split:
        """Return its kernels and what gives their shares of its vectors."""
        parts = self.space["parts"]
        weights = [float(part["weight"]) for part in parts]
        basis = restored(self.tensors)["basis"]

        def vectors(run: Runner, features: FloatArray) -> FloatArray:
            return placed(run(features), weights, basis if len(basis) else None)

        return Split(
            named([part["network"] for part in parts], weights),
            lambda columns: vectors(self._runner("image", parts=True), self.stack(columns)),
            lambda texts: vectors(self._runner("text", parts=True), texts.pooled()),
        )

    def adaptable(self) -> JointMatcher:
        """Return itself."""
        return self

    def write(self, draft: Path) -> None:
        """Write weights, what was fitted, and the map of words."""
        write_arrays(draft / WEIGHTS, self.tensors)
        if self.topic_model is not None:
            self.topic_model.save(draft / TEXT)
        save_fitted(self.recipe, draft / IMAGES)
        super().write(draft)

    @classmethod
    def read(cls, folder: Path, saved: SavedJoint) -> Self:
        """Return what was saved in ``folder``, where the installed encoders are those it knows."""
        install_fitted(folder / IMAGES)
        matcher = cls(
            **saved.shared(),
            recipe=saved.recipe.recipe(),
            text_encoder=saved.text_encoder,
            text_levels=saved.text_levels,
            space=saved.space.model_dump(exclude_unset=True),
            tensors=read_arrays(folder / WEIGHTS),
            encoders=saved.encoders,
            topic_model=_topic_model(saved.text_encoder, folder / TEXT),
        )
        text = matcher.open_text_encoder()
        check_encoders(folder, matcher.encoders, matcher.recipe, text)
        widths = [shape[-1] for shape in level_shapes(matcher.recipe)]
        if (sum(widths), text.dim) != (saved.space.image_features, saved.space.text_features):
            raise ArtifactError(f"{folder} reads other widths than those of its encoders.")
        return matcher


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
    fingerprints = {name: IMAGE_ENCODERS.load(name)().fingerprint() for name in recipe.levels}
    return {**fingerprints, text.name: text.fingerprint()}


def level_shapes(recipe: Recipe) -> list[tuple[int, ...]]:
    """Return the shape a picture of each of a recipe's levels, in its order.

    Raises
    ------
    UnknownNameError
        If an encoder has no such level.
    """
    shapes = []
    for encoder, levels in recipe.levels.items():
        by_level = IMAGE_ENCODERS.load(encoder)().level_shapes()
        check_levels(encoder, levels, by_level)
        shapes += [by_level[level] for level in levels]
    return shapes


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
