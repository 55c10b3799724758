"""Training as the multi-level fusion paper prints it: hinge loss, L2, Adam at a constant rate.

Eq. 6 is a sum over triplets, here of a batch, and ``l2`` times the squared weights is added
to it once. (Added to a mean it would count a thousand times as much.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from visita.matchers.embed import JointMatcher
from visita.networks.fusion import JointSpace, MultiLevel
from visita.networks.losses import hinge, squared_weights
from visita.networks.part import Part
from visita.training.batches import triplet_batches
from visita.training.config import PaperConfig
from visita.training.loop import History, Losses, fit
from visita.training.tensors import PairTensors, Spans, as_matcher, statistics
from visita.training.tuning import Validate, embed
from visita.types import TextEncoder

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def train_paper(
    name: str,
    train: PairTensors,
    dev: PairTensors,
    validate: Validate,
    config: PaperConfig,
    text: TextEncoder,
) -> tuple[JointMatcher, History]:
    """Return the trained matcher, without threshold or calibration, and what happened.

    ``text`` is what the texts of both were encoded with. The epoch that is best on dev is
    kept. The same seed gives bit-equal weights at one thread count.

    Raises as ``loop.fit`` does.
    """
    torch.manual_seed(config.seed)
    space = _space(train, config)
    spans = Spans.whole(space.image_features, space.text_features)
    optimizer = torch.optim.Adam(
        space.parameters(), lr=config.learning_rate, betas=BETAS, eps=EPSILON
    )
    history = fit(
        space,
        _losses(space.networks[0], train, config),
        optimizer,
        lambda: validate(*embed(space, dev, spans)),
        config,
    )
    return as_matcher(name, space, config.recipe(), text), history


def _space(train: PairTensors, config: PaperConfig) -> JointSpace:
    images, texts = train.images.shape[-1], train.texts.shape[-1]
    part = Part(
        network="multi-level",
        arguments={
            "hidden": config.hidden,
            "hidden_activation": config.hidden_activation,
            "output_activation": config.output_activation,
        },
        image_span=(0, images),
        text_span=(0, texts),
        weight=1.0,
    )
    space = JointSpace(images, texts, parts=[part], dim=texts)
    if config.standardise:
        mean, scale = statistics(train.images.reshape(-1, images))
        space.networks[0].mean.copy_(torch.from_numpy(mean))
        space.networks[0].scale.copy_(torch.from_numpy(scale))
    return space


def _losses(network: MultiLevel, train: PairTensors, config: PaperConfig) -> Losses:
    """Return what yields, for one epoch, each batch's loss and that of guessing."""
    rng = np.random.default_rng(config.seed)
    images, texts = torch.from_numpy(train.images), torch.from_numpy(train.texts)

    def epoch() -> Iterator[tuple[Tensor, float]]:
        for batch in triplet_batches(train.truth, config.batch, images.shape[1], rng):
            views = images[torch.from_numpy(batch.images), torch.from_numpy(batch.views)][:, None]
            read = texts[torch.from_numpy(batch.texts)]
            scores = network.image(views) @ network.text(read).T
            true, negatives = torch.from_numpy(batch.true), torch.from_numpy(batch.negatives)
            weights = config.l2 * squared_weights(network)
            loss = hinge(scores, true, negatives, config.margin) + weights
            yield loss, config.margin * batch.true.sum() + weights.item()

    return epoch
