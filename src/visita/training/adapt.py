"""Learning from a user's own pairs on top of a trained matcher, which stays one of the kernels.

For two frozen towers, see ``frozen``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from visita.errors import ConfigError
from visita.kernels.combination import join
from visita.matchers.joint import JointMatcher
from visita.networks.joint import JointSpace, Part
from visita.training.config import AdaptConfig
from visita.training.loop import History
from visita.training.matcher import as_matcher
from visita.training.spans import Spans
from visita.training.tensors import PairTensors
from visita.training.tuning import Validate, embed, train_network
from visita.types import FloatArray

Vectors = tuple[FloatArray, FloatArray]
"""Of images (n, d) and of texts (m, d)."""
MAX_DIM = 1024
MIXES = (0.0, 0.25, 0.5, 0.75)
"""Weights of the tuned kernel that are tried on dev; at 0 the base matcher stays as it was."""


def adapt(
    name: str,
    base: JointMatcher,
    train: PairTensors,
    dev: PairTensors,
    validate: Validate,
    config: AdaptConfig,
) -> tuple[JointMatcher, History, float]:
    """Return the adapted matcher, what happened, and the weight of the tuned kernel.

    A copy of the base's first network that can learn is tuned on ``train``; the base's
    untouched similarity and the tuned one are then joined with the weights that do best
    on dev. A topic model stays what it is.

    Raises
    ------
    ConfigError
        If the base has no network that can learn, or was adapted already.
    """
    space = base.network()
    part, tuned = _learner_of(space)
    if space.dim + tuned.dim > MAX_DIM:
        raise ConfigError(
            f"{base.name!r} was adapted already, and its vectors would grow past {MAX_DIM} "
            "numbers: adapt its own base again, on all pairs together."
        )
    spans = Spans(part.image_span, None, part.text_span, part.text_span)
    history = train_network(tuned, train, dev, spans, validate, config)
    whole = Spans.whole(space.image_features, space.text_features)
    weight = best_mix(embed(space, dev, whole), embed(tuned, dev, spans), validate)
    if weight == 0:
        return base, history, weight
    joined = _joined(space, tuned, part, weight)
    return as_matcher(name, joined, base.recipe, base.open_text_encoder()), history, weight


def _learner_of(space: JointSpace) -> tuple[Part, Any]:
    for part, network in zip(space.parts, space.networks, strict=True):
        if part.network == "joint":
            return _learner_of(network)
        if any(True for _ in network.parameters()):
            return part, copy.deepcopy(network)
    raise ConfigError("The base matcher has no network that can learn; adapt another one.")


def best_mix(base: Vectors, tuned: Vectors, validate: Validate) -> float:
    """Return the weight of the tuned kernel, of ``MIXES``, with which dev is best."""
    scores = [
        validate(*(join(side, [1 - weight, weight]) for side in zip(base, tuned, strict=True)))
        for weight in MIXES
    ]
    return MIXES[int(np.argmax(scores))]  # of equal scores the one nearest to the base


def _joined(space: JointSpace, tuned: Any, part: Part, weight: float) -> JointSpace:
    base = Part(
        network="joint",
        arguments=space.arguments(),
        image_span=(0, space.image_features),
        text_span=(0, space.text_features),
        weight=1 - weight,
    )
    own = part.model_copy(update={"weight": weight})
    joined = JointSpace(
        space.image_features, space.text_features, parts=[base, own], dim=space.dim + tuned.dim
    )
    joined.networks[0], joined.networks[1] = space, tuned
    return joined.eval()
