"""The engines that could run the default encoders: speed, agreement with torch, size on disk.

python benchmarks/engines.py PAIRS [--pictures 40] [--texts 256] [--rounds 5]

PAIRS are real pictures and texts, such as coco:PATH. ONNX Runtime is measured where it is
installed: pip install onnxruntime onnxscript
"""

import argparse
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visita.data import decode, open_pairs
from visita.encoders.efficientnet import lite2
from visita.encoders.engine import Graph, Runner, cores
from visita.encoders.export import TorchRunner, export
from visita.encoders.minilm import BATCH, MiniLM
from visita.encoders.openvino import ov
from visita.encoders.quantize import known_activations, quantize
from visita.store.pictures import CHUNK
from visita.training.config import FusionConfig

Batch = Sequence[NDArray[Any]]
Rates = dict[str, list[list[float]]]
"""Of each engine, by way and round: items a second."""
WAYS = ((cores(), 1), (1, cores()))
"""Calls at a time and threads a call; what is reported is an engine's better way."""
TORCH, ONNX, FLOAT32, INT8, DEFAULT = (
    "torch, eager",
    "ONNX Runtime",
    "OpenVINO, float32",
    "OpenVINO, int8",
    "OpenVINO, its default",
)
PACKAGES = {TORCH: "torch", ONNX: "onnxruntime", FLOAT32: "openvino"}


@dataclass
class Network:
    """A torch module, the batches it is measured on and the sizes of its inputs."""

    module: Any
    batches: list[Batch]
    shapes: list[list[int]]
    activations: Any = None


