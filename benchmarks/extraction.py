"""How near reading pictures comes to the speed of decoding and of the network alone.

python benchmarks/extraction.py FOLDER… [--recipe small|lite2] [--pictures 128] [--rounds 7]
"""

import argparse
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from visita.data import decode, find_pictures
from visita.encoders.engine import cores
from visita.encoders.table import IMAGE_ENCODERS
from visita.store.pictures import CHUNK, RecipeEncoder
from visita.training.config import FusionConfig
from visita.types import Recipe

SMALL = FusionConfig().recipe()
POOLED = tuple(one for one in SMALL.levels["efficientnet-lite2"] if ":" in one)
RECIPES = {"small": SMALL, "lite2": Recipe({"efficientnet-lite2": POOLED})}
GEMM_SIDE = 1536

Rounds = dict[str, list[float]]


def main() -> None:
    """Print one row a folder, and how the network compares to a matrix product."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--recipe", choices=RECIPES, default="small")
    parser.add_argument("--pictures", type=int, default=128, help="of each folder, at most")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    recipe = RECIPES[options.recipe]
    folders = {
        folder: [file.path for file in find_pictures(folder).pictures[: options.pictures]]
        for folder in options.folders
    }
    # First of all, while this process is small: a child's peak is never below its parent's.
    in_own_process(encode, recipe, folders[options.folders[0]][:CHUNK])  # makes the graph
    peaks = {folder: in_own_process(encode, recipe, paths) for folder, paths in folders.items()}

    print(
        "| folder | pictures | decode /s | network /s | ceiling /s | pipeline /s "
        "| pipeline / ceiling | peak MB |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    every: list[Rounds] = []
    for folder, paths in folders.items():
        every.append(measure(recipe, paths, options.rounds))
        print(folder_row(folder.name, len(paths), every[-1], peaks[folder]), flush=True)
    print(
        "\n| G multiply-adds a picture | float32 GEMM GFLOP/s | pictures /s at that "
        "| network / that |\n|--:|--:|--:|--:|"
    )
    joined = {name: [value for rounds in every for value in rounds[name]] for name in every[0]}
    print(network_row(multiply_adds(recipe), joined))


def encode(recipe: Recipe, paths: Sequence[Path]) -> float:
    """Run the pipeline and return this process's peak memory in MB."""
    exhaust(RecipeEncoder(recipe).encode((str(path), path) for path in paths))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure(recipe: Recipe, paths: Sequence[Path], rounds: int) -> Rounds:
    """Return pictures a second of each part, and GFLOP/s of a matrix product, by round."""
    encoder = RecipeEncoder(recipe)
    (name,) = recipe.levels
    network = IMAGE_ENCODERS.load(name)()

    def prepare(chunk: Sequence[Path]) -> list[Any]:
        return [network.prepare(decode(path, reduced=network.reduced)) for path in chunk]

    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    prepared = [[Image.fromarray(pixels) for pixels in prepare(chunk)] for chunk in chunks]
    matrix = np.random.default_rng(0).random((GEMM_SIDE, GEMM_SIDE), dtype=np.float32)
    gflop = cores() * 2 * GEMM_SIDE**3 / 1e9
    works: dict[str, tuple[float, Callable[[], object]]] = {
        "decode": (len(paths), lambda: on_all_cores(prepare, chunks)),
        "network": (len(paths), lambda: on_all_cores(encoder.encode_pictures, prepared)),
        "pipeline": (len(paths), lambda: exhaust(encoder.encode((str(p), p) for p in paths))),
        "gemm": (gflop, lambda: on_all_cores(lambda _: matrix @ matrix, range(cores()))),
    }
    found: Rounds = {part: [] for part in works}
    with threadpool_limits(1, user_api="blas"):
        for number in range(rounds + 1):
            for part, (amount, work) in works.items():
                start = time.perf_counter()
                work()
                if number:  # the first round only warms up
                    found[part].append(amount / (time.perf_counter() - start))
    return found


def on_all_cores(work: Callable[[Any], object], chunks: Iterable[Any]) -> None:
    """Do the chunks in one thread a core, as the pipeline does."""
    with ThreadPoolExecutor(cores()) as pool:
        exhaust(pool.map(work, chunks))


def exhaust(results: Iterable[object]) -> None:
    """Go through the results and keep none."""
    deque(results, maxlen=0)


def in_own_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``work`` returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def multiply_adds(recipe: Recipe) -> int:
    """Count the multiplications of all convolutions and linear layers, for one picture."""
    import torch  # noqa: PLC0415 - last, for it changes memory and threads

    total = 0

    def count(module: Any, _inputs: Any, output: Any) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    for name, levels in recipe.levels.items():
        encoder = IMAGE_ENCODERS.load(name)()
        network = encoder.network(levels)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(count)
        with torch.inference_mode():
            network(torch.zeros((1, encoder.side, encoder.side, 3), dtype=torch.uint8))
    return total * len(recipe.views())


def folder_row(name: str, count: int, rounds: Rounds, peak: float) -> str:
    """Return the row of one folder: medians over rounds, ratios taken within a round."""
    decoding, network, pipeline = (
        np.array(rounds[part]) for part in ("decode", "network", "pipeline")
    )
    ceiling = 1 / (1 / decoding + 1 / network)
    rates = [f"{np.median(rate):.1f}" for rate in (decoding, network, ceiling, pipeline)]
    near = f"{np.median(pipeline / ceiling):.2f}"
    return "| " + " | ".join([name, str(count), *rates, near, f"{peak:.0f}"]) + " |"


def network_row(macs: int, rounds: Rounds) -> str:
    """Return the row that compares the network to a float32 matrix product."""
    network, gemm = np.array(rounds["network"]), np.array(rounds["gemm"])
    floor = gemm * 1e9 / (2 * macs)
    medians = f"{np.median(gemm):.0f} | {np.median(floor):.1f} | {np.median(network / floor):.2f}"
    return f"| {macs / 1e9:.3f} | {medians} |"


if __name__ == "__main__":
    main()
