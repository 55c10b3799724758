"""Training a fusion matcher: closed-form start, InfoNCE, the class-name kernel beside it.

That kernel compares a text with the names of what a picture shows, and learns nothing but means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from visita.encoders.colours import FOCAL, LEVELS
from visita.encoders.efficientnet import class_names
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.tuned import Heads, TunedEncoder, by_name
from visita.encoders.weights import restored
from visita.errors import ArtifactError
from visita.kernels.cca import cca
from visita.kernels.weights import reduction, second_moments
from visita.matchers.embed import JointMatcher
from visita.networks.fusion import ClassNames, FusionNetwork, JointSpace, Tower
from visita.networks.losses import loss_named
from visita.networks.part import Part
from visita.progress import say
from visita.store.extract import text_features
from visita.training.config import CLASSES, FusionConfig, HeadsConfig
from visita.training.loop import History
from visita.training.tensors import (
    PairTensors,
    Spans,
    as_matcher,
    spans_of,
    standardised,
    statistics,
)
from visita.training.tuning import Extra, Validate, in_blocks, train_network
from visita.types import FloatArray, Recipe, TextEncoder
from visita.vectors import unit


def train_fusion(
    name: str,
    train: PairTensors,
    dev: PairTensors,
    validate: Validate,
    config: FusionConfig,
    text: TextEncoder,
    keywords: PairTensors | None = None,
) -> tuple[JointMatcher, History]:
    """Return the trained matcher, without threshold or calibration, and what happened.

    ``text`` is what all texts were encoded with. ``keywords`` are short texts for the
    images of ``train``; their loss counts ``config.keyword_weight``. Training begins in closed
    form, or with the heads that a tuned encoder was trained through, if they read the same: new
    ones would learn too much from pictures that the encoder knows. The same seed gives bit-equal
    weights at one thread count.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    ConfigError
        If the levels cannot be used.
    """
    spans = spans_of(config, text)
    extra = Extra(keywords, config.keyword_weight) if keywords else None
    network = known_heads(spans, config, text)
    if network is None:
        network = closed_form_heads(train, spans, config)
    else:
        config = config.model_copy(update={"learning_rate": REFINING * config.learning_rate})
    loss = loss_named(config.loss, config)
    history = train_network(network, train, dev, spans, validate, config, extra, loss)
    space = _joint_space(network, train, spans, config, text)
    return as_matcher(name, space, config.recipe(), text), history


REFINING = 0.1
"""What the rate of heads that know the levels is of that of new ones."""


def known_heads(spans: Spans, config: FusionConfig, text: TextEncoder) -> FusionNetwork | None:
    """Return the heads that the one encoder was trained through; None if they read other things.

    Raises
    ------
    ArtifactError
        If their weights are not of such heads.
    """
    [(name, levels), *others] = config.image_levels.items()
    family, _, fingerprint = name.partition(":")
    if others or family != TunedEncoder.family:
        return None
    heads = by_name(fingerprint).heads
    if heads is None:
        return None
    pooled = tuple(level for level in levels if level != CLASSES)
    widths = {"dim": config.fusion_dim, "hidden": config.hidden}
    wanted = Heads(pooled, text.name, tuple(text.levels), widths, {})
    if heads.facts() != wanted.facts():
        say(f"the heads that {name} was trained through are of other levels or widths: new ones")
        return None
    network = _new_heads(spans, config)
    tensors = {key: torch.from_numpy(values) for key, values in restored(heads.tensors).items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ArtifactError(
            f"The heads of {name} have other weights than such heads have: train it again."
        ) from error
    return network


def closed_form_heads(train: PairTensors, spans: Spans, config: HeadsConfig) -> FusionNetwork:
    """Return a network that begins in closed form, by canonical correlation analysis."""
    network = _new_heads(spans, config)
    _start_closed_form(network, train, spans, config)
    return network


def _new_heads(spans: Spans, config: HeadsConfig) -> FusionNetwork:
    torch.manual_seed(config.seed)
    return FusionNetwork(
        spans.fusion[1],
        spans.text[1],
        dim=config.fusion_dim,
        hidden=config.hidden,
        dropout=config.dropout,
        input_dropout=config.input_dropout,
    )


def _start_closed_form(
    network: FusionNetwork, train: PairTensors, spans: Spans, config: HeadsConfig
) -> None:
    """Set each tower's statistics and its linear map."""
    views = train.images.reshape(-1, train.images.shape[-1])[:, : spans.fusion[1]]
    image_mean, image_scale = statistics(views)
    text_mean, text_scale = statistics(train.texts)
    image_map, text_map = cca(
        standardised(train.images[:, :, : spans.fusion[1]].mean(1), image_mean, image_scale),
        standardised(train.texts, text_mean, text_scale),
        train.truth,
        config.fusion_dim,
        image_ridge=config.image_ridge,
        text_ridge=config.text_ridge,
    )
    _set_tower(network.image_tower, image_mean, image_scale, image_map)
    _set_tower(network.text_tower, text_mean, text_scale, text_map)


