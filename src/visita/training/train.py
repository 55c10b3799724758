"""Training anything: what, the class of the configuration says."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from visita.arguments import expect
from visita.data import Data
from visita.training.config import FusionConfig
from visita.training.learn import Trained

TAKEN = (
    "config is a FusionConfig, PaperConfig, MklVisitaConfig or MklVisitaPaperConfig, or that of a "
    "baseline"
)


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
