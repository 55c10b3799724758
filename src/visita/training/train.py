"""Training anything: what, the class of the configuration says; how it begins and ends is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

from visita.arguments import expect
from visita.artifact import check_free
from visita.brief import Brief
from visita.data import Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, check_enough
from visita.data.seen import Seen
from visita.encoders.fitted import seen_by
from visita.evaluation.measure import caveats
from visita.training.calibrate import caveats_on_words, provenance
from visita.training.config import FusionConfig
from visita.training.loop import History, partial_folder, resumable
from visita.training.settings import Settings
from visita.types import Matcher

if TYPE_CHECKING:  # accelerate is slow to import, and vectors need no team
    from visita.training.devices import Team

TAKEN = (
    "config is a FusionConfig, PaperConfig, MklVisitaConfig or MklVisitaPaperConfig, or that of a "
    "baseline"
)
Saved = TypeVar("Saved")
TRAIN_AND_DEV = {"train": LEAST, "dev": LEAST}
NEAR_CHANCE = 0.98
OVERFIT = 0.03
"""Share of the best dev score lost by the last epoch."""


@dataclass(frozen=True, repr=False)
class Trained(Brief):
    """A trained matcher, where it is saved, and its numbers and warnings.

    Attributes
    ----------
    report : dict
        ``evaluate`` on dev, which also chose the best epoch: slightly optimistic.
    comparison : dict or None
        After adapting: R@K before and after on held-back images, and the paired difference.
    warnings : list of str
    seconds : float
        Training alone, features at hand.

    Examples
    --------
    >>> from visita.baselines import BASELINES
    >>> config = BASELINES.load("cca")(topics=5)
    >>> trained = visita.train("folder:mypairs", "by-cca", config=config)
    >>> trained.folder.name, trained.report["images"]
    ('by-cca', 6)
    """

    matcher: Matcher
    folder: Path
    report: dict[str, Any]
    comparison: dict[str, Any] | None
    warnings: list[str]
    seconds: float


@runtime_checkable
class Trainable(Protocol):
    """A configuration that a matcher is trained by."""

    trained_by: ClassVar[str]
    """The function that trains, as ``module:function``; it takes what ``train`` takes."""


def train(
    data: Data,
    out: str | Path,
    *,
    config: Trainable | None = None,
    features: str | Path | None = None,
) -> Trained:
    """Train a matcher on the train split, choose on dev, and save it in ``out``.

    The class of ``config`` says what is trained, by its ``trained_by``: ``FusionConfig``, visita's
    own recipe of vectors; ``PaperConfig``, the multi-level fusion paper's; ``MklVisitaConfig``,
    vectors and a second stage that re-ranks the first results; ``MklVisitaPaperConfig``, as the
    MKL-VisITA paper trains; those of ``visita.baselines.BASELINES``, a system that the papers
    compare with.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit the data or each other.
    TrainingError
        If training cannot go on.

    Examples
    --------
    >>> config = visita.FusionConfig(
    ...     epochs=1, image_levels={"efficientnet-lite2": ["head:avg"]}, class_names_weight=0
    ... )
    >>> trained = visita.train("folder:mypairs", "mine", config=config)
    >>> visita.load("mine").fingerprint() == trained.matcher.fingerprint()
    True
    """
    config = FusionConfig() if config is None else config
    expect(config, Trainable, TAKEN)
    module, _, function = config.trained_by.partition(":")
    trainer = getattr(import_module(module), function)
    trained: Trained = trainer(data, out, config=config, features=features)
    return trained


@dataclass(frozen=True, eq=False)
class Run:
    """One training, from the pairs to the folder that its result is saved in.

    Attributes
    ----------
    out : Path
    pairs : PairSet
    features : str, Path or None
        Where features are kept, if not in the cache.
    """

    out: Path
    pairs: PairSet
    features: str | Path | None

    @classmethod
    def begin(
        cls,
        data: Data,
        out: str | Path,
        seed: int,
        features: str | Path | None = None,
        *,
        least: Mapping[str, int] = TRAIN_AND_DEV,
        doing: str = "Training",
    ) -> Run:
        """Open the pairs, once ``out`` is free; ``least`` and ``doing`` as for ``check_enough``.

        Raises
        ------
        DataError
            If a split holds too few pairs.
        """
        check_free(Path(out).resolve())
        pairs = open_pairs(data, seed=seed)
        check_enough(pairs, least, doing)
        return cls(Path(out), pairs, features)

    @property
    def name(self) -> str:
        """What the result is called: as its folder."""
        return self.out.resolve().name

    @cached_property
    def train(self) -> PairSet:
        """Split train."""
        return self.pairs.take("train")

    @cached_property
    def dev(self) -> PairSet:
        """Split dev, where exact copies of a picture are as good as it."""
        return interchangeable(self.pairs.take("dev"))

    @cached_property
    def seen(self) -> Seen:
        """The pictures that are learnt from and chosen on."""
        return Seen.of(self.pairs)

    def facts(self, config: Settings, history: History) -> dict[str, Any]:
        """Return what ran, for the facts of what was learnt."""
        return {
            "config": config.model_dump(mode="json"),
            "dev_rsum": [round(score, 2) for score in history.scores()],
            **provenance(self.pairs),
        }

    @contextmanager
    def resumable(self, config: Settings, team: Team) -> Iterator[Path]:
        """Give the folder that a killed run goes on from; see ``loop.resumable``."""
        run = {"config": config.model_dump(mode="json"), "data": self.pairs.fingerprint()}
        out = self.out.resolve()
        with resumable(out, run) if team.is_main else nullcontext(partial_folder(out)) as folder:
            yield folder

    def save(self, matcher: Saved, history: History) -> Saved:
        """Save a matcher of any kind, with its loss curve, and return it.

        It keeps which pictures it saw: those of these pairs beside what it and its encoders had.
        """
        any_kind: Any = matcher
        seen = self.seen.joined(any_kind.seen).joined(seen_by(any_kind.recipe))
        any_kind = replace(any_kind, seen=seen)
        any_kind.save(self.out, beside=lambda draft: save_curve(history, draft / "curve.png"))
        return cast(Saved, any_kind)


def save_curve(history: History, path: Path) -> None:
    """Draw training loss and dev score by epoch into a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, needed once a run
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    numbers = [epoch.number for epoch in history.epochs]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    losses = figure.subplots()
    losses.plot(numbers, [epoch.loss for epoch in history.epochs], "o-", color="tab:blue")
    losses.set_xlabel("epoch")
    losses.set_ylabel("training loss", color="tab:blue")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    dev = history.scores()
    scores = losses.twinx()
    scores.plot([0, *numbers], dev, "s-", color="tab:orange")
    scores.set_ylabel("dev rsum", color="tab:orange")
    best = dev.index(max(dev))
    losses.set_title(f"kept: epoch {best}, dev rsum {dev[best]:.1f}")
    figure.savefig(path, dpi=120)


def warnings_of(history: History) -> list[str]:
    """Return what there is to look at, a sentence or none: collapse, no gain or overfitting."""
    if not history.epochs:
        return []
    last, best = history.epochs[-1], history.best()
    if last.loss > NEAR_CHANCE * last.chance:
        return [
            f"Training collapsed: the loss ({last.loss:.3f}) is that of guessing "
            f"({last.chance:.3f}). Lower learning_rate, or check that the pairs belong together."
        ]
    if best <= history.start:
        return [
            "Training did not improve on its start, which is kept. "
            "More pairs or a lower learning_rate may help."
        ]
    if last.dev < (1 - OVERFIT) * best and last.loss < history.epochs[0].loss:
        return [
            f"Training overfits: dev fell from {best:.1f} to {last.dev:.1f} while the loss went "
            "down. The best epoch is kept; more dropout or fewer epochs will do."
        ]
    return []


def warnings_about(matcher: Any, history: History) -> list[str]:
    """Return what there is to warn of, of the training and of what came of it."""
    return [*warnings_of(history), *caveats(matcher), *caveats_on_words(matcher)]
