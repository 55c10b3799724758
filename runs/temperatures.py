"""Whether a temperature from training says how probable a match is, against a calibration.

python runs/temperatures.py --data flickr8k:PATH [MATCHER ...] [--out docs/results/temperatures.md]

CLIP and its kin learn a temperature, SigLIP a bias too. Here both are fitted as in their training,
by the same losses, with batches of all pictures of one half of dev; so they are as good as a
checkpoint's can be. They are tried on the texts of the other half.
"""

from collections.abc import Callable, Iterator

import numpy as np
from dev_page import write_page
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

import visita
from visita.data import PairSet
from visita.evaluation import fit_calibration, reliability
from visita.evaluation.calibrate import logistic
from visita.evaluation.measure import features_for, vectors
from visita.matchers.coefficients import sigmoid
from visita.types import FloatArray
from visita.vectors import unit

SEED = 0
SIZES = (10, 100, 1000)
SURE = 0.5
Rule = Callable[[FloatArray], FloatArray]
"""From the scores of a gallery's pictures with a text to the probabilities of a match."""


def main() -> None:
    """Measure each matcher and write the page."""
    write_page(__doc__, HEAD, rows, ["visita-small"])


def rows(name: str, dev: PairSet) -> Iterator[str]:
    """Return a line of the table for each rule and size of gallery."""
    matcher = visita.load(name).retriever.unscaled
    images, texts = map(unit, vectors(matcher, features_for(matcher, dev, None)))
    image_of = dev.truth.tocsc().indices  # of each text, which has one
    first = np.random.default_rng(SEED).permutation(len(images)) < len(images) // 2
    found: dict[tuple[str, int], list[list[FloatArray]]] = {}
    for half in (first, ~first):
        rules = fitted(images, texts, image_of, half, dev)
        for size in SIZES:
            for rule, judged in tried(images, texts, image_of, ~half, rules, size).items():
                found.setdefault((rule, size), []).append(judged)
    for (rule, size), halves in found.items():
        yield line(name, rule, size, *map(np.concatenate, zip(*halves, strict=True)))


def fitted(
    images: FloatArray, texts: FloatArray, image_of: FloatArray, half: FloatArray, dev: PairSet
) -> dict[str, Rule]:
    """Return each rule, fitted on the pictures of one half and their texts."""
    kept = np.flatnonzero(half)
    captions = np.stack([np.flatnonzero(image_of == row) for row in kept], axis=1)
    batches = [texts[rows] @ images[kept].T for rows in captions]
    scale = temperature(batches)
    bias, slope = logistic(
        np.concatenate([batch.reshape(-1, 1) for batch in batches]).astype(np.float64),
        np.tile(np.eye(len(kept), dtype=bool).ravel(), len(batches)),
    )
    read = np.flatnonzero(half[image_of])
    calibration = fit_calibration(images, texts[read], dev.truth.tocsr()[:, read], seed=SEED)
    return {
        "softmax (CLIP)": lambda scores: softmax(scale * scores),
        "sigmoid (SigLIP)": lambda scores: sigmoid(bias + slope * scores),
        "calibrated with pairs": lambda scores: calibration.probability(scores, len(scores)),
    }


def temperature(batches: list[FloatArray]) -> float:
    """Return the scale of least contrastive loss, in both directions."""

    def loss(logarithm: float) -> float:
        scaled = [np.exp(logarithm) * batch.astype(np.float64) for batch in batches]
        both = (log_softmax(one, axis).diagonal().mean() for one in scaled for axis in (0, 1))
        return -float(sum(both))

    return float(np.exp(minimize_scalar(loss, (1, 4)).x))


def tried(
    images: FloatArray,
    texts: FloatArray,
    image_of: FloatArray,
    half: FloatArray,
    rules: dict[str, Rule],
    size: int,
) -> dict[str, list[FloatArray]]:
    """Return of the first result of each text by each rule: P, right or not, picture there or not.

    A gallery is drawn for each text from all pictures; half of them hold its own.
    """
    rng = np.random.default_rng(SEED)
    judged: dict[str, list[tuple[float, bool, bool]]] = {rule: [] for rule in rules}
    for text in np.flatnonzero(half[image_of]):
        own, there = image_of[text], bool(rng.random() < 0.5)
        others = np.delete(np.arange(len(images)), own)
        drawn = rng.permutation(others)[: size - there]
        gallery = np.append(drawn, own) if there else drawn
        scores = images[gallery] @ texts[text]
        first = scores.argmax()
        for rule, probabilities in rules.items():
            judged[rule].append((probabilities(scores)[first], gallery[first] == own, there))
    return {rule: list(map(np.array, zip(*rows, strict=True))) for rule, rows in judged.items()}


def line(
    name: str, rule: str, size: int, said: FloatArray, right: FloatArray, there: FloatArray
) -> str:
    """Return a line of the table, in percent."""
    numbers = (
        said.mean(),
        right.mean(),
        reliability(said, right)["error"] / 100,
        (said[right] >= SURE).mean(),
        (said[~there] >= SURE).mean(),
    )
    cells = " | ".join(f"{100 * number:.1f}" for number in numbers)
    return f"| {name} | {rule} | {size:,} | {cells} |"


HEAD = f"""# Probabilities by a temperature from training

Written by `runs/temperatures.py` on Flickr8k dev, cross-fitted over halves of its pictures (seed
{SEED}), with vectors of unit length, before local scaling. Temperature and bias are learnt by the
losses of CLIP and of SigLIP in batches of half the pictures. Half of the galleries hold the picture
that the text was written for. In percent: the mean probability of the first result, how often it is
right, the expected calibration error, and how many results are at {SURE} or above: of the right
ones, and of those where the picture is not there at all.

| matcher | rule | pictures | said | right | error | right ones shown | nothing there, yet shown |
|---|---|--:|--:|--:|--:|--:|--:|""".split("\n")

if __name__ == "__main__":
    main()
