"""One table of names per kind of part: ``"name": "module:attribute"``, imported on use.

A package of your own adds a part by an entry point of the group that the table names, such as
``visita.image_encoder``: what is installed beside visita is found without a change here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache, cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from typing import Any

from visita.errors import (
    ConfigError,
    UnknownNameError,
    VisitaError,
    did_you_mean,
    extras_named,
    last_line,
)


class Registry:
    """Names of one kind of part (readers, encoders, networks …) and where each lives.

    The table is literal, so listing names imports none of the parts. A key that ends in a colon
    is a *family*: ``"timm:": "module:by_name"`` makes every name that begins with ``timm:``
    stand for ``by_name(the rest of it)``. Entry points of installed packages come after the
    table, and cannot take a name that it has.

    Attributes
    ----------
    group : str
        That of the entry points: ``visita.`` and the kind, such as ``visita.text_encoder``.
    """

    def __init__(self, kind: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = f"visita.{kind.replace(' ', '_')}"
        self._table = dict(table)

    @cached_property
    def _entries(self) -> dict[str, str]:
        added = {entry.name: entry.value for entry in _entry_points().select(group=self.group)}
        return {**self._table, **added, **self._table}

    def names(self) -> tuple[str, ...]:
        """Return the known names, without the families, in the order of the table."""
        return tuple(key for key in self._entries if not key.endswith(":"))

    def families(self) -> tuple[str, ...]:
        """Return the prefixes that open a family, colon included, in the order of the table."""
        return tuple(key for key in self._entries if key.endswith(":"))

    def __contains__(self, name: str) -> bool:
        return self._key(name) is not None

    def _key(self, name: str) -> str | None:
        """Return the key that ``name`` is found by; entry points are asked only if need be."""
        family, colon, rest = name.partition(":")
        if colon and not rest:
            return None
        key = family + colon
        return key if key in self._table or key in self._entries else None

    def load(self, name: str) -> Any:
        """Import and return what ``name`` stands for; of a family, a callable without arguments.

        Raises
        ------
        UnknownNameError
            If the table has no such name; the message lists the names and the nearest one.
        ConfigError
            If it comes from another package, which cannot be imported.
        """
        key = self._key(name)
        if key is None:
            raise UnknownNameError(
                f"No {self.kind} is called {name!r}.{self._hint(name)} "
                f"Known: {', '.join([*self.names(), *(f'{f}NAME' for f in self.families())])}."
            )
        with extras_named(f"the {self.kind} {name!r}"):
            part = _imported(self._table[key]) if key in self._table else self._added(key)
        return partial(part, name.removeprefix(key)) if key.endswith(":") else part

    def _added(self, key: str) -> Any:
        place = self._entries[key]
        try:
            return _imported(place)
        except VisitaError:
            raise
        except Exception as error:  # whatever a stranger's module meets
            raise ConfigError(
                f"The {self.kind} {key!r} of an installed package, {place}, cannot be imported "
                f"({last_line(error)}): mend or remove that package."
            ) from error

    def stated(self, name: str) -> dict[str, Any]:
        """Return what the class called ``name`` states of itself, without importing its module.

        These are the first line of its docstring, ``what``, and the constants that its body sets.
        """
        module, _, attribute = self._entries[name].partition(":")
        spec = find_spec(module)
        source = getattr(spec and spec.loader, "get_source", str)(module) or ""
        facts: dict[str, Any] = {"what": ""}
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and node.name == attribute:
                facts["what"] = (ast.get_docstring(node) or "").partition("\n")[0]
                facts |= _constants(node)
        return facts

    def _hint(self, name: str) -> str:
        rest = name.partition(":")[2]
        return did_you_mean(name, [*self.names(), *(f + rest for f in self.families() if rest)])


@cache
def _entry_points() -> Any:
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes 20 ms, each time

    return entry_points()


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return attrgetter(attribute)(import_module(module))


def _constants(node: ast.ClassDef) -> dict[str, Any]:
    """Return what the statements ``name: type = constant`` of a class body set."""
    return {
        statement.target.id: statement.value.value
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(statement.value, ast.Constant)
    }
