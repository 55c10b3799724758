"""Image encoders that were fitted here, on someone's pictures: they travel inside the matcher.

Wherever one is made or a matcher that has one is loaded, it is also put into the cache, under the
name of its content: a recipe names it ``FAMILY:CONTENT``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol, Self, TypeVar

from visita.artifact import MANIFEST, read_json
from visita.data.seen import Seen
from visita.durable import make_folder
from visita.errors import ArtifactError
from visita.home import cache_home
from visita.progress import say
from visita.registry import Registry
from visita.types import Recipe

FITTED = Registry(
    "fitted image encoder",
    {
        "visual-words": "visita.encoders.visual_words:VisualWords",
        "tuned": "visita.encoders.tuned:TunedEncoder",
    },
)


class Fitted(Protocol):
    """What an encoder has beside the contract of ``ImageEncoder`` to be kept."""

    family: ClassVar[str]

    @property
    def seen(self) -> Seen | None:
        """The pictures that it learnt from and was chosen on; None where it keeps none."""
        ...

    def fingerprint(self) -> str:
        """Return a hash over all of its content."""
        ...

    def alone(self) -> Fitted:
        """Return it as it travels inside a matcher."""
        ...

    def save(self, folder: Path) -> None:
        """Write it as an artifact folder of the kind ``family``, atomically."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved one."""
        ...


Kind = TypeVar("Kind", bound=Fitted)


def install(encoder: Fitted) -> None:
    """Put an encoder into the cache, where its name finds it."""
    folder = _place(encoder.family, encoder.fingerprint())
    if not _is_whole(folder):
        make_folder(folder.parent)
        encoder.save(folder)


def _is_whole(folder: Path) -> bool:
    """Tell whether a fitted encoder is kept in ``folder``; one that is damaged is deleted."""
    if not folder.is_dir():
        return False
    try:
        FITTED.load(folder.parent.name).load(folder)
    except ArtifactError as error:
        say(f"a fitted encoder is damaged and kept anew: {error}")
        shutil.rmtree(folder)
        return False
    return True


def installed(kind: type[Kind], fingerprint: str) -> Kind:
    """Return the encoder with that fingerprint.

    Raises
    ------
    ArtifactError
        If it was never here, or is damaged.
    """
    folder = _place(kind.family, fingerprint)
    # What a stranger's matcher names may be no fingerprint but a way out of the cache.
    if not fingerprint.isalnum() or not (folder / MANIFEST).is_file():
        raise ArtifactError(
            f"{kind.family}:{fingerprint} is neither in the cache nor a folder here: load the "
            "matcher that has it."
        )
    return kind.load(folder)


def save_fitted(recipe: Recipe, folder: Path) -> None:
    """Write the fitted encoders that a recipe names into ``folder``, one folder each."""
    for encoder in _fitted(recipe):
        encoder.alone().save(folder / encoder.fingerprint())


def seen_by(recipe: Recipe) -> Seen | None:
    """Return the pictures that the fitted encoders of a recipe saw; None where none is known."""
    seen = None
    for encoder in _fitted(recipe):
        if encoder.seen is not None:
            seen = encoder.seen.joined(seen)
    return seen


def _fitted(recipe: Recipe) -> Iterator[Fitted]:
    for name in recipe.levels:
        family, _, content = name.partition(":")
        if family in FITTED:
            yield installed(FITTED.load(family), content)


def install_fitted(folder: Path) -> None:
    """Put all encoders that ``save_fitted`` wrote into the cache.

    Raises
    ------
    ArtifactError
        If there is something else, or it is damaged.
    """
    for subfolder in sorted(folder.iterdir()) if folder.is_dir() else []:
        family = str(read_json(subfolder / MANIFEST).get("visita"))
        if family not in FITTED:
            raise ArtifactError(f"{subfolder} is no image encoder that visita knows.")
        install(FITTED.load(family).load(subfolder))


def _place(family: str, fingerprint: str) -> Path:
    return cache_home() / family / fingerprint
