"""Layouts in which others keep pictures with texts, in miniature: tables, tars, frames, links."""

import csv
import gzip
import io
import json
import tarfile
from collections import Counter

import datasets
import pandas
import polars
import pyarrow
import pytest
from pyarrow import parquet
from test_data_readers import draw, links, problems, write, write_coco
from typer.main import get_command
from typer.testing import CliRunner

from visita.cli.app import app
from visita.data import check_pairs, open_pairs
from visita.data.readers.bounds import OUTSIDE
from visita.errors import ConfigError, DataError


@pytest.fixture
def pictures(tmp_path):
    """Return a folder with four pictures, a.jpg to d.jpg, in images/."""
    draw(*(tmp_path / "set" / "images" / f"{name}.jpg" for name in "abcd"))
    return tmp_path / "set"


def told(pairs):
    """Return what of the pairs was left out or odd, as data check reports it."""
    found = {one.kind: one for one in check_pairs(pairs).findings}
    return found["left-out"].items if "left-out" in found else ()


# Tables as text


@pytest.mark.parametrize(
    ("name", "delimiter"), [("x.csv", ";"), ("x.csv", "\t"), ("x.csv", "|"), ("x.tsv", ",")]
)
def test_what_parts_the_cells_is_seen_in_the_header(pictures, name, delimiter, capsys):
    rows = [["image_name", " comment_number", " comment"], ["a.jpg", " 0", " one, two"]]
    rows += [["b.jpg", " 1", ' "three", four']]
    quoted = [[f'"{cell}"' if delimiter == "," else cell for cell in row] for row in rows]
    quoted[2][2] = '"three"'
    file = write(pictures / name, *(delimiter.join(row) for row in quoted))
    assert links(open_pairs(str(file))) == {("images/a.jpg", "one, two"), ("images/b.jpg", "three")}
    assert capsys.readouterr().err == ""


def test_a_comma_without_quotes_stays_in_the_text_and_is_told(pictures, capsys):
    lines = ["image,text", "a.jpg,a dog, running, fast", 'b.jpg,"a cat, quoted"', "c.jpg,a cow,"]
    pairs = open_pairs(str(write(pictures / "pairs.csv", *lines)))
    assert links(pairs) == {
        ("images/a.jpg", "a dog, running, fast"),
        ("images/b.jpg", "a cat, quoted"),
        ("images/c.jpg", "a cow"),
    }
    warning = "has a ',' in its text without quotes around it; the text is kept whole"
    assert capsys.readouterr().err == f"warning: pairs.csv:2 {warning}\n"
    assert told(pairs) == (f"pairs.csv:2: {warning}",)


def test_of_many_such_rows_ten_are_told_and_the_rest_counted(pictures, capsys):
    lines = ["image,text", *(f"a.jpg,dog {number}, running" for number in range(13))]
    pairs = open_pairs(str(write(pictures / "pairs.csv", *lines)))
    told_lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in told_lines[:10]] == [f"pairs.csv:{n}" for n in range(2, 12)]
    assert told_lines[10:] == ["warning: 3 more rows of pairs.csv are like these"]
    assert len(pairs.problems) == 13


def test_a_comma_whose_cell_is_unclear_leaves_its_row_out_by_name(pictures):
    lines = ["text,image", "a dog, running,a.jpg", "a cat,b.jpg"]
    pairs = open_pairs(str(write(pictures / "pairs.csv", *lines)))
    assert links(pairs) == {("images/b.jpg", "a cat")}
    assert problems(pairs)["pairs.csv:2"].startswith("has 3 cells for 2 columns, and which belong")


# What may be read


def test_links_stay_inside_unless_their_root_is_named(pictures, tmp_path):
    draw(tmp_path / "private" / "secret.jpg")
    (pictures / "images" / "out.jpg").symlink_to(tmp_path / "private" / "secret.jpg")
    (pictures / "images" / "in.jpg").symlink_to(pictures / "images" / "a.jpg")
    (pictures / "linked").symlink_to(tmp_path / "private")
    names = ["images/out.jpg", "images/in.jpg", "linked/secret.jpg"]
    file = write(pictures / "x.csv", "image,text", *(f"{name},words" for name in names))
    pairs = open_pairs(str(file))
    assert pairs.image_ids == ("images/in.jpg",)
    assert problems(pairs) == {names[0]: OUTSIDE, names[2]: OUTSIDE}
    assert open_pairs(str(file), root=[tmp_path / "private"]).image_ids == tuple(names)


