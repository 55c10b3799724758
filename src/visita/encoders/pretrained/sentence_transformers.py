"""Text encoders in the layout of sentence-transformers: ``sentence-transformers:NAME``.

NAME is a repository on the hub, such as ``sentence-transformers/clip-ViT-B-32-multilingual-v1``,
or a folder. Its ``modules.json`` lists a transformer, how its tokens are pooled (mean or first),
and perhaps dense layers and a scaling to unit length; built from transformers' parts, ``vector``
is what the ``encode`` of sentence-transformers gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from visita.artifact import read_json
from visita.encoders.library.hub import CARD, TOKENIZERS, model_files
from visita.encoders.pretrained.family import Family
from visita.encoders.pretrained.loading import network_and_missing, reading
from visita.encoders.pretrained.model import Model
from visita.encoders.pretrained.sentence_folders import CLIP, MODULES, modules_of
from visita.encoders.pretrained.tokens import Reading
from visita.errors import ConfigError

SETTINGS = ("sentence_bert_config.json", "config_sentence_transformers.json")
PARTS = ("config.json", "model.safetensors", "pytorch_model.bin")
FILES = (*TOKENIZERS, MODULES, CARD, *SETTINGS, *(f"[0-9]*_*/{part}" for part in PARTS))
POOLINGS = ("mean", "cls")
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
"""Of ``torch.nn``; without one named, a dense layer has the second."""
EMBEDDING = "sentence_embedding"
ALIASES = {"nb": "no", "nn": "no", "iw": "he"}
"""Codes of languages that go by another one too."""


def _fetch(model: str) -> Sequence[Path]:
    return model_files(model, FILES, pickled=True, inspected=partial(_inspected, model))


def _inspected(model: str, folder: Path) -> str:
    _modules(model, folder)
    return ""


def _build(model: str, files: Sequence[Path]) -> Model:
    from torch import nn  # noqa: PLC0415

    from visita.encoders.pretrained.towers import SentenceText, Unit  # noqa: PLC0415 - torch

    folder = files[0].parent
    modules = _modules(model, folder)
    _refuse_a_prompt(model, folder)
    transformer, missing = network_and_missing("AutoModel", folder)
    lacking = [name for name in missing if not name.startswith("pooler.")]  # which nobody reads
    if lacking or transformer.config.is_encoder_decoder:
        reason = f"it lacks {lacking[0]}" if lacking else "its transformer has a decoder"
        raise ConfigError(f"{model} cannot be read: {reason}. Choose another model.")
    width = transformer.config.hidden_size
    hidden, head = width, nn.Sequential()
    for kind, place in modules[2:]:
        if kind == "Dense":
            linear, activation = _dense(model, folder / place)
            head.extend([linear, activation])
            width = linear.out_features
        else:
            head.append(Unit())
    tower = SentenceText(transformer, _pooling(model, folder / modules[1][1]), head.eval())
    return Model(None, None, tower, (transformer.config.num_hidden_layers, hidden), width)


def _modules(model: str, folder: Path) -> list[tuple[str, str]]:
    """Return class and subfolder of each module, checked to be of kinds that are known."""
    modules = modules_of(model, folder)
    kinds = [kind for kind, _ in modules]
    readable = kinds[:2] == ["Transformer", "Pooling"] and set(kinds[2:]) <= {"Dense", "Normalize"}
    if not readable or modules[0][1]:
        advice = f"Name it clip:{model}" if kinds[0] == CLIP else "Choose another model."
        raise ConfigError(
            f"{model} consists of {'; '.join(kinds)}: visita reads a Transformer at the top of the "
            f"folder, Pooling and then Dense or Normalize. {advice}"
        )
    return modules


def _pooling(model: str, folder: Path) -> str:
    config = read_json(folder / PARTS[0])
    older = [
        name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for name, chosen in config.items()
        if name.startswith("pooling_mode_") and chosen
    ]
    modes = config.get("pooling_mode", older or ["mean"])
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ConfigError(
            f"{model} pools its tokens by {' and '.join(modes)}: visita knows "
            f"{' and '.join(POOLINGS)}. Choose another model."
        )
    return str(modes[0])


def _dense(model: str, folder: Path) -> tuple[Any, Any]:
    """Return a dense layer and its activation."""
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    config = read_json(folder / PARTS[0])
    name = config.get("activation_function") or f"torch.nn.{ACTIVATIONS[1]}"
    activation = name.rpartition(".")[2]
    names = {config.get(f"module_{end}_name") or EMBEDDING for end in ("input", "output")}
    readable = name.startswith("torch.nn.") and activation in ACTIVATIONS
    if not readable or names != {EMBEDDING} or config.get("use_residual"):
        raise ConfigError(
            f"{model} has a dense layer that visita cannot read: it knows plain ones with "
            f"{', '.join(ACTIVATIONS)}. Choose another model."
        )
    linear = nn.Linear(config["in_features"], config["out_features"], config.get("bias", True))
    file = folder / PARTS[1]
    state = (
        load_file(file)
        if file.is_file()
        else torch.load(folder / PARTS[2], map_location="cpu", weights_only=True)
    )
    linear.load_state_dict({key.removeprefix("linear."): tensor for key, tensor in state.items()})
    return linear, getattr(nn, activation)()


def _refuse_a_prompt(model: str, folder: Path) -> None:
    settings = _settings(folder, SETTINGS[1])
    prompt = (settings.get("prompts") or {}).get(settings.get("default_prompt_name"))
    if prompt:
        raise ConfigError(
            f"{model} reads texts behind the words {prompt!r}, which visita does not put there. "
            "Choose another model."
        )


def _tokenizer(model: str, files: Sequence[Path], place: Path) -> Reading:
    settings = _settings(files[0].parent, SETTINGS[0])
    clean = "lower" if settings.get("do_lower_case") else ""
    uncleaned = reading(model, files, place, longest=settings.get("max_seq_length"))
    return replace(uncleaned, clean=clean)


def _settings(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name) if (folder / name).is_file() else {}


def _languages(files: Sequence[Path]) -> Sequence[str] | None:
    """Return what the head of the model's card says; None of a model called multilingual only."""
    from huggingface_hub import metadata_load  # noqa: PLC0415 - an extra's

    card = files[0].parent / CARD
    said = (metadata_load(card) or {}).get("language") if card.is_file() else None
    # In YAML the code of Norwegian is a boolean, unless it is quoted.
    listed = ["no" if language is False else str(language) for language in _as_list(said)]
    codes = {language.lower().partition("-")[0] for language in listed} - {"multilingual"}
    return sorted({ALIASES.get(code, code) for code in codes}) or None


def _as_list(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [] if said is None else [said]


FAMILY = Family("sentence-transformers", _fetch, _build, _tokenizer, _languages)
