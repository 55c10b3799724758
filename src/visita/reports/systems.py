"""What is compared: matchers by name or folder, and systems that are trained for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from visita.baselines import BASELINES
from visita.errors import ConfigError, UnknownNameError, did_you_mean
from visita.report.content import shown
from visita.training import MKL_VISITA, PRESETS
from visita.training.config import AdaptConfig
from visita.training.settings import Settings

TRAIN = "train:"
TRAINED = {"fusion": PRESETS, "mkl-visita": MKL_VISITA}
"""What has presets; every other name is a baseline's."""


@dataclass(frozen=True)
class Given:
    """A matcher that is there: a shipped or pretrained one by its name, a saved one's folder."""

    matcher: str


@dataclass(frozen=True)
class Fresh:
    """A matcher that is trained, with one seed.

    Attributes
    ----------
    kind : str
        fusion, mkl-visita or the name of a baseline.
    config : Settings
        Whose class says what is trained.
    base : str or None
        The matcher that is adapted, if it is not trained anew.
    """

    kind: str
    config: Settings
    base: str | None = None

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.config.model_dump()["seed"])


@dataclass(frozen=True)
class System:
    """What has a row: one matcher, or several of one kind of which the mean counts."""

    name: str
    members: tuple[Given | Fresh, ...]

    @cached_property
    def runs(self) -> dict[str, Given | Fresh]:
        """The members, by what their cells are called."""
        if len(self.members) == 1:
            return {self.name: self.members[0]}
        return {
            f"{self.name}, {_run_name(member, number)}": member
            for number, member in enumerate(self.members, 1)
        }


def read_systems(words: Sequence[str], seeds: int, seed: int) -> list[System]:
    """Return what words such as these stand for.

    ``visita-small``, ``clip:NAME`` or a folder: a matcher. ``train:NAME[,key=value…]``: trained,
    with ``seeds`` seeds from ``seed`` on, where NAME is ``fusion``, ``mkl-visita`` or a baseline
    and the settings are those of ``visita train``, with ``preset=NAME`` and ``from=MATCHER``
    beside them. ``NAME=A,B…``: several matchers, such as one trained with several seeds, of which
    the mean counts. ``NAME=`` before any gives a name of one's own.

    Raises
    ------
    ConfigError
        If there is none, two have one name, or a setting does not fit.
    UnknownNameError
        If nothing by that name can be trained.
    """
    if not words:
        raise ConfigError("Name one matcher or more, or what to train, as in train:cca.")
    if seeds < 1:
        raise ConfigError("Give one seed or more.")
    systems = [_system(word, range(seed, seed + seeds)) for word in words]
    [(name, count)] = Counter(system.name for system in systems).most_common(1)
    if count > 1:
        raise ConfigError(
            f"Two systems are called {name!r}: give one a name of its own, as in other={name}."
        )
    return systems


def _system(words: str, seeds: range) -> System:
    match = re.fullmatch(r"([^=:,/\\]+)=(.+)", words)
    name, what = match.groups() if match else ("", words)
    if what.startswith(TRAIN):
        kind, *settings = re.split(r",(?=[\w.]+=)", what.removeprefix(TRAIN))
        fresh = tuple(_fresh(kind, settings, seed) for seed in seeds)
        return System(name or ", ".join([kind, *settings]), fresh)
    members = what.split(",") if name else [what]
    return System(name or shown(what), tuple(Given(member) for member in members))


def _fresh(kind: str, settings: Sequence[str], seed: int) -> Fresh:
    chosen = dict(setting.split("=", 1) for setting in settings)
    preset, base = chosen.pop("preset", "default"), chosen.pop("from", None)
    words = [f"{key}={value}" for key, value in chosen.items()]
    if base is not None and kind != "fusion":
        raise ConfigError(f"Only fusion starts from a matcher, so leave out from={base}.")
    if base is not None:
        settings_class: type[Settings] = AdaptConfig
    elif kind in TRAINED:
        settings_class = TRAINED[kind].load(preset)
    else:
        settings_class = _baseline(kind)
    return Fresh(kind, settings_class.read(None, [f"seed={seed}", *words]), base)


def _baseline(kind: str) -> type[Settings]:
    if kind not in BASELINES:
        known = [*TRAINED, *BASELINES.names()]
        raise UnknownNameError(
            f"Nothing called {kind!r} can be trained.{did_you_mean(kind, known)} "
            f"Known: {', '.join(known)}."
        )
    settings_class: type[Settings] = BASELINES.load(kind)
    return settings_class


def _run_name(member: Given | Fresh, number: int) -> str:
    return f"seed {member.seed}" if isinstance(member, Fresh) else f"run {number}"
