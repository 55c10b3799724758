"""What a report says of pictures that systems saw before they are measured on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from visita.data.pairs import PairSet
from visita.evaluation.measure import caveats_on_seen
from visita.evaluation.unseen import overlap
from visita.report import Row, Table
from visita.reports.cells import Result
from visita.reports.outcomes import RETRIEVAL_COLUMNS, RETRIEVAL_METRICS, Outcomes
from visita.types import Matcher

NOTE = (
    "Recall at K in percent, with 95 % intervals, and their sum, on the {left:,} pictures of "
    "{all:,} that no system learnt from or was chosen on. The gallery is the same, so numbers "
    "compare with those above. What is not known to have been seen counts as unseen."
)


def with_seen(result: Result, matcher: Matcher, pairs: PairSet) -> Result:
    """Return the result of a matcher with its fact ``seen``, how many pictures of ``pairs`` it saw.

    None where that is not known; else the array ``seen``, bool (n,), says which.
    """
    seen = overlap(matcher, pairs)
    if seen is None:
        return replace(result, facts={**result.facts, "seen": None})
    return Result({**result.facts, "seen": seen.to_dict()}, {**result.arrays, "seen": seen.any})


def first_runs(outcomes: Outcomes, systems: Iterable[str]) -> dict[str, Result]:
    """Return the first result of each system: all of one saw the same."""
    return {name: outcomes.of(name)[0] for name in systems}


def sentences(results: Mapping[str, Result]) -> Iterator[str]:
    """Yield what is to be said of each system that saw pictures it is measured on."""
    for name, result in results.items():
        yield from caveats_on_seen(name, result.facts.get("seen"))


def unseen_table(outcomes: Outcomes, systems: Sequence[str]) -> Iterator[Table]:
    """Yield retrieval on what no system saw; nothing where all is, or all but too little was."""
    rest = outcomes.unseen()
    if rest is None:
        return
    numbers = {name: rest.estimates(name) for name in systems if name in rest.runs}
    rows = (Row(name, tuple(by[m] for m in RETRIEVAL_METRICS)) for name, by in numbers.items())
    images = rest.groups.images
    note = NOTE.format(left=len(images), all=len(outcomes.groups.images))
    yield Table("Retrieval without pictures that were seen", note, RETRIEVAL_COLUMNS, tuple(rows))
