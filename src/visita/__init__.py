"""visita matches images and texts: train, measure, search.

The public names are below; ``docs/api.md`` has a line on each. Importing visita does no
work: a name's module is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visita.api.adapting import adapt
    from visita.api.answering import Choice, answer
    from visita.api.captioning import Caption, Captioner
    from visita.api.comparing import compare
    from visita.api.end_to_end import TrainedEncoder, train_encoder
    from visita.api.explaining import explain
    from visita.api.finding import Finder, Gallery, find, find_like
    from visita.api.fusing import Fused, fuse
    from visita.api.learning import Trained
    from visita.api.measuring import evaluate
    from visita.api.past import Past
    from visita.api.recommending import Recommendation, recommend
    from visita.api.reproducing import reproduce
    from visita.api.robustness import robustness
    from visita.api.training import train
    from visita.data import PairSet, open_pairs
    from visita.errors import VisitaError
    from visita.experiments.explanation import Explanation
    from visita.matchers import load
    from visita.search.matches import Match, Matches
    from visita.training.config import (
        AdaptConfig,
        EndToEndConfig,
        FusionConfig,
        MklVisitaConfig,
        MklVisitaPaperConfig,
        PaperConfig,
    )
    from visita.vectors import unit_and_length

    __version__: str

__all__ = [
    "AdaptConfig",
    "Caption",
    "Captioner",
    "Choice",
    "EndToEndConfig",
    "Explanation",
    "Finder",
    "Fused",
    "FusionConfig",
    "Gallery",
    "Match",
    "Matches",
    "MklVisitaConfig",
    "MklVisitaPaperConfig",
    "PairSet",
    "PaperConfig",
    "Past",
    "Recommendation",
    "Trained",
    "TrainedEncoder",
    "VisitaError",
    "__version__",
    "adapt",
    "answer",
    "compare",
    "evaluate",
    "explain",
    "find",
    "find_like",
    "fuse",
    "load",
    "open_pairs",
    "recommend",
    "reproduce",
    "robustness",
    "train",
    "train_encoder",
    "unit_and_length",
]

_MODULES = {
    "AdaptConfig": "visita.training.config",
    "Caption": "visita.api.captioning",
    "Captioner": "visita.api.captioning",
    "Choice": "visita.api.answering",
    "EndToEndConfig": "visita.training.config",
    "Explanation": "visita.experiments.explanation",
    "Finder": "visita.api.finding",
    "Fused": "visita.api.fusing",
    "FusionConfig": "visita.training.config",
    "Gallery": "visita.api.finding",
    "Match": "visita.search.matches",
    "Matches": "visita.search.matches",
    "MklVisitaConfig": "visita.training.config",
    "MklVisitaPaperConfig": "visita.training.config",
    "PairSet": "visita.data",
    "PaperConfig": "visita.training.config",
    "Past": "visita.api.past",
    "Recommendation": "visita.api.recommending",
    "Trained": "visita.api.learning",
    "TrainedEncoder": "visita.api.end_to_end",
    "VisitaError": "visita.errors",
    "adapt": "visita.api.adapting",
    "answer": "visita.api.answering",
    "compare": "visita.api.comparing",
    "evaluate": "visita.api.measuring",
    "explain": "visita.api.explaining",
    "find": "visita.api.finding",
    "find_like": "visita.api.finding",
    "fuse": "visita.api.fusing",
    "load": "visita.matchers",
    "open_pairs": "visita.data",
    "recommend": "visita.api.recommending",
    "reproduce": "visita.api.reproducing",
    "robustness": "visita.api.robustness",
    "train": "visita.api.training",
    "train_encoder": "visita.api.end_to_end",
    "unit_and_length": "visita.vectors",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("visita")
    if name not in _MODULES:
        raise AttributeError(f"module 'visita' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
