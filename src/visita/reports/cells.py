"""Cells of an experiment: each is computed once, kept on disk, and found again after a kill.

Several processes may compute the cells of one folder together: each takes what no other is at.

A cell lies in ``FOLDER/<fingerprint>`` as an artifact: ``manifest.json`` with its settings,
numbers and seconds, and ``arrays.safetensors`` where it has arrays. The fingerprint covers
the settings, what all cells share (such as the data's fingerprint) and the source that the
computation reaches, so a number of other data or other code is never taken for this one.
"""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.numpy import load_file

from visita.artifact import Manifest, fingerprint_of, read_manifest, write_arrays, write_folder
from visita.errors import ArtifactError, TrainingError, VisitaError
from visita.progress import say
from visita.types import Skipped

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
    reachable = set(files)
    todo = list(reachable)
    while todo:
        more = set(_imported(todo.pop(), package)) - reachable
        reachable |= more
        todo += more
    return reachable


def _imported(path: Path, package: Path) -> Iterator[Path]:
    for name in _modules_named(path.read_bytes()):
        yield from _files(name.split("."), package)


@cache
def _modules_named(source: bytes) -> tuple[str, ...]:
    """Return what a file imports, read once however many cells rest on it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # "from visita.data import pairs" may name a module or what a module holds.
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and _NAMED.fullmatch(str(node.value)):
            names.append(str(node.value).partition(":")[0])
    return tuple(name for name in names if name.partition(".")[0] == "visita")


def _files(parts: list[str], package: Path) -> Iterator[Path]:
    if len(parts) == 1:  # the public names; what every module passes through counts no further
        yield package / "__init__.py"
    for depth in range(2, len(parts) + 1):
        place = package.joinpath(*parts[1:depth])
        yield from (
            path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()
        )


KIND = "cell"
ARRAYS = "arrays.safetensors"


@dataclass(frozen=True)
class Cell:
    """One thing to compute; ``settings``, JSON values, say all of what."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What a cell gave: ``facts`` are JSON values, ``arrays`` numpy."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class SavedCell(Manifest):
    """The manifest of a ``Cell`` that was computed."""

    name: str
    settings: dict[str, Any]
    seconds: float
    shared: dict[str, Any]
    code: str
    facts: dict[str, Any]


def seeded(name: str, seed: int) -> str:
    """Return the name of the cell of one training seed."""
    return f"{name}, seed {seed}"


def cell_warnings(results: Mapping[str, Result]) -> Iterator[str]:
    """Yield what the fact ``warnings`` of each result says, with the name of its cell."""
    for name, result in results.items():
        yield from (f"{name}: {warning}" for warning in result.facts.get("warnings", ()))


def run_cells(
    folder: Path,
    cells: Sequence[Cell],
    work: Callable[[Cell], Result],
    shared: Mapping[str, Any],
    *,
    all_may_fail: bool = False,
) -> tuple[dict[str, Result], list[Skipped]]:
    """Return the result of each cell by name, computing those that ``folder`` does not hold.

    Killed or interrupted, the next call goes on after the last finished cell. A cell that
    fails is reported on stderr, is tried again by the next call, and does not stop the rest.
    Another process that was given the same folder shares the work.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    work : callable
        Computes one cell.
    shared : mapping
        What all cells have in common, as JSON values.
    all_may_fail : bool
        Whether there is something to report without any of them.

    Returns
    -------
    results : dict of Result
        In the order of ``cells``, without those that failed.
    failed : list of Skipped

    Raises
    ------
    TrainingError
        If all cells fail, unless they may.
    """
    folder.mkdir(parents=True, exist_ok=True)
    common = {"shared": dict(shared), "code": source_fingerprint(work)}
    places = {c.name: folder / fingerprint_of({**common, "settings": c.settings}) for c in cells}
    results: dict[str, Result] = {}
    for cell in cells:
        if (kept := _read(places[cell.name])) is not None:
            results[cell.name] = kept
    if results:
        say(f"{len(results)} of {len(cells)} cells were computed before")
    todo = [cell for cell in cells if cell.name not in results]
    failed: list[Skipped] = []
    started = time.perf_counter()
    for number, cell in enumerate(_in_turn(todo, places), 1):
        outcome = "done"
        try:
            place = places[cell.name]
            results[cell.name] = _read(place) or _compute(cell, work, place, common)
        except Exception as error:  # one cell in thirty shall not cost the others
            failed.append(Skipped(cell.name, _reason(error)))
            outcome = f"failed: {failed[-1].reason}"
        left = (time.perf_counter() - started) / number * (len(todo) - number)
        say(f"cell {number}/{len(todo)}, {cell.name}: {outcome}; {_about(left)} left")
    if cells and not results and not all_may_fail:
        raise TrainingError(f"No cell could be computed; the first: {failed[0].reason}")
    return {cell.name: results[cell.name] for cell in cells if cell.name in results}, failed


def _in_turn(cells: Sequence[Cell], places: Mapping[str, Path]) -> Iterator[Cell]:
    """Yield each cell when no other process is at it; what others were at comes last."""
    busy = []
    for cell in cells:
        lock = _lock(places[cell.name])
        try:
            lock.acquire(timeout=0)
        except Timeout:
            busy.append(cell)
            continue
        try:
            yield cell
        finally:
            lock.release()
    if busy:
        names = ", ".join(cell.name for cell in busy)
        say(f"waiting for cells that other processes compute: {names}")
    for cell in busy:
        with _lock(places[cell.name]):
            yield cell


def _lock(place: Path) -> FileLock:
    locks = place.with_name(".locks")
    locks.mkdir(exist_ok=True)
    return FileLock(locks / place.name)


def _read(place: Path) -> Result | None:
    if not place.exists():
        return None
    try:
        saved = read_manifest(place, KIND, SavedCell)
        arrays = load_file(place / ARRAYS) if ARRAYS in saved.files else {}
        return Result(saved.facts, arrays)
    except ArtifactError as error:
        say(f"a cell is damaged and computed anew: {error}")
        shutil.rmtree(place)
        return None


def _compute(
    cell: Cell, work: Callable[[Cell], Result], place: Path, common: Mapping[str, Any]
) -> Result:
    started = time.perf_counter()
    result = work(cell)
    seconds = round(time.perf_counter() - started, 2)
    facts = {"name": cell.name, "settings": cell.settings, "seconds": seconds, **common}
    with write_folder(place, KIND, {**facts, "facts": dict(result.facts)}) as draft:
        if result.arrays:
            write_arrays(draft / ARRAYS, result.arrays)
    return result


def _reason(error: Exception) -> str:
    if isinstance(error, VisitaError):
        return str(error)
    say(traceback.format_exc())  # not foreseen, so whoever looks into it needs to know where
    return repr(error)


def _about(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"
