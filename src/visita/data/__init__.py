"""Images, texts and which belong together: reading, splitting, checking, decoding."""

from visita.data.check import Finding, Report, check_pairs
from visita.data.decode import decode
from visita.data.pairs import PairSet
from visita.data.pictures import PictureFile, find_pictures, picture_id
from visita.data.readers import READERS, Reader, open_pairs
from visita.data.splits import SPLITS, split_by_component

__all__ = [
    "READERS",
    "SPLITS",
    "Finding",
    "PairSet",
    "PictureFile",
    "Reader",
    "Report",
    "check_pairs",
    "decode",
    "find_pictures",
    "open_pairs",
    "picture_id",
    "split_by_component",
]
