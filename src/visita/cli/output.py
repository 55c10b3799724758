"""Printing results on stdout."""

from __future__ import annotations

import json
from typing import Any

# A file may be called anything; none shall break a line or steer the terminal.
_CONTROLS = {
    code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}


def print_json(value: Any) -> None:
    """Print one JSON document, in ASCII, so that any name survives any terminal."""
    print(json.dumps(value, indent=2))


def one_line(text: str) -> str:
    r"""Return ``text`` with control characters and line ends escaped, as in ``a\nb``."""
    return text.translate(_CONTROLS)
