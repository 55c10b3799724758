"""Measuring matchers where it gets harder: worse pictures, rare words, other pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from visita.arguments import listed, one_of, whole
from visita.data import SPLITS, Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, check_enough
from visita.errors import ConfigError
from visita.evaluation.measure import caveats, caveats_on_texts, features_for
from visita.evaluation.rerank import ranks
from visita.matchers import GIVEN, MATCHERS, opened
from visita.report import Report, write_report
from visita.report.content import command, reader_of
from visita.reports.cells import Result, run_cells
from visita.reports.robustness_report import (
    Condition,
    RobustnessOutcomes,
    Subject,
    make_report,
    plan,
)
from visita.types import Matcher


def robustness(
    matchers: Sequence[Matcher | str | Path],
    data: Data,
    out: str | Path,
    *,
    also: Sequence[Data] = (),
    split: str = "dev",
    seed: int = 0,
) -> Report:
    """Measure matchers on worse pictures, rare words and other pairs; write a report into ``out``.

    On ``split``: recall over five strengths of noise, blur, JPEG and occlusion; recall of the
    texts by how often split train holds their rarest word, never included. On the pairs
    ``also``, whole: recall as it is. What is finished is kept in ``out/cells``, and a call that
    was killed is resumed from there. Features of worse pictures go into the cache (20 times as much
    as of the split as it is), the pictures themselves nowhere.

    Parameters
    ----------
    split : str
        dev or test.
    seed : int
        Seed of the intervals, and of the splits where the data have none.

    Raises
    ------
    ConfigError
        If there is no matcher, one is given twice, or ``split`` cannot be measured.
    DataError
        If the split or train is empty.
    TrainingError
        If nothing could be computed.

    Examples
    --------
    >>> report = visita.robustness(["visita-small"], "folder:mypairs", "harder")  # doctest: +SKIP
    """
    matchers = listed(matchers, GIVEN, MATCHERS)
    if not matchers:
        raise ConfigError("Give one matcher or more, by name or by folder.")
    if one_of(split, "split", SPLITS) == "train":
        raise ConfigError("Measure on dev or on test; 'train' is what was learnt from.")
    whole(seed, "seed", 0)
    read = [opened(matcher) for matcher in matchers]
    pairs, *others = (open_pairs(place, seed=seed) for place in (data, *also))
    check_enough(pairs, {split: LEAST}, "Measuring")
    learnt, measured = pairs.take("train"), interchangeable(pairs.take(split))
    names = _unique_names("matcher", [(matcher.name, matcher.fingerprint()) for matcher in read])
    readers = _unique_names(
        "pairs", [(reader_of(pair_set), pair_set.fingerprint()) for pair_set in others]
    )

    def subjects(data: str, pair_set: PairSet) -> list[Subject]:
        return [
            Subject(name, data, matcher, features_for(matcher, pair_set, None))
            for name, matcher in zip(names, read, strict=True)
        ]

    home = subjects(f"{reader_of(pairs)} {split}", measured)
    travel = [
        subject
        for reader, pair_set in zip(readers, others, strict=True)
        for subject in subjects(f"all of {reader}", pair_set)
    ]
    conditions = {condition.name: condition for condition in plan(home, travel)}
    cells = [condition.cell() for condition in conditions.values()]
    results, failed = run_cells(
        Path(out, "cells"), cells, lambda cell: ranks_of(conditions[cell.name]), {}
    )
    options = [word for pair_set in others for word in ("--also", f"{reader_of(pair_set)}:PATH")]
    options += ["--split", split, "--seed", str(seed)]
    retrievals = {name: conditions[name].measure(result, seed) for name, result in results.items()}
    report = make_report(
        RobustnessOutcomes(home, travel, retrievals, learnt, seed),
        failed,
        sorted({w for matcher in read for w in _caveats(matcher, [pairs, *others])}),
        command(["robustness", *(matcher.name for matcher in read)], pairs, options),
    )
    write_report(report, Path(out))
    return report


def _caveats(matcher: Matcher, sets: Sequence[PairSet]) -> Iterator[str]:
    yield from caveats(matcher)
    for pairs in sets:
        yield from caveats_on_texts(matcher, pairs)


def ranks_of(one: Condition) -> Result:
    """Return the ranks of a condition, by both stages where the matcher has two."""
    images, texts = ranks(one.subject.matcher, one.features())
    return Result({}, {"images": images, "texts": texts})


def _unique_names(kind: str, entries: Sequence[tuple[str, str]]) -> list[str]:
    """Return the name of each ``(name, fingerprint)``, and more where two have the same name."""
    twice = [name for name, mark in entries if sum(mark == other for _, other in entries) > 1]
    if twice:
        raise ConfigError(
            f"The same {kind} is given twice, as {' and '.join(twice)}; once will do."
        )
    count = Counter(name for name, _ in entries)
    return [f"{name} {mark[:6]}" if count[name] > 1 else name for name, mark in entries]
