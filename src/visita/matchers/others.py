"""Texts of other languages in the space of a matcher: a side that another encoder reads.

Pictures stay what they are, so galleries do too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from visita.artifact import Name, read_arrays, write_arrays
from visita.encoders.engine import BuiltNetwork, Runner, cores
from visita.encoders.openvino import ov
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.weights import restored
from visita.errors import ArtifactError, MismatchError
from visita.matchers.base import OfOne, SavedMatcher, digests
from visita.matchers.network import checked, network_of, suited
from visita.networks.fusion_graph import tower_graph
from visita.types import FloatArray, Matcher, TextEncoder, TextFeatures

WEIGHTS = "weights.safetensors"


class SavedSide(SavedMatcher):
    """The manifest of a ``TextSide``."""

    of: Name
    encoder: Name
    levels: Annotated[tuple[Name, ...], Field(min_length=1)]
    encoder_fingerprint: Name


@dataclass(frozen=True, repr=False)
class TextSide(OfOne):
    """A ``Matcher`` that differs from ``base`` in who reads texts, and has one stage.

    Attributes
    ----------
    of : str
        Fingerprint of the matcher that it was trained for.
    encoder : str
    levels : tuple of str
        What reads texts.
    encoder_fingerprint : str
    tensors : dict of arrays
        The state of a ``Tower`` from the levels to the vectors, as ``rounded`` keeps it.
    base : Matcher or None
        That matcher, once both are loaded.
    """

    of: str
    encoder: str
    levels: tuple[str, ...]
    encoder_fingerprint: str
    tensors: Mapping[str, NDArray[Any]]
    base: Any = None

    kind = "text side"
    schema = SavedSide

    def identity(self) -> list[Any]:
        """Return what describes it, and its weights' digests."""
        return [self._description(), digests(self.tensors)]

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {**self._description(), **super().stated()}

    def _description(self) -> dict[str, Any]:
        names = ("of", "encoder", "levels", "encoder_fingerprint")
        return {name: getattr(self, name) for name in names}

    def write(self, draft: Path) -> None:
        """Write the weights."""
        write_arrays(draft / WEIGHTS, self.tensors)

    @classmethod
    def read(cls, folder: Path, saved: SavedSide) -> Self:
        """Return what was saved in ``folder``, where the encoder is the one it knows."""
        side = cls(
            **saved.shared(),
            of=saved.of,
            encoder=saved.encoder,
            levels=saved.levels,
            encoder_fingerprint=saved.encoder_fingerprint,
            tensors=read_arrays(folder / WEIGHTS),
        )
        if side.open_text_encoder().fingerprint() != side.encoder_fingerprint:
            raise MismatchError(
                f"{folder} was trained with another {side.encoder} than this visita has: "
                "install the one that saved it, or train it again."
            )
        return side

    @classmethod
    def beside(cls, folder: Path, base: Matcher) -> Self:
        """Return what was saved in ``folder``, for ``base``.

        Raises
        ------
        ArtifactError
            If it is not whole.
        MismatchError
            If it is of another matcher, or of another encoder.
        """
        side = cls.load(folder)
        if side.of != base.fingerprint():
            raise MismatchError(f"{folder} reads texts for another matcher than it lies in.")
        if side.tensors["linear"].shape != (side.open_text_encoder().dim, base.dim):
            raise ArtifactError(f"{folder} has other widths than its encoder and its matcher.")
        return replace(side, base=base)

    def reading(self, language: str) -> TextSide:
        """Return what reads a language: where it was not learnt, the linear map alone.

        What the perceptron gains in the languages that it learnt it loses in others.
        """
        learnt = self.facts.get("learnt")
        return self if learnt is None or language in learnt else self.straight

    @cached_property
    def straight(self) -> TextSide:
        """Itself without what its perceptron adds."""
        last = {name: np.zeros_like(self.tensors[name]) for name in ("mlp.4.weight", "mlp.4.bias")}
        side = replace(self, tensors={**self.tensors, **last})
        vars(side)["_encoder"] = self._encoder  # it is large, so it is there once
        return side

    @property
    def inner(self) -> Any:
        """The matcher that it is for."""
        return self.base

    @property
    def text_encoder(self) -> str:
        """Name of the encoder that texts must come from."""
        return self.encoder

    @property
    def text_levels(self) -> tuple[str, ...]:
        """Its levels."""
        return self.levels

    @property
    def words(self) -> Any:
        """What finds the pictures of single words, of the matcher that it is for."""
        return self.base.words

    @property
    def background(self) -> FloatArray | None:
        """Vectors of pictures that stand for any, of the matcher that it is for."""
        background: FloatArray | None = self.base.background
        return background

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from, each time the same."""
        return self._encoder

    @cached_property
    def _encoder(self) -> TextEncoder:
        encoder: TextEncoder = TEXT_ENCODERS.load(self.encoder)(self.levels)
        return encoder

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return vectors at most 1 long, float32 (m, dim); a text is the mean of its passages."""
        vectors = checked(self.name, self._runner(texts.pooled())[0], (self.dim,))
        _, scaled = self.base.lengthened(vectors[:0], vectors)
        return np.asarray(scaled, np.float32)

    @cached_property
    def _runner(self) -> Runner:
        facts = {"side": self.fingerprint()}
        build = partial(suited, self.name, self._graph)
        return BuiltNetwork(
            f"{self.name}-others", facts, build, self.network, streams=cores()
        ).runner()

    def _graph(self) -> ov.Model:
        return tower_graph(restored(self.tensors))

    def network(self) -> Any:
        """Return the torch ``Tower``, in evaluation mode."""
        from visita.networks.fusion import Tower  # noqa: PLC0415 - on a GPU

        tensors = restored(self.tensors)
        features, dim = tensors["linear"].shape
        hidden = len(tensors["mlp.1.bias"])
        return network_of(self.name, lambda: Tower(features, dim, hidden, 0, 0), tensors)
