"""Training MKL-VisITA: the vectors, the re-ranker, and the weight of each."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from visita.artifact import read_sealed, write_sealed
from visita.data import Data
from visita.errors import ArtifactError
from visita.evaluation import PROTOCOLS
from visita.evaluation.blocks import as_vectors, dot_blocks
from visita.evaluation.measure import vectors
from visita.evaluation.rerank import RerankedBlocks, RerankedPairs, choose_weight
from visita.evaluation.retrieval import rsum_of_scores
from visita.matchers.base import load_folder
from visita.matchers.cross_modal import CrossModalReranker, reranker_of
from visita.matchers.rerank import DEPTH, RerankedMatcher
from visita.matchers.whole import WholeMatcher
from visita.progress import say
from visita.store.extract import PairFeatures, pair_features, picture_features
from visita.training.calibrate import calibrate, calibrate_pairs, calibrate_searches
from visita.training.config import FusionConfig
from visita.training.cross_modal import check_cross_modal, train_cross_modal
from visita.training.devices import Team
from visita.training.grids import (
    VALIDATED,
    CrossTensors,
    TextReader,
    cross_tensors,
    text_reader,
    token_encoder,
    with_views,
)
from visita.training.loop import History
from visita.training.mkl_config import CrossModalConfig, MklVisitaConfig, MklVisitaPaperConfig
from visita.training.tensors import level_widths
from visita.training.train import Run, Trained, warnings_about, warnings_of
from visita.training.vectors import Learnt, learn, text_encoder_of
from visita.types import FloatArray, Matcher, Recipe


def train_two_stages(
    data: Data,
    out: str | Path,
    *,
    config: MklVisitaConfig | MklVisitaPaperConfig,
    features: str | Path | None = None,
) -> Trained:
    """Train both stages of MKL-VisITA, as ``train`` says.

    A run that was killed goes on where it was, from the folder ``out.partial``, and gives the
    same matcher.

    Raises
    ------
    MismatchError
        If ``out.partial`` holds a run of other settings.
    """
    first_config, second_config = config.stages()
    if first_config:
        level_widths(first_config)  # what cannot be fused is refused before long work
    check_cross_modal(second_config)
    if second_config.text_side == "pretrained":
        token_encoder(second_config).tokens([])  # so are levels that no token has
    run = Run.begin(data, out, config.seed, features)
    recipe = Recipe.union(stage.recipe() for stage in (first_config, second_config) if stage)
    team = Team(second_config.device, second_config.precision)
    with run.resumable(config, team) as partial:
        first = None
        if first_config:
            first = team.shared(lambda: _first_stage(run, recipe, first_config, partial))
        reranker, history, seconds = _reranker(run, recipe, second_config, partial / "second", team)

        def finish() -> tuple[dict[str, Any], list[str]]:
            matcher, report = _finished(run, recipe, first, reranker, config, history)
            run.save(matcher, history)
            return report, warnings_about(matcher, history)

        report, warnings = team.shared(finish)
    if first:
        warnings, seconds = [*first.warnings, *warnings], first.seconds + seconds
    return Trained(load_folder(run.out), run.out, report, None, warnings, seconds)


def _finished(
    run: Run,
    recipe: Recipe,
    first: _First | None,
    reranker: CrossModalReranker,
    config: MklVisitaConfig | MklVisitaPaperConfig,
    history: History,
) -> tuple[RerankedMatcher, dict[str, Any]]:
    """Return both stages as one matcher, calibrated on dev, and what ``evaluate`` says there."""
    vector_stage = first.matcher if first else WholeMatcher(name=run.name, packer=reranker)
    dev = pair_features(run.dev, recipe, vector_stage.open_text_encoder(), run.features)
    fields = calibrate(vector_stage, dev.pairs, vectors(vector_stage, dev), config.seed)
    matcher, scored, dense = join_stages(run.name, replace(vector_stage, **fields), reranker, dev)
    fields = calibrate_searches(
        *(matcher, dev.pairs, as_vectors(dense), config.seed),
        vectors=scored.vectors,
        words=lambda texts: as_vectors(scored.of_texts(texts).dense()),
    )
    fields |= calibrate_pairs(dev.pairs, scored.match_features, config.seed)
    matcher = replace(matcher, facts=run.facts(config, history), **fields)
    return matcher, scored.by(matcher).report(PROTOCOLS, matcher.threshold, "matcher", config.seed)


@dataclass(frozen=True)
class _First:
    matcher: Learnt
    warnings: list[str]
    seconds: float


def _first_stage(run: Run, recipe: Recipe, config: FusionConfig, partial: Path) -> _First:
    """Return the first stage, that of an interrupted run where it got so far."""
    folder, notes = partial / "first", partial / "first.json"
    if (first := _kept_first(folder, notes)) is None:
        text = text_encoder_of(config, run.pairs)
        dev = pair_features(run.dev, recipe, text, run.features)
        matcher, history, seconds = learn(
            run.name, run.train, dev, config, text, run.features, recipe
        )
        write_sealed(notes, {"warnings": warnings_of(history), "seconds": seconds})
        matcher.save(folder)
        first = _kept_first(folder, notes)
        assert first  # it was saved just now
    return first


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


def _reranker(
    run: Run, recipe: Recipe, config: CrossModalConfig, resume: Path, team: Team
) -> tuple[CrossModalReranker, History, float]:
    """Return the re-ranker, what happened and the seconds it took, features not counted."""
    text = text_reader(config, run.train)
    with team.main_first():
        validated = _validated(run, recipe, config, text)
        train = _learnt(run, recipe, config, text)
    started = time.perf_counter()
    network, history = train_cross_modal(
        *(train, validated, rsum_of_scores(validated.truth), config), text=text, resume=resume
    )
    return reranker_of(network, config.recipe(), text), history, time.perf_counter() - started


def _learnt(run: Run, recipe: Recipe, config: CrossModalConfig, text: TextReader) -> CrossTensors:
    train, columns = picture_features(run.train, recipe, run.features)
    tensors = cross_tensors(train, columns, config.recipe(), text)
    del columns  # hundreds of megabytes, as has each view
    return with_views(tensors, train, config, run.features)


def _validated(
    run: Run, recipe: Recipe, config: CrossModalConfig, text: TextReader
) -> CrossTensors:
    dev, columns = picture_features(run.dev, recipe, run.features)
    rows = dev.some_images(VALIDATED, config.seed)
    sampled = {name: values[rows] for name, values in columns.items()}
    return cross_tensors(dev.subset(rows), sampled, config.recipe(), text)


def join_stages(
    name: str, first: Matcher, reranker: CrossModalReranker, dev: PairFeatures
) -> tuple[RerankedMatcher, RerankedPairs, FloatArray]:
    """Return both as one matcher, its weight chosen on dev, and its scores of all pairs there."""
    matcher = RerankedMatcher(name=name, first=first, reranker=reranker, weight=0.0)
    scored = RerankedPairs(matcher, dev)
    truth = dev.pairs.truth.tocsr()
    every = sparse.csr_array(np.ones(truth.shape, bool))
    scores = scored.reranked(every)
    images, texts = scored.vectors
    by_image = RerankedBlocks(dot_blocks(images, texts), scores, 0.0, DEPTH)
    by_text = RerankedBlocks(dot_blocks(texts, images), scores.T.tocsr(), 0.0, DEPTH)
    weight = choose_weight(by_image, by_text, truth)
    matcher = replace(matcher, weight=weight)
    dense = matcher.combine(images @ texts.T, scores.toarray())
    return matcher, scored.by(matcher), np.asarray(dense, np.float32)