def test_every_command_that_reads_pairs_takes_roots(pictures, tmp_path):
    draw(tmp_path / "private" / "secret.jpg")
    file = write(pictures / "x.csv", "image,text", "a.jpg,words", "../private/secret.jpg,words")
    check = ["data", "check", str(file), "--json"]
    told = json.loads(CliRunner().invoke(app, check).stdout)
    assert told["images"] == 1
    assert told["findings"][0]["items"] == [f"../private/secret.jpg: {OUTSIDE}"]
    told = json.loads(CliRunner().invoke(app, [*check, "--root", str(tmp_path / "private")]).stdout)
    assert told["images"] == 2 and told["findings"][0]["kind"] != "left-out"
    commands = [get_command(app)]
    readers = []
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        names = {parameter.name for parameter in command.params}
        if names & {"data", "pairs", "past"}:
            readers.append(command.name)
            assert "root" in names, command.name
    assert {"evaluate", "compare", "fuse", "robustness", "baseline", "articles"} <= set(readers)


def test_a_text_beside_a_picture_is_no_way_out_either(pictures, tmp_path):
    write(tmp_path / "secret.txt", "a secret")
    write(pictures / "images" / "a.txt", "words")
    (pictures / "images" / "b.txt").symlink_to(tmp_path / "secret.txt")
    pairs = open_pairs(f"folder:{pictures}")
    assert pairs.texts == ("words",)
    assert problems(pairs)["images/b.jpg"] == f"its text file {OUTSIDE}"


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("Flickr8k.token.txt", "flickr8k"),
        ("results_20130124.token", "flickr30k"),
        ("annotations/captions_val2017.json", "coco"),
        ("trainMatching.txt", "sohu"),
    ],
)
def test_files_of_a_set_are_no_links_out_of_it(pictures, tmp_path, name, layout):
    write(tmp_path / "elsewhere", "a.jpg#0\tsecret")
    for folder in ("annotations", "News_info_train", "News_pic_info_train"):
        (pictures / folder).mkdir()
    (pictures / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="lies outside the data set's folder; --root DIR allows"):
        open_pairs(f"{layout}:{pictures}")


def test_pictures_in_a_root_are_found_by_their_names_alone(tmp_path):
    draw(tmp_path / "pictures" / "a.jpg")
    file = write(tmp_path / "texts" / "x.csv", "image,text", "a.jpg,words")
    with pytest.raises(DataError, match=r"a\.jpg: there is no such picture"):
        open_pairs(str(file))
    pairs = open_pairs(str(file), root=tmp_path / "pictures")
    assert pairs.image_paths == (tmp_path / "pictures" / "a.jpg",)
    with pytest.raises(DataError, match=r"The root .*nowhere is not a folder"):
        open_pairs(str(file), root=tmp_path / "nowhere")


# COCO


def test_an_image_id_of_two_pictures_leaves_both_out(pictures, capsys):
    file = write_coco(pictures / "captions.json", ["a.jpg", "b.jpg", "c.jpg"], captions=1)
    content = json.loads(file.read_text("utf-8"))
    content["images"][1]["id"] = 1
    content["images"].append(content["images"][2])  # the same entry twice does no harm
    file.write_text(json.dumps(content), "utf-8")
    pairs = open_pairs(str(file))
    assert links(pairs) == {("c.jpg", "c.jpg 0")}
    found = problems(pairs)["image id 1"]
    assert found == "is a.jpg and b.jpg: whose the captions are is unclear; both are left out"
    assert "image id 1 is of several pictures" in capsys.readouterr().err
    assert any(item.startswith("image id 1: is a.jpg and b.jpg") for item in told(pairs))


