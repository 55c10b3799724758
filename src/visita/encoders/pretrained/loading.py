"""Models and tokenizers as transformers loads them, for the families that it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL.Image import Resampling

from visita.encoders.library.hub import CONFIGS, TELLING, TOKENIZERS, model_files, obtained
from visita.encoders.library.networks import Preparation, imported
from visita.encoders.library.patches import PatchPreparation
from visita.encoders.library.transformers_models import (
    means_of,
    preparation_of,
    processor_of,
    quiet,
)
from visita.encoders.pretrained import lora
from visita.encoders.pretrained.families import check_kind
from visita.encoders.pretrained.model import repository
from visita.encoders.pretrained.sentence_folders import towers_within
from visita.encoders.pretrained.tokens import Reading
from visita.errors import ConfigError


def fetch(family: str, model: str) -> Sequence[Path]:
    """Return the files of a model: configuration, weights and tokenizer; of an adapter its base's,
    and its own at the end.

    Raises
    ------
    ArtifactError
        If they cannot be found or fetched.
    ConfigError
        If the model is of another family, told by its configuration alone.
    """
    name = repository(model)
    told = obtained(name, TELLING)
    adapter = told / lora.CONFIG
    if not adapter.is_file() or (told / CONFIGS[0]).is_file():
        return _whole(family, name)
    base = _whole(family, repository(lora.base_of(model, adapter)))
    return [*base, adapter, lora.weights_of(model, obtained(name, (lora.WEIGHTS,)))]


def _whole(family: str, model: str) -> Sequence[Path]:
    return model_files(
        model, TOKENIZERS, pickled=True, inspected=partial(_inspected, family, model)
    )


def _inspected(family: str, model: str, folder: Path) -> str:
    within = towers_within(model, folder)
    check_kind(family, model, folder / within / CONFIGS[0])
    return within


@contextmanager
def _transformers() -> Iterator[Any]:
    """Give the library, which says nothing meanwhile."""
    library = imported("transformers")
    with quiet(library.logging):
        yield library


def network_of(class_name: str, model: str, files: Sequence[Path]) -> Any:
    """Return a model of transformers, in evaluation mode and float32.

    Raises
    ------
    ConfigError
        If the files lack weights, or an adapter does not fit.
    """
    network, missing = network_and_missing(class_name, files[0].parent)
    if missing:
        raise ConfigError(
            f"{model} lacks {len(missing)} weights of a {class_name}, such as {missing[0]}: "
            "choose a checkpoint with both towers and their projections."
        )
    for adapter in (file for file in files if file.name == lora.CONFIG):
        lora.merge(model, network, adapter)
    return network


def network_and_missing(class_name: str, folder: Path) -> tuple[Any, list[str]]:
    """Return a model of transformers, in evaluation mode and float32, and the weights it lacks."""
    import torch  # noqa: PLC0415 - once for each model

    with _transformers() as library:
        network, report = getattr(library, class_name).from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            weights_only=True,
        )
    return network.eval(), sorted(report["missing_keys"])


def prepared(model: str, files: Sequence[Path]) -> Preparation:
    """Return how a model sees pictures.

    Raises
    ------
    ConfigError
        If it has no image processor, or one that does what a ``Preparation`` cannot.
    """
    with _transformers() as library:
        return preparation_of(library, model, files[0].parent)


def patches_of(model: str, files: Sequence[Path]) -> PatchPreparation:
    """Return how a model sees pictures that keep their shape.

    Raises
    ------
    ConfigError
        If it has no image processor, or one that does what a ``PatchPreparation`` cannot.
    """
    from visita.encoders.library.layers import check_preparation  # noqa: PLC0415 - needs torch
    from visita.encoders.pretrained.naflex import Unpacked  # noqa: PLC0415

    with _transformers() as library:
        processor = processor_of(library, model, files[0].parent)
        preparation = PatchPreparation(
            processor.patch_size,
            processor.max_num_patches,
            Resampling(processor.resample).name,
            *means_of(processor),
            divisor=1 / processor.rescale_factor,
        )
        check_preparation(
            model,
            preparation,
            lambda picture: processor(picture)["pixel_values"][0],
            lambda canvas: Unpacked(preparation)(canvas)[0],
        )
    return preparation


def threshold_of(network: Any) -> float:
    """Return the cosine at which sigmoid(scale * cosine + bias) is one half."""
    scale, bias = float(network.logit_scale.detach().exp()), float(network.logit_bias.detach())
    return -bias / scale


def text_config(files: Sequence[Path]) -> Any:
    """Return the configuration of a model's text tower."""
    return config_of(files).text_config


def config_of(files: Sequence[Path]) -> Any:
    """Return the configuration of a model."""
    with _transformers() as library:
        return library.AutoConfig.from_pretrained(files[0].parent, local_files_only=True)


def reading(
    model: str,
    files: Sequence[Path],
    place: Path,
    *,
    longest: int | None,
    fixed: bool = False,
    pair: int | None = None,
) -> Reading:
    """Return how a model's own tokenizer reads texts; it is written to ``place``.

    ``longest`` is how many ids a text has at most; None, as many as tokenizer and model take.

    Raises
    ------
    ConfigError
        If it is not one of the library tokenizers.
    """
    with _transformers() as library:
        tokenizer = library.AutoTokenizer.from_pretrained(
            files[0].parent, local_files_only=True, trust_remote_code=False
        )
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ConfigError(f"{model} has a tokenizer that visita cannot read: choose another model.")
    place.write_text(tokenizer.backend_tokenizer.to_str(), "utf-8")
    if longest is None:
        positions = config_of(files).max_position_embeddings
        longest = min(tokenizer.model_max_length, positions)
    before, after = _around(tokenizer)
    left = tokenizer.padding_side == "left"
    return Reading(
        str(place), before, after, tokenizer.pad_token_id, longest, fixed, left, pair=pair
    )


def _around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special ids before and after a text."""
    full = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    start = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
    return tuple(full[:start]), tuple(full[start + len(bare) :])
