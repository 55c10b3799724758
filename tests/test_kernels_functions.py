"""Kernel functions, products, sums and Gram matrices, against naive loops."""

from __future__ import annotations

import numpy as np
import pytest

from visita.errors import ConfigError, DataError, UnknownNameError
from visita.kernels import (
    KERNELS,
    Columns,
    Combination,
    Kernel,
    Product,
    centre,
    check_gram,
    unit_diagonal,
    variance,
)
from visita.kernels.gram import check_problem

RNG = np.random.default_rng(0)
ROWS, OTHERS = RNG.random((7, 5)), RNG.random((4, 5))

NAIVE = {
    "linear": (Kernel(function="linear"), lambda x, z: x @ z),
    "cosine": (
        Kernel(function="cosine"),
        lambda x, z: x @ z / np.sqrt((x @ x) * (z @ z)),
    ),
    "polynomial": (
        Kernel(function="polynomial", degree=2, gamma=0.3, coef0=0.5),
        lambda x, z: (0.3 * x @ z + 0.5) ** 2,
    ),
    "rbf": (Kernel(function="rbf", gamma=0.7), lambda x, z: np.exp(-0.7 * ((x - z) ** 2).sum())),
    "laplacian": (
        Kernel(function="laplacian", gamma=0.7),
        lambda x, z: np.exp(-0.7 * np.abs(x - z).sum()),
    ),
    "chi2": (
        Kernel(function="chi2", gamma=0.7),
        lambda x, z: np.exp(-0.7 * ((x - z) ** 2 / (x + z)).sum()),
    ),
    "intersection": (Kernel(function="intersection"), lambda x, z: np.minimum(x, z).sum()),
}


def naive(function, rows, others):
    return [[function(x, z) for z in others] for x in rows]


@pytest.mark.parametrize("name", KERNELS.names())
def test_kernels_are_their_formulas(name):
    kernel, formula = NAIVE[name]
    assert kernel(ROWS, OTHERS) == pytest.approx(np.array(naive(formula, ROWS, OTHERS)))
    gram = kernel(ROWS)
    assert gram == pytest.approx(np.array(naive(formula, ROWS, ROWS)))
    assert gram.dtype == np.float64
    check_gram(gram)


def test_unset_parameters_are_those_of_scikit_learn():
    rbf, polynomial = Kernel(function="rbf"), Kernel(function="polynomial")
    assert rbf(ROWS) == pytest.approx(Kernel(function="rbf", gamma=1 / 5)(ROWS))
    explicit = Kernel(function="polynomial", degree=3, gamma=1 / 5, coef0=1.0)
    assert polynomial(ROWS) == pytest.approx(explicit(ROWS))


def test_a_kernel_reads_its_columns_only():
    kernel = Kernel(function="rbf", gamma=0.5, span=(1, 3), on="head:avg")
    assert kernel(ROWS) == pytest.approx(Kernel(function="rbf", gamma=0.5)(ROWS[:, 1:3]))
    with pytest.raises(DataError, match=r"head:avg does not fit rows of shape \(7, 2\)"):
        kernel(ROWS[:, :2])


def test_names_are_for_people():
    assert Kernel(function="linear").name == "linear"
    assert Kernel(function="rbf", gamma=0.5, on="head:avg").name == "rbf(gamma=0.5) on head:avg"
    assert Kernel(function="cosine", span=(2, 4)).name == "cosine on columns 2:4"
    image, text = Kernel(function="linear", on="image"), Kernel(function="rbf", gamma=2, on="text")
    product = Product(factors=(image, text))
    assert product.name == "linear on image × rbf(gamma=2) on text"
    total = Combination(kernels=(image, text, product), weights=(0.25, 0.0, 0.75))
    assert total.name == f"0.25 linear on image + 0.75 {product.name}"


def test_products_and_sums_are_those_of_the_blocks():
    first = Kernel(function="linear", span=(0, 2))
    second = Kernel(function="rbf", gamma=1.0, span=(2, 5))
    product = Product(factors=(first, second))
    blocks = first(ROWS, OTHERS), second(ROWS, OTHERS)
    assert product(ROWS, OTHERS) == pytest.approx(blocks[0] * blocks[1])
    total = Combination(kernels=(first, product), weights=(0.2, 3.0))
    expected = 0.2 * blocks[0] + 3.0 * blocks[0] * blocks[1]
    assert total(ROWS, OTHERS) == pytest.approx(expected)
    assert total(ROWS) == pytest.approx(total(ROWS, ROWS))
    check_gram(total(ROWS))


def test_descriptions_survive_json():
    first = Kernel(function="polynomial", degree=2, span=(0, 2), on="words")
    total = Combination(
        kernels=(first, Product(factors=(first, Kernel(function="rbf", gamma=0.1)))),
        weights=(0.25, 0.75),
    )
    again = Combination.model_validate_json(total.model_dump_json())
    assert again == total
    assert hash(again) == hash(total)
    assert np.array_equal(again(ROWS), total(ROWS))


@pytest.mark.parametrize("name", ["chi2", "intersection"])
def test_histogram_kernels_refuse_signed_input(name):
    signed = ROWS.copy()
    signed[2, 3] = -0.1
    with pytest.raises(DataError, match=rf"{name} on words compares histograms.*take rbf"):
        Kernel(function=name, on="words")(signed)
    with pytest.raises(DataError, match="negative"):
        Kernel(function=name)(ROWS, signed)
    Kernel(function=name, span=(0, 3))(signed)  # what it does not read may be signed


