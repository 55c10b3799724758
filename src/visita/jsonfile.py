"""JSON that any reader takes, and that no stranger can make harm: limits, and no NaN."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from visita.durable import write_durably
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
