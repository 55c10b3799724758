"""SigLIP and SigLIP 2 (Zhai et al., 2023; Tschannen et al., 2025): ``siglip:NAME``.

NAME is a repository on the hub or a folder. Texts are filled up to 64 ids, and the padding is
read as in training. SigLIP takes texts in lower case and without punctuation; SigLIP 2 as its
tokenizer has it. Of SigLIP 2 only checkpoints of one input size load, not those called naflex.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visita.artifact import read_json
from visita.encoders.library.networks import LibraryEncoder
from visita.encoders.pretrained.loading import fetch, load, reading, text_config
from visita.encoders.pretrained.model import Family, Model
from visita.encoders.pretrained.text import VECTOR, PretrainedText
from visita.encoders.pretrained.tokens import Reading, sentence_piece

MANY_PIECES = 100_000


def pictures(model: str) -> LibraryEncoder:
    """Return the image encoder of a checkpoint."""
    return FAMILY.pictures(model)


def texts(model: str, levels: Sequence[str] = (VECTOR,)) -> PretrainedText:
    """Return the text encoder of a checkpoint."""
    return PretrainedText(FAMILY, model, levels)


def _build(model: str, files: Sequence[Path]) -> Model:
    from torch import nn  # noqa: PLC0415

    from visita.encoders.pretrained.towers import DualText, PictureTower  # noqa: PLC0415

    siglip, preparation = load("siglip", "SiglipModel", model, files)
    config = siglip.config.text_config
    scale, bias = float(siglip.logit_scale.detach().exp()), float(siglip.logit_bias.detach())
    return Model(
        PictureTower(siglip.vision_model, nn.Identity(), class_token=False),
        preparation,
        DualText(siglip.text_model, nn.Identity(), masked=False),
        (config.num_hidden_layers, config.hidden_size),
        config.projection_size,
        threshold=-bias / scale,  # where sigmoid(scale * cosine + bias) is one half
    )


def _tokenizer(model: str, files: Sequence[Path], place: Path) -> Reading:
    longest = text_config(files).max_position_embeddings
    by_name = {file.name: file for file in files}
    if "spiece.model" not in by_name:
        return reading(model, files, place, longest=longest, fixed=True)
    settings = by_name.get("tokenizer_config.json")
    lower = settings is None or read_json(settings).get("do_lower_case", True)
    pieces = str(by_name["spiece.model"])
    end = sentence_piece(pieces).piece_to_id("</s>")
    clean = "siglip" if lower else "siglip-cased"
    return Reading(pieces, (), (end,), end, longest, fixed=True, clean=clean)


def _languages(files: Sequence[Path]) -> Sequence[str] | None:
    # The multilingual ones, SigLIP 2 among them, read 250,000 pieces of words, the others 32,000.
    return None if text_config(files).vocab_size > MANY_PIECES else ("en",)


FAMILY = Family("siglip", fetch, _build, _tokenizer, _languages)
