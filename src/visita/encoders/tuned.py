"""Image encoders trained on pairs: the network of another encoder, with weights of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict

from visita.artifact import (
    Manifest,
    Name,
    Width,
    fingerprint_of,
    read_arrays,
    read_manifest,
    write_arrays,
    write_folder,
)
from visita.data.seen import Seen
from visita.encoders.fitted import install, installed
from visita.encoders.library.hub import no_fetching
from visita.encoders.openvino import ov
from visita.encoders.quantize import Activations
from visita.encoders.table import IMAGE_ENCODERS
from visita.encoders.weights import restored
from visita.errors import ArtifactError, MismatchError
from visita.types import ImageEncoder

CHANGES, ACTIVATIONS, HEADS = "changes.safetensors", "int8.safetensors", "heads.safetensors"


@runtime_checkable
class Resizable(Protocol):
    """An encoder that reads pictures of other sizes too."""

    def at(self, side: int) -> ImageEncoder:
        """Return it for pictures of ``side`` pixels."""
        ...


@dataclass(frozen=True, eq=False)
class Heads:
    """The fusion heads that an encoder was trained through, which know its levels.

    Attributes
    ----------
    levels : tuple of str
        Of pictures, in the order in which they are read.
    text_encoder, text_levels
        What they read of texts.
    arguments : dict
        Of the network that they are.
    tensors : dict of arrays
        Its weights, as of ``rounded``.
    """

    levels: tuple[str, ...]
    text_encoder: str
    text_levels: tuple[str, ...]
    arguments: Mapping[str, int]
    tensors: Mapping[str, NDArray[Any]]

    def facts(self) -> dict[str, Any]:
        """Return all but the weights, as JSON values."""
        return {
            "levels": list(self.levels),
            "text_encoder": self.text_encoder,
            "text_levels": list(self.text_levels),
            "arguments": dict(self.arguments),
        }


class TunedEncoder:
    """An ``ImageEncoder`` whose levels and preparation are those of ``base``.

    Attributes
    ----------
    base : str
        The encoder that training began with.
    changes : dict of arrays
        What training added to parameters, by their names in its network, as of
        ``rounded_changes``.
    side : int
        Pixels a side of the square input: that of the last pictures it was trained with.
    activations : Activations or None
        What int8 goes by, where it was measured.
    heads : Heads or None
        What training a matcher on it may begin with; they are no part of the encoder.
    seen : Seen or None
        The pictures that it learnt from and was chosen on, where they are known.
    """

    family: ClassVar[str] = "tuned"

    def __init__(
        self,
        base: str,
        changes: Mapping[str, NDArray[Any]],
        *,
        side: int | None = None,
        activations: Activations | None = None,
        heads: Heads | None = None,
        seen: Seen | None = None,
    ) -> None:
        self.base = base
        self.changes = dict(changes)
        self.activations = activations
        self.heads = heads
        self.seen = seen
        self._side = side

    @property
    def name(self) -> str:
        """What a recipe calls it."""
        return f"{self.family}:{self.fingerprint()}"

    @property
    def side(self) -> int:
        """Pixels a side of the square input: that of the last pictures it was trained with."""
        return self._base.side

    @property
    def reduced(self) -> bool:
        """Whether a large picture may come reduced; as for ``base``."""
        return self._base.reduced

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level to its shape a picture: (channels,) pooled, (cells, channels) a grid."""
        return self._base.level_shapes()

    def fingerprint(self) -> str:
        """Return a hash over the base and the trained weights."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        weights = {k: sha256(v.tobytes()).hexdigest() for k, v in sorted(self.changes.items())}
        return fingerprint_of([self.family, self.base, self._base.fingerprint(), weights])

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture as the network's input, uint8 (side, side, 3)."""
        return self._base.prepare(picture)

    @property
    def graph(self) -> Callable[[Sequence[str]], ov.Model] | None:
        """What builds the graph of levels, as that of ``base`` does; None where torch must."""
        build = getattr(self._base, "graph", None)
        if build is None:
            return None
        own = restored(self.changes).items()
        return partial(build, changes={name.removeprefix("network."): x for name, x in own})

    def network(self, levels: Sequence[str]) -> Any:
        """Return a torch module: uint8 (b, side, side, 3) → a tuple with one tensor a level.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        ArtifactError
            If the weights are not of this network.
        """
        import torch  # noqa: PLC0415 - searching must not import torch

        network = self._base.network(levels)
        parameters = dict(network.named_parameters())
        for name, change in restored(self.changes).items():
            parameter = parameters.get(name)
            if parameter is None or parameter.shape != change.shape:
                raise ArtifactError(f"{self.name} has weights that {self.base} does not: {name}.")
            parameter.data = parameter.data + torch.from_numpy(change)
        return network

    def alone(self) -> TunedEncoder:
        """Return the encoder without its heads, as it travels inside a matcher."""
        return TunedEncoder(
            self.base, self.changes, side=self._side, activations=self.activations, seen=self.seen
        )

    def save(self, folder: Path) -> None:
        """Write it as an artifact folder, atomically.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        facts = {"base": self.base, "side": self.side, "fingerprint": self.fingerprint()}
        facts["heads"] = self.heads.facts() if self.heads else None
        with write_folder(folder, self.family, facts) as draft:
            write_arrays(draft / CHANGES, self.changes)
            if self.activations is not None:
                write_arrays(draft / ACTIVATIONS, self.activations.to_tensors(self.family))
            if self.heads is not None:
                write_arrays(draft / HEADS, self.heads.tensors)
            if self.seen is not None:
                self.seen.save(draft)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved one; nothing that it names is fetched.

        Raises
        ------
        ArtifactError
            If the folder does not hold a whole one.
        MismatchError
            If the encoder that training began with is another now.
        """
        saved = read_manifest(folder, cls.family, SavedTuned)
        activations = heads = None
        if (folder / ACTIVATIONS).is_file():
            measured = read_arrays(folder / ACTIVATIONS)
            try:
                activations = Activations.from_tensors(cls.family, measured)
            except (KeyError, ValueError) as error:
                raise ArtifactError(f"{folder / ACTIVATIONS} holds no activations.") from error
        if saved.heads is not None:
            heads = Heads(**dict(saved.heads), tensors=read_arrays(folder / HEADS))
        encoder = cls(
            *(saved.base, read_arrays(folder / CHANGES)),
            side=saved.side,
            activations=activations,
            heads=heads,
            seen=Seen.read(folder),
        )
        with no_fetching():
            fingerprint = encoder.fingerprint()
        if fingerprint != saved.fingerprint:
            raise MismatchError(
                f"{folder} was trained from another {encoder.base} than the installed one; install "
                "that version or train again."
            )
        return encoder

    @cached_property
    def _base(self) -> ImageEncoder:
        encoder: ImageEncoder = IMAGE_ENCODERS.load(self.base)()
        if self._side in (None, encoder.side):
            return encoder
        if not isinstance(encoder, Resizable):
            raise ArtifactError(f"{self.base} reads pictures of {encoder.side} pixels alone.")
        return encoder.at(self._side)


class SavedHeads(BaseModel):
    """What the manifest says of heads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    levels: tuple[Name, ...]
    text_encoder: Name
    text_levels: tuple[Name, ...]
    arguments: dict[Name, Width]


class SavedTuned(Manifest):
    """The manifest of a ``TunedEncoder``."""

    base: Name
    side: Width
    fingerprint: Name
    heads: SavedHeads | None


def named(encoder: str) -> str:
    """Return what recipes call an encoder.

    One given by its folder, ``tuned:FOLDER``, is put into the cache, where its name finds it.

    Raises
    ------
    ArtifactError, MismatchError
        As ``TunedEncoder.load``.
    """
    family, _, folder = encoder.partition(":")
    if family != TunedEncoder.family or not Path(folder).is_dir():
        return encoder
    tuned = TunedEncoder.load(Path(folder))
    install(tuned)
    return tuned.name


def by_name(fingerprint: str) -> TunedEncoder:
    """Return the encoder with that fingerprint, which a matcher brings when it is loaded.

    Raises
    ------
    ArtifactError
        If it was never here.
    """
    return installed(TunedEncoder, fingerprint)
