"""Learning kernel weights: against a generic solver, optimality conditions and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from visita.errors import ConfigError, DataError
from visita.kernels import Kernel, align, centre, centred_alignment, easy_mkl, simple_mkl, variance
from visita.kernels.simplemkl import PAPER_TOLERANCE

Problem = tuple[list[np.ndarray], np.ndarray]


def problem(rows: int = 30, seed: int = 0) -> Problem:
    """Return Gram matrices of four kernels, of which two carry something, and labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 4))
    signs = np.where(x[:, 0] + 0.5 * x[:, 1] + 0.5 * rng.standard_normal(rows) > 0, 1.0, -1.0)
    kernels = [
        Kernel(function="linear", span=(0, 1)),
        Kernel(function="rbf", gamma=0.5, span=(0, 2)),
        Kernel(function="linear", span=(2, 4)),
        Kernel(function="polynomial", degree=2, span=(1, 3)),
    ]
    grams = [kernel(x) for kernel in kernels]
    return [gram / variance(gram) for gram in grams], signs


def dual_optimum(grams, signs, c):
    """Maximise Σβ - t/2 with βᵀYK_kYβ <= t for all k: the dual, by SLSQP."""
    quadratic = [signs[:, None] * gram * signs for gram in grams]
    n = len(signs)
    found = optimize.minimize(
        lambda z: z[-1] / 2 - z[:-1].sum(),
        np.append(np.full(n, 1e-3), 1.0),
        jac=lambda _: np.append(-np.ones(n), 0.5),
        bounds=[(0, c)] * n + [(0, None)],
        constraints=[
            {"type": "eq", "fun": lambda z: signs @ z[:-1], "jac": lambda _: np.append(signs, 0)},
            *(
                {
                    "type": "ineq",
                    "fun": lambda z, q=q: z[-1] - z[:-1] @ q @ z[:-1],
                    "jac": lambda z, q=q: np.append(-2 * q @ z[:-1], 1.0),
                }
                for q in quadratic
            ),
        ],
        options={"ftol": 1e-12, "maxiter": 500},
        method="SLSQP",
    )
    assert found.success, found.message
    return -found.fun


@pytest.mark.parametrize(("c", "seed"), [(0.1, 0), (1.0, 1), (10.0, 2)])
def test_simplemkl_reaches_the_optimum_of_a_generic_solver(c, seed):
    grams, signs = problem(seed=seed)
    found = simple_mkl(grams, signs, C=c, tolerance=1e-5)
    assert found.objective == pytest.approx(dual_optimum(grams, signs, c), rel=2e-5)
    assert 0 <= found.gap <= 1e-5 * found.objective


def test_simplemkl_finds_the_weights_of_the_primal_problem():
    """min ½ Σ_k ‖w_k‖² / α_k + C Σξ in w, b, ξ and α together, by SLSQP on explicit features."""
    rng = np.random.default_rng(3)
    n, c = 24, 0.5
    blocks = [rng.standard_normal((n, 2)) for _ in range(3)]
    signs = np.where(blocks[0][:, 0] + blocks[1][:, 0] + 0.3 * rng.standard_normal(n) > 0, 1.0, -1)
    features = np.concatenate(blocks, axis=1)

    def objective(z):
        w, alpha, slack = z[:6].reshape(3, 2), z[6:9], z[10:]
        return ((w**2).sum(axis=1) / alpha).sum() / 2 + c * slack.sum()

    def gradient(z):
        w, alpha = z[:6].reshape(3, 2), z[6:9]
        by_w, by_alpha = (w / alpha[:, None]).ravel(), -((w**2).sum(axis=1)) / alpha**2 / 2
        return np.concatenate([by_w, by_alpha, [0.0], np.full(n, c)])

    margins = np.hstack([signs[:, None] * features, np.zeros((n, 3)), signs[:, None], np.eye(n)])
    simplex = np.concatenate([np.zeros(6), np.ones(3), np.zeros(n + 1)])
    start = np.concatenate([np.zeros(6), np.full(3, 1 / 3), [0.0], np.ones(n)])
    solved = optimize.minimize(
        objective,
        start,
        jac=gradient,
        bounds=[(None, None)] * 6 + [(1e-7, 1)] * 3 + [(None, None)] + [(0, None)] * n,
        constraints=[
            {"type": "ineq", "fun": lambda z: margins @ z - 1, "jac": lambda _: margins},
            {"type": "eq", "fun": lambda z: simplex @ z - 1, "jac": lambda _: simplex},
        ],
        options={"ftol": 1e-12, "maxiter": 1000},
        method="SLSQP",
    )
    assert solved.success, solved.message
    found = simple_mkl([b @ b.T for b in blocks], signs, C=c, tolerance=1e-6)
    assert found.objective == pytest.approx(solved.fun, rel=1e-5)
    assert found.weights == pytest.approx(solved.x[6:9], abs=2e-3)
    assert found.intercept == pytest.approx(solved.x[9], abs=0.01)
    outputs = sum(a * b @ b.T for a, b in zip(found.weights, blocks, strict=True)) @ found.dual
    assert outputs == pytest.approx(features @ solved.x[:6], abs=0.01)


