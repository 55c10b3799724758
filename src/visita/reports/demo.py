"""Six queries on the sample photographs of scikit-image: does the right one come first?"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from visita.data import photographs
from visita.errors import DataError, MissingExtraError
from visita.home import data_home
from visita.search.galleries import Gallery
from visita.search.matches import Match
from visita.search.sheet import SHOWN, Head, Row, draw
from visita.types import Matcher

PICTURES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
QUERIES = {
    "a cat": "chelsea.png",
    "a cup of coffee": "coffee.png",
    "a rocket launching": "rocket.jpg",
    "a motorcycle in a garage": "motorcycle_left.png",
    "a smiling astronaut": "astronaut.png",
    "a man with a camera": "camera.png",
}
"""Fixed before the first run, each with the picture that should come first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query found.

    Attributes
    ----------
    expected : str
        Name of the file that should come first.
    matches : list of Match
        All pictures, best first.
    """

    query: str
    expected: str
    matches: list[Match]

    @property
    def rank(self) -> int:
        """Place of the expected picture; 1 is first."""
        return 1 + [match.path.name for match in self.matches].index(self.expected)


def run(matcher: Matcher, home: Path | None = None) -> list[Answer]:
    """Search the sample photographs for each query of ``QUERIES``.

    Pictures and gallery are kept below ``home``: ``$VISITA_HOME`` or the user's data folder.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """
    gallery = Gallery.open(sample_pictures(home), matcher=matcher, home=home)
    gallery.mend()
    return [
        Answer(text, expected, gallery.search(text, len(gallery)))
        for text, expected in QUERIES.items()
    ]


def draw_answers(answers: Sequence[Answer], out: Path) -> None:
    """Draw the contact sheet: four pictures a query, with their probabilities.

    Raises
    ------
    ConfigError
        If ``out`` cannot be written.
    """
    rows = [
        Row(answer.query, _found(answer), answer.matches[:SHOWN], answer.expected)
        for answer in answers
    ]
    pictures = len(answers[0].matches)
    summary = f"{len(answers)} queries, {pictures} pictures, and the probability of each match"
    first = sum(answer.rank == 1 for answer in answers)
    draw(rows, out, Head("visita demo", summary, f"first {first} of {len(answers)}"))


def _found(answer: Answer) -> str:
    return "found first" if answer.rank == 1 else f"found at rank {answer.rank}"


def sample_pictures(home: Path | None = None) -> Path:
    """Return a folder with ``PICTURES``, copied on first use from scikit-image.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    DataError
        If its version brings other pictures.
    """
    if not photographs.are_here():
        raise MissingExtraError("the demo", "demo")
    folder = (home or data_home()) / "demo" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        if not (folder / name).exists():
            with as_file(files("skimage") / "data" / name) as source:
                if not source.is_file():
                    raise DataError(f"scikit-image has no {name}: install 0.24 or newer.")
                shutil.copyfile(source, folder / name)
    return folder
