"""A gallery goes out as Parquet, is read by others, and comes back on another machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import polars
import pytest
from standin import ColourMeans, LinearMatcher
from written import at, exif, save

from visita.errors import ConfigError, DataError, MissingExtraError
from visita.gallery.catalog import Catalog
from visita.gallery.exported import export_gallery
from visita.gallery.filter import Filter
from visita.gallery.gallery import StoredGallery
from visita.gallery.imported import import_gallery
from visita.gallery.info import gallery_contents
from visita.gallery.upkeep import verify_gallery

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

ENCODER = ColourMeans()
MATCHER = LinearMatcher(ENCODER.recipe)
KEY = MATCHER.fingerprint()


def said(fingerprint: str, shape: list[int]) -> bytes:
    vectors = {fingerprint: {"facts": {}, "columns": {"vector": shape}}}
    return json.dumps({"format": 1, "vectors": vectors}).encode()


@pytest.fixture
def gallery(tmp_path) -> StoredGallery:
    for i in range(6):
        entries = exif({0x0110: "Canon R5"}, {0x9003: f"202{i}:01:01 00:00:00"}, at(1, 2))
        save(tmp_path / "here" / f"year {i}" / "a.jpg", i, exif=entries)
    shutil.copy(tmp_path / "here" / "year 0" / "a.jpg", tmp_path / "here" / "copy.jpg")
    (tmp_path / "here" / "copy.txt").write_text("a copy", "utf-8")
    if os.name == "posix":
        save(tmp_path / "x.png", 9).rename(tmp_path / "here" / "\udcff.png")
    gallery = StoredGallery.open(tmp_path / "here", home=tmp_path / "home")
    gallery.sync(MATCHER, ENCODER)
    return gallery


@pytest.fixture
def file(gallery, tmp_path) -> Path:
    file = tmp_path / "out.parquet"
    assert export_gallery(gallery.path, file) == len(gallery.snapshot(KEY))
    return file


def test_polars_and_pyarrow_read_what_the_gallery_keeps(gallery, file):
    frame = polars.read_parquet(file)
    snapshot = gallery.snapshot(KEY)
    vectors = dict(zip(snapshot.digests, snapshot.vectors, strict=True))
    assert sorted(frame["digest"]) == sorted(snapshot.digests)
    for digest, vector in zip(frame["digest"], frame[f"vector-{KEY}"].to_numpy(), strict=True):
        assert np.array_equal(vector, vectors[digest])
    dated = frame.filter(polars.col("date") > "2023").select("path", "camera", "latitude")
    assert dated.to_dicts() == [
        {"path": f"year {i}/a.jpg", "camera": "Canon R5", "latitude": 1.0} for i in (3, 4, 5)
    ]
    assert frame.filter(polars.col("path") == "copy.jpg")["caption"].to_list() == ["a copy"]
    table = parquet.read_table(file)
    assert table.schema.field(f"vector-{KEY}").type == pyarrow.list_(pyarrow.float32(), 16)
    assert table.num_rows == len(snapshot)


def test_on_another_machine_nothing_is_encoded_and_all_is_as_it_was(gallery, file, tmp_path):
    there = tmp_path / "there"
    shutil.copytree(gallery.folder, there)
    for path in there.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    other = StoredGallery.open(there, home=tmp_path / "other")
    assert import_gallery(file, other) == len(gallery.snapshot(KEY))
    before = other.snapshot(KEY)
    assert [p.removeprefix(str(there)) for p in before.paths] == [
        p.removeprefix(str(gallery.folder)) for p in gallery.snapshot(KEY).paths
    ]
    assert np.array_equal(before.vectors, gallery.snapshot(KEY).vectors)
    assert len(other.passing(before, Filter(since="2023", camera="canon"))) == 3
    ENCODER.encoded.clear()
    other.sync(MATCHER, ENCODER)
    assert ENCODER.encoded == []
    assert len(other.passing(other.snapshot(KEY), Filter(text="copy"))) == 1
    assert verify_gallery(other.path).damaged == []
    with pytest.raises(ConfigError, match="already: remove it first"):
        import_gallery(file, other)


@pytest.mark.parametrize("path", ["/etc/x.png", "../x.png", "a/../../x.png", "", "a\0.png"])
def test_no_path_leads_out_of_the_folder(file, tmp_path, path):
    table = parquet.read_table(file)
    names = [path, *table["path"].to_pylist()[1:]]
    raw = pyarrow.array([b""] * table.num_rows)
    changed = replaced(replaced(table, "path", pyarrow.array(names)), "raw", raw)
    assert_refused(changed, tmp_path, "no path below the folder")


def replaced(table: pyarrow.Table, name: str, column: pyarrow.Array) -> pyarrow.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def assert_refused(table: pyarrow.Table, tmp_path: Path, message: str) -> None:
    file = tmp_path / "changed.parquet"
    parquet.write_table(table, file)
    (tmp_path / "there").mkdir()
    other = StoredGallery.open(tmp_path / "there", home=tmp_path / "other")
    with pytest.raises(DataError, match=message):
        import_gallery(file, other)
    assert Catalog(other.path).entries == {}


def test_a_stranger_s_numbers_and_texts_are_looked_at(file, tmp_path):
    table = parquet.read_table(file)
    kind = pyarrow.list_(pyarrow.float32(), 16)
    bad = pyarrow.array([[float("nan")] * 16] * table.num_rows, kind)
    assert_refused(replaced(table, f"vector-{KEY}", bad), tmp_path, "not finite")


@pytest.mark.parametrize(
    "about",
    [
        b"not json",
        b"[]",
        b'{"format": 9, "vectors": {}}',
        said("../../up", []),
        said(KEY, [10**9]),
        said(KEY, []),
        said("ab" * 8, [4]),
    ],
)
def test_what_a_file_says_of_itself_has_to_be_so(file, tmp_path, about):
    table = parquet.read_table(file).replace_schema_metadata({b"visita": about})
    assert_refused(table, tmp_path, "no gallery that visita exported")


def test_a_file_that_is_cut_short_is_refused(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-40])
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="no gallery that visita exported"):
        import_gallery(file, StoredGallery.open(tmp_path / "there", home=tmp_path / "other"))


def test_info_counts_what_is_known(gallery):
    contents = gallery_contents(gallery.path)
    known = {column.name: column.known for column in contents.columns}
    count = len(gallery.snapshot(KEY))
    assert (contents.pictures, contents.folder) == (count, str(gallery.folder))
    assert (known["date"], known["caption"], known["path"], known["title"]) == (7, 1, count, 0)
    vector, stored = next(c for c in contents.columns if c.name == "vector"), count - 1
    assert (vector.type, vector.known, vector.bytes) == ("float32 (16,)", stored, stored * 64)
    assert contents.bytes > sum(column.bytes for column in contents.columns)
    assert contents.engine == "exact"


def test_a_bucket_without_its_extra_names_its_line(monkeypatch, tmp_path):
    for name in ("boto3", "botocore"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'visita\[s3\]'"):
        StoredGallery.open("s3://bucket/pictures", home=tmp_path).sync(MATCHER, ENCODER)
