"""Does this text match this image? Kernels on pairs, weighed by multiple kernel learning.

python runs/kernel_pairs.py --data flickr8k:PATH --out FILE.json
    [--matcher visita-small] [--pairs 600] [--C 1] [--seed 0]

A pair is seen in several spaces: the matcher's own, and one for each image level, where
canonical correlation analysis on train brings it together with the text's layers. The matcher
knows train by heart, so kernels learn on dev, cross-fitted: on PAIRS true pairs of one half of
the images, and as many false ones; all pairs of the other half are then classified. The
interval is over images. Writes the numbers, the weights, and the error of Nyström maps.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.data import open_pairs
from visita.data.pairs import label_components
from visita.evaluation import paired_difference
from visita.evaluation.intervals import Estimate, estimates, group_sums
from visita.evaluation.measure import features_for, vectors
from visita.kernels import (
    AlignmentMKL,
    Columns,
    EasyMKL,
    Kernel,
    NystroemMap,
    SimpleMKL,
    Space,
    UniformMKL,
    approximation_error,
    pair_columns,
    pair_kernels,
    sample_pairs,
)
from visita.kernels.cca import cca
from visita.kernels.pairs import SCORES, WIDTHS, MatchPairs
from visita.kernels.simplemkl import PAPER_TOLERANCE
from visita.matchers import load
from visita.store.extract import PairFeatures
from visita.types import FloatArray, Matcher
from visita.vectors import unit

LEVELS = ("block10:avg", "block15:avg", "block19:avg", "head:avg")
DIRECTIONS, IMAGE_RIDGE, TEXT_RIDGE = 256, 2.0, 0.1
COMPONENTS = (16, 64, 256, 1024)
COSINE = "matcher's cosine"
Correct = NDArray[np.float64]
Rows = NDArray[np.int64]


def main() -> None:
    """Learn and classify on both halves, then print and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--matcher", default="visita-small")
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--C", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    matcher = load(options.matcher)
    known = features_for(matcher, open_pairs(options.data), None)
    dev = known.take("dev")
    spaces = all_spaces(matcher, known.take("train"), dev)
    truth = dev.pairs.truth
    order = np.random.default_rng(options.seed).permutation(truth.shape[0])
    halves = [np.sort(order[side::2]) for side in (0, 1)]
    tested = [pairs_of(truth, rows, None, options.seed) for rows in halves]
    images, texts, groups = (
        np.concatenate([getattr(half, name) for half in tested])
        for name in ("images", "texts", "groups")
    )
    compared = models(pair_columns(spaces, images, texts), options.C)
    correct: dict[str, list[Correct]] = {name: [] for name in compared}
    weights: dict[str, list[dict[str, float]]] = {name: [] for name in compared}
    errors: list[dict[int, float]] = []
    for held_out, rows in zip(tested, halves[::-1], strict=True):
        learnt = pairs_of(truth, rows, options.pairs, options.seed)
        train = pair_columns(spaces, learnt.images, learnt.texts)
        test = pair_columns(spaces, held_out.images, held_out.texts)
        for name, model in compared.items():
            model.fit(train.values, learnt.labels)
            correct[name].append(100.0 * (model.predict(test.values) == held_out.labels))
            weights[name].append(model.weights_)
            print(f"{name}: {correct[name][-1].mean():.1f} %", flush=True)
        errors.append(nystroem_errors(model.combination_, train, test))
    decided = {name: np.concatenate(parts) for name, parts in correct.items()}
    report = {
        "pairs": {"learnt from": 2 * options.pairs, "classified": len(images)},
        "accuracy": measured(decided, groups, options.seed),
        "weights, a half each": weights,
        "Nyström, ‖K - ΦΦᵀ‖ / ‖K‖, a half each": errors,
    }
    options.out.write_text(
        json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(text(report))


def all_spaces(matcher: Matcher, train: PairFeatures, dev: PairFeatures) -> dict[str, Space]:
    """Return the dev vectors of the matcher and of each level."""
    found = {matcher.name: Space(*vectors(matcher, dev))}
    texts, dev_texts = standardised(train.texts.pooled(), dev.texts.pooled())
    for encoder in matcher.recipe.levels:
        for level in LEVELS:
            images, dev_images = standardised(
                *(level_of(matcher, one, f"{encoder}/{level}") for one in (train, dev))
            )
            image_map, text_map = cca(
                images,
                texts,
                train.pairs.truth,
                DIRECTIONS,
                image_ridge=IMAGE_RIDGE,
                text_ridge=TEXT_RIDGE,
            )
            found[level] = Space(unit(dev_images @ image_map), unit(dev_texts @ text_map))
    return found


def level_of(matcher: Matcher, of: PairFeatures, column: str) -> FloatArray:
    """Return a level's features (n, d), the mean over views."""
    views = [of.columns[f"{column}{view}"] for view in matcher.recipe.views()]
    return np.asarray(np.mean(views, axis=0), np.float32)


def standardised(train: FloatArray, dev: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give every feature mean 0 and variance 1 on train."""
    mean, scale = train.mean(axis=0), train.std(axis=0) + 1e-6
    return (train - mean) / scale, (dev - mean) / scale


def pairs_of(truth: Any, rows: Rows, count: int | None, seed: int) -> MatchPairs:
    """Return true and false pairs of some images, of which no text is another image's."""
    groups, _ = label_components(truth)
    texts = np.flatnonzero(truth[rows].sum(axis=0))
    drawn = sample_pairs(truth[rows][:, texts], count=count, seed=seed)
    images = rows[drawn.images]
    return MatchPairs(images, texts[drawn.texts], drawn.labels, groups[images])


def models(pairs: Columns, c: float) -> dict[str, Any]:
    """Return what is compared; SimpleMKL with all kernels comes last.

    Gammas are taken from all pairs, whose labels they do not see.
    """
    matcher, stop = pairs.spans[SCORES]
    levels, last = matcher + 1, stop - 1
    learnt = {"C": c, "tolerance": PAPER_TOLERANCE}
    return {
        COSINE: UniformMKL(score_kernels(pairs, matcher, levels)[:1], C=c),
        "last level's cosine": UniformMKL(score_kernels(pairs, last, stop)[:1], C=c),
        "levels' cosines, linear": UniformMKL(score_kernels(pairs, levels, stop)[:1], C=c),
        "levels' cosines, SimpleMKL": SimpleMKL(score_kernels(pairs, levels, stop), **learnt),
        "all cosines, SimpleMKL": SimpleMKL(score_kernels(pairs, matcher, stop), **learnt),
        "all kernels, uniform": UniformMKL(pair_kernels(pairs), C=c),
        "all kernels, alignment": AlignmentMKL(pair_kernels(pairs), C=c),
        "all kernels, EasyMKL": EasyMKL(pair_kernels(pairs), C=c),
        "all kernels, SimpleMKL": SimpleMKL(pair_kernels(pairs), **learnt),
    }


def score_kernels(pairs: Columns, start: int, stop: int) -> list[Kernel]:
    """Return a linear and RBF kernels over some of the cosines."""
    gamma = 1 / pairs.values[:, start:stop].var(axis=0).sum().item()
    widths = [{"function": "rbf", "gamma": width * gamma} for width in WIDTHS]
    where = {"span": (start, stop), "on": f"{stop - start} cosines"}
    return [Kernel(**one, **where) for one in ({"function": "linear"}, *widths)]


def nystroem_errors(kernel: Any, train: Columns, test: Columns) -> dict[int, float]:
    """Return the error on held-out pairs by the number of landmarks."""
    rows = test.values[:: max(1, len(test.values) // 1000)]
    fitting = [c for c in COMPONENTS if c <= len(train.values)]
    maps = {c: NystroemMap.fit(kernel, train.values, components=c, seed=0) for c in fitting}
    return {c: approximation_error(one, rows) for c, one in maps.items()}


def measured(correct: Mapping[str, Correct], groups: Rows, seed: int) -> dict[str, Any]:
    """Return each accuracy, and its difference to the matcher's cosine, with intervals."""
    _, images = np.unique(groups, return_inverse=True)
    return {
        name: {
            **accuracy(right, images, seed).to_dict(),
            "- cosine": paired_difference(correct[COSINE], right, images, seed=seed).to_dict(),
        }
        for name, right in correct.items()
    }


def accuracy(right: Correct, images: Rows, seed: int) -> Estimate:
    """Return the mean of ``right`` over pairs with an interval over images."""
    sums = group_sums(np.stack([right, np.ones(len(right))], axis=1), images)

    def statistic(weights: Correct) -> Correct:
        hits, count = (weights @ sums).T
        return np.asarray(hits / count)[:, None]

    return estimates(statistic, int(images.max()) + 1, seed=seed)[0]


def text(report: Mapping[str, Any]) -> str:
    """Return the report for a terminal."""
    lines = []
    for name, found in report["accuracy"].items():
        gain = found["- cosine"]
        lines.append(
            f"{name}: {found['value']:.1f} % [{found['low']:.1f}, {found['high']:.1f}]; "
            f"- cosine {gain['value']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}]"
        )
    for one in ("levels' cosines, SimpleMKL", "all kernels, SimpleMKL"):
        first, second = report["weights, a half each"][one]
        lines += [one, *(f"  {first[name]:.3f} {second[name]:.3f}  {name}" for name in first)]
    lines.append(f"Nyström errors: {report['Nyström, ‖K - ΦΦᵀ‖ / ‖K‖, a half each']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
