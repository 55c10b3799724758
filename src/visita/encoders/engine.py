"""The inference engine: torch modules exported once to OpenVINO graphs and run without torch.

Why OpenVINO and not ONNX Runtime: see ``benchmarks/engines.py`` and its outcome in
``docs/notebook.md``. Where a module cannot be exported, or a GPU is asked for, torch runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import filelock
import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of, read_sealed, write_sealed
from visita.durable import checksum_of, draft_beside, make_folder, sync_folder, sync_tree
from visita.encoders.device import DeviceRunner, on_gpu
from visita.encoders.openvino import ov, trace
from visita.errors import ArtifactError, MismatchError, UnwritableError, last_line
from visita.home import cache_home
from visita.progress import say
from visita.types import FloatArray

XML, BIN, FACTS = "graph.xml", "graph.bin", "graph.json"
MIN_COSINE = {"float32": 0.9999, "int8": 0.97}
"""How near each vector of a graph must be to torch's. For int8 it only catches a broken
graph; what counts is rsum on dev, which ``docs/results/int8.json`` has."""


class Runner(Protocol):
    """Runs one network: numpy arrays in, one float32 array a named output out; thread-safe."""

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]: ...


class Graph:
    """A compiled OpenVINO graph. Each calling thread gets its own request, so calls overlap."""

    def __init__(self, model: Path | ov.Model, *, streams: int = 1) -> None:
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(streams)}
        try:
            source = str(model) if isinstance(model, Path) else model
            self._compiled = ov.Core().compile_model(source, "CPU", settings)
        except RuntimeError as error:
            raise ArtifactError(f"{model} cannot be run ({last_line(error)}).") from error
        for port in self._compiled.inputs:
            # OpenVINO sets up its dtypes on first use and hangs if two threads do so at once.
            port.get_element_type().to_dtype()
        self._local = threading.local()

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]:
        """Run the graph once; inputs and outputs are in the order of the torch module.

        Raises
        ------
        MismatchError
            If the inputs are of another shape or type than those it was made for.
        """
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        try:
            request.infer(list(inputs), share_inputs=True)
        except RuntimeError as error:
            shapes = ", ".join(str(array.shape) for array in inputs)
            raise MismatchError(
                f"A network cannot read features of the shape {shapes} ({last_line(error)})."
            ) from error
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
        If an output vector's cosine to torch's is below ``MIN_COSINE``, or the disk refuses.
    """
    expected = TorchRunner(module)(*examples)
    converted = _converted(_traced(module, examples, shapes), examples, edit, expected)
    _save(converted, examples, path)
    return converted.precision


class Converted(NamedTuple):
    """A graph that agrees with torch, on no disk yet, and what it makes of the examples."""

    model: ov.Model
    precision: str
    outputs: tuple[FloatArray, ...]


def _traced(
    module: Any, examples: Sequence[NDArray[Any]], shapes: Sequence[Sequence[int]]
) -> ov.Model:
    model = trace(module, examples)
    model.reshape(dict(enumerate(ov.PartialShape(list(shape)) for shape in shapes)))
    return model


def _converted(
    model: ov.Model,
    examples: Sequence[NDArray[Any]],
    edit: Callable[[ov.Model], str] | None,
    expected: Sequence[FloatArray],
) -> Converted:
    precision = edit(model) if edit else "float32"
    outputs = Graph(model)(*examples)
    cosine = _least_cosine(expected, outputs)
    if not cosine >= MIN_COSINE[precision]:  # NaN is no cosine
        raise ArtifactError(f"the exported graph differs from torch (cosine {cosine:.5f})")
    return Converted(model, precision, outputs)


def _save(converted: Converted, examples: Sequence[NDArray[Any]], path: Path) -> None:
    """Write a graph and see that it is all there: OpenVINO does not always notice a full disk."""
    try:
        ov.save_model(converted.model, str(path), compress_to_fp16=False)
        sync_tree(path.parent)
        if not _least_cosine(converted.outputs, Graph(path)(*examples)) >= MIN_COSINE["float32"]:
            raise ArtifactError("what was written came back changed")
    except (OSError, RuntimeError, ArtifactError) as error:
        raise _unwritable(path.parent, error) from error


def _unwritable(folder: Path, error: Exception) -> UnwritableError:
    full = shutil.disk_usage(folder).free < 2**20
    reason = "the disk is full" if full else getattr(error, "strerror", None) or last_line(error)
    return UnwritableError(
        f"{folder} cannot be written ({reason}): make room there, or set VISITA_HOME to a folder "
        "on another disk.",
        reason,
    )


def _least_cosine(expected: Sequence[FloatArray], outputs: Sequence[FloatArray]) -> float:
    # One vector a picture or text; the cells of a grid count together.
    cosines = [np.ones(1)]
    for wanted, output in zip(expected, outputs, strict=True):
        a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (wanted, output))
        nonzero = a.any(1) | b.any(1)  # zero on both sides is equal, on one side wrong
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines.append((a * b).sum(1)[nonzero] / np.maximum(norms[nonzero], 1e-300))
    return float(np.concatenate(cosines).min())


