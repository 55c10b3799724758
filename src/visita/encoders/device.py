"""Networks run by torch on a GPU, where ``VISITA_DEVICE=cuda`` asks for it.

Otherwise the engine's graphs run on the processor. It is asked for and not found out, as that
would import torch wherever a picture or a text is encoded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import ConfigError, extras_named
from visita.types import FloatArray

VARIABLE = "VISITA_DEVICE"


def on_gpu() -> bool:
    """Tell whether networks are to run on a GPU.

    Raises
    ------
    ConfigError
        If the variable asks for something else, or torch finds no GPU.
    MissingExtraError
        If torch is not installed.
    """
    wanted = os.environ.get(VARIABLE, "cpu")
    if wanted == "cpu":
        return False
    with extras_named(f"{VARIABLE}={wanted}"):
        import torch  # noqa: PLC0415 - only where it will run the networks

    if wanted != "cuda":
        raise ConfigError(f"{VARIABLE} is {wanted!r}: set it to cpu or cuda.")
    if not torch.cuda.is_available():
        raise ConfigError(
            f"{VARIABLE}=cuda, but torch finds no GPU: unset it, or install a build of torch "
            "with CUDA, such as PyPI's on Linux:  pip install --force-reinstall torch"
        )
    return True


def gpu_runner(name: str, module: Callable[[], Any], *, half: bool) -> DeviceRunner:
    """Return what runs the network ``name`` on the GPU.

    Raises
    ------
    MissingExtraError
        If a library that builds its torch module is not installed.
    """
    with extras_named(f"{name} on a GPU"):
        return DeviceRunner(module(), half=half)


class DeviceRunner:
    """Runs a torch module on a device; a ``Runner``.

    Parameters
    ----------
    module : torch.nn.Module
    device : str
        As torch has it.
    half : bool
        Compute in half precision where it does no harm. Vectors that are kept are always
        computed in full, as they must not depend on the machine.
    """

    def __init__(self, module: Any, device: str = "cuda", *, half: bool = False) -> None:
        self._module = module.eval().to(device)
        self._device = device
        self._half = half

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]:
        """Run the module once without gradients; in parts where memory is too small."""
        import torch  # noqa: PLC0415

        try:
            return self._run(inputs)
        except torch.OutOfMemoryError:
            rows = max(map(len, inputs))
            if rows < 2:
                raise
        torch.cuda.empty_cache()
        parts = [
            self(*(x[half] if len(x) == rows else x for x in inputs))
            for half in (slice(0, rows // 2), slice(rows // 2, rows))
        ]
        return tuple(np.concatenate(values) for values in zip(*parts, strict=True))

    def _run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[FloatArray, ...]:
        import torch  # noqa: PLC0415

        half = torch.autocast(self._device, torch.float16, enabled=self._half)
        with torch.inference_mode(), half:
            tensors = [torch.from_numpy(np.ascontiguousarray(x)).to(self._device) for x in inputs]
            outputs = self._module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.float().cpu().numpy() for output in outputs)
