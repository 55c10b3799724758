"""Printing results on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from visita.jsonfile import json_text


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII, so that any name survives any terminal."""
    print(json_text(value, indent=2))


def print_null(paths: Iterable[Path]) -> None:
    """Print paths as the bytes that the file system has, each ended by a null byte."""
    sys.stdout.flush()
    for path in paths:
        sys.stdout.buffer.write(os.fsencode(path) + b"\0")
