"""The report on a data set's faults."""

import json
import shutil

import numpy as np
import pytest
from drawn import draw_pairs
from scipy import sparse
from zoo import png_header

from visita.data import PairSet, check_pairs, open_pairs
from visita.types import Skipped


def test_a_clean_set_has_no_findings(tmp_path):
    draw_pairs(tmp_path, n=12)
    pairs = open_pairs(str(tmp_path))
    done = []
    report = check_pairs(pairs, done.append)
    assert report.findings == () and report.errors == 0
    assert (report.images, report.texts, report.pairs) == (12, 36, 36)
    assert report.splits == {"train": 8, "dev": 2, "test": 2}
    assert (report.source, report.fingerprint) == (f"folder:{tmp_path}", pairs.fingerprint())
    assert sum(done) == 12


@pytest.fixture
def faulty(tmp_path):
    paths = draw_pairs(tmp_path, n=5)
    shutil.copy(paths[0], tmp_path / "leak.jpg")
    shutil.copy(paths[2], tmp_path / "twin.jpg")
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    ids = (*(path.name for path in paths), "leak.jpg", "twin.jpg", "bomb.png", "absent.jpg")
    texts = ("dog", "dog ", "cat", " \n", "dog", "bird", "cat", "fish", "cow", "")
    owners = [0, 0, 0, 1, 2, 3, 5, 6, 7, 8]  # image 4 has none
    truth = sparse.csr_array((np.ones(10, bool), (owners, np.arange(10))), shape=(9, 10))
    image_split = np.array(["train"] * 5 + ["dev"] + ["train"] * 3)
    return PairSet(
        source="test:faulty",
        image_ids=ids,
        image_paths=tuple(tmp_path / name for name in ids),
        texts=texts,
        truth=truth,
        image_split=image_split,
        text_split=image_split[owners],
        problems=(Skipped("x.jpg", "has no text file beside it"),),
    )


def test_every_fault_is_found(faulty):
    report = check_pairs(faulty)
    names = faulty.image_ids
    assert {one.kind: (one.severity, one.count, one.items) for one in report.findings} == {
        "broken-pictures": (
            "error",
            2,
            (
                "bomb.png: has 60000 x 60000 pixels; the limit is 500 million",
                "absent.jpg: cannot be read: No such file or directory",
            ),
        ),
        "leaking-pictures": ("error", 1, (f"{names[0]} (train) = leak.jpg (dev)",)),
        "repeated-pictures": ("warning", 1, (f"{names[2]} (train) = twin.jpg (train)",)),
        "pictures-without-text": ("warning", 1, (names[4],)),
        "empty-texts": ("error", 2, ("text 3", "text 9")),
        "leaking-texts": ("warning", 1, ("cat (dev, train)",)),
        "repeated-texts": ("warning", 1, (f"{names[0]}: dog",)),
        "left-out": ("warning", 1, ("x.jpg: has no text file beside it",)),
    }
    assert report.errors == 5
    assert all(one.meaning for one in report.findings)


def test_the_report_is_json(faulty):
    report = check_pairs(faulty)
    held = json.loads(json.dumps(report.to_dict()))
    assert held["splits"] == {"train": 8, "dev": 1, "test": 0}
    assert held["findings"][0]["kind"] == "broken-pictures"
    assert held["findings"][0]["count"] == len(held["findings"][0]["items"]) == 2


def test_many_items_are_counted_and_the_first_are_shown(tmp_path):
    (path,) = draw_pairs(tmp_path, n=1)
    pairs = PairSet(
        source="test:many",
        image_ids=("a",),
        image_paths=(path,),
        texts=("",) * 50,
        truth=sparse.csr_array(np.ones((1, 50), bool)),
        image_split=np.array(["train"]),
        text_split=np.array(["train"] * 50),
    )
    empty, repeated = check_pairs(pairs).findings
    assert (empty.kind, empty.count, len(empty.items)) == ("empty-texts", 50, 10)
    assert (repeated.kind, repeated.count) == ("repeated-texts", 1)
