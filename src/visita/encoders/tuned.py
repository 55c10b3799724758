"""Image encoders trained on pairs: the network of another encoder, with weights of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.artifact import (
    Manifest,
    Name,
    fingerprint_of,
    read_arrays,
    read_manifest,
    write_arrays,
    write_folder,
)
from visita.data.seen import Seen
from visita.encoders.fitted import installed
from visita.encoders.library.hub import no_fetching
from visita.encoders.openvino import ov
from visita.encoders.table import IMAGE_ENCODERS
from visita.errors import ArtifactError, MismatchError
from visita.types import ImageEncoder

WEIGHTS = "weights.safetensors"


class TunedEncoder:
    """An ``ImageEncoder`` whose levels and preparation are those of ``base``.

    Attributes
    ----------
    base : str
        The encoder that training began with.
    tensors : dict of float16 arrays
        The parameters that were trained, by their names in its network.
    seen : Seen or None
        The pictures that it learnt from and was chosen on, where they are known.
    """

    family: ClassVar[str] = "tuned"

    def __init__(
        self, base: str, tensors: Mapping[str, NDArray[np.float16]], seen: Seen | None = None
    ) -> None:
        self.base = base
        self.tensors = dict(tensors)
        self.seen = seen

    @property
    def name(self) -> str:
        """What a recipe calls it."""
        return f"{self.family}:{self.fingerprint()}"

    @property
    def side(self) -> int:
        """Pixels a side of the square input."""
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
        weights = {k: sha256(v.tobytes()).hexdigest() for k, v in sorted(self.tensors.items())}
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
        own = {name.removeprefix("network."): x for name, x in self.tensors.items()}
        return partial(build, changed=own)

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
        for name, values in self.tensors.items():
            parameter = parameters.get(name)
            if parameter is None or parameter.shape != values.shape:
                raise ArtifactError(f"{self.name} has weights that {self.base} does not: {name}.")
            parameter.data = torch.from_numpy(values.astype(np.float32))
        return network

    def save(self, folder: Path) -> None:
        """Write it as an artifact folder, atomically.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        facts = {"base": self.base, "fingerprint": self.fingerprint()}
        with write_folder(folder, self.family, facts) as draft:
            write_arrays(draft / WEIGHTS, self.tensors)
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
        encoder = cls(saved.base, read_arrays(folder / WEIGHTS), Seen.read(folder))
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
        return encoder


class SavedTuned(Manifest):
    """The manifest of a ``TunedEncoder``."""

    base: Name
    fingerprint: Name


def by_name(fingerprint: str) -> TunedEncoder:
    """Return the encoder with that fingerprint, which a matcher brings when it is loaded.

    Raises
    ------
    ArtifactError
        If it was never here.
    """
    return installed(TunedEncoder, fingerprint)
