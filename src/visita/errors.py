"""Every error visita raises on purpose.

VisitaError
├── DataError              pairs, texts or folders that cannot be used
│   └── PictureError       one picture file that cannot be decoded
│       └── PassingError   … now; nothing is wrong with its content
├── ConfigError            an unknown or impossible setting
│   ├── UnknownNameError   a name that no registry holds
│   └── RankError          more topics than the texts hold
├── ArtifactError          a saved thing that is missing, damaged or too new
│   ├── MismatchError      two saved things that do not belong together
│   ├── DamagedError       a saved thing that is not as it was written
│   └── UnwritableError    a place that cannot be written now
├── MissingExtraError      an optional library that is not installed
└── TrainingError          a run that cannot go on

Each message says what is wrong and what to do next; the command line prints it
without a traceback and exits with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "MismatchError",
    "MissingExtraError",
    "PictureError",
    "RankError",
    "TrainingError",
    "UnknownNameError",
    "VisitaError",
    "did_you_mean",
]


class VisitaError(Exception):
    """Base of all errors that visita raises on purpose.

    Examples
    --------
    >>> try:
    ...     visita.load("visita-smal")
    ... except visita.VisitaError as error:
    ...     print(str(error)[-28:])
    Did you mean 'visita-small'?
    """


class DataError(VisitaError):
    """Pairs, texts or folders that cannot be used."""


class PictureError(DataError):
    """One picture file that cannot be decoded; a run skips and reports it."""


class PassingError(PictureError):
    """A picture file that cannot be read now, whatever its content; it is tried again."""


class ConfigError(VisitaError):
    """An unknown or impossible setting."""


class UnknownNameError(ConfigError):
    """A name that no registry holds."""


class RankError(ConfigError):
    """More topics are asked for than the texts hold; ``rank`` is how many they do."""

    def __init__(self, message: str, rank: int) -> None:
        super().__init__(message)
        self.rank = rank


class ArtifactError(VisitaError):
    """A saved thing that is missing, damaged or written by a newer version."""


class MismatchError(ArtifactError):
    """Two saved things that do not belong together, such as features and a matcher."""


class DamagedError(ArtifactError):
    """A saved thing whose bytes are not those that were written."""


class UnwritableError(ArtifactError):
    """A place that cannot be written now (no rights, no room); ``reason`` is the bare one."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class MissingExtraError(VisitaError):
    """An optional library is not installed; the message names the line that installs it."""

    def __init__(self, need: str, extra: str) -> None:
        super().__init__(f"{need} needs an extra: run  pip install 'visita[{extra}]'")


EXTRAS = {
    "accelerate": "train",
    "boto3": "s3",
    "botocore": "s3",
    "fastapi": "serve",
    "mcp": "mcp",
    "matplotlib": "report",
    "prometheus_client": "serve",
    "pyarrow": "parquet",
    "rapidocr": "ocr",
    "ray": "ray",
    "sklearn": "train",
    "threadpoolctl": "serve",
    "torch": "train",
    "transformers": "transformers",
    "uvicorn": "serve",
    "watchfiles": "watch",
}
"""The extra that installs each library that not every installation has."""


@contextmanager
def extras_named(need: str) -> Iterator[None]:
    """Within the block, name the extra of a library of ``EXTRAS`` that is not installed.

    Raises
    ------
    MissingExtraError
        In place of ModuleNotFoundError; ``need`` is what cannot be done without.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise MissingExtraError(need, extra) from error


class TrainingError(VisitaError):
    """A training run that cannot go on."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known word, or an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def last_line(error: Exception) -> str:
    """Return the last line of what another library says, or the kind of its error.

    Libraries of networks name the source files that they came through first, and why last.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


def __dir__() -> list[str]:
    return sorted(__all__)
