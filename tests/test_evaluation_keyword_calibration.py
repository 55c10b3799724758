"""P(shows) of single words: whatever the gallery, beside plain loops and scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from visita.errors import ArtifactError, DataError
from visita.evaluation import Words, fit_keyword_calibration
from visita.evaluation.keywords import LEAST_WORDS, shown_weights
from visita.matchers.probability import STANDARD, KeywordCalibration
from visita.matchers.usual import NOT_KNOWN, Usual, usual_scores

pytestmark = pytest.mark.slow


def drawn(words: int = 40, images: int = 400, seed: int = 0) -> Words:
    """Return words whose pictures score higher, and captions that say so half of the time."""
    rng = np.random.default_rng(seed)
    shown = rng.random((words, images)) < rng.uniform(0.05, 0.3, (words, 1))
    scores = rng.normal(size=shown.shape) + 3 * shown
    held = rng.binomial(5, 0.4, shown.shape) * shown
    usual = Usual(*np.array([[0.0], [1.2]])[:, :, None].repeat(words, axis=1))
    return Words(tuple(map(str, range(words))), scores.astype(np.float32), usual, held)


def test_the_usual_scores_are_those_of_the_background():
    rng = np.random.default_rng(0)
    background, texts = (rng.normal(size=(n, 6)).astype(np.float32) for n in (300, 4))
    found = usual_scores(background, texts)
    for row, text in enumerate(texts):
        scores = sorted(float(picture @ text) for picture in background.astype(float))
        mean = sum(scores) / 300
        median = (scores[149] + scores[150]) / 2
        assert found.median[row] == pytest.approx(median, abs=1e-5)
        spread = math.sqrt(sum((one - mean) ** 2 for one in scores) / 300)
        assert found.spread[row] == pytest.approx(spread, abs=1e-5)
        alone = usual_scores(background, text)
        assert [float(one) for one in alone] == pytest.approx([one[row] for one in found], abs=1e-5)
    assert usual_scores(None, texts) is NOT_KNOWN


def test_the_probability_is_the_sigmoid_of_score_height_and_spread():
    fitted, usual = KeywordCalibration(-3.0, 1.5, 2.0, 0.5), Usual(*np.array([0.1, 0.3]))
    [found] = fitted.probability(np.float32([0.4]), usual)
    odds = -3 + 1.5 * 0.4 + 2 * (0.4 - 0.1) / 0.3 + 0.5 * math.log(0.3)
    assert found == pytest.approx(1 / (1 + math.exp(-odds)))
    rising = fitted.probability(np.linspace(-1, 1, 9, dtype=np.float32), usual)
    assert (np.diff(rising) > 0).all()


def test_who_captions_leave_out_is_told_by_chao_s_estimator():
    held = np.array([[0] * 10 + [1] * 4 + [2] * 2 + [5] * 3])
    [weights] = shown_weights(held)
    unsaid = 4 * 3 / (2 * 3)
    assert weights[:10] == pytest.approx([1 - unsaid / 10] * 10)
    assert weights[10:14] == pytest.approx([1 + unsaid / 4] * 4)
    assert weights[14:].tolist() == [1] * 5
    assert weights.sum() == pytest.approx(19)
    [many] = shown_weights(np.array([[0, 0] + [1] * 9]))  # never more than half of the rest
    assert many[:2].tolist() == [0.5, 0.5]


def met(said: np.ndarray, held: np.ndarray) -> float:
    """Return where precision and recall meet, one probability after the other."""
    gaps = {}
    for cut in sorted(set(said.ravel().tolist())):
        found = said >= cut
        recall = (held[found] > 1).sum() / (held > 1).sum()
        gaps[abs(recall - (held[found] > 0).mean())] = cut
    return gaps[min(gaps)]


def test_the_fit_is_weighted_logistic_regression_turned_to_meet_at_one_half():
    words = drawn(images=100)
    found = fit_keyword_calibration(words).probability(words.scores, words.usual)
    features = words.scores.reshape(-1, 1)
    labels, weights = (words.held > 0).ravel(), shown_weights(words.held).ravel()
    plain = LogisticRegression(C=1e6).fit(features, labels, sample_weight=weights)
    odds = plain.decision_function(features).reshape(words.scores.shape)
    even = met(1 / (1 + np.exp(-odds)), words.held)
    at, pivot = (math.log(p / (1 - p)) for p in (even, 0.1))
    expected = (odds - at) * pivot / (pivot - at)
    assert np.log(found / (1 - found)) == pytest.approx(expected, abs=0.03)
    assert met(found, words.held) == pytest.approx(0.5, abs=0.01)


def test_captions_say_less_than_what_is_said():
    words, other = drawn(seed=1), drawn(seed=2)
    said = fit_keyword_calibration(words).probability(other.scores, other.usual)
    assert said.mean() > (other.held > 0).mean()


def test_few_words_are_refused_and_numbers_that_fall():
    with pytest.raises(DataError, match="20 words"):
        fit_keyword_calibration(drawn(words=LEAST_WORDS - 1))
    words = drawn()
    for named in (False, True):
        worse = Words(words.nouns, -words.scores, words.usual, words.held, named)
        fitted = fit_keyword_calibration(worse)
        assert fitted.height == fitted.score == 0
    with pytest.raises(ArtifactError, match="not usable"):
        KeywordCalibration(0.0, 0.0, -1.0, 0.0)


@pytest.mark.parametrize("seed", range(12))
def test_where_scores_tell_nothing_no_probability_falls_as_they_rise(seed):
    words, rng = drawn(images=30, seed=seed), np.random.default_rng(seed)
    scores = rng.normal(size=words.scores.shape).astype(np.float32)
    usual = Usual(rng.normal(size=(40, 1)), rng.uniform(0.5, 2, (40, 1)))
    fitted = fit_keyword_calibration(Words(words.nouns, scores, usual, words.held, named=True))
    assert fitted.score >= 0 and fitted.height >= 0


@pytest.mark.parametrize("text", ["star", "red circle", "a green star"])
def test_a_search_and_a_match_say_the_same_of_a_picture(gallery, text):
    found = gallery.search(text, 120)
    assert len({match.probability for match in found}) > 10
    for match in (found[0], found[50], found[-1]):
        pair = gallery.finder.match(match.path, text)
        assert pair.probability == pytest.approx(match.probability, abs=2e-3)
        assert pair.threshold == 0.5 and pair.match == (pair.probability >= 0.5)


def test_the_size_of_the_gallery_does_not_count(gallery):
    matcher = gallery.finder.matcher
    vector, scores = matcher.words(gallery.finder.embed_texts(["star"]))[0], np.float32([0.1, 0.3])
    few, many = (matcher.probability(scores, n, keywords=vector) for n in (10, 100_000))
    assert few.tolist() == many.tolist()
    assert matcher.probability(scores, 10)[1] > matcher.probability(scores, 100_000)[1]


def test_without_numbers_of_its_own_those_of_the_default_matcher_stand_in(gallery):
    matcher = gallery.finder.matcher
    bare = replace(matcher, keyword_calibration=None)
    plain, scores = gallery.finder.embed_texts(["star"])[0], np.float32([0.1, 0.3])
    vector = matcher.words(plain[None])[0]
    expected = STANDARD.probability(scores, usual_scores(matcher.background, vector))
    assert bare.probability(scores, 10, keywords=vector).tolist() == expected.tolist()
    part = replace(bare.part, calibration=matcher.calibration)
    assert part.background is None
    as_sentences = matcher.calibration.probability(scores, 10)
    assert part.probability(scores, 10, keywords=vector).tolist() == as_sentences.tolist()
