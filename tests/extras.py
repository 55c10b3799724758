"""In an environment without torch, what needs an extra of visita is skipped and says so.

With torch, all extras are taken to be installed, and what is missing is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from visita.errors import MissingExtraError

HAS_TORCH = find_spec("torch") is not None
TOLD = re.compile(r".*needs an extra: run .*|.*No module named 'torch.*")


@contextmanager
def skipped_if_lacking(whose: str = "") -> Iterator[None]:
    """Skip the rest of a test, or of a file of tests, where a library of an extra is missing."""
    try:
        yield
    except Exception as error:
        if not HAS_TORCH and (reason := lacking(error)):
            pytest.skip(f"{whose}{reason}", allow_module_level=True)
        raise


def lacking(error: BaseException | None) -> str:
    """Return which library or extra an error, or what it came from, asks for; empty if none."""
    if isinstance(error, MissingExtraError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("visita."):
        return f"needs {error.name}"
    return lacking(error.__cause__) if error else ""


def skip_if_told(told: str) -> None:
    """Skip a test if what was told is that a library of an extra is missing."""
    if not HAS_TORCH and (found := TOLD.search(told)):
        pytest.skip(found[0])
