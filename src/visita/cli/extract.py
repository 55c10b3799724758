"""``visita extract``: compute the features of pairs once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.brief import counted
from visita.cli.options import Config, Json, Pairs, Preset, Root, Settings, check_out, rooted
from visita.cli.output import print_json


def extract(
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the features go.")],
    preset: Preset = None,
    config: Config = None,
    settings: Settings = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Compute the features that training and evaluating read, and keep them.

    Both do this themselves, into the cache; here they go where you say. What
    is there is not computed again, so it can be interrupted.

    [bold]visita extract --data flickr8k:data/flickr8k --out features[/bold]
    """
    from visita.store.extract import pair_features  # noqa: PLC0415
    from visita.training import PRESETS  # noqa: PLC0415
    from visita.training.vectors import text_encoder_of  # noqa: PLC0415

    check_out(out)
    chosen = PRESETS.load(preset or "default").read(config, settings or ())
    pairs = visita.open_pairs(rooted(data, root), seed=chosen.seed)
    extracted = pair_features(pairs, chosen.recipe(), text_encoder_of(chosen, pairs), out)
    images, texts = len(extracted.pairs.image_ids), len(extracted.texts)
    if as_json:
        shapes = {name: list(values.shape[1:]) for name, values in extracted.columns.items()}
        left_out = len(pairs.image_ids) - images
        print_json(
            {
                "folder": str(out),
                "images": images,
                "left_out": left_out,
                "texts": texts,
                "columns": shapes,
            }
        )
    else:
        print(f"{counted(images, 'image')} and {counted(texts, 'text')} are in {out}")
