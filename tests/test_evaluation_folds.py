"""Retrieval as the mean over folds, against naive loops."""

import json

import numpy as np
import pytest
from commands import run
from drawn import draw_pairs
from scipy import sparse
from test_evaluation_retrieval import flat as flat_without_folds
from test_evaluation_retrieval import naive_metrics, naive_rank, one_to_seven, unit

from visita.errors import ConfigError, DataError
from visita.evaluation import evaluate_vectors, retrieval, retrieval_in_folds


def flat(found):
    return flat_without_folds({name: one for name, one in found.items() if name != "folds"})


def vectors(rng, truth, noise=1.0):
    images = unit(rng, truth.shape[0], 8)
    texts = truth.T @ images + noise * rng.normal(size=(truth.shape[1], 8)).astype(np.float32)
    return images, texts.astype(np.float32), sparse.csr_array(truth)


def naive(images, texts, truth, folds):
    """Return the metrics of each fold, as ``flat`` orders them, by loops."""
    owners = truth.toarray().argmax(axis=0)
    n = len(images)
    rows = []
    for fold in range(folds):
        inside = range(n * fold // folds, n * (fold + 1) // folds)
        mine = [text for text, owner in enumerate(owners) if owner in inside]
        scores = images[list(inside)] @ texts[mine].T
        true = np.array([[owners[text] == image for text in mine] for image in inside])
        values = []
        for table, labels in ((scores, true), (scores.T, true.T)):
            values += naive_metrics(
                1 + naive_rank(*row)[0] for row in zip(table.tolist(), labels.tolist(), strict=True)
            )
        rows.append([*values, sum(values[:3]) + sum(values[4:7])])
    return rows


@pytest.mark.parametrize(("count", "folds"), [(50, 5), (53, 5), (40, 2)])
def test_each_metric_is_the_mean_of_the_folds_galleries(count, folds):
    rng = np.random.default_rng(count)
    truth, owners = one_to_seven(rng, count)
    assert np.bincount(owners).max() == 7  # no caption is dropped
    images, texts, csr = vectors(rng, truth)
    found = retrieval_in_folds(images, texts, csr, folds, seed=0, resamples=20)
    values = [one["value"] for one in flat(found.to_dict())]
    np.testing.assert_allclose(values, np.mean(naive(images, texts, csr, folds), axis=0))
    assert sum(found.sizes) == count
    assert max(found.sizes) - min(found.sizes) <= 1
    assert json.loads(json.dumps(found.to_dict()))["folds"] == list(found.sizes)


def test_one_fold_alone_is_another_number():
    rng = np.random.default_rng(1)
    images, texts, csr = vectors(rng, one_to_seven(rng, 100)[0], noise=2.0)
    mean = retrieval_in_folds(images, texts, csr, 5, seed=0, resamples=20)
    rows = naive(images, texts, csr, 5)
    assert len({row[-1] for row in rows}) == 5
    assert min(row[-1] for row in rows) < mean.rsum.value < max(row[-1] for row in rows)
    whole = retrieval(images, texts, csr, seed=0, resamples=20)
    assert whole.rsum.value < mean.rsum.value  # a gallery of five times the size is harder


def test_one_fold_is_the_whole_gallery():
    rng = np.random.default_rng(2)
    data = vectors(rng, one_to_seven(rng, 30)[0])
    one = retrieval_in_folds(*data, 1, seed=3, resamples=50)
    whole = retrieval(*data, seed=3, resamples=50)
    values = [[e["value"] for e in flat(r.to_dict())] for r in (one, whole)]
    np.testing.assert_allclose(*values)


def test_the_interval_is_that_of_the_mean():
    rng = np.random.default_rng(4)
    images, texts, csr = vectors(rng, one_to_seven(rng, 200)[0], noise=1.5)
    mean = retrieval_in_folds(images, texts, csr, 5, seed=0)
    again = retrieval_in_folds(images, texts, csr, 5, seed=0)
    other = retrieval_in_folds(images, texts, csr, 5, seed=1)
    assert mean.to_dict() == again.to_dict() != other.to_dict()
    for one in flat(mean.to_dict()):
        assert one["low"] <= one["value"] <= one["high"]
    # Each fold is resampled on its own: five independent parts, so about 1 / sqrt(5) as wide.
    owners = csr.toarray().argmax(axis=0)
    widths = []
    for fold in range(5):
        rows, columns = slice(40 * fold, 40 * fold + 40), owners // 40 == fold
        part = retrieval(images[rows], texts[columns], csr[rows][:, columns], seed=0)
        widths.append(part.rsum.high - part.rsum.low)
    expected = np.sqrt(np.sum(np.square(widths))) / 5
    assert mean.rsum.high - mean.rsum.low == pytest.approx(expected, rel=0.15)


def test_images_that_share_a_text_are_in_one_fold():
    truth = np.eye(20, dtype=bool)
    truth[19, 0] = True  # image 19 hangs together with image 0
    rng = np.random.default_rng(0)
    found = retrieval_in_folds(*vectors(rng, truth, 0.0), 5, seed=0, resamples=10)
    assert found.sizes == (5, 4, 4, 4, 3)
    assert found.metrics["image_to_text"]["R@5"].value == 100


def test_folds_that_cannot_be_are_refused():
    rng = np.random.default_rng(0)
    data = vectors(rng, np.eye(6, dtype=bool))
    with pytest.raises(ConfigError, match="one fold or more, not 0"):
        retrieval_in_folds(*data, 0, seed=0)
    with pytest.raises(DataError, match="Fold 1 of 7 has no image; choose fewer folds"):
        retrieval_in_folds(*data, 7, seed=0)
    with pytest.raises(DataError, match="two images or more"):
        retrieval_in_folds(*data, 6, seed=0)
    with pytest.raises(ConfigError, match="Folds are of the protocol 'retrieval'"):
        evaluate_vectors(*data, protocols=["pairs"], threshold=0.5, folds=5, seed=0)


def test_a_report_of_folds_says_so():
    rng = np.random.default_rng(0)
    data = vectors(rng, one_to_seven(rng, 30)[0])
    found = evaluate_vectors(*data, threshold=0.5, folds=5, seed=2)
    folded = retrieval_in_folds(*data, 5, seed=2).to_dict()
    whole = evaluate_vectors(*data, threshold=0.5, seed=2)
    assert json.loads(json.dumps(found["protocols"]["retrieval"])) == folded
    assert folded["folds"] == [6] * 5
    assert found["protocols"]["pairs"] == whole["protocols"]["pairs"]
    assert "folds" not in whole["protocols"]["retrieval"]


@pytest.mark.slow
def test_the_command_says_how_many_folds(tmp_path):
    draw_pairs(tmp_path / "pairs", 11)
    words = ("evaluate", "visita-small", "--data", f"folder:{tmp_path / 'pairs'}", "--split", "all")
    done = run(*words, "--protocol", "retrieval", "--folds", 2)
    assert done.status == 0
    assert "retrieval: the mean over 2 folds of 5, 6 images\n" in done.out
    assert "image to text R@10  100.0 [100.0, 100.0]\n" in done.out  # of five or six
