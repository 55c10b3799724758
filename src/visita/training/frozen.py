"""Learning from a user's own pairs on top of two frozen towers, such as CLIP's.

The towers stay as they are, and their similarity one of two kernels. The other is that of a
network that reads their vectors, so that nothing but cached features is needed.
"""

from __future__ import annotations

import numpy as np
import torch

from visita.matchers.fused import FusedMatcher
from visita.matchers.pretrained import DualMatcher
from visita.networks.towers import FusionNetwork, Tower
from visita.training.adapt import Vectors, best_mix
from visita.training.config import AdaptConfig
from visita.training.loop import History
from visita.training.matcher import as_matcher, whole_space
from visita.training.spans import Spans
from visita.training.tensors import PairTensors
from visita.training.tuning import Validate, embed, train_network
from visita.types import FloatArray

HIDDEN = 1024
DROPOUT, INPUT_DROPOUT = 0.3, 0.2


def adapt_frozen(
    name: str,
    base: DualMatcher,
    train: PairTensors,
    dev: PairTensors,
    of_base: Vectors,
    validate: Validate,
    config: AdaptConfig,
) -> tuple[DualMatcher | FusedMatcher, History, float]:
    """Return the adapted matcher, what happened, and the weight of the tuned kernel.

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
    network = from_the_means(train, config.seed)
    spans = Spans.whole(train.images.shape[-1], train.texts.shape[-1])
    history = train_network(network, train, dev, spans, validate, config)
    space = whole_space(network, "fusion", spans.fusion[1], spans.text[1])
    tuned = as_matcher(f"{name}-tuned", space, base.recipe, base.open_text_encoder())
    # Dev decides about the weights that are saved, which are rounded to half precision.
    weight = best_mix(of_base, embed(tuned.network(), dev, spans), validate)
    if weight == 0:
        return base, history, weight
    both = FusedMatcher(name=name, parts=(base, tuned), weights=(1 - weight, weight))
    return both, history, weight


def from_the_means(train: PairTensors, seed: int) -> FusionNetwork:
    """Return a network that starts from the cosine around the mean picture and the mean text.

    Those are taken off: pictures and texts lie apart in the space of such towers, and pairs of one
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


def _centre(tower: Tower, rows: FloatArray) -> None:
    mean = rows.mean(0)
    # One scale for all features leaves the cosines as they are.
    scale = float(np.sqrt(np.square(rows - mean).mean())) or 1.0
    tower.mean.copy_(torch.from_numpy(mean))
    tower.scale.fill_(scale)
    tower.linear.copy_(torch.eye(len(mean)))
