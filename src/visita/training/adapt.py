"""Learning from a user's own pairs on top of a trained matcher, which stays one of the kernels.

What is learnt is a small network on the matcher's vectors, and the weight of its similarity
beside the untouched one of the matcher. So nothing but cached features is needed, and few pairs
teach it much; see *Adapting* in ``docs/notebook.md``. The matcher is one of visita's own, or two
frozen towers such as CLIP's.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from scipy import sparse

from visita.arguments import expect
from visita.data import Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST
from visita.errors import ConfigError
from visita.evaluation import retrieval
from visita.evaluation.gain import compared
from visita.evaluation.measure import TOPICS_FROM, features_for, vectors
from visita.evaluation.retrieval import rsum_of_vectors
from visita.matchers import opened
from visita.matchers.base import WordMatcher
from visita.matchers.combine import FusedMatcher, ScaledMatcher
from visita.matchers.embed import JointMatcher
from visita.matchers.pretrained import DualMatcher
from visita.networks.fusion import FusionNetwork, JointSpace, Tower
from visita.networks.part import Part
from visita.store.extract import PairFeatures
from visita.training.calibrate import calibrated, learn_words
from visita.training.config import AdaptConfig
from visita.training.loop import History
from visita.training.scaling import bank_rows, filled, locally_scaled, scaled_by
from visita.training.tensors import PairTensors, Spans, as_matcher, whole_space
from visita.training.train import TRAIN_AND_DEV, Run, Trained, warnings_about
from visita.training.tuning import Validate, Vectors, embed, train_network
from visita.training.wrong import beside, judged_by, kept_apart, of_split, on_its_side
from visita.types import FloatArray, Matcher, Recipe
from visita.vectors import join

MAX_DIM = 1024
HIDDEN = 1024
DROPOUT, INPUT_DROPOUT = 0.3, 0.2
MIXES = (0.0, 0.25, 0.5, 0.75)
"""Weights of the learnt kernel that are tried on dev; at 0 the base stays as it was."""
Unscaled = JointMatcher | FusedMatcher | DualMatcher
Adapted = Unscaled | ScaledMatcher


def adapt(
    base: Matcher | str | Path,
    data: Data,
    out: str | Path,
    *,
    config: AdaptConfig | None = None,
    features: str | Path | None = None,
    wrong: Data | None = None,
) -> Trained:
    """Learn from your own pairs on top of ``base`` and save the result in ``out``.

    ``wrong`` are pairs that do not belong together, such as refused results: they are learnt to
    score less than true ones. Each is on the side of its picture and text in ``data``.

    The base's untouched similarity stays one of the kernels; the comparison is on images
    that neither training nor choosing saw (split test), or on dev where there is no test. The
    encoders of a pretrained matcher stay as they are, and so does its second stage.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the base cannot be adapted.

    Examples
    --------
    >>> config = visita.AdaptConfig(epochs=1)
    >>> adapted = visita.adapt("visita-small", "folder:mypairs", "tuned", config=config)
    >>> adapted.comparison["split"], sorted(adapted.comparison["difference"])
    ('test', ['image_to_text', 'rsum', 'text_to_image'])
    """
    expect(config, (AdaptConfig, NoneType), "config is an AdaptConfig")
    config = config or AdaptConfig()
    original = opened(base)
    start: Any = original.adaptable()
    pairs = open_pairs(data, seed=config.seed)
    held_back = "test" if pairs.splits()["test"] else "dev"
    least = {**TRAIN_AND_DEV, held_back: LEAST}
    run = Run.begin(pairs, out, config.seed, features, least=least, doing="Adapting")
    used = features_for(start, interchangeable(pairs), features)
    refused = _refused(start, pairs, wrong, config.seed, features)
    started = time.perf_counter()
    train, dev = used.take("train"), used.take("dev")
    kept = of_split(refused, "train"), of_split(refused, "dev")
    learnt, history, weight = _learnt(run.name, start.unscaled, train, dev, kept, config)
    adapted = _scaled(start, learnt, train, dev, config)
    validate = judged_by(_tensors(dev, kept[1], start.recipe))
    before, after = (_both(matcher, dev, kept[1]) for matcher in (start, adapted))
    if validate(*before) >= validate(*after):
        adapted, after, weight = start, before, 0.0
    pictures, sentences = dev.pairs.truth.shape
    embedded = after[0][:pictures], after[1][:sentences]
    if isinstance(adapted, WordMatcher):
        images = adapted.embed_images(train.columns)
        words = learn_words(adapted, train.pairs, images, start.words)
        adapted = replace(adapted, words=words)
    seconds = time.perf_counter() - started
    apart = of_split(refused, held_back)
    comparison = _compare(start, adapted, used.take(held_back), apart, weight, config.seed)
    comparison["wrong"] = len(kept[0].pairs) if kept[0] else 0
    inherited = {key: start.facts[key] for key in (TOPICS_FROM,) if key in start.facts}
    facts = {**run.facts(config, history), "base": start.fingerprint(), **inherited}
    adapted = replace(adapted, name=run.name)
    adapted, report = calibrated(adapted, dev, embedded, config.seed, facts)
    warnings = warnings_about(adapted, history)
    matcher: Any = adapted
    if original.reranker:
        ranked: Any = original
        matcher = replace(ranked, name=run.name, first=adapted, facts=adapted.facts)
        warnings.append(
            "The numbers are of the vectors, which were adapted. The image-text head, which "
            f"re-ranks the first {original.depth}, is the one that it was."
        )
    matcher = run.save(replace(matcher, seen=original.seen), history)
    return Trained(matcher, run.out, report, comparison, warnings, seconds)


def _scaled(
    start: Any, learnt: Unscaled, train: PairFeatures, dev: PairFeatures, config: AdaptConfig
) -> Adapted:
    """Return what was learnt, with local scaling.

    What had it keeps it, its bank beside one's own pairs: whether it helps is more than a few
    pictures of dev can tell. What had none gets it where that is better on dev.
    """
    images, texts = bank_rows(train.pairs.truth.tocsr(), config.seed)
    of_train, of_dev = vectors(learnt, train), vectors(learnt, dev)
    own = of_train[0][images], of_train[1][texts]
    base = start.unscaled
    if config.neighbours and base is not start and isinstance(learnt, JointMatcher):
        bank = filled(own, vectors_from_base(learnt, base, start.bank), config.seed)
        return scaled_by(learnt, bank, of_dev, config.neighbours)
    validate = rsum_of_vectors(dev.pairs.truth.tocsr())
    return locally_scaled(learnt, own, of_dev, validate, config.neighbours)


def _learnt(
    name: str,
    base: JointMatcher | DualMatcher,
    train: PairFeatures,
    dev: PairFeatures,
    wrong: tuple[PairFeatures | None, PairFeatures | None],
    config: AdaptConfig,
) -> tuple[Unscaled, History, float]:
    """Return the adapted matcher, what happened, and the weight of the learnt kernel.

    ``wrong`` are the refused pairs of train and of dev.
    """
    of_train, of_dev = (
        _tensors(pairs, refused, base.recipe)
        for pairs, refused in zip((train, dev), wrong, strict=True)
    )
    validate = judged_by(of_dev)
    if isinstance(base, JointMatcher):
        return adapt_joint(name, base, of_train, of_dev, validate, config)
    of_base = _both(base, dev, wrong[1])
    return adapt_frozen(name, base, of_train, of_dev, of_base, validate, config)


def _refused(
    start: Any, pairs: PairSet, wrong: Data | None, seed: int, features: str | Path | None
) -> PairFeatures | None:
    """Return the features of pairs that were marked wrong; None where none is of use."""
    if wrong is None:
        return None
    refused = on_its_side(open_pairs(wrong, seed=seed), pairs)
    return features_for(start, refused, features) if len(refused) else None


def _tensors(pairs: PairFeatures, wrong: PairFeatures | None, recipe: Recipe) -> PairTensors:
    refused = None if wrong is None else PairTensors.of(wrong, recipe)
    return beside(PairTensors.of(pairs, recipe), refused)


def _both(matcher: Matcher, pairs: PairFeatures, wrong: PairFeatures | None) -> Vectors:
    """Return the vectors of pairs, and after them those of wrong ones."""
    each = [vectors(matcher, part) for part in (pairs, wrong) if part is not None]
    images, texts = (np.concatenate(sides) for sides in zip(*each, strict=True))
    return images, texts


def adapt_joint(
    name: str,
    base: JointMatcher,
    train: PairTensors,
    dev: PairTensors,
    validate: Validate,
    config: AdaptConfig,
) -> tuple[JointMatcher, History, float]:
    """Return the adapted matcher, what happened, and the weight of the learnt kernel.

    A network that reads the base's vectors learns on ``train``; the base's untouched similarity
    and its own are then joined with the weights that do best on dev. A topic model stays what it
    is.

    Raises
    ------
    ConfigError
        If the base was adapted already.
    TrainingError
        If the loss stops being a number.
    """
    space = base.network()
    if 2 * space.dim > MAX_DIM:
        raise ConfigError(
            f"{base.name!r} was adapted already, and its vectors would grow past {MAX_DIM} "
            "numbers: adapt its own base again, on all pairs together."
        )
    spans = Spans.whole(space.image_features, space.text_features)
    of_train, of_dev = embed(space, train, spans), embed(space, dev, spans)
    chosen_on = _read(of_dev, dev)
    network, history = learn_head(_read(of_train, train), chosen_on, validate, config)
    learnt = embed(network, chosen_on, Spans.whole(space.dim, space.dim))
    weight = best_mix(of_dev, learnt, validate)
    if weight == 0:
        return base, history, weight
    joined = _joined(space, network, weight)
    return as_matcher(name, joined, base.recipe, base.open_text_encoder()), history, weight


def adapt_frozen(
    name: str,
    base: DualMatcher,
    train: PairTensors,
    dev: PairTensors,
    of_base: Vectors,
    validate: Validate,
    config: AdaptConfig,
) -> tuple[DualMatcher | FusedMatcher, History, float]:
    """Return the adapted matcher, what happened, and the weight of the learnt kernel.

    The base itself where no weight above 0 is better on dev. Else the vectors are twice as long.

    Parameters
    ----------
    of_base
        The base's vectors of dev.

    Raises as ``loop.fit`` does.
    """
    network, history = learn_head(train, dev, validate, config)
    spans = Spans.whole(train.images.shape[-1], train.texts.shape[-1])
    space = whole_space(network, "fusion", spans.fusion[1], spans.text[1])
    learnt = as_matcher(f"{name}-tuned", space, base.recipe, base.open_text_encoder())
    # Dev decides about the weights that are saved, which are rounded to half precision.
    weight = best_mix(of_base, embed(learnt.network(), dev, spans), validate)
    if weight == 0:
        return base, history, weight
    fused = FusedMatcher(name=name, parts=(base, learnt), weights=(1 - weight, weight))
    return fused, history, weight


def learn_head(
    train: PairTensors, dev: PairTensors, validate: Validate, config: AdaptConfig
) -> tuple[FusionNetwork, History]:
    """Return the network that reads vectors, equally wide on both sides, and what happened.

    Raises as ``loop.fit`` does.
    """
    network = from_the_means(train, config.seed)
    spans = Spans.whole(train.images.shape[-1], train.texts.shape[-1])
    return network, train_network(network, train, dev, spans, validate, config)


def from_the_means(train: PairTensors, seed: int) -> FusionNetwork:
    """Return a network that starts from the cosine around the mean picture and the mean text.

    Those are taken off: pictures and texts lie apart in the space of two towers, and pairs of one
    topic in a corner of it. What is learnt is added to what is left.
    """
    torch.manual_seed(seed)
    width = train.texts.shape[-1]
    network = FusionNetwork(
        width, width, dim=width, hidden=HIDDEN, dropout=DROPOUT, input_dropout=INPUT_DROPOUT
    )
    _centre(network.image_tower, train.images.reshape(-1, width))
    _centre(network.text_tower, train.texts)
    return network


def best_mix(base: Vectors, learnt: Vectors, validate: Validate) -> float:
    """Return the weight of the learnt kernel, of ``MIXES``, with which dev is best."""
    scores = [
        validate(*(join(side, [1 - weight, weight]) for side in zip(base, learnt, strict=True)))
        for weight in MIXES
    ]
    return MIXES[int(np.argmax(scores))]  # of equal scores the one nearest to the base


def _centre(tower: Tower, rows: FloatArray) -> None:
    mean = rows.mean(0)
    # One scale for all features leaves the cosines as they are.
    scale = float(np.sqrt(np.square(rows - mean).mean())) or 1.0
    tower.mean.copy_(torch.from_numpy(mean))
    tower.scale.fill_(scale)
    tower.linear.copy_(torch.eye(len(mean)))


def vectors_from_base(adapted: JointMatcher, base: JointMatcher, vectors: Vectors) -> Vectors:
    """Return the vectors of what was adapted, float32 (n, 2 d) and (m, 2 d), from its base's.

    They are the base's own where that stayed as it was.
    """
    if adapted is base:
        return vectors
    space = adapted.network()
    unknown = sparse.csr_array((len(vectors[0]), len(vectors[1])), dtype=bool)
    read = PairTensors(vectors[0][:, None], vectors[1], unknown)
    learnt = embed(space.networks[1], read, Spans.whole(base.dim, base.dim))
    weights = [part.weight for part in space.parts]
    images, texts = (join(sides, weights) for sides in zip(vectors, learnt, strict=True))
    return images, texts


def _read(vectors: Vectors, pairs: PairTensors) -> PairTensors:
    """Return pairs with the base's vectors in place of their features."""
    images, texts = vectors
    return replace(pairs, images=images[:, None], texts=texts)


