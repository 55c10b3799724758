"""Multiple kernel learning beside MKLpy's, on the same Gram matrices: accuracy and time.

python benchmarks/mkl.py [--rounds 5] [--rows 400]

MKLpy is GPL, so visita does not depend on it. Install both into an environment of their own:
    python -m venv ../mkl && ../mkl/bin/pip install -c constraints.txt -e . MKLpy
    ../mkl/bin/python benchmarks/mkl.py
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from visita.kernels import (
    AlignmentMKL,
    EasyMKL,
    Kernel,
    SimpleMKL,
    UniformMKL,
    easy_mkl,
    unit_diagonal,
)

C = 10.0
REGULARISATION = 0.1
STEPS = 50
"""Of GRAM, whose own limit is 1,000; each is two quadratic programmes."""
Data = tuple[Any, Any, Any, Any]


def main() -> None:
    """Print a table a data set, or why there is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=400, help="learnt from, at most")
    options = parser.parse_args()
    try:
        from MKLpy import algorithms  # noqa: PLC0415 - the message is better than its own
    except ImportError as error:
        sys.exit(f"Skipped: {error}. See the top of this file for what to install.")
    for name, (rows, labels) in data_sets().items():
        print(f"\n{name}, {rows.shape[1]} features\n")
        print("| kernels weighed by | beside | accuracy | its | s | / its s |")
        print("|---|---|--:|--:|--:|--:|")
        found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
        for seed in range(options.rounds):
            data = grams(rows, labels, options.rows, seed)
            for key, (ours, theirs) in pairs_of(algorithms).items():
                found.setdefault(key, []).append((*run(ours, data), *run(theirs, data)))
        for (ours, theirs), measured in found.items():
            own, seconds, other, others = np.array(measured).T
            print(
                f"| {ours} | {theirs} | {100 * own.mean():.1f} | {100 * other.mean():.1f} "
                f"| {np.median(seconds):.3f} | {np.median(seconds / others):.2f} |"
            )
        print(f"\nEasyMKL's weights differ by {difference(algorithms, data):.0e} at most")


def data_sets() -> dict[str, tuple[Any, Any]]:
    """Return features and two classes of scikit-learn's own data."""
    cancer, digits = load_breast_cancer(), load_digits()
    return {
        "breast cancer": (StandardScaler().fit_transform(cancer.data), cancer.target),
        "digits, even or odd": (digits.data / 16, digits.target % 2),
    }


def kernels(width: int) -> list[Kernel]:
    """Return RBF kernels of seven widths, a linear and a quadratic one."""
    rbf = [Kernel(function="rbf", gamma=2.0**power / width) for power in range(-3, 4)]
    return [*rbf, Kernel(function="linear"), Kernel(function="polynomial", degree=2)]


def grams(rows: Any, labels: Any, limit: int, seed: int) -> Data:
    """Return Gram matrices (m, n, n), labels, blocks (m, q, n) and labels of another split.

    All have a unit diagonal, which is how MKLpy's documentation has them.
    """
    x, z, y, t = train_test_split(
        rows, labels, train_size=min(limit, len(rows) // 2), random_state=seed, stratify=labels
    )
    learnt, blocks = [], []
    for kernel in kernels(rows.shape[1]):
        gram, own = kernel(x), np.diag(kernel(z))
        learnt.append(unit_diagonal(gram, np.diag(gram), np.diag(gram)))
        blocks.append(unit_diagonal(kernel(z, x), own, np.diag(gram)))
    return np.stack(learnt), np.where(y == 1, 1, -1), np.stack(blocks), np.where(t == 1, 1, -1)


def pairs_of(other: Any) -> dict[tuple[str, str], tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return what is run side by side, each made anew for every round."""

    def svm() -> SVC:
        return SVC(C=C)

    return {
        ("UniformMKL", "AverageMKL"): (
            lambda: UniformMKL("precomputed", C=C),
            lambda: other.AverageMKL(learner=svm()),
        ),
        ("AlignmentMKL", "CKA"): (
            lambda: AlignmentMKL("precomputed", C=C),
            lambda: other.CKA(learner=svm()),
        ),
        ("EasyMKL", "EasyMKL"): (
            lambda: EasyMKL("precomputed", C=C, regularisation=REGULARISATION),
            lambda: other.EasyMKL(learner=svm(), lam=REGULARISATION),
        ),
        ("SimpleMKL", f"GRAM, {STEPS} steps"): (
            lambda: SimpleMKL("precomputed", C=C),
            lambda: other.GRAM(learner=svm(), max_iter=STEPS),
        ),
    }


def difference(other: Any, data: Data) -> float:
    """Return how far EasyMKL's weights are from the other's, on kernels as they come."""
    import torch  # noqa: PLC0415 - MKLpy's own

    learnt, labels, _, _ = data
    model = other.EasyMKL(learner=SVC(C=C), lam=REGULARISATION)
    model.fit(torch.from_numpy(learnt), torch.from_numpy(labels))
    own = easy_mkl(learnt, labels, regularisation=REGULARISATION)
    return float(np.abs(own - np.asarray(model.solution.weights)).max())


def run(make: Callable[[], Any], data: Data) -> tuple[float, float]:
    """Return accuracy on the other split, and the seconds of fitting."""
    learnt, labels, blocks, truth = data
    model = make()
    if type(model).__module__.startswith("MKLpy"):
        import torch  # noqa: PLC0415 - MKLpy's own

        learnt, blocks = torch.from_numpy(learnt), torch.from_numpy(blocks)
        labels = torch.from_numpy(labels)
    else:
        learnt, blocks = np.moveaxis(learnt, 0, -1), np.moveaxis(blocks, 0, -1)
    start = time.perf_counter()
    model.fit(learnt, labels)
    seconds = time.perf_counter() - start
    return float((np.asarray(model.predict(blocks)) == truth).mean()), seconds


if __name__ == "__main__":
    main()