def test_pictures_of_one_name_in_train_and_val_are_two(tmp_path):
    for part in ("train", "val"):
        draw(tmp_path / f"{part}2017" / "1.jpg", tmp_path / f"{part}2017" / f"{part}.jpg")
        file = tmp_path / "annotations" / f"captions_{part}2017.json"
        write_coco(file, ["1.jpg", f"{part}.jpg"], captions=1)
    pairs = open_pairs(str(tmp_path))
    assert pairs.image_ids == ("train2017/1.jpg", "train.jpg", "val2017/1.jpg", "val.jpg")
    assert pairs.image_split.tolist() == ["train", "train", "dev", "dev"]
    assert pairs.truth.toarray().sum(1).tolist() == [1, 1, 1, 1]


# Hugging Face


def test_the_image_folder_of_hugging_face(tmp_path):
    for part in ("train", "validation", "test"):
        draw(tmp_path / part / "1.png", tmp_path / part / "2.png")
        lines = [json.dumps({"file_name": f"{n}.png", "text": f"{part} {n}"}) for n in (1, 2)]
        write(tmp_path / part / "metadata.jsonl", *lines)
    pairs = open_pairs(str(tmp_path))
    assert pairs.splits() == {"train": 2, "dev": 2, "test": 2}
    assert ("validation/2.png", "validation 2") in links(pairs) and len(links(pairs)) == 6
    (tmp_path / "test" / "metadata.jsonl").unlink()
    write(tmp_path / "test" / "metadata.csv", "file_name,text", "1.png,now CSV")
    assert open_pairs(str(tmp_path)).take("test").texts == ("now CSV",)
    whole = open_pairs(str(tmp_path / "train"))
    assert whole.source == f"table:{tmp_path / 'train'}" and len(whole.image_ids) == 2


def image_rows(pictures, kind):
    rows = []
    for name in "abca":
        raw = (pictures / "images" / f"{name}.jpg").read_bytes()
        held = {"bytes": raw, "path": f"{name}.jpg"} if kind == "struct" else raw
        rows.append({"image": held, "caption": [f"{name} one", f"{name} two"]})
    return rows


@pytest.mark.parametrize("kind", ["struct", "bytes"])
def test_parquet_with_the_pictures_in_it(pictures, tmp_path, kind, home):
    rows = image_rows(pictures, kind)
    file = tmp_path / "alone" / "data.parquet"
    file.parent.mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    pairs = open_pairs(str(file))
    assert len(pairs.image_ids) == 3 and len(pairs.texts) == 6
    assert pairs.image_ids[:2] == ("a.jpg", "b.jpg") or kind == "bytes"
    kept = home / "cache" / "pictures"
    assert all(path.is_relative_to(kept) for path in pairs.image_paths)
    assert [p.read_bytes() for p in pairs.image_paths] == [
        (pictures / "images" / f"{name}.jpg").read_bytes() for name in "abc"
    ]
    assert open_pairs(str(file)).fingerprint() == pairs.fingerprint()
    assert told(pairs) == ()


def test_parquet_by_split_and_what_is_no_picture_in_it(pictures, tmp_path):
    rows = image_rows(pictures, "struct")
    hostile = {"bytes": b"MZ no picture", "path": "../../../evil.jpg"}
    for part, some in (("train", [*rows, {**rows[0], "image": hostile}]), ("test", rows[1:2])):
        file = tmp_path / "hub" / "data" / f"{part}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(some), file)
    draw(tmp_path / "hub" / "unrelated.png")
    pairs = open_pairs(str(tmp_path / "hub"))
    # What is b.jpg in train, with the same bytes, is b.jpg in test too, and stays in train.
    assert pairs.splits() == {"train": 3, "dev": 0, "test": 0}
    assert "b.jpg is in test too; it stays in train" in set(problems(pairs).values())
    assert problems(pairs)["../../../evil.jpg"] == OUTSIDE


