"""P(match) of pairs by themselves, beside plain loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_fscore_support
from tiny import two_stages

import visita
from visita.errors import ArtifactError, DataError
from visita.evaluation import cross_fitted_pairs, fit_match_probability
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.pairs import draw_pairs, pairs_to_measure
from visita.evaluation.rerank import RerankedPairs
from visita.matchers.pair_probability import MatchProbability, match_features

pytestmark = pytest.mark.slow

NUMBERS = {
    "intercept": 0.5,
    "cosine": 3.0,
    "image_length": 1.0,
    "text_length": -1.5,
    "words": -0.25,
}
BOTH = {**NUMBERS, "second": 2.0}


def drawn_features(rng, images=60, texts=3):
    """Return the truth, drawn pairs and features by which most, not all, can be told apart."""
    truth = sparse.csr_array(np.kron(np.eye(images), np.ones((1, texts))).astype(bool))
    drawn = draw_pairs(truth, seed=0)
    features = rng.normal(size=(len(drawn.labels), 5)) + drawn.labels[:, None] * [2, 1, 0, 0, 0.3]
    return truth, drawn, features


@pytest.mark.parametrize("numbers", [NUMBERS, BOTH])
def test_it_is_the_sigmoid_of_what_is_known_of_a_pair(numbers):
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 7, 4)).astype(np.float32)
    texts[3] = 0
    second = rng.normal(size=7).astype(np.float32) if numbers is BOTH else None
    words = np.array([1, 2, 3, 9, 0, 20, 300], np.float32)
    found = MatchProbability(**numbers).of(match_features(images, texts, words, second))
    assert found.dtype == np.float32
    for row, probable in enumerate(found):
        x, y = images[row].astype(float), texts[row].astype(float)
        lengths = [math.sqrt(sum(v * v for v in side)) or 1 for side in (x, y)]
        odds = (
            0.5
            + (0 if second is None else 2 * second[row])
            + 3 * sum(a * b for a, b in zip(x, y, strict=True)) / (lengths[0] * lengths[1])
            + math.log(lengths[0])
            - 1.5 * math.log(lengths[1])
            - 0.25 * math.log(max(words[row], 1))
        )
        assert probable == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-6)


def test_extreme_scores_are_still_probabilities():
    sure = MatchProbability(**{**NUMBERS, "cosine": 1e6})
    found = sure.of(np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
    assert found.tolist() == [1, 0]


@pytest.mark.parametrize("numbers", [NUMBERS, BOTH])
def test_what_is_saved_is_read(numbers):
    assert TypeAdapter(MatchProbability).validate_python(numbers).to_dict() == numbers


@pytest.mark.parametrize("wrong", [{**NUMBERS, "words": math.nan}, {**NUMBERS, "length": 1.0}, {}])
def test_what_is_not_its_numbers_is_refused(wrong):
    with pytest.raises(ValidationError):
        TypeAdapter(MatchProbability).validate_python(wrong)


def test_numbers_of_no_fit_are_refused():
    with pytest.raises(ArtifactError, match="not usable"):
        MatchProbability(**{**NUMBERS, "words": 1e12})


def test_the_fit_is_logistic_regression():
    _, drawn, features = drawn_features(np.random.default_rng(1))
    found = fit_match_probability(features, drawn.labels)
    plain = LogisticRegression(C=1e6, tol=1e-8, max_iter=5000).fit(features, drawn.labels)
    expected = plain.predict_proba(features)[:, 1]
    assert found.of(features) == pytest.approx(expected, abs=1e-3)
    assert found.cosine == pytest.approx(plain.coef_[0, 0], rel=1e-2)
    assert found.second == pytest.approx(plain.coef_[0, 4], rel=1e-2)
    assert fit_match_probability(features[:, :4], drawn.labels).second is None


def test_pairs_of_one_kind_teach_nothing():
    with pytest.raises(DataError, match="that are one and pairs that are none"):
        fit_match_probability(np.ones((4, 5)), np.ones(4, bool))


def test_cross_fitted_each_half_is_told_by_the_other():
    truth, drawn, features = drawn_features(np.random.default_rng(2))
    numbers, said = cross_fitted_pairs(features, drawn, truth, seed=3)
    # With images of three texts each, a component is an image, and its number its row.
    half = np.random.default_rng(3).permutation(60)[:30]
    first = np.isin(drawn.images, half)
    for measured in (first, ~first):
        one = fit_match_probability(features[~measured], drawn.labels[~measured])
        assert said[measured] == pytest.approx(one.of(features[measured]), abs=1e-6)
    expected = precision_recall_fscore_support(drawn.labels, said >= 0.5, average="binary")[:3]
    found = [numbers.metrics[name].value for name in ("precision", "recall", "F1")]
    assert found == pytest.approx([100 * one for one in expected])
    assert (numbers.threshold, numbers.threshold_from) == (0.5, "the other half")


def test_images_that_hang_together_cannot_be_halved():
    truth = sparse.csr_array(np.array([[1, 1, 0, 0], [0, 1, 1, 0]], bool))
    drawn = draw_pairs(truth, seed=0)
    with pytest.raises(DataError, match="cannot be halved"):
        cross_fitted_pairs(np.zeros((len(drawn.labels), 5)), drawn, truth, seed=0)


@pytest.mark.parametrize("stages", [1, 2])
def test_it_decides_the_protocol_pairs(stages, drawn_pairs):
    matcher = visita.load("visita-small" if stages == 1 else two_stages(drawn_pairs))
    measured = features_for(matcher, drawn_pairs.take("test"), None)
    drawn = pairs_to_measure(measured.pairs.truth.tocsr(), seed=0)
    images, texts = vectors(matcher, measured)
    scored = RerankedPairs(matcher, measured) if stages == 2 else None
    said = []
    for image, text in zip(drawn.images, drawn.texts, strict=True):
        only = sparse.csr_array(([True], ([image], [text])), shape=measured.pairs.truth.shape)
        reranker_scores = [scored.reranked(only)[image, text]] if scored else None
        words = [len(measured.pairs.texts[text].split())]
        others = matcher.retriever.any_texts
        known = (images[image][None], texts[text][None], np.array(words), reranker_scores, others)
        said.append(matcher.match_probability.of(match_features(*known))[0] >= 0.5)
    said = np.array(said)
    expected = np.mean(
        [
            precision_recall_fscore_support(drawn.labels[rows], said[rows], average="binary")[:3]
            for rows in drawn.rows()
        ],
        axis=0,
    )
    report = visita.evaluate(matcher, drawn_pairs, split="test", protocols=["pairs"])
    found = report["protocols"]["pairs"]
    assert [found[name]["value"] for name in ("precision", "recall", "F1")] == pytest.approx(
        [100 * one for one in expected]
    )
    assert (found["threshold"], found["threshold_from"]) == (0.5, "matcher")


def test_a_pair_is_told_by_one_stage_as_by_its_numbers(drawn_folder):
    finder, text = visita.Finder("visita-small"), "a red circle on blue"
    pair = finder.match(drawn_folder / "00000.jpg", text)
    image, vector = finder.embed_pictures([drawn_folder / "00000.jpg"]), finder.embed_texts([text])
    known = finder.matcher.match_probability
    features = match_features(image, vector, np.array([5]), None, finder.matcher.any_texts)
    assert pair.probability == pytest.approx(float(known.of(features)[0]), abs=1e-5)
    assert pair.score == pytest.approx(float(image[0] @ vector[0]), abs=1e-5)
    assert str(pair).endswith(f"match: probability {pair.probability:.3f}, score {pair.score:.3f}")
