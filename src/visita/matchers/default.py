"""The matcher of this user: what commands take where none is named.

A small file holds its name; without one it is the shipped ``DEFAULT``.
"""

from __future__ import annotations

from pathlib import Path

from visita.artifact import read_sealed, write_sealed
from visita.durable import make_folder
from visita.encoders.pretrained.model import repository
from visita.errors import ArtifactError, DamagedError, UnwritableError
from visita.home import config_home
from visita.matchers import DEFAULT, PRETRAINED, SHIPPED
from visita.types import Matcher

FORMAT = 1
FILE = "settings.json"
JOINED = "matchers"
"""Folder of matchers that were given another text encoder, each by its fingerprint."""


def default_matcher() -> str:
    """Return the name of this user's matcher, as ``visita.load`` takes it.

    Raises
    ------
    ArtifactError
        If the file that says so is damaged, or of a newer visita.
    """
    path = config_home() / FILE
    if not path.exists():
        return DEFAULT
    try:
        settings = read_sealed(path)
    except DamagedError as error:
        raise DamagedError(f"{error} {_ANEW}") from error
    version, name = settings.get("format"), settings.get("matcher")
    if version != FORMAT:
        raise ArtifactError(f"{path} was written by a newer visita. {_ANEW}")
    if not isinstance(name, str):
        raise DamagedError(f"{path} names no matcher. {_ANEW}")
    return name


_ANEW = f"Choose your default matcher anew, such as:  visita use {DEFAULT}"


def make_default(name: str) -> None:
    """Make a matcher this user's, by a name that ``lasting_name`` gave; durably on return.

    Raises
    ------
    UnwritableError
        If the choice cannot be written: the one of before stays.
    """
    path = config_home() / FILE
    try:
        make_folder(path.parent)
        write_sealed(path, {"format": FORMAT, "matcher": name})
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnwritableError(
            f"{path} cannot be written ({reason}): make room, or choose another place with "
            "VISITA_HOME.",
            reason,
        ) from error


def kept(matcher: Matcher) -> str:
    """Save a matcher that is more than a name, and return its folder, which is one.

    Raises
    ------
    ArtifactError
        If it cannot be written.
    """
    folder = config_home() / JOINED / matcher.fingerprint()
    matcher.save(folder)
    return str(folder)


def lasting_name(name: str) -> str:
    """Return a name that means the same matcher wherever a command runs: folders are absolute."""
    if name in SHIPPED:
        return name
    family, colon, place = _parts(name)
    folder = Path(place).expanduser()
    here = Path(place.partition("@")[0]).expanduser().exists()
    return f"{family}{colon}{folder.absolute()}" if here else name


def _parts(name: str) -> tuple[str, str, str]:
    """Return the family of a name, its colon, and the rest; both empty for a folder."""
    if name in PRETRAINED and not Path(name).is_dir():
        return name.partition(":")
    return "", "", name


def same_matcher(one: str, other: str) -> bool:
    """Tell whether two names mean one matcher, of whatever revision."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> tuple[str, str]:
    family, _, model = name.partition(":")
    return family, repository(model.partition("@")[0])
