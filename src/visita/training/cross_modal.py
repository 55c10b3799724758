"""Training MKL-VisITA's network on pictures as grids of cells and texts as tokens.

The default loss is InfoNCE over a batch of pictures and all their texts, whose hardest
negatives weigh most; the paper's is the squared error of the match probability, on as many
false pairs as true ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visita.encoders.contract import cell_count
from visita.encoders.vocabulary import Vocabulary
from visita.errors import ConfigError
from visita.networks import PAIR_LOSSES
from visita.networks.cross_modal import MklVisita
from visita.networks.losses import Loss, loss_named, loss_of_guessing
from visita.store.pictures import RecipeEncoder
from visita.training.batches import drawn_texts, labelled_pairs, labels_of, pair_count
from visita.training.devices import Team
from visita.training.grids import CrossTensors, TextReader
from visita.training.loop import (
    Checkpoint,
    History,
    Losses,
    constant,
    fit,
    set_apart,
    warm_up_and_cosine,
)
from visita.training.mkl_config import CrossModalConfig
from visita.training.refit import kernel_values, refit
from visita.training.tensors import statistics
from visita.types import FloatArray, Recipe, Tokens

ValidateScores = Callable[[FloatArray], float]
"""Maps scores of dev pictures and texts, float32 (n, m), to a number; higher is better."""
GRADIENT = 2.0
"""Longest gradient: attention is steep at first."""
IMAGES = 100
"""Or pairs, at once where nothing is learnt."""
TEXTS = 32
"""At once. All that lies between their words and the pictures' cells fits into a core's cache."""


def train_cross_modal(
    train: CrossTensors,
    dev: CrossTensors,
    validate: ValidateScores,
    config: CrossModalConfig,
    *,
    text: TextReader | None = None,
    resume: Path | None = None,
) -> tuple[MklVisita, History]:
    """Return the trained network, on the CPU, and what happened.

    The same seed gives bit-equal weights at one thread count, on the CPU. Several processes,
    where ``accelerate launch`` started them, train it together: a batch is theirs together.

    Parameters
    ----------
    text
        What gave the tokens: a network learns the words of a vocabulary, and reads the vectors of
        anything else.
    resume
        Folder of the run's state: one that was killed goes on from there.

    Raises
    ------
    TrainingError
        If the loss stops being a number, or no kernel is of use where they are refitted.
    ConfigError
        If a level, a kernel or the device does not exist.
    """
    team = Team(config.device, config.precision)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    set_apart(rng, team.number)
    network = _network(train, text, config).to(team.device)
    decay = partial(warm_up_and_cosine, steps=_step_count(train, config, team))
    history = fit(
        network,
        _losses(network, train, config, rng, team),
        _optimizer(network, config),
        lambda: team.shared(lambda: validate(all_scores(network, dev))),
        config,
        constant if config.plateau else decay,
        longest_gradient=GRADIENT,
        averaging=config.averaging,
        plateau=config.plateau,
        checkpoint=Checkpoint(resume, rng, team.number) if resume else None,
        gather=team.average,
    )
    if config.kernel_weights == "simplemkl":
        _refit(network, dev, config)
    return network.cpu(), history


def check_cross_modal(config: CrossModalConfig) -> None:
    """Make sure, before long work, that a network can be made of these settings.

    Raises
    ------
    ConfigError
        If levels are not grids of one number of cells, or something does not exist.
    UnknownNameError
        If there is no such encoder or level.
    """
    Team(config.device, config.precision)
    cells, features = _grid_shape(config.recipe())
    _made(cells, features, {"side": "pretrained", "features": 1}, config)


def _grid_shape(recipe: Recipe) -> tuple[int, int]:
    shapes = RecipeEncoder(recipe).columns()
    features = 0
    for name, shape in shapes.items():
        if isinstance(shape, int):
            raise ConfigError(f"{name} has no cells: use levels such as block15:5x5.")
        features += shape[1]
    return cell_count(shapes), features


def _network(train: CrossTensors, text: TextReader | None, config: CrossModalConfig) -> MklVisita:
    _, cells, features = train.grids.shape
    if isinstance(text, Vocabulary):
        network = _made(cells, features, _side_of_words(text, config), config)
    else:
        read = {"features": train.tokens.values.shape[1], "input_dropout": config.input_dropout}
        network = _made(cells, features, {"side": "pretrained", **read}, config)
        _standardise(network.read, train.tokens.values)
    _standardise(network.see, train.grids.reshape(-1, features))
    return network


def _made(cells: int, features: int, text: dict[str, Any], config: CrossModalConfig) -> MklVisita:
    return MklVisita(
        cells,
        features,
        text=text,
        width=config.width,
        dim=config.dim,
        heads=config.heads,
        depth=config.depth,
        levels=config.levels,
        kernels=config.kernels,
        dropout=config.dropout,
        input_dropout=config.input_dropout,
    )


def _side_of_words(vocabulary: Vocabulary, config: CrossModalConfig) -> dict[str, Any]:
    words = {"vocabulary": len(vocabulary), "dropout": config.dropout}
    if config.text_side == "recurrent":
        return {"side": "recurrent", **words}
    blocks = {"heads": config.heads, "depth": config.text_depth}
    return {"side": "transformer", "longest": vocabulary.longest, **words, **blocks}


def _standardise(side: Any, rows: NDArray[np.float16]) -> None:
    # A hundred thousand rows tell mean and variance well enough.
    sample = rows[:: max(1, len(rows) // 100_000)].astype(np.float32)
    mean, scale = statistics(sample)
    side.mean.copy_(torch.from_numpy(mean))
    side.scale.copy_(torch.from_numpy(scale))


def _optimizer(network: MklVisita, config: CrossModalConfig) -> torch.optim.Optimizer:
    """Return what takes the steps; the weights of the kernels have a rate of their own."""
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.SGD
    kernels = set(network.kernels.parameters())
    rest = {
        "params": [parameter for parameter in network.parameters() if parameter not in kernels],
        "lr": config.learning_rate,
        "weight_decay": config.weight_decay,
    }
    # Decay would pull the weights of the kernels towards equal ones.
    layer = {
        "params": list(kernels),
        "lr": config.kernel_rate * config.learning_rate,
        "weight_decay": 0.0,
    }
    return kind([rest, layer])


def _step_count(train: CrossTensors, config: CrossModalConfig, team: Team) -> int:
    """Return how many steps all epochs have."""
    items: int = train.truth.shape[0]
    if config.loss in PAIR_LOSSES:
        items = pair_count(train.truth, config.texts_per_image)
    return config.epochs * -(-items // (config.batch * team.count))


def _losses(
    network: MklVisita,
    train: CrossTensors,
    config: CrossModalConfig,
    rng: np.random.Generator,
    team: Team,
) -> Losses:
    """Return what yields, for one epoch, each batch's loss and that of guessing."""
    kind = _labelled if config.loss in PAIR_LOSSES else _contrast
    return kind(network, train, loss_named(config.loss, config), config, rng, team)