@pytest.mark.parametrize("c", [0.3, 3.0])
def test_simplemkl_meets_the_optimality_conditions(c):
    grams, signs = problem(60, seed=4)
    found = simple_mkl(grams, signs, C=c, tolerance=1e-6)
    beta = found.dual * signs
    assert found.weights.sum() == pytest.approx(1) and (found.weights >= 0).all()
    assert (beta >= 0).all() and (beta <= c + 1e-12).all()
    assert found.dual.sum() == pytest.approx(0, abs=1e-9)
    # Stationary in α: kernels in use share the largest βᵀYK_kYβ.
    norms = np.array([found.dual @ gram @ found.dual for gram in grams])
    assert norms[found.weights > 1e-3] == pytest.approx(norms.max(), rel=1e-3)
    # Complementary slackness of the SVM, up to the gap.
    kernel = sum(a * gram for a, gram in zip(found.weights, grams, strict=True))
    margins = signs * (kernel @ found.dual + found.intercept)
    assert (margins[beta < 1e-8] > 1 - 0.01).all()
    assert (margins[beta > c - 1e-8] < 1 + 0.01).all()
    assert margins[(beta > 1e-3 * c) & (beta < 0.999 * c)] == pytest.approx(1, abs=0.01)
    slack = np.maximum(0, 1 - margins).sum()
    assert found.objective == pytest.approx(found.dual @ kernel @ found.dual / 2 + c * slack)


def test_a_kernel_of_noise_gets_no_weight():
    rng = np.random.default_rng(5)
    signal, noise = rng.standard_normal((2, 200, 3))
    signs = np.where(signal[:, 0] > 0, 1.0, -1.0)
    grams = [signal @ signal.T, noise @ noise.T]
    assert simple_mkl(grams, signs, C=0.1).weights[1] < 0.01
    assert align(grams, signs)[1] < 0.05
    assert easy_mkl(grams, signs)[1] < 0.05


def test_duplicate_kernels_share_one_weight():
    grams, signs = problem(40, seed=6)
    alone = simple_mkl(grams, signs, C=1.0, tolerance=1e-5)
    twice = simple_mkl([*grams, grams[1]], signs, C=1.0, tolerance=1e-5)
    assert twice.objective == pytest.approx(alone.objective, rel=2e-5)
    assert twice.weights[1] + twice.weights[4] == pytest.approx(alone.weights[1], abs=0.02)
    doubled = align([*grams, grams[1]], signs)
    assert doubled[[0, 2, 3]] == pytest.approx(align(grams, signs)[[0, 2, 3]], abs=1e-6)
    easy = easy_mkl([*grams, grams[1]], signs)
    assert easy[1] == pytest.approx(easy[4])


