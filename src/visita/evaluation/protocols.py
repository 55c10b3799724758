"""One call that measures vectors by the protocols asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visita.errors import ConfigError, UnknownNameError, did_you_mean
from visita.evaluation.blocks import Truth
from visita.evaluation.pairs import pairs
from visita.evaluation.retrieval import retrieval
from visita.types import FloatArray

PROTOCOLS = ("retrieval", "pairs")


def evaluate_vectors(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    *,
    protocols: Sequence[str] = PROTOCOLS,
    threshold: float | None = None,
    threshold_from: str = "matcher",
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
    threshold, threshold_from : float or None, str
        For ``pairs``: the score from which a pair is a match, and where it was chosen.
    seed : int
        Seed of the false pairs and of the bootstrap.

    Raises
    ------
    UnknownNameError
        If a protocol is not known.
    ConfigError
        If ``pairs`` is asked for without a threshold.
    DataError
        If vectors and truth do not fit, or a score is not finite.
    """
    for name in protocols:
        if name not in PROTOCOLS:
            raise UnknownNameError(
                f"No protocol is called {name!r}.{did_you_mean(name, PROTOCOLS)} "
                f"Known: {', '.join(PROTOCOLS)}."
            )
    results: dict[str, Any] = {}
    if "retrieval" in protocols:
        results["retrieval"] = retrieval(image_vectors, text_vectors, truth, seed=seed).to_dict()
    if "pairs" in protocols:
        if threshold is None:
            raise ConfigError(
                "The protocol 'pairs' needs a threshold: use a matcher that has one, "
                "or fit one on dev with fit_threshold."
            )
        measured = pairs(
            image_vectors,
            text_vectors,
            truth,
            threshold=threshold,
            threshold_from=threshold_from,
            seed=seed,
        )
        results["pairs"] = measured.to_dict()
    return {
        "protocols": results,
        "seed": seed,
        "images": len(image_vectors),
        "texts": len(text_vectors),
    }
