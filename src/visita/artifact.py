"""A saved thing: one folder with ``manifest.json`` and the files it vouches for by SHA-256.

Written to a temporary neighbour first, waited for until the disk has it, and renamed into
place, so a folder with a manifest is always whole. Nothing is ever unpickled: tensors are
safetensors, graphs are OpenVINO's, the rest is JSON.

It may come from a stranger: the manifest has a schema and covers itself, lists every file in the
folder and nothing else, and no link is followed.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from visita.durable import draft_beside, make_folder, sync_folder, sync_tree, write_durably
from visita.errors import ArtifactError, DamagedError

MAX_BYTES = 64 * 2**20
"""Of a file that is read."""
SEAL = "seal"
"""The entry of a file that covers all others."""


def json_text(value: Any, **layout: Any) -> str:
    """Return JSON values, and paths as text, as JSON; numbers that are not finite are null.

    ``layout`` is that of ``json.dumps``.
    """
    try:
        return json.dumps(value, allow_nan=False, default=os.fspath, **layout)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, default=os.fspath, **layout)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``.

    Raises
    ------
    ArtifactError
        If the file cannot be read, is not a JSON object, or holds a number that is not finite.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES / 2**20:.0f} MB")
        value = json.loads(content, parse_float=_number, parse_constant=_refused)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read: {_reason(error)}.") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} should hold a JSON object.")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as JSON so that ``path`` is the old file or, on return, the whole new one."""
    text = json_text(value, indent=1, ensure_ascii=False)
    # What cannot be encoded, of a file name that is no text, is an escape of JSON then.
    write_durably(path, f"{text}\n".encode(errors="backslashreplace"))


def digest_of(value: Any) -> str:
    """Return the hex SHA-256 of a JSON value: the same for the same value, however written."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as ``write_json`` does, with its seal: 16 digits of the ``digest_of`` it."""
    as_read = json.loads(json_text(value))
    write_json(path, {**as_read, SEAL: digest_of(as_read)[:16]})


def read_sealed(path: Path) -> dict[str, Any]:
    """Return what ``write_sealed`` wrote; what says that it is of format 1 needs no seal.

    Raises
    ------
    DamagedError
        If it cannot be read, or is not as it was written.
    """
    try:
        content = read_json(path)
    except ArtifactError as error:
        raise DamagedError(str(error)) from error
    seal = content.pop(SEAL, None)
    if seal is None and content.get("format") == 1:
        return content
    if seal != digest_of(content)[:16]:
        raise DamagedError(f"{path} is damaged or was changed by hand: its seal is another.")
    return content


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no number of JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(getattr(error, "strerror", None) or error)


FORMAT = 2
"""Since 2 a manifest covers itself."""
MANIFEST = "manifest.json"
MAX_ARRAYS = 2**33
"""Bytes of one file of arrays that are read into memory."""
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
"""Of an encoder, a level, a matcher."""
Width = Annotated[int, Field(ge=1, le=2**20)]
"""Of vectors, and of whatever else a network has many of."""


