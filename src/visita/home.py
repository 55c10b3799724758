"""Where visita keeps what it makes: galleries (data) and exported graphs (cache)."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_home() -> Path:
    """Return the folder for galleries: ``$VISITA_HOME``, else the user's data directory."""
    named = os.environ.get("VISITA_HOME")
    return Path(named).expanduser() if named else Path(platformdirs.user_data_dir("visita"))


def cache_home() -> Path:
    """Return the folder for what can be made again: ``$VISITA_HOME/cache``, else the user's."""
    named = os.environ.get("VISITA_HOME")
    if named:
        return Path(named).expanduser() / "cache"
    return Path(platformdirs.user_cache_dir("visita"))
