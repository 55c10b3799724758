"""OpenVINO, which keeps silent here: whoever needs it imports ``ov`` and ``ops`` from this module.

Importing the package reports to its makers, under a lasting number that it writes into the
user's home. It has a stub for where its reporter, ``openvino_telemetry``, is not installed; so
it is imported as if that were so. A program that imported OpenVINO first keeps what it has.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

__all__ = ["ops", "ov", "trace"]


@contextmanager
def _absent(package: str) -> Iterator[None]:
    """Let imports of ``package`` fail within the block, as they do where it is not installed."""
    before = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name.partition(".")[0] == package
    }
    sys.modules[package] = None  # type: ignore[assignment]  # what the import system asks for
    try:
        yield
    finally:
        del sys.modules[package]
        sys.modules.update(before)


with _absent("openvino_telemetry"):
    import openvino as ov
    from openvino import opset13 as ops


def trace(module: Any, examples: Sequence[NDArray[Any]]) -> ov.Model:
    """Return the OpenVINO graph of a torch module, traced on ``examples``.

    OpenVINO's frontend is called directly, as its ``convert_model`` traces twice over. Torch
    makes a script of each inner module that it sees, which takes most of its time, so that it
    sees none: the weights are constants of the trace, and train no more.
    """
    import torch  # noqa: PLC0415 - exporting only
    from openvino._offline_transformations import apply_moc_transformations  # noqa: PLC0415
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415

    class Whole(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> Any:
            return module(*inputs)

    module.eval().requires_grad_(False)
    inputs = tuple(torch.from_numpy(x) for x in examples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every shape it takes as fixed
        decoder = TorchScriptPythonDecoder(  # kept in a name: the frontend only borrows it
            Whole(), example_input=inputs, trace_kwargs={"check_trace": False}
        )
    frontend = FrontEndManager().load_by_framework("pytorch")
    model: ov.Model = frontend.convert(frontend.load(decoder))
    apply_moc_transformations(model, cf=True)  # folds constants and batch norms
    return model
