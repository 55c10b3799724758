"""Noticing that files of some folders change, as the system tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from visita.errors import extras_named

_QUIET, _LOOK = 500, 1000
"""Milliseconds: how long nothing has to change, and how often one looks whether to stop."""


def changed_folders(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield all folders once they are watched, then, without end, those that something changed in.

    Folders are absolute and without links. What changes while the caller works on one is
    yielded next.

    Raises
    ------
    MissingExtraError
        If watchfiles is not installed.
    """
    with extras_named("watching folders"):
        from watchfiles import watch  # noqa: PLC0415  an extra
    began = False
    watched = watch(
        *folders, watch_filter=None, step=_QUIET, rust_timeout=_LOOK, yield_on_timeout=True
    )
    for changes in watched:
        places = [Path(path) for _, path in changes]
        changed = [f for f in folders if any(place.is_relative_to(f) for place in places)]
        if found := changed if began else list(folders):
            yield found
        began = True
