"""A table with a column of pictures, one of texts and perhaps of splits and languages.

The layouts of others that are such tables: Hugging Face's image folder
(https://huggingface.co/docs/datasets/image_dataset) and Parquet, the JSON lists of BLIP and LAVIS
(https://github.com/salesforce/LAVIS) and of LLaVA (https://github.com/haotian-liu/LLaVA), the
Flickr8k and Flickr30k of Kaggle and of nlphuji.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from visita.data.pairs import PairSet
from visita.data.readers.assemble import assemble
from visita.data.readers.bounds import Bounds, inner_folders
from visita.data.readers.columns import IMAGE, SPLITS, TEXT, choose_roles
from visita.data.readers.gather import Gathered
from visita.data.readers.jsonkind import LIST, json_kind
from visita.data.readers.rows import READ_ROWS
from visita.data.splits import SPLITS as SIDES
from visita.errors import DataError

METADATA = tuple(f"metadata{suffix}" for suffix in (".csv", ".jsonl", ".parquet"))
PICTURE_FOLDERS = (
    *("images", "Images", "imgs", "pictures", "flickr30k-images", "flickr30k_images"),
    "flickr30k_images/flickr30k_images",
)


class Table:
    """Reads CSV, TSV, JSON lines, JSON lists and Parquet, or a folder with one for each split.

    Pictures lie in the rows themselves, or in files: named from the table's folder, or from
    ``images`` in it. The language of a text, if any, is a code such as ``de``.
    """

    looks_for = (
        f"a file ending in {', '.join(READ_ROWS)} with a column named {' or '.join(IMAGE)} "
        f"and one named {' or '.join(TEXT)}; or a folder with {' or '.join(METADATA)}, or with "
        f"such files for train, validation or test"
    )

    def recognises(self, path: Path) -> bool:
        return _is_table(path) if path.is_file() else bool(_tables_in(path))

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        tables = {path: None} if path.is_file() else _tables_in(path)
        if not tables or not all(one.suffix.lower() in READ_ROWS for one in tables):
            raise DataError(f"{path} is not a table: it should be {self.looks_for}.")
        folder = path.parent if path.is_file() else path
        bounds = Bounds(_above_annotations(folder), roots)
        gathered = Gathered(bounds)
        for file, split in tables.items():
            if file != path:
                bounds.check(file)
            read = READ_ROWS[file.suffix.lower()]
            rows = read(file, choose_roles(str(file)), gathered.problems)
            gathered.add(rows, list(_picture_folders(file.parent)), split)
        problems = gathered.all_problems()
        return assemble(f"table:{path}", gathered.captions, problems, seed, bounds)


def split_named(name: str) -> str | None:
    """Return the split that a file's or folder's name tells, such as ``train-00000.parquet``."""
    words = re.split(r"[^a-z]+", Path(name).stem.lower())
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def _is_table(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in READ_ROWS and (suffix != ".json" or json_kind(path) == LIST)


def _tables_in(folder: Path) -> dict[Path, str | None]:
    """Return the tables of a folder with the split of each, None for one table of all."""
    if whole := _metadata(folder):
        return {whole: None}
    inner = [(one, _metadata(one)) for one in inner_folders(folder)]
    named = [(split_named(one.name), file) for one, file in inner if file]
    for place in (folder, folder / "data", folder / "annotations"):
        files = (one for one in _listed(place) if one.is_file() and split_named(one.name))
        named += [(split_named(one.name), one) for one in files if _is_table(one)]
    return {file: split for side in SIDES for split, file in named if split == side}


def _metadata(folder: Path) -> Path | None:
    return next((folder / name for name in METADATA if (folder / name).is_file()), None)


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _picture_folders(folder: Path) -> Iterator[Path]:
    """Yield where the pictures of a table in ``folder`` may lie."""
    for place in dict.fromkeys((folder, _above_annotations(folder))):
        yield place
        yield from (place / name for name in PICTURE_FOLDERS if (place / name).is_dir())


def _above_annotations(folder: Path) -> Path:
    """Return the data set's folder: COCO and LAVIS keep tables in one beside the pictures."""
    return folder.absolute().parent if folder.name == "annotations" else folder
