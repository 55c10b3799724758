"""One line about a value, however much it holds."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from typing import Any

LONGEST = 60
"""Characters of a value."""


class _Brief(reprlib.Repr):
    """Shows arrays by type and shape, and what is long by its beginning and end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxstring = self.maxother = LONGEST
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = 3

    def repr_ndarray(self, array: Any, _level: int) -> str:
        return f"{array.dtype} {array.shape}"

    repr_memmap = repr_csr_array = repr_ndarray


brief = _Brief().repr


class Brief:
    """Gives a dataclass (with ``repr=False``) a ``repr`` of one line."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the class and its fields, each in brief."""
        shown = (f"{field.name}={brief(getattr(self, field.name))}" for field in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"


def counted(number: int, thing: str) -> str:
    """Return how many there are of a thing with a regular plural.

    >>> counted(1, "picture"), counted(2000, "picture")
    ('1 picture', '2,000 pictures')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
