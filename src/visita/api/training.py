"""Training anything: what, the class of the configuration says."""

from __future__ import annotations

from pathlib import Path
from types import NoneType

from visita.api import learning
from visita.api.baselines import train_baseline
from visita.api.learning import Trained
from visita.api.two_stage import train_two_stages
from visita.arguments import expect
from visita.baselines.baseline import Baseline
from visita.data import Data
from visita.training.config import FusionConfig, MklVisitaConfig, MklVisitaPaperConfig, PaperConfig

CONFIGS = (FusionConfig, PaperConfig, MklVisitaConfig, MklVisitaPaperConfig, Baseline)
TAKEN = (
    "config is a FusionConfig, PaperConfig, MklVisitaConfig or MklVisitaPaperConfig, or that of a "
    "baseline"
)


def train(
    data: Data,
    out: str | Path,
    *,
    config: FusionConfig
    | PaperConfig
    | MklVisitaConfig
    | MklVisitaPaperConfig
    | Baseline
    | None = None,
    features: str | Path | None = None,
) -> Trained:
    """Train a matcher on the train split, choose on dev, and save it in ``out``.

    The class of ``config`` says what is trained: ``FusionConfig``, visita's own recipe of
    vectors; ``PaperConfig``, the multi-level fusion paper's; ``MklVisitaConfig``, vectors and a
    closer look at the first results; ``MklVisitaPaperConfig``, as the MKL-VisITA paper trains;
    those of ``visita.baselines.BASELINES``, a system that the papers compare with.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit the data or each other.
    TrainingError
        If training cannot go on.
    """
    expect(config, (*CONFIGS, NoneType), TAKEN)
    if isinstance(config, MklVisitaConfig | MklVisitaPaperConfig):
        return train_two_stages(data, out, config=config, features=features)
    if isinstance(config, Baseline):
        return train_baseline(data, out, config=config, features=features)
    return learning.train(data, out, config=config, features=features)
