"""The inference engine: networks as OpenVINO graphs, run without torch.

Why OpenVINO and not ONNX Runtime: see ``benchmarks/engines.py`` and its outcome in
``docs/notebook.md``. A network is built from its weights (``BuiltNetwork``), or exported from
torch (``visita.encoders.export``) where only torch has it. Where a GPU is asked for, torch runs it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of
from visita.encoders.device import gpu_runner, on_gpu
from visita.encoders.openvino import ov
from visita.encoders.precision import BFLOAT16, FLOAT32, INT8, allowed, found_out
from visita.errors import ArtifactError, ConfigError, MismatchError, last_line
from visita.progress import say
from visita.types import FloatArray

MIN_COSINE, MIN_INT8_COSINE = 0.9999, 0.9
"""How near each vector of a graph must be to the network's. For int8 it only catches a broken
graph; what counts is rsum on dev, which ``docs/results/int8.json`` has."""


class Runner(Protocol):
    """Runs one network: numpy arrays in, one float32 array a named output out; thread-safe."""

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]: ...


ARITHMETIC = {FLOAT32: "f32", BFLOAT16: "bf16"}
"""What a graph computes in where it is not in int8, by OpenVINO's names."""


class Graph:
    """A compiled OpenVINO graph. Each calling thread gets its own request, so calls overlap."""

    def __init__(
        self, model: Path | ov.Model, *, streams: int = 1, arithmetic: str = FLOAT32
    ) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": ARITHMETIC[arithmetic],
            "NUM_STREAMS": str(streams),
        }
        if os.environ.get(CORES):  # else one stream would take every core
            settings["INFERENCE_NUM_THREADS"] = str(cores())
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


@dataclass(frozen=True)
class Int8:
    """What makes a graph's arithmetic int8, where this machine computes that well.

    Attributes
    ----------
    quantize : callable
        Changes the graph in place.
    examples : callable
        Inputs to compare the changed graph with the one in float32 on.
    """

    quantize: Callable[[ov.Model], object]
    examples: Callable[[], Sequence[NDArray[Any]]]


@dataclass(frozen=True)
class BuiltNetwork:
    """A network whose graph is built from its weights each time, without torch.

    On a GPU (see ``device``) the torch module runs.

    Attributes
    ----------
    name : str
        What it is called in messages.
    facts : mapping
        What decides the graph, as JSON values.
    graph : callable
        Builds the graph, in float32.
    module : callable
        Builds the torch module, for a GPU.
    int8 : Int8, optional
        Where this machine does not compute it well, the graph runs in float32.
    half : bool
        Compute in half precision on a GPU.
    """

    name: str
    facts: Mapping[str, Any]
    graph: Callable[[], ov.Model]
    module: Callable[[], Any]
    int8: Int8 | None = None
    streams: int = 1
    half: bool = False

    def runner(self) -> Runner:
        """Return what runs it; the same graph for each that is in use in this process."""
        if on_gpu():
            return gpu_runner(self.name, self.module, half=self.half)
        precision = self.precision()
        key = (self.name, fingerprint_of(self.facts), precision, self.streams, os.getpid())
        return compiled(key, lambda: Graph(self._model(precision), streams=self.streams))

    def _model(self, precision: str) -> ov.Model:
        model = self.graph()
        if self.int8 and precision == INT8:
            self.int8.quantize(model)
        return model

    def precision(self) -> str:
        """Return what it is computed in here, "float32" or "int8".

        The answer is kept, as comparing takes longer than starting.
        """
        if self.int8 is None or on_gpu() or INT8 not in allowed():
            return FLOAT32
        int8 = self.int8
        return found_out(
            "precision", [self.name, self.facts], lambda: INT8 if self._suits(int8) else FLOAT32
        )

    def _suits(self, int8: Int8) -> bool:
        examples = int8.examples()
        model = self.graph()
        expected = Graph(model)(*examples)
        try:
            int8.quantize(model)
            cosine = least_cosine(expected, Graph(model)(*examples))
            reason = f"cosine {cosine:.5f}"
        except Exception as error:  # whatever OpenVINO meets, float32 it can run
            cosine, reason = 0.0, last_line(error)
        suits = cosine >= MIN_INT8_COSINE  # NaN is no cosine
        if not suits:
            say(
                f"{self.name} runs in float32 here, as exact and more slowly: int8 is not "
                f"computed well by this processor ({reason})"
            )
        return suits


COMPILED: WeakValueDictionary[tuple[Any, ...], Graph] = WeakValueDictionary()
"""Graphs in use in this process: each is compiled once, however many encoders are opened."""
_RECENT: deque[Graph] = deque(maxlen=4)
"""The last ones stay in use: training and measuring open one encoder again and again."""


def compiled(key: tuple[Any, ...], compile_it: Callable[[], Graph]) -> Graph:
    """Return the graph of a key that is in use in this process, or compile it."""
    graph = COMPILED.get(key)
    if graph is None:
        graph = COMPILED[key] = compile_it()
        _RECENT.append(graph)
    return graph


def least_cosine(expected: Sequence[FloatArray], outputs: Sequence[FloatArray]) -> float:
    """Return the least cosine between vectors, one a picture or text: a grid's cells together."""
    cosines = [np.ones(1)]
    for wanted, output in zip(expected, outputs, strict=True):
        a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (wanted, output))
        nonzero = a.any(1) | b.any(1)  # zero on both sides is equal, on one side wrong
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines.append((a * b).sum(1)[nonzero] / np.maximum(norms[nonzero], 1e-300))
    return float(np.concatenate(cosines).min())


CORES = "VISITA_CORES"


def cores() -> int:
    """Return the number of cores this process may use; ``$VISITA_CORES`` where that is set.

    Raises
    ------
    ConfigError
        If that is no number.
    """
    if given := os.environ.get(CORES):
        if not (given.isascii() and given.isdigit() and int(given)):
            raise ConfigError(f"{CORES} is {given!r}: give a number of cores, such as 4.")
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