def test_two_pictures_of_one_name_in_parquet_are_two(pictures, tmp_path):
    rows = image_rows(pictures, "struct")[:2]
    for row in rows:
        row["image"]["path"] = "image.jpg"
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    pairs = open_pairs(str(tmp_path / "x.parquet"))
    assert len(set(pairs.image_ids)) == 2 and len(set(pairs.image_paths)) == 2
    assert pairs.truth.toarray().sum(1).tolist() == [2, 2]


# Lists, CSV and folders of others


def test_lists_of_blip_and_lavis(tmp_path):
    draw(*(tmp_path / "images" / "val2014" / f"COCO_{n}.jpg" for n in range(4)))
    named = [{"image": f"val2014/COCO_{n}.jpg", "image_id": f"coco_{n}"} for n in range(4)]
    parts = {
        "coco_karpathy_train.json": [{**named[0], "caption": c} for c in ("one", "two")],
        "coco_karpathy_val.json": [{**named[1], "caption": ["three", "four"]}],
        "coco_karpathy_test.json": [{**named[2], "caption": ["five"]}],
    }
    for name, content in parts.items():
        write(tmp_path / "annotations" / name, json.dumps(content))
    for path in (tmp_path, tmp_path / "annotations"):
        pairs = open_pairs(str(path))
        assert pairs.splits() == {"train": 1, "dev": 1, "test": 1}
        assert pairs.texts == ("one", "two", "three", "four", "five")
        assert pairs.image_ids[2] == "images/val2014/COCO_2.jpg"
    one = open_pairs(str(tmp_path / "annotations" / "coco_karpathy_train.json"))
    assert one.source.startswith("table:") and one.texts == ("one", "two")


def test_conversations_of_llava(pictures):
    asked = {"from": "human", "value": "<image>\nWhat is shown?"}
    content = [
        {
            "id": name,
            "image": f"{name}.jpg",
            "conversations": [asked, {"from": "gpt", "value": f"A picture of {name}."}],
        }
        for name in "ab"
    ]
    content.append({"id": "text alone", "conversations": []})
    file = write(pictures / "llava_instruct.json", json.dumps(content))
    pairs = open_pairs(str(file))
    assert links(pairs) == {(f"images/{n}.jpg", f"A picture of {n}.") for n in "ab"}
    assert problems(pairs) == {"llava_instruct.json[2]": "names no picture"}


def test_flickr8k_of_kaggle(tmp_path, capsys):
    draw(*(tmp_path / "one" / "Images" / f"{n}.jpg" for n in range(4)))
    lines = [f"{n}.jpg,A dog {n} , running ." for n in range(4) for _ in range(2)]
    write(tmp_path / "one" / "captions.txt", "image,caption", *lines)
    pairs = open_pairs(str(tmp_path / "one"))
    assert pairs.source == f"flickr8k:{tmp_path / 'one'}"
    assert pairs.texts[0] == "A dog 0 , running ." and len(pairs.texts) == 8
    assert "splits are drawn, 70 / 15 / 15" in capsys.readouterr().err
    two = tmp_path / "two"
    (two / "Flickr8k_Dataset").mkdir(parents=True)
    (tmp_path / "one" / "Images").rename(two / "Flickr8k_Dataset" / "Images")
    write(two / "Flickr8k_text" / "captions.txt", "image,caption", *lines)
    write(two / "Flickr8k_text" / "Flickr_8k.trainImages.txt", "0.jpg", "1.jpg")
    write(two / "Flickr8k_text" / "Flickr_8k.devImages.txt", "2.jpg")
    apart = open_pairs(str(two))
    assert apart.splits() == {"train": 2, "dev": 1, "test": 0}
    assert apart.image_ids == ("0.jpg", "1.jpg", "2.jpg")


def test_flickr30k_of_nlphuji(tmp_path):
    draw(*(tmp_path / "flickr30k-images" / f"{n}.jpg" for n in range(3)))
    rows = [
        [json.dumps([f'a "quoted" {n}', f"b, {n}"]), str([n]), split, f"{n}.jpg", n]
        for n, split in enumerate(("train", "val", "test"))
    ]
    rows[2][0] = str(["it's", 'a "2"'])  # as Python writes a list
    out = io.StringIO()
    csv.writer(out).writerows([["raw", "sentids", "split", "filename", "img_id"], *rows])
    file = write(tmp_path / "flickr_annotations_30k.csv", out.getvalue())
    pairs = open_pairs(str(file))
    assert pairs.splits() == {"train": 1, "dev": 1, "test": 1}
    assert pairs.texts == ('a "quoted" 0', "b, 0", 'a "quoted" 1', "b, 1", "it's", 'a "2"')


