import json

import numpy as np
import pytest
from scipy import sparse

from visita.errors import DataError
from visita.evaluation import (
    calibration_error,
    cross_fitted_calibration_error,
    fit_calibration,
    reliability,
)
from visita.evaluation.calibrate import TOP, draw_galleries
from visita.matchers.probability import Calibration


def split(images=400, texts=3, width=48, noise=0.15, seed=0):
    """Unit vectors; each text is its image with noise, so scores overlap as real ones do."""
    rng = np.random.default_rng(seed)
    image_vectors = rng.normal(size=(images, width))
    owners = np.repeat(np.arange(images), texts)
    text_vectors = image_vectors[owners] * rng.uniform(0.1, 0.8, size=(len(owners), 1))
    text_vectors += 6.5 * noise * rng.normal(size=text_vectors.shape)
    truth = np.zeros((images, len(owners)), dtype=bool)
    truth[owners, np.arange(len(owners))] = True
    image_vectors, text_vectors = (
        (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)
        for v in (image_vectors, text_vectors)
    )
    return image_vectors, text_vectors, sparse.csr_array(truth)


def with_second_image(truth):
    """Make every tenth text true for a second image too."""
    table = truth.toarray()
    texts = np.arange(0, table.shape[1], 10)
    table[(table[:, texts].argmax(axis=0) + 7) % len(table), texts] = True
    return sparse.csr_array(table)


@pytest.mark.parametrize("shared", [False, True])
def test_galleries_hold_one_true_picture_for_about_half_of_the_texts(shared):
    images, texts, truth = split(images=60)
    truth = with_second_image(truth) if shared else truth
    table, scores = truth.toarray(), images @ texts.T
    drawn = list(draw_galleries(images, texts, truth, (1, 4, 30, 60, 1000), seed=1))
    assert [found.size for found in drawn] == [1, 4, 30, 60]  # sizes above n become n
    for found in drawn:
        shown = np.isfinite(found.scores)
        assert (np.diff(found.scores[:, : min(found.size, TOP)]) <= 0).all()
        assert (found.labels.sum(axis=1) <= 1).all()
        assert not found.labels[~shown].any()
        if found.size <= 4:  # all of the gallery is shown
            assert (shown.sum(axis=1) == found.size).all()
            assert 0.35 < found.labels.any(axis=1).mean() < 0.65
        for text in range(len(texts)):
            of_text = scores[:, text]
            for score, label in zip(found.scores[text], found.labels[text], strict=True):
                if np.isfinite(score):
                    image = np.abs(of_text - score).argmin()
                    assert of_text[image] == pytest.approx(score, abs=1e-6)
                    assert table[image, text] == label


def test_a_gallery_of_all_pictures_gives_the_true_best_results():
    images, texts, truth = split(images=50)
    [found] = draw_galleries(images, texts, truth, (50,), seed=0)
    scores, table = texts @ images.T, truth.toarray().T
    present = 0
    for text in range(len(texts)):
        everything = np.sort(scores[text])[::-1][:TOP]
        without = np.sort(scores[text][~table[text]])[::-1][:TOP]
        is_present = np.allclose(found.scores[text], everything, atol=1e-6)
        present += is_present
        assert is_present or np.allclose(found.scores[text], without, atol=1e-6)
    assert present > len(texts) / 3


def test_probabilities_are_close_to_what_happens_on_texts_not_fitted_on():
    images, texts, truth = split()
    found = cross_fitted_calibration_error(images, texts, truth, seed=0)
    assert set(found) == {"top1", "top10"}
    for of_size in found.values():
        assert set(of_size) == {"10", "100", "400"}
        assert all(one["error"] < 8 for one in of_size.values())
    counts = [one["count"] for one in found["top1"]["100"]["bins"]]
    assert sum(counts) == len(texts)
    assert max(counts) - min(counts) <= 1
    json.dumps(found)


def test_leaving_out_the_gallery_size_is_worse():
    images, texts, truth = split()
    fitted = fit_calibration(images, texts, truth, seed=0)
    at_ten = fit_calibration(images, texts, truth, sizes=(10,), seed=0)
    blind = Calibration(at_ten.intercept + at_ten.size_weight * np.log(10), at_ten.score_weight, 0)
    errors = [
        calibration_error(one, images, texts, truth, sizes=(400,), seed=5)["top1"]["400"]["error"]
        for one in (fitted, blind)
    ]
    assert errors[1] > errors[0] + 5
    assert fitted.size_weight < 0 < fitted.score_weight


def test_every_gallery_size_weighs_the_same_and_the_seed_decides():
    images, texts, truth = split(images=120)
    one, same, other = (fit_calibration(images, texts, truth, seed=seed) for seed in (3, 3, 4))
    assert one == same != other


def test_scores_worse_than_chance_get_no_weight_and_the_base_rate():
    images, texts, truth = split(images=200, noise=0.01)
    found = fit_calibration(images, -texts, truth, sizes=(10,), seed=0)
    assert found.score_weight == 0
    # First results are never right: 9 of 18 weights; the others are right 1 time in 18.
    assert 0 < found.probability(np.float32([0.5]), 10)[0] < 0.1


def test_a_perfect_matcher_is_sure_without_an_endless_weight():
    rng = np.random.default_rng(0)
    images = np.eye(40, dtype=np.float32)
    texts = images[rng.integers(40, size=200)]
    truth = sparse.csr_array((texts @ images.T).T > 0.5)
    found = fit_calibration(images, texts, truth, seed=0)
    assert found.probability(np.float32([1.0]), 40)[0] > 0.99
    assert found.probability(np.float32([0.0]), 40)[0] < 0.01
    assert found.score_weight < 100


def naive_error(probabilities, labels, bins):
    ranked = sorted(zip(probabilities, labels, strict=True), key=lambda pair: pair[0])
    size, rest = divmod(len(ranked), bins)
    total, start = 0.0, 0
    for index in range(bins):
        part = ranked[start : start + size + (index < rest)]
        start += len(part)
        total += abs(sum(p for p, _ in part) - sum(label for _, label in part))
    return 100 * total / len(ranked)


@pytest.mark.parametrize("count", [15, 200, 1000])
def test_the_expected_calibration_error_is_that_of_a_loop(count):
    rng = np.random.default_rng(count)
    probabilities = rng.random(count).astype(np.float32)
    labels = rng.random(count) < 0.5
    found = reliability(
        np.append(probabilities, np.nan).astype(np.float32), np.append(labels, True)
    )
    assert found["error"] == pytest.approx(naive_error(probabilities, labels, 15), rel=1e-5)
    assert len(found["bins"]) == 15


def test_what_cannot_be_calibrated_is_refused():
    images, texts, truth = split(images=30)
    with pytest.raises(DataError, match="same split"):
        fit_calibration(images[1:], texts, truth, seed=0)
    with pytest.raises(DataError, match="each have an image"):
        fit_calibration(images[1:], texts, truth[1:], seed=0)
    with pytest.raises(DataError, match="two images"):
        fit_calibration(images[:1], texts[:3], truth[:1, :3], seed=0)
    with pytest.raises(DataError, match="halved"):
        cross_fitted_calibration_error(images[:1], texts[:3], truth[:1, :3], seed=0)
    one_text = sparse.csr_array(np.array([[True], [False]]))
    with pytest.raises(DataError, match="too few texts"):
        fit_calibration(-images[:2], images[:1], one_text, sizes=(1,), seed=0)
    texts[4] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        fit_calibration(images, texts, truth, seed=0)
