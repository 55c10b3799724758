"""Printing results on stdout."""

from __future__ import annotations

import json
from typing import Any


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII, so that any name survives any terminal."""
    print(json.dumps(value, indent=2))