def test_multi30k(tmp_path):
    names = {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg"], "test_2016_flickr": ["d.jpg"]}
    draw(*(tmp_path / "pictures" / name for some in names.values() for name in some))
    task = tmp_path / "multi30k" / "data" / "task1"
    for part, some in names.items():
        write(task / "image_splits" / f"{part}.txt", *some)
        for language in ("en", "de"):
            text = "".join(f"{language} {name}\n" for name in some)
            (task / "raw").mkdir(exist_ok=True)
            (task / "raw" / f"{part}.{language}.gz").write_bytes(gzip.compress(text.encode()))
    (task / "raw" / "train.fr").write_text("seule\n", "utf-8")
    with pytest.raises(DataError, match="or named by --root"):
        open_pairs(str(tmp_path / "multi30k"))
    pairs = open_pairs(str(tmp_path / "multi30k"), root=tmp_path / "pictures")
    assert pairs.splits() == {"train": 2, "dev": 1, "test": 1}
    assert links(pairs) == {
        (n, f"{g} {n}") for s in names.values() for n in s for g in ("en", "de")
    }
    assert Counter(pairs.text_languages) == {"en": 4, "de": 4}
    assert problems(pairs) == {"train.fr": "has 1 lines, and train.txt 2; left out"}


# WebDataset


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_webdataset_as_img2dataset_writes_it(pictures, tmp_path):
    raw = {name: (pictures / "images" / f"{name}.jpg").read_bytes() for name in "abcd"}
    notes = json.dumps({"caption": "from notes", "url": "https://example.com"}).encode()
    files = {
        "000000000.jpg": raw["a"],
        "000000000.txt": "a café".encode(),
        "000000000.json": notes,
        "000000001.jpg": raw["b"],
        "000000001.json": notes,
        "deep/x.jpg": raw["c"],
        "../../escape.jpg": raw["d"],
        "../../escape.txt": b"kept by its content",
        "deep/lonely.txt": b"no picture",
    }
    write_tar(tmp_path / "set" / "00000.tar", files)
    row = {"key": "000000000", "url": "https://example.com/a.jpg", "caption": "a"}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "set" / "00000.parquet")
    pairs = open_pairs(str(tmp_path / "set"))
    assert pairs.source == f"webdataset:{tmp_path / 'set'}"
    found = dict(links(pairs))
    assert found["00000/000000000.jpg"] == "a café"
    assert found["00000/000000001.jpg"] == "from notes"
    assert [path.read_bytes() for path in pairs.image_paths[:2]] == [raw["a"], raw["b"]]
    assert problems(pairs) == {
        "00000/deep/x": "has no text beside it",
        "00000/deep/lonely": "has no picture beside it",
        "00000/../../escape.jpg": OUTSIDE,
    }
    assert not list(tmp_path.rglob("escape*"))
    with pytest.raises(DataError, match=r"what img2dataset fetched: name the \.tar files"):
        open_pairs(str(tmp_path / "set" / "00000.parquet"))


def test_tars_named_for_splits(pictures, tmp_path):
    for part in ("train", "val", "test"):
        raw = (pictures / "images" / "a.jpg").read_bytes() + part.encode()
        write_tar(tmp_path / f"mine-{part}-000.tar", {"1.jpg": raw, "1.txt": part.encode()})
    pairs = open_pairs(str(tmp_path))
    assert pairs.splits() == {"train": 1, "dev": 1, "test": 1}
    assert pairs.take("dev").texts == ("val",)


