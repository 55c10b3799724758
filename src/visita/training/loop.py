"""The training loop: one step a batch, the best epoch on dev kept, resumed where it was killed.

The state after each epoch, which a killed run goes on from, is kept in a folder beside its result.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from visita.artifact import (
    MANIFEST,
    Manifest,
    read_manifest,
    read_sealed,
    write_folder,
    write_sealed,
)
from visita.durable import draft_beside, make_folder
from visita.errors import ArtifactError, MismatchError, TrainingError
from visita.progress import say
from visita.store.layout import check_same
from visita.training.config import LoopConfig

KIND = "checkpoint"
TENSORS = "tensors.safetensors"
RUN = "run.json"
MALFORMED = (LookupError, OverflowError, TypeError, ValueError)
"""What the state of a generator raises that was altered."""
Losses = Callable[[], Iterator[tuple[Tensor, float]]]
"""Yields, for one epoch, the loss of each batch and the loss that guessing would have."""
WARM_UP = 50
"""Steps until the learning rate is whole; a tenth of a run that is shorter than 500."""
LOWERED = 0.1
"""What a learning rate is multiplied with where dev stops improving."""


class Steps:
    """One step of the optimizer after the other; the parameters are those of ``fit``."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        rate: Callable[[int], float],
        longest_gradient: float,
        averaging: float,
        gather: Callable[[nn.Module], None],
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._rate = rate
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self._longest = longest_gradient
        self._averaging = averaging
        self._gather = gather
        self._mean = [p.detach().clone() for p in network.parameters()] if averaging else []
        self._count = 0
        self._lowered = 1.0

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of ``loss``."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self._rate(self._count) * self._lowered
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._gather(self._network)
        if math.isfinite(self._longest):
            nn.utils.clip_grad_norm_(self._network.parameters(), self._longest)
        self._optimizer.step()
        self._count += 1
        # A short memory at first, or the start would weigh on the whole run.
        decay = min(self._averaging, self._count / (self._count + 10))
        for mean, parameter in zip(self._mean, self._network.parameters(), strict=False):
            mean.lerp_(parameter.detach(), 1 - decay)

    def lower(self, factor: float) -> None:
        """Multiply the learning rate of all steps to come."""
        self._lowered *= factor

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

    def tensors(self) -> dict[str, Tensor]:
        """Return network, mean, the optimizer's memory and the state of torch's generator."""
        memory = {
            f"{number}/{name}": value
            for number, slots in self._optimizer.state_dict()["state"].items()
            for name, value in slots.items()
        }
        return {
            "random": torch.get_rng_state(),
            **within("network", self._network.state_dict()),
            **within("mean", {str(number): mean for number, mean in enumerate(self._mean)}),
            **within("optimizer", memory),
        }

    def state(self) -> dict[str, Any]:
        """Return the rest of what changes, as JSON values."""
        return {"count": self._count, "lowered": self._lowered}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Become what ``tensors`` and ``state`` were taken of."""
        torch.set_rng_state(tensors["random"])
        self._network.load_state_dict(below("network", tensors))
        for number, value in below("mean", tensors).items():
            self._mean[int(number)].copy_(value)
        memory: dict[int, dict[str, Tensor]] = {}
        for name, value in below("optimizer", tensors).items():
            number, _, slot = name.partition("/")
            memory.setdefault(int(number), {})[slot] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": memory})
        self._count, self._lowered = state["count"], state["lowered"]


def within(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with ``name/`` before each one's name."""
    return {f"{name}/{key}": value for key, value in tensors.items()}


def below(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that ``within`` gave that name."""
    return {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}


def _set(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data.copy_(value)


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

    def scores(self) -> list[float]:
        """Return the dev scores: of the start, and after each epoch."""
        return [self.start, *(epoch.dev for epoch in self.epochs)]

    def best(self) -> float:
        """Return the best dev score, the start's included."""
        return max(self.scores())

    def waited(self) -> int:
        """Return how many epochs came since the best dev score."""
        scores = self.scores()
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


@dataclass(frozen=True)
class Checkpoint:
    """The state of one training: tensors, JSON values and that of the generator ``rng``.

    Attributes
    ----------
    process : int
        Which of those that train together this is: the first alone writes, and each of the
        others draws other numbers from what it reads.
    memory : dict of tensors
        What else changes: it is written too, and set in place to what it was.
    """

    folder: Path
    rng: np.random.Generator
    process: int = 0
    memory: Mapping[str, Tensor] = field(default_factory=dict)

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the state, atomically."""
        if self.process:
            return
        facts = {"state": dict(state), "rng": self.rng.bit_generator.state}
        tensors = {**tensors, **within("memory", self.memory)}
        with write_folder(self.folder, KIND, facts) as draft:
            save_file({k: v.detach().cpu().clone() for k, v in tensors.items()}, draft / TENSORS)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what was saved last, and set ``rng`` to what it was then.

        None if nothing was, or it is damaged, of which stderr is told: training makes it again.
        """
        if not (self.folder / MANIFEST).is_file():
            return None
        try:
            saved = read_manifest(self.folder, KIND, SavedCheckpoint)
            tensors = load_file(self.folder / TENSORS)
            if not all(values.isfinite().all() for values in tensors.values()):
                raise ValueError("it holds numbers that are not finite")
            for name, values in self.memory.items():
                values.copy_(tensors[f"memory/{name}"])
            self.rng.bit_generator.state = saved.rng
        except (ArtifactError, SafetensorError, OSError, *MALFORMED) as error:
            say(f"{self.folder} is damaged, so training starts anew: {error}")
            return None
        set_apart(self.rng, self.process)
        return tensors, saved.state


class SavedCheckpoint(Manifest):
    """The manifest of a ``Checkpoint``."""

    state: dict[str, Any]
    rng: dict[str, Any]


def set_apart(rng: np.random.Generator, process: int) -> None:
    """Make the generator draw what no other process does; the first draws as if it were alone."""
    bits: Any = rng.bit_generator
    if process:
        bits.state = bits.jumped(process).state


def partial_folder(out: Path) -> Path:
    """Return the folder for what a run that makes ``out`` goes on from."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def resumable(out: Path, facts: Mapping[str, Any]) -> Iterator[Path]:
    """Give the folder ``out.partial`` for what a run is to go on from if it is killed.

    It is deleted when the run ends, or cannot go on.

    Parameters
    ----------
    facts
        What decides the run, as JSON values.

    Raises
    ------
    MismatchError
        If it holds a run of other facts; the message names what differs.
    ArtifactError
        If it holds something else.
    """
    folder = partial_folder(out)
    _begin(folder, out, facts)
    try:
        yield folder
    except TrainingError:
        _discard(folder)
        raise
    _discard(folder)


def _begin(folder: Path, out: Path, facts: Mapping[str, Any]) -> None:
    """Make the folder of a run, or see that it holds one of the same facts."""
    make_folder(folder)
    begun = any(path.name != RUN for path in folder.iterdir())
    if begun and not (folder / RUN).is_file():
        raise ArtifactError(f"{folder} holds other files; choose another folder than {out}.")
    if begun:
        try:
            check_same(folder, read_sealed(folder / RUN), facts)
            say(f"going on with the run in {folder}")
            return
        except MismatchError:
            raise
        except ArtifactError as error:
            say(f"what an interrupted run left is of no use, so it starts anew: {error}")
            _discard(folder)
            make_folder(folder)
    write_sealed(folder / RUN, facts)


def _discard(folder: Path) -> None:
    """Delete a folder in one step, so that a kill never leaves half of a run."""
    with draft_beside(folder) as draft:
        folder.replace(draft / folder.name)
