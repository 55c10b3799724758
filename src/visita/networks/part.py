"""A part of a joint space, as a matcher's manifest states it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from visita.networks import NETWORKS


class Part(BaseModel):
    """One kernel: a network by name, the features it reads (ends exclusive), its weight beta.

    ``on`` is the place of an earlier part whose vectors it reads instead of features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    arguments: dict[str, Any]
    image_span: tuple[int, int]
    text_span: tuple[int, int]
    weight: Annotated[float, Field(ge=0)]
    on: Annotated[int, Field(ge=0)] | None = None

    def build(self) -> Any:
        """Return the network, its tensors not yet set."""
        image_start, image_stop = self.image_span
        text_start, text_stop = self.text_span
        return NETWORKS.load(self.network)(
            image_stop - image_start, text_stop - text_start, **self.arguments
        )
