"""Networks of the library timm: ``timm:NAME``, a repository of the hub, or a folder.

Layers are called as in timm (``layer4.1``, ``blocks.11``, ``stages.2``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visita.encoders.library.hub import model_files
from visita.encoders.library.networks import Library, LibraryEncoder, Preparation, imported
from visita.errors import ConfigError, UnknownNameError, did_you_mean


def by_name(model: str) -> LibraryEncoder:
    """Return the encoder for a model of timm.

    ``model`` is one of ``timm.list_models(pretrained=True)`` such as ``vit_small_patch16_224``,
    a repository such as ``timm/resnet18.a1_in1k``, or a folder that ``timm`` saved. Its methods
    raise MissingExtraError without timm; UnknownNameError if timm has no such model;
    ArtifactError if the weights are not there and cannot be fetched.
    """
    return LibraryEncoder(LIBRARY, model)


def _fetch(model: str) -> Sequence[Path]:
    if "/" in model or Path(model).is_dir():
        return model_files(model)
    timm = imported("timm")
    config = timm.get_pretrained_cfg(model)
    if not config or not config.hf_hub_id:
        names = [name.partition(".")[0] for name in timm.list_models(pretrained=True)]
        raise UnknownNameError(f"timm has no pretrained {model!r}.{did_you_mean(model, names)}")
    return model_files(config.hf_hub_id)


def _build(model: str, files: Sequence[Path]) -> tuple[Any, Preparation]:
    from visita.encoders.library.layers import check_preparation  # noqa: PLC0415 - needs torch

    timm = imported("timm")
    network = timm.create_model(f"local-dir:{files[0].parent}", pretrained=True).float().eval()
    wanted = timm.data.resolve_model_data_config(network)
    _, height, width = wanted["input_size"]
    if height != width:
        raise ConfigError(f"timm:{model} reads pictures of {width} x {height}, not squares.")
    preparation = Preparation(
        height,
        int(height / wanted["crop_pct"]),
        wanted["crop_mode"] == "squash",
        wanted["interpolation"].upper(),
        tuple(wanted["mean"]),
        tuple(wanted["std"]),
        rounds_crop=True,
    )
    check_preparation(model, preparation, timm.data.create_transform(**wanted))
    return network, preparation


LIBRARY = Library("timm", _fetch, _build)