@pytest.mark.parametrize("name", KERNELS.names())
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_kernels_refuse_what_is_not_finite(name, value):
    spoilt = ROWS.copy()
    spoilt[0, 0] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        Kernel(function=name)(spoilt)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "linear", "gamma": 1.0}, "linear has no gamma; it has no parameters"),
        ({"function": "rbf", "degree": 2, "coef0": 1}, "rbf has no degree or coef0; it has gamma"),
        ({"function": "rbf", "gamma": 0.0}, "gamma is above 0"),
        ({"function": "rbf", "gamma": np.nan}, "gamma is above 0"),
        ({"function": "polynomial", "degree": 0}, "degree at least 1"),
        ({"function": "polynomial", "coef0": -1.0}, "coef0 is at least 0"),
        ({"function": "linear", "span": (3, 3)}, "0 <= start < stop"),
    ],
)
def test_what_is_no_kernel_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Kernel(**settings)


def test_unknown_functions_get_a_hint():
    with pytest.raises(UnknownNameError, match="Did you mean 'laplacian'"):
        Kernel(function="laplace")


def test_weights_must_fit_their_kernels():
    with pytest.raises(ConfigError, match="1 kernels need as many weights, not 2"):
        Combination(kernels=(Kernel(function="linear"),), weights=(0.5, 0.5))
    with pytest.raises(ConfigError, match="not negative"):
        Combination(kernels=(Kernel(function="linear"),), weights=(-0.5,))


def test_columns_are_named_spans():
    parts = {"image": RNG.random((6, 3)), "text": RNG.random((6, 2)) * 4, "still": np.ones((6, 1))}
    columns = Columns.stack(parts)
    assert columns.values.shape == (6, 6) and columns.values.dtype == np.float32
    assert columns.spans == {"image": (0, 3), "text": (3, 5), "still": (5, 6)}
    kernel = columns.kernel("rbf", "text", gamma=columns.gamma("text"))
    assert kernel.name.endswith(" on text")
    # scikit-learn's "scale": 1 / (width × variance of all entries), here per column's mean.
    spread = parts["text"].astype(np.float32).var(axis=0).sum()
    assert kernel.gamma == pytest.approx(1 / spread)
    assert columns.gamma("still") == 1
    assert kernel(columns.values) == pytest.approx(
        Kernel(function="rbf", gamma=1 / spread)(parts["text"]), rel=1e-5
    )
    with pytest.raises(UnknownNameError, match="Did you mean 'image'"):
        columns.kernel("linear", "images")
    with pytest.raises(DataError, match="image 6, text 5"):
        Columns.stack({"image": np.ones((6, 1)), "text": np.ones((5, 1))})


def test_centring_is_that_of_the_features():
    train, new = RNG.standard_normal((9, 3)), RNG.standard_normal((4, 3))
    mean = train.mean(axis=0)
    assert centre(train @ train.T, train @ train.T) == pytest.approx(
        (train - mean) @ (train - mean).T
    )
    assert centre(new @ train.T, train @ train.T) == pytest.approx((new - mean) @ (train - mean).T)
    assert centre(np.array([[3.0]]), np.array([[3.0]])) == 0


def test_a_unit_diagonal_is_the_cosine():
    train, new = RNG.standard_normal((9, 3)), RNG.standard_normal((4, 3))
    train[2] = 0
    gram, block = train @ train.T, new @ train.T
    diagonal = np.diag(gram)
    cosine = Kernel(function="cosine")
    assert unit_diagonal(gram, diagonal, diagonal) == pytest.approx(cosine(train))
    assert unit_diagonal(block, np.diag(new @ new.T), diagonal) == pytest.approx(cosine(new, train))
    assert unit_diagonal(np.array([[4.0]]), np.array([4.0]), np.array([4.0])) == 1


def test_variance_is_that_of_the_features():
    rows = RNG.standard_normal((9, 3)) + 5
    gram = rows @ rows.T
    assert variance(gram) == pytest.approx(rows.var(axis=0).sum())
    assert variance(gram / variance(gram)) == pytest.approx(1)
    assert variance(np.full((5, 5), 0.3)) == variance(np.array([[2.0]])) == 0


def test_usable_gram_matrices_pass():
    for gram in (np.array([[2.0]]), np.zeros((3, 3)), np.ones((4, 4)), ROWS @ ROWS.T):
        assert np.array_equal(check_gram(gram), gram)
    single = ROWS.astype(np.float32) @ ROWS.T.astype(np.float32)  # rank 5 of 7, rounded
    assert check_gram(single).dtype == np.float64
    grams, signs = check_problem([np.eye(2)], [1, -1])
    assert len(grams) == 1 and signs.tolist() == [1, -1]


@pytest.mark.parametrize(
    ("gram", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones(3), r"shape \(3,\)"),
        (np.ones((0, 0)), r"shape \(0, 0\)"),
        ([[1.0, np.nan], [np.nan, 1.0]], "holds NaN or infinite"),
        ([[1.0, 0.5], [0.2, 1.0]], "is not symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], r"not positive semi-definite \(least eigenvalue -1\)"),
        ([[0.0, 1.0], [1.0, 0.0]], "not positive semi-definite"),
        ([[-1.0]], "not positive semi-definite"),
    ],
)
def test_unusable_gram_matrices_are_refused(gram, message):
    with pytest.raises(DataError, match=message):
        check_gram(gram)
