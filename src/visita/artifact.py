"""A saved thing: one folder with ``manifest.json`` and the files it vouches for by SHA-256.

Written to a temporary neighbour first, waited for until the disk has it, and renamed into
place, so a folder with a manifest is always whole. Nothing is ever unpickled: tensors are
safetensors, graphs are OpenVINO's, the rest is JSON.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save_file

from visita.durable import draft_beside, make_folder, sync_folder, sync_tree, write_durably
from visita.errors import ArtifactError

FORMAT = 1
MANIFEST = "manifest.json"


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(value: Any) -> str:
    """Return 16 hex digits that change when the JSON form of ``value`` does."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


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
        make_folder(folder.parent)
        with draft_beside(folder) as draft:
            yield draft
            found = sorted(path for path in draft.rglob("*") if path.is_file())
            files = {str(path.relative_to(draft)): sha256_of(path) for path in found}
            manifest = {"visita": kind, "format": FORMAT, "files": files, **facts}
            write_json(draft / MANIFEST, manifest)
            draft.chmod(0o755)
            sync_tree(draft)
            _replace_folder(draft, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a safetensors file that others may read too."""
    save_file(dict(arrays), path)
    path.chmod(0o644)  # safetensors keeps it to its owner


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
    if not any(folder.iterdir()):
        return True
    try:
        return "visita" in read_json(folder / MANIFEST)
    except ArtifactError:
        return False


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


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; return False where the system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """Return the manifest of the artifact in ``folder`` after checking every file's hash.

    Raises
    ------
    ArtifactError
        If there is none, it is damaged, of another kind or a newer format, or a file differs.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} is not a saved {kind}: it has no {MANIFEST}.")
    manifest = read_json(path)
    if manifest.get("visita") != kind:
        found = manifest.get("visita", "something else")
        raise ArtifactError(f"{folder} holds a {found}, not a {kind}.")
    files, version = manifest.get("files"), manifest.get("format")
    if not isinstance(files, dict) or not isinstance(version, int):
        raise ArtifactError(f"{path} is damaged; copy the {kind} again.")
    if version > FORMAT:
        raise ArtifactError(f"{folder} was written by a newer visita; upgrade to read it.")
    for name, digest in files.items():
        file = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ArtifactError(f"{folder} names a file outside itself: {name!r}.")
        if not file.is_file() or sha256_of(file) != digest:
            raise ArtifactError(f"{file} is missing or changed since it was saved; copy it again.")
    return manifest


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``.

    Raises
    ------
    ArtifactError
        If the file is not a JSON object.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} should hold a JSON object.")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as JSON so that ``path`` is the old file or, on return, the whole new one."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_durably(path, text.encode())
