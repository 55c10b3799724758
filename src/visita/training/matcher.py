"""A trained joint space as the matcher that everything later uses."""

from __future__ import annotations

from typing import Any, cast

from visita.encoders.table import TOPIC_MODELS
from visita.matchers.joint import JointMatcher, encoder_fingerprints
from visita.matchers.rounding import rounded
from visita.networks.fusion import JointSpace, Part
from visita.types import Recipe, TextEncoder, TopicModel


def as_matcher(name: str, space: JointSpace, recipe: Recipe, text: TextEncoder) -> JointMatcher:
    """Return the space as a matcher, its weights rounded."""
    return JointMatcher(
        name=name,
        recipe=recipe,
        text_encoder=text.name,
        text_levels=text.levels,
        space={
            "image_features": space.image_features,
            "text_features": space.text_features,
            **space.arguments(),
        },
        tensors=rounded({name: v.numpy() for name, v in space.state_dict().items()}),
        encoders=encoder_fingerprints(recipe, text),
        topic_model=cast(TopicModel, text) if text.name in TOPIC_MODELS else None,
    )


def whole_space(network: Any, name: str, images: int, texts: int) -> JointSpace:
    """Return the space of one two-sided network, called ``name``, that reads all features."""
    part = Part(
        network=name,
        arguments=network.arguments,
        image_span=(0, images),
        text_span=(0, texts),
        weight=1.0,
    )
    space = JointSpace(images, texts, parts=[part], dim=network.dim)
    space.networks[0] = network
    return space.eval()
