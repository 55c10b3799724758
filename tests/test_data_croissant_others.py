"""Croissant as others write it: Hugging Face's, record sets that a key joins, and COCO's."""

import json
import shutil

import pyarrow
import pytest
from pyarrow import parquet
from test_data_layouts import image_rows
from test_data_readers import draw, links, problems, write, write_coco

from visita.data import open_pairs
from visita.data.readers.bounds import OUTSIDE
from visita.errors import DataError

pytestmark = pytest.mark.slow

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "sc": "https://schema.org/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{
        name: f"cr:{name}"
        for name in (
            *("column", "extract", "field", "fileProperty", "fileObject", "fileSet", "includes"),
            *("jsonPath", "key", "md5", "recordSet", "references", "regex", "source", "transform"),
        )
    },
}
OUTSIDE_URL = "https://huggingface.co/datasets/some/set/tree/refs%2Fconvert%2Fparquet"


def describe(file, distribution, *record_sets):
    """Write a description in version 1.0."""
    content = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": file.stem,
        "distribution": distribution,
        "recordSet": [
            {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}
            for name, fields in record_sets
        ],
    }
    return write(file, json.dumps(content))


def field(name, source, extract, kind="sc:Text", **more):
    place = {"extract": extract, **more.pop("change", {})}
    key = "fileSet" if source.endswith("-files") else "fileObject"
    return {
        "@type": "cr:Field",
        "@id": name,
        "name": name,
        "dataType": kind,
        "source": {key: {"@id": source}, **place},
        **more,
    }


def file_object(name, url, kind, **more):
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": url,
        "encodingFormat": kind,
        "sha256": "https://github.com/mlcommons/croissant/issues/80",
        **more,
    }


def file_set(name, inside, includes, kind):
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "containedIn": {"@id": inside},
        "encodingFormat": kind,
        "includes": includes,
    }


@pytest.fixture
def pictures(tmp_path):
    draw(*(tmp_path / "set" / "images" / f"{name}.jpg" for name in "abcd"))
    return tmp_path / "set"


def hugging_face(folder, pattern="default/(?:partial-)?(train|validation)/.+parquet$"):
    parquets = "parquet-files"
    repository = file_object("repo", OUTSIDE_URL, "git+https")
    files = file_set(parquets, "repo", "default/*/*.parquet", "application/x-parquet")
    fields = [
        field(
            "default/split",
            parquets,
            {"fileProperty": "fullpath"},
            change={"transform": {"regex": pattern}},
        ),
        field(
            "default/image",
            parquets,
            {"column": "image"},
            "sc:ImageObject",
            change={"transform": {"jsonPath": "bytes"}},
        ),
        field("default/caption", parquets, {"column": "caption"}),
    ]
    return describe(folder / "croissant.json", [repository, files], ("default", fields))


def test_croissant_of_hugging_face_with_its_parquet_beside(pictures, tmp_path):
    rows = image_rows(pictures, "struct")
    for part, some in (("train", rows[:2]), ("validation", rows[2:3])):
        file = tmp_path / "hub" / "default" / part / "0000.parquet"
        file.parent.mkdir(parents=True)
        parquet.write_table(pyarrow.Table.from_pylist(some), file)
    pairs = open_pairs(str(hugging_face(tmp_path / "hub")))
    assert pairs.splits() == {"train": 2, "dev": 1, "test": 0}
    assert links(pairs) == {(f"{n}.jpg", f"{n} {t}") for n in "abc" for t in ("one", "two")}
    assert pairs.image_paths[2].read_bytes() == rows[2]["image"]["bytes"]


def test_croissant_without_its_files_says_what_to_fetch(tmp_path):
    with pytest.raises(DataError, match=r"default/\*/\*\.parquet\) none is here.* fetch or unpack"):
        open_pairs(str(hugging_face(tmp_path)))


def test_a_pattern_that_never_ends_is_stopped(pictures, tmp_path):
    file = tmp_path / "hub" / "default" / ("a" * 60) / "0.parquet"
    file.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(image_rows(pictures, "struct")), file)
    with pytest.raises(DataError, match="takes too long"):
        open_pairs(str(hugging_face(tmp_path / "hub", r"(a|a|aa|aaa)+(?:a|a?)+$b")))


