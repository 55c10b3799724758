"""Pairs that people marked wrong: kept apart from true ones in training, in choosing, in measuring.

A picture that a search brought and somebody refused says more than one drawn at random. What is
learnt, and measured, is that such a pair scores less than the true pairs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from visita.data import PairSet
from visita.evaluation.intervals import (
    Values,
    components,
    differences,
    estimates,
    mean_statistic,
)
from visita.evaluation.retrieval import rsum_of_vectors
from visita.store.extract import PairFeatures
from visita.training.tensors import PairTensors
from visita.training.tuning import Validate, Vectors
from visita.types import FloatArray


def on_its_side(wrong: PairSet, pairs: PairSet) -> PairSet:
    """Return the wrong pairs, each in the split where ``pairs`` have its picture and its text.

    One whose picture and text are on two sides is left out, as nothing that is measured on may
    be learnt from, and so is one that is true in ``pairs``. What ``pairs`` do not know goes
    where what it comes with is.
    """
    sides: dict[Path | str, str] = dict(zip(pairs.texts, pairs.text_split.tolist(), strict=True))
    sides |= dict(zip(pairs.image_paths, pairs.image_split.tolist(), strict=True))
    true = set(pairs)
    rows = []
    for image, text in zip(*wrong.truth.nonzero(), strict=True):
        path, words = wrong.image_paths[image], wrong.texts[text]
        side = sides.get(path) or sides.get(words) or str(wrong.image_split[image])
        together = sides.setdefault(path, side) == sides.setdefault(words, side)
        if together and (path, words) not in true:
            rows.append((image, text))
    places = tuple(np.array(rows, np.int64).reshape(-1, 2).T)
    kept = replace(
        wrong,
        truth=sparse.csr_array((np.ones(len(rows), bool), places), shape=wrong.truth.shape),
        image_split=np.array([sides[path] for path in wrong.image_paths], dtype=str),
        text_split=np.array([sides[words] for words in wrong.texts], dtype=str),
    )
    return kept.subset(np.flatnonzero(np.diff(kept.truth.indptr)))


def of_split(features: PairFeatures | None, split: str) -> PairFeatures | None:
    """Return the wrong pairs of one split; None if there are none."""
    if features is None or not features.pairs.splits()[split]:
        return None
    return features.take(split)


def beside(pairs: PairTensors, wrong: PairTensors | None) -> PairTensors:
    """Return the pairs with the pictures and texts of wrong ones after theirs."""
    if wrong is None:
        return pairs
    return replace(
        pairs,
        images=np.concatenate([pairs.images, wrong.images]),
        texts=np.concatenate([pairs.texts, wrong.texts]),
        wrong=np.stack(wrong.truth.nonzero(), axis=1) + np.array(pairs.truth.shape),
    )


def judged_by(pairs: PairTensors) -> Validate:
    """Return what maps vectors of the rows of ``pairs`` to the score that a training chooses by.

    That is rsum, and where pairs are marked wrong also the percentage of true pairs that score
    more than they do: it counts as much as one of the six recalls.
    """
    rsum = rsum_of_vectors(pairs.truth)
    images, texts = pairs.truth.shape

    def validate(of_images: FloatArray, of_texts: FloatArray) -> float:
        score = rsum(of_images[:images], of_texts[:texts])
        if pairs.wrong is None:
            return score
        rows, columns = pairs.wrong.T
        wrong = (of_images[rows] * of_texts[columns]).sum(1)
        true = _true_scores((of_images[:images], of_texts[:texts]), pairs.truth)
        return score + float(_above(true, wrong).mean())

    return validate


def kept_apart(
    before: tuple[Vectors, Vectors],
    after: tuple[Vectors, Vectors],
    truth: sparse.csr_array,
    wrong: sparse.csr_array,
    seed: int,
) -> dict[str, Mapping[str, Any]]:
    """Return how many true pairs score more than a wrong one, in percent, before and after.

    Parameters
    ----------
    before, after
        A matcher's vectors of the true pairs, and of the wrong ones.
    truth, wrong : csr bool
        Which picture and text of those are a pair.

    Returns
    -------
    ``before``, ``after`` and ``difference``, each ``{value, low, high}`` with a 95 % interval over
    the wrong pairs; nothing where fewer than two of these share neither picture nor text.
    """
    groups = components(wrong)
    owners = np.unique(groups.images[wrong.nonzero()[0]], return_inverse=True)[1]
    if (count := len(np.unique(owners))) < 2:
        return {}
    one, other = (
        _above(_true_scores(of_true, truth), _true_scores(of_wrong, wrong))
        for of_true, of_wrong in (before, after)
    )
    sides = [
        estimates(mean_statistic(values, owners), count, seed=seed)[0] for values in (one, other)
    ]
    [gain] = differences(mean_statistic(other - one, owners), count, seed=seed)
    names = ("before", "after", "difference")
    return dict(zip(names, (each.to_dict() for each in (*sides, gain)), strict=True))


def _true_scores(vectors: Vectors, truth: sparse.csr_array) -> FloatArray:
    images, texts = truth.nonzero()
    scores: FloatArray = (vectors[0][images] * vectors[1][texts]).sum(1)
    return scores


def _above(true: FloatArray, wrong: FloatArray) -> Values:
    """Return the percentage of ``true`` above each of ``wrong``, half of what is equal."""
    ordered = np.sort(true)
    below = np.searchsorted(ordered, wrong, "left") + np.searchsorted(ordered, wrong, "right")
    return np.asarray(100 - 50 * below / len(ordered), np.float64)
