"""Karpathy's JSON files in miniature: captions of any number, splits, restval, pictures."""

import json
import shutil

import pytest
from drawn import draw_pairs
from test_data_readers import links, problems

from visita.data import open_pairs
from visita.data.readers.bounds import OUTSIDE
from visita.errors import DataError


def sentence(text, number):
    return {"raw": text, "tokens": text.lower().split(), "sentid": number, "imgid": 0}


def image(name, split, *texts, folder=None):
    entry = {
        "filename": name,
        "imgid": 0,
        "sentids": list(range(len(texts))),
        "split": split,
        "sentences": [sentence(text, number) for number, text in enumerate(texts)],
    }
    return {**entry, "filepath": folder} if folder else entry


def write_json(path, *images, dataset="flickr30k"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "dataset": dataset}), "utf-8")
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return six different drawn pictures."""
    return draw_pairs(tmp_path_factory.mktemp("drawn"), 6)


@pytest.fixture
def coco(drawn, tmp_path):
    names = ("train2014/t.jpg", "val2014/d.jpg", "val2014/e.jpg", "val2014/r.jpg", "val2014/s.jpg")
    for picture, name in zip(drawn, names, strict=False):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(picture, tmp_path / name)
    return write_json(
        tmp_path / "dataset_coco.json",
        image("t.jpg", "train", *(f"train {n}" for n in range(7)), folder="train2014"),
        image("d.jpg", "val", " Dev. ", folder="val2014"),
        image("r.jpg", "restval", "Rest one.", "Rest two.", folder="val2014"),
        image("e.jpg", "test", "Same words.", folder="val2014"),
        image("s.jpg", "test", "Same words.", "Caf\u00e9.", folder="val2014"),
        dataset="coco",
    )


def test_restval_is_a_choice_that_every_report_names(coco, capsys):
    with pytest.raises(DataError, match=r"1 image of restval: choose karpathy-with-restval:PATH"):
        open_pairs(f"karpathy:{coco}")
    trained = open_pairs(f"karpathy-with-restval:{coco}")
    assert trained.source == f"karpathy-with-restval:{coco}"
    assert trained.splits() == {"train": 2, "dev": 1, "test": 2}
    assert "dataset_coco.json: 1 image of restval: train\n" in capsys.readouterr().err
    left_out = open_pairs(f"karpathy-without-restval:{coco}")
    assert left_out.source == f"karpathy-without-restval:{coco}"
    assert left_out.splits() == {"train": 1, "dev": 1, "test": 2}
    assert not any("Rest" in text for text in left_out.texts)
    assert "1 image of restval: left out\n" in capsys.readouterr().err
    assert trained.take("test").fingerprint() == left_out.take("test").fingerprint()


def test_every_caption_is_read_and_none_is_shared(coco):
    pairs = open_pairs(f"karpathy-with-restval:{coco}")
    assert pairs.image_ids == (
        *("train2014/t.jpg", "val2014/d.jpg", "val2014/r.jpg", "val2014/e.jpg", "val2014/s.jpg"),
    )
    assert all(path.is_file() for path in pairs.image_paths)
    assert pairs.truth.sum(axis=1).tolist() == [7, 1, 2, 1, 2]
    assert pairs.truth.sum(axis=0).tolist() == [1] * 13
    assert ("val2014/d.jpg", "Dev.") in links(pairs)
    assert pairs.take("test").texts == ("Same words.", "Same words.", "Café.")


def test_a_split_of_another_size_than_the_published_is_told(coco, capsys):
    for reader, size in (("with", "113,287"), ("without", "82,783")):
        pairs = open_pairs(f"karpathy-{reader}-restval:{coco}")
        told = f"the published split {size} / 5,000 / 5,000"
        assert problems(pairs)["splits"].endswith(told)
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "pictures",
    [".", "Images", "flickr30k-images", "flickr30k_images/flickr30k_images", "../images"],
)
def test_pictures_are_found_where_they_usually_are(drawn, tmp_path, pictures):
    folder = tmp_path / "lists" / pictures
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(drawn[1], folder / "b.png")
    file = write_json(
        tmp_path / "lists" / "dataset_flickr30k.json",
        image("absent.jpg", "train", "Never seen."),
        image("b.png", "train", "A picture."),
    )
    pairs = open_pairs(f"karpathy:{file}")
    assert pairs.source == f"karpathy:{file}"
    assert links(pairs) == {("b.png", "A picture.")}
    assert problems(pairs)["absent.jpg"] == "there is no such picture"


def test_what_is_left_out_is_reported(drawn, tmp_path):
    shutil.copy(drawn[0], tmp_path / "a.jpg")
    shutil.copy(drawn[2], tmp_path / "c.jpg")
    (tmp_path / "set").mkdir()
    shutil.copy(drawn[4], tmp_path / "set" / "in.jpg")
    file = write_json(
        tmp_path / "set" / "dataset_x.json",
        image("in.jpg", "train", "Good.", "  "),
        image("in.jpg", "test", "Twice."),
        image("a.jpg", "train", "Above.", folder=".."),
        image("/a.jpg", "train", "Rooted."),
        image("c.jpg", "holdout", "Unknown."),
        image("d.jpg", "holdout", "Unknown."),
        image("silent.jpg", "train"),
        {**image("odd.jpg", "train"), "sentences": [{"tokens": ["no", "raw"]}, 7]},
        {"filename": "x.jpg", "split": "train"},
        {"raw": "a lone sentence"},
        7,
        dataset="mine",
    )
    pairs = open_pairs(f"karpathy:{file}")
    assert links(pairs) == {("in.jpg", "Good.")}
    assert [(one.item, one.reason) for one in pairs.problems] == [
        ("in.jpg", "is listed twice; its first entry counts"),
        ("odd.jpg", "2 sentences have no raw text"),
        ("images[8]", "lacks a filename, a split or sentences"),
        ("images[9]", "lacks a filename, a split or sentences"),
        ("images[10]", "lacks a filename, a split or sentences"),
        ("2 images", "have split 'holdout', not train, val, test"),
        ("silent.jpg", "has no captions"),
        ("odd.jpg", "has no captions"),
        ("in.jpg", "has an empty text"),
        ("../a.jpg", OUTSIDE),
        ("/a.jpg", OUTSIDE),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "lacks the list images"),
        ('{"images": {}}', "lacks the list images"),
        ('{"raw": "x", "images": []}', "lacks the list images"),
        ('{"images": []}', "no image with a text is left"),
        (
            '{"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "x"}]}]}',
            "no image with a text is left to use. a.jpg: there is no such picture",
        ),
    ],
)
def test_a_file_that_is_not_karpathys_is_refused(tmp_path, content, message):
    (tmp_path / "dataset_x.json").write_text(content, "utf-8")
    with pytest.raises(DataError, match=message):
        open_pairs(f"karpathy:{tmp_path / 'dataset_x.json'}")


def test_a_file_without_its_reader_asks_which(coco):
    with pytest.raises(DataError, match="1 image of restval: choose karpathy-with-restval:PATH"):
        open_pairs(str(coco))
