"""Pairs as linked data: a JSON-LD description in MLCommons' Croissant format, and a table.

This is the *Linked Data* step of the MKL-VisITA paper (section IV.A) in the form that
data sets of machine learning have since agreed on: M. Akhtar et al., Croissant: A Metadata
Format for ML-Ready Datasets, 2024; https://docs.mlcommons.org/croissant/docs/croissant-spec.html.
"""

from __future__ import annotations

import logging
import mimetypes
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from visita.artifact import sha256_of, write_json
from visita.data.pairs import PairSet
from visita.data.pictures import path_below
from visita.errors import DataError, MissingExtraError

COLUMNS = {
    "image_id": ("Text", "The image's name, which does not change with its place."),
    "image": ("Text", "Path of the picture from this file's folder; empty for a text alone."),
    "text_id": ("Integer", "The text's number, from 0."),
    "text": ("Text", "A text that belongs to the image; empty for an image alone."),
    "split": ("Text", "train, dev or test."),
    "language": ("Text", "Code of the text's language, such as de; empty where it is not known."),
}
"""The last one is there where the language of a text is known."""
PARQUET = "application/x-parquet"


def write_croissant(
    pairs: PairSet, file: Path, *, description: str = "", licence: str = ""
) -> Path:
    """Write ``pairs`` as Croissant 1.0: ``file`` and, beside it, a Parquet table of the pairs.

    The record set ``pairs`` has a row for each image with one of its texts; the record set
    ``pictures`` is the picture files. The ``croissant:`` reader gives the pairs back as
    they are. Pictures stay where they are.

    Parameters
    ----------
    file
        Ends in ``.json``, in a folder that holds all pictures.
    description, licence
        What the data are, and the licence's name or address; left out where empty.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    DataError
        If the files exist, ``file`` does not end in ``.json``, or a picture lies elsewhere.
    MissingExtraError
        If mlcroissant or pyarrow is not installed.
    """
    mlcroissant = import_mlcroissant()
    table = file.with_suffix(".parquet")
    if file.suffix != ".json":
        raise DataError(f"{file} should end in .json, as Croissant is JSON.")
    for place in (file, table):
        if place.exists():
            raise DataError(f"{place} exists; choose another name, or remove it first.")
    columns = _columns(pairs, file.parent)
    draft = table.with_name(f".{table.name}.{os.getpid()}")
    try:
        _write_table(columns, draft)
        described = _describe(
            mlcroissant,
            name=file.stem,
            description=description or None,
            license=licence or None,
            table=mlcroissant.FileObject(
                id="table",
                name=table.name,
                content_url=table.name,
                encoding_formats=[PARQUET],
                sha256=sha256_of(draft),
            ),
            columns=list(columns),
            images=[image for image in dict.fromkeys(columns["image"]) if image is not None],
        )
        draft.replace(table)
    finally:
        draft.unlink(missing_ok=True)
    write_json(file, described)
    return table


def import_mlcroissant() -> Any:
    """Return the library.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import mlcroissant  # noqa: PLC0415  an extra, which takes a second to import
    except ImportError as error:
        raise MissingExtraError("the Croissant format", "croissant") from error
    return mlcroissant


@contextmanager
def quietly() -> Iterator[None]:
    """Silence what mlcroissant logs of fields that are only recommended, and its libraries warn."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of rdflib, about rdflib
            yield
    finally:
        logger.setLevel(level)


def _columns(pairs: PairSet, folder: Path) -> dict[str, list[Any]]:
    """Return a row for each true pair, image by image, and for each image or text without one."""
    truth = pairs.truth.sorted_indices()
    languages = [code or None for code in pairs.text_languages]
    rows: list[tuple[Any, ...]] = []
    for image, (name, path) in enumerate(zip(pairs.image_ids, pairs.image_paths, strict=True)):
        texts = truth.indices[truth.indptr[image] : truth.indptr[image + 1]].tolist()
        place, split = _text_of_path(path_below(path, folder)), str(pairs.image_split[image])
        rows += [(name, place, text, pairs.texts[text], split, languages[text]) for text in texts]
        if not texts:
            rows.append((name, place, None, None, split, None))
    alone = np.setdiff1d(np.arange(len(pairs.texts)), truth.indices).tolist()
    rows += [
        (None, None, text, pairs.texts[text], str(pairs.text_split[text]), languages[text])
        for text in alone
    ]
    cells = zip(*rows, strict=True) if rows else ([] for _ in COLUMNS)
    columns = dict(zip(COLUMNS, map(list, cells), strict=True))
    if not any(languages):
        del columns["language"]
    return columns


def _text_of_path(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path.encode('utf-8', 'backslashreplace').decode()} has a name that JSON-LD cannot "
            f"hold, as it is not UTF-8; rename it."
        ) from error
    return path


def _write_table(columns: dict[str, list[Any]], file: Path) -> None:
    try:
        import pyarrow  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the Croissant format", "croissant") from error
    types = {"Text": pyarrow.string(), "Integer": pyarrow.int64()}
    schema = pyarrow.schema([(name, types[COLUMNS[name][0]]) for name in columns])
    parquet.write_table(pyarrow.table(columns, schema), file)


def _describe(
    mlcroissant: Any, *, table: Any, columns: list[str], images: list[str], **facts: str | None
) -> dict[str, Any]:
    """Return the JSON-LD; mlcroissant checks it on the way."""
    places = map(PurePosixPath, images)
    patterns = sorted({str(PurePosixPath(escape(str(p.parent)), f"*{p.suffix}")) for p in places})
    pictures = mlcroissant.FileSet(
        id="picture-files",
        name="picture-files",
        description="The pictures' files.",
        includes=patterns,
        encoding_formats=sorted({_media_type(image) for image in images}),
    )
    fields = [
        mlcroissant.Field(
            id=f"pairs/{name}",
            name=name,
            description=COLUMNS[name][1],
            data_types=[getattr(mlcroissant.DataType, COLUMNS[name][0].upper())],
            source=mlcroissant.Source(
                file_object=table.id, extract=mlcroissant.Extract(column=name)
            ),
        )
        for name in columns
    ]
    properties = {"file": ("fullpath", "TEXT"), "content": ("content", "IMAGE_OBJECT")}
    files = [
        mlcroissant.Field(
            id=f"pictures/{name}",
            name=name,
            data_types=[getattr(mlcroissant.DataType, kind)],
            source=mlcroissant.Source(
                file_set=pictures.id,
                extract=mlcroissant.Extract(file_property=getattr(mlcroissant.FileProperty, place)),
            ),
        )
        for name, (place, kind) in properties.items()
    ]
    with quietly():
        metadata = mlcroissant.Metadata(
            **facts,
            distribution=[table, pictures],
            record_sets=[
                mlcroissant.RecordSet(id="pairs", name="pairs", fields=fields),
                mlcroissant.RecordSet(id="pictures", name="pictures", fields=files),
            ],
        )
        described: dict[str, Any] = metadata.to_json()
    return described


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
