"""One table of names per kind of part: ``"name": "module:attribute"``, imported on use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from visita.errors import UnknownNameError, did_you_mean


class Registry:
    """Names of one kind of part (readers, encoders, networks …) and where each lives.

    The table is literal, so listing names imports nothing. A key that ends in a colon is
    a *family*: ``"timm:": "module:by_name"`` makes every name that begins with ``timm:``
    stand for ``by_name(the rest of it)``.
    """

    def __init__(self, kind: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self._table = dict(table)

    def names(self) -> tuple[str, ...]:
        """Return the known names, without the families, in the order of the table."""
        return tuple(key for key in self._table if not key.endswith(":"))

    def families(self) -> tuple[str, ...]:
        """Return the prefixes that open a family, colon included, in the order of the table."""
        return tuple(key for key in self._table if key.endswith(":"))

    def __contains__(self, name: str) -> bool:
        family, colon, rest = name.partition(":")
        return name in self.names() or (bool(rest) and family + colon in self.families())

    def load(self, name: str) -> Any:
        """Import and return what ``name`` stands for; of a family, a callable without arguments.

        Raises
        ------
        UnknownNameError
            If the table has no such name; the message lists the names and the nearest one.
        """
        if name not in self:
            raise UnknownNameError(
                f"No {self.kind} is called {name!r}.{self._hint(name)} "
                f"Known: {', '.join([*self.names(), *(f'{f}NAME' for f in self.families())])}."
            )
        family, colon, rest = name.partition(":")
        module, _, attribute = self._table[family + colon].partition(":")
        found = getattr(import_module(module), attribute)
        return partial(found, rest) if colon else found

    def _hint(self, name: str) -> str:
        rest = name.partition(":")[2]
        return did_you_mean(name, [*self.names(), *(f + rest for f in self.families() if rest)])
