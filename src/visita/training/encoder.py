"""Training an image encoder on pairs: MKL-VisITA's network on its grids, and both together.

The network first learns on the grids of the encoder as it is, which are computed once; what a
network that knows nothing would ask of the encoder would undo its pretraining. Then pixels go
through both. Statistics of batch normalisation stay those of the pretraining: batches are small.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visita.arguments import expect
from visita.brief import Brief
from visita.data import Data, PairSet
from visita.encoders.fitted import install
from visita.encoders.table import IMAGE_ENCODERS
from visita.encoders.tuned import TunedEncoder
from visita.evaluation.retrieval import rsum_of_scores
from visita.networks.cross_modal import MklVisita
from visita.store.extract import picture_features
from visita.training.batches import Pixels
from visita.training.cross_modal import (
    GRADIENT,
    ValidateScores,
    all_scores,
    check_cross_modal,
    losses_of,
    optimizer_of,
    step_count,
    train_cross_modal,
)
from visita.training.devices import Team
from visita.training.grids import VALIDATED, CrossTensors, TextReader, cross_tensors, text_reader
from visita.training.loop import Checkpoint, History, fit, set_apart, warm_up_and_cosine
from visita.training.mkl_config import EndToEndConfig
from visita.training.train import Run, warnings_of
from visita.types import ImageEncoder, Recipe

AT_ONCE = 32
"""Pictures where nothing is learnt."""


@dataclass(frozen=True)
class Pictures:
    """Pixels of n pictures, and their grids by the untrained encoder beside texts and truth."""

    pixels: Pixels
    tensors: CrossTensors


class EndToEnd(nn.Module):
    """An encoder, uint8 (b, side, side, 3) to one grid a level, and what reads its grids."""

    def __init__(self, encoder: nn.Module, network: MklVisita) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network

    def train(self, mode: bool = True) -> Self:
        """Leave the encoder as in use: its statistics are not learnt, and it drops nothing."""
        super().train(mode)
        self.encoder.eval()
        return self

    def grids(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return the levels side by side, float32 (b, cells, d)."""
        levels = self.encoder(torch.from_numpy(pixels).to(self.network.slope.device))
        cells = [level[:, None] if level.ndim == 2 else level for level in levels]
        return torch.cat(cells, dim=2).float()


def train_end_to_end(
    encoder: nn.Module,
    train: Pictures,
    dev: Pictures,
    validate: ValidateScores,
    config: EndToEndConfig,
    *,
    text: TextReader | None = None,
    resume: Path,
) -> History:
    """Train ``encoder`` in place, on the CPU in the end, and return what happened.

    Its history starts with what the network reaches on the grids of the untrained encoder, and
    where no epoch is better the encoder stays as it is.

    Parameters
    ----------
    encoder
        Maps pixels to the levels of ``config``.
    text
        What gave the tokens, as in ``train_cross_modal``.
    resume
        Folder of the run's state: one that was killed goes on from there.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    PictureError
        If a picture can no longer be decoded.
    """
    network_config = config.network.model_copy(update={"seed": config.seed})
    network, _ = train_cross_modal(
        *(train.tensors, dev.tensors, validate, network_config),
        text=text,
        resume=resume / "network",
    )
    together: dict[str, Any] = {
        key: getattr(config, key) for key in ("seed", "epochs", "patience", "learning_rate")
    }
    settings = network_config.model_copy(update=together)
    team = Team(settings.device, settings.precision)
    rng = np.random.default_rng([config.seed, 1])
    set_apart(rng, team.number)
    model = EndToEnd(encoder, network).to(team.device)
    optimizer = optimizer_of(network, settings)
    # Decay would pull the weights towards 0 and not towards the pretrained ones.
    rate = {"lr": config.learning_rate, "weight_decay": 0.0}
    optimizer.add_param_group({"params": list(encoder.parameters()), **rate})

    def varied_grids(rows: NDArray[np.int64]) -> Tensor:
        return model.grids(train.pixels.varied(rows, rng))

    def score() -> float:
        tensors = replace(dev.tensors, grids=all_grids(model, dev.pixels))
        return validate(all_scores(network, tensors))

    history = fit(
        model,
        losses_of(network, train.tensors, settings, rng, team, varied_grids),
        optimizer,
        lambda: team.shared(score),
        settings,
        partial(warm_up_and_cosine, steps=step_count(train.tensors, settings, team)),
        longest_gradient=GRADIENT,
        averaging=settings.averaging,
        checkpoint=Checkpoint(resume / "both", rng, team.number),
        gather=team.average,
    )
    encoder.cpu()
    return history


