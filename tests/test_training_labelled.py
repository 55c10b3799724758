"""Labelled pairs: as many false as true, shares of patched pictures, drawn anew each epoch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from visita.training.batches import PairBatch, labelled_pairs, labels_of, pair_count

IMAGES, TEXTS = 12, 30


def truth() -> sparse.csr_array:
    """Return one to four texts an image, some texts of two images."""
    rng = np.random.default_rng(0)
    dense = np.zeros((IMAGES, TEXTS), bool)
    dense[np.arange(TEXTS) % IMAGES, np.arange(TEXTS)] = True
    dense[rng.integers(0, IMAGES, 6), rng.integers(0, TEXTS, 6)] = True
    return sparse.csr_array(dense)


def patched() -> tuple[np.ndarray, np.ndarray]:
    """Return which four pictures each is made of, (n, 4), and their shares."""
    rng = np.random.default_rng(1)
    sources = np.column_stack([np.arange(IMAGES), rng.integers(0, IMAGES, (IMAGES, 3))])
    return sources, rng.dirichlet(np.ones(4), IMAGES)


def made_of() -> sparse.csr_array:
    sources, shares = patched()
    places = np.repeat(np.arange(IMAGES), 4), sources.ravel()
    return sparse.csr_array((shares.ravel().astype("f4"), places), shape=(IMAGES, IMAGES))


def eye() -> sparse.csr_array:
    return sparse.eye_array(IMAGES, dtype=np.float32, format="csr")


def epoch(labels: sparse.csr_array, count: int = 5, size: int = 16, seed: int = 0) -> PairBatch:
    """Return all pairs of an epoch as one batch."""
    some = list(labelled_pairs(labels, IMAGES, count, size, np.random.default_rng(seed)))
    assert all(len(batch.views) == size for batch in some[:-1])
    assert 0 < len(some[-1].views) <= size
    return PairBatch(*(np.concatenate([getattr(b, f) for b in some]) for f in PairBatch.__slots__))


def test_labels_are_shares_of_the_area_that_a_text_belongs_to():
    dense = truth().toarray()
    labels = labels_of(truth(), [eye(), made_of()]).toarray()
    sources, shares = patched()
    assert labels.shape == (3 * IMAGES, TEXTS)
    for i in range(IMAGES):
        for t in range(TEXTS):
            share = sum(s for j, s in zip(sources[i], shares[i], strict=True) if dense[j, t])
            assert labels[i, t] == labels[IMAGES + i, t] == dense[i, t]
            assert labels[2 * IMAGES + i, t] == pytest.approx(share, abs=1e-6)


def test_every_true_pair_comes_once_and_a_false_one_with_each():
    labels = labels_of(truth(), [])
    found = epoch(labels)
    dense = truth().toarray()
    true = found.labels == 1
    assert sorted(zip(found.views[true], found.texts[true], strict=True)) == sorted(
        zip(*dense.nonzero(), strict=True)
    )
    assert set(found.labels) == {0, 1} and true.sum() == (~true).sum()
    assert sorted(found.texts[true]) == sorted(found.texts[~true])
    assert not dense[found.views[~true], found.texts[~true]].any()
    assert len(found.views) == pair_count(truth(), 5)


def test_a_false_picture_is_any_that_does_not_match():
    labels = labels_of(truth(), [])
    seen: dict[int, set[int]] = {}
    for seed in range(150):
        found = epoch(labels, seed=seed)
        false = found.labels == 0
        for i, t in zip(found.views[false], found.texts[false], strict=True):
            seen.setdefault(int(t), set()).add(int(i))
    dense = truth().toarray()
    assert seen == {t: set(np.flatnonzero(~dense[:, t])) for t in range(TEXTS)}


def test_a_picture_is_seen_in_one_view_an_epoch_and_in_all_over_time():
    labels = labels_of(truth(), [eye(), made_of()])
    dense = labels.toarray()
    counted = np.zeros(3)
    for seed in range(60):
        found = epoch(labels, seed=seed)
        views = dict(zip(found.views % IMAGES, found.views // IMAGES, strict=True))
        assert all(views[row % IMAGES] == row // IMAGES for row in found.views)
        counted += np.bincount(list(views.values()), minlength=3)
        assert np.allclose(found.labels, dense[found.views, found.texts])
        assert (found.labels > 0).sum() == (found.labels == 0).sum()
    assert (np.abs(counted / counted.sum() - 1 / 3) < 0.08).all()


def test_all_four_pictures_of_a_patched_one_give_texts():
    labels = labels_of(truth(), [made_of()])
    sources, shares = patched()
    drawn: dict[int, set[int]] = {}
    for seed in range(150):
        found = epoch(labels, count=2, seed=seed)
        there = (found.labels > 0) & (found.views >= IMAGES)
        assert np.bincount(found.views[there]).max() <= 2
        for row, t in zip(found.views[there], found.texts[there], strict=True):
            drawn.setdefault(int(row) - IMAGES, set()).add(int(t))
    dense = truth().toarray()
    assert drawn == {i: set(np.flatnonzero(dense[sources[i]].any(0))) for i in range(IMAGES)}
    assert shares.min() > 0


def test_epochs_differ_and_follow_the_seed():
    labels = labels_of(truth(), [made_of()])
    rng = np.random.default_rng(3)
    first, second = (list(labelled_pairs(labels, IMAGES, 5, 8, rng)) for _ in range(2))
    again = list(labelled_pairs(labels, IMAGES, 5, 8, np.random.default_rng(3)))
    assert all(np.array_equal(a.views, b.views) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].views, second[0].views)


def test_a_text_that_matches_all_has_no_false_pair():
    labels = labels_of(sparse.csr_array(np.array([[1, 1, 0], [1, 0, 1]], bool)), [])
    (batch,) = labelled_pairs(labels, 2, 5, 100, np.random.default_rng(0))
    pairs = sorted(zip(batch.views, batch.texts, batch.labels, strict=True))
    assert pairs == [(0, 0, 1), (0, 1, 1), (0, 2, 0), (1, 0, 1), (1, 1, 0), (1, 2, 1)]
