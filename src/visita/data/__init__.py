"""Images, texts and which belong together: reading, splitting, checking, decoding.

Pairs need scipy, pictures do not: what a search never touches is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not lazy: the name is also that of its module, which would hide the function.
from visita.data.decode import decode
from visita.data.pictures import PictureFile, find_pictures, picture_id

if TYPE_CHECKING:
    from visita.data.check import Finding, Report, check_pairs
    from visita.data.pairs import SPLITS, PairSet, split_by_component
    from visita.data.readers import READERS, Data, Reader, Source, open_pairs

__all__ = [
    "READERS",
    "SPLITS",
    "Data",
    "Finding",
    "PairSet",
    "PictureFile",
    "Reader",
    "Report",
    "Source",
    "check_pairs",
    "decode",
    "find_pictures",
    "open_pairs",
    "picture_id",
    "split_by_component",
]

_MODULES = {
    "READERS": "visita.data.readers",
    "SPLITS": "visita.data.pairs",
    "Data": "visita.data.readers",
    "Finding": "visita.data.check",
    "PairSet": "visita.data.pairs",
    "Reader": "visita.data.readers",
    "Report": "visita.data.check",
    "Source": "visita.data.readers",
    "check_pairs": "visita.data.check",
    "open_pairs": "visita.data.readers",
    "split_by_component": "visita.data.pairs",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'visita.data' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
