"""The loss curve as a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from scipy import sparse

from visita.artifact import check_free
from visita.brief import Brief
from visita.data import Data, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, PairSet, check_enough
from visita.encoders.table import TEXT_ENCODERS, TOPIC_MODELS
from visita.encoders.topics.corpus import read_corpus
from visita.errors import UnknownNameError, did_you_mean
from visita.evaluation import best_ranks, dot_blocks, evaluate_vectors, recall_sum
from visita.evaluation.measure import TOPICS_FROM, caveats, vectors
from visita.evaluation.rerank import vector_pair_scores
from visita.matchers.embed import JointMatcher
from visita.matchers.scaled import ScaledMatcher
from visita.store.extract import PairFeatures, pair_features, text_features
from visita.training.calibrate import calibrate, caveats_on_words, learn_words, provenance
from visita.training.config import FeatureConfig, FusionConfig, LoopConfig, PaperConfig
from visita.training.fusion import train_fusion
from visita.training.loop import History
from visita.training.paper import train_paper
from visita.training.scaling import scaled_on, vectors_of
from visita.training.tensors import PairTensors, level_widths
from visita.training.words import keyword_pairs
from visita.types import FloatArray, Matcher, Recipe, TextEncoder


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
    scores = losses.twinx()
    dev = [history.start, *(epoch.dev for epoch in history.epochs)]
    scores.plot([0, *numbers], dev, "s-", color="tab:orange")
    scores.set_ylabel("dev rsum", color="tab:orange")
    best = dev.index(max(dev))
    losses.set_title(f"kept: epoch {best}, dev rsum {dev[best]:.1f}")
    figure.savefig(path, dpi=120)


NEAR_CHANCE = 0.98
OVERFIT = 0.03
"""Share of the best dev score lost by the last epoch."""


def warnings_of(history: History) -> list[str]:
    """Return one sentence for each thing to look at: collapse, no gain, overfitting."""
    if not history.epochs:
        return []
    last, best = history.epochs[-1], history.best()
    found = []
    if last.loss > NEAR_CHANCE * last.chance:
        found.append(
            f"Training collapsed: the loss ({last.loss:.3f}) is that of guessing "
            f"({last.chance:.3f}). Lower learning_rate, or check that the pairs belong together."
        )
    elif best <= history.start:
        found.append(
            "Training did not improve on its start, which is kept. "
            "More pairs or a lower learning_rate may help."
        )
    elif last.dev < (1 - OVERFIT) * best and last.loss < history.epochs[0].loss:
        found.append(
            f"Training overfits: dev fell from {best:.1f} to {last.dev:.1f} while the loss went "
            "down. The best epoch is kept; more dropout or fewer epochs will do."
        )
    return found


LAYERS = 4
"""As many as the default reads of MiniLM."""


def text_encoder_of(config: FeatureConfig, pairs: PairSet) -> TextEncoder:
    """Return the configuration's text encoder; a topic model is fitted first.

    Without ``topic_corpus`` it is fitted on the training texts of ``pairs`` only, or, where
    ``topics_from`` asks for it, on all of them.

    Raises
    ------
    UnknownNameError
        If there is no such encoder, topic model or level.
    ConfigError
        If the texts do not hold so many topics.
    DataError
        If the corpus cannot be read.
    """
    name = config.text_encoder
    encoder: TextEncoder
    if name in TOPIC_MODELS:
        encoder = TOPIC_MODELS.load(name).fit(
            _texts_to_fit_on(config, pairs), config.topics, config.seed
        )
    elif name in TEXT_ENCODERS:
        encoder = TEXT_ENCODERS.load(name)(config.text_levels)
    else:
        known = (*TEXT_ENCODERS.names(), *TOPIC_MODELS.names())
        raise UnknownNameError(
            f"No text encoder is called {name!r}.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}."
        )
    return encoder


def token_levels(encoder: str) -> tuple[str, ...]:
    """Return the levels whose tokens a closer look reads best: the last four layers.

    Raises
    ------
    UnknownNameError
        If there is no such encoder.
    """
    opened = TEXT_ENCODERS.load(encoder)()
    layers: tuple[str, ...] = getattr(opened, "layers", opened.levels)
    return layers[-LAYERS:]


def _texts_to_fit_on(config: FeatureConfig, pairs: PairSet) -> Sequence[str]:
    if config.topic_corpus:
        return read_corpus(config.topic_corpus)
    return pairs.texts if config.topics_from == "all" else pairs.take("train").texts


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


def train_vectors(
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