class Manifest(BaseModel):
    """What every manifest says; the schema of a kind adds what it needs.

    Attributes
    ----------
    files : dict
        SHA-256 of every other file in the folder, by its path there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    visita: str
    format: int
    files: dict[str, Digest]


Kind = TypeVar("Kind", bound=Manifest)


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(value: Any) -> str:
    """Return 16 hex digits that change when the JSON form of ``value`` does."""
    return digest_of(value)[:16]


@contextmanager
def write_folder(folder: Path, kind: str, facts: Mapping[str, Any]) -> Iterator[Path]:
    """Give a temporary folder to fill; on leaving, add the manifest and put it in place.

    An older artifact at ``folder`` is replaced; any other non-empty folder is refused.

    Raises
    ------
    ArtifactError
        If ``folder`` holds something that is not a visita artifact, or cannot be written.
    """
    folder = folder.resolve()
    check_free(folder)
    try:
        with draft_beside(folder) as draft:
            yield draft
            files = {name: sha256_of(draft / name) for name in sorted(_files(draft))}
            manifest = {"visita": kind, "format": FORMAT, "files": files, **facts}
            write_sealed(draft / MANIFEST, manifest)
            draft.chmod(0o755)
            sync_tree(draft)
            _replace_folder(draft, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a safetensors file that others may read too."""
    # safetensors writes the memory as it lies, whatever the order of its axes.
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
    path.chmod(0o644)  # safetensors keeps it to its owner


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file: whole numbers, float16, float32 and float64.

    Raises
    ------
    ArtifactError
        If it is none, is too large, or holds other types or numbers that are not finite.
    """
    try:
        if path.stat().st_size > MAX_ARRAYS:
            raise ValueError(f"it is larger than {MAX_ARRAYS / 2**30:.0f} GB")
        arrays = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error!s:.200}.") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ArtifactError(
                f"{path} holds numbers that are not finite (NaN or infinite) or none in {name!r}."
            )
    return arrays


def check_free(folder: Path) -> None:
    """Make sure, before long work, that an artifact can be written to ``folder``.

    Raises
    ------
    ArtifactError
        If it holds something that is not a visita artifact, or cannot be made.
    """
    try:
        if not _is_free(folder):
            raise ArtifactError(f"{folder} holds other files; choose an empty or new folder.")
        make_folder(folder.parent)
        with draft_beside(folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> ArtifactError:
    reason = error.strerror or error
    return ArtifactError(f"{folder} cannot be written ({reason}); make room or choose another.")


def _is_free(folder: Path) -> bool:
    """Tell whether nothing but an artifact would be lost by writing to ``folder``."""
    if not folder.is_dir():
        return not folder.exists()
    if not (folder / MANIFEST).is_file():
        return not any(folder.iterdir())
    return len(Manifest.model_fields.keys() & read_json(folder / MANIFEST)) > 1


def _replace_folder(draft: Path, folder: Path) -> None:
    """Put a draft in place, durably; what was there is then at the draft's, or deleted."""
    if not folder.exists():
        draft.replace(folder)
    elif not _exchange(draft, folder):
        # A folder cannot be renamed over a full one, so the old one steps aside first.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.was-", dir=folder.parent) as aside:
            folder.replace(Path(aside, "was"))
            draft.replace(folder)
            sync_folder(folder.parent)
    sync_folder(folder.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; return False where the system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


def read_manifest(folder: Path, kind: str, schema: type[Kind]) -> Kind:
    """Return the manifest of the artifact in ``folder`` after checking it and every file's hash.

    Raises
    ------
    ArtifactError
        If there is none, it is damaged, of another kind or a newer format, does not keep to
        ``schema``, or a file differs, is missing, is a link or is not listed.
    """
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{folder} is not a saved {kind}: it has no {MANIFEST}.")
    content = read_sealed(path)
    if content.get("visita") != kind:
        actual = content.get("visita", "something else")
        raise ArtifactError(f"{folder} holds a {actual!s:.50}, not a {kind}.")
    if type(content.get("format")) is int and content["format"] > FORMAT:
        raise ArtifactError(f"{folder} was written by a newer visita; upgrade to read it.")
    try:
        text = json_text(content, ensure_ascii=False)
        manifest = schema.model_validate_json(text.encode(errors="replace"))
    except ValidationError as error:
        raise ArtifactError(f"{path} is damaged or no {kind}'s: {_first(error)}.") from error
    _check_files(folder, kind, manifest.files)
    return manifest


def _check_files(folder: Path, kind: str, listed: Mapping[str, str]) -> None:
    there = _files(folder) - {MANIFEST}
    for name, digest in listed.items():
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ArtifactError(f"{folder} names a file outside itself: {name!r:.100}.")
        if name not in there or sha256_of(folder / name) != digest:
            raise ArtifactError(
                f"{folder / name} is missing or changed since it was saved; copy it again."
            )
    for name in sorted(there - set(listed)):
        raise ArtifactError(
            f"{folder} is no whole {kind}: its {MANIFEST} does not list {name!r}; take that away."
        )


def _files(folder: Path) -> set[str]:
    """Return the path of every file below ``folder``, relative and with slashes.

    Raises
    ------
    ArtifactError
        If something is neither a file nor a folder: what a link points to is no part of it.
    """
    paths = set()
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ArtifactError(f"{path} is a link or no file; put the file itself there.")
        paths |= {Path(place, name).relative_to(folder).as_posix() for name in files}
    return paths


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place:.100}: {fault['msg']:.100}" if place else fault["msg"]
