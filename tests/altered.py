"""Changes that a stranger may have made to a saved thing, and what becomes of each.

A change is made by one of two hands: one that leaves the hashes as they were, as a fault or a
careless edit does, and that of a hostile author, who makes them right again.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from forging import forge
from safetensors.numpy import load_file, save_file
from specimens import Use

from visita.artifact import MANIFEST
from visita.errors import VisitaError

Rng = np.random.Generator

VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 3, 2**31, 10**30, 1e-300, 1e308, -1.5, "", "x", "x" * 5000, [], {}),
    *([[]], {"a": 1}, ["x"], [1, 2], [0, 10**6], "transformers:evil/repo", "clip:evil/repo"),
    *("timm:evil/repo", "siglip:evil/repo", "sentence-transformers:evil/repo", "albef:/dev/zero"),
    *("../../secret", "lsa", "vocabulary", "minilm-l6", "colours", "joint", "deep-cca", "\ud800"),
]
RAW = ["NaN", "Infinity", "1e999", "[" * 3000 + "]" * 3000, "1" * 5000, '"' + "x" * 10**6 + '"']
TYPES = [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]


@dataclass(frozen=True)
class Outcome:
    """What became of one change: ``fault`` is None if it was refused or changed no number.

    ``hidden``: it was accepted with other numbers, which only a hostile author achieves.
    """

    what: str
    refused: bool
    fault: str | None
    hidden: bool = False


def mutate(folder: Path, rng: Rng, use: Use, right: Any, scratch: Path) -> Outcome:
    """Change a copy of the artifact in ``folder`` in one way, use it, and tell what happened.

    Parameters
    ----------
    use
        What loads it and gives all its numbers.
    right
        What it gives unchanged.
    scratch
        Where the copy may be.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch, copy_function=os.link)
    changes = [manifest_entry, manifest_entry, tensor, tensor, file, raw]
    change = changes[rng.integers(len(changes))]
    what = f"{change.__name__}: {change(scratch, rng)}"
    honest = change in (file, raw) or rng.random() < 0.25
    if not honest:
        forge(scratch)
        what += ", hashes right"
    return judged(what, lambda: use(scratch), right, honest)


