"""What a comparison found: the outcomes of each system, and what it costs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from visita.arguments import listed, one_of, whole
from visita.artifact import MANIFEST, fingerprint_of, read_sealed, write_sealed
from visita.data import SPLITS, Data, open_pairs
from visita.data.decode import decode
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, PairSet, check_enough
from visita.encoders.engine import cores
from visita.errors import ArtifactError, DataError, PictureError, TrainingError, VisitaError
from visita.evaluation.measure import caveats, caveats_on_texts, features_for
from visita.evaluation.pairs import LabelledPairs, pairs_to_measure
from visita.evaluation.rerank import fitted_threshold, pair_scores, ranks
from visita.matchers import NAMES, load
from visita.progress import bar, say
from visita.report import Report, write_report
from visita.report.content import command, reader_of, shown
from visita.reports.cells import Cell, Result, run_cells, source_fingerprint
from visita.reports.comparison_report import ComparisonOutcomes, make_report
from visita.reports.costs import PICTURES, TEXTS, measure_apart
from visita.reports.overlaps import with_seen
from visita.reports.systems import TRAIN, Fresh, Given, System, read_systems
from visita.training.adapt import adapt
from visita.training.config import AdaptConfig
from visita.training.train import train
from visita.types import Skipped

CHOSEN_ON_IT = (
    "Dev also chose the epochs and thresholds of what was trained on these pairs, so its numbers "
    "are slightly optimistic."
)


def compare(
    matchers: Sequence[str | Path],
    data: Data,
    out: str | Path,
    *,
    split: str = "test",
    seeds: int = 1,
    folds: int = 1,
    seed: int = 0,
    features: str | Path | None = None,
) -> Report:
    """Measure matchers on one split, in quality and in cost, and write one report into ``out``.

    A matcher is a shipped or pretrained one by its name, a saved one by its folder, or what is
    trained first: ``train:cca``, ``train:scan,direction=t-i``, ``train:fusion,from=visita-small``
    (see ``visita.reports.systems.read_systems``). What was trained is kept in
    ``out/matchers`` and what is finished in ``out/cells``; a call that was killed is resumed from
    there. A matcher that fails is reported, and the rest goes on.

    Parameters
    ----------
    split : str
        train, dev or test.
    seeds : int
        Trainings of each system that is trained.
    folds : int
        Retrieval among the images of so many parts: 5 on COCO's test split is its 1K protocol.
    seed : int
        The first of training, and that of intervals and false pairs.
    features : Path or None
        Where features are kept, if not in the cache.

    Raises
    ------
    UnknownNameError
        If what is to be trained has no such name, or there is no such split.
    ConfigError
        If there is no matcher, two have one name, or a setting does not fit.
    DataError
        If the split is empty.
    TrainingError
        If nothing could be measured.

    Examples
    --------
    >>> systems = ["visita-small", "train:cca,topics=5"]
    >>> visita.compare(systems, "folder:mypairs", "compared")  # doctest: +SKIP
    <Report 'Matchers compared on folder test': ... claim, 0 failed>
    """
    matchers = listed(matchers, NAMES, "Matchers are a list of names and folders")
    one_of(split, "split", SPLITS)
    for name, value, least in (("seeds", seeds, 1), ("folds", folds, 1)):
        whole(value, name, least)
    systems = read_systems([str(matcher) for matcher in matchers], seeds, seed)
    pairs = open_pairs(data, seed=seed)
    check_enough(pairs, {split: LEAST}, "Comparing")
    bench = ComparisonBench(pairs, split, folds, seed, Path(out), features)
    members = {run: member for system in systems for run, member in system.runs.items()}
    cells, missing = bench.cells(members)
    results, failed = run_cells(
        bench.out / "cells", cells, lambda cell: bench.measure(members[cell.name]), bench.shared
    )
    costs, more = bench.costs([system for system in systems if next(iter(system.runs)) in results])
    outcomes = ComparisonOutcomes.of_systems(
        systems, results, costs, bench.measured, bench.drawn, seed
    )
    warnings = {warning for result in results.values() for warning in result.facts["warnings"]}
    if split == "dev":
        warnings.add(CHOSEN_ON_IT)
    report = make_report(
        outcomes,
        [*missing, *failed, *more],
        sorted(warnings),
        f"{reader_of(pairs)} {split}" + (f", {folds} folds" if folds > 1 else ""),
        {"pairs": f"{reader_of(pairs)}, fingerprint {pairs.fingerprint()}"},
        _command(matchers, pairs, split, seeds, folds, seed),
    )
    write_report(report, bench.out)
    return report


@dataclass(frozen=True, eq=False)
class ComparisonBench:
    """What all systems of a comparison share; the fields are the parameters of ``compare``."""

    pairs: PairSet
    split: str
    folds: int
    seed: int
    out: Path
    features: str | Path | None

    @cached_property
    def measured(self) -> PairSet:
        """What of the split can be read: the same for all."""
        split = interchangeable(self.pairs.take(self.split))
        broken = _broken(split)
        for failure in broken.values():
            say(f"{failure.item} is left out: {failure.reason}")
        readable = [row for row in range(len(split.image_ids)) if row not in broken]
        if not readable:
            raise DataError(f"No picture of {self.split} can be read, such as {failure.item}.")
        return split.subset(np.array(readable)) if broken else split

    @cached_property
    def drawn(self) -> LabelledPairs:
        """The pairs that are told apart."""
        return pairs_to_measure(self.measured.truth.tocsr(), seed=self.seed)

    @cached_property
    def shared(self) -> dict[str, object]:
        """What the numbers of all cells depend on."""
        facts = {"split": self.split, "folds": self.folds, "pairs drawn by": self.seed}
        pairs = {"pairs": self.pairs.fingerprint(), "measured": self.measured.fingerprint()}
        return {**pairs, **facts}

    def cells(self, members: Mapping[str, Given | Fresh]) -> tuple[list[Cell], list[Skipped]]:
        """Return the cells of the members, and those whose matcher cannot be had."""
        cells, missing = [], []
        for name, member in members.items():
            try:
                cells.append(Cell(name, _settings(member)))
            except VisitaError as error:
                missing.append(Skipped(name, str(error)))
        if not cells:
            raise TrainingError(f"Nothing can be compared; the first: {missing[0].reason}")
        return cells, missing

    def measure(self, member: Given | Fresh) -> Result:
        """Train a member where that is asked and not yet done, and measure it.

        The arrays are the ranks, int64 ``images`` (n, 3) and ``texts`` (m, 3), and the scores of
        the drawn pairs, float64 ``pairs`` (p,); which images it saw before, bool ``seen`` (n,), and
        the fact ``seen`` are those of ``overlaps.with_seen``.

        Raises
        ------
        VisitaError
            If it cannot be trained or measured.
        """
        folder, seconds = self.had(member)
        matcher = load(folder)
        features = features_for(matcher, self.measured, self.features)
        if len(features.pairs.image_ids) < len(self.measured.image_ids):
            raise DataError("some pictures can no longer be read; run again.")
        threshold = matcher.threshold
        if threshold is None:
            dev = features_for(matcher, self.pairs.take("dev"), self.features)
            threshold = fitted_threshold(matcher, dev, self.seed)
        images, texts = ranks(matcher, features, self.folds)
        warnings = [*caveats(matcher), *caveats_on_texts(matcher, self.pairs)]
        facts = {"threshold": threshold, "training_seconds": seconds, "warnings": warnings}
        scores = pair_scores(matcher, features, self.drawn)
        return with_seen(
            Result(facts, {"images": images, "texts": texts, "pairs": scores}),
            matcher,
            self.measured,
        )

    def had(self, member: Given | Fresh) -> tuple[str, float | None]:
        """Return the name or folder of a member, trained if need be, and the seconds that took."""
        if isinstance(member, Given):
            return member.matcher, None
        source = source_fingerprint(self._train)
        mark = fingerprint_of([_settings(member), self.pairs.fingerprint(), source])
        folder = self.out / "matchers" / f"{re.sub('[^a-z0-9]+', '-', member.kind)}-{mark[:8]}"
        beside = folder.with_suffix(".json")
        if not _is_whole(folder, beside):
            write_sealed(beside, {"seconds": self._train(member, folder)})
        return str(folder), float(read_sealed(beside)["seconds"])

    def _train(self, member: Fresh, folder: Path) -> float:
        if member.base is not None:
            assert isinstance(member.config, AdaptConfig)
            done = adapt(
                member.base, self.pairs, folder, config=member.config, features=self.features
            )
        else:
            done = train(self.pairs, folder, config=member.config, features=self.features)  # type: ignore[arg-type]
        return round(done.seconds, 1)

    def costs(
        self, systems: Sequence[System]
    ) -> tuple[dict[str, Mapping[str, float]], list[Skipped]]:
        """Return what the first member of each system costs, and where that is not known."""
        members = {system.name: system.members[0] for system in systems}
        where = {"pictures": PICTURES, "texts": TEXTS, "cores": cores()}
        cells = [
            Cell(name, {"costs of": _settings(member), **where}) for name, member in members.items()
        ]

        def work(cell: Cell) -> Result:
            folder, _ = self.had(members[cell.name])
            pictures = self.measured.image_paths[:PICTURES]
            return Result(measure_apart(folder, pictures, self.measured.texts[: 1 + TEXTS]))

        results, failed = run_cells(self.out / "cells", cells, work, self.shared, all_may_fail=True)
        return {name: result.facts for name, result in results.items()}, failed


def _is_whole(folder: Path, beside: Path) -> bool:
    """Tell whether what was trained before is there; what is damaged is deleted, to be made."""
    if not (folder / MANIFEST).exists() or not beside.exists():
        return False
    try:
        load(folder)
        read_sealed(beside)
    except ArtifactError as error:
        say(f"a matcher is damaged and trained anew: {error}")
        shutil.rmtree(folder)
        return False
    return True


def _settings(member: Given | Fresh) -> dict[str, object]:
    """Return what says all of a member, as JSON values."""
    if isinstance(member, Given):
        return {"matcher": load(member.matcher).fingerprint()}
    base = load(member.base).fingerprint() if member.base else None
    return {"kind": member.kind, "from": base, "config": member.config.model_dump(mode="json")}


def _broken(pairs: PairSet) -> dict[int, Skipped]:
    """Return the pictures that cannot be decoded, by row."""
    broken = {}
    with bar("pictures", len(pairs.image_paths)) as advance:
        for row, path in enumerate(pairs.image_paths):
            try:
                decode(path, reduced=True)
            except PictureError as error:
                broken[row] = Skipped(pairs.image_ids[row], str(error))
            advance(1)
    return broken


def _command(
    matchers: Sequence[str | Path], pairs: PairSet, split: str, seeds: int, folds: int, seed: int
) -> str:
    options = ["--split", split]
    for name, value, default in (("seeds", seeds, 1), ("folds", folds, 1), ("seed", seed, 0)):
        options += [f"--{name}", str(value)] if value != default else []
    return command(["compare", *(_public(str(matcher)) for matcher in matchers)], pairs, options)


def _public(words: str) -> str:
    """Return what names a matcher without the folders of this machine."""
    if TRAIN in words:
        return words
    name, equals, what = words.rpartition("=")
    return f"{name}{equals}{','.join(shown(place) for place in what.split(','))}"
