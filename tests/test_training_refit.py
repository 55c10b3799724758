"""The kernel layer refitted by SimpleMKL: on numbers whose best weights are known, and trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_training_cross_modal import config, hits_of, made_up

from visita.errors import TrainingError
from visita.kernels import SimpleMKL
from visita.kernels.simplemkl import PAPER_TOLERANCE
from visita.networks.kernels import KernelLayer
from visita.training.cross_modal import all_scores, train_cross_modal
from visita.training.refit import SLACK, kernel_values, refit

LEVELS, KERNELS = ("words", "whole"), ("linear", "rbf:2")


def numbers(columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of 400 pairs, and that many columns of noise."""
    rng = np.random.default_rng(seed)
    return (np.arange(400) % 2).astype(np.float32), rng.normal(size=(400, columns))


def refitted(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    layer = KernelLayer(LEVELS, KERNELS)
    refit(layer, values, labels)
    return layer.weights().detach().numpy().ravel()


def test_what_tells_pairs_apart_gets_the_weight():
    labels, values = numbers(4, seed=0)
    values[:, 2] += 3 * labels
    values[:, 3] -= 3 * labels  # turned round, it would tell as much: no weight below zero
    weights = refitted(values, labels)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert weights[2] > 0.9 and weights[3] < 1e-4
    # A kernel of numbers ten times as large needs a tenth of the weight for the same sum.
    values[:, 1] += 3 * labels
    even = refitted(values, labels)
    larger = refitted(values * [1, 10, 1, 1], labels)
    assert larger[1] / larger[2] == pytest.approx(even[1] / even[2] / 10, rel=0.02)


def test_it_orders_pairs_as_the_machine_does():
    labels, values = numbers(4, seed=1)
    values += labels[:, None] * [0.5, 1.0, 1.5, 2.0]
    centred = values - values.mean(0)
    grams = np.stack([np.outer(one, one) for one in centred.T], axis=-1)
    machine = SimpleMKL("precomputed", C=SLACK, tolerance=PAPER_TOLERANCE).fit(grams, labels)
    decided = machine.decision_function(grams)
    assert np.corrcoef(centred @ refitted(values, labels), decided)[0, 1] > 1 - 1e-6


def test_a_layer_without_any_use_is_told():
    labels, values = numbers(4, seed=2)
    with pytest.raises(TrainingError, match="No kernel tells true pairs from false ones"):
        refitted(values - 3 * labels[:, None], labels)


def test_the_value_of_each_kernel_adds_up_to_the_score():
    layer = KernelLayer(LEVELS, KERNELS)
    layer.logits.data = torch.tensor([[0.5, -1.0], [0.0, 2.0]])
    rng = np.random.default_rng(3)
    cosines = torch.from_numpy(rng.uniform(-1, 1, (2, 7, 3)).astype(np.float32))
    shares = torch.full((7, 3), 1 / 3)

    def scores():
        return layer(0, cosines[0], shares) + layer(1, cosines[1], shares)

    before = layer.logits.clone()
    values = kernel_values(layer, scores)
    assert values.shape == (7, 4) and torch.equal(layer.logits, before)
    summed = values @ layer.weights().detach().numpy().ravel()
    np.testing.assert_allclose(summed, scores().detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(values[:, 2], cosines[1].mean(-1), rtol=1e-5)


@pytest.mark.slow
def test_a_network_is_refitted_in_the_end():
    train, dev = made_up(60, seed=0), made_up(24, seed=1)

    def trained(weights: str):
        settings = config(epochs=6, patience=6, kernel_weights=weights)
        return train_cross_modal(train, dev, hits_of(dev), settings)

    (joint, history), (refitted, same), (again, _) = map(trained, ("joint", *2 * ("simplemkl",)))
    assert history == same
    assert torch.equal(refitted.kernels.logits, again.kernels.logits)
    differing = [
        name
        for name, value in joint.state_dict().items()
        if not torch.equal(value, refitted.state_dict()[name])
    ]
    assert differing == ["kernels.logits"]
    assert hits_of(dev)(all_scores(refitted, dev)) > history.start + 20


@pytest.mark.slow
def test_the_weights_of_the_kernels_learn_faster_than_the_rest():
    train, dev = made_up(60, seed=0), made_up(24, seed=1)

    def spread(rate: float) -> float:
        settings = config(epochs=4, patience=4, kernel_rate=rate)
        network, _ = train_cross_modal(train, dev, hits_of(dev), settings)
        return float(network.kernels.weights().detach().std())

    assert spread(50) > 5 * spread(1)
