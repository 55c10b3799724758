"""Where visita keeps what it makes: galleries (data) and exported graphs (cache)."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from visita.errors import ConfigError


def data_home() -> Path:
    """Return the folder for galleries: ``$VISITA_HOME``, else the user's data directory."""
    return _named() or Path(platformdirs.user_data_dir("visita"))


def cache_home() -> Path:
    """Return the folder for what can be made again: ``$VISITA_HOME/cache``, else the user's."""
    named = _named()
    return named / "cache" if named else Path(platformdirs.user_cache_dir("visita"))


def _named() -> Path | None:
    """Return what ``VISITA_HOME`` names, if anything.

    Raises
    ------
    ConfigError
        If it is no folder that can be: of an unknown user, or what is there is a file.
    """
    named = os.environ.get("VISITA_HOME")
    if not named:
        return None
    try:
        folder = Path(named).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"VISITA_HOME is {named!r}, and there is no such user.") from error
    try:
        elsewhere = folder.exists() and not folder.is_dir()
    except OSError as error:
        raise ConfigError(f"VISITA_HOME is {named[:100]!r}: {error.strerror}.") from error
    if elsewhere:
        raise ConfigError(f"VISITA_HOME is {named!r}, which is not a folder.")
    return folder