@pytest.mark.parametrize(
    "content",
    [b"", b"no tar" * 100, gzip.compress(b"\0" * 10_000, mtime=0)],
    ids=["empty", "text", "gzip"],
)
def test_what_is_no_tar_is_refused(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as a tar|no image with a text"):
        open_pairs(str(tmp_path / "x.tar"))


# Frames


ROWS = {"image": ["images/a.jpg", "images/b.jpg"], "caption": ["one", ["two", "three"]]}


@pytest.mark.parametrize("library", [pandas, polars])
def test_frames_are_pairs(pictures, monkeypatch, library):
    monkeypatch.chdir(pictures)
    columns = {**ROWS, "caption": [["one"], ["two", "three"]], "split": ["train", "test"]}
    pairs = open_pairs(library.DataFrame(columns))
    assert pairs.source == f"{library.__name__}:DataFrame"
    assert links(pairs) == {
        ("images/a.jpg", "one"),
        ("images/b.jpg", "two"),
        ("images/b.jpg", "three"),
    }
    assert pairs.splits() == {"train": 1, "dev": 0, "test": 1}
    assert open_pairs(pairs) is pairs
    full = library.DataFrame({"file": [str(pictures / "images" / "c.jpg")], "text": ["c"]})
    assert open_pairs(full).image_ids == ("images/c.jpg",)
    (pictures / "empty").mkdir()
    monkeypatch.chdir(pictures / "empty")
    assert open_pairs(full).image_paths == (pictures / "images" / "c.jpg",)
    one = open_pairs(
        library.DataFrame({"file": ["d.jpg"], "text": ["d"]}), root=pictures / "images"
    )
    assert one.image_ids == ("d.jpg",)


def test_frames_hold_pictures_too(pictures):
    raw = (pictures / "images" / "a.jpg").read_bytes()
    frame = pandas.DataFrame({"image": [raw, None], "text": ["words", "no picture"]})
    pairs = open_pairs(frame)
    assert pairs.image_paths[0].read_bytes() == raw
    assert problems(pairs) == {"row 1": "names no picture"}


def test_data_sets_of_hugging_face_are_pairs(pictures):
    def made(names):
        columns = {
            "image": [str(pictures / "images" / f"{name}.jpg") for name in names],
            "caption": [[f"{name} 1", f"{name} 2"] for name in names],
        }
        return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())

    pairs = open_pairs(made("ab"))
    assert pairs.source == "datasets:Dataset"
    assert pairs.texts == ("a 1", "a 2", "b 1", "b 2")
    assert pairs.image_paths[1].name == "b.jpg"
    parts = datasets.DatasetDict(train=made("ab"), validation=made("c"), test=made("d"))
    assert open_pairs(parts).splits() == {"train": 2, "dev": 1, "test": 1}
    with pytest.raises(DataError, match="The split 'extra' is none of train, validation and test"):
        open_pairs(datasets.DatasetDict(extra=made("a")))


@pytest.mark.parametrize("wrong", [None, 5, [("a.jpg", "words")], {"image": ["a.jpg"]}, b"x.csv"])
def test_what_is_no_pairs_says_what_is(wrong):
    with pytest.raises(TypeError, match=r"Pairs are READER:PATH, a path, .*; not \w+"):
        open_pairs(wrong)


def test_a_frame_without_the_columns_says_which():
    with pytest.raises(DataError, match=r"needs a column named image .*its columns: 'a', 'b'"):
        open_pairs(pandas.DataFrame({"a": [1], "b": [2]}))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_refused(pictures, seed):
    with pytest.raises(ConfigError, match="A seed is a whole number from 0 to 4,294,967,295"):
        open_pairs(f"folder:{pictures}", seed=seed)


def test_texts_of_a_picture_are_not_millions(pictures, tmp_path):
    table = pyarrow.table({"image": ["a.jpg"], "text": pyarrow.array([["x"] * 20_000])})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match="more than 10,000 values in a row"):
        open_pairs(str(tmp_path / "x.parquet"))
    write(pictures / "images" / "a.txt", "words")
    (pictures / "images" / "b.txt").write_text("x y\n" * 300_000, "utf-8")
    found = problems(open_pairs(f"folder:{pictures}"))["images/b.jpg"]
    assert found.endswith("b.txt is larger than 1,000,000 bytes, the most that is read.")
