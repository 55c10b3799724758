"""Answers in parts: where one ends and the next begins, as an opaque cursor."""

from __future__ import annotations

import base64
import hashlib

from pydantic import BaseModel

from visita.errors import ConfigError


def end_of(place: int, asked: BaseModel) -> str:
    """Return the cursor that the same question goes on with."""
    return base64.urlsafe_b64encode(f"{place}:{_mark(asked)}".encode()).decode()


def start_of(asked: BaseModel) -> int:
    """Return where the answer to a question begins, by its ``cursor``.

    Raises
    ------
    ConfigError
        If that is none, or of another question.
    """
    given: str | None = getattr(asked, "cursor", None)
    if given is None:
        return 0
    try:
        place, _, mark = base64.urlsafe_b64decode(given.encode()).decode().partition(":")
        if mark == _mark(asked) and int(place) >= 0:
            return int(place)
    except ValueError:
        pass
    raise ConfigError("The cursor is of another question: leave it out to begin anew.")


def _mark(asked: BaseModel) -> str:
    content = asked.model_dump_json(exclude={"cursor"}).encode()
    return hashlib.blake2b(content, digest_size=12).hexdigest()
