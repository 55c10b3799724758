"""The loop: the best epoch is kept, a run that goes wrong is stopped or named."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from visita.errors import TrainingError
from visita.training.config import LoopConfig
from visita.training.loop import WARM_UP, Epoch, History, fit, warm_up_and_cosine
from visita.training.train import save_curve, warnings_of


class Line(nn.Module):
    """One number to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))
        self.register_buffer("fixed", torch.ones(1))
        self.modes: list[bool] = []


def losses_of(network: Line, batches: int = 3) -> Callable[[], Iterator[tuple[Tensor, float]]]:
    def epoch() -> Iterator[tuple[Tensor, float]]:
        for _ in range(batches):
            network.modes.append(network.training)
            yield ((network.slope - 1) ** 2).sum(), math.log(8)

    return epoch


def follow(scores: list[float], network: Line) -> tuple[Callable[[], float], list[float]]:
    """Return a validation that gives these scores in turn, and the slopes that it saw."""
    seen: list[float] = []

    def validate() -> float:
        network.modes.append(network.training)
        seen.append(network.slope.item())
        return scores[len(seen) - 1]

    return validate, seen


def adam(network: Line) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=0.1)


def run(scores: list[float], **config: object) -> tuple[Line, History, list[float]]:
    network = Line()
    validate, seen = follow(scores, network)
    settings = LoopConfig.of({"epochs": len(scores) - 1, **config})
    history = fit(network, losses_of(network), adam(network), validate, settings)
    return network, history, seen


def test_the_best_epoch_is_kept_and_patience_ends_the_run(capfd):
    network, history, seen = run([10, 12, 11, 15, 14, 15, 99], patience=2)
    assert [epoch.dev for epoch in history.epochs] == [12, 11, 15, 14, 15]
    assert history.start == 10 and history.best() == 15
    assert network.slope.item() == seen[3] != seen[5]
    assert not network.training
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "before training: dev 10.0" and len(said) == 6
    assert said[3].startswith("epoch 3: loss ") and said[3].endswith("(chance 2.079), dev 15.0")


def test_where_nothing_helps_the_start_is_kept():
    network, history, seen = run([10, 9, 10, 8], patience=3)
    assert network.slope.item() == seen[0] == 0
    assert len(history.epochs) == 3 and history.best() == 10


def test_without_epochs_nothing_happens():
    network, history, _ = run([7.0])
    assert network.slope.item() == 0
    assert history == History(7.0) and history.best() == 7
    assert warnings_of(history) == []


def test_it_learns_and_tells_loss_and_chance():
    network, history, _ = run([0, 1, 2, 3, 4, 5])
    assert history.epochs[0].loss > history.epochs[-1].loss
    assert all(epoch.chance == pytest.approx(math.log(8)) for epoch in history.epochs)
    assert network.slope.item() > 0 and network.fixed.item() == 1


def test_it_trains_in_training_mode_and_measures_in_the_other():
    network, _, _ = run([0, 1, 2])
    # A measurement, then three batches and a measurement an epoch.
    assert network.modes == [False] + [True, True, True, False] * 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(value):
    network = Line()

    def losses() -> Iterator[tuple[Tensor, float]]:
        yield (network.slope * value).sum() + value, 1.0

    with pytest.raises(TrainingError, match="no longer a number; lower learning_rate"):
        fit(network, losses, adam(network), lambda: 0.0, LoopConfig())


def test_the_rate_rises_and_falls():
    rates = [warm_up_and_cosine(step, 1000) for step in range(1000)]
    top = rates.index(max(rates))
    assert 0 < rates[0] < 0.05 and WARM_UP - 2 <= top <= WARM_UP
    assert (np.diff(rates[: WARM_UP - 1]) > 0).all() and (np.diff(rates[WARM_UP:]) < 0).all()
    assert max(rates) == pytest.approx(1, abs=0.01) and rates[-1] < 1e-4
    assert warm_up_and_cosine(0, 0) >= 0 and warm_up_and_cosine(2000, 1000) == 0


def history_of(start: float, *epochs: tuple[float, float]) -> History:
    return History(start, [Epoch(n, loss, 3.0, dev) for n, (loss, dev) in enumerate(epochs, 1)])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (history_of(10, (3.0, 10.1), (2.99, 12)), "Training collapsed: the loss .2.990. is that"),
        (history_of(100, (2.0, 100), (1.0, 99)), "did not improve on its start"),
        (history_of(100, (2.0, 200), (1.0, 190)), "overfits: dev fell from 200.0 to 190.0"),
    ],
)
def test_a_run_that_went_wrong_is_named(history, message):
    (warning,) = warnings_of(history)
    assert re.search(message, warning)


def test_a_good_run_needs_no_words():
    assert warnings_of(history_of(100, (2.0, 200), (1.0, 199))) == []


@pytest.mark.parametrize(
    "history", [history_of(100, (2.0, 120), (1.5, 130), (1.2, 125)), History(7)]
)
def test_the_curve_is_a_picture(tmp_path, history):
    save_curve(history, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
        assert len(set(picture.convert("L").tobytes())) > 10
