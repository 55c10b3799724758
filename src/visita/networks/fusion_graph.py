"""The fusion networks of ``fusion.py`` as graphs built from their weights, without torch.

Each function maps one side's features to unit vectors: ``side`` is "image", features
(n, views, d), or "text", features (m, e); weights have the names that torch gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from visita.encoders import operations as op
from visita.encoders.openvino import ops, ov
from visita.networks import GRAPHS
from visita.networks.part import Part

Side = Literal["image", "text"]


def buildable(space: Mapping[str, Any]) -> bool:
    """Tell whether each network of a joint space, whose arguments these are, has a graph."""
    return all(
        part.network in GRAPHS and (part.network != "joint" or buildable(part.arguments))
        for part in parts_of(space)
    )


def parts_of(space: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a joint space from its arguments."""
    return [Part.model_validate(part) for part in space["parts"]]


def space_graph(
    space: Mapping[str, Any], weights: op.Weights, side: Side, views: int, *, parts: bool
) -> ov.Model:
    """Return one side of a joint space: features → unit vectors; ``parts`` of each part instead."""
    of_views = [views] if side == "image" else []
    features = op.parameter([-1, *of_views, space[f"{side}_features"]])
    vectors = _part_vectors(features, side, weights, space)
    outputs = vectors if parts else [_joined(vectors, weights, space)]
    return op.model(outputs, [features], side)


def joint(x: op.Node, side: Side, weights: op.Weights, arguments: Mapping[str, Any]) -> op.Node:
    """Return the vectors of a ``JointSpace``."""
    return _joined(_part_vectors(x, side, weights, arguments), weights, arguments)


def _part_vectors(
    x: op.Node, side: Side, weights: op.Weights, space: Mapping[str, Any]
) -> list[op.Node]:
    vectors: list[op.Node] = []
    for number, part in enumerate(parts_of(space)):
        read = x if part.on is None else vectors[part.on]
        if part.on is not None and side == "image":
            read = op.expanded(read, 1)
        read = op.columns(read, *(part.image_span if side == "image" else part.text_span))
        own = op.within(weights, f"networks.{number}")
        vectors.append(GRAPHS.load(part.network)(read, side, own, part.arguments))
    return vectors


def _joined(vectors: list[op.Node], weights: op.Weights, space: Mapping[str, Any]) -> op.Node:
    shares = (op.constant(part.weight**0.5) for part in parts_of(space))
    joined = ops.concat(
        [ops.multiply(vector, share) for vector, share in zip(vectors, shares, strict=True)], -1
    )
    basis = weights["basis"]
    return op.unit(op.linear(joined, basis.T) if len(basis) else joined)


def fusion(x: op.Node, side: Side, weights: op.Weights, _: Mapping[str, Any]) -> op.Node:
    """Return the vectors of a ``FusionNetwork``."""
    vectors = _tower(x, op.within(weights, f"{side}_tower"))
    return _mean_view(vectors) if side == "image" else vectors


def tower_graph(weights: op.Weights) -> ov.Model:
    """Return a ``Tower`` alone: features (m, d) → unit vectors (m, dim)."""
    features = op.parameter([-1, len(weights["mean"])])
    return op.model([_tower(features, weights)], [features], "tower")


def _tower(x: op.Node, weights: op.Weights) -> op.Node:
    x = op.standardised(x, weights["mean"], weights["scale"])
    start = op.unit(op.linear(x, weights["linear"].T))
    hidden = ops.gelu(op.layer(x, weights, "mlp.1"), "erf")
    return op.unit(ops.add(start, op.layer(hidden, weights, "mlp.4")))


def multi_level(
    x: op.Node, side: Side, weights: op.Weights, arguments: Mapping[str, Any]
) -> op.Node:
    """Return the vectors of a ``MultiLevel``."""
    if side == "text":
        return op.unit(x)
    x = op.standardised(x, weights["mean"], weights["scale"])
    for name, activation, default in (
        ("mlp.0", "hidden_activation", "sigmoid"),
        ("mlp.2", "output_activation", "tanh"),
    ):
        x = ACTIVATIONS[arguments.get(activation, default)](op.layer(x, weights, name))
    return _mean_view(op.unit(x))


ACTIVATIONS = {"sigmoid": ops.sigmoid, "tanh": ops.tanh, "none": lambda x: x}


def class_names(x: op.Node, side: Side, weights: op.Weights, _: Mapping[str, Any]) -> op.Node:
    """Return the vectors of a ``ClassNames``."""
    if side == "text":
        return op.unit(ops.subtract(op.unit(x), op.constant(weights["text_mean"])))
    named = op.linear(x, weights["names"].T)
    return _mean_view(op.unit(ops.subtract(named, op.constant(weights["image_mean"]))))


def _mean_view(vectors: op.Node) -> op.Node:
    return op.unit(ops.reduce_mean(vectors, op.axes(1), False))
