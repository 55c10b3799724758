"""MKL-VisITA of ``cross_modal.py`` as graphs built from its weights, without torch.

Three graphs, as a picture and a text are packed once and then scored: see ``MklVisita``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visita.encoders import operations as op
from visita.encoders.openvino import ops, ov
from visita.errors import ArtifactError
from visita.networks.kernel_functions import SHORTEST, Maths, kernel, kernel_shares
from visita.types import FloatArray

EPSILON = 1e-5
"""Of torch's layer norms."""
QKV = "query_key_value"
GRAPH = Maths(ops.exp, ops.sqrt, ops.power, ops.maximum, op.constant)


def picture_parts(arguments: Mapping[str, Any], weights: op.Weights) -> ov.Model:
    """Return the graph from grids (n, cells, d) to packed parts (n, 1 + cells, dim + 1)."""
    cells = arguments["cells"]
    grid = op.parameter([-1, cells, arguments["grid_features"]])
    see = op.within(weights, "see")
    x = op.layer(op.standardised(grid, see["mean"], see["scale"]), see, "fuse.1")
    x = ops.add(x, op.constant(see["places"]))
    x = _transformer(x, op.within(see, "transformer"), arguments)
    packed = ops.concat([_whole(x, weights, "whole"), _parts(x, weights, "cells")], 1)
    return op.model([packed], [grid], "picture parts")


def text_parts(arguments: Mapping[str, Any], weights: op.Weights) -> ov.Model:
    """Return the graph from one text's tokens (1, t, …) to packed parts (1, 1 + t, 2 (dim + 1))."""
    text, read = arguments["text"], op.within(weights, "read")
    tokens, x = TEXT_SIDES[text["side"]](text, read)
    phrases = ops.gelu(_phrases(x, op.within(weights, "phrase")), "erf")
    sentence = _whole(x, weights, "sentence")
    sides = [_parts(x, weights, "words"), _parts(phrases, weights, "phrases")]
    packed = [ops.concat([sentence, parts], 1) for parts in sides]
    return op.model([ops.concat(packed, 2)], [tokens], "text parts")


def pair_scores(arguments: Mapping[str, Any], weights: op.Weights) -> ov.Model:
    """Return the graph from n packed pictures and a packed text (1, …) to scores (n, 1)."""
    width = arguments["dim"] + 1
    images = op.parameter([-1, 1 + arguments["cells"], width])
    texts = op.parameter([1, -1, 2 * width])
    words, phrases = op.columns(texts, 0, width), op.columns(texts, width, 2 * width)
    asking = {"words": words, "phrases": phrases, "cells": images, "whole": images}
    shares = kernel_shares(weights["kernels.logits"])
    sharpness = np.exp(weights["log_sharpness"])
    scores = []
    for level, betas in zip(arguments["levels"], shares, strict=True):
        asked = words if level in ("cells", "whole") else images
        if level == "whole":
            answers, counts = _cosines(images, words, 0, 1), op.constant([[1.0]])
        else:
            answers = _answered(asking[level], asked, sharpness)
            counts = _shares(asking[level])
        mixed = _mixed(answers, arguments["kernels"], betas)
        scores.append(ops.reduce_sum(ops.multiply(mixed, counts), op.axes(-1), True))
    return op.model([_sum(scores)], [images, texts], "pair scores")


def _mixed(cosines: op.Node, kernels: list[str], betas: FloatArray) -> op.Node:
    return _sum(
        [
            ops.multiply(kernel(name, GRAPH)(cosines), op.constant(beta))
            for name, beta in zip(kernels, betas, strict=True)
        ]
    )


def _sum(terms: list[op.Node]) -> op.Node:
    total, *others = terms
    for term in others:
        total = ops.add(total, term)
    return total


def _rows(packed: op.Node, start: int, stop: int) -> op.Node:
    """Return the vectors of rows of packed parts, without how much they count."""
    rows = op.rows(packed, start, stop)
    return op.columns(rows, 0, -1)


def _shares(packed: op.Node) -> op.Node:
    """Return how much each part but the first counts, (n, parts)."""
    return op.squeezed(op.columns(op.rows(packed, 1, op.END), -1, op.END), 2)


def _cosines(asking: op.Node, asked: op.Node, start: int, stop: int) -> op.Node:
    """Return cosines of single parts, (n, 1)."""
    product = ops.multiply(_rows(asking, start, stop), _rows(asked, start, stop))
    return ops.reduce_sum(product, op.axes(2), False)


