"""Kernels on pairs of an image and a text, and finite maps of kernels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.svm import SVC

from visita.data.pairs import label_components
from visita.errors import ConfigError, DataError
from visita.kernels import (
    Combination,
    Kernel,
    NystroemMap,
    Product,
    RandomMap,
    SimpleMKL,
    Space,
    UniformMKL,
    approximation_error,
    pair_columns,
    pair_kernels,
    sample_pairs,
)
from visita.vectors import unit

RNG = np.random.default_rng(0)


def captions(images: int, each: int) -> sparse.csr_array:
    """Return a truth in which every image has ``each`` texts of its own."""
    return sparse.csr_array(np.kron(np.eye(images, dtype=bool), np.ones((1, each), bool)))


def test_half_of_the_pairs_are_true_and_each_image_meets_a_false_text():
    truth = captions(20, 3)
    pairs = sample_pairs(truth, seed=0)
    assert len(pairs.labels) == 120 and pairs.labels.sum() == 0
    dense = truth.toarray()
    assert np.array_equal(dense[pairs.images, pairs.texts], pairs.labels == 1)
    assert np.array_equal(pairs.images[:60], pairs.images[60:])
    assert np.array_equal(pairs.groups, label_components(truth)[0][pairs.images])
    again = sample_pairs(truth, seed=0)
    assert np.array_equal(again.texts, pairs.texts)
    assert not np.array_equal(sample_pairs(truth, seed=1).texts, pairs.texts)


def test_siblings_are_never_false():
    # Image 0 and 1 share text 1, so that text 2, of image 1, hangs together with image 0.
    dense = np.zeros((5, 8), bool)
    dense[0, [0, 1]] = dense[1, [1, 2]] = dense[2, [7]] = dense[3, [3, 6]] = dense[4, [4]] = True
    truth = sparse.csr_array(dense)
    image_labels, text_labels = label_components(truth)
    seen = set()
    for seed in range(200):
        pairs = sample_pairs(truth, seed=seed)
        false = pairs.labels == -1
        images, texts = pairs.images[false], pairs.texts[false]
        assert (image_labels[images] != text_labels[texts]).all()
        seen |= set(zip(images.tolist(), texts.tolist(), strict=True))
    possible = {(i, t) for i in range(5) for t in range(8) if image_labels[i] != text_labels[t]}
    assert seen == possible  # every other text, that of no image too, is drawn


def test_false_texts_are_drawn_evenly():
    truth = captions(4, 1)
    counts = np.zeros((4, 4))
    for seed in range(600):
        pairs = sample_pairs(truth, seed=seed)
        np.add.at(counts, (pairs.images[4:], pairs.texts[4:]), 1)
    assert counts.diagonal().sum() == 0
    assert (np.abs(counts[~np.eye(4, dtype=bool)] - 200) < 60).all()


def test_a_count_draws_distinct_true_pairs():
    pairs = sample_pairs(captions(30, 2), count=10, seed=0)
    true = pairs.labels == 1
    assert true.sum() == 10
    assert len(set(zip(pairs.images[true], pairs.texts[true], strict=True))) == 10
    assert sample_pairs(captions(3, 1), count=10, seed=0).labels.tolist() == [1] * 3 + [-1] * 3


def test_pairs_that_cannot_be_drawn_are_refused():
    with pytest.raises(DataError, match="no true pair"):
        sample_pairs(sparse.csr_array(np.zeros((2, 3), bool)), seed=0)
    with pytest.raises(DataError, match="no false pair"):
        sample_pairs(captions(1, 4), seed=0)


def spaces(images: int, texts: int) -> dict[str, Space]:
    return {
        "joint": Space(unit(RNG.random((images, 4))), unit(RNG.random((texts, 4)))),
        "raw": Space(RNG.random((images, 3)), RNG.random((texts, 2)), shared=False),
        "late": Space(unit(RNG.random((images, 2))), unit(RNG.random((texts, 2)))),
    }


def test_columns_of_pairs():
    given = spaces(5, 6)
    images, texts = np.array([0, 4, 4]), np.array([5, 0, 1])
    columns = pair_columns(given, images, texts)
    assert list(columns.spans) == [
        *("joint image", "joint text", "joint product", "raw image", "raw text"),
        *("late image", "late text", "late product", "scores"),
    ]

    def read(name):
        return columns.values[:, slice(*columns.spans[name])]

    for row, (i, t) in enumerate(zip(images, texts, strict=True)):
        joint = given["joint"]
        assert read("joint image")[row] == pytest.approx(joint.images[i])
        assert read("raw text")[row] == pytest.approx(given["raw"].texts[t])
        assert read("joint product")[row] == pytest.approx(joint.images[i] * joint.texts[t])
        cosines = [given[name].images[i] @ given[name].texts[t] for name in ("joint", "late")]
        assert read("scores")[row] == pytest.approx(cosines)
    with pytest.raises(DataError, match="not one space"):
        Space(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(DataError, match="none"):
        pair_columns({}, images, texts)


def test_kernels_of_pairs_are_products_and_agreements():
    given = spaces(9, 9)
    rows, others = (RNG.integers(9, size=(2, count)) for count in (4, 3))
    columns = pair_columns(given, *rows)
    kernels = {kernel.name: kernel for kernel in pair_kernels(columns)}
    assert len(kernels) == 3 + 2 + 3 + 4
    right = pair_columns(given, *others).values
    block = kernels["linear on raw image × linear on raw text"](columns.values, right)
    product = kernels["linear on joint product"](columns.values, right)
    for row, (i, t) in enumerate(rows.T):
        for column, (j, s) in enumerate(others.T):
            raw, joint = given["raw"], given["joint"]
            expected = (raw.images[i] @ raw.images[j]) * (raw.texts[t] @ raw.texts[s])
            assert block[row, column] == pytest.approx(expected, rel=1e-5)
            agreement = (joint.images[i] * joint.texts[t]) @ (joint.images[j] * joint.texts[s])
            assert product[row, column] == pytest.approx(agreement, rel=1e-5)
    only_raw = pair_columns({"raw": given["raw"]}, *rows)
    assert all(isinstance(kernel, Product) for kernel in pair_kernels(only_raw))


def hidden_match(count: int, seed: int) -> tuple[dict[str, Space], sparse.csr_array]:
    """Return two spaces: in one, half of the directions agree for matches; one is noise."""
    rng = np.random.default_rng(seed)
    topics = rng.standard_normal((count, 3))
    sides = [
        np.hstack([topics + 0.3 * rng.standard_normal((count, 3)), rng.standard_normal((count, 3))])
        for _ in range(2)
    ]
    noise = [unit(rng.standard_normal((count, 6))) for _ in range(2)]
    return {"space": Space(*map(unit, sides)), "noise": Space(*noise)}, captions(count, 1)


def test_learnt_kernels_match_better_than_the_cosine():
    given, truth = hidden_match(500, 0)
    pairs = sample_pairs(truth, seed=0)
    train = np.isin(pairs.images, np.arange(250))
    columns = pair_columns(given, pairs.images, pairs.texts)
    kernels = [k for k in pair_kernels(columns) if "product" in k.name or "scores" in k.name]
    model = SimpleMKL(kernels, C=0.1).fit(columns.values[train], pairs.labels[train])
    learnt = model.score(columns.values[~train], pairs.labels[~train])
    cosine = UniformMKL([Kernel(function="linear", span=_first_score(columns))])
    plain = cosine.fit(columns.values[train], pairs.labels[train]).score(
        columns.values[~train], pairs.labels[~train]
    )
    assert learnt > plain + 0.03
    assert model.weights_["linear on noise product"] < 0.02
    assert model.weights_["linear on space product"] > 0.05


def _first_score(columns) -> tuple[int, int]:
    start = columns.spans["scores"][0]
    return start, start + 1


ROWS = RNG.standard_normal((60, 5))
MIXED = Combination(
    kernels=(
        Kernel(function="linear", span=(0, 2)),
        Kernel(function="rbf", gamma=0.3),
        Product(factors=(Kernel(function="cosine"), Kernel(function="laplacian", span=(2, 4)))),
    ),
    weights=(0.2, 0.5, 0.3),
)


def test_nystroem_with_all_rows_is_exact():
    features = NystroemMap.fit(MIXED, ROWS, components=60, seed=0)
    mapped = features(ROWS)
    assert mapped.shape == (60, 60) and mapped.dtype == np.float32
    assert mapped @ mapped.T == pytest.approx(MIXED(ROWS), abs=1e-4)
    assert approximation_error(features, ROWS) < 1e-5


def test_nystroem_is_its_formula_and_nears_the_kernel():
    new = RNG.standard_normal((20, 5))
    errors = []
    for components in (5, 15, 45):
        features = NystroemMap.fit(MIXED, ROWS, components=components, seed=0)
        landmarks = features.landmarks
        assert {tuple(row) for row in landmarks} <= {tuple(row) for row in ROWS}
        block, own = MIXED(new, landmarks), MIXED(landmarks)
        expected = block @ np.linalg.pinv(own) @ block.T
        assert features(new) @ features(new).T == pytest.approx(expected, abs=1e-4)
        exact = MIXED(new)
        error = np.linalg.norm(exact - expected) / np.linalg.norm(exact)
        assert approximation_error(features, new) == pytest.approx(error, abs=1e-4)
        errors.append(error)
    assert errors[0] > errors[1] > errors[2]
    same = NystroemMap.fit(MIXED, ROWS, components=45, seed=0)
    assert np.array_equal(same(new), features(new))


def test_random_features_near_the_kernel_and_are_exact_where_it_is_linear():
    kernel = Combination(
        kernels=(
            Kernel(function="rbf", gamma=0.3, span=(1, 5)),
            Kernel(function="linear"),
            Kernel(function="cosine", span=(0, 3)),
            Kernel(function="polynomial", degree=2),
        ),
        weights=(0.6, 0.1, 0.2, 0.1),
    )
    maps = [RandomMap.fit(kernel, width=5, components=c, seed=0) for c in (32, 4096)]
    errors = [approximation_error(one, ROWS) for one in maps]
    assert errors[1] < 0.05 < errors[0]
    assert maps[1](ROWS[:2]).shape == (2, 2 * 4096 + 5 + 3)
    exact = Combination(kernels=kernel.kernels[1:3], weights=(0.1, 0.2))
    linear = RandomMap.fit(exact, width=5, components=1, seed=0)
    assert approximation_error(linear, ROWS) < 1e-6
    other = RandomMap.fit(kernel, width=5, components=32, seed=1)
    assert not np.array_equal(other(ROWS), maps[0](ROWS))


def test_a_linear_machine_on_the_map_decides_as_the_kernel_machine():
    labels = np.where((ROWS[:, :2] ** 2).sum(axis=1) > 1.4, 1, -1)
    kernels = [Kernel(function="rbf", gamma=0.5, span=(0, 2)), Kernel(function="linear")]
    model = SimpleMKL(kernels, C=1.0).fit(ROWS, labels)
    features = NystroemMap.fit(model.combination_, ROWS, components=60, seed=0)
    linear = SVC(C=1.0, kernel="linear").fit(features(ROWS), labels)
    decided = linear.decision_function(features(ROWS))
    assert decided == pytest.approx(model.decision_function(ROWS), abs=0.01)


def test_maps_that_cannot_be_made_are_refused():
    for components in (0, 61):
        with pytest.raises(ConfigError, match="give 1 to 60 landmarks"):
            NystroemMap.fit(MIXED, ROWS, components=components, seed=0)
    with pytest.raises(ConfigError, match=r"cosine × laplacian.* has no random features"):
        RandomMap.fit(MIXED, width=5, components=8, seed=0)
    chi2 = Combination(kernels=(Kernel(function="chi2"),), weights=(1.0,))
    with pytest.raises(ConfigError, match="use NystroemMap"):
        RandomMap.fit(chi2, width=5, components=8, seed=0)
    linear = Combination(kernels=(Kernel(function="linear"),), weights=(1.0,))
    with pytest.raises(ConfigError, match="at least 1"):
        RandomMap.fit(linear, width=5, components=0, seed=0)
    with pytest.raises(DataError, match="zero on these rows"):
        approximation_error(NystroemMap.fit(linear, ROWS, components=2, seed=0), 0 * ROWS)
