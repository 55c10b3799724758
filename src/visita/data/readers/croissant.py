"""Croissant, MLCommons' JSON-LD format for data sets: pairs from local tables.

mlcroissant parses and checks the description. The tables are then read as tables are here:
mlcroissant's own way downloads what is missing, unpacks archives and takes minutes for
COCO; and a CSV's caption "None" would be lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from visita.data.croissant import import_mlcroissant, quietly
from visita.data.files import COCO, CROISSANT, json_kind, read_json
from visita.data.pairs import PairSet
from visita.data.readers.assemble import unknown_splits
from visita.data.readers.bounds import Bounds
from visita.data.readers.coco import Coco
from visita.data.readers.columns import IMAGE, LANGUAGE, SPLIT, SPLITS, TEXT, plain, texts_of
from visita.data.readers.distribution import Distribution
from visita.data.readers.records import Records
from visita.errors import DataError
from visita.types import Skipped

NAMES = {
    "image": IMAGE,
    "text": TEXT,
    "split": SPLIT,
    "language": LANGUAGE,
    "image_id": ("image_id",),
    "text_id": ("text_id",),
}
"""What the fields may be called; the first two must be there."""
PICTURE = "ImageObject"
"""The data type of a field that is an image, whatever it is called."""


class Croissant:
    """Reads one record set with an image and a text, or two that a key joins.

    The image is a path, a file of its own or bytes. Rows with one ``image_id`` are one image,
    and rows with one ``text_id`` are one text; without these fields, an image is its path and
    a text its words, within one split. Captions in COCO's own JSON are read as COCO. Nothing is
    ever downloaded or unpacked, but pictures out of Parquet.
    """

    looks_for = (
        f"a JSON file in the Croissant format, with a record set whose fields are called "
        f"{' or '.join(IMAGE)} and {' or '.join(TEXT)}, or one of texts that refers to one of "
        f"images"
    )

    def recognises(self, path: Path) -> bool:
        return json_kind(path) == CROISSANT

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        metadata = _description(path)
        bounds = Bounds(path.parent, roots)
        problems: list[Skipped] = []
        distribution = Distribution(path, metadata, bounds, problems)
        texts = _texts(path, metadata)
        fields = {role: field for role, field in _roles(texts).items() if field}
        join = None if "image" in fields else _join(metadata, texts)
        if "image" not in fields and join is None:
            if coco := _coco(path, distribution, fields["text"]):
                pairs = Coco().read(coco, seed, roots)
                return replace(pairs, source=f"croissant:{path}")
            raise DataError(f"{_lacks(path, metadata)} Nor does {texts.id} refer to images.")
        numbered = "text_id" in fields
        rows = distribution.rows(fields) if join is None else _joined(distribution, fields, join)
        records = _records(rows, Records(bounds, numbered=numbered), "split" in fields, problems)
        return records.pairs(f"croissant:{path}", problems, seed)


def _records(
    rows: Iterator[tuple[str, dict[str, Any]]],
    records: Records,
    has_splits: bool,
    problems: list[Skipped],
) -> Records:
    unknown: Counter[str] = Counter()
    for place, row in rows:
        split = SPLITS.get(plain(str(row.get("split"))))
        language = plain(str(row.get("language") or ""))
        if has_splits and split is None:
            unknown[str(row["split"])] += 1
            continue
        for text in texts_of(row["text"]) if isinstance(row["text"], list) else [row["text"]]:
            records.add(place, {**row, "text": text, "split": split, "language": language})
    problems += unknown_splits(unknown, "row", "train, dev or test")
    return records


def _description(path: Path) -> Any:
    """Return mlcroissant's metadata of the file."""
    mlcroissant = import_mlcroissant()
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} is not Croissant: it should be {Croissant.looks_for}.")
    _refuse_fetching(path, content)
    try:
        with quietly():
            return mlcroissant.Dataset(content).metadata
    except Exception as error:  # odd files make mlcroissant raise nearly anything
        raise DataError(f"{path} is not valid Croissant: {_faults(error)}.") from error


def _faults(error: Exception) -> str:
    """Return what mlcroissant says, without its headings and what it only recommends."""
    lines = [line.strip(" -.") for line in str(error).splitlines()]
    faults = [
        line for line in lines if not line.startswith("Found the") and "recommended" not in line
    ]
    return f"{type(error).__name__}: {'; '.join(filter(None, faults))}"[:1000]


def _refuse_fetching(path: Path, content: dict[str, Any]) -> None:
    """Refuse a context that would be fetched while parsing, wherever it is."""
    nodes: list[Any] = [content]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            if "@import" in node or not isinstance(node.get("@context", {}), dict):
                raise DataError(
                    f"{path} names a context to be fetched, and visita reads local files only: "
                    f"write the @context itself into the file."
                )


def _texts(path: Path, metadata: Any) -> Any:
    """Return the record set with images and texts, or else that with texts."""
    with_texts = [record_set for record_set in metadata.record_sets if _roles(record_set)["text"]]
    if not with_texts:
        raise DataError(_lacks(path, metadata))
    return next(
        (record_set for record_set in with_texts if _roles(record_set)["image"]), with_texts[0]
    )


def _lacks(path: Path, metadata: Any) -> str:
    listed = [
        f"{record_set.id} ({', '.join(map(_name, record_set.fields))})"
        for record_set in metadata.record_sets
    ]
    return (
        f"{path} has no record set with a field named {' or '.join(IMAGE)} and one named "
        f"{' or '.join(TEXT)}; its record sets: {', '.join(listed[:30]) or 'none'}."
    )


def _name(field: Any) -> str:
    return plain(str(field.id).rpartition("/")[2])


def _roles(record_set: Any) -> dict[str, Any]:
    """Return the fields by their role, None where there is none."""
    fields = {_name(field): field for field in record_set.fields if field.source}
    roles = {
        role: next((fields[name] for name in names if name in fields), None)
        for role, names in NAMES.items()
    }
    typed = (field for field in fields.values() if _is_picture(field))
    return {**roles, "image": roles["image"] or next(typed, None)}


def _is_picture(field: Any) -> bool:
    return any(str(kind).endswith(PICTURE) for kind in field.data_types or ())


def _join(metadata: Any, texts: Any) -> tuple[Any, Any, Any] | None:
    """Return the field that refers to images, the key that it refers to, and the images' field."""
    fields = {
        field.id: (field, record_set)
        for record_set in metadata.record_sets
        for field in record_set.fields
    }
    for field in texts.fields:
        target = field.references.field if field.references else None
        key, record_set = fields.get(target, (None, None))
        image = _roles(record_set)["image"] if record_set else None
        if field.source and key and key.source and image:
            return field, key, image
    return None


def _joined(
    distribution: Distribution, fields: Mapping[str, Any], join: tuple[Any, Any, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of texts, each with the image that its key names; None where none does."""
    refers, key, image = join
    images: dict[str, Any] = {}
    twice: set[str] = set()
    for _, row in distribution.rows({"key": key, "image": image}):
        if str(row["key"]) in images:
            twice.add(str(row["key"]))
        images[str(row["key"])] = row["image"]
    for place, row in distribution.rows({**fields, "refers": refers}):
        wanted = str(row.pop("refers"))
        picture = None if wanted in twice else images.get(wanted)
        yield place, {**row, "image": picture}


def _coco(path: Path, distribution: Distribution, text: Any) -> Path | None:
    """Return COCO's own captions, a file or the folder of their files, where the texts are such."""
    file = distribution.only_file(text)
    if file is not None and json_kind(file) == COCO:
        return file
    return path.parent if Coco().recognises(path.parent) else None
