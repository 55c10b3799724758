"""What readers of a gallery use: paths and vectors of one moment, which no sync alters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from visita.gallery.contract import Index
from visita.gallery.exact import ExactIndex
from visita.types import FloatArray


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The pictures of a gallery that one matcher has a vector for, in the order of their paths.

    Attributes
    ----------
    paths : list of str (n)
        Absolute.
    vectors : float32 (n, d)
        Unit vectors, read-only.
    digests : list of str (n)
        Hex SHA-256 of each file's content.
    """

    paths: list[str]
    vectors: FloatArray
    digests: list[str]

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def index(self) -> Index:
        """The engine that searches the vectors, made on first use."""
        return ExactIndex(self.vectors)
