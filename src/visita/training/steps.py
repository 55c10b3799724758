"""The optimizer's steps, and the running mean of the weights that they lead to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


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
