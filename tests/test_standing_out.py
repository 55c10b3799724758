"""P(match) of a search's results by how they stand out, beside plain loops and far from home."""

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import sparse

import visita
from visita.errors import ArtifactError
from visita.evaluation import fit_calibration, fit_search_calibration, reliability
from visita.evaluation.calibrate import VectorStage, draw_galleries, predict
from visita.matchers.base import load_folder
from visita.matchers.pair_probability import HeightProbability, match_features
from visita.matchers.standing_out import Crowd, SearchCalibration, usual_in_search
from visita.matchers.usual import Usual
from visita.search.query import Query
from visita.search.search import search

NUMBERS = {"intercept": 1.0, "height": 1.5, "lead": 9.0, "spread": 0.5, "size": -0.7}


def test_it_is_the_sigmoid_of_what_a_score_stands_among():
    scores = [0.61, 0.4, 0.39, 0.02, -0.3]
    crowd = Crowd(len(scores), Usual(np.float64(0.1), np.float64(0.25)), 0.61, 0.4)
    found = SearchCalibration(**NUMBERS).probability(np.float32(scores), crowd)
    for number, (score, said) in enumerate(zip(scores, found, strict=True)):
        rival = max(scores[:number] + scores[number + 1 :])
        odds = 1 + 1.5 * (score - 0.1) / 0.25 + 9 * (score - rival)
        odds += 0.5 * math.log(0.25) - 0.7 * math.log(5)
        assert said == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-5)
    assert found.dtype == np.float32
    assert (np.diff(found) < 0).all()


def test_what_is_usual_counts_the_pictures_that_stand_for_any_as_one():
    scores = np.array([[0.1, 0.2, np.nan, 0.6], [0.5, 0.5, 0.5, 0.5]])
    found = usual_in_search(scores, np.array([3, 4]), Usual(np.full(2, 0.0), np.full(2, 0.1)))
    for row, mean, spread in zip(scores, *found, strict=True):
        held = row[np.isfinite(row)]
        # One more picture whose scores have that mean and that deviation.
        more = [*np.repeat(held, 2), 0.1, -0.1]
        assert (mean, spread) == pytest.approx((np.mean(more), np.std(more)))
    alone = usual_in_search(np.array([0.3]), 1, Usual(np.float64(0), np.float64(0.05)))
    assert alone.spread > 0.05


@pytest.mark.parametrize("wrong", [{**NUMBERS, "height": -1.0}, {**NUMBERS, "lead": math.inf}, {}])
def test_what_is_not_its_numbers_is_refused(wrong):
    saved = TypeAdapter(SearchCalibration)
    assert saved.validate_python(NUMBERS).to_dict() == NUMBERS
    with pytest.raises((ValidationError, ArtifactError)):
        saved.validate_python(wrong)


def place(abroad, seed):
    """Unit vectors of 300 images, two texts each; abroad all share what none of home has."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(300, 48))
    texts = np.repeat(images, 2, axis=0) * rng.uniform(0.1, 0.8, size=(600, 1))
    texts += rng.normal(size=texts.shape)
    for side in (images, texts):
        side[:, -1] = abroad * np.linalg.norm(side, axis=1)
    images, texts = (
        (side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32)
        for side in (images, texts)
    )
    truth = sparse.csr_array(np.kron(np.eye(300), np.ones((1, 2))).astype(bool))
    return images, texts, truth


@pytest.mark.parametrize("size", [10, 300])
def test_it_holds_where_all_scores_are_higher(size):
    home, away = place(0.0, 1), place(0.5, 2)
    background = place(0.0, 3)[0]
    by_score = fit_calibration(*home, seed=0)
    standing_out = fit_search_calibration(
        home[:2], home[2], VectorStage(*home[:2], background), seed=0
    )
    stage = VectorStage(*away[:2], background)
    [drawn] = draw_galleries(*away, (size,), 5, stage)
    errors = [
        reliability(predict(fitted, drawn).scores[:, 0], drawn.labels[:, 0])["error"]
        for fitted in (by_score, standing_out)
    ]
    assert errors[0] > 20 and errors[1] < errors[0] / 2


def expected(gallery, query, scores, k):
    """Return what is said of the first k of all scores, best first."""
    known = gallery.finder.matcher.background @ query
    usual = Usual(np.float64(np.median(known)), np.float64(known.std()))
    crowd = Crowd(len(scores), usual_in_search(scores, len(scores), usual), scores[0], scores[1])
    return gallery.finder.matcher.search_calibration.probability(scores[:k], crowd).tolist()


def test_a_search_says_it_of_all_that_is_searched(gallery):
    text = "a red circle on a blue ground"
    found = gallery.search(text, k=5)
    assert gallery.search(text, k=1)[0] == found[0]
    query = gallery.finder.embed_texts([text])[0]
    scores = np.sort(gallery.snapshot.vectors @ query)[::-1]
    said = [match.probability for match in found]
    assert said == pytest.approx(expected(gallery, query, scores, 5), abs=1e-4)
    assert said == sorted(said, reverse=True)


def test_a_matcher_of_before_keeps_its_own_formula(gallery):
    text, matcher = "a red circle on a blue ground", gallery.finder.matcher
    older = replace(matcher, search_calibration=None)
    query = Query.of(text, older, gallery.finder.texts)
    found = search(query, [gallery], 3)
    scores = np.float32([match.score for match in found])
    said = matcher.calibration.probability(scores, len(gallery.snapshot))
    assert [match.probability for match in found] == pytest.approx(said.tolist(), abs=1e-6)


def test_pairs_are_told_by_texts_that_are_saved_along(tmp_path):
    matcher = visita.load("visita-small")
    assert isinstance(matcher.match_probability, HeightProbability)
    matcher.save(tmp_path / "whole")
    again = load_folder(tmp_path / "whole")
    assert np.array_equal(again.any_texts, matcher.any_texts)
    assert again.fingerprint() == matcher.fingerprint()
    replace(matcher, any_texts=None).save(tmp_path / "without")
    with pytest.raises(ArtifactError, match="texts that it does not have"):
        load_folder(tmp_path / "without")
    replace(matcher, any_texts=matcher.any_texts[:, :7]).save(tmp_path / "narrow")
    with pytest.raises(ArtifactError, match="no table of texts"):
        load_folder(tmp_path / "narrow")


def test_the_height_of_a_pair_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 6, 5)).astype(np.float32)
    others = rng.normal(size=(9, 5))
    others = (others / np.linalg.norm(others, axis=1, keepdims=True)).astype(np.float16)
    second = rng.normal(size=6).astype(np.float32)
    words = np.full(6, 4, np.float32)
    found = HeightProbability(0.5, 2.0, -1.5, 3.0).of(
        match_features(images, texts, words, second, others)
    )
    for x, y, again, said in zip(images, texts, second, found, strict=True):
        direction = x / np.linalg.norm(x)
        known = [float(direction @ other) for other in others.astype(np.float32)]
        length = float(np.linalg.norm(y))
        height = (float(direction @ y) / length - np.median(known)) / np.std(known)
        odds = 0.5 + 2 * height - 1.5 * math.log(length) + 3 * again
        assert said == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-5)
