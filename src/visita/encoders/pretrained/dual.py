"""Models of two towers that share a space, as transformers has them: CLIP and its kin.

| name | papers |
|---|---|
| ``clip:`` | Radford et al. (2021); OpenCLIP, MetaCLIP and TinyCLIP in its layout too |
| ``siglip:`` | Zhai et al. (2023); Tschannen et al. (2025): SigLIP 2, NaFlex too |
| ``metaclip2:`` | Chuang et al. (2025), many languages |
| ``chinese-clip:`` | Yang et al. (2022) |
| ``altclip:`` | Chen et al. (2022), Chinese and English; AltCLIP-m9, nine languages |
| ``align:`` | Jia et al. (2021), as COYO-ALIGN |

A name is a repository on the hub, a folder, or for CLIP what open_clip calls MODEL/WEIGHTS (see
``model``). Activation, padding and case are the checkpoint's: SigLIP takes texts in lower case,
without punctuation and filled up to 64 ids, of which the padding is read as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from visita.artifact import read_json
from visita.encoders.library.networks import AnyPreparation
from visita.encoders.pretrained.family import Family, Languages
from visita.encoders.pretrained.loading import (
    fetch,
    network_of,
    patches_of,
    prepared,
    reading,
    text_config,
    threshold_of,
)
from visita.encoders.pretrained.model import Model
from visita.encoders.pretrained.tokens import Reading, sentence_piece

MANY_PIECES = 100_000
Tower = Callable[[Any, Any, Any], Any]
"""From the vision model, its projection and the preparation to a module."""


def _of_vit(vision: Any, projection: Any, _: Any) -> Any:
    from visita.encoders.pretrained.towers import PictureTower  # noqa: PLC0415 - needs torch

    return PictureTower(vision, projection)


def _of_convolutions(vision: Any, projection: Any, _: Any) -> Any:
    from visita.encoders.pretrained.towers import MapTower  # noqa: PLC0415 - needs torch

    return MapTower(vision, projection)


def _of_patches(vision: Any, projection: Any, preparation: Any) -> Any:
    from visita.encoders.pretrained.naflex import PatchTower  # noqa: PLC0415 - needs torch

    return PatchTower(vision, projection, preparation)


@dataclass(frozen=True)
class Kind:
    """What reads one ``model_type``.

    Attributes
    ----------
    name : str
        Of the class in transformers.
    tower : callable
        Makes the tower of the pictures.
    preparation : callable
        NAME and files → how pictures are prepared.
    """

    name: str
    tower: Tower = _of_vit
    preparation: Callable[[str, Sequence[Path]], AnyPreparation] = prepared


@dataclass(frozen=True)
class Row:
    """How one family is read.

    Attributes
    ----------
    kinds : mapping
        By ``model_type``.
    first : bool
        The vector of a text is made of its first token, and not of what its tower pools.
    padded : bool
        Texts are filled up to the longest, and the padding is read.
    longest : int or None
        Ids of a text in training; None where it is what the model has positions for.
    languages : callable
        As in ``Family``.
    """

    kinds: Mapping[str, Kind]
    first: bool = False
    padded: bool = False
    longest: int | None = None
    languages: Languages = lambda _: ("en",)


def _siglips_languages(files: Sequence[Path]) -> Sequence[str] | None:
    # The multilingual ones, SigLIP 2 among them, read 250,000 pieces of words, the others 32,000.
    return None if text_config(files).vocab_size > MANY_PIECES else ("en",)


ROWS = {
    "clip": Row({"clip": Kind("CLIPModel")}),
    "siglip": Row(
        {
            "siglip": Kind("SiglipModel"),
            "siglip2": Kind("Siglip2Model", _of_patches, patches_of),
        },
        padded=True,
        languages=_siglips_languages,
    ),
    "metaclip2": Row({"metaclip_2": Kind("MetaClip2Model")}, languages=lambda _: None),
    "chinese-clip": Row(
        {"chinese_clip": Kind("ChineseCLIPModel")},
        first=True,
        longest=52,
        languages=lambda _: ("zh",),
    ),
    # Two languages or nine (AltCLIP-m9): nothing in a checkpoint says which.
    "altclip": Row(
        {"altclip": Kind("AltCLIPModel")}, first=True, longest=77, languages=lambda _: None
    ),
    "align": Row({"align": Kind("AlignModel", _of_convolutions)}, first=True, longest=64),
}


def _build(row: Row, model: str, files: Sequence[Path]) -> Model:
    from torch import nn  # noqa: PLC0415

    from visita.encoders.pretrained.towers import DualText  # noqa: PLC0415 - needs torch

    kind = row.kinds[read_json(files[0])["model_type"]]
    network = network_of(kind.name, model, files)
    preparation = kind.preparation(model, files)
    of_pictures, of_texts = (
        getattr(network, f"{side}_projection", nn.Identity()) for side in ("visual", "text")
    )
    config = network.config.text_config
    return Model(
        kind.tower(network.vision_model, of_pictures, preparation),
        preparation,
        DualText(network.text_model, of_texts, first=row.first, masked=not row.padded),
        (config.num_hidden_layers, config.hidden_size),
        getattr(config, "projection_size", None) or network.config.projection_dim,
        threshold=threshold_of(network) if hasattr(network, "logit_bias") else None,
    )


def _tokenizer(row: Row, model: str, files: Sequence[Path], place: Path) -> Reading:
    longest = row.longest or text_config(files).max_position_embeddings
    pieces = next((file for file in files if file.name == "spiece.model"), None)
    if pieces and row.padded:
        return _siglips_pieces(pieces, longest)
    return reading(model, files, place, longest=longest, fixed=row.padded)


def _siglips_pieces(pieces: Path, longest: int) -> Reading:
    settings = pieces.with_name("tokenizer_config.json")
    lower = not settings.is_file() or read_json(settings).get("do_lower_case", True)
    end = sentence_piece(str(pieces)).piece_to_id("</s>")
    clean = "siglip" if lower else "siglip-cased"
    return Reading(str(pieces), (), (end,), end, longest, fixed=True, clean=clean)


def _family(name: str) -> Family:
    row = ROWS[name]
    return Family(
        name, partial(fetch, name), partial(_build, row), partial(_tokenizer, row), row.languages
    )


CLIP, SIGLIP, METACLIP2, CHINESE_CLIP, ALTCLIP, ALIGN = map(_family, ROWS)
