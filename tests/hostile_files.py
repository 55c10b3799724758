"""Writing the files of hostile cases."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
from hostile import PAIRS, Make
from pyarrow import parquet
from zoo import landmark

MEGABYTE = 10**6
Content = str | bytes | Callable[[], str | bytes]
"""What a file holds, or what makes it, where that is much."""


def text(name: str, content: Content) -> Make:
    def make(folder: Path) -> None:
        made = content() if callable(content) else content
        raw = made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")
        (folder / name).write_bytes(raw)

    return make


def link(name: str, target: str) -> Make:
    return lambda folder: (folder / name).symlink_to(target)


def both(*made: Make) -> Make:
    return lambda folder: [make(folder) for make in made]


def rows(*names: str) -> Make:
    """Return a table of pictures called so."""
    lines = [json.dumps({"image": name, "text": "words"}) for name in (*names, "a.jpg")]
    return text("x.jsonl", "\n".join(lines))


def columns(cells: Callable[[], dict[str, object]]) -> Make:
    def make(folder: Path) -> None:
        parquet.write_table(pyarrow.table(cells()), folder / "x.parquet", compression="zstd")

    return make


def repeated(count: int, said: str = "x", times: int = 1) -> Make:
    """Return a Parquet file of a row as often, which takes a few kilobytes."""

    def make(folder: Path) -> None:
        cell = {"image": "a.jpg", "text": said * times}
        one = pyarrow.table({name: [value] for name, value in cell.items()})
        indices = pyarrow.array([0] * min(count, MEGABYTE), pyarrow.int32())
        part = pyarrow.table(
            {
                name: pyarrow.DictionaryArray.from_arrays(indices, one[name].combine_chunks())
                for name in cell
            }
        )
        with parquet.ParquetWriter(folder / "x.parquet", part.schema, compression="zstd") as out:
            for _ in range(max(1, count // MEGABYTE)):
                out.write_table(part)

    return make


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> Make:
    def make(folder: Path) -> None:
        with tarfile.open(folder / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for member, content in (*members, *pair("good")):
                archive.addfile(member, io.BytesIO(content) if content else None)

    return make


def member(name: str, content: bytes = b"", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, content


def pair(stem: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    picture = io.BytesIO()
    landmark().resize((20, 20)).save(picture, "JPEG")
    return [member(f"{stem}.jpg", picture.getvalue()), member(f"{stem}.txt", b"words")]


def croissant(**change: object) -> Make:
    source = {"fileObject": {"@id": "t"}, "extract": {"column": "image"}}
    fields = [
        {"@type": "cr:Field", "@id": f"p/{n}", "name": n, "dataType": "sc:Text"} for n in NAMED
    ]
    for one in fields:
        column = {"column": one["name"]}
        one["source"] = {**source, "extract": column}  # type: ignore[assignment]
    table = {"@type": "cr:FileObject", "@id": "t", "name": "t", "contentUrl": "x.csv"}
    content = {
        "@context": {
            "@language": "en",
            "@vocab": "https://schema.org/",
            "cr": "http://mlcommons.org/croissant/",
        },
        "@type": "Dataset",
        "name": "x",
        "distribution": [{**table, "encodingFormat": "text/csv", "sha256": "0" * 64}],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "p", "name": "p", "field": fields}],
        **change,
    }
    return both(text("x.json", json.dumps(content)), text("x.csv", PAIRS))


NAMED = ("image", "text")


def held(cell: Callable[[], dict[str, object]]) -> Make:
    """Return a Parquet file with one picture as Hugging Face keeps it."""
    struct = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    return columns(lambda: {"image": pyarrow.array([cell()], struct), "text": ["x"]})
