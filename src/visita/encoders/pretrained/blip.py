"""BLIP and BLIP-2 for retrieval, as transformers has them: ``blip:NAME``, ``blip2:NAME``.

NAME is a repository on the hub such as ``Salesforce/blip-itm-base-flickr`` or
``Salesforce/blip2-itm-vit-g``, or a folder.

BLIP (Li et al., 2022): where a picture is read along, a text begins with [ENC] instead of [CLS],
as in BLIP's own training and evaluation (``train_retrieval.py``); the example in transformers
leaves that out.

BLIP-2 (Li et al., 2023): a picture is 32 unit vectors, of which the one nearest to the text
counts. A gallery keeps one vector a picture, which here is their mean: that finds the first few.
They are ordered as the makers' evaluation does, by the logit of a match and the nearest of the 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from visita.encoders.pretrained.family import Family
from visita.encoders.pretrained.loading import fetch, network_of, prepared, reading, text_config
from visita.encoders.pretrained.model import Model
from visita.encoders.pretrained.tokens import Reading

LONGEST = 35
"""Ids of a text, [CLS] and [SEP] among them, in BLIP's training and evaluation."""
LONGEST_2 = 32
"""The same for BLIP-2."""


def _build(model: str, files: Sequence[Path]) -> Model:
    from visita.encoders.pretrained.towers import BertText, PairHead, PictureTower  # noqa: PLC0415 - needs torch

    blip = network_of("BlipForImageTextRetrieval", model, files)
    config, bert = blip.config.text_config, blip.text_encoder
    return Model(
        PictureTower(blip.vision_model, blip.vision_proj, pooling="first"),
        prepared(model, files),
        BertText(bert.embeddings, bert.encoder.layer, blip.text_proj),
        (config.num_hidden_layers, config.hidden_size),
        blip.config.image_text_hidden_size,
        PairHead(bert, blip.itm_head, alone=0),
    )


def _tokenizer(model: str, files: Sequence[Path], place: Path) -> Reading:
    decoder = text_config(files).bos_token_id  # [DEC]; [ENC] was added to BERT's words after it
    return reading(model, files, place, longest=LONGEST, pair=decoder + 1)


def _build_2(model: str, files: Sequence[Path]) -> Model:
    from visita.encoders.pretrained.queries import (  # noqa: PLC0415 - needs torch
        QueryMean,
        QueryPairHead,
        QueryTexts,
    )
    from visita.encoders.pretrained.towers import BertText, PictureTower  # noqa: PLC0415

    blip = network_of("Blip2ForImageTextRetrieval", model, files)
    config = blip.config.qformer_config
    return Model(
        PictureTower(blip.vision_model, QueryMean(blip), pooling="all"),
        prepared(model, files),
        BertText(QueryTexts(blip), blip.qformer.encoder.layer, blip.text_projection),
        (config.num_hidden_layers, config.hidden_size),
        blip.config.image_text_hidden_size,
        QueryPairHead(blip),
    )


def _tokenizer_2(model: str, files: Sequence[Path], place: Path) -> Reading:
    alone = reading(model, files, place, longest=LONGEST_2)
    return replace(alone, pair=alone.before[0])


BLIP = Family("blip", partial(fetch, "blip"), _build, _tokenizer)
BLIP2 = Family("blip2", partial(fetch, "blip2"), _build_2, _tokenizer_2)
