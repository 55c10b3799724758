"""From captions, one by one, to a ``PairSet``."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from scipy import sparse

from visita.data.pairs import PairSet
from visita.data.pictures import printable
from visita.data.readers.bounds import ADDRESS, OUTSIDE, Bounds
from visita.data.splits import split_by_component
from visita.errors import DataError
from visita.types import Skipped


class Caption(NamedTuple):
    """One image and one text that belong together."""

    image_id: str
    path: Path
    text: str
    key: Hashable
    """Captions with an equal key are one text, which then matches several images."""
    split: str | None = None
    """Of the image; equal for all captions that share an image or a key. None: to be drawn."""
    language: str = ""
    """Of the text, where it is known."""


def assemble(
    source: str,
    captions: Iterable[Caption],
    problems: Iterable[Skipped],
    seed: int,
    bounds: Bounds,
) -> PairSet:
    """Return the pairs in order of first appearance, without empty texts or missing pictures.

    What is left out is added to ``problems``. A picture must not lie out of ``bounds``,
    since a data set may come from a stranger.

    Raises
    ------
    DataError
        If nothing is left.
    """
    faults: dict[tuple[str, Path], str] = {}
    files: dict[str, Path] = {}
    kept, left_out = [], list(problems)
    for caption in (_placed(one, bounds) for one in captions):
        key = (caption.image_id, caption.path)
        if key not in faults:
            faults[key] = fault = _fault(files, caption, bounds)
            if fault:
                left_out.append(Skipped(printable(caption.image_id), fault))
        if not faults[key]:
            if caption.text.strip():
                kept.append(caption)
            else:
                left_out.append(Skipped(printable(caption.image_id), "has an empty text"))
    if not kept:
        reasons = "".join(f" {one.item}: {one.reason}." for one in left_out[:3])
        raise DataError(f"{printable(source)}: no image with a text is left to use.{reasons}")
    return _pair_up(source, kept, tuple(left_out), seed)


def _placed(caption: Caption, bounds: Bounds) -> Caption:
    """Return the caption with an id that does not change with the data's place."""
    if not os.path.isabs(caption.image_id):  # noqa: PTH117  ten times as fast
        return caption
    return caption._replace(image_id=bounds.find(caption.image_id, [])[0])


def _fault(files: dict[str, Path], caption: Caption, bounds: Bounds) -> str:
    """Return why a picture that was not met before is no use, or ``""``."""
    if fault := picture_fault(caption.image_id, caption.path, bounds):
        return fault
    if files.setdefault(caption.image_id, caption.path) != caption.path:
        return f"is {printable(str(caption.path))} too; that one is left out"
    return ""


def picture_fault(name: str, path: Path, bounds: Bounds) -> str:
    """Return why the picture ``path``, called ``name`` by the data set, is no use, or ``""``."""
    if "://" in name:
        return ADDRESS
    if ".." in name and ".." in PurePath(name).parts:
        return OUTSIDE
    return bounds.fault(path)


def _pair_up(
    source: str, captions: list[Caption], problems: tuple[Skipped, ...], seed: int
) -> PairSet:
    paths = {caption.image_id: caption.path for caption in captions}
    texts = {caption.key: caption.text for caption in captions}
    image_rows = {image_id: row for row, image_id in enumerate(paths)}
    text_rows = {key: row for row, key in enumerate(texts)}
    rows = [image_rows[caption.image_id] for caption in captions]
    columns = [text_rows[caption.key] for caption in captions]
    truth = sparse.csr_array(
        (np.ones(len(rows), dtype=np.bool_), (rows, columns)), shape=(len(paths), len(texts))
    )
    if captions[0].split is None:
        image_split, text_split = split_by_component(truth, seed=seed)
    else:
        image_split = np.array(
            list({c.image_id: c.split for c in captions}.values()), dtype=np.str_
        )
        text_split = np.array(list({c.key: c.split for c in captions}.values()), dtype=np.str_)
    return PairSet(
        source=printable(source),
        image_ids=tuple(map(printable, paths)),
        image_paths=tuple(paths.values()),
        texts=tuple(clean_text(text) for text in texts.values()),
        truth=truth,
        image_split=image_split,
        text_split=text_split,
        problems=problems,
        languages=_languages(captions),
    )


def _languages(captions: list[Caption]) -> dict[str, str]:
    """Return the language of each text, that of its first caption."""
    return {clean_text(c.text): c.language for c in reversed(captions) if c.language}


def clean_text(text: str) -> str:
    """Return ``text`` without surrounding space, such that UTF-8 can hold it."""
    # Half a surrogate pair, as broken JSON escapes leave, would stop every tokenizer.
    return text.strip().encode("utf-8", "replace").decode()
