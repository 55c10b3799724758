"""The inference engine: torch modules exported once to OpenVINO graphs and run without torch.

Why OpenVINO and not ONNX Runtime: see ``benchmarks/engines.py`` and its outcome in
``docs/notebook.md``. Where a module cannot be exported, or a GPU is asked for, torch runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import filelock
import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of, read_json, write_json
from visita.errors import ArtifactError
from visita.features.device import DeviceRunner, on_gpu
from visita.features.openvino import ov, trace
from visita.home import cache_home
from visita.progress import say
from visita.types import FloatArray

MIN_COSINE = {"float32": 0.9999, "int8": 0.97}
"""How near each vector of a graph must be to torch's. For int8 it only catches a broken
graph; what counts is rsum on dev, which ``docs/results/int8.json`` has."""


class Runner(Protocol):
    """Runs one network: numpy arrays in, one float32 array a named output out; thread-safe."""

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]: ...


class Graph:
    """A compiled OpenVINO graph. Each calling thread gets its own request, so calls overlap."""

    def __init__(self, path: Path, *, streams: int = 1) -> None:
        self._path = path
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(streams)}
        try:
            self._compiled = ov.Core().compile_model(str(path), "CPU", settings)
        except RuntimeError as error:
            raise ArtifactError(
                f"{path} is damaged ({_last_line(error)}): delete {path.parent} and run again."
            ) from error
        for port in self._compiled.inputs:
            # OpenVINO sets up its dtypes on first use and hangs if two threads do so at once.
            port.get_element_type().to_dtype()
        self._local = threading.local()

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]:
        """Run the graph once; inputs and outputs are in the order of the torch module."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        request.infer(list(inputs), share_inputs=True)
        return tuple(
            np.array(request.get_output_tensor(i).data, dtype=np.float32)
            for i in range(len(self._compiled.outputs))
        )


class TorchRunner:
    """The fall-back: the torch module itself."""

    def __init__(self, module: Any) -> None:
        self._module = module.eval()

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]:
        """Run the module once without gradients."""
        import torch  # noqa: PLC0415 - only where no graph could be made

        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(np.ascontiguousarray(x)) for x in inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(o.numpy().astype(np.float32) for o in outputs)


def export(
    module: Any,
    examples: Sequence[NDArray[Any]],
    shapes: Sequence[Sequence[int]],
    path: Path,
    *,
    edit: Callable[[ov.Model], str] | None = None,
) -> str:
    """Write ``module`` as an OpenVINO graph and check it against torch.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode; returns a tensor or a tuple of tensors.
    examples : arrays
        Inputs to trace and to compare on.
    shapes : one shape an input
        With -1 for a dimension that may vary.
    path : Path
        The ``.xml`` file; its weights go beside it as ``.bin``.
    edit : callable, optional
        Changes the graph in place (quantisation) and returns its new precision.

    Returns
    -------
    str
        The graph's precision, "float32" or what ``edit`` said.

    Raises
    ------
    ArtifactError
        If an output vector's cosine to torch's is below ``MIN_COSINE``.
    """
    model = trace(module, examples)
    model.reshape(dict(enumerate(ov.PartialShape(list(shape)) for shape in shapes)))
    precision = edit(model) if edit else "float32"
    ov.save_model(model, str(path), compress_to_fp16=False)
    found = _least_cosine(TorchRunner(module)(*examples), Graph(path)(*examples))
    if not found >= MIN_COSINE[precision]:  # NaN is no cosine
        raise ArtifactError(f"the exported graph differs from torch (cosine {found:.5f})")
    return precision


def _least_cosine(expected: Sequence[FloatArray], found: Sequence[FloatArray]) -> float:
    # One vector a picture or text; the cells of a grid count together.
    cosines = [np.ones(1)]
    for one, other in zip(expected, found, strict=True):
        a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (one, other))
        kept = a.any(1) | b.any(1)  # zero on both sides is equal, on one side wrong
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines.append((a * b).sum(1)[kept] / np.maximum(norms[kept], 1e-300))
    return float(np.concatenate(cosines).min())


def cached_runner(
    name: str,
    facts: Mapping[str, Any],
    module: Callable[[], Any],
    examples: Callable[[], Sequence[NDArray[Any]]],
    shapes: Sequence[Sequence[int]],
    *,
    edit: Callable[[ov.Model], str] | None = None,
    streams: int = 1,
    half: bool = False,
) -> Runner:
    """Return a runner for a network, exporting it on first use.

    The graph is kept in the cache under ``name`` and the fingerprint of ``facts`` and
    OpenVINO's version, so torch is imported once and never again. On a GPU (see ``device``)
    the module itself runs, with ``half`` in half precision.
    """
    if on_gpu():
        return DeviceRunner(module(), half=half)
    key = fingerprint_of({**facts, "openvino": ov.get_version(), "shapes": list(map(list, shapes))})
    file_name = re.sub(r"[^\w.-]+", "-", name)  # a network's name may be that of a folder
    folder = cache_home() / "graphs" / f"{file_name}-{key}"
    if not (folder / "graph.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_suffix(".lock")):
            if not (folder / "graph.json").is_file():
                built = module()
                say(f"preparing {name} for this machine (once)")
                try:
                    _export_folder(folder, built, examples(), shapes, edit)
                except Exception as error:  # whatever OpenVINO meets, torch can run it
                    reason = _last_line(error)
                    say(f"OpenVINO cannot run {name} ({reason}); torch runs it, more slowly")
                    return TorchRunner(built)
    read_json(folder / "graph.json")
    return Graph(folder / "graph.xml", streams=streams)


def _export_folder(
    folder: Path,
    module: Any,
    examples: Sequence[NDArray[Any]],
    shapes: Sequence[Sequence[int]],
    edit: Callable[[ov.Model], str] | None,
) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        precision = export(module, examples, shapes, draft / "graph.xml", edit=edit)
        write_json(draft / "graph.json", {"precision": precision, "openvino": ov.get_version()})
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _last_line(error: Exception) -> str:
    # OpenVINO names the source files it came through first, and why last.
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