def judged(what: str, look: Callable[[], Any], right: Any, honest: bool) -> Outcome:
    """Tell what becomes of a change: an error, the right numbers, or others."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = look()
    except (VisitaError, OSError) as error:
        lines = str(error).splitlines()
        fault = None if len(lines) == 1 and len(lines[0]) < 1500 else f"no one line: {error!r}"
        return Outcome(what, True, fault)
    except Exception as error:
        return Outcome(what, False, f"{type(error).__name__}: {str(error)[:300]}")
    if not finite(found):
        return Outcome(what, False, "numbers that are not finite")
    if same(found, right):
        return Outcome(what, False, None)
    return Outcome(what, False, "other numbers, in silence" if honest else None, not honest)


def manifest_entry(folder: Path, rng: Rng) -> str:
    """Replace, take away or add a value anywhere in a manifest or another JSON file."""
    path = _pick(rng, sorted(folder.rglob("*.json")))
    content = json.loads(path.read_text("utf-8"))
    places = [place for place in _places(content) if place[0] not in ("files", "seal")]
    *inner, last = places[rng.integers(len(places))]
    value = deepcopy(VALUES[rng.integers(len(VALUES))])
    holder = content
    for key in inner:
        holder = holder[key]
    how = rng.random()
    if how < 0.15:
        del holder[last]
    elif how < 0.25 and isinstance(holder, dict):
        holder[f"{last}2"] = value
    else:
        holder[last] = value
    _replace(path, json.dumps(content).encode())
    return f"{path.relative_to(folder)} {[*inner, last]} {str(value)[:30]!r}"


def tensor(folder: Path, rng: Rng) -> str:
    """Change one tensor: its numbers, type or shape, whether it is there."""
    path = _pick(rng, sorted(folder.rglob("*.safetensors"))) if _has_tensors(folder) else None
    if path is None:
        return manifest_entry(folder, rng)
    arrays = load_file(path)
    name = sorted(arrays)[rng.integers(len(arrays))]
    value, how = arrays[name].copy(), TENSORS[rng.integers(len(TENSORS))]
    if how == "gone":
        del arrays[name]
    elif how == "more":
        arrays[f"{name}.more"] = value
    elif how == "type":
        arrays[name] = value.astype(TYPES[rng.integers(len(TYPES))])
    elif how == "shape":
        arrays[name] = value.reshape(-1) if value.ndim != 1 else value[:, None]
    elif how == "shorter":
        arrays[name] = value[: len(value) // 2] if value.ndim else value[None]
    elif how == "empty":
        arrays[name] = value[:0] if value.ndim else value[None][:0]
    else:
        with np.errstate(all="ignore"):
            filled = np.full(value.shape, float(how)).astype(value.dtype)
        arrays[name] = np.where(rng.random(value.shape) < 0.5, filled, value)
    path.unlink()
    save_file({key: np.ascontiguousarray(one) for key, one in arrays.items()}, path)
    return f"{path.relative_to(folder)} {name} {how}"


TENSORS = ["gone", "more", "type", "shape", "shorter", "empty", "nan", "inf", "0", "-1", "1e30"]


def file(folder: Path, rng: Rng) -> str:
    """Take a file away, cut it, add one, put a link in its place, or change bytes of it."""
    path = _pick(rng, sorted(p for p in folder.rglob("*") if p.is_file()))
    how = ["gone", "cut", "more", "link", "folder", "fifo", "bytes"][rng.integers(7)]
    if how == "more":
        (path.parent / "more.bin").write_bytes(b"more")
        return f"{how} beside {path.relative_to(folder)}"
    content = bytearray(path.read_bytes())
    path.unlink()
    if how == "cut":
        path.write_bytes(content[: rng.integers(len(content))])
    elif how == "link":
        away = folder.with_name(f"{folder.name}-away")
        away.write_bytes(content)
        path.symlink_to(away)
    elif how == "folder":
        path.mkdir()
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "bytes":
        for place in rng.integers(len(content), size=3):
            content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
    return f"{how} {path.relative_to(folder)}"


def raw(folder: Path, rng: Rng) -> str:
    """Put something into a manifest that no JSON library would write."""
    path = _pick(rng, sorted(folder.rglob(MANIFEST)))
    text, value = path.read_text("utf-8"), RAW[rng.integers(len(RAW))]
    lines = [number for number, line in enumerate(text.splitlines()) if ": " in line]
    place = lines[rng.integers(len(lines))]
    changed = text.splitlines()
    key = changed[place].partition(": ")[0]
    changed[place] = f"{key}: {value}{',' if changed[place].endswith(',') else ''}"
    _replace(path, "\n".join(changed).encode())
    return f"{path.relative_to(folder)} line {place + 1}: {value[:12]}"


def finite(found: Any) -> bool:
    """Tell whether all numbers are finite."""
    if isinstance(found, list | tuple):
        return all(map(finite, found))
    if isinstance(found, np.ndarray):
        return bool(np.isfinite(found).all())
    return not isinstance(found, float) or bool(np.isfinite(found))


def same(found: Any, right: Any) -> bool:
    """Tell whether two results are equal; arrays but for rounding."""
    if isinstance(right, list | tuple):
        return len(found) == len(right) and all(map(same, found, right))
    if isinstance(right, np.ndarray):
        return found.shape == right.shape and np.allclose(found, right, rtol=1e-5, atol=1e-6)
    return bool(found == right)


def _has_tensors(folder: Path) -> bool:
    return any(folder.rglob("*.safetensors"))


def _pick(rng: Rng, paths: list[Path]) -> Path:
    return paths[rng.integers(len(paths))]


def _replace(path: Path, content: bytes) -> None:
    path.unlink()  # it may be linked to the original
    path.write_bytes(content)


def _places(value: Any) -> list[list[Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[list[Any]] = []
    for key, inner in items:
        found.append([key])
        if isinstance(inner, dict | list):
            found += [[key, *rest] for rest in _places(inner)]
    return found
