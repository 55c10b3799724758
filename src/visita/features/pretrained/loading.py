"""Models and tokenizers as transformers loads them, for the families that it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visita.artifact import read_json
from visita.errors import ConfigError
from visita.features.adapters.hub import TOKENIZERS, model_files
from visita.features.adapters.libraries import imported
from visita.features.adapters.preparation import Preparation
from visita.features.adapters.transformers_models import preparation_of, quiet
from visita.features.pretrained.names import repository
from visita.features.pretrained.tokens import Reading


def fetch(model: str) -> Sequence[Path]:
    """Return the files of a model: configuration, weights and tokenizer.

    Raises
    ------
    ArtifactError
        If they cannot be found or fetched.
    """
    return model_files(repository(model), TOKENIZERS, pickled=True)


def load(
    family: str, class_name: str, model: str, files: Sequence[Path]
) -> tuple[Any, Preparation]:
    """Return a model of transformers, in evaluation mode and float32, and how it sees pictures.

    Raises
    ------
    ConfigError
        If the files hold another kind of model, or lack weights.
    """
    import torch  # noqa: PLC0415 - once for each model

    kind = read_json(files[0]).get("model_type")
    if kind != family:
        raise ConfigError(f"{model} is no {family} model: its config.json says {kind!r}.")
    library = imported("transformers")
    folder = files[0].parent
    with quiet(library.logging):
        network, report = getattr(library, class_name).from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            weights_only=True,
        )
        preparation = preparation_of(library, model, folder)
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"{model} lacks {len(missing)} weights of a {family} model, such as {missing[0]}: "
            "choose a checkpoint with both towers and their projections."
        )
    return network.eval(), preparation


def text_config(files: Sequence[Path]) -> Any:
    """Return the configuration of a model's text tower."""
    library = imported("transformers")
    with quiet(library.logging):
        config = library.AutoConfig.from_pretrained(files[0].parent, local_files_only=True)
    return config.text_config


def reading(
    model: str,
    files: Sequence[Path],
    place: Path,
    *,
    longest: int,
    fixed: bool = False,
    pair: int | None = None,
) -> Reading:
    """Return how a model's own tokenizer reads texts; it is written to ``place``.

    Raises
    ------
    ConfigError
        If it is not one of the library tokenizers.
    """
    library = imported("transformers")
    with quiet(library.logging):
        tokenizer = library.AutoTokenizer.from_pretrained(
            files[0].parent, local_files_only=True, trust_remote_code=False
        )
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ConfigError(f"{model} has a tokenizer that visita cannot read: choose another model.")
    place.write_text(tokenizer.backend_tokenizer.to_str(), "utf-8")
    before, after = _around(tokenizer)
    left = tokenizer.padding_side == "left"
    return Reading(
        str(place), before, after, tokenizer.pad_token_id, longest, fixed, left, pair=pair
    )


def _around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special ids before and after a text."""
    whole = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    return tuple(whole[:start]), tuple(whole[start + len(bare) :])