def _answered(asking: op.Node, asked: op.Node, sharpness: FloatArray) -> op.Node:
    """Return cosines of each part with what it finds: as ``answered`` of ``cross_modal.py``.

    One of the two sides is one text, so that its n is 1.
    """
    parts, others = _rows(asking, 1, op.END), _rows(asked, 1, op.END)
    cosines = ops.matmul(parts, others, False, True)  # (n, p, q)
    nearest = ops.reduce_max(cosines, op.axes(2), True)
    attention = ops.exp(ops.multiply(ops.subtract(cosines, nearest), op.constant(sharpness)))
    dots = ops.reduce_sum(ops.multiply(attention, cosines), op.axes(2), False)
    gram = ops.matmul(others, others, False, True)
    spread = ops.multiply(ops.matmul(attention, gram, False, False), attention)
    lengths = ops.reduce_sum(spread, op.axes(2), False)
    return ops.divide(dots, ops.sqrt(ops.maximum(lengths, op.constant(SHORTEST))))


def _whole(x: op.Node, weights: op.Weights, name: str) -> op.Node:
    """Pack the mean part: (n, t, width) to (n, 1, dim + 1)."""
    mean = ops.reduce_mean(x, op.axes(1), True)
    vector = op.unit(op.layer(mean, weights, f"to_space.{name}"))
    return ops.pad(vector, op.shape(0, 0, 0), op.shape(0, 0, 1), "constant", op.constant(1))


def _parts(x: op.Node, weights: op.Weights, name: str) -> op.Node:
    """Pack each part: (n, t, width) to (n, t, dim + 1)."""
    vectors = op.unit(op.layer(x, weights, f"to_space.{name}"))
    return ops.concat([vectors, ops.softmax(op.layer(x, weights, f"to_share.{name}"), 1)], 2)


def _phrases(x: op.Node, weights: op.Weights) -> op.Node:
    """Convolve (1, t, width) over words, three at a time, padded with zeros."""
    across = op.transposed(x, 0, 2, 1)
    padding = weights["weight"].shape[2] // 2
    y = ops.convolution(across, op.constant(weights["weight"]), [1], [padding], [padding], [1])
    return ops.add(op.transposed(y, 0, 2, 1), op.constant(weights["bias"]))


def _transformer(x: op.Node, weights: op.Weights, arguments: Mapping[str, Any]) -> op.Node:
    kept, promised = op.count(weights, "blocks"), arguments["depth"]
    if kept != promised:
        raise ArtifactError(f"There are {kept} blocks of a transformer that has {promised}.")
    for number in range(kept):
        x = _block(x, op.within(weights, f"blocks.{number}"), arguments["heads"])
    return x


def _block(x: op.Node, weights: op.Weights, heads: int) -> op.Node:
    joined = op.layer(op.layer_norm(x, weights, "before_attention", EPSILON), weights, QKV)
    width = len(weights[f"{QKV}.bias"]) // 3
    parts = (op.columns(joined, width * part, width * (part + 1)) for part in range(3))
    attended = op.attention(*(op.heads_apart(part, heads) for part in parts))
    x = ops.add(x, op.layer(op.heads_joined(attended), weights, "mix_heads"))
    inner = op.layer(op.layer_norm(x, weights, "before_mlp", EPSILON), weights, "mlp.0")
    return ops.add(x, op.layer(ops.gelu(inner, "erf"), weights, "mlp.3"))


def _pretrained(text: Mapping[str, Any], weights: op.Weights) -> tuple[op.Node, op.Node]:
    """Return tokens, (1, t, features), and words: as ``PretrainedWords``."""
    tokens = op.parameter([1, -1, text["features"]])
    x = op.standardised(tokens, weights["mean"], weights["scale"])
    return tokens, op.layer(x, weights, "map.1")


def _transformed(text: Mapping[str, Any], weights: op.Weights) -> tuple[op.Node, op.Node]:
    """Return word numbers, (1, t), and words: as ``TransformedWords``."""
    numbers, x = _embedded(weights)
    places = op.first_rows(op.constant(weights["places"]), numbers, 1)
    x = _transformer(ops.add(x, places), op.within(weights, "transformer"), text)
    return numbers, x


def _recurrent(_: Mapping[str, Any], weights: op.Weights) -> tuple[op.Node, op.Node]:
    """Return word numbers, (1, t), and words: as ``RecurrentWords``."""
    numbers, x = _embedded(weights)
    sides = {"forward": "forwards", "reverse": "backwards"}
    states = [op.gru(x, op.within(weights, name), way) for way, name in sides.items()]
    return numbers, ops.divide(_sum(states), op.constant(2))


def _embedded(weights: op.Weights) -> tuple[op.Node, op.Node]:
    numbers = op.parameter([1, -1], np.int64)
    table = op.constant(weights["embed.0.weight"])
    return numbers, ops.gather(table, numbers, op.axes(0))


PARTS = {"PictureParts": picture_parts, "TextParts": text_parts, "PairScores": pair_scores}
"""By the names of the torch modules that compute the same."""
TEXT_SIDES = {"pretrained": _pretrained, "recurrent": _recurrent, "transformer": _transformed}