@pytest.mark.slow
@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_default_tolerance_gives_weights_to_a_hundredth(c):
    """Kernels that are alike, along whose difference the objective is nearly flat."""
    rows, labels = load_breast_cancer(return_X_y=True)
    some = np.random.default_rng(0).permutation(len(rows))[:80]
    x = StandardScaler().fit_transform(rows)[some]
    signs = np.where(labels[some] == 1, 1.0, -1.0)
    kernels = [Kernel(function="rbf", gamma=2.0**power / 30) for power in range(-3, 4)]
    grams = [kernel(x) / variance(kernel(x)) for kernel in (*kernels, Kernel(function="linear"))]
    exact = simple_mkl(grams, signs, C=c, tolerance=1e-5)
    assert simple_mkl(grams, signs, C=c).weights == pytest.approx(exact.weights, abs=0.01)
    rough = simple_mkl(grams, signs, C=c, tolerance=PAPER_TOLERANCE)
    assert np.abs(rough.weights - exact.weights).max() > 0.02


def test_many_kernels_of_one_column_each_are_weighed():
    """More free rows than columns: the curvature has no rank to spare, and rounding shows."""
    rng = np.random.default_rng(9)
    x = rng.standard_normal((60, 20))
    signs = np.where(x[:, 0] + rng.standard_normal(60) > 0, 1.0, -1.0)
    grams = [np.outer(column, column) for column in x.T]
    found = simple_mkl([*grams, grams[0]], signs, C=1.0)
    assert found.gap <= 1e-4 * found.objective
    assert found.weights.sum() == pytest.approx(1) and (found.weights >= 0).all()


def test_one_kernel_is_the_svm():
    grams, signs = problem(40, seed=7)
    found = simple_mkl(grams[1:2], signs, C=2.0, tolerance=1e-6)
    svm = SVC(C=2.0, kernel="precomputed", tol=1e-8).fit(grams[1], signs)
    assert found.weights.tolist() == [1.0]
    assert found.iterations == 1
    expected = svm.decision_function(grams[1])
    assert grams[1] @ found.dual + found.intercept == pytest.approx(expected, abs=1e-3)
    assert align(grams[1:2], signs).tolist() == easy_mkl(grams[1:2], signs).tolist() == [1.0]


def test_what_more_points_would_improve_is_said():
    grams, signs = problem(40, seed=8)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        short = simple_mkl(grams, signs, C=1.0, tolerance=1e-6, max_iter=2)
    long = simple_mkl(grams, signs, C=1.0, tolerance=1e-6)
    assert short.iterations == 2
    # The gap is a bound: the optimum is not below it.
    assert short.objective - short.gap <= long.objective < short.objective


def test_alignment_is_the_cosine_of_centred_matrices():
    grams, _ = problem(12)
    first, second = (
        gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean() for gram in grams[:2]
    )
    expected = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    assert centred_alignment(grams[0], grams[1]) == pytest.approx(expected)
    assert centred_alignment(grams[0], 3 * grams[0]) == pytest.approx(1)
    assert centred_alignment(grams[0], np.ones((12, 12))) == 0


def test_alignment_weights_are_the_closed_form_where_it_is_not_negative():
    rng = np.random.default_rng(9)
    blocks = [rng.standard_normal((50, 2)) for _ in range(3)]
    signs = np.where(sum(b[:, 0] for b in blocks) > 0, 1.0, -1.0)
    grams = [b @ b.T for b in blocks]
    centred = [centre(gram, gram) for gram in grams]
    products = np.array([[(a * b).sum() for b in centred] for a in centred])
    closed = np.linalg.solve(products, [signs @ gram @ signs for gram in centred])
    assert (closed > 0).all()
    assert align(grams, signs) == pytest.approx(closed / closed.sum())


