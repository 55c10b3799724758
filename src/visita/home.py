"""Where visita keeps what it makes (galleries; exported graphs) and what the user chose."""

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
    home = _named()
    return home / "cache" if home else Path(platformdirs.user_cache_dir("visita"))


def config_home() -> Path:
    """Return the folder for what the user chose: ``$VISITA_HOME/config``, else the user's."""
    home = _named()
    return home / "config" if home else Path(platformdirs.user_config_dir("visita"))


def _named() -> Path | None:
    """Return what ``VISITA_HOME`` names, if anything.

    Raises
    ------
    ConfigError
        If it is no folder that can be: of an unknown user, or what is there is a file.
    """
    home = os.environ.get("VISITA_HOME")
    if not home:
        return None
    try:
        folder = Path(home).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"VISITA_HOME is {home!r}, and there is no such user.") from error
    try:
        elsewhere = folder.exists() and not folder.is_dir()
    except OSError as error:
        raise ConfigError(f"VISITA_HOME is {home[:100]!r}: {error.strerror}.") from error
    if elsewhere:
        raise ConfigError(f"VISITA_HOME is {home!r}, which is not a folder.")
    return folder
