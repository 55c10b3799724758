"""Which pictures something trained saw: what it learnt from, and what it was chosen on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from visita.artifact import read_arrays, write_arrays
from visita.data.identity import Identities, are_among, identities
from visita.errors import ArtifactError

if TYPE_CHECKING:  # a search needs no pairs
    from visita.data.pairs import PairSet

SEEN = "seen.safetensors"
SPLITS = ("train", "dev")


@dataclass(frozen=True, eq=False)
class Seen:
    """The identities of pictures that a matcher or an encoder saw, 16 bytes each.

    Attributes
    ----------
    train : uint64 (n, 2)
        Of what it learnt from.
    dev : uint64 (m, 2)
        Of what chose it and its probabilities.
    """

    train: Identities
    dev: Identities

    @classmethod
    def of(cls, pairs: PairSet) -> Self:
        """Return the splits train and dev of the data that one is trained on."""
        paths = np.array(pairs.image_paths, object)
        return cls(*(identities(paths[pairs.image_split == split]) for split in SPLITS))

    def joined(self, other: Seen | None) -> Seen:
        """Return what either saw; what one learnt from, the other cannot have been chosen on."""
        if other is None:
            return self
        train, dev = (
            np.unique(np.concatenate([getattr(self, split), getattr(other, split)]), axis=0)
            for split in SPLITS
        )
        return Seen(train, dev)

    def among(self, pictures: Identities) -> Overlap:
        """Return which of some pictures, (n, 2), were seen."""
        train = are_among(pictures, self.train)
        return Overlap(train, are_among(pictures, self.dev) & ~train)

    def save(self, folder: Path) -> None:
        """Write them into the folder of what saw them."""
        write_arrays(folder / SEEN, {split: getattr(self, split) for split in SPLITS})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read what ``save`` wrote; None where nothing was kept.

        Raises
        ------
        ArtifactError
            If these are no identities.
        """
        if not (folder / SEEN).is_file():
            return None
        arrays = read_arrays(folder / SEEN)
        fits = [a.dtype == np.uint64 and a.ndim == 2 and a.shape[1] == 2 for a in arrays.values()]
        if sorted(arrays) != sorted(SPLITS) or not all(fits):
            raise ArtifactError(f"{folder / SEEN} does not hold identities of pictures.")
        return cls(**arrays)


@dataclass(frozen=True, eq=False)
class Overlap:
    """Which of n pictures were learnt from, bool (n,), and which others were chosen on."""

    train: NDArray[np.bool_]
    dev: NDArray[np.bool_]

    @property
    def any(self) -> NDArray[np.bool_]:
        """Which it saw at all, bool (n,)."""
        return self.train | self.dev

    def to_dict(self) -> dict[str, int]:
        """Return how many of each."""
        return {"train": int(self.train.sum()), "dev": int(self.dev.sum()), "of": len(self.train)}
