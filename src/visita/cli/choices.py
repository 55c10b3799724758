"""The table of ``visita models``: matchers to choose from, by what they cost and find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

Facts = dict[str, Any]
HEAD = ("", "matcher", "memory", "pictures/s", "ms a query", "R@1", "of", "here")
LEFT = (True, True, False, False, False, False, True, True)
"""Which columns are flush left."""
SIGNS = (
    "*: of its test, none is as fast and finds more. ~: estimated.",
    "pictures/s and ms: of one core with AVX2; with VNNI (int8) visita-small is four times faster.",
    "R@1: the right text of a picture, the right picture of a text come first, in percent; numbers "
    "of different tests do not compare.",
)
SMALL = (
    "visita-small is the better choice on a small machine, for large folders without a GPU, where "
    "each result needs a probability, and to learn from your own pairs with --from."
)


def judged(matcher: Facts) -> Facts:
    """Return what is said of a matcher with what it costs and finds, and whether it is here."""
    from visita.matchers.choices import COSTS, RECALLS, best_for_their_cost, is_here  # noqa: PLC0415
    from visita.matchers.default import default_matcher, same_matcher  # noqa: PLC0415

    name = matcher["name"]
    cost, recall = COSTS.get(name), RECALLS.get(name)
    return {
        **matcher,
        "cost": cost and asdict(cost),
        "recall": recall and asdict(recall),
        "best_for_its_cost": name in best_for_their_cost(),
        "here": "extra" not in matcher or is_here(name),
        "default": same_matcher(name, default_matcher()),
    }


def table(matchers: Sequence[Facts]) -> Iterator[str]:
    """Yield the lines of the table, and what its signs mean."""
    sources = list(dict.fromkeys(m["recall"]["source"] for m in matchers if m["recall"]))
    rows = [HEAD, *(_row(matcher, sources) for matcher in matchers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield _line(row, widths)
    yield from SIGNS
    yield from (f"[{number}] {source}" for number, source in enumerate(sources, 1))
    yield SMALL
    yield "visita use NAME  makes one your default"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, LEFT, strict=True)
    return "  ".join(f"{c:<{w}}" if left else f"{c:>{w}}" for c, w, left in cells).rstrip()


def _row(matcher: Facts, sources: Sequence[str]) -> tuple[str, ...]:
    return (
        "*" if matcher["best_for_its_cost"] else "",
        matcher["name"],
        *_costs(matcher["cost"]),
        *_recall(matcher["recall"], sources),
        _place(matcher),
    )


def _costs(cost: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if not cost:
        return "", "", ""
    about = "~" if cost["estimated"] else ""
    memory, pictures, query = cost["memory"] / 1000, cost["pictures"], cost["query"]
    return f"{about}{memory:.1f} GB", f"{about}{pictures:.2g}", f"{about}{query:,.0f}"


def _recall(recall: Mapping[str, Any] | None, sources: Sequence[str]) -> tuple[str, str]:
    if not recall:
        return "", ""
    source = 1 + sources.index(recall["source"])
    return f"{recall['texts']:.1f}, {recall['pictures']:.1f}", f"{recall['on']} [{source}]"


def _place(matcher: Facts) -> str:
    here = "yes" if matcher["here"] else f"{matcher['bytes'] / 1e6:,.0f} MB"
    return "default" if matcher["default"] else here
