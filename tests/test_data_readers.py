"""Every reader on miniatures written to disk, and on the real data where they are at hand."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from drawn import draw_pairs
from pyarrow import parquet
from zoo import landmark, ordinary_user

from visita.data import READERS, decode, open_pairs
from visita.data.readers.bounds import OUTSIDE
from visita.errors import DataError, UnknownNameError

DATA = os.environ.get("VISITA_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="VISITA_DATA does not name the folder of data")


def draw(*paths):
    """Write a small picture to each path, no two alike."""
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        landmark().resize((20 + number, 20)).save(path)


def write(path, *lines, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding)
    return path


def links(pairs):
    """Return the matching pairs as {(image id, text)}, and check that truth is boolean."""
    assert pairs.truth.dtype == np.bool_
    rows, columns = pairs.truth.nonzero()
    return {(pairs.image_ids[i], pairs.texts[j]) for i, j in zip(rows, columns, strict=True)}


def problems(pairs):
    return {one.item: one.reason for one in pairs.problems}


# Flickr8k


@pytest.fixture
def flickr8k(tmp_path):
    folder = tmp_path / "flickr8k"
    draw(*(folder / "Images" / f"{name}.jpg" for name in ("a", "b", "c", "d", "e", "unlisted")))
    shutil.copy(folder / "Images" / "a.jpg", folder / "Images" / "a_again.jpg")
    write(
        folder / "Flickr8k.token.txt",
        "a.jpg#0\tA dog .",
        "a.jpg#1\tA dog .",
        "b.jpg#0\tA cat # on \t a mat .",
        "c.jpg#0\tThird .",
        "d.jpg#0\t   ",
        "a_again.jpg#0\tA dog once more .",
        "unlisted.jpg#0\tNever seen .",
        "a.jpg.1#0\tA junk name .",
        "absent.jpg#0\tNo such file .",
        "no number",
        "",
    )
    write(
        folder / "Flickr_8k.trainImages.txt", "a.jpg", "b.jpg", "d.jpg", "e.jpg", "absent.jpg", ""
    )
    write(folder / "Flickr_8k.devImages.txt", "c.jpg", "a_again.jpg", "b.jpg")
    return folder


def test_flickr8k_reads_official_splits_and_reports_the_rest(flickr8k):
    pairs = open_pairs(f"flickr8k:{flickr8k}")
    assert pairs.source == f"flickr8k:{flickr8k}"
    assert pairs.image_ids == ("a.jpg", "b.jpg", "c.jpg", "a_again.jpg")
    assert pairs.image_paths[0] == flickr8k / "Images" / "a.jpg"
    assert pairs.texts == (
        "A dog .",
        "A dog .",
        "A cat # on \t a mat .",
        "Third .",
        "A dog once more .",
    )
    assert pairs.image_split.tolist() == ["train", "train", "dev", "dev"]
    assert pairs.text_split.tolist() == ["train"] * 3 + ["dev"] * 2
    assert pairs.truth.toarray().sum(1).tolist() == [2, 1, 1, 1]
    assert problems(pairs) == {
        "Flickr8k.token.txt:10": "is not  picture.jpg#number <tab> text",
        "b.jpg": "is listed for dev too; it stays in train",
        "e.jpg": "is listed for train but has no texts",
        "a.jpg.1": "has texts but is not the name of a picture",
        "Flickr8k.token.txt": "1 of its pictures left out, being in none of "
        "Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt, Flickr_8k.testImages.txt",
        "a_again.jpg": "is the same picture as a.jpg; both are kept",
        "d.jpg": "has an empty text",
        "absent.jpg": "there is no such picture",
    }


def test_flickr8k_in_its_other_layout_is_the_same(flickr8k):
    before = open_pairs(str(flickr8k))
    (flickr8k / "Flickr8k_text").mkdir()
    for file in flickr8k.glob("*.txt"):
        file.rename(flickr8k / "Flickr8k_text" / file.name)
    (flickr8k / "Images").rename(flickr8k / "Flicker8k_Dataset")
    moved = flickr8k.rename(flickr8k.with_name("elsewhere"))
    after = open_pairs(str(moved))
    assert after.source == f"flickr8k:{moved}"
    assert after.fingerprint() == before.fingerprint()
    assert all(path.is_file() for path in after.image_paths)


def test_flickr8k_without_its_parts(flickr8k):
    for file in flickr8k.glob("Flickr_8k.*"):
        file.unlink()
    with pytest.raises(DataError, match="no image with a text is left"):
        open_pairs(f"flickr8k:{flickr8k}")
    shutil.rmtree(flickr8k / "Images")
    with pytest.raises(DataError, match="is not Flickr8k: it should be a folder with"):
        open_pairs(f"flickr8k:{flickr8k}")


# COCO


def write_coco(path, names, *, captions=2, first=1):
    """Write a captions file for pictures with the ids first, first + 1 …"""
    ids = range(first, first + len(names))
    images = [{"id": key, "file_name": name} for key, name in zip(ids, names, strict=True)]
    annotations = [
        {"image_id": key, "id": 100 * key + number, "caption": f"{name} {number}\n"}
        for number in range(captions)
        for key, name in zip(ids, names, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations}), "utf-8")
    return path


@pytest.mark.parametrize(
    ("year", "prefix"), [("2017", ""), ("2014", "COCO_{part}_")], ids=["2017", "2014"]
)
def test_coco_with_train_and_val_has_train_and_dev(tmp_path, year, prefix):
    names = {}
    for first, part in ((1, "train"), (11, "val")):
        stem = prefix.format(part=f"{part}{year}")
        names[part] = [f"{stem}{key:012d}.jpg" for key in range(first, first + 4)]
        draw(*(tmp_path / f"{part}{year}" / name for name in names[part]))
        file = tmp_path / "annotations" / f"captions_{part}{year}.json"
        write_coco(file, names[part], captions=first + 1, first=first)
    write(tmp_path / "annotations" / f"instances_train{year}.json", "{}")
    pairs = open_pairs(str(tmp_path))
    assert pairs.source == f"coco:{tmp_path}"
    assert pairs.take("train").image_ids == tuple(names["train"])
    assert pairs.take("dev").image_ids == tuple(names["val"])
    assert len(pairs.take("train").texts) == 4 * 2 and len(pairs.take("dev").texts) == 4 * 12
    assert pairs.take("train").texts[:2] == (f"{names['train'][0]} 0", f"{names['train'][0]} 1")
    assert all(path.is_file() for path in pairs.image_paths)
    one = open_pairs(str(tmp_path / "annotations" / f"captions_val{year}.json"))
    assert one.splits() == {"train": 2, "dev": 1, "test": 1}


@pytest.mark.parametrize("pictures", ["train2017", "images/train2017", "images", "."])
@pytest.mark.parametrize("captions", ["annotations", "."])
def test_coco_finds_its_pictures(tmp_path, monkeypatch, pictures, captions):
    if pictures == "." != captions:
        pictures = captions  # pictures lie beside the captions or in a folder of their own
    draw(*(tmp_path / pictures / f"{n}.jpg" for n in "abc"))
    file = write_coco(
        tmp_path / captions / "captions_train2017.json", ["a.jpg", "b.jpg", "c.jpg"], captions=1
    )
    assert links(open_pairs(str(file))) == {(f"{n}.jpg", f"{n}.jpg 0") for n in "abc"}
    monkeypatch.chdir(file.parent)
    assert len(open_pairs(file.name).image_ids) == 3


def test_coco_reports_what_it_leaves_out(tmp_path):
    draw(tmp_path / "images" / "a.jpg", tmp_path / "images" / "silent.jpg", tmp_path / "out.jpg")
    names = ["a.jpg", "absent.jpg", "../out.jpg", str(tmp_path / "out.jpg")]
    file = write_coco(tmp_path / "captions.json", names, captions=1)
    content = json.loads(file.read_text("utf-8"))
    content["images"] += [{"id": 9, "file_name": "silent.jpg"}, {"id": 10}, 7]
    content["annotations"] += [{"image_id": 99, "caption": "x"}, {"image_id": 1}, {"image_id": []}]
    file.write_text(json.dumps(content), "utf-8")
    pairs = open_pairs(str(file))
    # A path from the root is taken where it stays inside, whatever the data set's place.
    assert links(pairs) == {("a.jpg", "a.jpg 0"), ("out.jpg", f"{tmp_path}/out.jpg 0")}
    assert problems(pairs) == {
        "absent.jpg": "there is no such picture",
        "../out.jpg": OUTSIDE,
        "silent.jpg": "has no captions",
        "images[5]": "lacks an id or a file_name",
        "images[6]": "lacks an id or a file_name",
        "annotations[4]": "lacks a caption or a known image_id",
        "annotations[5]": "lacks a caption or a known image_id",
        "annotations[6]": "lacks a caption or a known image_id",
    }


def test_coco_of_two_years_asks_for_one(tmp_path):
    for year in ("2014", "2017"):
        write_coco(tmp_path / "annotations" / f"captions_train{year}.json", ["a.jpg"])
    with pytest.raises(DataError, match=r"captions_train2014\.json, captions_train2017\.json"):
        open_pairs(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "needs a column named image"),
        ('{"annotations": 1}', "lacks the lists images and annotations"),
        ("{}", "is not a data set that visita knows"),
        ('{"images": {}, "annotations": []}', "lacks the lists"),
        ('{"images": [', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"images": [], "annotations": []}', "no image with a text is left"),
    ],
)
def test_json_that_is_not_coco_is_refused(tmp_path, content, message):
    (tmp_path / "x.json").write_text(content, "utf-8")
    with pytest.raises(DataError, match=message):
        open_pairs(str(tmp_path / "x.json"))


# Folder


def test_folder_pairs_pictures_with_text_files(tmp_path):
    draw(tmp_path / "b.JPG", tmp_path / "deep" / "a.png", tmp_path / "deep" / "v1.2.webp")
    draw(tmp_path / "lonely.gif", tmp_path / "blank.png", tmp_path / "latin.png")
    write(tmp_path / "b.txt", "\ufeffone", "", "  two  ", "one")
    write(tmp_path / "deep" / "a.txt", "line\u2028separator\x85 stays")
    (tmp_path / "deep" / "v1.2.txt").write_bytes(b"dos\r\nends\r\n")
    draw(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.txt")
    write(tmp_path / "blank.txt", " ", "")
    write(tmp_path / "latin.txt", "caf\xe9", encoding="latin-1")
    pairs = open_pairs(f"folder:{tmp_path}")
    assert pairs.image_ids == ("b.JPG", "deep/a.png", "deep/v1.2.webp")
    assert pairs.texts == ("one", "two", "one", "line\u2028separator\x85 stays", "dos", "ends")
    assert pairs.truth.toarray().sum(1).tolist() == [3, 1, 2]
    found = problems(pairs)
    assert found.pop("latin.png").endswith("is not UTF-8 (byte 3 is 0xe9); save it as UTF-8.")
    assert found == {
        "lonely.gif": "has no text file beside it",
        "pipe.png": "has no text file beside it",
        "blank.png": "its text file is empty",
    }


def test_pictures_that_share_a_text_file_share_its_texts(tmp_path):
    draw(tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "b.png")
    write(tmp_path / "a.txt", "first", "second")
    write(tmp_path / "b.txt", "first")
    pairs = open_pairs(str(tmp_path))
    assert pairs.texts == ("first", "second", "first")
    assert pairs.truth.toarray().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_folder_splits_are_drawn_by_the_seed_and_do_not_depend_on_the_place(tmp_path):
    paths = draw_pairs(tmp_path / "drawn", n=40, seed=3)
    one, other = open_pairs(str(tmp_path / "drawn")), open_pairs(str(tmp_path / "drawn"), seed=1)
    assert one.splits() == other.splits() == {"train": 28, "dev": 6, "test": 6}
    assert one.fingerprint() != other.fingerprint()
    assert one.image_ids == tuple(path.name for path in paths)
    assert len(one.texts) == 120 and one.problems == ()
    assert len({decode(path).tobytes() for path in one.image_paths}) == 40
    moved = (tmp_path / "drawn").rename(tmp_path / "moved")
    assert open_pairs(str(moved)).fingerprint() == one.fingerprint()


def test_folder_with_a_name_that_is_not_utf8(tmp_path):
    stray = tmp_path / os.fsdecode(b"caf\xe9.png")
    draw(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(stray)
    write(stray.with_suffix(".txt"), "a café")
    pairs = open_pairs(str(tmp_path))
    assert pairs.image_ids == (r"caf\udce9.png",)
    assert decode(pairs.image_paths[0]).mode == "RGB"
    assert len(pairs.fingerprint()) == 16


def test_folder_without_texts_is_refused(tmp_path):
    draw(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"no image with a text is left to use. a.png: has no text"):
        open_pairs(f"folder:{tmp_path}")
    with pytest.raises(DataError, match="Not a directory"):
        open_pairs(f"folder:{tmp_path / 'a.png'}")


# Table

ROWS = [
    {"File": "img/a.png", "Caption": "a dog", "other": 1},
    {"File": "./img/a.png", "Caption": " a hound ", "other": 2},
    {"File": "img\\b.png", "Caption": "a dog", "other": 3},
    {"File": "img/c.png", "Caption": 'a "cat",\ntwo lines', "other": 4},
]
LINKS = {
    ("img/a.png", "a dog"),
    ("img/a.png", "a hound"),
    ("img/b.png", "a dog"),
    ("img/c.png", 'a "cat",\ntwo lines'),
}


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    else:
        quoted = [
            [str(row.get(column, "")).replace('"', '""') for column in columns] for row in rows
        ]
        delimiter = {".csv": ",", ".tsv": "\t"}[path.suffix]
        lines = [delimiter.join(f'"{cell}"' for cell in cells) for cells in [columns, *quoted]]
        path.write_bytes("\r\n".join(["\ufeff" + lines[0], *lines[1:], ""]).encode())
    return path


@pytest.fixture
def table_folder(tmp_path):
    draw(*(tmp_path / "set" / "img" / f"{name}.png" for name in "abc"))
    draw(tmp_path / "outside.png")
    return tmp_path / "set"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
def test_tables_are_many_to_many(table_folder, suffix):
    pairs = open_pairs(str(write_table(table_folder / f"pairs{suffix}", ROWS)))
    assert pairs.source == f"table:{table_folder}/pairs{suffix}"
    assert pairs.image_ids == ("img/a.png", "img/b.png", "img/c.png")
    assert pairs.texts == ("a dog", "a hound", 'a "cat",\ntwo lines')
    assert links(pairs) == LINKS
    assert pairs.problems == ()
    images, texts = pairs.components()
    assert images[0] == images[1] == texts[0] == texts[1] != images[2] == texts[2]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_cell_may_list_several_texts(table_folder, suffix):
    rows = [{"image": "img/a.png", "text": ["one", "two"]}, {"image": "img/b.png", "text": ["two"]}]
    pairs = open_pairs(str(write_table(table_folder / f"pairs{suffix}", rows)))
    assert links(pairs) == {("img/a.png", "one"), ("img/a.png", "two"), ("img/b.png", "two")}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_split_column_is_obeyed_and_never_crossed(table_folder, suffix):
    rows = [
        {"path": "img/a.png", "title": "same", "SPLIT": "Training"},
        {"path": "img/b.png", "title": "same", "SPLIT": "val"},
        {"path": "img/b.png", "title": "extra", "SPLIT": "test"},
        {"path": "img/c.png", "title": "last", "SPLIT": "test"},
        {"path": "img/c.png", "title": "never", "SPLIT": "holdout"},
        {"path": "img/c.png", "title": "never", "SPLIT": "holdout"},
    ]
    pairs = open_pairs(str(write_table(table_folder / f"pairs{suffix}", rows)))
    assert pairs.image_split.tolist() == ["train", "dev", "test"]
    assert pairs.texts == ("same", "same", "extra", "last")
    assert pairs.text_split.tolist() == ["train", "dev", "dev", "test"]
    assert links(pairs) == {
        ("img/a.png", "same"),
        ("img/b.png", "same"),
        ("img/b.png", "extra"),
        ("img/c.png", "last"),
    }
    (crossing,) = [one for one in pairs.problems if "stays" in one.reason]
    assert crossing.reason == "img/b.png is in test too; it stays in dev"
    assert problems(pairs)["2 rows"] == "have split 'holdout', not train, dev or test"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_must_not_lead_out_of_its_folder(table_folder, suffix):
    names = ["img/a.png", "../outside.png", "img/../../outside.png", "..\\outside.png"]
    names += [str(table_folder.parent / "outside.png"), str(table_folder / "img" / "b.png")]
    rows = [{"image": name, "text": f"text {number}"} for number, name in enumerate(names)]
    file = write_table(table_folder / f"pairs{suffix}", rows)
    pairs = open_pairs(str(file))
    assert links(pairs) == {("img/a.png", "text 0"), ("img/b.png", "text 5")}
    assert problems(pairs) == {"../outside.png": OUTSIDE, names[4]: OUTSIDE}
    allowed = open_pairs(str(file), root=table_folder.parent)
    assert links(allowed) == links(pairs) | {("outside.png", f"text {n}") for n in range(1, 5)}
    assert allowed.problems == ()


def test_odd_rows_are_reported_and_the_rest_is_read(table_folder):
    file = write(
        table_folder / "pairs.jsonl",
        '{"image": "img/a.png", "text": "good"}',
        "",
        "not json",
        "[1, 2]",
        '{"image": 5, "text": "number"}',
        '{"text": "no image"}',
        '{"image": "img/b.png"}',
        '{"image": "img/b.png", "text": ["", 7, "half \\ud83d pair"]}',
        '{"image": "nul\\u0000.png", "text": "x"}',
        '{"image": "half\\ud83d.png", "text": "x"}',
        json.dumps({"image": "long" * 5000, "text": "x"}),
        "[" * 100_000,
    )
    pairs = open_pairs(str(file))
    assert links(pairs) == {("img/a.png", "good"), ("img/b.png", "half ? pair")}
    found = problems(pairs)
    assert found.pop("long" * 5000) == "cannot be read: File name too long"
    assert found == {
        "pairs.jsonl:3": "is not a JSON object",
        "pairs.jsonl:4": "is not a JSON object",
        "pairs.jsonl:5": "names no picture",
        "pairs.jsonl:6": "names no picture",
        "pairs.jsonl:7": "has no text",
        "pairs.jsonl:8": "has no text",
        "img/b.png": "has an empty text",
        "nul\0.png": "there is no such picture",
        r"half\ud83d.png": "there is no such picture",
        "pairs.jsonl:12": "is not a JSON object",
    }
    assert len(pairs.fingerprint()) == 16


def test_short_csv_rows_are_reported_by_line(table_folder):
    file = write(table_folder / "pairs.csv", "image,text", "img/a.png", "", "img/b.png,ok,,")
    pairs = open_pairs(str(file))
    assert links(pairs) == {("img/b.png", "ok")}
    assert problems(pairs) == {"pairs.csv:2": "has no text"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_missing_columns_are_named(table_folder, suffix):
    file = write_table(table_folder / f"x{suffix}", [{"Picture": "img/a.png", "words": "x"}])
    with pytest.raises(DataError, match=r"named image or file.*its columns: 'Picture', 'words'"):
        open_pairs(str(file))
    file = write_table(table_folder / f"y{suffix}", [{"IMAGE": "img/a.png", "words": "x"}])
    with pytest.raises(DataError, match=r"named text or caption.*its columns: 'IMAGE', 'words'"):
        open_pairs(str(file))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "its columns: none"),
        ("x.jsonl", b"", "its columns: none"),
        ("x.csv", b"image,text\n", "no image with a text is left"),
        ("x.csv", b"image,text\na.png,caf\xe9\n", "byte 20 is 0xe9"),
        ("x.csv", b"\xef\xbb\xbfimage,text\na.png,caf\xe9\n", "byte 23 is 0xe9"),
        ("x.csv", b"\xff\xfei\0m\0", "byte 0 is 0xff"),
        ("x.csv", b'image,text\na.png,"' + b"x" * 200_000, "field larger than field limit"),
        ("x.parquet", b"PAR1 not really", "is not readable as Parquet"),
    ],
)
def test_unreadable_tables_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_pairs(str(tmp_path / name))


@pytest.mark.slow
def test_parquet_without_the_extra_says_what_to_install(table_folder):
    file = write_table(table_folder / "pairs.parquet", ROWS)
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from visita.data import open_pairs; from visita.errors import MissingExtraError\n"
        "try: open_pairs(sys.argv[1])\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, encoding="utf-8", check=True
    )
    assert "reading Parquet needs an extra" in done.stdout
    assert "visita[parquet]" in done.stdout


# Which reader


def test_readers_are_told_apart_by_content(flickr8k, tmp_path):
    draw(tmp_path / "folder" / "a.png")
    write(tmp_path / "folder" / "a.txt", "words")
    write_coco(tmp_path / "coco" / "annotations" / "captions_val2017.json", ["a.jpg"])
    draw(tmp_path / "coco" / "val2017" / "a.jpg")
    draw(tmp_path / "table" / "a.png")
    write(tmp_path / "table" / "pairs.CSV", "image,text", "a.png,words")
    found = {
        open_pairs(str(path)).source.partition(":")[0]
        for path in (
            flickr8k,
            tmp_path / "coco",
            tmp_path / "folder",
            tmp_path / "table" / "pairs.CSV",
        )
    }
    assert found == {"flickr8k", "coco", "folder", "table"}  # others have a file of tests each


def test_a_folder_that_is_two_things_asks_which(flickr8k, table_folder):
    write(table_folder / "img" / "a.txt", "words")
    write(table_folder / "metadata.csv", "file_name,text", "img/a.png,word")
    with pytest.raises(DataError, match=r"could be folder or table\. Put the reader's name first"):
        open_pairs(str(table_folder))
    write(flickr8k / "Images" / "a.txt", "words")
    assert open_pairs(str(flickr8k)).source == f"flickr8k:{flickr8k}"  # its names are its own
    assert open_pairs(f"folder:{flickr8k}").image_ids == ("Images/a.jpg",)


def test_what_no_reader_knows_lists_them_all(tmp_path):
    draw(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(DataError, match="is not a data set that visita knows") as caught:
            open_pairs(str(path))
        for name in READERS.names():
            assert f"{name}: a" in str(caught.value)


@pytest.mark.parametrize(
    "spec", ["/no/such/place", "C:\\data\\pairs.csv", "no/such:place", "folder:/no/such", "", ":"]
)
def test_a_missing_path_says_so(spec):
    with pytest.raises(DataError, match=r"does not exist|is not a data set"):
        open_pairs(spec)


def test_a_misspelt_reader_gets_a_hint(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'flickr8k'"):
        open_pairs(f"flikr8k:{tmp_path}")
    with pytest.raises(UnknownNameError, match="No reader is called 'http'"):
        open_pairs("http://example.com/pairs.csv")


def test_paths_may_hold_colons(tmp_path, monkeypatch):
    for name in ("my:pictures", "c:x", "coco5:x"):
        draw(tmp_path / name / "a:b.png")
        write(tmp_path / name / "a:b.txt", "words")
    monkeypatch.chdir(tmp_path)
    specs = ["my:pictures", "c:x", "coco5:x", f"{tmp_path}/c:x", f"folder:{tmp_path}/my:pictures"]
    for spec in specs:
        assert open_pairs(spec).image_ids == ("a:b.png",)


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    draw(tmp_path / "pics" / "a.png")
    write(tmp_path / "pics" / "a.txt", "words")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_pairs("~/pics").texts == open_pairs("folder:~/pics").texts == ("words",)


def test_a_folder_one_may_not_enter():
    with tempfile.TemporaryDirectory() as name:
        locked = Path(name)
        write(locked / "pairs.csv", "image,text")
        locked.chmod(0)
        with ordinary_user(), pytest.raises(DataError, match="cannot be read: Permission denied"):
            open_pairs(str(locked / "pairs.csv"))
        locked.chmod(0o700)


# The real thing


@pytest.mark.slow
@needs_data
def test_the_real_flickr8k():
    pairs = open_pairs(f"{DATA}/flickr8k")
    train, dev = pairs.take("train"), pairs.take("dev")
    assert (len(train.image_ids), len(train.texts)) == (6000, 30000)
    assert (len(dev.image_ids), len(dev.texts)) == (1000, 5000)
    assert (pairs.truth.sum(axis=1) == 5).all() and (pairs.truth.sum(axis=0) == 1).all()
    first = "A child in a pink dress is climbing up a set of stairs in an entry way ."
    assert ("1000268201_693b08cb0e.jpg", first) == (train.image_ids[0], train.texts[0])
    assert [(one.item, one.reason) for one in pairs.problems] == [
        (
            "3050606344_af711c726c.jpg",
            "is the same picture as 2851198725_37b6027625.jpg; both are kept",
        )
    ]


@needs_data
def test_the_real_coco():
    pairs = open_pairs(f"{DATA}/coco80")
    assert (len(pairs.image_ids), len(pairs.texts)) == (80, 400)
    assert pairs.splits() == {"train": 56, "dev": 12, "test": 12}
    assert (pairs.truth.sum(axis=1) == 5).all()
    assert pairs.problems == ()
    one = open_pairs(f"{DATA}/coco80/annotations/captions_train2017.json")
    assert one.fingerprint() == pairs.fingerprint()
    text = "An airport filled with large passenger jets parked next to each other."
    assert ("000000125870.jpg", text) in links(pairs)