def _set_tower(tower: Tower, mean: FloatArray, scale: FloatArray, linear: FloatArray) -> None:
    tower.mean.copy_(torch.from_numpy(mean))
    tower.scale.copy_(torch.from_numpy(scale))
    tower.linear[:, : linear.shape[1]] = torch.from_numpy(linear)


def _fusion_part(network: FusionNetwork, spans: Spans, weight: float) -> Part:
    return Part(
        network="fusion",
        arguments=network.arguments,
        image_span=spans.fusion,
        text_span=spans.text,
        weight=weight,
    )


def _joint_space(
    network: FusionNetwork,
    train: PairTensors,
    spans: Spans,
    config: FusionConfig,
    text: TextEncoder,
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
        set_names(space.networks[1], class_names(), train, spans.classes, spans.sentence, text)
    set_basis(space, train)
    return space.eval()


@torch.inference_mode()
def set_basis(space: JointSpace, train: PairTensors) -> None:
    """Fit the basis that shortens the joined vectors, on training pairs; keeps it if unused."""
    if len(space.basis):
        images = second_moments(in_blocks(space.join_images, train.images))
        texts = second_moments(in_blocks(space.join_texts, train.texts))
        space.basis.copy_(torch.from_numpy(reduction(images, texts, space.dim)))


@dataclass(frozen=True)
class Concepts:
    """Image features that are each the share of something, and its name.

    Attributes
    ----------
    recipe : Recipe
    names : tuple of str
        One an image feature.
    """

    recipe: Recipe
    names: tuple[str, ...]

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.open_text_encoder().dim

    def fingerprint(self) -> str:
        """Return what tells these concepts from others."""
        return repr(self)

    def open_text_encoder(self) -> TextEncoder:
        """Return what names and texts are read with."""
        encoder: TextEncoder = TEXT_ENCODERS.load("minilm-l6")(("layer6",))
        return encoder


CONCEPTS = {
    "class-names": Concepts(
        Recipe({"efficientnet-lite2": ("classes",)}, mirror=True), tuple(class_names())
    ),
    "colour": Concepts(Recipe({"colours": LEVELS}), tuple(FOCAL) * len(LEVELS)),
}


def concept_matcher(name: str, concepts: Concepts, train: PairTensors) -> JointMatcher:
    """Return the similarity as a matcher, never calibrated.

    Parameters
    ----------
    train : PairTensors
        The concepts' columns, and texts by its text encoder; only their means are learnt.
    """
    text = concepts.open_text_encoder()
    images, texts = train.images.shape[-1], train.texts.shape[-1]
    spans = (0, images), (0, texts)
    part = Part(
        network="class-names", arguments={}, image_span=spans[0], text_span=spans[1], weight=1
    )
    space = JointSpace(images, texts, parts=[part], dim=texts)
    set_names(space.networks[0], concepts.names, train, *spans, text)
    return as_matcher(name, space.eval(), concepts.recipe, text)


def set_names(
    network: ClassNames,
    names: Sequence[str],
    train: PairTensors,
    shares: tuple[int, int],
    sentence: tuple[int, int],
    text: TextEncoder,
) -> None:
    """Set the names' vectors, and the means over ``train``, of a network in place.

    ``shares`` and ``sentence`` are the spans that it reads of the image and text features.
    """
    # A topic model knows nothing of some names: their vectors are, and stay, zero.
    vectors = unit(text_features(names, text).pooled()[:, slice(*sentence)])
    parts = train.images[:, :, slice(*shares)]
    images = parts.reshape(-1, parts.shape[-1]) @ vectors
    texts = unit(train.texts[:, slice(*sentence)])
    network.names.copy_(torch.from_numpy(vectors))
    network.image_mean.copy_(torch.from_numpy(images.mean(0)))
    network.text_mean.copy_(torch.from_numpy(texts.mean(0)))
