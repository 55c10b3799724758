"""Pairs as linked data: written, read back, joined; mlcroissant's view of them; hostile files."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlcroissant
import numpy as np
import pytest
from commands import run
from drawn import draw_pairs
from scipy import sparse
from test_data_readers import links, problems, write

from visita.data import open_pairs
from visita.data.croissant import quietly, write_croissant
from visita.data.join import join_pairs
from visita.data.readers.bounds import OUTSIDE
from visita.errors import DataError, UnknownNameError


def same(one, other):
    """Tell whether ids, texts, truth, splits and files are equal, in their order."""
    return one.fingerprint() == other.fingerprint() and list(
        map(os.path.abspath, one.image_paths)
    ) == list(map(os.path.abspath, other.image_paths))


@pytest.fixture
def folder(tmp_path):
    draw_pairs(tmp_path / "set", 20)
    return tmp_path / "set"


@pytest.fixture
def table(folder):
    """Return a table whose texts match several images, and whose order no reading of it has."""
    rows = [
        ("00003.png", 'a "quoted", text', "train"),
        ("00003.png", "shared", "train"),
        ("00001.png", "shared", "train"),
        ("00001.png", "NA", "train"),
        ("00002.jpg", "007", "dev"),
        ("00002.jpg", "two\nlines \u2028 é 海", "dev"),
        ("00004.jpg", "shared", "test"),
    ]
    lines = (json.dumps(dict(zip(("image", "text", "split"), row, strict=True))) for row in rows)
    return write(folder / "pairs.jsonl", *lines)


def described(file):
    return json.loads(file.read_text("utf-8"))


def rewrite(file, **table):
    """Change properties of the table's description; None removes one."""
    content = described(file)
    content["distribution"][0].update(table)
    file.write_text(json.dumps(content), "utf-8")


# There and back


def test_a_round_trip_changes_nothing(folder, table, tmp_path):
    for spec in (f"folder:{folder}", f"table:{table}"):
        before = open_pairs(spec)
        file = tmp_path / f"{spec.partition(':')[0]}.json"
        assert write_croissant(before, file) == file.with_suffix(".parquet")
        after = open_pairs(f"croissant:{file}")
        assert same(before, after)
        assert after.source == f"croissant:{file}"
        assert after.problems == ()
    assert (after.truth.toarray().sum(axis=0) > 1).any()


def test_order_and_lonely_images_and_texts_survive(folder, tmp_path):
    read = open_pairs(f"folder:{folder}").subset(np.arange(4))
    truth = np.zeros((4, 5), dtype=bool)
    truth[[0, 0, 1, 3], [4, 2, 0, 2]] = True  # image 2 and texts 1 and 3 have no partner
    odd = replace(
        read,
        image_ids=("z", "a b", "c/d", "é"),
        texts=("one", "lonely", "same", "same", "007"),
        truth=sparse.csr_array(truth),
        image_split=np.array(["train", "dev", "test", "train"]),
        text_split=np.array(["dev", "test", "train", "dev", "train"]),
    )
    write_croissant(odd, tmp_path / "odd.json")
    assert same(odd, open_pairs(f"croissant:{tmp_path / 'odd.json'}"))


def test_it_may_be_moved_with_its_pictures(folder, tmp_path):
    before = open_pairs(f"folder:{folder}")
    write_croissant(before, folder / "all.json")
    moved = folder.rename(tmp_path / "elsewhere")
    after = open_pairs(f"croissant:{moved / 'all.json'}")
    assert after.fingerprint() == before.fingerprint()
    assert all(path.is_file() for path in after.image_paths)


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # mlcroissant's
def test_mlcroissant_reads_the_same_records(table):
    pairs = open_pairs(f"table:{table}")
    write_croissant(pairs, table.with_name("all.json"), description="Shapes.", licence="CC0-1.0")
    with quietly():
        found = mlcroissant.Dataset(str(table.with_name("all.json")))
    assert not found.metadata.issues.errors
    assert (found.metadata.name, found.metadata.description) == ("all", "Shapes.")
    assert found.metadata.license == ["CC0-1.0"]
    assert described(table.with_name("all.json"))["conformsTo"].endswith("croissant/1.0")
    records = [
        (row["pairs/image_id"].decode(), row["pairs/text"].decode(), row["pairs/text_id"])
        for row in found.records("pairs")
    ]
    assert {(image, text) for image, text, _ in records} == links(pairs)
    assert all(pairs.texts[number] == text for _, text, number in records)
    pictures = {
        row["pictures/file"].decode(): row["pictures/content"] for row in found.records("pictures")
    }
    assert set(pairs.image_ids) <= set(pictures)
    assert pictures["00001.png"].size == (96, 80)


