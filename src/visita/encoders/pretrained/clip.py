"""CLIP (Radford et al., 2021), as transformers has it: ``clip:NAME``.

NAME is a repository on the hub, a folder, or what open_clip calls MODEL/WEIGHTS (see ``names``).
Whether its activation is ``quick_gelu`` or ``gelu`` is in its configuration, and obeyed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visita.encoders.library.networks import LibraryEncoder
from visita.encoders.pretrained.loading import fetch, load, reading, text_config
from visita.encoders.pretrained.model import Family, Model
from visita.encoders.pretrained.text import VECTOR, PretrainedText
from visita.encoders.pretrained.tokens import Reading


def pictures(model: str) -> LibraryEncoder:
    """Return the image encoder of a checkpoint."""
    return FAMILY.pictures(model)


def texts(model: str, levels: Sequence[str] = (VECTOR,)) -> PretrainedText:
    """Return the text encoder of a checkpoint."""
    return PretrainedText(FAMILY, model, levels)


def _build(model: str, files: Sequence[Path]) -> Model:
    from visita.encoders.pretrained.towers import DualText, PictureTower  # noqa: PLC0415 - torch

    clip, preparation = load("clip", "CLIPModel", model, files)
    config = clip.config.text_config
    return Model(
        PictureTower(clip.vision_model, clip.visual_projection, class_token=False),
        preparation,
        DualText(clip.text_model, clip.text_projection, masked=True),
        (config.num_hidden_layers, config.hidden_size),
        clip.config.projection_dim,
    )


def _tokenizer(model: str, files: Sequence[Path], place: Path) -> Reading:
    return reading(model, files, place, longest=text_config(files).max_position_embeddings)


FAMILY = Family("clip", fetch, _build, _tokenizer)
