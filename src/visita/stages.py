"""How long the stages of a call take, for whoever wants to hear it.

Decoding, encoding, searching and re-ranking tell how long they took; where nobody listens, that
costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

Hear = Callable[[str, float], None]
"""Called with the name of a stage and the seconds that it took."""
_hearer: ContextVar[Hear | None] = ContextVar("hearer", default=None)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Tell how long the block took."""
    hear = _hearer.get()
    begun = perf_counter()
    try:
        yield
    finally:
        if hear is not None:
            hear(name, perf_counter() - begun)


@contextmanager
def heard(hear: Hear) -> Iterator[None]:
    """Within the block, and in threads that it begins by anyio, let ``hear`` be told."""
    before = _hearer.set(hear)
    try:
        yield
    finally:
        _hearer.reset(before)
