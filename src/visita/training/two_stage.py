"""Training MKL-VisITA: the vectors, the second stage, and the weight of each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from visita.artifact import check_free
from visita.data import Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, check_enough
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.vocabulary import Vocabulary
from visita.errors import ArtifactError, ConfigError
from visita.evaluation import PROTOCOLS, best_ranks, recall_sum
from visita.evaluation.blocks import DenseBlocks, as_vectors, dot_blocks
from visita.evaluation.measure import caveats, vectors
from visita.evaluation.rerank import CloserLook, TwoStageBlocks, choose_weight
from visita.jsonfile import read_sealed, write_sealed
from visita.matchers.base import load_folder
from visita.matchers.cross_modal import Rescorer, rescorer_of, stack_grids
from visita.matchers.rerank import DEPTH, TwoStageMatcher
from visita.matchers.whole import WholeMatcher
from visita.progress import say
from visita.store.altered import view_features
from visita.store.extract import PairFeatures, pair_features, picture_features
from visita.training.calibrate import (
    calibrate,
    calibrate_pairs,
    calibrate_searches,
    caveats_on_words,
    provenance,
)
from visita.training.checkpoint import partial_folder, resumable
from visita.training.config import (
    CrossModalConfig,
    FusionConfig,
    MklVisitaConfig,
    MklVisitaPaperConfig,
)
from visita.training.cross_modal import CrossTensors, GridView, check_cross_modal, train_cross_modal
from visita.training.devices import Team
from visita.training.learn import Learnt, Trained, learn, save_curve, text_encoder_of, warnings_of
from visita.training.loop import History
from visita.training.tensors import level_widths
from visita.types import FloatArray, Matcher, Recipe, TokenEncoder

VALIDATED = 300
"""Pictures of dev that choose the epoch, with their texts: all with all would take minutes."""


def train_two_stages(
    data: Data,
    out: str | Path,
    *,
    config: MklVisitaConfig | MklVisitaPaperConfig | None = None,
    features: str | Path | None = None,
) -> Trained:
    """Train both stages of MKL-VisITA on train, choose on dev, and save the matcher in ``out``.

    A run that was killed goes on where it was, from the folder ``out.partial``, and gives the
    same matcher.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit the data or each other.
    MismatchError
        If ``out.partial`` holds a run of other settings.
    TrainingError
        If training cannot go on.
    """
    config = config or MklVisitaConfig()
    first_config, second_config = config.stages()
    if first_config:
        level_widths(first_config)  # what cannot be fused is refused before long work
    check_cross_modal(second_config)
    if second_config.text_side == "pretrained":
        token_encoder(second_config).tokens([])  # so are levels that no token has
    out = Path(out).resolve()
    check_free(out)
    pairs = open_pairs(data, seed=config.seed)
    check_enough(pairs, {"train": LEAST, "dev": LEAST}, "Training")
    train, dev = pairs.take("train"), interchangeable(pairs.take("dev"))
    recipes = [one.recipe() for one in (first_config, second_config) if one]
    read = _Read(pairs, train, dev, Recipe.union(recipes), features)
    run = {"config": config.model_dump(mode="json"), "data": pairs.fingerprint()}
    team = Team(second_config.device, second_config.precision)
    kept = resumable(out, run) if team.is_main else nullcontext(partial_folder(out))
    with kept as partial:
        first = None
        if first_config:
            first = team.shared(lambda: _first_stage(out.name, read, first_config, partial))
        second, history, seconds = _second_stage(read, second_config, partial / "second", team)

        def finish() -> tuple[dict[str, Any], list[str]]:
            matcher, report = _finished(out.name, read, first, second, config, history)
            matcher.save(out, beside=lambda draft: save_curve(history, draft / "curve.png"))
            return report, [*caveats(matcher), *caveats_on_words(matcher)]

        report, caught = team.shared(finish)
    before = first.warnings if first else []
    return Trained(
        load_folder(out),
        out,
        report,
        None,
        [*before, *warnings_of(history), *caught],
        seconds + (first.seconds if first else 0),
    )


def _finished(
    name: str,
    read: _Read,
    first: _First | None,
    second: Rescorer,
    config: MklVisitaConfig | MklVisitaPaperConfig,
    history: History,
) -> tuple[TwoStageMatcher, dict[str, Any]]:
    """Return both stages as one matcher, calibrated on dev, and what ``evaluate`` says there."""
    found_by = first.matcher if first else WholeMatcher(name=name, second=second)
    dev = pair_features(read.dev, read.recipe, found_by.open_text_encoder(), read.folder)
    of_first = calibrate(found_by, dev.pairs, vectors(found_by, dev), config.seed)
    look, dense = joined(name, replace(found_by, **of_first), second, dev)
    facts = {
        "config": config.model_dump(mode="json"),
        "dev_rsum": [round(s, 2) for s in (history.start, *(e.dev for e in history.epochs))],
        **provenance(read.pairs),
    }
    fields = calibrate_searches(
        *(look.matcher, dev.pairs, as_vectors(dense), config.seed),
        images=look.vectors[0],
        words=lambda texts: as_vectors(look.of_texts(texts).dense()),
    )
    fields |= calibrate_pairs(dev.pairs, look.match_features, config.seed)
    matcher = replace(look.matcher, facts=facts, **fields)
    return matcher, look.by(matcher).report(PROTOCOLS, matcher.threshold, "matcher", config.seed)


@dataclass(frozen=True)
class _Read:
    """Where a run's features come from."""

    pairs: PairSet
    train: PairSet
    dev: PairSet
    recipe: Recipe
    folder: str | Path | None


