"""Image classifiers of torchvision with their default weights: ``torchvision:resnet50``.

Layers are called as in torchvision (``layer4.2``, ``encoder.layers.encoder_layer_11``); the
class scores are the last one (``fc``, ``heads.head`` …). ``TORCH_HOME`` says where the weights
are kept.

Inception v3 with the two levels of the multi-level fusion paper, 4,096 features together.

``fc`` is the last pool (2,048) and ``mixed9`` the first Inception block of the last stage,
max-pooled (2,048); torchvision calls them ``avgpool`` and ``Mixed_7b``. Its other layers are
levels of ``torchvision:inception_v3``, whose ``fc`` are the class scores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.arguments import check_levels
from visita.encoders.library.hub import may_fetch
from visita.encoders.library.networks import Library, LibraryEncoder, Preparation, imported
from visita.errors import ArtifactError, UnknownNameError, did_you_mean


def by_name(model: str) -> LibraryEncoder:
    """Return the encoder for a classifier of torchvision, such as ``resnet50``.

    Its methods raise MissingExtraError without torchvision; UnknownNameError if it has no
    such classifier; ArtifactError if the weights are not there and cannot be fetched.
    """
    return LibraryEncoder(LIBRARY, model)


def _fetch(model: str) -> Sequence[Path]:
    weights = _weights(model)
    from torch.hub import download_url_to_file, get_dir  # noqa: PLC0415

    name = Path(urlparse(weights.url).path).name
    path = Path(get_dir(), "checkpoints", name)
    if not path.is_file():
        if not may_fetch():
            raise ArtifactError(
                f"The weights of torchvision:{model} are not in {path.parent}, and a saved matcher "
                f"fetches nothing by itself: if you trust it, run  curl -LO {weights.url}  there."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]  # torchvision's names end in it
        try:
            download_url_to_file(weights.url, str(path), digest)
        except (URLError, OSError, RuntimeError) as error:
            raise ArtifactError(
                f"The weights of torchvision:{model} are not in {path.parent} and could not be "
                f"fetched ({error}). Where there is a network, run  curl -LO {weights.url}  and "
                "put the file there."
            ) from error
    return [path]


def _build(model: str, _files: Sequence[Path]) -> tuple[Any, Preparation]:
    from visita.encoders.library.layers import check_preparation  # noqa: PLC0415 - needs torch

    weights = _weights(model)
    preset = weights.transforms()
    (side,), (resize,) = preset.crop_size, preset.resize_size
    preparation = Preparation(
        side,
        resize,
        False,
        preset.interpolation.name,
        tuple(preset.mean),
        tuple(preset.std),
        rounds_crop=True,
    )
    check_preparation(model, preparation, preset)
    with _tensors_only():
        return imported("torchvision").models.get_model(model, weights=weights).eval(), preparation


def _weights(model: str) -> Any:
    models = imported("torchvision").models
    names = models.list_models(module=models)
    if model not in names:
        raise UnknownNameError(
            f"torchvision has no classifier {model!r}.{did_you_mean(model, names)}"
        )
    return models.get_model_weights(model).DEFAULT


@contextmanager
def _tensors_only() -> Iterator[None]:
    # torchvision loads its pickles without weights_only; torch obeys this variable instead.
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


LIBRARY = Library("torchvision", _fetch, _build)
LEVELS = {"mixed9": "Mixed_7b:max", "fc": "avgpool:avg"}
WIDTH = 2048


class InceptionV3:
    """Inception v3 (Szegedy et al., 2016) of torchvision as an ``ImageEncoder``.

    Its methods raise what those of ``torchvision:inception_v3`` do.
    """

    name = "inception-v3"
    side = 299
    reduced = False
    licence = "BSD-3-Clause"
    package = "torchvision"

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
