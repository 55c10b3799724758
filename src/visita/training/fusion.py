"""Training a fusion matcher: closed-form start, InfoNCE, the class-name kernel beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from visita.features.classnames import class_names
from visita.features.encoders import TEXT_ENCODERS
from visita.kernels.cca import cca
from visita.kernels.combination import reduction
from visita.matchers.joint import JointMatcher, encoder_fingerprints
from visita.networks.classnames import ClassNames
from visita.networks.joint import JointSpace, Part
from visita.networks.towers import FusionNetwork, Tower
from visita.training.config import FusionConfig
from visita.training.loop import History
from visita.training.spans import Spans, spans_of
from visita.training.tensors import PairTensors
from visita.training.tuning import Extra, Validate, train_network
from visita.types import FloatArray, Recipe


def train_fusion(
    name: str,
    train: PairTensors,
    dev: PairTensors,
    validate: Validate,
    config: FusionConfig,
    keywords: PairTensors | None = None,
) -> tuple[JointMatcher, History]:
    """Return the trained matcher, without threshold or calibration, and what happened.

    ``keywords`` are short texts for the images of ``train``; their loss counts
    ``config.keyword_weight``. The same seed gives bit-equal weights at one thread count.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    ConfigError
        If the levels cannot be used.
    """
    spans = spans_of(config)
    torch.manual_seed(config.seed)
    network = FusionNetwork(
        spans.fusion[1],
        spans.text[1],
        dim=config.fusion_dim,
        hidden=config.hidden,
        dropout=config.dropout,
        input_dropout=config.input_dropout,
    )
    start_closed_form(network, train, spans, config)
    extra = Extra(keywords, config.keyword_weight) if keywords else None
    history = train_network(network, train, dev, spans, validate, config, extra)
    space = _joint_space(network, train, spans, config)
    matcher = as_matcher(name, space, config.recipe(), config.text_encoder, config.text_levels)
    return matcher, history


def start_closed_form(
    network: FusionNetwork, train: PairTensors, spans: Spans, config: FusionConfig
) -> None:
    """Set each tower's statistics and its linear map by canonical correlation analysis."""
    images = train.images[:, :, : spans.fusion[1]]
    image_mean, image_scale = _statistics(images.reshape(-1, images.shape[-1]))
    text_mean, text_scale = _statistics(train.texts)
    image_map, text_map = cca(
        (images.mean(1) - image_mean) / image_scale,
        (train.texts - text_mean) / text_scale,
        train.truth,
        config.fusion_dim,
        image_ridge=config.image_ridge,
        text_ridge=config.text_ridge,
    )
    _set_tower(network.image_tower, image_mean, image_scale, image_map)
    _set_tower(network.text_tower, text_mean, text_scale, text_map)


def _statistics(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    # A feature that is constant here may change in use; divided by nearly nothing, it
    # would drown all others.
    spread = rows.std(0)
    return rows.mean(0), np.where(spread > 1e-6, spread, np.float32(1))


def _set_tower(tower: Tower, mean: FloatArray, scale: FloatArray, linear: FloatArray) -> None:
    tower.mean.copy_(torch.from_numpy(mean))
    tower.scale.copy_(torch.from_numpy(scale))
    tower.linear[:, : linear.shape[1]] = torch.from_numpy(linear)


def _fusion_part(network: FusionNetwork, spans: Spans, weight: float) -> Part:
    hidden: Any = network.image_tower.mlp[1]
    return Part(
        network="fusion",
        arguments={"dim": network.dim, "hidden": hidden.out_features},
        image_span=spans.fusion,
        text_span=spans.text,
        weight=weight,
    )


def _joint_space(
    network: FusionNetwork, train: PairTensors, spans: Spans, config: FusionConfig
) -> JointSpace:
    beta = config.class_names_weight if spans.classes else 0.0
    parts = [_fusion_part(network, spans, 1 - beta)]
    if spans.classes:
        part = Part(
            network="class-names",
            arguments={},
            image_span=spans.classes,
            text_span=spans.sentence,
            weight=beta,
        )
        parts.append(part)
    features = train.images.shape[-1], train.texts.shape[-1]
    space = JointSpace(*features, parts=parts, dim=config.dim)
    space.networks[0] = network
    if spans.classes:
        _set_class_names(space.networks[1], train, spans.classes, spans.sentence, config)
    set_basis(space, train)
    return space.eval()


def _set_class_names(
    network: ClassNames,
    train: PairTensors,
    classes: tuple[int, int],
    sentence: tuple[int, int],
    config: FusionConfig,
) -> None:
    encoder = TEXT_ENCODERS.load(config.text_encoder)(config.text_levels)
    names = _unit(encoder.encode(class_names()).pooled()[:, slice(*sentence)])
    probabilities = train.images[:, :, classes[0] : classes[1]]
    images = probabilities.reshape(-1, probabilities.shape[-1]) @ names
    texts = _unit(train.texts[:, sentence[0] : sentence[1]])
    network.names.copy_(torch.from_numpy(names))
    network.image_mean.copy_(torch.from_numpy(images.mean(0)))
    network.text_mean.copy_(torch.from_numpy(texts.mean(0)))


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@torch.inference_mode()
def set_basis(space: JointSpace, train: PairTensors) -> None:
    """Fit the basis that shortens the joined vectors, on training pairs; keeps it if unused."""
    if len(space.basis):
        images = space.join_images(torch.from_numpy(train.images)).numpy()
        texts = space.join_texts(torch.from_numpy(train.texts)).numpy()
        space.basis.copy_(torch.from_numpy(reduction(images, texts, space.dim)))


def as_matcher(
    name: str,
    space: JointSpace,
    recipe: Recipe,
    text_encoder: str,
    text_levels: tuple[str, ...],
) -> JointMatcher:
    """Return the space as a matcher, its weights rounded to half precision."""
    tensors = {k: v.numpy().astype(np.float16) for k, v in space.state_dict().items()}
    return JointMatcher(
        name=name,
        recipe=recipe,
        text_encoder=text_encoder,
        text_levels=text_levels,
        space={
            "image_features": space.image_features,
            "text_features": space.text_features,
            **space.arguments(),
        },
        tensors=tensors,
        encoders=encoder_fingerprints(recipe, text_encoder),
    )
