"""What a search returns: pictures, best first, which a notebook shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from visita.brief import counted
from visita.data.thumbnails import cards


@dataclass(frozen=True, slots=True)
class Match:
    """A picture that was found.

    Attributes
    ----------
    path : Path
        Absolute.
    score : float
        Inner product of the query and the picture, -1 to 1; between two pictures it is
        their similarity. For a text and a matcher of two stages, the score of both.
    probability : float or None
        That the picture is what the text asks for, given how many were searched; of one to
        three words, that it shows them. None for a query by picture, and where the matcher was
        never calibrated.
    date : str or None
        When it was taken, where the search was filtered or sorted by date and that is known:
        ``2024``, ``2024-05-01`` or ``2024-05-01T10:20:30``.
    alike : tuple of Path
        Others that are nearly the same picture, where they were asked to be put together.
    said : tuple of (str, float)
        What words of the text add to the score that were read in the picture, as ``words``; see
        ``visita.search.words``.

    Examples
    --------
    >>> from pathlib import Path
    >>> visita.Match(Path("/pictures/dog.jpg"), score=0.41, probability=0.93)
    Match(path=PosixPath('/pictures/dog.jpg'), score=0.41, probability=0.93, date=None, alike=())
    """

    path: Path
    score: float
    probability: float | None
    date: str | None = field(default=None, kw_only=True)
    alike: tuple[Path, ...] = field(default=(), kw_only=True)
    said: tuple[tuple[str, float], ...] = field(default=(), kw_only=True, repr=False)

    @property
    def told(self) -> str:
        """The probability, or else the score, with its name."""
        if self.probability is None:
            return f"score {self.score:.3f}"
        return f"probability {self.probability:.3f}"

    def reasons(self) -> tuple[str, ...]:
        """Return further reasons for it, a line each."""
        return tuple(f"{name}: +{adds:.3f}" for name, adds in self.said)

    def _repr_html_(self) -> str:
        return cards("1 picture", [(self.path, (self.told, *self.reasons()))])


Found = TypeVar("Found", bound=Match)


class Matches(list[Found]):
    """A list of matches, best first; a notebook shows their pictures.

    Examples
    --------
    >>> from pathlib import Path
    >>> visita.Matches([visita.Match(Path("/pictures/dog.jpg"), 0.41, probability=0.93)])
    <Matches: 1: 'dog.jpg' (probability 0.930)>
    """

    def __repr__(self) -> str:
        """Return how many there are, and the first three."""
        first = [f"{match.path.name!r} ({match.told})" for match in self[:3]]
        more = ["…"] if len(self) > len(first) else []
        return f"<Matches: {len(self)}{': ' if first else ''}{', '.join([*first, *more])}>"

    def _repr_html_(self) -> str:
        pictures = [(match.path, (match.told, *match.reasons())) for match in self]
        return cards(f"{counted(len(self), 'picture')}, best first", pictures)