def test_nothing_is_fetched(folder, monkeypatch):
    def refuse(*_):
        raise AssertionError("something connects to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    assert len(open_pairs(f"croissant:{folder / 'all.json'}").image_ids) == 20


def test_writing_refuses_what_it_cannot_describe(folder, tmp_path):
    pairs = open_pairs(f"folder:{folder}")
    with pytest.raises(DataError, match=r"should end in \.json"):
        write_croissant(pairs, folder / "all.jsonld")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"lies outside .*other.*folder that holds the pictures"):
        write_croissant(pairs, tmp_path / "other" / "all.json")
    (folder / "all.parquet").touch()
    with pytest.raises(DataError, match=r"all\.parquet exists"):
        write_croissant(pairs, folder / "all.json")
    stray = folder / os.fsdecode(b"caf\xe9.png")
    (folder / "00001.png").rename(stray)
    (folder / "00001.txt").rename(stray.with_suffix(".txt"))
    with pytest.raises(DataError, match=r"caf\\udce9\.png has a name that JSON-LD cannot hold"):
        write_croissant(open_pairs(f"folder:{folder}"), folder / "new.json")
    assert not [path for path in folder.iterdir() if "new" in path.name or path.suffix == ".json"]
    assert list((tmp_path / "other").iterdir()) == []


def test_a_folder_with_glob_characters_is_described_by_itself(folder):
    odd = folder / "a[1]*"
    odd.mkdir()
    for path in folder.glob("0000?.*"):
        path.rename(odd / path.name)
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    with quietly():
        found = mlcroissant.Dataset(str(folder / "all.json")).records("pictures")
    assert sum(row["pictures/file"].startswith(b"a[1]*/") for row in found) == 10


# Other people's files


def other_croissant(folder, encoding="text/csv", **columns):
    """Write a description, as by hand, of a table whose columns are given by field."""
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"captions/{name}",
            "dataType": "sc:Text",
            "source": {"fileObject": {"@id": "table"}, "extract": {"column": column}},
        }
        for name, column in columns.items()
    ]
    write_croissant(open_pairs(f"folder:{folder}"), folder / "other.json")
    content = described(folder / "other.json")
    (folder / "other.parquet").unlink()
    content["recordSet"][0].update({"@id": "captions", "name": "captions", "field": fields})
    content["distribution"][0].update({"contentUrl": "rows.txt", "encodingFormat": encoding})
    digest = hashlib.sha256((folder / "rows.txt").read_bytes()).hexdigest()
    content["distribution"][0]["sha256"] = digest
    (folder / "other.json").write_text(json.dumps(content), "utf-8")
    return f"croissant:{folder / 'other.json'}"


def test_a_table_of_others_is_read_by_its_fields(folder):
    lines = ("Pic,Words,Part", "00001.png,None,train", "./00001.png,same,train")
    more = ("00003.png,same,val", "00005.png,same,training", "00007.png,x,secret")
    write(folder / "rows.txt", *lines, *more, "00002.jpg,,test", ",x,test", "absent.png,x,test")
    pairs = open_pairs(other_croissant(folder, image="Pic", caption="Words", split="Part"))
    assert links(pairs) == {
        ("00001.png", "None"),
        ("00001.png", "same"),
        ("00003.png", "same"),
        ("00005.png", "same"),
    }
    assert pairs.texts == ("None", "same", "same")  # one text in train, and one in dev
    assert pairs.image_split.tolist() == ["train", "dev", "train"]
    assert problems(pairs) == {
        "1 row": "have split 'secret', not train, dev or test",
        "rows.txt:7": "has no text",
        "rows.txt:8": "names no picture",
        "absent.png": "there is no such picture",
    }