def test_no_other_weights_align_better():
    grams, signs = problem(30, seed=10)
    ideal = np.outer(signs, signs)
    found = align(grams, signs)
    assert 0 in found  # the closed form would be negative somewhere

    def missed(weights):
        return -centred_alignment(np.tensordot(weights, grams, 1), ideal)

    simplex = {"type": "eq", "fun": lambda w: w.sum() - 1}
    solved = optimize.minimize(
        missed, np.full(4, 0.25), bounds=[(0, 1)] * 4, constraints=[simplex], method="SLSQP"
    )
    assert missed(found) <= solved.fun + 1e-6
    assert found == pytest.approx(solved.x, abs=0.01)


@pytest.mark.parametrize("regularisation", [0.05, 0.5, 1.0])
def test_easymkl_solves_its_quadratic_programme(regularisation):
    grams, signs = problem(20, seed=11)
    quadratic = signs[:, None] * sum(grams) * signs

    def objective(g):
        return (1 - regularisation) * g @ quadratic @ g + regularisation * g @ g

    def gradient(g):
        return 2 * ((1 - regularisation) * quadratic @ g + regularisation * g)

    sides = [(signs > 0).astype(float), (signs < 0).astype(float)]
    solved = optimize.minimize(
        objective,
        sides[0] / sides[0].sum() + sides[1] / sides[1].sum(),
        jac=gradient,
        bounds=[(0, None)] * 20,
        constraints=[{"type": "eq", "fun": lambda g, s=s: s @ g - 1} for s in sides],
        options={"ftol": 1e-14, "maxiter": 500},
        method="SLSQP",
    )
    point = signs * solved.x
    sizes = np.array([point @ gram @ point for gram in grams])
    assert easy_mkl(grams, signs, regularisation=regularisation) == pytest.approx(
        sizes / sizes.sum(), abs=2e-3
    )


WEIGHERS = [align, easy_mkl, lambda grams, signs: simple_mkl(grams, signs, C=1.0).weights]


@pytest.mark.parametrize("weigh", WEIGHERS, ids=["align", "easy_mkl", "simple_mkl"])
def test_what_cannot_be_learnt_from_is_refused(weigh):
    grams, signs = problem(20)
    with pytest.raises(DataError, match="labels 1 and -1"):
        weigh([np.ones((1, 1))], [1.0])
    with pytest.raises(DataError, match="labels 1 and -1"):
        weigh(grams, np.where(signs > 0, 1, 0))
    with pytest.raises(DataError, match="labels 1 and -1"):
        weigh(grams, np.ones(20))
    with pytest.raises(DataError, match="at least one Gram matrix"):
        weigh([], signs)
    with pytest.raises(DataError, match="19 labels do not fit"):
        weigh([gram[:20, :20] for gram in grams], signs[:19])
    spoilt = grams[1].copy()
    spoilt[3, 4] = np.nan
    with pytest.raises(DataError, match=r"Gram matrix 2 holds NaN"):
        weigh([grams[0], spoilt], signs)
    with pytest.raises(DataError, match=r"Gram matrix 2 is not positive semi-definite"):
        weigh([grams[0], -grams[1]], signs)


def test_kernels_that_see_nothing_are_refused_or_left_out():
    grams, signs = problem(20)
    blind = np.full((20, 20), 0.1)
    for weigh in (align, easy_mkl):
        with pytest.raises(DataError, match="No kernel tells the two classes apart"):
            weigh([blind], signs)
        assert weigh([grams[0], blind], signs) == pytest.approx([1, 0], abs=1e-9)
    assert simple_mkl([grams[0], blind], signs, C=1.0).weights == pytest.approx([1, 0], abs=1e-9)


def test_settings_out_of_range_are_refused():
    grams, signs = problem(20)
    for settings in ({"C": 0.0}, {"C": 1.0, "tolerance": 0.0}, {"C": 1.0, "max_iter": 0}):
        with pytest.raises(ConfigError, match="SimpleMKL needs"):
            simple_mkl(grams, signs, **settings)
    for regularisation in (0.0, 1.5):
        with pytest.raises(ConfigError, match=r"in \(0, 1\]"):
            easy_mkl(grams, signs, regularisation=regularisation)
