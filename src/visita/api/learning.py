"""Training a matcher on pairs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from scipy import sparse

from visita.api.both_stages import vector_pair_scores
from visita.api.finishing import calibrate, caveats_on_words, learn_words, provenance
from visita.api.measuring import TOPICS_FROM, caveats, vectors
from visita.artifact import check_free
from visita.brief import Brief
from visita.data import Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, check_enough
from visita.encoders.table import TOPIC_MODELS
from visita.evaluation import best_ranks, dot_blocks, evaluate_vectors, recall_sum
from visita.matchers.joint import JointMatcher
from visita.matchers.scaled import ScaledMatcher
from visita.store.extract import PairFeatures, pair_features, text_features
from visita.training.config import FeatureConfig, FusionConfig, LoopConfig, PaperConfig
from visita.training.curve import save_curve
from visita.training.fusion import train_fusion
from visita.training.keywords import keyword_pairs
from visita.training.loop import History
from visita.training.paper import train_paper
from visita.training.scaling import scaled_on, vectors_of
from visita.training.spans import level_widths
from visita.training.tensors import PairTensors
from visita.training.texts import text_encoder_of
from visita.training.watch import warnings_of
from visita.types import FloatArray, Matcher, Recipe, TextEncoder

Learnt = JointMatcher | ScaledMatcher
"""What training on pairs alone gives; ``Matcher``s both, with fields to set."""


@dataclass(frozen=True, repr=False)
class Trained(Brief):
    """A trained matcher, where it is saved, and what is to be said about it.

    Attributes
    ----------
    report : dict
        ``evaluate`` on dev, which also chose the best epoch: a little too good.
    comparison : dict or None
        After adapting: R@K before and after on held-back images, and the paired difference.
    warnings : list of str
    seconds : float
        Training alone, features at hand.
    """

    matcher: Matcher
    folder: Path
    report: dict[str, Any]
    comparison: dict[str, Any] | None
    warnings: list[str]
    seconds: float


def train(
    data: Data,
    out: str | Path,
    *,
    config: FusionConfig | PaperConfig | None = None,
    features: str | Path | None = None,
) -> Trained:
    """Train a matcher on the train split, choose on dev, and save it in ``out``.

    The class of ``config`` says what is trained: ``FusionConfig``, visita's own recipe, or
    ``PaperConfig``, the multi-level fusion paper's.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit the data or each other.
    TrainingError
        If training cannot go on.
    """
    config = config or FusionConfig()
    level_widths(config)  # what cannot be fused is refused before long work
    check_free(Path(out).resolve())
    pairs = open_pairs(data, seed=config.seed)
    check_enough(pairs, {"train": LEAST, "dev": LEAST}, "Training")
    text = text_encoder_of(config, pairs)
    train_pairs = pairs.take("train")  # refuses an empty split before long work
    dev = pair_features(interchangeable(pairs.take("dev")), config.recipe(), text, features)
    name = Path(out).resolve().name
    matcher, history, seconds = learn(
        name, train_pairs, dev, config, text, features, config.recipe()
    )
    embedded = vectors(matcher, dev)
    finished = replace(
        matcher,
        facts={**facts_of(config, history, pairs), **topic_facts(config)},
        **calibrate(matcher, dev.pairs, embedded, config.seed),
    )
    report = report_on(finished, dev, embedded, config.seed)
    finished.save(Path(out), beside=lambda draft: save_curve(history, draft / "curve.png"))
    warnings = [*warnings_of(history), *caveats(finished), *caveats_on_words(finished)]
    return Trained(finished, Path(out), report, None, warnings, seconds)


def learn(
    name: str,
    pairs: PairSet,
    dev: PairFeatures,
    config: FusionConfig | PaperConfig,
    text: TextEncoder,
    features: str | Path | None,
    stored: Recipe,
) -> tuple[Learnt, History, float]:
    """Return the matcher, what happened and the seconds it took, features not counted.

    ``stored`` is the recipe that the features are kept with, the configuration's or more of
    it. Those of the training pairs, hundreds of megabytes, live here alone.
    """
    learnt = pair_features(pairs, stored, text, features)
    started = time.perf_counter()
    readable, tensors = learnt.pairs, PairTensors.of(learnt, config.recipe())
    del learnt
    dev_tensors = PairTensors.of(dev, config.recipe())
    run = name, tensors, dev_tensors, rsum_on(dev_tensors.truth)
    matcher: Learnt
    if isinstance(config, PaperConfig):
        matcher, history = train_paper(*run, config, text)
    else:
        keywords = _keywords(readable, tensors, config, text, features)
        found, history = train_fusion(*run, config, text, keywords)
        matcher = scaled_on(found, tensors, dev_tensors, run[-1], config)
    seen, _ = vectors_of(matcher, replace(tensors, texts=tensors.texts[:1]))  # images alone
    matcher = replace(matcher, words=learn_words(matcher, readable, seen))
    return matcher, history, time.perf_counter() - started


def _keywords(
    pairs: PairSet,
    train: PairTensors,
    config: FusionConfig,
    text: TextEncoder,
    features: str | Path | None,
) -> PairTensors | None:
    """Return short texts for the images of ``train``, or None where there are none."""
    drawn = keyword_pairs(pairs, config.keywords_per_image, config.seed)
    if not drawn.texts:
        return None
    texts = text_features(drawn.texts, text, features)
    return PairTensors(train.images, texts.pooled(), drawn.truth)


def topic_facts(config: FeatureConfig) -> dict[str, str]:
    """Return which texts a topic model was fitted on; nothing where there is none."""
    if config.text_encoder not in TOPIC_MODELS:
        return {}
    return {TOPICS_FROM: "corpus" if config.topic_corpus else config.topics_from}


def rsum_on(truth: sparse.csr_array) -> Callable[[FloatArray, FloatArray], float]:
    """Return what maps vectors of images (n, d) and texts (m, d) to their rsum."""
    mirrored = truth.T.tocsr()

    def rsum(images: FloatArray, texts: FloatArray) -> float:
        ranks = (
            best_ranks(dot_blocks(images, texts), truth),
            best_ranks(dot_blocks(texts, images), mirrored),
        )
        return recall_sum(*ranks)

    return rsum


def facts_of(config: LoopConfig, history: History, pairs: PairSet) -> dict[str, Any]:
    """Return what ran, for the facts of what was learnt."""
    return {
        "config": config.model_dump(mode="json"),
        "dev_rsum": [round(s, 2) for s in (history.start, *(e.dev for e in history.epochs))],
        **provenance(pairs),
    }


def report_on(
    matcher: Matcher, dev: PairFeatures, embedded: tuple[FloatArray, FloatArray], seed: int
) -> dict[str, Any]:
    """Return what ``evaluate`` says of the matcher on dev, of which these are its vectors."""
    truth = dev.pairs.truth.tocsr()
    told = partial(vector_pair_scores, matcher, embedded, dev.pairs.texts)
    threshold = matcher.threshold
    return evaluate_vectors(*embedded, truth, threshold=threshold, pair_scores=told, seed=seed)