@dataclass(frozen=True)
class CachedNetwork:
    """A network whose graph is kept in the cache: made on first use, and again if damaged.

    Torch is imported once for it and never again. On a GPU (see ``device``) the module itself
    runs.

    Attributes
    ----------
    name : str
        What it is called in the cache and in messages.
    facts : mapping
        What decides the graph, as JSON values; OpenVINO's version is added.
    module : callable
        Builds the torch module.
    examples : callable
        Inputs to trace and to compare on.
    shapes : one shape an input
        With -1 for a dimension that may vary.
    edit : callable, optional
        Changes the graph in place (quantisation) and returns its new precision. Where this
        machine cannot run the changed graph well, it runs the one in float32.
    half : bool
        Compute in half precision on a GPU.
    """

    name: str
    facts: Mapping[str, Any]
    module: Callable[[], Any]
    examples: Callable[[], Sequence[NDArray[Any]]]
    shapes: Sequence[Sequence[int]]
    edit: Callable[[ov.Model], str] | None = None
    streams: int = 1
    half: bool = False

    def runner(self) -> Runner:
        """Return what runs it.

        Raises
        ------
        ArtifactError
            If the cache cannot be written, or torch cannot run the network.
        """
        if on_gpu():
            return DeviceRunner(self.module(), half=self.half)
        if graph := self._kept():
            return graph
        try:
            make_folder(self.folder.parent)
            with filelock.FileLock(self.folder.with_suffix(".lock")):
                return self._kept() or self._made()
        except OSError as error:
            raise _unwritable(_existing(self.folder), error) from error

    def precision(self) -> str:
        """Return what it is computed in here, "float32" or what ``edit`` says; as ``runner``."""
        if self.edit is None or on_gpu():
            return "float32"
        try:
            return str(read_sealed(self.folder / FACTS)["precision"])
        except (ArtifactError, KeyError):
            return "float32" if isinstance(self.runner(), TorchRunner) else self.precision()

    @cached_property
    def folder(self) -> Path:
        """Where the graph is kept."""
        shapes = [list(shape) for shape in self.shapes]
        key = fingerprint_of({**self.facts, "openvino": ov.get_version(), "shapes": shapes})
        # A network's name may be that of a folder, and long.
        name = re.sub(r"[^\w.-]+", "-", self.name)[-100:]
        return cache_home() / "graphs" / f"{name}-{key}"

    def _kept(self) -> Graph | None:
        """Return the graph in the cache; None if there is none, or it is not what was written."""
        try:
            intact = read_sealed(self.folder / FACTS).get("files") == _checksums(self.folder)
            return self._compiled() if intact else None
        except (ArtifactError, OSError):
            return None

    def _made(self) -> Runner:
        why = "its graph is damaged or of an older visita: " if self.folder.exists() else ""
        say(f"{why}preparing {self.name} for this machine (once)")
        module, examples = self.module(), self.examples()
        expected = _by_torch(self.name, module, examples)
        try:
            converted = self._converted(module, examples, expected)
        except Exception as error:  # whatever OpenVINO meets, torch can run it
            say(f"OpenVINO cannot run {self.name} ({last_line(error)}); torch runs it, more slowly")
            return TorchRunner(module)
        with draft_beside(self.folder) as draft:
            _save(converted, examples, draft / XML)
            facts = {"precision": converted.precision, "openvino": ov.get_version()}
            write_sealed(draft / FACTS, {**facts, "files": _checksums(draft)})
            shutil.rmtree(self.folder, ignore_errors=True)
            draft.replace(self.folder)
            sync_folder(self.folder.parent)
        return self._compiled()

    def _compiled(self) -> Graph:
        state = (self.folder / BIN).stat()  # a graph reads from the file that it was made of
        key = (self.folder / XML, self.streams, state.st_ino, state.st_mtime_ns, os.getpid())
        graph = _COMPILED.get(key)
        if graph is None:
            graph = _COMPILED[key] = Graph(self.folder / XML, streams=self.streams)
        return graph

    def _converted(
        self, module: Any, examples: Sequence[NDArray[Any]], expected: Sequence[FloatArray]
    ) -> Converted:
        model = _traced(module, examples, self.shapes)
        if self.edit:
            try:
                return _converted(model.clone(), examples, self.edit, expected)
            except Exception as error:  # not every processor computes int8 well
                say(
                    f"{self.name} runs in float32 here, as exact and more slowly: int8 is not "
                    f"computed well by this processor ({last_line(error)})"
                )
        return _converted(model, examples, None, expected)


_COMPILED: WeakValueDictionary[tuple[Any, ...], Graph] = WeakValueDictionary()
"""Graphs in use in this process: each is compiled once, however many encoders are opened."""


def cached_runner(
    name: str,
    facts: Mapping[str, Any],
    module: Callable[[], Any],
    examples: Callable[[], Sequence[NDArray[Any]]],
    shapes: Sequence[Sequence[int]],
    *,
    streams: int = 1,
    half: bool = False,
) -> Runner:
    """Return the ``runner`` of a ``CachedNetwork``."""
    return CachedNetwork(name, facts, module, examples, shapes, streams=streams, half=half).runner()


def _by_torch(name: str, module: Any, examples: Sequence[NDArray[Any]]) -> Sequence[FloatArray]:
    try:
        return TorchRunner(module)(*examples)
    except Exception as error:  # a stranger's weights may suit each other in no way
        raise ArtifactError(f"The network of {name} cannot be run ({last_line(error)}).") from error


def _checksums(folder: Path) -> dict[str, str]:
    return {name: checksum_of(folder / name) for name in (XML, BIN)}


def _existing(folder: Path) -> Path:
    """Return the nearest folder on the way up that is there."""
    return folder if folder.is_dir() else _existing(folder.parent)


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
