"""Which source decides a number: all that a computation's imports reach, so none is forgotten."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
_NAMED = re.compile(r"visita(\.\w+)+(:\w+)?")
"""A module in a string, as in a registry's table."""


def source_fingerprint(work: Callable[..., Any]) -> str:
    """Return 16 hex digits over the source of ``work`` and of all that it reaches.

    Followed are imports anywhere in a file, lazy ones too, and modules that registries name in
    strings; only files of this package count, and the one that holds ``work``. Of a ``partial``
    the classes of what it binds count as well.
    """
    parts: list[Any] = [work]
    if isinstance(work, partial):
        parts = [work.func, *map(type, work.args), *map(type, work.keywords.values())]
    modules = (sys.modules[getattr(part, "__module__", type(part).__module__)] for part in parts)
    files = {Path(str(module.__file__)) for module in modules if hasattr(module, "__file__")}
    return fingerprint_reached(files, PACKAGE)


def fingerprint_reached(files: Iterable[Path], package: Path) -> str:
    """Return 16 hex digits over some files and every file of ``package`` that they lead to."""
    digest = hashlib.sha256()
    for path in sorted(reached(files, package)):
        inside = path.is_relative_to(package)
        name = path.relative_to(package).as_posix() if inside else path.name
        digest.update(f"{name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def reached(files: Iterable[Path], package: Path) -> set[Path]:
    """Return some files and every file of ``package`` that their imports lead to."""
    found = set(files)
    todo = list(found)
    while todo:
        more = set(_imported(todo.pop(), package)) - found
        found |= more
        todo += more
    return found


def _imported(path: Path, package: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # "from visita.data import pairs" may name a module or what a module holds.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and _NAMED.fullmatch(str(node.value)):
            names = [str(node.value).partition(":")[0]]
        else:
            continue
        for name in names:
            yield from _files(name.split("."), package)


def _files(parts: list[str], package: Path) -> Iterator[Path]:
    if parts[0] != "visita":
        return
    if len(parts) == 1:  # the public names; what every module passes through counts no further
        yield package / "__init__.py"
    for depth in range(2, len(parts) + 1):
        place = package.joinpath(*parts[1:depth])
        yield from (
            path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()
        )