@dataclass(frozen=True)
class _First:
    matcher: Learnt
    warnings: list[str]
    seconds: float


def _first_stage(name: str, read: _Read, config: FusionConfig, partial: Path) -> _First:
    """Return the first stage, that of an interrupted run where it got so far."""
    folder, notes = partial / "first", partial / "first.json"
    if (found := _kept_first(folder, notes)) is None:
        text = text_encoder_of(config, read.pairs)
        dev = pair_features(read.dev, read.recipe, text, read.folder)
        matcher, history, seconds = learn(
            name, read.train, dev, config, text, read.folder, read.recipe
        )
        write_sealed(notes, {"warnings": warnings_of(history), "seconds": seconds})
        matcher.save(folder)
        found = _kept_first(folder, notes)
        assert found  # it was saved just now
    return found


def _kept_first(folder: Path, notes: Path) -> _First | None:
    """Return the first stage of an interrupted run; None if it did not get so far."""
    if not folder.is_dir():
        return None
    try:
        matcher = load_folder(folder)
        assert isinstance(matcher, Learnt)  # it was saved here
        return _First(matcher, **read_sealed(notes))
    except ArtifactError as error:
        say(f"the first stage is trained anew: {error}")
        shutil.rmtree(folder)
        return None


def _second_stage(
    read: _Read, config: CrossModalConfig, resume: Path, team: Team
) -> tuple[Rescorer, History, float]:
    """Return the second stage, what happened and the seconds it took, features not counted."""
    recipe, vocabulary = config.recipe(), vocabulary_of(config, read.train)
    text = vocabulary or token_encoder(config)
    with team.main_first():
        validated = _validated(read, config, text)
        train = _learnt(read, config, text)
    started = time.perf_counter()
    network, history = train_cross_modal(
        *(train, validated, rsum_of_scores(validated.truth), config),
        vocabulary=vocabulary,
        resume=resume,
    )
    return rescorer_of(network, recipe, text), history, time.perf_counter() - started


def _learnt(read: _Read, config: CrossModalConfig, text: TokenEncoder | Vocabulary) -> CrossTensors:
    recipe = config.recipe()
    train, columns = picture_features(read.train, read.recipe, read.folder)
    found = cross_tensors(train, columns, recipe, text)
    del columns  # hundreds of megabytes, as has each view
    views = view_features(train, recipe, config.views, read.folder)
    seen = [GridView(stack_grids(view.columns, recipe), view.made_of) for view in views]
    return replace(found, views=tuple(seen))


def _validated(
    read: _Read, config: CrossModalConfig, text: TokenEncoder | Vocabulary
) -> CrossTensors:
    dev, columns = picture_features(read.dev, read.recipe, read.folder)
    some = dev.some_images(VALIDATED, config.seed)
    kept = {name: values[some] for name, values in columns.items()}
    return cross_tensors(dev.subset(some), kept, config.recipe(), text)


def vocabulary_of(config: CrossModalConfig, train: PairSet) -> Vocabulary | None:
    """Return the words that a network learns to read, None where it reads pretrained tokens."""
    if config.text_side == "pretrained":
        return None
    return Vocabulary.fit(train.texts, config.vocabulary, config.longest)


def token_encoder(config: CrossModalConfig) -> TokenEncoder:
    """Return the pretrained encoder whose tokens a network reads.

    Raises
    ------
    ConfigError
        If it has no tokens.
    """
    encoder: TokenEncoder = TEXT_ENCODERS.load(config.text_encoder)(config.text_levels)
    if not hasattr(encoder, "tokens"):
        raise ConfigError(
            f"{config.text_encoder} gives vectors of texts but not of their tokens, which the "
            "second stage reads: set second.text_encoder to another, such as minilm-l6."
        )
    return encoder


def cross_tensors(
    pairs: PairSet,
    columns: dict[str, FloatArray],
    recipe: Recipe,
    text: TokenEncoder | Vocabulary,
) -> CrossTensors:
    """Return the grids of ``recipe`` and the tokens of the pairs, as training reads them."""
    return CrossTensors(stack_grids(columns, recipe), text.tokens(pairs.texts), pairs.truth.tocsr())


def joined(
    name: str, first: Matcher, second: Rescorer, dev: PairFeatures
) -> tuple[CloserLook, FloatArray]:
    """Return the look at dev, the matcher's weight chosen there, and its scores of all pairs."""
    look = CloserLook(TwoStageMatcher(name=name, first=first, second=second, weight=0.0), dev)
    truth = dev.pairs.truth.tocsr()
    every = sparse.csr_array(np.ones(truth.shape, bool))
    scores = look.second(every)
    images, texts = look.vectors
    by_image = TwoStageBlocks(dot_blocks(images, texts), scores, 0.0, DEPTH)
    by_text = TwoStageBlocks(dot_blocks(texts, images), scores.T.tocsr(), 0.0, DEPTH)
    weight = choose_weight(by_image, by_text, truth)
    look = look.by(replace(look.matcher, weight=weight))
    dense = look.matcher.combine(images @ texts.T, scores.toarray())
    return look, np.asarray(dense, np.float32)


def rsum_of_scores(truth: sparse.csr_array) -> Callable[[FloatArray], float]:
    """Return what maps scores of images and texts, (n, m), to their rsum."""
    mirrored = truth.T.tocsr()

    def rsum(scores: FloatArray) -> float:
        ranks = (
            best_ranks(DenseBlocks(scores), truth),
            best_ranks(DenseBlocks(np.ascontiguousarray(scores.T)), mirrored),
        )
        return recall_sum(*ranks)

    return rsum
