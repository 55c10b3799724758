"""The training loop: one step a batch, the best epoch on dev kept, resumed where it was killed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from visita.errors import TrainingError
from visita.progress import say
from visita.training.checkpoint import Checkpoint
from visita.training.config import LoopConfig
from visita.training.steps import Steps, below, within

Losses = Callable[[], Iterator[tuple[Tensor, float]]]
"""Yields, for one epoch, the loss of each batch and the loss that guessing would have."""

WARM_UP = 50
"""Steps until the learning rate is whole; a tenth of a run that is shorter than 500."""
LOWERED = 0.1
"""What a learning rate is multiplied with where dev stops improving."""


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

    def waited(self) -> int:
        """Return how many epochs came since the best dev score."""
        scores = [self.start, *(epoch.dev for epoch in self.epochs)]
        return len(scores) - 1 - scores.index(max(scores))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the history that ``asdict`` made these values of."""
        return cls(values["start"], [Epoch(**epoch) for epoch in values["epochs"]])


def constant(_step: int) -> float:
    """Leave the learning rate as it is."""
    return 1.0


def alone(_network: nn.Module) -> None:
    """Leave the gradients as they are."""


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
    plateau: int = 0,
    checkpoint: Checkpoint | None = None,
    gather: Callable[[nn.Module], None] = alone,
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
    plateau : int
        Epochs without a better dev score after which the rate is multiplied with ``LOWERED``,
        each time; 0 never does.
    checkpoint : Checkpoint, optional
        Holds the state after each epoch, and what all random draws of ``losses`` come from. A
        run that finds one goes on from there and reaches the same weights.
    gather : callable
        Called with the network after each batch: several processes bring their gradients
        together.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    """
    steps = Steps(network, optimizer, rate, longest_gradient, averaging, gather)
    network.eval()
    saved = checkpoint.load() if checkpoint else None
    if saved:
        tensors, state = saved
        steps.restore(tensors, state)
        best, history = below("best", tensors), History.of(state["history"])
        say(f"going on after epoch {len(history.epochs)}")
    else:
        best, history = copy.deepcopy(network.state_dict()), History(validate())
        say(f"before training: dev {history.start:.1f}")
    while len(history.epochs) < config.epochs and history.waited() < config.patience:
        loss, chance = _one_epoch(network, losses(), steps)
        with steps.averaged():
            epoch = Epoch(len(history.epochs) + 1, loss, chance, validate())
            history.epochs.append(epoch)
            if not history.waited():
                best = copy.deepcopy(network.state_dict())
        if plateau and history.waited() and history.waited() % plateau == 0:
            steps.lower(LOWERED)
        if checkpoint:
            tensors = {**steps.tensors(), **within("best", best)}
            checkpoint.save(tensors, {**steps.state(), "history": asdict(history)})
        say(f"epoch {epoch.number}: loss {loss:.3f} (chance {chance:.3f}), dev {epoch.dev:.1f}")
    network.load_state_dict(best)
    network.eval()
    return history


def _one_epoch(
    network: nn.Module, losses: Iterator[tuple[Tensor, float]], steps: Steps
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
