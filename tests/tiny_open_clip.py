"""Tiny random models of open_clip, written as it pushes them to the hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import tiny_pretrained as tiny
import transformers as tf
from safetensors.torch import save_file

from visita.encoders.library.networks import imported

open_clip, timm = imported("open_clip_torch"), imported("timm")


@timm.models.register_model
def tiny_eva02(num_classes: int, global_pool: str, **_: Any) -> Any:
    ways = {"use_rot_pos_emb": True, "swiglu_mlp": True, "qkv_fused": False, "scale_mlp": True}
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    return timm.models.eva.Eva(**ways, **sizes, num_classes=num_classes, global_pool=global_pool)


@timm.models.register_model
def tiny_fastvit(num_classes: int, global_pool: str, **_: Any) -> Any:
    sizes = {"layers": (1, 1, 1, 1), "embed_dims": (16, 16, 32, 32), "mlp_ratios": (2, 2, 2, 2)}
    mixers = ("repmixer", "repmixer", "repmixer", "attention")
    return timm.models.fastvit.FastVit(
        **sizes, token_mixers=mixers, num_classes=num_classes, global_pool=global_pool
    )


WORDS = {"context_length": 20, "width": 24, "heads": 2, "layers": 2}
SEEN = {"image_size": 32, "layers": 3, "width": 24, "head_width": 12, "patch_size": 8}
HALVES = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear"}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "vit": {"quick_gelu": True, "vision_cfg": SEEN, "text_cfg": WORDS},
    "resnet": {
        "vision_cfg": {**SEEN, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
        "text_cfg": WORDS,
    },
    "coca": {
        "custom_text": True,
        "vision_cfg": {**SEEN, "attentional_pool": True, "output_tokens": True},
        "text_cfg": {**WORDS, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**WORDS, "attn_pooler_heads": 2},
    },
    "eva02": {
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "tiny_eva02",
            "timm_pool": "token",
            "timm_proj": None,
            "image_size": 32,
        },
        "text_cfg": WORDS,
    },
    "mobileclip": {
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "tiny_fastvit",
            "timm_pool": "avg",
            "timm_proj": None,
            "image_size": 64,
        },
        "text_cfg": {**WORDS, "no_causal_mask": True},
    },
    "siglip": {
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": {**SEEN, "timm_model_name": "test_vit", "timm_proj": "linear"}
        | {"image_size": 160},
        "text_cfg": {
            **WORDS,
            "vocab_size": 80,
            "hf_tokenizer_name": "words",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    },
    "clipa": {
        "vision_cfg": {**SEEN, "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": {
            **WORDS,
            "vocab_size": 80,
            "hf_tokenizer_name": "words",
            "tokenizer_kwargs": {"strip_sep_token": True},
            "pool_type": "last",
            "no_causal_mask": True,
        },
    },
    "roberta": {
        "vision_cfg": SEEN,
        "text_cfg": {
            "context_length": 20,
            "hf_model_name": "roberta",
            "hf_tokenizer_name": "words",
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "mlp",
        },
    },
}
"""Every kind that open_clip's list has, small."""


def write(folder: Path, name: str) -> Path:
    """Write a model as open_clip pushes it to the hub."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = {"embed_dim": 16, **deepcopy(ARCHITECTURES[name])}
    texts = config["text_cfg"]
    if "hf_tokenizer_name" in texts:
        tiny.wordpieces().save_pretrained(folder)
    if "hf_model_name" in texts:
        texts["hf_model_name"] = str(folder.parent / "roberta")
        sizes = {**tiny.SIZES, "vocab_size": 80, "max_position_embeddings": 40, "pad_token_id": 0}
        tf.RobertaConfig(**sizes).save_pretrained(texts["hf_model_name"])
    preprocess = HALVES if name in ("siglip", "clipa") else {}
    whole = {"model_cfg": config, "preprocess_cfg": {**preprocess, "resize_mode": "squash"}}
    if name == "mobileclip":
        whole["preprocess_cfg"] = {"mean": [0, 0, 0], "std": [1, 1, 1], "resize_mode": "shortest"}
    is_deep = name in ("eva02", "mobileclip")  # and told apart as it comes
    return pushed(folder, whole, draw=lambda model: model if is_deep else tiny.spread(model))


def pushed(
    folder: Path, whole: dict[str, Any], draw: Callable[[Any], Any] = lambda model: model
) -> Path:
    """Write a model of a whole configuration into a folder, its random weights as ``draw`` says."""
    (folder / "open_clip_config.json").write_text(json.dumps(whole), "utf-8")
    model = draw(open_clip.create_model(f"local-dir:{folder}", pretrained_text=False))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
