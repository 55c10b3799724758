"""visita matches images and texts: train, measure, search.

The public names are below; ``docs/api.md`` has a line on each. Importing visita does no
work: a name's module is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from visita.errors import extras_named

if TYPE_CHECKING:
    from visita.data import PairSet, open_pairs
    from visita.errors import VisitaError
    from visita.evaluation.measure import evaluate
    from visita.gallery.filter import Filter
    from visita.matchers import load
    from visita.papers.reproduce import reproduce
    from visita.reports.compare import compare
    from visita.reports.robustness import robustness
    from visita.search.algebra import Term, terms_of
    from visita.search.answer import Choice, answer
    from visita.search.caption import Caption, Captioner
    from visita.search.explain import Explanation, explain
    from visita.search.finder import Finder
    from visita.search.galleries import Gallery, find, find_like
    from visita.search.matches import Match, Matches
    from visita.search.past import Past
    from visita.search.recommend import Recommendation, recommend
    from visita.serve.client import Client
    from visita.training.adapt import adapt
    from visita.training.config import (
        AdaptConfig,
        EndToEndConfig,
        FusionConfig,
        LanguagesConfig,
        PaperConfig,
    )
    from visita.training.encoder import TrainedEncoder, train_encoder
    from visita.training.fuse import Fused, fuse
    from visita.training.languages import TaughtLanguages, teach_languages
    from visita.training.mkl_config import MklVisitaConfig, MklVisitaPaperConfig
    from visita.training.train import Trained, train
    from visita.vectors import unit_and_length

    __version__: str

__all__ = [
    "AdaptConfig",
    "Caption",
    "Captioner",
    "Choice",
    "Client",
    "EndToEndConfig",
    "Explanation",
    "Filter",
    "Finder",
    "Fused",
    "FusionConfig",
    "Gallery",
    "LanguagesConfig",
    "Match",
    "Matches",
    "MklVisitaConfig",
    "MklVisitaPaperConfig",
    "PairSet",
    "PaperConfig",
    "Past",
    "Recommendation",
    "TaughtLanguages",
    "Term",
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
    "teach_languages",
    "terms_of",
    "train",
    "train_encoder",
    "unit_and_length",
]

_MODULES = {
    "AdaptConfig": "visita.training.config",
    "Caption": "visita.search.caption",
    "Captioner": "visita.search.caption",
    "Choice": "visita.search.answer",
    "Client": "visita.serve.client",
    "EndToEndConfig": "visita.training.config",
    "Explanation": "visita.search.explain",
    "Filter": "visita.gallery.filter",
    "Finder": "visita.search.finder",
    "Fused": "visita.training.fuse",
    "FusionConfig": "visita.training.config",
    "Gallery": "visita.search.galleries",
    "LanguagesConfig": "visita.training.config",
    "Match": "visita.search.matches",
    "Matches": "visita.search.matches",
    "MklVisitaConfig": "visita.training.mkl_config",
    "MklVisitaPaperConfig": "visita.training.mkl_config",
    "PairSet": "visita.data",
    "PaperConfig": "visita.training.config",
    "Past": "visita.search.past",
    "Recommendation": "visita.search.recommend",
    "TaughtLanguages": "visita.training.languages",
    "Term": "visita.search.algebra",
    "Trained": "visita.training.train",
    "TrainedEncoder": "visita.training.encoder",
    "VisitaError": "visita.errors",
    "adapt": "visita.training.adapt",
    "answer": "visita.search.answer",
    "compare": "visita.reports.compare",
    "evaluate": "visita.evaluation.measure",
    "explain": "visita.search.explain",
    "find": "visita.search.galleries",
    "find_like": "visita.search.galleries",
    "fuse": "visita.training.fuse",
    "load": "visita.matchers",
    "open_pairs": "visita.data",
    "recommend": "visita.search.recommend",
    "reproduce": "visita.papers.reproduce",
    "robustness": "visita.reports.robustness",
    "teach_languages": "visita.training.languages",
    "terms_of": "visita.search.algebra",
    "train": "visita.training.train",
    "train_encoder": "visita.training.encoder",
    "unit_and_length": "visita.vectors",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("visita")
    if name not in _MODULES:
        raise AttributeError(f"module 'visita' has no attribute {name!r}")
    with extras_named(f"visita.{name}"):
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
