"""Flickr30K's two captions files in miniature, with each of its splits."""

import json
import shutil

import pytest
from drawn import draw_pairs
from test_data_readers import links, problems, write

from visita.data import open_pairs
from visita.data.readers.bounds import OUTSIDE
from visita.errors import DataError, UnknownNameError

NAMES = tuple(f"{number}.jpg" for number in range(1, 9))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return eight different drawn pictures."""
    return draw_pairs(tmp_path_factory.mktemp("drawn"), len(NAMES))


@pytest.fixture
def folder(drawn, tmp_path):
    """Return a folder in the official layout: two captions a picture, but six for the first."""
    (tmp_path / "f30k" / "flickr30k-images").mkdir(parents=True)
    for picture, name in zip(drawn, NAMES, strict=True):
        shutil.copy(picture, tmp_path / "f30k" / "flickr30k-images" / name)
    lines = [
        f"{name}#{number}\tCaption {number} of # {name} ."
        for name in NAMES
        for number in range(6 if name == "1.jpg" else 2)
    ]
    write(
        tmp_path / "f30k" / "results_20130124.token", *lines, "no caption", "absent.jpg#0\tGone ."
    )
    return tmp_path / "f30k"


def write_karpathy(folder, **splits):
    images = [
        {"filename": name, "split": split, "sentences": [{"raw": "not read"}]}
        for split, names in splits.items()
        for name in names
    ]
    file = folder / "dataset_flickr30k.json"
    file.write_text(json.dumps({"images": images, "dataset": "flickr30k"}), "utf-8")


def write_lists(folder, suffix, **lists):
    for name, lines in lists.items():
        write(folder / "m-rnn" / f"{name}{suffix}", *lines)


def test_without_lists_the_splits_are_drawn_by_the_seed(folder, capsys):
    pairs = open_pairs(str(folder))
    assert pairs.source == f"flickr30k:{folder}"
    assert "70 / 15 / 15; for published ones name flickr30k-karpathy:" in capsys.readouterr().err
    assert pairs.image_ids == NAMES
    assert pairs.truth.sum(axis=1).tolist() == [6] + [2] * 7
    assert pairs.splits() == {"train": 6, "dev": 1, "test": 1}
    assert ("1.jpg", "Caption 5 of # 1.jpg .") in links(pairs)
    assert problems(pairs) == {
        "results_20130124.token:21": "is not a picture with its caption",
        "absent.jpg": "there is no such picture",
    }
    seeds = {open_pairs(f"flickr30k:{folder}", seed=seed).fingerprint() for seed in range(5)}
    assert len(seeds) > 1


def test_karpathys_splits_come_from_his_file(folder, capsys):
    write_karpathy(
        folder, train=["3.jpg", "1.jpg"], val=["2.jpg"], test=["4.jpg", "9.jpg"], more=["5.jpg"]
    )
    pairs = open_pairs(f"flickr30k-karpathy:{folder}")
    assert pairs.source == f"flickr30k-karpathy:{folder}"
    assert pairs.image_ids == ("3.jpg", "1.jpg", "2.jpg", "4.jpg")
    assert pairs.image_split.tolist() == ["train", "train", "dev", "test"]
    assert pairs.texts[:2] == ("Caption 0 of # 3.jpg .", "Caption 1 of # 3.jpg .")
    found = problems(pairs)
    assert found["1 image"] == "have split 'more', not train, val, test"
    assert found["9.jpg"] == "is listed for test but has no captions"
    assert found["results_20130124.token"] == "5 of its pictures left out, being in no split"
    assert found["splits"].endswith("the published split 29,000 / 1,014 / 1,000")
    assert "numbers on it are not comparable" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".lst", ".txt"])
def test_the_lists_of_m_rnn_hold_ids_names_or_paths(folder, suffix):
    lists = {"train": ["1", "3.jpg", "flickr30k-images/5.jpg"], "val": ["2", ""]}
    write_lists(folder, suffix, **lists, test=["4", "1"])
    pairs = open_pairs(f"flickr30k-m-rnn:{folder}")
    assert pairs.source == f"flickr30k-m-rnn:{folder}"
    assert pairs.image_ids == ("1.jpg", "3.jpg", "5.jpg", "2.jpg", "4.jpg")
    assert pairs.image_split.tolist() == ["train"] * 3 + ["dev", "test"]
    found = problems(pairs)
    assert found["1.jpg"] == "is listed for test too; it stays in train"
    assert found["splits"].endswith("the published split 29,783 / 1,000 / 1,000")


def test_the_splits_differ_and_so_do_their_fingerprints(folder):
    write_karpathy(folder, train=NAMES[:4], val=NAMES[4:6], test=NAMES[6:])
    write_lists(folder, ".lst", train=NAMES[2:], val=NAMES[:1], test=NAMES[1:2])
    found = [
        open_pairs(f"{name}:{folder}")
        for name in ("flickr30k", "flickr30k-karpathy", "flickr30k-m-rnn")
    ]
    assert len({pairs.fingerprint() for pairs in found}) == 3
    assert [set(pairs.image_ids) for pairs in found] == [set(NAMES)] * 3
    with pytest.raises(
        DataError, match="could be flickr30k or flickr30k-karpathy or flickr30k-m-rnn"
    ):
        open_pairs(str(folder))


@pytest.mark.parametrize("texts", [".", "flickr30k_images"])
def test_the_csv_is_the_same_and_its_odd_line_too(folder, texts):
    before = open_pairs(f"flickr30k:{folder}")
    token = folder / "results_20130124.token"
    rows = [line.split("#", 1) for line in token.read_text("utf-8").splitlines() if ".jpg#" in line]
    lines = [f"{name}| {rest.replace(chr(9), '| ', 1)}" for name, rest in rows]
    lines[1] = lines[1].replace("| 1| ", "| 1   ")  # as one line of the real file
    token.unlink()
    write(folder / texts / "results.csv", "image_name| comment_number| comment", *lines)
    (folder / "flickr30k-images").rename(folder / texts / "flickr30k_images")
    after = open_pairs(f"flickr30k:{folder}")
    assert after.fingerprint() == before.fingerprint()
    assert problems(after) == {"absent.jpg": "there is no such picture"}


def test_captions_may_not_lead_out_of_the_folder(folder, drawn):
    shutil.copy(drawn[0], folder / "secret.jpg")
    with (folder / "results_20130124.token").open("a", encoding="utf-8") as file:
        file.write(f"../secret.jpg#0\tx\n{folder}/secret.jpg#0\tx\n")
    pairs = open_pairs(f"flickr30k:{folder}")
    assert problems(pairs)["../secret.jpg"] == OUTSIDE
    assert "secret.jpg" in pairs.image_ids  # a path from the root, that stays inside


def test_what_is_missing_is_named(folder):
    with pytest.raises(DataError, match=r"lacks m-rnn/train\.lst: it should be a folder like"):
        open_pairs(f"flickr30k-m-rnn:{folder}")
    write_lists(folder, ".lst", train=["1"], val=["2"])
    with pytest.raises(DataError, match=r"lacks m-rnn/test\.lst"):
        open_pairs(f"flickr30k-m-rnn:{folder}")
    with pytest.raises(DataError, match=r"dataset_flickr30k\.json: there is no such file"):
        open_pairs(f"flickr30k-karpathy:{folder}")
    (folder / "dataset_flickr30k.json").write_text('{"images": [', "utf-8")
    with pytest.raises(DataError, match="is not JSON"):
        open_pairs(f"flickr30k-karpathy:{folder}")
    with pytest.raises(UnknownNameError, match="Did you mean 'flickr30k-m-rnn'"):
        open_pairs(f"flickr30k-mrnn:{folder}")
    shutil.rmtree(folder / "flickr30k-images")
    with pytest.raises(DataError, match="is not Flickr30K: it should be a folder with"):
        open_pairs(f"flickr30k:{folder}")
