"""A robustness run's conditions, and its report: curves by corruption, long tail, other pairs.

A gallery is made worse as a whole, at one strength; the texts stay as they are. A cell holds
ranks alone, from which the report measures whatever it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np

from visita.data.corruptions import CORRUPTIONS, RULES, SIDE, STRENGTHS
from visita.data.pairs import LEAST, PairSet
from visita.data.seen import Overlap
from visita.errors import DataError
from visita.evaluation.intervals import Estimate, components
from visita.evaluation.measure import caveats_on_seen
from visita.evaluation.retrieval import CUTOFFS, DIRECTIONS, Retrieval, measure_ranks
from visita.evaluation.tail import Bin, rarest_words, recall_by_frequency
from visita.evaluation.unseen import kept, overlap
from visita.report import Column, Curves, Report, Row, Table, versions
from visita.reports.cells import Cell, Result
from visita.reports.outcomes import WAYS
from visita.store.altered import CorruptedEncoder
from visita.store.extract import PairFeatures, image_features
from visita.store.pictures import RecipeEncoder
from visita.types import FloatArray, Matcher, Skipped


@dataclass(frozen=True, eq=False)
class Subject:
    """A matcher and the pairs it is measured on.

    Attributes
    ----------
    name, data : str
        What the report calls the matcher and the pairs.
    matcher : Matcher
    features : PairFeatures
        Of the pictures as they are.
    """

    name: str
    data: str
    matcher: Matcher
    features: PairFeatures

    @cached_property
    def seen(self) -> Overlap | None:
        """Which of the pictures the matcher saw before; None where that is not known."""
        return overlap(self.matcher, self.features.pairs)

    def unseen(self, retrieval: Retrieval, seed: int) -> Retrieval | None:
        """Return the metrics of what it did not see, in the same gallery; None if that is all.

        None too where so little is left that there is no interval.
        """
        if self.seen is None or not self.seen.any.any():
            return None
        images, texts, groups = kept(retrieval.groups, ~self.seen.any)
        if groups.count < LEAST:
            return None
        ranks = retrieval.image_ranks[:, images], retrieval.text_ranks[:, texts]
        return measure_ranks(*ranks, groups, seed=seed)

    @cached_property
    def encoders(self) -> list[RecipeEncoder]:
        """What computes the columns that the matcher reads, an encoder each."""
        return [RecipeEncoder(recipe) for recipe in self.matcher.recipe.by_encoder()]

    @cached_property
    def fingerprint(self) -> str:
        """A hash over the matcher, the pairs and the features of their pictures."""
        digest = sha256(
            f"{self.matcher.fingerprint()} {self.features.pairs.fingerprint()}".encode()
        )
        for name, values in sorted(self.features.columns.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def columns(self, corruption: str | None, strength: int) -> dict[str, FloatArray]:
        """Return the columns of the pictures, made worse or as they are.

        Raises
        ------
        DataError
            If a picture can no longer be read.
        """
        if corruption is None:
            return self.features.columns
        pairs = self.features.pairs
        columns: dict[str, FloatArray] = {}
        for encoder in self.encoders:
            worse = CorruptedEncoder(encoder, corruption, strength)
            kept, read = image_features(pairs, worse)
            if len(kept.image_ids) < len(pairs.image_ids):
                raise DataError("Some pictures can no longer be read; see above, and run again.")
            columns |= read
        return columns


@dataclass(frozen=True)
class Condition:
    """One measurement: a subject and what is done to its pictures, None for nothing."""

    subject: Subject
    corruption: str | None = None
    strength: int = 0

    @property
    def name(self) -> str:
        """What the cell is called."""
        done = (self.corruption, str(self.strength)) if self.corruption else ()
        return ", ".join((self.subject.name, self.subject.data, " ".join(done) or "as it is"))

    def cell(self) -> Cell:
        """Return the cell that holds its ranks."""
        settings = {"subject": self.subject.fingerprint, "corruption": None}
        if self.corruption:
            amount = CORRUPTIONS[self.corruption].amounts[self.strength - 1]
            settings["corruption"] = f"{RULES}/{self.corruption}/{amount}"
        return Cell(self.name, settings)

    def features(self) -> PairFeatures:
        """Return what is measured.

        Raises
        ------
        DataError
            If a picture can no longer be read.
        """
        return replace(
            self.subject.features, columns=self.subject.columns(self.corruption, self.strength)
        )

    def measure(self, result: Result, seed: int) -> Retrieval:
        """Return both directions with intervals; the arrays are the ranks.

        They are int64, ``images`` (n, 3) and ``texts`` (m, 3).
        """
        groups = components(self.subject.features.pairs.truth)
        images, texts = (result.arrays[side][None] for side in ("images", "texts"))
        return measure_ranks(images, texts, groups, seed=seed)


def plan(home: Sequence[Subject], travel: Sequence[Subject]) -> list[Condition]:
    """Return what is measured: all subjects as they are, those at home with each corruption too."""
    return [
        *(Condition(subject) for subject in (*home, *travel)),
        *(
            Condition(subject, corruption, strength)
            for subject in home
            for corruption in CORRUPTIONS
            for strength in STRENGTHS
        ),
    ]


SHOWN = (1, 10)
"""The cutoffs that have a figure or a column."""
BANDS = "Bands and brackets are 95 % intervals over pictures."


@dataclass(frozen=True, eq=False)
class RobustnessOutcomes:
    """What a run found.

    Attributes
    ----------
    home, travel : sequence of Subject
        Each matcher on the split that was made worse, and on the other pairs.
    measured : mapping
        The metrics of each condition that could be computed, by its name.
    learnt : PairSet
        Split train, whose texts say how often a word was met.
    seed : int
        Seed of the intervals.
    """

    home: Sequence[Subject]
    travel: Sequence[Subject]
    measured: Mapping[str, Retrieval]
    learnt: PairSet
    seed: int

    def of(self, subject: Subject) -> Retrieval | None:
        """Return the metrics of a subject as it is, None if they could not be computed."""
        return self.measured.get(Condition(subject).name)

    def curve(self, subject: Subject, corruption: str) -> list[Retrieval]:
        """Return the metrics from strength 0 on, nothing if one could not be computed."""
        worse = (Condition(subject, corruption, strength) for strength in STRENGTHS)
        names = [condition.name for condition in (Condition(subject), *worse)]
        complete = all(name in self.measured for name in names)
        return [self.measured[name] for name in names] if complete else []

    def tail(self, subject: Subject) -> dict[str, Bin]:
        """Return the recall of the texts by their rarest word, nothing if it is not known."""
        retrieval = self.of(subject)
        if retrieval is None:
            return {}
        frequencies = rarest_words(subject.features.pairs.texts, self.learnt.texts)
        [ranks] = retrieval.text_ranks
        return recall_by_frequency(ranks, frequencies, retrieval.groups.texts, seed=self.seed)


def make_report(
    findings: RobustnessOutcomes, failed: Sequence[Skipped], warnings: Sequence[str], command: str
) -> Report:
    """Return the report; ``command`` runs it again."""
    tails = {
        subject.name: tail for subject in findings.home if len(tail := findings.tail(subject)) > 1
    }
    flat = () if tails else ("The texts’ rarest words are all alike: there is no long tail.",)
    return Report(
        title=f"Robustness and generalisation on {findings.home[0].data}",
        lead=tuple(_lead(findings, tails)),
        warnings=(*warnings, *_on_seen(findings), *flat),
        parts=tuple(_parts(findings, tails)),
        failed=tuple(failed),
        setting=_setting(findings),
        command=command,
    )


def _on_seen(findings: RobustnessOutcomes) -> Iterator[str]:
    for subject in (*findings.home, *findings.travel):
        if subject.seen:
            name = f"On {subject.data}, {subject.name}"
            yield from caveats_on_seen(name, subject.seen.to_dict())


def _lead(findings: RobustnessOutcomes, tails: Mapping[str, Mapping[str, Bin]]) -> Iterator[str]:
    strongest = STRENGTHS[-1]
    for subject in findings.home:
        curves = {name: findings.curve(subject, name) for name in CORRUPTIONS}
        left = ", ".join(
            f"{curve[strongest].rsum.value:.1f} with {name}"
            for name, curve in curves.items()
            if curve
        )
        if (retrieval := findings.of(subject)) and left:
            yield (
                f"{subject.name}: rsum {retrieval.rsum.value:.1f} on the pictures as they are; at "
                f"strength {strongest}, {left}."
            )
        if bins := tails.get(subject.name):
            found_by_bin = ", ".join(f"{part.recall[-1].value:.1f}" for part in bins.values())
            yield (
                f"{subject.name} has the right picture within the first {CUTOFFS[-1]} for "
                f"{found_by_bin} % of the texts whose rarest word train has in "
                f"{', '.join(bins)} of its texts."
            )


def _parts(
    findings: RobustnessOutcomes, tails: Mapping[str, Mapping[str, Bin]]
) -> Iterator[Table | Curves]:
    for subject in findings.home:
        yield from _worse_pictures(findings, subject)
    if tails:
        yield from _long_tail(findings, tails)
    if findings.travel:
        yield _other_pairs(findings)
    yield from _unseen(findings)


def _worse_pictures(findings: RobustnessOutcomes, subject: Subject) -> Iterator[Curves]:
    curves = {name: findings.curve(subject, name) for name in CORRUPTIONS}
    pairs = subject.features.pairs
    for direction, way in WAYS.items():
        for cutoff in SHOWN:
            lines = {
                name: [retrieval.metrics[direction][f"R@{cutoff}"] for retrieval in curve]
                for name, curve in curves.items()
                if curve
            }
            if lines:
                yield Curves(
                    f"{subject.name} on worse pictures: {way}, R@{cutoff}",
                    f"{len(pairs.image_ids):,} pictures, all with the same corruption, and "
                    f"{len(pairs.texts):,} texts as they are. {BANDS}",
                    "strength",
                    f"R@{cutoff}, %",
                    lines,
                    ("0", *map(str, STRENGTHS)),
                )


def _long_tail(
    findings: RobustnessOutcomes, tails: Mapping[str, Mapping[str, Bin]]
) -> Iterator[Curves]:
    bins = next(iter(tails.values()))  # the texts, and so the bins, are the same for all
    for cutoff in SHOWN:
        place = CUTOFFS.index(cutoff)
        yield Curves(
            f"Long tail: texts by their rarest word, R@{cutoff}",
            "Text to image, among all pictures. A text’s rarest word is the one that the fewest "
            f"of the {len(findings.learnt.texts):,} texts of train hold. One that none holds may "
            f"be a misspelling. {BANDS}",
            "texts of train that hold it",
            f"R@{cutoff}, %",
            {name: [part.recall[place] for part in tail.values()] for name, tail in tails.items()},
            tuple(f"{name}\n({part.texts:,} texts)" for name, part in bins.items()),
        )


def _other_pairs(findings: RobustnessOutcomes) -> Table:
    subjects = (*findings.home, *findings.travel)
    sizes = {subject.data: len(subject.features.pairs.image_ids) for subject in subjects}
    columns = tuple(
        Column(f"{data}, {size:,} pictures, {way}", f"R@{cutoff}")
        for data, size in sizes.items()
        for way in WAYS.values()
        for cutoff in SHOWN
    )
    measured = {(subject.name, subject.data): findings.of(subject) for subject in subjects}
    rows = tuple(
        Row(
            subject.name,
            tuple(cell for data in sizes for cell in _recalls(measured[subject.name, data])),
        )
        for subject in findings.home
    )
    note = (
        "Recall in percent, with 95 % intervals. Galleries of different sizes are not equally "
        "hard: compare matchers within a column."
    )
    return Table("Other pairs", note, columns, rows)


def _unseen(findings: RobustnessOutcomes) -> Iterator[Table]:
    rows = []
    for subject in (*findings.home, *findings.travel):
        whole = findings.of(subject)
        rest = whole and subject.unseen(whole, findings.seed)
        if rest:
            name = f"{subject.name}, {len(rest.groups.images):,} pictures of {subject.data}"
            rows.append(Row(name, tuple(_recalls(rest))))
    columns = tuple(Column(way, f"R@{cutoff}") for way in WAYS.values() for cutoff in SHOWN)
    note = (
        "Recall in percent, with 95 % intervals, of pictures as they are that the matcher neither "
        "learnt from nor was chosen on, in the same gallery as above."
    )
    if rows:
        yield Table("Without pictures that were seen", note, columns, tuple(rows))


def _recalls(retrieval: Retrieval | None) -> list[Estimate | None]:
    return [
        retrieval.metrics[direction][f"R@{cutoff}"] if retrieval else None
        for direction in DIRECTIONS
        for cutoff in SHOWN
    ]


def _setting(findings: RobustnessOutcomes) -> dict[str, str]:
    subjects = (*findings.home, *findings.travel)
    matchers = {subject.name: subject.matcher.fingerprint() for subject in findings.home}
    data = {subject.data: subject.features.pairs for subject in subjects}
    return {
        **{
            f"matcher {name}": f"fingerprint {fingerprint}"
            for name, fingerprint in matchers.items()
        },
        **{
            name: f"{len(pairs.image_ids):,} pictures, {len(pairs.texts):,} texts, fingerprint "
            f"{pairs.fingerprint()}"
            for name, pairs in data.items()
        },
        **{
            name: f"{corruption.amount}: "
            f"{', '.join(f'{amount:g}' for amount in corruption.amounts)}"
            for name, corruption in CORRUPTIONS.items()
        },
        "pixels": f"a picture that is made worse has a shorter side of {SIDE} at most",
        "intervals": f"95 %, bootstrap over pictures with their texts, seed {findings.seed}",
        "versions": versions("pillow", "numpy"),
    }
