"""Printing results on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from visita.artifact import json_text
from visita.brief import counted


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII, so that any name survives any terminal."""
    print(json_text(value, indent=2))


def print_null(paths: Iterable[Path]) -> None:
    """Print paths as the bytes that the file system has, each ended by a null byte."""
    sys.stdout.flush()
    for path in paths:
        sys.stdout.buffer.write(os.fsencode(path) + b"\0")


DIRECTIONS = {"image_to_text": "image to text", "text_to_image": "text to image"}


def print_protocols(protocols: Mapping[str, Any]) -> None:
    """Print one line a metric: ``value [low, high]``; recalls and the like are in percent."""
    rows = [(name, interval(estimate)) for name, estimate in _estimates(protocols)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:{width}}  {value}")
    if "pairs" in protocols:
        threshold, source = (protocols["pairs"][key] for key in ("threshold", "threshold_from"))
        print(f"  a pair matches from {threshold:.3f} on (from {source})")


def print_languages(languages: Mapping[str, Any]) -> None:
    """Print one line a language: its texts, and their recall of pictures."""
    for code, report in languages.items():
        recall = "  ".join(f"{k} {interval(value)}" for k, value in report["text_to_image"].items())
        print(f"  text to image, {code} ({counted(report['texts'], 'text')}): {recall}")


def print_comparison(comparison: Mapping[str, Any]) -> None:
    """Print before, after and the paired difference of each metric."""
    print(f"before and after on {counted(comparison['images'], 'image')} of {comparison['split']}")
    sides = [dict(_estimates({"retrieval": comparison[side]})) for side in ("before", "after")]
    rows: list[tuple[str, ...]] = [("", "before", "after", "difference [95 % interval]")]
    for name, difference in _estimates({"retrieval": comparison["difference"]}):
        values = (f"{side[name]['value']:.1f}" for side in sides)
        rows.append((name, *values, interval(difference, sign="+")))
    width = max(len(row[0]) for row in rows)
    for name, before, after, change in rows:
        print(f"  {name:{width}}  {before:>6}  {after:>6}  {change}")


def _estimates(protocols: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float]]]:
    for protocol, metrics in protocols.items():
        for name, value in metrics.items():
            if name in DIRECTIONS:
                alone = "" if protocol == "retrieval" else f"{protocol}, "
                direction = f"{alone}{DIRECTIONS[name]}"
                yield from ((f"{direction} {metric}", e) for metric, e in value.items())
            elif isinstance(value, Mapping):
                yield f"{protocol} {name}", value


def interval(estimate: Mapping[str, float], *, sign: str = "", digits: int = 1) -> str:
    """Return ``value [low, high]``; ``sign="+"`` shows both signs."""
    value, low, high = (f"{estimate[key]:{sign}.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