@torch.inference_mode()
def all_grids(both: EndToEnd, pixels: Pixels) -> NDArray[np.float16]:
    """Return the grids of all pictures, float16 (n, cells, d)."""
    rows = np.arange(len(pixels))
    parts = [
        both.grids(pixels.whole(rows[s : s + AT_ONCE])).cpu() for s in range(0, len(rows), AT_ONCE)
    ]
    return torch.cat(parts).numpy().astype(np.float16)


@dataclass(frozen=True, repr=False)
class TrainedEncoder(Brief):
    """A trained image encoder, where it is saved, and its numbers and warnings.

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

    Examples
    --------
    >>> trained = visita.train_encoder("folder:mypairs", "eyes")  # doctest: +SKIP
    >>> trained.encoder.name, trained.after > trained.before  # doctest: +SKIP
    ('tuned:eyes', True)
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
    is trained with it. A run that was killed is resumed from the folder
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

    Examples
    --------
    >>> config = visita.EndToEndConfig(epochs=1)
    >>> trained = visita.train_encoder("folder:mypairs", "eyes", config=config)  # doctest: +SKIP
    """
    expect(config, (EndToEndConfig, NoneType), "config is an EndToEndConfig")
    config = config or EndToEndConfig()
    check_cross_modal(config.network)
    run = Run.begin(data, out, config.seed, features)
    team = Team(config.network.device, config.network.precision)
    with run.resumable(config, team) as partial:
        encoder, history, pictures, seconds = _learn(run, config, partial, team)

        def finish() -> None:
            encoder.save(run.out)
            install(encoder)

        team.shared(finish)
    scores = history.start, history.best()
    return TrainedEncoder(encoder, run.out, pictures, *scores, warnings_of(history), seconds)


def _learn(
    run: Run, config: EndToEndConfig, partial: Path, team: Team
) -> tuple[TunedEncoder, History, int, float]:
    """Return the encoder, what happened, how many pictures of dev chose, and the seconds."""
    recipe = config.network.recipe()
    [(name, levels)] = recipe.levels.items()
    base: ImageEncoder = IMAGE_ENCODERS.load(name)()
    dev = run.pairs.take("dev")
    few = dev.subset(dev.some_images(VALIDATED, config.seed))
    text = text_reader(config.network, run.train)
    with team.main_first():
        train, validated = (
            _pictures(pairs, recipe, text, run.features, base) for pairs in (run.train, few)
        )
    network = base.network(levels)
    untrained = {key: weight.detach().numpy().copy() for key, weight in network.named_parameters()}
    started = time.perf_counter()
    history = train_end_to_end(
        *(network, train, validated, rsum_of_scores(validated.tensors.truth), config),
        text=text,
        resume=partial,
    )
    seconds = time.perf_counter() - started
    learnt: dict[str, Any] = dict(base.tensors) if isinstance(base, TunedEncoder) else {}
    learnt |= {
        key: weight.detach().numpy().astype(np.float16)
        for key, weight in network.named_parameters()
        if not np.array_equal(weight.detach().numpy(), untrained[key])
    }
    origin = base.base if isinstance(base, TunedEncoder) else name
    return TunedEncoder(origin, learnt), history, len(validated.pixels), seconds


def _pictures(
    pairs: PairSet,
    recipe: Recipe,
    text: TextReader,
    features: str | Path | None,
    base: ImageEncoder,
) -> Pictures:
    readable, columns = picture_features(pairs, recipe, features)
    tensors = cross_tensors(readable, columns, recipe, text)
    return Pictures(Pixels(base, readable.image_paths), tensors)