def test_splits_are_drawn_where_there_are_none(folder):
    rows = [json.dumps({"file": p.name, "title": p.name}) for p in sorted(folder.glob("*.*g"))]
    write(folder / "rows.txt", *rows)
    spec = other_croissant(folder, "application/jsonlines", file="file", title="title")
    assert open_pairs(spec).splits() == {"train": 14, "dev": 3, "test": 3}
    assert open_pairs(spec).fingerprint() != open_pairs(spec, seed=1).fingerprint()


def test_pictures_may_not_be_elsewhere(folder):
    shutil.copy(folder / "00000.jpg", folder.parent / "secret.jpg")
    names = ["00001.png", "../secret.jpg", "x/../../secret.jpg", "https://example.com/a.jpg"]
    names += [str(folder / "00002.jpg"), "..\\secret.jpg"]
    write(folder / "rows.txt", "image,text", *(f"{name},text" for name in names))
    pairs = open_pairs(other_croissant(folder, image="image", text="text"))
    assert pairs.image_ids == ("00001.png", "00002.jpg")
    assert problems(pairs) == {
        "../secret.jpg": OUTSIDE,
        "https://example.com/a.jpg": "is an address, and visita reads local files only",
    }


def test_a_picture_in_two_places_or_splits_stays_where_it_was(folder):
    rows = (
        "1,00001.png,a,train",
        "1,00003.png,b,train",
        "2,00005.png,c,train",
        "2,00005.png,d,dev",
    )
    write(folder / "rows.txt", "key,image,text,split", *rows)
    columns = {"image_id": "key", "image": "image", "text": "text", "split": "split"}
    pairs = open_pairs(other_croissant(folder, **columns))
    assert links(pairs) == {("1", "a"), ("2", "c"), ("2", "d")}
    assert set(pairs.image_split) == set(pairs.text_split) == {"train"}
    assert problems(pairs) == {
        "rows.txt:3": "1 is 00003.png too; it stays 00001.png, and this one is left out",
        "rows.txt:5": "2 is in dev too; it stays in train",
    }


# Refused

DATASET = '"@context": {"@language": "en", "@vocab": "https://schema.org/"}, "@type": "Dataset"'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contentUrl": "https://example.com/x.parquet"}, "is at https://example.com/x.parquet"),
        ({"contentUrl": "../all.parquet"}, r"\.\./all\.parquet: lies outside"),
        ({"contentUrl": "/etc/passwd"}, "/etc/passwd: lies outside"),
        ({"contentUrl": "none.parquet"}, r"none\.parquet: there is no such file"),
        ({"encodingFormat": "application/zip"}, "should be one of text/csv"),
        ({"sha256": "0" * 64}, r"all\.parquet has changed since all\.json was written"),
        ({"sha256": None, "md5": "0" * 32}, "as its md5 tells"),
        ({"containedIn": {"@id": "picture-files"}, "contentUrl": "x.parquet"}, "is in an archive"),
        ({"contentUrl": None}, "is not valid Croissant: .*contentUrl"),
        ({"@id": "tables"}, "is not valid Croissant"),
    ],
)
def test_a_table_that_is_not_simply_there_is_refused(folder, change, message):
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    rewrite(folder / "all.json", **change)
    with pytest.raises(DataError, match=message):
        open_pairs(f"croissant:{folder / 'all.json'}")


@pytest.mark.parametrize(
    "context",
    [
        "https://schema.org/",
        ["https://schema.org/"],
        {"@import": "https://example.com/context.json"},
        {"name": {"@id": "sc:name", "@context": "https://example.com/context.json"}},
    ],
)
def test_a_context_is_never_fetched(folder, context):
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    content = described(folder / "all.json")
    content["@context"] = (
        {**content["@context"], **context} if isinstance(context, dict) else context
    )
    (folder / "all.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(DataError, match="names a context to be fetched"):
        open_pairs(f"croissant:{folder / 'all.json'}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"@context": {', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not Croissant: it should be a JSON file"),
        ("{}", "is not valid Croissant"),
        (
            f"{{{DATASET}}}",
            r"ValidationError: \[Metadata\(\)\] Property .*name\" is mandatory.*exist.$",
        ),
        (f'{{{DATASET}, "name": "x"}}', "no record set with a field named .* record sets: none"),
    ],
)
def test_json_that_is_not_croissant_is_refused(tmp_path, content, message):
    (tmp_path / "x.json").write_text(content, "utf-8")
    with pytest.raises(DataError, match=message):
        open_pairs(f"croissant:{tmp_path / 'x.json'}")


