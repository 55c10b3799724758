"""What one matcher finds more than another on the same pairs, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visita.data import Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, check_enough
from visita.evaluation.intervals import components
from visita.evaluation.measure import features_for
from visita.evaluation.rerank import ranks
from visita.evaluation.retrieval import Retrieval, measure_ranks, paired_retrieval
from visita.matchers import opened
from visita.types import Matcher


def gain(
    before: Matcher | str | Path,
    after: Matcher | str | Path,
    data: Data,
    *,
    split: str = "test",
    seed: int = 0,
) -> dict[str, Any]:
    """Return retrieval by two matchers and the difference, each with a 95 % interval.

    As JSON values: ``images``, ``split``, and ``before``, ``after`` and ``difference``, each
    ``{direction: {metric: {value, low, high}}, "rsum": {value, low, high}}``.

    Raises
    ------
    DataError
        If the split has too few images.
    """
    pairs = open_pairs(data, seed=seed)
    check_enough(pairs, {split: LEAST}, "Measuring")
    chosen = interchangeable(pairs.take(split))
    sides = [_measured(opened(matcher), chosen, seed) for matcher in (before, after)]
    return {"split": split, "images": len(chosen.image_ids), **compared(*sides, seed=seed)}


def _measured(matcher: Matcher, pairs: PairSet, seed: int) -> Retrieval:
    images, texts = ranks(matcher, features_for(matcher, pairs, None))
    return measure_ranks(images[None], texts[None], components(pairs.truth), seed=seed)


def compared(before: Retrieval, after: Retrieval, *, seed: int) -> dict[str, Any]:
    """Return two runs on the same split and their paired difference, as JSON values."""
    return {
        "before": before.to_dict(),
        "after": after.to_dict(),
        "difference": _plain(paired_retrieval(before, after, seed=seed)),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return {name: getattr(value, name) for name in ("value", "low", "high", "p_value")}
