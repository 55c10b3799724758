"""Where a network is trained: on one device, or on several with a process each.

``accelerate launch`` starts these; ``torchrun`` does so on CPUs.

Each process draws pictures of its own and all take the same steps, along the mean of their
gradients. What is written, chosen and said is the main process's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather, reduce
from torch import Tensor, nn

from visita.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]
T = TypeVar("T")


class Team:
    """The processes that train together, seen from one of them.

    Attributes
    ----------
    device : torch.device
        Of this process; "auto" is a GPU where there is one.
    count, number : int
        How many processes there are, and which of them this is; 0 is the main one.

    Raises
    ------
    ConfigError
        If there is no GPU that torch can use and one was asked for.
    """

    def __init__(self, device: Device, precision: Precision) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "torch finds no GPU: set device=cpu, or install a build of torch with CUDA, such "
                "as PyPI's on Linux:  pip install --force-reinstall torch"
            )
        self._state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
        self._mixed = precision == "bfloat16"
        self.device = torch.device("cpu") if device == "cpu" else self._state.device
        self.count: int = self._state.num_processes
        self.number: int = self._state.process_index

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.number == 0

    def main_first(self) -> AbstractContextManager[None]:
        """Let the main process go through the block before the others: it fills the caches."""
        context: AbstractContextManager[None] = self._state.main_process_first()
        return context

    def mixed(self) -> AbstractContextManager[None]:
        """Make networks compute in the precision asked for, where that does no harm."""
        context: AbstractContextManager[None] = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self._mixed
        )
        return context

    def average(self, network: nn.Module) -> None:
        """Make each parameter's gradient the mean over the processes."""
        if self.count > 1:
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.grad = reduce(parameter.grad, "mean")

    def gathered(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, which have as many each, in the order of these."""
        if self.count == 1:
            return rows
        every: Tensor = gather(rows)
        return every

    def least(self, number: int) -> int:
        """Return the smallest of the processes' numbers."""
        if self.count == 1:
            return number
        return int(gather(torch.tensor([number], device=self.device)).min())

    def shared(self, make: Callable[[], T]) -> T:
        """Return what the main process makes, in every process; the others wait for it."""
        if self.count == 1:
            return make()
        holder: list[T | None] = [make() if self.is_main else None]
        result: T = broadcast_object_list(holder)[0]
        return result
