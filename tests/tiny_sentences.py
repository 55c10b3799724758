"""Tiny random checkpoints in the layout of sentence-transformers, written to disk by hand."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import tiny_pretrained as tiny
import torch
import transformers as tf
from safetensors.torch import save_file

LETTERS = string.ascii_lowercase
MODULES = "sentence_transformers.models."


def write(
    folder: Path,
    kind: str = "distilbert",
    *,
    pooling: str = "mean",
    dense: int | None = 16,
    activation: str = "torch.nn.modules.linear.Identity",
    unit: bool = False,
    languages: str = "",
    longest: int | None = 24,
) -> Path:
    """Write a DistilBERT or a BERT; with ``dense``, a layer to so many numbers behind the pool."""
    vocab = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *tiny.WORDS])}
    for piece in (*LETTERS, *(f"##{letter}" for letter in LETTERS)):
        vocab.setdefault(piece, len(vocab))
    tf.BertTokenizer(vocab=vocab).save_pretrained(folder)
    tiny.spread(_transformer(kind, len(vocab))).save_pretrained(folder)
    parts = ["Transformer", "Pooling"]
    _json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 24, **_mode(pooling)})
    if dense:
        parts.append("Dense")
        _dense(folder / "2_Dense", dense, activation)
    if unit:
        parts.append("Normalize")
    listed = [
        {"idx": n, "name": str(n), "path": f"{n}_{part}" if n else "", "type": MODULES + part}
        for n, part in enumerate(parts)
    ]
    _json(folder / "modules.json", listed)
    if longest:
        settings = {"max_seq_length": longest, "do_lower_case": False}
        _json(folder / "sentence_bert_config.json", settings)
    if languages:
        (folder / "README.md").write_text(f"---\nlanguage:\n{languages}---\n# Tiny\n", "utf-8")
    return folder


def _transformer(kind: str, words: int) -> Any:
    if kind == "bert":
        shape = {**tiny.SIZES, "vocab_size": words, "max_position_embeddings": 40}
        return tf.BertModel(tf.BertConfig(**shape))
    config = tf.DistilBertConfig(
        vocab_size=words, dim=24, hidden_dim=40, n_layers=3, n_heads=2, max_position_embeddings=40
    )
    return tf.DistilBertModel(config)


def _mode(pooling: str) -> dict[str, bool]:
    known = ("cls_token", "mean_tokens", "max_tokens")
    return {f"pooling_mode_{one}": one.startswith(pooling) for one in known}


def _dense(folder: Path, width: int, activation: str) -> None:
    config = {"in_features": 24, "out_features": width, "bias": True}
    _json(folder / "config.json", {**config, "activation_function": activation})
    layer = tiny.spread(torch.nn.Linear(24, width), seed=1)
    state = {f"linear.{name}": one.detach() for name, one in layer.named_parameters()}
    save_file(state, folder / "model.safetensors")


def _json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), "utf-8")
