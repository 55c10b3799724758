"""Training m-DAN: Nam, Ha & Kim (2017), as ``visita.networks.classical.dan`` tells."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from visita.errors import ConfigError
from visita.networks.classical.dan import STEPS, DualAttention
from visita.training.classical.baseline import CELLS
from visita.training.classical.sentences import VectorWords
from visita.training.config import ImageLevels


class DAN(VectorWords):
    """Dual attention: pictures and texts attend to their own cells and words."""

    paper: ClassVar[str] = "Nam et al. 2017"

    image_levels: ImageLevels = CELLS
    dim: Annotated[int, Field(ge=STEPS + 1, le=1024)] = 510
    """Of the vectors: all steps together."""

    def made(self, cells: int, features: int, words: int) -> DualAttention:
        """Return the network, untrained."""
        return DualAttention(cells, features, vocabulary=words, dim=self.dim, dropout=self.dropout)

    @model_validator(mode="after")
    def _refuse_what_steps_cannot_share(self) -> Self:
        if self.dim % (STEPS + 1):
            raise ConfigError(f"dim={self.dim} cannot be shared by {STEPS + 1} steps.")
        return self