def _contrast(
    network: MklVisita,
    train: CrossTensors,
    loss: Loss,
    config: CrossModalConfig,
    rng: np.random.Generator,
    team: Team,
) -> Losses:
    def epoch() -> Iterator[tuple[Tensor, float]]:
        order = rng.permutation(train.truth.shape[0])
        for start in range(0, len(order), config.batch * team.count):
            images = order[start : start + config.batch]
            texts, owners = drawn_texts(train.truth, images, config.texts_per_image, rng)
            if len(images) > 1:
                rows = images
                if train.views:
                    views = rng.integers(0, 1 + len(train.views), len(images))
                    rows = views * len(order) + images
                with team.mixed():
                    grids = network.image(_grids(network, train, rows, rng))
                    scores = _scores(network, grids, train.tokens, texts)[owners]
                same = torch.from_numpy(train.truth[images][:, texts].toarray())[owners]
                same = same.to(scores.device)
                yield loss(scores.float(), same), loss_of_guessing(loss, scores.float())

    return epoch


def _labelled(
    network: MklVisita,
    train: CrossTensors,
    loss: Loss,
    config: CrossModalConfig,
    rng: np.random.Generator,
    team: Team,
) -> Losses:
    labels = labels_of(train.truth, [view.made_of for view in train.views])
    images, count = train.truth.shape[0], config.texts_per_image

    def epoch() -> Iterator[tuple[Tensor, float]]:
        drawn = list(labelled_pairs(labels, images, count, config.batch, rng))
        for batch in drawn[: team.least(-(-len(drawn) // team.count))]:
            with team.mixed():
                grids = network.image(_grids(network, train, batch.views, rng))
                scores = network.score_pairs(grids, _texts(network, train.tokens, batch.texts))
            probabilities = network.probability(scores.float())
            wanted = torch.from_numpy(batch.labels).to(scores.device)
            guess = loss(torch.full_like(wanted, float(batch.labels.mean())), wanted).item()
            yield loss(probabilities, wanted), guess

    return epoch


def _refit(network: MklVisita, dev: CrossTensors, config: CrossModalConfig) -> None:
    """Refit the weights of the kernels on pairs of dev, half of them false."""
    rng = np.random.default_rng(config.seed)
    values, labels = [], []
    for batch in labelled_pairs(labels_of(dev.truth, []), dev.truth.shape[0], IMAGES, IMAGES, rng):
        with torch.inference_mode():
            grids = network.image(_grids(network, dev, batch.views))
            texts = _texts(network, dev.tokens, batch.texts)
        values.append(kernel_values(network.kernels, partial(network.score_pairs, grids, texts)))
        labels.append(batch.labels)
    refit(network.kernels, np.concatenate(values), np.concatenate(labels))


def _grids(
    network: MklVisita,
    train: CrossTensors,
    rows: NDArray[np.int64],
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Return float32 grids of the rows ``rows``, as ``labels_of`` numbers them.

    Where there are no further views, every other one, by chance, is mirrored if ``rng`` is
    given.
    """
    n, cells, d = train.grids.shape
    every = [train.grids, *(view.grids for view in train.views)]
    places = zip(*np.divmod(rows, n), strict=True)
    grids = np.stack([every[view][picture] for view, picture in places]).astype(np.float32)
    side = math.isqrt(cells)
    if rng and side * side == cells and not train.views:
        turned = rng.random(len(grids)) < 0.5
        square = grids[turned].reshape(-1, side, side, d)
        grids[turned] = square[:, :, ::-1].reshape(-1, cells, d)
    return torch.from_numpy(grids).to(_device(network))


def _texts(network: MklVisita, tokens: Tokens, rows: NDArray[np.int64]) -> Tensor:
    """Return texts packed."""
    values, mask = tokens.padded(rows)
    device = _device(network)
    return network.text(torch.from_numpy(values).to(device), torch.from_numpy(mask).to(device))


def _scores(network: MklVisita, images: Tensor, tokens: Tokens, texts: NDArray[np.int64]) -> Tensor:
    """Return the scores of packed pictures with texts, float32 (n, m)."""
    groups = _of_like_lengths(tokens, texts)
    scores = [network.score(images, _texts(network, tokens, texts[group])) for group in groups]
    return torch.cat(scores, 1)[:, np.argsort(np.concatenate(groups))]


def _of_like_lengths(tokens: Tokens, texts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the places of ``texts``, ``TEXTS`` at once, shortest first, so as to pad little."""
    order = np.argsort(np.diff(tokens.offsets)[texts], kind="stable")
    return [order[start : start + TEXTS] for start in range(0, len(order), TEXTS)]


def _device(network: MklVisita) -> torch.device:
    return network.slope.device


@torch.inference_mode()
def all_scores(network: MklVisita, pairs: CrossTensors) -> FloatArray:
    """Return the score of every picture with every text, float32 (n, m)."""
    grids, device = pairs.grids, _device(network)
    packed = [
        network.image(torch.from_numpy(grids[s : s + IMAGES].astype(np.float32)).to(device))
        for s in range(0, len(grids), IMAGES)
    ]
    scores = np.empty((len(grids), len(pairs.tokens)), np.float32)
    for texts in _of_like_lengths(pairs.tokens, np.arange(len(pairs.tokens))):
        read = _texts(network, pairs.tokens, texts)
        scores[:, texts] = (
            torch.cat([network.score(images, read) for images in packed]).cpu().numpy()
        )
    return scores
