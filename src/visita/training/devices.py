"""Where a network is trained, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from visita.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]


def device_of(name: Device) -> torch.device:
    """Return the device of that name; "auto" is the GPU where there is one.

    Raises
    ------
    ConfigError
        If there is no GPU that torch can use.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "torch finds no GPU: set device=cpu, or install a build of torch with CUDA, such as "
            "PyPI's on Linux:  pip install --force-reinstall torch"
        )
    usable = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if usable else "cpu")


def precision_of(name: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return what makes networks compute in that precision where it does no harm."""
    mixed: AbstractContextManager[None] = torch.autocast(
        device.type, torch.bfloat16, enabled=name == "bfloat16"
    )
    return mixed
