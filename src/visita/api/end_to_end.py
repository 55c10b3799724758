"""Training an image encoder on pairs, to be named by any training of a matcher after that."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from visita.api.two_stage import (
    VALIDATED,
    cross_tensors,
    rsum_of_scores,
    token_encoder,
    vocabulary_of,
)
from visita.arguments import expect
from visita.artifact import check_free
from visita.brief import Brief
from visita.data import Data, PairSet, open_pairs
from visita.data.pairs import LEAST, check_enough
from visita.encoders.fitted import install
from visita.encoders.table import IMAGE_ENCODERS
from visita.encoders.tuned import TunedEncoder
from visita.encoders.vocabulary import Vocabulary
from visita.store.extract import picture_features
from visita.training.checkpoint import partial_folder, resumable
from visita.training.config import EndToEndConfig
from visita.training.cross_modal import check_cross_modal
from visita.training.devices import Team
from visita.training.end_to_end import Pictures, train_end_to_end
from visita.training.loop import History
from visita.training.pixels import Pixels
from visita.training.watch import warnings_of
from visita.types import ImageEncoder, Recipe, TokenEncoder


@dataclass(frozen=True, repr=False)
class TrainedEncoder(Brief):
    """A trained image encoder, where it is saved, and what is to be said about it.

    Attributes
    ----------
    encoder : TunedEncoder
        Its ``name`` is what configurations call it.
    pictures : int
        How many of dev chose the epoch.
    before, after : float
        Their rsum by the network on its grids, untrained and of the best epoch.
    warnings : list of str
    seconds : float
        Training alone, features of the untrained encoder at hand.
    """

    encoder: TunedEncoder
    folder: Path
    pictures: int
    before: float
    after: float
    warnings: list[str]
    seconds: float


def train_encoder(
    data: Data,
    out: str | Path,
    *,
    config: EndToEndConfig | None = None,
    features: str | Path | None = None,
) -> TrainedEncoder:
    """Train an image encoder on train through MKL-VisITA's network, choose on dev, and save it.

    It is put into the cache too, where its name finds it, and travels inside every matcher that
    is trained with it. A run that was killed goes on where it was, from the folder
    ``out.partial``.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit each other.
    MismatchError
        If ``out.partial`` holds a run of other settings.
    TrainingError
        If training cannot go on.
    """
    expect(config, (EndToEndConfig, NoneType), "config is an EndToEndConfig")
    config = config or EndToEndConfig()
    check_cross_modal(config.network)
    out = Path(out).resolve()
    check_free(out)
    pairs = open_pairs(data, seed=config.seed)
    check_enough(pairs, {"train": LEAST, "dev": LEAST}, "Training")
    run = {"config": config.model_dump(mode="json"), "data": pairs.fingerprint()}
    team = Team(config.network.device, config.network.precision)
    kept = resumable(out, run) if team.is_main else nullcontext(partial_folder(out))
    with kept as partial:
        encoder, history, pictures, seconds = _learn(pairs, config, features, partial, team)

        def finish() -> None:
            encoder.save(out)
            install(encoder)

        team.shared(finish)
    scores = history.start, history.best()
    return TrainedEncoder(encoder, out, pictures, *scores, warnings_of(history), seconds)


def _learn(
    pairs: PairSet, config: EndToEndConfig, features: str | Path | None, partial: Path, team: Team
) -> tuple[TunedEncoder, History, int, float]:
    """Return the encoder, what happened, how many pictures of dev chose, and the seconds."""
    recipe = config.network.recipe()
    [(name, levels)] = recipe.levels.items()
    base: ImageEncoder = IMAGE_ENCODERS.load(name)()
    train, dev = pairs.take("train"), pairs.take("dev")
    few = dev.subset(dev.some_images(VALIDATED, config.seed))
    vocabulary = vocabulary_of(config.network, train)
    text = vocabulary or token_encoder(config.network)
    with team.main_first():
        learnt_from, chosen_by = (
            _pictures(some, recipe, text, features, base) for some in (train, few)
        )
    network = base.network(levels)
    untrained = {key: one.detach().numpy().copy() for key, one in network.named_parameters()}
    started = time.perf_counter()
    history = train_end_to_end(
        *(network, learnt_from, chosen_by, rsum_of_scores(chosen_by.tensors.truth), config),
        vocabulary=vocabulary,
        resume=partial,
    )
    seconds = time.perf_counter() - started
    learnt: dict[str, Any] = dict(base.tensors) if isinstance(base, TunedEncoder) else {}
    learnt |= {
        key: one.detach().numpy().astype(np.float16)
        for key, one in network.named_parameters()
        if not np.array_equal(one.detach().numpy(), untrained[key])
    }
    origin = base.base if isinstance(base, TunedEncoder) else name
    return TunedEncoder(origin, learnt), history, len(chosen_by.pixels), seconds


def _pictures(
    pairs: PairSet,
    recipe: Recipe,
    text: TokenEncoder | Vocabulary,
    features: str | Path | None,
    base: ImageEncoder,
) -> Pictures:
    readable, columns = picture_features(pairs, recipe, features)
    tensors = cross_tensors(readable, columns, recipe, text)
    return Pictures(Pixels(base, readable.image_paths), tensors)
