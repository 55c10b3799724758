"""Galleries of a few pictures that keep all that large ones do: checkpoints, lists of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from visita.gallery import catalog, inverted_files, inverted_index
from visita.store import journal

FEW = 5
"""Pictures; more make a gallery a large one."""


@contextmanager
def as_large() -> Iterator[None]:
    """Count every gallery of more than ``FEW`` pictures as a large one."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (catalog, journal):
            patch.setattr(module, "LONG", 1)
        patch.setattr(inverted_files, "LARGE", FEW)
        patch.setattr(inverted_index, "CANDIDATES", FEW)
        patch.setattr(inverted_index, "EACH", 1)
        yield
