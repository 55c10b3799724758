"""BLIP for retrieval (Li et al., 2022), as transformers has it: ``blip:NAME``.

NAME is a repository on the hub such as ``Salesforce/blip-itm-base-flickr``, or a folder. Where a
picture is read along, a text begins with [ENC] instead of [CLS], as in BLIP's own training and
evaluation (``train_retrieval.py``); the example in transformers leaves that out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visita.encoders.library.networks import LibraryEncoder
from visita.encoders.pretrained.loading import fetch, load, reading, text_config
from visita.encoders.pretrained.model import Family, Model
from visita.encoders.pretrained.text import VECTOR, PretrainedText
from visita.encoders.pretrained.tokens import Reading

LONGEST = 35
"""Ids of a text, [CLS] and [SEP] among them, in BLIP's training and evaluation."""


def pictures(model: str) -> LibraryEncoder:
    """Return the image encoder of a checkpoint."""
    return FAMILY.pictures(model)


def texts(model: str, levels: Sequence[str] = (VECTOR,)) -> PretrainedText:
    """Return the text encoder of a checkpoint."""
    return PretrainedText(FAMILY, model, levels)


def _build(model: str, files: Sequence[Path]) -> Model:
    from visita.encoders.pretrained.towers import BertText, PairHead, PictureTower  # noqa: PLC0415 - needs torch

    blip, preparation = load("blip", "BlipForImageTextRetrieval", model, files)
    config = blip.config.text_config
    return Model(
        PictureTower(blip.vision_model, blip.vision_proj, class_token=True),
        preparation,
        BertText(blip.text_encoder, blip.text_proj, config.num_hidden_layers),
        (config.num_hidden_layers, config.hidden_size),
        blip.config.image_text_hidden_size,
        PairHead(blip.text_encoder, blip.itm_head, alone=0),
    )


def _tokenizer(model: str, files: Sequence[Path], place: Path) -> Reading:
    decoder = text_config(files).bos_token_id  # [DEC]; [ENC] was added to BERT's words after it
    return reading(model, files, place, longest=LONGEST, pair=decoder + 1)


FAMILY = Family("blip", fetch, _build, _tokenizer)
