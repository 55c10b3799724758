"""What is learnt on top of vectors that stay as they are: a small network and its weight.

It reads the vectors of a trained matcher or of two frozen towers, so that nothing but cached
features is needed, and few pairs teach it much; see *Adapting* in ``docs/notebook.md``.

Learning from a user's own pairs on top of two frozen towers, such as CLIP's.

The towers stay as they are, and their similarity one of two kernels.
"""

from __future__ import annotations

import numpy as np
import torch

from visita.matchers.fused import FusedMatcher
from visita.matchers.pretrained import DualMatcher
from visita.networks.fusion import FusionNetwork, Tower
from visita.training.config import AdaptConfig
from visita.training.loop import History
from visita.training.tensors import PairTensors, Spans, as_matcher, whole_space
from visita.training.tuning import Validate, embed, train_network
from visita.types import FloatArray
from visita.vectors import join

Vectors = tuple[FloatArray, FloatArray]
"""Of images (n, d) and of texts (m, d)."""
HIDDEN = 1024
DROPOUT, INPUT_DROPOUT = 0.3, 0.2
MIXES = (0.0, 0.25, 0.5, 0.75)
"""Weights of the learnt kernel that are tried on dev; at 0 the base stays as it was."""


def learn_head(
    train: PairTensors, dev: PairTensors, validate: Validate, config: AdaptConfig
) -> tuple[FusionNetwork, History]:
    """Return the network that reads vectors, equally wide on both sides, and what happened.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    """
    network = from_the_means(train, config.seed)
    spans = Spans.whole(train.images.shape[-1], train.texts.shape[-1])
    return network, train_network(network, train, dev, spans, validate, config)


def from_the_means(train: PairTensors, seed: int) -> FusionNetwork:
    """Return a network that starts from the cosine around the mean picture and the mean text.

    Those are taken off: pictures and texts lie apart in the space of two towers, and pairs of one
    topic in a corner of it. What is learnt is added to what is left.
    """
    torch.manual_seed(seed)
    width = train.texts.shape[-1]
    network = FusionNetwork(
        width, width, dim=width, hidden=HIDDEN, dropout=DROPOUT, input_dropout=INPUT_DROPOUT
    )
    _centre(network.image_tower, train.images.reshape(-1, width))
    _centre(network.text_tower, train.texts)
    return network


def best_mix(base: Vectors, learnt: Vectors, validate: Validate) -> float:
    """Return the weight of the learnt kernel, of ``MIXES``, with which dev is best."""
    scores = [
        validate(*(join(side, [1 - weight, weight]) for side in zip(base, learnt, strict=True)))
        for weight in MIXES
    ]
    return MIXES[int(np.argmax(scores))]  # of equal scores the one nearest to the base


def _centre(tower: Tower, rows: FloatArray) -> None:
    mean = rows.mean(0)
    # One scale for all features leaves the cosines as they are.
    scale = float(np.sqrt(np.square(rows - mean).mean())) or 1.0
    tower.mean.copy_(torch.from_numpy(mean))
    tower.scale.fill_(scale)
    tower.linear.copy_(torch.eye(len(mean)))


def adapt_frozen(
    name: str,
    base: DualMatcher,
    train: PairTensors,
    dev: PairTensors,
    of_base: Vectors,
    validate: Validate,
    config: AdaptConfig,
) -> tuple[DualMatcher | FusedMatcher, History, float]:
    """Return the adapted matcher, what happened, and the weight of the learnt kernel.

    The base itself where no weight above 0 is better on dev. Else the vectors are twice as long.

    Parameters
    ----------
    of_base
        The base's vectors of dev.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    """
    network, history = learn_head(train, dev, validate, config)
    spans = Spans.whole(train.images.shape[-1], train.texts.shape[-1])
    space = whole_space(network, "fusion", spans.fusion[1], spans.text[1])
    learnt = as_matcher(f"{name}-tuned", space, base.recipe, base.open_text_encoder())
    # Dev decides about the weights that are saved, which are rounded to half precision.
    weight = best_mix(of_base, embed(learnt.network(), dev, spans), validate)
    if weight == 0:
        return base, history, weight
    both = FusedMatcher(name=name, parts=(base, learnt), weights=(1 - weight, weight))
    return both, history, weight