def test_fields_that_are_not_plain_columns_are_refused(folder):
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    plain = described(folder / "all.json")

    def changed(edit):
        content = json.loads(json.dumps(plain))
        edit(content["recordSet"][0]["field"])
        (folder / "all.json").write_text(json.dumps(content), "utf-8")
        return f"croissant:{folder / 'all.json'}"

    with pytest.raises(DataError, match=r"pairs/text is not plainly a column"):
        transform = {"transform": {"separator": ","}}
        open_pairs(changed(lambda fields: fields[3]["source"].update(transform)))
    with pytest.raises(DataError, match=r"has no column 'words'"):
        open_pairs(changed(lambda fields: fields[3]["source"]["extract"].update(column="words")))
    with pytest.raises(
        DataError, match=r"its record sets: pairs \(image_id, image, text_id, split\)"
    ):
        open_pairs(changed(lambda fields: fields.pop(3)))


def test_without_pictures_nothing_is_left(folder):
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    for path in folder.glob("*.*g"):
        path.unlink()
    with pytest.raises(
        DataError, match=r"no image with a text is left to use. 00000.jpg: there is no"
    ):
        open_pairs(f"croissant:{folder / 'all.json'}")


def test_a_bare_path_is_known_by_its_context(folder):
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    assert open_pairs(str(folder / "all.json")).source == f"croissant:{folder / 'all.json'}"


