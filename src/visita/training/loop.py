"""The training loop: one step a batch, the best epoch on dev kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from visita.errors import TrainingError
from visita.progress import say
from visita.training.config import LoopConfig

Losses = Callable[[], Iterator[tuple[Tensor, float]]]
"""Yields, for one epoch, the loss of each batch and the loss that guessing would have."""

WARM_UP = 50
"""Steps until the learning rate is whole; a tenth of a run that is shorter than 500."""


@dataclass(frozen=True)
class Epoch:
    """One pass: mean training loss, the loss that guessing would have, and the dev score."""

    number: int
    loss: float
    chance: float
    dev: float


@dataclass
class History:
    """What happened: the dev score before training, and each epoch."""

    start: float
    epochs: list[Epoch] = field(default_factory=list)

    def best(self) -> float:
        """Return the best dev score, the start's included."""
        return max([self.start, *(epoch.dev for epoch in self.epochs)])


def constant(_step: int) -> float:
    """Leave the learning rate as it is."""
    return 1.0


def fit(
    network: nn.Module,
    losses: Losses,
    optimizer: Optimizer,
    validate: Callable[[], float],
    config: LoopConfig,
    rate: Callable[[int], float] = constant,
    *,
    longest_gradient: float = math.inf,
    averaging: float = 0.0,
) -> History:
    """Train ``network`` in place and leave it in the state that did best on dev.

    Parameters
    ----------
    validate : callable
        Returns the dev score of the network as it is; higher is better.
    rate : callable
        Maps the number of steps done to a factor of the optimizer's learning rate.
    longest_gradient : float
        A longer one is shortened to this.
    averaging : float
        Decay of a running mean of the weights, which is validated and kept in their place.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    """
    steps = _Steps(network, optimizer, LambdaLR(optimizer, rate), longest_gradient, averaging)
    network.eval()
    history = History(validate())
    best, waited = copy.deepcopy(network.state_dict()), 0
    say(f"before training: dev {history.start:.1f}")
    for number in range(1, config.epochs + 1):
        loss, chance = _one_epoch(network, losses(), steps)
        previous = history.best()
        with steps.averaged():
            dev = validate()
            if dev > previous:
                best, waited = copy.deepcopy(network.state_dict()), 0
            else:
                waited += 1
        history.epochs.append(Epoch(number, loss, chance, dev))
        say(f"epoch {number}: loss {loss:.3f} (chance {chance:.3f}), dev {dev:.1f}")
        if waited >= config.patience:
            break
    network.load_state_dict(best)
    network.eval()
    return history


class _Steps:
    """One step of the optimizer after the other, and the running mean of what they lead to."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        schedule: LambdaLR,
        longest_gradient: float,
        averaging: float,
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._schedule = schedule
        self._longest = longest_gradient
        self._averaging = averaging
        self._mean = [p.detach().clone() for p in network.parameters()] if averaging else []
        self._count = 0

    def step(self, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if math.isfinite(self._longest):
            nn.utils.clip_grad_norm_(self._network.parameters(), self._longest)
        self._optimizer.step()
        self._schedule.step()
        self._count += 1
        # A short memory at first, or the start would weigh on the whole run.
        decay = min(self._averaging, self._count / (self._count + 10))
        for mean, parameter in zip(self._mean, self._network.parameters(), strict=False):
            mean.lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the mean in the network's place for as long as this lasts."""
        parameters = list(self._network.parameters())[: len(self._mean)]
        own = [parameter.detach().clone() for parameter in parameters]
        _set(parameters, self._mean)
        try:
            yield
        finally:
            _set(parameters, own)


def _set(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data.copy_(value)


def _one_epoch(
    network: nn.Module, losses: Iterator[tuple[Tensor, float]], steps: _Steps
) -> tuple[float, float]:
    network.train()
    total, chance, count = 0.0, 0.0, 0
    for loss, guess in losses:
        if not math.isfinite(loss.item()):
            raise TrainingError("The loss is no longer a number; lower learning_rate.")
        steps.step(loss)
        total, chance, count = total + loss.item(), chance + guess, count + 1
    network.eval()
    return total / max(count, 1), chance / max(count, 1)


def warm_up_and_cosine(step: int, steps: int) -> float:
    """Return the factor of a learning rate that rises over ``WARM_UP`` steps and falls to 0."""
    warm = min(1.0, (step + 1) / max(1, min(WARM_UP, steps // 10)))
    return warm * 0.5 * (1 + math.cos(math.pi * min(step, steps) / max(steps, 1)))
