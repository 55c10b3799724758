"""One call that measures vectors by the protocols asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visita.errors import ConfigError, UnknownNameError, did_you_mean
from visita.evaluation.blocks import Truth
from visita.evaluation.news import NEWSIMAGES
from visita.evaluation.pairs import PairScores, pairs
from visita.evaluation.retrieval import retrieval, retrieval_in_folds
from visita.types import FloatArray

PROTOCOLS = ("retrieval", "pairs")


def evaluate_vectors(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    *,
    protocols: Sequence[str] = PROTOCOLS,
    folds: int = 1,
    threshold: float | None = None,
    threshold_from: str = "matcher",
    pair_scores: PairScores | None = None,
    seed: int,
) -> dict[str, Any]:
    """Measure the vectors of one split and return what goes into a report, ready for JSON.

    Parameters
    ----------
    image_vectors, text_vectors : float32 (n, d), (m, d)
        Inner products are scores.
    truth : csr bool (n, m)
        Which text is true for which image.
    protocols : sequence of str
        Names from ``PROTOCOLS``.
    folds : int
        For ``retrieval``: over how many folds of the images to take the mean; with 5, the
        5,000 test images of COCO are measured by its 1K protocol.
    threshold, threshold_from : float or None, str
        For ``pairs``: the score from which a pair is a match, and where it was chosen.
    pair_scores : callable or None
        For ``pairs``: what gives the scores that the threshold is for, where those are others.
    seed : int
        Seed of the false pairs and of the bootstrap.

    Raises
    ------
    UnknownNameError
        If a protocol is not known.
    ConfigError
        If ``pairs`` is asked for without a threshold, or folds without ``retrieval``.
    DataError
        If vectors and truth do not fit, or a score is not finite.
    """
    check_protocols(protocols, folds)
    results: dict[str, Any] = {}
    vectors = (image_vectors, text_vectors, truth)
    if "retrieval" in protocols and folds == 1:
        results["retrieval"] = retrieval(*vectors, seed=seed).to_dict()
    elif "retrieval" in protocols:
        results["retrieval"] = retrieval_in_folds(*vectors, folds, seed=seed).to_dict()
    if "pairs" in protocols:
        if threshold is None:
            raise ConfigError(
                "The protocol 'pairs' needs a threshold: use a matcher that has one, "
                "or fit one on dev with fit_threshold."
            )
        measured = pairs(
            *vectors,
            threshold=threshold,
            threshold_from=threshold_from,
            pair_scores=pair_scores,
            seed=seed,
        )
        results["pairs"] = measured.to_dict()
    return {
        "protocols": results,
        "seed": seed,
        "images": len(image_vectors),
        "texts": len(text_vectors),
    }


def check_protocols(protocols: Sequence[str], folds: int) -> None:
    """Make sure that there are such protocols, and that folds are wanted of one that has them.

    Raises
    ------
    UnknownNameError
        If a protocol is not known.
    ConfigError
        If folds are asked for without ``retrieval``.
    """
    known = (*PROTOCOLS, NEWSIMAGES)
    for name in protocols:
        if name not in PROTOCOLS:
            raise UnknownNameError(
                f"No protocol is called {name!r}.{did_you_mean(name, known)} "
                f"Known: {', '.join(known)}."
            )
    if folds != 1 and "retrieval" not in protocols:
        raise ConfigError("Folds are of the protocol 'retrieval'; ask for it too.")
