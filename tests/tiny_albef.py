"""A tiny random checkpoint of ALBEF, by the names of the official ones."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

SIDE, PATCH, HIDDEN, WIDE, HEADS, WIDTH = 32, 16, 128, 160, 2, 16
BLOCKS, LAYERS, ALONE, WORDS = 2, 4, 2, 30522
State = dict[str, Tensor]


def drawn_state() -> State:
    """Return a checkpoint's tensors by their official names, drawn at random."""
    shapes: dict[str, tuple[int, ...]] = {
        "visual_encoder.cls_token": (1, 1, HIDDEN),
        "visual_encoder.pos_embed": (1, 1 + (SIDE // PATCH) ** 2, HIDDEN),
        "visual_encoder.patch_embed.proj.weight": (HIDDEN, 3, PATCH, PATCH),
        "visual_encoder.patch_embed.proj.bias": (HIDDEN,),
        "text_encoder.embeddings.word_embeddings.weight": (WORDS, HIDDEN),
        "text_encoder.embeddings.position_embeddings.weight": (40, HIDDEN),
        "text_encoder.embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "temp": (),
        "image_queue": (WIDTH, 5),
    }

    def linear(name: str, into: int, out: int) -> None:
        shapes.update({f"{name}.weight": (out, into), f"{name}.bias": (out,)})

    def norm(name: str) -> None:
        shapes.update({f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)})

    for block in (f"visual_encoder.blocks.{n}" for n in range(BLOCKS)):
        norm(f"{block}.norm1")
        norm(f"{block}.norm2")
        linear(f"{block}.attn.qkv", HIDDEN, 3 * HIDDEN)
        linear(f"{block}.attn.proj", HIDDEN, HIDDEN)
        linear(f"{block}.mlp.fc1", HIDDEN, WIDE)
        linear(f"{block}.mlp.fc2", WIDE, HIDDEN)
    norm("visual_encoder.norm")
    norm("text_encoder.embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"text_encoder.encoder.layer.{number}"
        for attention in ("attention", "crossattention")[: 1 + (number >= ALONE)]:
            for part in ("query", "key", "value"):
                linear(f"{layer}.{attention}.self.{part}", HIDDEN, HIDDEN)
            linear(f"{layer}.{attention}.output.dense", HIDDEN, HIDDEN)
            norm(f"{layer}.{attention}.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", HIDDEN, WIDE)
        linear(f"{layer}.output.dense", WIDE, HIDDEN)
        norm(f"{layer}.output.LayerNorm")
    linear("vision_proj", HIDDEN, WIDTH)
    linear("text_proj", HIDDEN, WIDTH)
    linear("itm_head", HIDDEN, 2)
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator) * (0.5 if "embed" in name else 0.12)
        + float("norm" in name.lower() and name.endswith("weight"))
        for name, shape in shapes.items()
    }


def write(place: Path, state: State) -> Path:
    """Write a file as ALBEF's fine-tuning does, momentum model and queue included."""
    momentum = {
        name.replace("encoder.", "encoder_m.", 1): torch.zeros_like(values)
        for name, values in state.items()
        if "word" not in name
    }
    torch.save({"model": {**momentum, **state}, "config": {"image_res": SIDE}, "epoch": 4}, place)
    return place
