"""Printing results on stdout."""

from __future__ import annotations

from typing import Any

from visita.jsonfile import json_text


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII, so that any name survives any terminal."""
    print(json_text(value, indent=2))
