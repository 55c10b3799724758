"""Image classifiers of torchvision with their default weights: ``torchvision:resnet50``.

Layers are called as in torchvision (``layer4.2``, ``encoder.layers.encoder_layer_11``); the
class scores are the last one (``fc``, ``heads.head`` …). ``TORCH_HOME`` says where the weights
are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

from visita.errors import ArtifactError, UnknownNameError, did_you_mean
from visita.features.adapters.hub import may_fetch
from visita.features.adapters.libraries import Library, LibraryEncoder, imported
from visita.features.adapters.preparation import Preparation


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
    from visita.features.adapters.layers import check_preparation  # noqa: PLC0415 - needs torch

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
    known = models.list_models(module=models)
    if model not in known:
        raise UnknownNameError(
            f"torchvision has no classifier {model!r}.{did_you_mean(model, known)}"
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
