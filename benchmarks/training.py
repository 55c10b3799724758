"""How near training comes to the speed of the matrix products that it cannot do without.

python benchmarks/training.py [--pictures 640] [--rounds 5]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from torch.utils.flop_counter import FlopCounterMode

from visita.encoders.contract import cell_count
from visita.networks.fusion import FusionNetwork
from visita.store.pictures import RecipeEncoder
from visita.training.cross_modal import train_cross_modal
from visita.training.grids import CrossTensors
from visita.training.mkl_config import MklVisitaConfig
from visita.training.tensors import PairTensors, Spans, level_widths
from visita.training.tuning import train_network
from visita.types import Tokens

FIRST, SECOND = MklVisitaConfig().stages()
TEXTS, WORDS = 5, 12
"""Of a picture, and of a text in the mean, as in Flickr8k."""
TEXT_FEATURES = 4 * 384
GEMM_SIDE = 1536


def main() -> None:
    """Print one row a stage: pairs of picture and text a second, and the share of the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    stages = {
        "fusion of three CNNs": (options.pictures * TEXTS, fusion(options.pictures, rng)),
        "MKL-VisITA": (
            options.pictures * SECOND.texts_per_image,
            mkl_visita(options.pictures, rng),
        ),
    }
    print(
        f"{torch.get_num_threads()} threads\n\n| stage | pairs /s | Gflop a pair | float32 GEMM "
        "GFLOP/s | pairs /s at that | training / that |\n|---|--:|--:|--:|--:|--:|"
    )
    for name, (pairs, epoch) in stages.items():
        with FlopCounterMode(display=False) as counted:
            epoch()
        rates = np.array([(gemm(), pairs / seconds(epoch)) for _ in range(options.rounds)])
        gflop = counted.get_total_flops() / pairs / 1e9
        floor = rates[:, 0] / gflop
        products, trained = np.median(rates, axis=0)
        near = np.median(rates[:, 1] / floor)
        print(
            f"| {name} | {trained:.0f} | {gflop:.3f} | {products:.0f} | {np.median(floor):.0f} "
            f"| {near:.2f} |",
            flush=True,
        )


def fusion(pictures: int, rng: np.random.Generator) -> Callable[[], object]:
    """Return one epoch of the first stage, keywords and closed-form start left out."""
    features = sum(width for level, width in level_widths(FIRST) if level != "classes")
    train = PairTensors(
        rng.normal(size=(pictures, 2, features)).astype(np.float32),
        rng.normal(size=(pictures * TEXTS, TEXT_FEATURES)).astype(np.float32),
        own_texts(pictures),
    )
    spans = Spans.whole(features, TEXT_FEATURES)
    config = FIRST.model_copy(update={"epochs": 1})

    def epoch() -> None:
        network = FusionNetwork(features, TEXT_FEATURES, hidden=FIRST.hidden)
        train_network(network, train, few(train), spans, lambda *_: 0.0, config)

    return epoch


def mkl_visita(pictures: int, rng: np.random.Generator) -> Callable[[], object]:
    """Return one epoch of the second stage."""
    lengths = 3 + rng.poisson(WORDS - 3, pictures * TEXTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = rng.normal(size=(offsets[-1], TEXT_FEATURES)).astype(np.float16)
    shapes = RecipeEncoder(SECOND.recipe()).columns()
    grids = rng.normal(size=(pictures, cell_count(shapes), sum(d for _, d in shapes.values())))
    grids = grids.astype(np.float16)
    train = CrossTensors(grids, Tokens(offsets, tokens), own_texts(pictures))
    dev = CrossTensors(grids[:1], Tokens(offsets[:2], tokens[: offsets[1]]), own_texts(1)[:, :1])
    config = SECOND.model_copy(update={"epochs": 1})
    return lambda: train_cross_modal(train, dev, lambda _: 0.0, config)


def own_texts(pictures: int) -> sparse.csr_array:
    """Return the truth where each picture has its own texts."""
    return sparse.kron(
        sparse.eye_array(pictures, dtype=bool), np.ones((1, TEXTS), bool), format="csr"
    )


def few(pairs: PairTensors) -> PairTensors:
    """Return the first picture with one text, as nothing is chosen."""
    return PairTensors(pairs.images[:1], pairs.texts[:1], pairs.truth[:1, :1])


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def gemm() -> float:
    """Return GFLOP/s of a matrix product on as many threads as training has."""
    matrix = torch.rand(GEMM_SIDE, GEMM_SIDE)
    return 2 * GEMM_SIDE**3 / 1e9 / seconds(lambda: matrix @ matrix)


if __name__ == "__main__":
    main()
