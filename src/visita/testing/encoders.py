"""Checks of encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visita.encoders.contract import Computed
from visita.encoders.engine import Graph
from visita.errors import UnknownNameError
from visita.types import FloatArray, ImageEncoder, Matcher, TextEncoder, TextFeatures

TEXTS = (
    "A dog runs on a beach.",
    "",
    "snow",
    "  \n\t ",
    "naïve café, 照片 🐕 \u202e\x00",
    "lone half of a pair: \ud83d",
    "the quick brown fox jumps over the lazy dog " * 120 + "and sleeps",
)
"""What people and programs write: sentences, nothing, one word, odd Unicode, a book."""


def check_encoder(encoder: ImageEncoder) -> None:
    """Check an image encoder: its levels, their shapes and their independence.

    Raises
    ------
    AssertionError
        If the encoder breaks the contract; the message says how.

    Examples
    --------
    >>> from visita.encoders.colours import Colours
    >>> from visita.testing import check_encoder
    >>> check_encoder(Colours())
    """
    for stated in ("name", "side", "reduced"):
        assert hasattr(encoder, stated), f"an encoder must state its {stated}"
    shapes = encoder.level_shapes()
    assert shapes, "an encoder must have a level"
    for level, shape in shapes.items():
        assert len(shape) in (1, 2) and min(shape) > 0, f"{level}: (d,) or (cells, d), not {shape}"
    check_fingerprint(encoder)
    pixels = np.stack([_prepared(encoder, size) for size in ((640, 480), (31, 90), (1, 1))])
    levels = tuple(shapes)
    whole = _run(encoder, levels, pixels)
    for level, values in zip(levels, whole, strict=True):
        assert values.shape == (len(pixels), *shapes[level]), f"{level} has shape {values.shape}"
        assert values.dtype == np.float32, f"{level} must be float32, not {values.dtype}"
        assert np.isfinite(values).all(), f"{level} must be finite"
        assert not near(values[0], values[1]), f"{level} must depend on the picture"
    few = levels[:: max(1, len(levels) // 3)][::-1]
    for level, values in zip(few, _run(encoder, few, pixels[1:2]), strict=True):
        same = near(values[0], whole[levels.index(level)][1])
        assert same, f"{level} must not depend on the other pictures and levels that are asked for"
    unknown = "no such level"
    assert raises(UnknownNameError, lambda: _run(encoder, [unknown], pixels)), "must refuse a level"


def _prepared(encoder: ImageEncoder, size: tuple[int, int]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(size).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    prepared = encoder.prepare(picture)
    shape = (encoder.side, encoder.side, 3)
    assert prepared.shape == shape, f"prepare must return {shape}, not {prepared.shape}"
    assert prepared.dtype == np.uint8, f"prepare must return uint8, not {prepared.dtype}"
    assert np.array_equal(np.asarray(picture), noise), "prepare must leave the picture as it was"
    return prepared


def _run(
    encoder: ImageEncoder, levels: Sequence[str], pixels: NDArray[np.uint8]
) -> list[NDArray[Any]]:
    if isinstance(encoder, Computed):
        return list(encoder.runner(levels)(pixels))
    if graph := getattr(encoder, "graph", None):
        return list(Graph(graph(levels))(pixels))
    import torch  # noqa: PLC0415 - whoever checks an index does not need it

    with torch.inference_mode():
        outputs = encoder.network(levels)(torch.from_numpy(pixels))
    assert len(outputs) == len(levels), "network must return one tensor a level"
    return [output.numpy() for output in outputs]


def check_text_encoder(encoder: TextEncoder) -> None:
    """Check a text encoder: nothing is cut off, refused or dependent on its neighbours.

    Raises
    ------
    AssertionError
        If the encoder breaks the contract; the message says how.

    Examples
    --------
    >>> from visita.encoders.table import TEXT_ENCODERS
    >>> from visita.testing import check_text_encoder
    >>> check_text_encoder(TEXT_ENCODERS.load("minilm-l6")())
    """
    check_fingerprint(encoder)
    texts = list(TEXTS)
    features = encoder.encode(texts)
    _check_features(features, len(texts), encoder.dim)
    order = np.random.default_rng(0).permutation(len(texts))
    turned = encoder.encode([texts[i] for i in order])
    for place, i in enumerate(order):
        same = near(_passages(turned, place), _passages(features, int(i)))
        assert same, f"{texts[i][:40]!r} must not depend on the texts beside it"
        alone = encoder.encode([texts[i]])
        assert near(alone.vectors, _passages(features, int(i))), (
            f"{texts[i][:40]!r} alone: the same"
        )
    shorter = encoder.encode([texts[-1].removesuffix("and sleeps")])
    assert not near(shorter.vectors, _passages(features, len(texts) - 1)), (
        "the last words of a long text must count; make it several passages"
    )
    _check_features(encoder.encode([]), 0, encoder.dim)


def _passages(features: TextFeatures, text: int) -> FloatArray:
    return features.vectors[features.offsets[text] : features.offsets[text + 1]]


def _check_features(features: TextFeatures, count: int, dim: int) -> None:
    offsets, vectors = features.offsets, features.vectors
    assert offsets.dtype == np.int64, f"offsets must be int64, not {offsets.dtype}"
    assert offsets.shape == (count + 1,), f"offsets of {count} texts have shape {offsets.shape}"
    assert offsets[0] == 0 and (np.diff(offsets) > 0).all(), "every text must have a passage"
    shape = (int(offsets[-1]), dim)
    assert vectors.shape == shape, f"vectors must have shape {shape}, not {vectors.shape}"
    assert vectors.dtype == np.float32, f"vectors must be float32, not {vectors.dtype}"
    assert np.isfinite(vectors).all(), "vectors must be finite"


def check_fingerprint(part: ImageEncoder | TextEncoder | Matcher) -> None:
    """Check that a part has the same fingerprint each time it is asked."""
    fingerprint = part.fingerprint()
    assert fingerprint and isinstance(fingerprint, str), "fingerprint must return some text"
    assert fingerprint == part.fingerprint(), "fingerprint must not change from call to call"


def near(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Tell whether two arrays are equal but for rounding."""
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=1e-3, atol=1e-4))


def close(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Tell whether two differ by what rounding to half precision can do."""
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=2e-3, atol=1e-3))


def raises(kind: type[Exception], call: Callable[[], object]) -> bool:
    """Tell whether a call raises an error of a kind; another error is a failure."""
    try:
        call()
    except kind:
        return True
    except Exception as other:
        raise AssertionError(f"must raise {kind.__name__}, not {other!r}") from other
    return False
