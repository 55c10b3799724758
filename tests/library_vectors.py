"""Families of pretrained models: what visita computes, and what transformers computes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tiny_pretrained as tiny
import torch
from PIL import Image

from visita.encoders.export import TorchRunner
from visita.encoders.library.networks import imported
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.vectors import unit

tf = imported("transformers")
TEXTS = ("A red circle", "the dog RUNS, on a star!", "", "blue")


class Case(NamedTuple):
    """A family, what writes a checkpoint of it, and the class of transformers that reads it."""

    family: str
    write: Any
    model: Any
    padded: dict[str, Any]


SHORT = {"padding": True}
FILLED = {"padding": "max_length", "max_length": 30}
CASES = {
    "clip": Case("clip", tiny.clip, tf.CLIPModel, SHORT),
    "siglip": Case("siglip", tiny.siglip, tf.SiglipModel, FILLED),
    "siglip2": Case("siglip", tiny.siglip2, tf.SiglipModel, FILLED),
    "blip": Case("blip", tiny.blip, tf.BlipForImageTextRetrieval, SHORT),
    "naflex": Case("siglip", tiny.naflex, tf.Siglip2Model, FILLED),
    "metaclip2": Case("metaclip2", tiny.metaclip2, tf.MetaClip2Model, SHORT),
    "chinese-clip": Case("chinese-clip", tiny.chinese_clip, tf.ChineseCLIPModel, SHORT),
    "altclip": Case("altclip", tiny.altclip, tf.AltCLIPModel, SHORT),
    "align": Case("align", tiny.align, tf.AlignModel, {"padding": "max_length", "max_length": 64}),
    "blip2": Case("blip2", tiny.blip2, tf.Blip2ForImageTextRetrieval, SHORT),
}
TWO_STAGES = ("blip", "blip2")


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = ((50, 61), (90, 44), (tiny.SIDE, tiny.SIDE))
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


def ours(family: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors of the pictures and the texts, as torch computes them."""
    seen, read = (table.load(f"{family}:{folder}")() for table in (IMAGE_ENCODERS, TEXT_ENCODERS))
    prepared = np.stack([seen.prepare(picture) for picture in pictures()])
    (images,) = TorchRunner(seen.network(("vector",)))(prepared)
    ids, mask = read.reading.padded([passage for [passage] in read.reading.passages(TEXTS)])
    (texts,) = TorchRunner(read.network())(ids, mask)
    return unit(images), unit(texts)


def theirs(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors that the library computes, from its own processor on."""
    case = CASES[name]
    model = case.model.from_pretrained(folder).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    seen = processor(pictures(), return_tensors="pt")
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    read = tokenizer(list(TEXTS), return_tensors="pt", **case.padded)
    read.pop("token_type_ids", None)
    with torch.inference_mode():
        if name == "blip":
            tokens = model.vision_model(**seen).last_hidden_state
            states = model.text_encoder(**read).last_hidden_state
            images, texts = model.vision_proj(tokens[:, 0]), model.text_proj(states[:, 0])
        elif name == "blip2":
            found = model(**seen, **read)
            images, texts = found.image_embeds.mean(1), found.text_embeds
        else:
            images = model.get_image_features(**seen).pooler_output
            texts = model.get_text_features(**read).pooler_output
    return unit(images.numpy()), unit(texts.numpy())