@pytest.mark.parametrize("by", ["table", "files"])
def test_two_record_sets_that_a_key_joins(pictures, by):
    captions = ["1,a one", "1,a two", "2,b one", "9,of no picture"]
    write(pictures / "captions.csv", "image_key,caption", *captions)
    write(pictures / "pictures.csv", "id,file", "1,images/a.jpg", "2,images/b.jpg", "3,x.jpg")
    texts = file_object("captions.csv", "captions.csv", "text/csv")
    if by == "table":
        images = file_object("pictures.csv", "pictures.csv", "text/csv")
        fields = [
            field("images/id", "pictures.csv", {"column": "id"}),
            field("images/file", "pictures.csv", {"column": "file"}),
        ]
    else:
        shutil.copy(pictures / "images" / "a.jpg", pictures / "images" / "pic_1.jpg")
        shutil.copy(pictures / "images" / "b.jpg", pictures / "images" / "pic_2.jpg")
        images = file_set("image-files", "captions.csv", "images/pic_*.jpg", "image/jpeg")
        number = {"transform": {"regex": r"_(\d+)\.jpg$"}}
        fields = [
            field("images/id", "image-files", {"fileProperty": "filename"}, change=number),
            field("images/content", "image-files", {"fileProperty": "content"}, "sc:ImageObject"),
        ]
    refers = {"references": {"field": {"@id": "images/id"}}}
    said = [
        field("captions/image_key", "captions.csv", {"column": "image_key"}, **refers),
        field("captions/caption", "captions.csv", {"column": "caption"}),
    ]
    file = describe(pictures / "x.json", [texts, images], ("images", fields), ("captions", said))
    pairs = open_pairs(str(file))
    one, two = ("images/a.jpg", "images/b.jpg") if by == "table" else pairs.image_ids
    assert links(pairs) == {(one, "a one"), (one, "a two"), (two, "b one")}
    assert problems(pairs) == {"captions.csv:5": "names no picture"}


def test_captions_in_cocos_own_json_are_read_as_coco(tmp_path):
    draw(tmp_path / "train2014" / "1.jpg", tmp_path / "val2014" / "2.jpg")
    for part, name in (("train", "1.jpg"), ("val", "2.jpg")):
        write_coco(tmp_path / "annotations" / f"captions_{part}2014.json", [name], captions=1)
    archive = file_object("a.zip", "http://images.cocodataset.org/a.zip", "application/zip")
    pattern = "annotations/captions_(val|train)2014.json"
    files = file_set("caption-files", "a.zip", pattern, "application/json")
    fields = [
        field("captions/image_id", "caption-files", {"column": "image_id"}, "sc:Integer"),
        field("captions/caption", "caption-files", {"column": "caption"}),
    ]
    pairs = open_pairs(str(describe(tmp_path / "x.json", [archive, files], ("captions", fields))))
    assert pairs.source == f"croissant:{tmp_path / 'x.json'}"
    assert pairs.splits() == {"train": 1, "dev": 1, "test": 0}
    one = file_object("one", "annotations/captions_train2014.json", "application/json")
    fields = [field("captions/caption", "one", {"jsonPath": "$.annotations[*].caption"})]
    pairs = open_pairs(str(describe(tmp_path / "y.json", [one], ("captions", fields))))
    assert links(pairs) == {("1.jpg", "1.jpg 0")}


def test_a_list_in_json_is_a_table(pictures):
    content = {"items": [{"file": f"images/{n}.jpg", "said": n} for n in "ab"]}
    write(pictures / "items.json", json.dumps(content))
    fields = [
        field("all/image", "items", {"jsonPath": "$.items[*].file"}),
        field("all/text", "items", {"jsonPath": "$.items[*].said"}),
    ]
    items = file_object("items", "items.json", "application/json")
    pairs = open_pairs(str(describe(pictures / "x.json", [items], ("all", fields))))
    assert links(pairs) == {("images/a.jpg", "a"), ("images/b.jpg", "b")}


def test_the_files_of_a_set_may_not_lie_elsewhere(pictures, tmp_path):
    rows = image_rows(pictures, "struct")
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "secret.parquet")
    (tmp_path / "hub" / "default" / "train").mkdir(parents=True)
    link = tmp_path / "hub" / "default" / "train" / "0.parquet"
    link.symlink_to(tmp_path / "secret.parquet")
    file = hugging_face(tmp_path / "hub")
    with pytest.raises(DataError, match=OUTSIDE):
        open_pairs(str(file))
    assert len(open_pairs(str(file), root=tmp_path).image_ids) == 3
