"""Learning from a user's own pairs on top of a trained matcher, which stays one of the kernels.

For two frozen towers, see ``frozen``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

from scipy import sparse

from visita.arguments import expect
from visita.artifact import check_free
from visita.data import Data, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, check_enough
from visita.errors import ConfigError
from visita.evaluation import paired_retrieval, retrieval
from visita.evaluation.measure import TOPICS_FROM, caveats, features_for, vectors
from visita.matchers import opened
from visita.matchers.embed import JointMatcher
from visita.matchers.fused import FusedMatcher
from visita.matchers.pretrained import DualMatcher, PairedMatcher
from visita.matchers.rerank import FIRST, TwoStageMatcher
from visita.matchers.scaled import ScaledMatcher
from visita.networks.fusion import FusionNetwork, JointSpace, Part
from visita.store.extract import PairFeatures
from visita.training.calibrate import calibrate, caveats_on_words, learn_words
from visita.training.config import AdaptConfig
from visita.training.head import Vectors, adapt_frozen, best_mix, learn_head
from visita.training.learn import Trained, facts_of, report_on, rsum_on, save_curve, warnings_of
from visita.training.loop import History
from visita.training.scaling import bank_rows, filled, locally_scaled, scaled_by
from visita.training.tensors import PairTensors, Spans, as_matcher
from visita.training.tuning import Validate, embed
from visita.types import Matcher
from visita.vectors import join

MAX_DIM = 1024


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
    whole = Spans.whole(space.image_features, space.text_features)
    of_train, of_dev = embed(space, train, whole), embed(space, dev, whole)
    chosen_on = _read(of_dev, dev.truth)
    network, history = learn_head(_read(of_train, train.truth), chosen_on, validate, config)
    learnt = embed(network, chosen_on, Spans.whole(space.dim, space.dim))
    weight = best_mix(of_dev, learnt, validate)
    if weight == 0:
        return base, history, weight
    joined = _joined(space, network, weight)
    return as_matcher(name, joined, base.recipe, base.open_text_encoder()), history, weight


def from_vectors(found: JointMatcher, base: JointMatcher, vectors: Vectors) -> Vectors:
    """Return the vectors of what was adapted, float32 (n, 2 d) and (m, 2 d), from its base's.

    They are the base's own where that stayed as it was.
    """
    if found is base:
        return vectors
    space = found.network()
    unknown = sparse.csr_array((len(vectors[0]), len(vectors[1])), dtype=bool)
    learnt = embed(space.networks[1], _read(vectors, unknown), Spans.whole(base.dim, base.dim))
    weights = [part.weight for part in space.parts]
    images, texts = (join(sides, weights) for sides in zip(vectors, learnt, strict=True))
    return images, texts


def _read(vectors: Vectors, truth: sparse.csr_array) -> PairTensors:
    """Return pairs (n, m) with the base's vectors in place of their features."""
    images, texts = vectors
    return PairTensors(images[:, None], texts, truth)


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


Start = JointMatcher | DualMatcher | ScaledMatcher
Unscaled = JointMatcher | FusedMatcher | DualMatcher
Adapted = Unscaled | ScaledMatcher


def adapt(
    base: Matcher | str | Path,
    data: Data,
    out: str | Path,
    *,
    config: AdaptConfig | None = None,
    features: str | Path | None = None,
) -> Trained:
    """Learn from one's own pairs on top of ``base`` and save the result in ``out``.

    The base's untouched similarity stays one of the kernels; the comparison is on images
    that neither training nor choosing saw (split test), or on dev where there is no test. Of a
    pretrained matcher the encoders stay as they are, and what looks at pairs stays behind the
    vectors.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the base cannot be adapted.
    """
    expect(config, (AdaptConfig, NoneType), "config is an AdaptConfig")
    config = config or AdaptConfig()
    check_free(Path(out).resolve())
    whole = opened(base)
    start = _adaptable(whole)
    pairs = open_pairs(data, seed=config.seed)
    held_back = "test" if pairs.splits()["test"] else "dev"
    check_enough(pairs, {"train": LEAST, "dev": LEAST, held_back: LEAST}, "Adapting")
    used = features_for(start, interchangeable(pairs), features)
    started = time.perf_counter()
    train, dev = used.take("train"), used.take("dev")
    name = Path(out).resolve().name
    learnt, history, weight = _learnt(name, _unscaled(start), train, dev, config)
    found = _scaled(start, learnt, train, dev, config)
    before, embedded = vectors(start, dev), vectors(found, dev)
    validate = rsum_on(dev.pairs.truth.tocsr())
    if validate(*before) >= validate(*embedded):
        found, embedded, weight = start, before, 0.0
    if isinstance(found, JointMatcher | ScaledMatcher | FusedMatcher):
        seen = found.embed_images(train.columns)
        found = replace(found, words=learn_words(found, train.pairs, seen, start.words))
    seconds = time.perf_counter() - started
    comparison = _compare(start, found, used.take(held_back), held_back, weight, config.seed)
    inherited = {key: start.facts[key] for key in (TOPICS_FROM,) if key in start.facts}
    matcher: Adapted = replace(
        found,
        name=name,
        facts={**facts_of(config, history, pairs), "base": start.fingerprint(), **inherited},
        **calibrate(found, dev.pairs, embedded, config.seed),
    )
    report = report_on(matcher, dev, embedded, config.seed)
    warnings = [*warnings_of(history), *caveats(matcher), *caveats_on_words(matcher)]
    result: Adapted | PairedMatcher = matcher
    if isinstance(whole, PairedMatcher):
        assert not isinstance(matcher, JointMatcher)  # the checkpoint's vectors are of two towers
        result = replace(whole, name=name, first=matcher, facts=matcher.facts)
        warnings.append(
            "The numbers are of the vectors, which were adapted. The image-text head, which looks "
            f"at the first {whole.depth} again, is the one that it was."
        )
    result.save(Path(out), beside=lambda draft: save_curve(history, draft / "curve.png"))
    return Trained(result, Path(out), report, comparison, warnings, seconds)


