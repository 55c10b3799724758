"""How much memory pictures may take while they are decoded, all threads of a process together.

Whoever decodes says beforehand what it will take, and waits until there is room for it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Condition, Lock

from visita.errors import ConfigError, PassingError

SETTING = "VISITA_DECODE_MEMORY"
DEFAULT = 600
"""MB, whatever the number of cores."""
MB = 10**6
LARGE = 16 * MB
"""What is given back beyond this is given back to the system too."""


class Budget:
    """So many bytes, lent and given back; thread-safe."""

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._turn = Lock()
        self._room = Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Hold ``amount`` bytes while the block runs, waiting until there are so many.

        Never hold twice in one thread: it might wait for itself.

        Raises
        ------
        PassingError
            If there will never be so many. The message is the bare reason.
        """
        if amount > self.total:
            raise PassingError(
                f"takes about {-(-amount // MB):,} MB to decode, more than {self.total // MB:,}: "
                f"set {SETTING} higher to read it (in MB)"
            )
        # Who comes first is served first: else small ones would for ever pass a large one.
        with self._turn, self._room:
            self._room.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            if amount > LARGE:
                _trim()()
            with self._room:
                self._free += amount
                self._room.notify_all()


@cache
def _trim() -> Callable[[], object]:
    """Return what gives freed memory back to the system, where that is not done by itself."""
    # glibc keeps large pieces for the thread that freed them: with many threads, many times over.
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    trim = getattr(library, "malloc_trim", None)
    return (lambda: None) if trim is None else (lambda: trim(0))


@cache
def budget() -> Budget:
    """Return this process's budget, of ``$VISITA_DECODE_MEMORY`` megabytes.

    Raises
    ------
    ConfigError
        If that is no number of megabytes.
    """
    named = os.environ.get(SETTING) or str(DEFAULT)
    if not (named.isascii() and named.isdigit() and int(named)):
        raise ConfigError(f"{SETTING} is {named!r}: give a number of megabytes, such as {DEFAULT}.")
    return Budget(int(named) * MB)
