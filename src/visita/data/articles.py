"""Articles with a known amount of noise, made of the captions of real pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.data.pairs import PairSet
from visita.data.pictures import path_below
from visita.data.prose import sentences
from visita.durable import write_durably
from visita.errors import ConfigError, DataError
from visita.types import Skipped

SUFFIX = ".jsonl"


def articles(pairs: PairSet, noise: int, seed: int = 0) -> PairSet:
    r"""Return the pairs with one text an image: its captions, shuffled into foreign ones.

    Foreign captions belong to other images of the same split, and differ in words from the
    image's own and from each other. They come from different images as far as these last.
    ``sentences`` of a text gives the captions: where nothing else ends one, a full stop
    does, or else ``\n``.

    Parameters
    ----------
    pairs
        Images with captions; an image without any is left out and reported.
    noise
        Foreign captions an article.
    seed
        Draws the foreign captions and the order of all.

    Returns
    -------
    PairSet
        Text i matches image i and no other, and is in its split.

    Raises
    ------
    ConfigError
        If ``noise`` is negative.
    DataError
        If no image has a caption, or a split has too few that are foreign to an image.
    """
    if noise < 0:
        raise ConfigError(f"Noise is a number of captions, 0 or more; not {noise}.")
    own = [columns.tolist() for columns in np.split(pairs.truth.indices, pairs.truth.indptr[1:-1])]
    rows = np.flatnonzero([bool(captions) for captions in own])
    if not rows.size:
        raise DataError(f"{pairs.source}: no image has a text to make an article of.")
    rng = np.random.default_rng(seed)
    peers = {split: rows[pairs.image_split[rows] == split] for split in pairs.splits()}
    ended = [_end(text) for text in pairs.texts]
    wordings = _number_wordings(pairs.texts)
    texts = []
    for row in rows.tolist():
        others = rng.permutation(peers[str(pairs.image_split[row])])
        foreign = _draw(own, row, others, wordings, noise, rng)
        if len(foreign) < noise:
            raise DataError(
                f"{pairs.source}: its split {pairs.image_split[row]} has only {len(foreign)} "
                f"captions foreign to {pairs.image_ids[row]}; choose no more noise than that."
            )
        shuffled = rng.permutation([*own[row], *foreign]).tolist()
        texts.append("".join(ended[caption] for caption in shuffled).strip())
    left_out = np.setdiff1d(np.arange(len(own)), rows).tolist()
    diagonal = np.arange(len(rows))
    return replace(
        pairs,
        source=f"articles with noise {noise} of {pairs.source}",
        image_ids=tuple(pairs.image_ids[row] for row in rows),
        image_paths=tuple(pairs.image_paths[row] for row in rows),
        texts=tuple(texts),
        truth=sparse.csr_array((np.ones(len(rows), np.bool_), (diagonal, diagonal))),
        image_split=pairs.image_split[rows],
        text_split=pairs.image_split[rows],
        problems=(
            *pairs.problems,
            *(Skipped(pairs.image_ids[row], "has no text for an article") for row in left_out),
        ),
    )


def write_articles(pairs: PairSet, file: Path) -> None:
    """Write pairs of one text an image as a table of JSON lines, whole or not at all.

    The table reader gives them back with the same splits; ids are then paths from the
    file's folder.

    Raises
    ------
    DataError
        If ``file`` exists, does not end in ``.jsonl``, or a picture lies outside its folder,
        where a table may not lead.
    """
    if file.suffix.lower() != SUFFIX:
        raise DataError(f"{file} should end in {SUFFIX}, so that it is known as a table.")
    if file.exists():
        raise DataError(f"{file} exists; choose another name, or remove it first.")
    lines = []
    for path, text, split in zip(pairs.image_paths, pairs.texts, pairs.text_split, strict=True):
        image = path_below(path, file.parent)
        lines.append(json.dumps({"image": image, "text": text, "split": str(split)}) + "\n")
    write_durably(file, "".join(lines).encode())


def _draw(
    captions: Sequence[Sequence[int]],
    row: int,
    others: NDArray[np.int64],
    wordings: Sequence[int],
    noise: int,
    rng: np.random.Generator,
) -> list[int]:
    """Return ``noise`` captions, or all there are, by turns from each of the images ``others``."""
    used = {wordings[caption] for caption in captions[row]}
    drawn: list[int] = []
    exhausted = False
    while not exhausted:
        exhausted = True
        for image in others:
            if len(drawn) == noise:
                return drawn
            left = [caption for caption in captions[image] if wordings[caption] not in used]
            if left:
                drawn.append(left[rng.integers(len(left))])
                used.add(wordings[drawn[-1]])
                exhausted = False
    return drawn


def _end(caption: str) -> str:
    """Return the caption such that a sentence ends with it whatever follows."""
    text = " ".join(caption.split())
    for ended in (f"{text} ", f"{text}. "):
        if all(sentences(ended + following)[-1] == following for following in ("a", "1")):
            return ended
    return f"{text}\n"


def _number_wordings(texts: Iterable[str]) -> list[int]:
    """Return a number for each text; those of the same words in the same order have the same."""
    numbers: dict[str, int] = {}
    wordings = (" ".join(re.findall(r"\w+", text.casefold())) for text in texts)
    return [numbers.setdefault(words, len(numbers)) for words in wordings]
