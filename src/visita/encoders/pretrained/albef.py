"""ALBEF (Li et al., 2021) from its official checkpoints: ``albef:FILE``, ``albef:FILE@SIDE``.

A ViT and a BERT of which the first layers read the text and the others, from the first with a
cross attention on, the text with the picture. They are built from transformers' parts for BLIP,
which are the same but for where the fusion begins. Sizes are those of the tensors; SIDE sees
pictures in another size than the checkpoint's, its position embeddings interpolated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any

from visita.encoders.library.networks import Preparation, imported
from visita.encoders.minilm import WORDS
from visita.encoders.pretrained.family import Family
from visita.encoders.pretrained.model import Model
from visita.encoders.pretrained.tokens import Reading
from visita.encoders.weights import shipped_file
from visita.errors import ArtifactError, ConfigError

LONGEST = 30
"""Ids of a text, [CLS] and [SEP] among them, in ALBEF's training and evaluation."""
HEAD = 64
"""Features of an attention head, in ViT-B and in BERT."""
CLS, SEP, PAD = 101, 102, 0
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
PICTURE_NAMES = (
    (r"^blocks\.", "encoder.layers."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.attn\.", ".self_attn."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"^norm\.", "post_layernorm."),
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
)
"""From the names of ALBEF's ViT to those of BLIP's in transformers."""


def _fetch(model: str) -> Sequence[Path]:
    file = Path(model.partition("@")[0]).expanduser()
    if not file.is_file():
        raise ArtifactError(
            f"There is no file {file}: fetch a checkpoint that github.com/salesforce/ALBEF lists, "
            "such as flickr30k.pth, and name where it lies."
        )
    return [file]


def _build(model: str, files: Sequence[Path]) -> Model:
    from torch import nn  # noqa: PLC0415

    from visita.encoders.pretrained.towers import BertText, PairHead, PictureTower  # noqa: PLC0415

    state = _state(files[0])
    side = model.partition("@")[2]
    vision = _vision(state, int(side) if side else None)
    bert, alone = _bert(state)
    heads = {}
    for name in ("vision_proj", "text_proj", "itm_head"):
        weights = _below(state, f"{name}.")
        heads[name] = nn.Linear(*reversed(weights["weight"].shape))
        heads[name].load_state_dict(weights)
    width, hidden = heads["text_proj"].weight.shape
    size = vision.config.image_size
    return Model(
        PictureTower(vision, heads["vision_proj"], pooling="first"),
        Preparation(size, size, True, "BICUBIC", MEAN, STD, rounds_crop=False),
        BertText(bert.embeddings, bert.encoder.layer[:alone], heads["text_proj"]),
        (alone, hidden),
        width,
        PairHead(bert, heads["itm_head"], alone),
    )


def _state(file: Path) -> dict[str, Any]:
    """Return the float32 tensors of a checkpoint, those of the momentum model and queues too."""
    import torch  # noqa: PLC0415

    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    state = checkpoint.get("model", checkpoint)
    # After pretraining the text encoder is inside one with a head for masked words.
    return {
        name.replace("text_encoder.bert.", "text_encoder."): values.float()
        for name, values in state.items()
    }


def _below(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    tensors = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if not tensors:
        raise ConfigError(f"The file is no ALBEF checkpoint for retrieval: it has no {prefix}*.")
    return tensors


def _vision(state: Mapping[str, Any], side: int | None) -> Any:
    library = imported("transformers")
    weights = _below(state, "visual_encoder.")
    patch = weights["patch_embed.proj.weight"].shape[-1]
    hidden = weights["pos_embed"].shape[-1]
    if side:
        weights["pos_embed"] = _interpolated(weights["pos_embed"], side // patch)
    config = library.BlipVisionConfig(
        hidden_size=hidden,
        intermediate_size=len(weights["blocks.0.mlp.fc1.bias"]),
        num_hidden_layers=_count(weights, "blocks."),
        num_attention_heads=hidden // HEAD,
        image_size=isqrt(weights["pos_embed"].shape[1] - 1) * patch,
        patch_size=patch,
        layer_norm_eps=1e-6,
    )
    vision = library.BlipVisionModel(config)
    renamed = {}
    for name, values in weights.items():
        for pattern, replacement in PICTURE_NAMES:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901 - step by step
        renamed[name] = values
    vision.load_state_dict(renamed)
    return vision.eval()


def _interpolated(positions: Any, cells: int) -> Any:
    """Return position embeddings (1, 1 + cells², d) as ALBEF's ``interpolate_pos_embed``."""
    import torch  # noqa: PLC0415

    first, rest = positions[:, :1], positions[:, 1:]
    before = isqrt(rest.shape[1])
    maps = rest.reshape(1, before, before, -1).permute(0, 3, 1, 2)
    maps = torch.nn.functional.interpolate(
        maps, size=(cells, cells), mode="bicubic", align_corners=False
    )
    return torch.cat([first, maps.flatten(2).transpose(1, 2)], 1)


def _bert(state: Mapping[str, Any]) -> tuple[Any, int]:
    """Return the text encoder, and how many of its layers read the text alone."""
    library = imported("transformers")
    weights = _below(state, "text_encoder.")
    weights = {k: v for k, v in weights.items() if not k.startswith(("cls.", "pooler."))}
    weights.pop("embeddings.position_ids", None)
    # Every text is of type 0, so its embedding is a part of each position's.
    kind = weights.pop("embeddings.token_type_embeddings.weight")[0]
    positions = weights["embeddings.position_embeddings.weight"] + kind
    weights["embeddings.position_embeddings.weight"] = positions
    layers = _count(weights, "encoder.layer.")
    fused = {_number(name, "encoder.layer.") for name in weights if ".crossattention." in name}
    words, hidden = weights["embeddings.word_embeddings.weight"].shape
    config = library.BlipTextConfig(
        vocab_size=words,
        hidden_size=hidden,
        encoder_hidden_size=weights[
            f"encoder.layer.{min(fused)}.crossattention.self.key.weight"
        ].shape[1],
        intermediate_size=len(weights["encoder.layer.0.intermediate.dense.bias"]),
        num_hidden_layers=layers,
        num_attention_heads=hidden // HEAD,
        max_position_embeddings=len(positions),
    )
    bert = library.BlipTextModel(config, add_pooling_layer=False)
    for layer in bert.encoder.layer[: min(fused)]:
        layer.crossattention = None
    bert.load_state_dict(weights)
    return bert.eval(), min(fused)


def _count(weights: Mapping[str, Any], prefix: str) -> int:
    return 1 + max(_number(name, prefix) for name in weights if name.startswith(prefix))


def _number(name: str, prefix: str) -> int:
    return int(name.removeprefix(prefix).partition(".")[0])


def _tokenizer(_model: str, _files: Sequence[Path], _place: Path) -> Reading:
    words = shipped_file(WORDS)  # those of bert-base-uncased
    return Reading(str(words), (CLS,), (SEP,), PAD, LONGEST, clean="albef", pair=CLS)


ALBEF = Family("albef", _fetch, _build, _tokenizer)
