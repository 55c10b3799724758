"""Training an image encoder on pairs, from the data to the folder that it is saved in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Self

import numpy as np

from visita.arguments import expect
from visita.brief import Brief
from visita.data import Data, PairSet, decode
from visita.encoders.contract import Computed
from visita.encoders.fitted import install
from visita.encoders.quantize import PICTURES, Activations, measure_on
from visita.encoders.table import IMAGE_ENCODERS, TOPIC_MODELS
from visita.encoders.tuned import Heads, Resizable, TunedEncoder
from visita.encoders.weights import rounded, rounded_changes
from visita.errors import ConfigError
from visita.evaluation.retrieval import rsum_of_vectors
from visita.store.extract import pair_features
from visita.training.config import CLASSES, EndToEndConfig
from visita.training.devices import Team
from visita.training.end_to_end import Pictures, sizes_of, train_end_to_end
from visita.training.loop import History
from visita.training.pixels import Pixels
from visita.training.tensors import PairTensors, level_widths
from visita.training.train import Run, warnings_of
from visita.training.vectors import text_encoder_of
from visita.types import ImageEncoder, Recipe, TextEncoder


@dataclass(frozen=True, repr=False)
class TrainedEncoder(Brief):
    """A trained image encoder, where it is saved, and its numbers and warnings.

    Attributes
    ----------
    encoder : TunedEncoder
        Its ``name`` is what configurations call it.
    pictures : int
        How many of dev there are, which chose the epoch.
    before, after : float
        Their rsum by the heads on its levels, untrained and of the best epoch.
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
    """Train an image encoder on train through fusion heads, choose the epoch on dev, and save it.

    It is put into the cache too, where its name finds it, and travels inside every matcher that
    is trained with it; such a matcher saw the pictures that the encoder did. A run that was killed
    is resumed from the folder ``out.partial``.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit each other, or the encoder.
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
    base = _Base.open(config)  # what cannot be trained is refused before long work
    run = Run.begin(data, out, config.seed, features)
    team = Team(config.device, config.precision)
    with run.resumable(config, team) as partial:
        encoder, history, pictures, seconds = _learn(run, base, config, partial, team)

        def finish() -> None:
            encoder.seen = run.seen.joined(encoder.seen)
            encoder.save(run.out)
            install(encoder)

        team.shared(finish)
    scores = history.start, history.best()
    return TrainedEncoder(encoder, run.out, pictures, *scores, warnings_of(history), seconds)


@dataclass(frozen=True)
class _Base:
    """What training begins with: the encoder, its network of the recipe's levels, and the sizes."""

    encoder: ImageEncoder
    network: Any
    recipe: Recipe
    width: int
    """Of the levels that heads read."""
    sizes: tuple[int, ...]
    """Of the pictures in each epoch."""

    @classmethod
    def open(cls, config: EndToEndConfig) -> Self:
        """Return that of a configuration; raises as ``train_encoder`` does."""
        widths = level_widths(config)
        name, levels = config.pooled()
        encoder: ImageEncoder = IMAGE_ENCODERS.load(name)()
        if isinstance(encoder, Computed):
            raise ConfigError(f"{name} is computed without a network: there is nothing to train.")
        if config.distillation and CLASSES in encoder.level_shapes():
            levels = (*levels, CLASSES)
        network = encoder.network(levels)
        return cls(
            encoder,
            network,
            Recipe({name: levels}, config.mirror),
            sum(width for level, width in widths if level != CLASSES),
            sizes_of(network, encoder.side, config),
        )

    def reader(self) -> ImageEncoder:
        """Return what prepares pictures: of the size of the last epoch, where it reads others."""
        last = self.sizes[-1] if self.sizes else self.encoder.side
        return self.encoder.at(last) if isinstance(self.encoder, Resizable) else self.encoder

    def pictures(self, pairs: PairSet, text: TextEncoder, features: str | Path | None) -> Pictures:
        """Return what is learnt from."""
        read = pair_features(pairs, self.recipe, text, features)
        pixels = Pixels(self.reader(), read.pairs.image_paths)
        return Pictures(pixels, PairTensors.of(read, self.recipe), self.width)

    def learnt(self, heads: Heads | None, paths: Sequence[Path]) -> TunedEncoder:
        """Return an encoder of the weights that the network has now; int8 is measured on pictures.

        What is learnt of a trained encoder is added to what that one learnt.
        """
        [name] = self.recipe.levels
        start = self.encoder
        origin, seen = (start.base, start.seen) if isinstance(start, TunedEncoder) else (name, None)
        plain: ImageEncoder = IMAGE_ENCODERS.load(origin)()
        untrained = dict(plain.network(self.recipe.levels[name]).named_parameters())
        changes = {
            key: (weight - untrained[key]).detach().numpy()
            for key, weight in self.network.named_parameters()
            if not weight.equal(untrained[key])
        }
        side = self.reader().side
        encoder = TunedEncoder(origin, rounded_changes(changes), side=side, heads=heads, seen=seen)
        encoder.activations = _activations(encoder, paths)
        return encoder


def _learn(
    run: Run, base: _Base, config: EndToEndConfig, partial: Path, team: Team
) -> tuple[TunedEncoder, History, int, float]:
    """Return the encoder, what happened, how many pictures of dev chose, and the seconds."""
    text = text_encoder_of(config, run.pairs)
    with team.main_first():
        train, dev = (base.pictures(pairs, text, run.features) for pairs in (run.train, run.dev))
    validate = rsum_of_vectors(dev.tensors.truth)
    started = time.perf_counter()
    network, history = train_end_to_end(
        base.network, train, dev, base.sizes, validate, config, resume=partial
    )
    seconds = time.perf_counter() - started
    heads = None
    if text.name not in TOPIC_MODELS:  # one that is fitted anew has other topics
        arguments = network.arguments
        tensors = rounded({name: x.numpy() for name, x in network.state_dict().items()})
        heads = Heads(config.pooled()[1], text.name, tuple(text.levels), arguments, tensors)
    paths = run.train.image_paths
    some = np.random.default_rng(config.seed).permutation(len(paths))[:PICTURES]
    encoder = base.learnt(heads, [paths[row] for row in some])
    return encoder, history, len(dev.pixels), seconds


def _activations(encoder: TunedEncoder, paths: Sequence[Path]) -> Activations | None:
    """Return what int8 goes by, measured on pictures; None where the network has no such graph."""
    if encoder.graph is None or CLASSES not in encoder.level_shapes():
        return None
    return measure_on(encoder.graph, [encoder.prepare(decode(path)) for path in paths])
