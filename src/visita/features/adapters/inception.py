"""Inception v3 with the two levels of the multi-level fusion paper, 4,096 features together.

``fc`` is the last pool (2,048) and ``mixed9`` the first Inception block of the last stage,
max-pooled (2,048); torchvision calls them ``avgpool`` and ``Mixed_7b``. Its other layers are
levels of ``torchvision:inception_v3``, whose ``fc`` are the class scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.arguments import check_levels
from visita.features.adapters.torchvision_models import by_name

LEVELS = {"mixed9": "Mixed_7b:max", "fc": "avgpool:avg"}
WIDTH = 2048


class InceptionV3:
    """Inception v3 (Szegedy et al., 2016) of torchvision as an ``ImageEncoder``.

    Its methods raise what those of ``torchvision:inception_v3`` do.
    """

    name = "inception-v3"
    side = 299
    reduced = False

    def __init__(self) -> None:
        self._encoder = by_name("inception_v3")

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level to its shape a picture; needs neither torchvision nor the weights."""
        return dict.fromkeys(LEVELS, (WIDTH,))

    def fingerprint(self) -> str:
        """Return a hash over the weights' file and the preparation."""
        return self._encoder.fingerprint()

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture as torchvision prepares it, uint8 (299, 299, 3)."""
        return self._encoder.prepare(picture)

    def network(self, levels: Sequence[str]) -> Any:
        """Return a torch module: uint8 (b, 299, 299, 3) → a tuple with (b, 2048) a level.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        """
        check_levels(self.name, levels, LEVELS)
        return self._encoder.network([LEVELS[level] for level in levels])