def main() -> None:
    """Print one row an engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pairs = open_pairs(options.pairs)
    networks = [
        picture_network(pairs.image_paths[: options.pictures]),
        text_network(pairs.texts[: options.texts]),
    ]
    measured = [measure(network, options.rounds) for network in networks]
    print(
        "| engine | pictures /s | / torch | least cosine | texts /s | / torch | least cosine "
        "| MB on disk |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    for engine in (TORCH, ONNX, FLOAT32, INT8, DEFAULT):
        parts = [columns(engine, rates, cosines) for rates, cosines in measured]
        print(f"| {engine} | {' | '.join(parts)} | {megabytes(engine)} |")


def picture_network(paths: Sequence[Path]) -> Network:
    """EfficientNet-Lite2 with the levels of the default recipe."""
    encoder = lite2()
    pixels = np.stack([encoder.prepare(decode(path, reduced=True)) for path in paths])
    batches: list[Batch] = [[pixels[i : i + CHUNK]] for i in range(0, len(pixels), CHUNK)]
    module = encoder.network(FusionConfig().image_levels[encoder.name])
    return Network(module, batches, [[-1, *pixels.shape[1:]]], known_activations(encoder.name))


def text_network(texts: Sequence[str]) -> Network:
    """MiniLM with the default levels; texts of like length together, as visita has them."""
    encoder = MiniLM(FusionConfig().text_levels)
    ids = sorted(encoder._token_ids(texts), key=len)
    batches: list[Batch] = [encoder._padded(ids[i : i + BATCH]) for i in range(0, len(ids), BATCH)]
    return Network(encoder.network(), batches, [[-1, -1], [-1, -1]])


def measure(network: Network, rounds: int) -> tuple[Rates, dict[str, float]]:
    """Return each engine's rates, and the least cosine of a vector to torch's."""
    items = sum(len(batch[0]) for batch in network.batches)
    with tempfile.TemporaryDirectory() as folder:
        engines = {
            name: [make(threads) for _, threads in WAYS]
            for name, make in makers(network, Path(folder))
        }
        outputs = {
            name: [run(*batch) for batch in network.batches] for name, (run, _) in engines.items()
        }
        cosines = {name: least_cosine(outputs[TORCH], outputs[name]) for name in engines}
        rates: Rates = {name: [[] for _ in WAYS] for name in engines}
        for number in range(rounds + 1):
            for name, runs in engines.items():
                for way, (run, (calls, _)) in enumerate(zip(runs, WAYS, strict=True)):
                    seconds = drain(run, network.batches, calls)
                    if number:  # the first round only warms up
                        rates[name][way].append(items / seconds)
    return rates, cosines


def makers(network: Network, folder: Path) -> Iterator[tuple[str, Callable[[int], Runner]]]:
    """Yield each engine's name and what makes a runner of so many threads a call."""
    plain = folder / "float32.xml"
    export(network.module, network.batches[0], network.shapes, plain)
    yield TORCH, partial(TorchThreads, network.module)
    if find_spec("onnxruntime") and find_spec("onnxscript"):
        export_onnx(network, folder / "graph.onnx")
        yield ONNX, partial(onnx_session, folder / "graph.onnx")
    yield FLOAT32, lambda threads: Graph(plain, streams=cores() // threads)
    if network.activations:
        quantized = ov.Core().read_model(str(plain))
        quantize(quantized, network.activations)
        yield INT8, lambda threads: Graph(quantized, streams=cores() // threads)
    yield DEFAULT, partial(DefaultGraph, plain)


class TorchThreads(TorchRunner):
    """Torch as it is, with a number of threads a call."""

    def __init__(self, module: Any, threads: int) -> None:
        super().__init__(module)
        self._threads = threads

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the module once."""
        torch.set_num_threads(self._threads)
        return super().__call__(*inputs)


class DefaultGraph(Graph):
    """A graph in the precision that OpenVINO chooses for this processor."""

    def __init__(self, path: Path, threads: int) -> None:
        settings = {"NUM_STREAMS": str(cores() // threads)}
        self._compiled = ov.Core().compile_model(str(path), "CPU", settings)
        self._local = threading.local()


def export_onnx(network: Network, path: Path) -> None:
    """Write the module as an ONNX graph whose inputs vary where their shape says -1."""
    axes = [torch.export.Dim("rows", max=4096), torch.export.Dim("tokens", min=2, max=512)]
    dynamic = tuple(
        {axis: axes[axis] for axis, size in enumerate(shape) if size == -1}
        for shape in network.shapes
    )
    inputs = tuple(torch.from_numpy(array) for array in network.batches[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.module, inputs, path, dynamo=True, dynamic_shapes=dynamic, verbose=False
        )


def onnx_session(path: Path, threads: int) -> Runner:
    """Return a runner by ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415 - only where it is installed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda *inputs: tuple(session.run(None, dict(zip(names, inputs, strict=True))))


def drain(run: Runner, batches: Sequence[Batch], calls: int) -> float:
    """Run all batches, so many at a time; return the seconds taken."""
    start = time.perf_counter()
    with ThreadPoolExecutor(calls) as pool:
        deque(pool.map(lambda batch: run(*batch), batches), maxlen=0)
    return time.perf_counter() - start


def least_cosine(expected: Sequence[Batch], found: Sequence[Batch]) -> float:
    """Return the least cosine between two engines' vectors, over all batches and levels."""
    pairs = [
        pair
        for one, other in zip(expected, found, strict=True)
        for pair in zip(one, other, strict=True)
    ]
    unit = [[x / np.linalg.norm(x, axis=1, keepdims=True) for x in pair] for pair in pairs]
    return min(float((a * b).sum(1).min()) for a, b in unit)


def columns(engine: str, rates: Rates, cosines: dict[str, float]) -> str:
    """Return an engine's rate, its ratio to torch (median over rounds) and its cosine."""
    if engine not in rates:
        return "— | — | —" if engine != ONNX else "not installed | — | —"
    best = {name: np.array(max(ways, key=np.median)) for name, ways in rates.items()}
    ratio = np.median(best[engine] / best[TORCH])
    return f"{np.median(best[engine]):.1f} | {ratio:.2f} | {cosines[engine]:.5f}"


def megabytes(engine: str) -> str:
    """Return the size of an engine's installed package, without what it depends on."""
    package = PACKAGES.get(engine)
    if package is None or not find_spec(package):
        return ""
    files = (Path(str(file.locate())) for file in distribution(package).files or ())
    return f"{sum(file.stat().st_size for file in files if file.is_file()) / 1e6:.0f}"


if __name__ == "__main__":
    main()
