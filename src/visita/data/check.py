"""What is wrong with a data set, found before it costs a training run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from visita.brief import Brief
from visita.data.decode import decode
from visita.data.join import identical_files
from visita.data.pairs import PairSet
from visita.errors import PictureError
from visita.progress import Advance

SHOWN = 10
MEANING = {
    "broken-pictures": "pictures that cannot be decoded",
    "leaking-pictures": "the same picture in several splits",
    "repeated-pictures": "the same picture twice in one split",
    "pictures-without-text": "pictures without a text",
    "empty-texts": "texts without a word",
    "leaking-texts": "the same text in several splits",
    "repeated-texts": "the same text twice for one picture",
    "left-out": "what the reader left out or found odd",
}

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault: how often it occurs, and the first cases of it."""

    kind: str
    """A key of ``MEANING``."""
    severity: Severity
    count: int
    items: tuple[str, ...]

    @property
    def meaning(self) -> str:
        """What is wrong, in words."""
        return MEANING[self.kind]

    @classmethod
    def of(cls, kind: str, severity: Severity, items: Sequence[str]) -> Finding:
        """Count the items and keep the first ``SHOWN``."""
        return cls(kind, severity, len(items), tuple(items[:SHOWN]))


@dataclass(frozen=True, slots=True, repr=False)
class Report(Brief):
    """What a data set holds, and every kind of fault that was found in it."""

    source: str
    fingerprint: str
    images: int
    texts: int
    pairs: int
    splits: dict[str, int]
    """Images by split."""
    languages: dict[str, int]
    """Texts by language, of those that have one."""
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """The number of faults that make results wrong, rather than odd."""
        return sum(finding.count for finding in self.findings if finding.severity == "error")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return asdict(self)


def check_pairs(pairs: PairSet, progress: Advance = lambda _: None) -> Report:
    """Look for faults in images, texts and splits; every picture is fully decoded.

    Parameters
    ----------
    progress
        Called with 1 after each picture.
    """
    broken = _broken_pictures(pairs, progress)
    leaks, repeats = _identical_pictures(pairs)
    findings = (
        Finding.of("broken-pictures", "error", broken),
        Finding.of("leaking-pictures", "error", leaks),
        Finding.of("repeated-pictures", "warning", repeats),
        Finding.of("pictures-without-text", "warning", _textless_pictures(pairs)),
        Finding.of("empty-texts", "error", _empty_texts(pairs)),
        Finding.of("leaking-texts", "warning", _leaking_texts(pairs)),
        Finding.of("repeated-texts", "warning", _repeated_texts(pairs)),
        Finding.of("left-out", "warning", [f"{p.item}: {p.reason}" for p in pairs.problems]),
    )
    return Report(
        source=pairs.source,
        fingerprint=pairs.fingerprint(),
        images=len(pairs.image_ids),
        texts=len(pairs.texts),
        pairs=int(pairs.truth.nnz),
        splits=pairs.splits(),
        languages=dict(sorted(Counter(filter(None, pairs.text_languages)).items())),
        findings=tuple(finding for finding in findings if finding.count),
    )


def _broken_pictures(pairs: PairSet, progress: Advance) -> list[str]:
    broken = []
    for image_id, path in zip(pairs.image_ids, pairs.image_paths, strict=True):
        try:
            decode(path, reduced=True)  # which reads all of the file too
        except PictureError as error:
            broken.append(f"{image_id}: {error}")
        progress(1)
    return broken


def _identical_pictures(pairs: PairSet) -> tuple[list[str], list[str]]:
    """Return groups of images with the same bytes that cross splits, and those that do not."""
    leaks: list[str] = []
    repeats: list[str] = []
    for rows in identical_files(pairs.image_paths):
        splits = pairs.image_split[rows].tolist()
        copies = [
            f"{pairs.image_ids[row]} ({split})" for row, split in zip(rows, splits, strict=True)
        ]
        (leaks if len(set(splits)) > 1 else repeats).append(" = ".join(copies))
    return leaks, repeats


def _textless_pictures(pairs: PairSet) -> list[str]:
    return [pairs.image_ids[row] for row in np.flatnonzero(np.diff(pairs.truth.indptr) == 0)]


def _empty_texts(pairs: PairSet) -> list[str]:
    return [f"text {row}" for row, text in enumerate(pairs.texts) if not text.strip()]


def _leaking_texts(pairs: PairSet) -> list[str]:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for text, split in zip(pairs.texts, pairs.text_split.tolist(), strict=True):
        splits[text.strip()].add(split)
    return [f"{text} ({', '.join(sorted(s))})" for text, s in splits.items() if len(s) > 1]


def _repeated_texts(pairs: PairSet) -> list[str]:
    repeated = []
    for row, image_id in enumerate(pairs.image_ids):
        columns = pairs.truth.indices[pairs.truth.indptr[row] : pairs.truth.indptr[row + 1]]
        counts = Counter(pairs.texts[column].strip() for column in columns)
        repeated += [f"{image_id}: {text}" for text, count in counts.items() if count > 1]
    return repeated
