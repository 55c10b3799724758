"""Whether a matcher works on this machine, before it is relied on."""

from __future__ import annotations

import numpy as np
from PIL import Image

from visita.encoders.library.offer import Offer, Review, reviewed
from visita.errors import ArtifactError
from visita.matchers import load
from visita.search.finder import Finder
from visita.types import FloatArray, Matcher

TEXT = "a red boat on a lake"
PICKLED = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
SHORTEST, LONGEST = 0.01, 1.001
"""Of a vector; local scaling makes it somewhat shorter than 1."""


def tried(name: str, review: Review, text_encoder: str | None = None) -> Matcher:
    """Return a matcher once it is fetched, its networks are exported, and it works here.

    Of the hub only safetensors are taken.

    Parameters
    ----------
    name
        What ``visita.load`` takes.
    review
        Is shown each offer of the hub, and raises to have nothing fetched.
    text_encoder
        As in ``visita.load``.

    Raises
    ------
    VisitaError
        What is wrong with it; see ``visita.load``.
    ArtifactError
        If its weights are pickled only, or what it makes of a picture or a text is no vector.
    """

    def without_pickles(offer: Offer) -> None:
        _check_safe(offer)
        review(offer)

    with reviewed(without_pickles):
        matcher = load(name, text_encoder=text_encoder)
        _try(matcher)
    return matcher


def _check_safe(offer: Offer) -> None:
    if any(file.name.endswith(PICKLED) for file in offer.files):
        raise ArtifactError(
            f"{offer.repository} has no weights as safetensors, and visita fetches no pickles: "
            "choose another checkpoint, or save this one with its library (save_pretrained writes "
            "safetensors) and name that folder."
        )


def _try(matcher: Matcher) -> None:
    finder, picture = Finder(matcher), _picture()
    _check(matcher, "a picture", finder.embed_pictures([picture]))
    _check(matcher, "a text", finder.embed_texts([TEXT]))
    if matcher.reranker:
        score = finder.match(picture, TEXT).score
        if not np.isfinite(score):
            raise _broken(matcher, f"its second stage makes {score} of a picture and a text")


def _picture() -> Image.Image:
    """Return a picture of 640 x 480 pixels, a gradient in each colour."""
    rows, columns = np.mgrid[:480, :640]
    colours = [rows * 255 / 479, columns * 255 / 639, (rows + columns) % 256]
    return Image.fromarray(np.stack(colours, axis=-1).astype(np.uint8))


def _check(matcher: Matcher, what: str, vectors: FloatArray) -> None:
    length = float(np.linalg.norm(vectors))
    if not SHORTEST < length < LONGEST:  # nor is NaN
        raise _broken(matcher, f"the vector of {what} is {length:.3g} long")


def _broken(matcher: Matcher, how: str) -> ArtifactError:
    return ArtifactError(
        f"{matcher.name} does not work here: {how}. Its weights may be damaged: fetch or save them "
        "again, or choose another."
    )