def _unscaled(matcher: Start) -> JointMatcher | DualMatcher:
    """Return what has the vectors before local scaling."""
    if not isinstance(matcher, ScaledMatcher):
        return matcher
    part = matcher.part
    assert isinstance(part, JointMatcher | DualMatcher)  # ``_adaptable`` asked
    return part


def _scaled(
    start: Start,
    learnt: Unscaled,
    train: PairFeatures,
    dev: PairFeatures,
    config: AdaptConfig,
) -> Adapted:
    """Return what was learnt, with local scaling.

    What had it keeps it, its bank beside one's own pairs: whether it helps is more than a few
    pictures of dev can tell. What had none gets it where that is better on dev.
    """
    images, texts = bank_rows(train.pairs.truth.tocsr(), config.seed)
    of_train, of_dev = vectors(learnt, train), vectors(learnt, dev)
    own = of_train[0][images], of_train[1][texts]
    if config.neighbours and isinstance(start, ScaledMatcher) and isinstance(learnt, JointMatcher):
        base = _unscaled(start)
        assert isinstance(base, JointMatcher)  # what is learnt on one is one
        bank = filled(own, from_vectors(learnt, base, start.bank), config.seed)
        return scaled_by(learnt, bank, of_dev, config.neighbours)
    validate = rsum_on(dev.pairs.truth.tocsr())
    return locally_scaled(learnt, own, of_dev, validate, config.neighbours)


def _adaptable(matcher: Matcher) -> Start:
    if isinstance(matcher, PairedMatcher):
        return _adaptable(matcher.first)
    if isinstance(matcher, TwoStageMatcher):
        raise ConfigError(
            f"{matcher.name!r} has two stages, and vectors alone are adapted: adapt its first "
            f"stage, which is a matcher of its own in its folder, as {FIRST}."
        )
    if isinstance(matcher, ScaledMatcher):
        _adaptable(matcher.part)
        return matcher
    if not isinstance(matcher, JointMatcher | DualMatcher):
        raise ConfigError(
            f"{matcher.name!r} is made of several matchers: adapt one of them (they are in its "
            "folder, as part0, part1 …), and fuse again."
        )
    return matcher


def _learnt(
    name: str,
    base: JointMatcher | DualMatcher,
    train: PairFeatures,
    dev: PairFeatures,
    config: AdaptConfig,
) -> tuple[Unscaled, History, float]:
    """Return the adapted matcher, what happened, and the weight of the learnt kernel."""
    tensors = PairTensors.of(train, base.recipe), PairTensors.of(dev, base.recipe)
    validate = rsum_on(dev.pairs.truth.tocsr())
    if isinstance(base, JointMatcher):
        return adapt_joint(name, base, *tensors, validate, config)
    return adapt_frozen(name, base, *tensors, vectors(base, dev), validate, config)


def _compare(
    base: Matcher,
    adapted: Matcher,
    held_back: PairFeatures,
    split: str,
    weight: float,
    seed: int,
) -> dict[str, Any]:
    truth = held_back.pairs.truth.tocsr()
    before, after = (
        retrieval(*vectors(matcher, held_back), truth, seed=seed) for matcher in (base, adapted)
    )
    return {
        "split": split,
        "images": len(held_back.pairs.image_ids),
        "weight": weight,
        "before": before.to_dict(),
        "after": after.to_dict(),
        "difference": _plain(paired_retrieval(before, after, seed=seed)),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return {name: getattr(value, name) for name in ("value", "low", "high", "p_value")}