def _joined(space: JointSpace, network: FusionNetwork, weight: float) -> JointSpace:
    base = Part(
        network="joint",
        arguments=space.arguments(),
        image_span=(0, space.image_features),
        text_span=(0, space.text_features),
        weight=1 - weight,
    )
    own = Part(
        network="fusion",
        arguments=network.arguments,
        image_span=(0, space.dim),
        text_span=(0, space.dim),
        weight=weight,
        on=0,
    )
    joined = JointSpace(
        space.image_features, space.text_features, parts=[base, own], dim=space.dim + network.dim
    )
    joined.networks[0], joined.networks[1] = space, network
    return joined.eval()


def _compare(
    base: Matcher,
    adapted: Matcher,
    held_back: PairFeatures,
    wrong: PairFeatures | None,
    weight: float,
    seed: int,
) -> dict[str, Any]:
    truth = held_back.pairs.truth.tocsr()
    one, other = (vectors(matcher, held_back) for matcher in (base, adapted))
    before, after = (retrieval(*embedded, truth, seed=seed) for embedded in (one, other))
    found = compared(before, after, seed=seed)
    if wrong is not None:
        sides = (one, vectors(base, wrong)), (other, vectors(adapted, wrong))
        apart = kept_apart(*sides, truth, wrong.pairs.truth.tocsr(), seed)
        for side, values in apart.items():
            found[side]["right_above_wrong"] = values
    return {
        "split": str(held_back.pairs.image_split[0]),
        "images": len(held_back.pairs.image_ids),
        "weight": weight,
        **found,
    }
