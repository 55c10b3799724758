"""One table of names per kind of part: ``"name": "module:attribute"``, imported on use."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from visita.errors import UnknownNameError, did_you_mean


class Registry:
    """Names of one kind of part (readers, encoders, networks …) and where each lives.

    The table is literal, so listing names imports nothing.
    """

    def __init__(self, kind: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self._table = dict(table)

    def names(self) -> tuple[str, ...]:
        """Return the known names in the order of the table."""
        return tuple(self._table)

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def load(self, name: str) -> Any:
        """Import and return what ``name`` stands for.

        Raises
        ------
        UnknownNameError
            If the table has no such name; the message lists the names and the nearest one.
        """
        if name not in self._table:
            hint = did_you_mean(name, self._table)
            raise UnknownNameError(
                f"No {self.kind} is called {name!r}.{hint} Known: {', '.join(self._table)}."
            )
        module, _, attribute = self._table[name].partition(":")
        return getattr(import_module(module), attribute)