@pytest.mark.slow
def test_without_the_extra_it_says_what_to_install(folder):
    write_croissant(open_pairs(f"folder:{folder}"), folder / "all.json")
    code = (
        "import sys; sys.modules['mlcroissant'] = None\n"
        "from visita.data import open_pairs; from visita.errors import MissingExtraError\n"
        "try: open_pairs(sys.argv[1])\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"croissant:{folder / 'all.json'}"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert "visita[croissant]" in done.stdout


# Joined


@pytest.fixture
def three(tmp_path):
    """Return three sets: the second and third hold some pictures of the first, by other names."""
    draw_pairs(tmp_path / "a", 10)
    for name, numbers in (("b", (1, 2, 3)), ("c", (3, 4))):
        (tmp_path / name).mkdir()
        for number in numbers:
            path = next((tmp_path / "a").glob(f"0000{number}.*g"))
            shutil.copy(path, tmp_path / name / f"{name}{number}{path.suffix}")
            write(tmp_path / name / f"{name}{number}.txt", f"{name} sees {number}")
    first = (tmp_path / "a" / "00001.txt").read_text("utf-8").splitlines()[0]
    write(tmp_path / "b" / "b1.txt", "b sees 1", first)
    draw_pairs(tmp_path / "d", 2, seed=9)
    for path in (tmp_path / "d").iterdir():
        path.rename(tmp_path / "c" / path.name)  # its ids are those of other pictures in a
    return [open_pairs(f"folder:{tmp_path / name}", seed=1) for name in "abc"]


def test_the_same_picture_becomes_one_image_with_the_texts_of_all(three):
    joined = join_pairs(three)
    a, b, c = three
    assert (
        joined.source
        == f"folder joined with folder-2 joined with folder-3: {a.source}, {b.source}, {c.source}"
    )
    assert joined.image_ids == (
        *(f"folder/{name}" for name in a.image_ids),
        "folder-3/00000.jpg",
        "folder-3/00001.png",
    )
    assert joined.image_paths[:10] == a.image_paths
    assert len(joined.texts) == len(a.texts) + len(b.texts) + len(c.texts) - 1
    found = links(joined)
    assert {("folder/00003.png", "b sees 3"), ("folder/00003.png", "c sees 3")} <= found
    assert {(f"folder/{image}", text) for image, text in links(a)} <= found
    ones = next(f"folder/{name}" for name in a.image_ids if name.startswith("00001"))
    assert (
        len([1 for image, _ in found if image == ones]) == 4
    )  # its three, and one new text of b's two


def test_what_a_join_ties_together_is_never_on_two_sides(three):
    a, b, c = (
        replace(
            one,
            image_split=np.full(len(one.image_ids), split),
            text_split=np.full(len(one.texts), split),
        )
        for one, split in zip(three, ("train", "dev", "test"), strict=True)
    )
    joined = join_pairs([a, b, c])
    images, texts = joined.components()
    for label in set(images.tolist()):
        assert len({*joined.image_split[images == label], *joined.text_split[texts == label]}) == 1
    sides = dict(zip(joined.image_ids, joined.image_split.tolist(), strict=True))
    named = {name[7:12]: side for name, side in sides.items() if name.startswith("folder/")}
    assert named == {
        **dict.fromkeys(("00000", "00005", "00006", "00007", "00008", "00009"), "train"),
        **dict.fromkeys(("00001", "00002"), "dev"),
        **dict.fromkeys(("00003", "00004"), "test"),
    }
    assert [(one.item, one.reason) for one in joined.problems] == [
        ("folder/00001.png", "was in train, is in dev now"),
        ("folder/00002.jpg", "was in train, is in dev now"),
        ("folder/00003.png", "was in train, is in test now"),
        ("folder/00004.jpg", "was in train, is in test now"),
        ("folder-2/b3.png", "was in dev, is in test now"),
    ]


def test_joining_by_id_takes_equal_names_for_one_picture(three):
    a, _, c = three
    joined = join_pairs([a, c], "id")
    assert joined.image_ids == (*a.image_ids, "c3.png", "c4.jpg")
    assert joined.image_paths[:10] == a.image_paths
    assert {("00000.jpg", text) for image, text in links(c) if image == "00000.jpg"} <= links(
        joined
    )


def test_a_join_is_written_and_read_as_any_pairs(three, tmp_path):
    joined = join_pairs(three)
    write_croissant(joined, tmp_path / "all.json")
    assert same(joined, open_pairs(f"croissant:{tmp_path / 'all.json'}"))
    parts = []
    for pairs, name in zip(three, "abc", strict=True):
        write_croissant(pairs, tmp_path / f"{name}.json")
        parts.append(open_pairs(f"croissant:{tmp_path / name}.json"))
    linked = join_pairs(parts)
    assert links(linked) == {
        (image.replace("folder", "croissant", 1), text) for image, text in links(joined)
    }


def test_joins_that_cannot_be_are_refused(three):
    with pytest.raises(UnknownNameError, match="Did you mean 'content'"):
        join_pairs(three, "contents")
    with pytest.raises(DataError, match="two data sets or more"):
        join_pairs(three[:1])


# The command


def test_the_command_joins_writes_and_says_what_is_missing(three, tmp_path):
    specs = [pairs.source for pairs in three[:2]]
    done = run("data", "croissant", *specs, "--out", tmp_path / "all.json")
    assert done.status == 0
    assert done.out.splitlines()[0].startswith("10 images and 33 texts are in ")
    assert "3 pictures occurred twice and became one image" in done.out
    assert "all.json has no description; others need one: --description" in done.err
    assert "all.json has no license; others need one: --license" in done.err
    told = ("--description", "x", "--license", "CC0-1.0", "--json", "--join", "id")
    done = run("data", "croissant", *specs, "--out", tmp_path / "id.json", *told)
    assert done.err == ""
    assert (done.json["images"], done.json["shared"], done.json["moved"]) == (13, 0, 0)
    assert Path(done.json["table"]) == tmp_path / "id.parquet"
    assert open_pairs(f"croissant:{tmp_path / 'all.json'}").splits() != done.json["splits"]


# The real thing


@pytest.mark.slow
def test_the_real_data_sets_survive_a_round_trip(flickr8k, coco80, tmp_path):
    for name, data in (("flickr8k", flickr8k), ("coco", coco80)):
        (tmp_path / name).symlink_to(data)
        before = open_pairs(f"{name}:{tmp_path / name}", root=data)
        write_croissant(before, tmp_path / f"{name}.json")
        assert same(before, open_pairs(f"croissant:{tmp_path / name}.json", root=data))
