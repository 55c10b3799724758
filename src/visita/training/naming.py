"""Similarities that learn nothing but means: the names of what a picture shows, against a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from visita.encoders.colours import FOCAL, LEVELS
from visita.encoders.efficientnet import class_names
from visita.encoders.table import TEXT_ENCODERS
from visita.matchers.joint import JointMatcher
from visita.networks.fusion import ClassNames, JointSpace, Part
from visita.store.extract import text_features
from visita.training.matcher import as_matcher
from visita.training.tensors import PairTensors
from visita.types import Recipe, TextEncoder
from visita.vectors import unit


@dataclass(frozen=True)
class Naming:
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

    def open_text_encoder(self) -> TextEncoder:
        """Return what names and texts are read with."""
        encoder: TextEncoder = TEXT_ENCODERS.load("minilm-l6")(("layer6",))
        return encoder


NAMINGS = {
    "class-names": Naming(
        Recipe({"efficientnet-lite2": ("classes",)}, mirror=True), tuple(class_names())
    ),
    "colour": Naming(Recipe({"colours": LEVELS}), tuple(FOCAL) * len(LEVELS)),
}


def naming_matcher(name: str, naming: Naming, train: PairTensors) -> JointMatcher:
    """Return the similarity as a matcher, never calibrated.

    Parameters
    ----------
    train : PairTensors
        The naming's columns, and texts by its text encoder; only their means are learnt.
    """
    text = naming.open_text_encoder()
    images, texts = train.images.shape[-1], train.texts.shape[-1]
    spans = (0, images), (0, texts)
    part = Part(
        network="class-names", arguments={}, image_span=spans[0], text_span=spans[1], weight=1
    )
    space = JointSpace(images, texts, parts=[part], dim=texts)
    set_names(space.networks[0], naming.names, train, *spans, text)
    return as_matcher(name, space.eval(), naming.recipe, text)


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
    found = train.images[:, :, slice(*shares)]
    images = found.reshape(-1, found.shape[-1]) @ vectors
    texts = unit(train.texts[:, slice(*sentence)])
    network.names.copy_(torch.from_numpy(vectors))
    network.image_mean.copy_(torch.from_numpy(images.mean(0)))
    network.text_mean.copy_(torch.from_numpy(texts.mean(0)))
