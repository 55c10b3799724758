"""Which layout a JSON file has, told by its beginning."""

from __future__ import annotations

import re
from pathlib import Path

from visita.data.reading import open_at_once

CROISSANT, KARPATHY, COCO, LIST = "croissant", "karpathy", "coco", "list"
HEAD = 100_000
"""Bytes: COCO's own files begin with a kilobyte of licences."""
_KINDS = (
    (LIST, re.compile(rb"^\s*\[")),
    (CROISSANT, re.compile(rb'"@context"\s*:')),
    (KARPATHY, re.compile(rb'"(?:sentids|sentences)"\s*:')),
    (COCO, re.compile(rb'"(?:images|annotations)"\s*:')),
)


def json_kind(path: Path) -> str:
    """Return the kind of the JSON file ``path``, or ``""``."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return ""
    with open(path, "rb", opener=open_at_once) as file:
        head = file.read(HEAD).removeprefix(b"\xef\xbb\xbf")
    return next((kind for kind, pattern in _KINDS if pattern.search(head)), "")
