"""Exact copies of a picture are interchangeable where it is looked for."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

import visita
from visita.data import open_pairs
from visita.data.join import interchangeable
from visita.evaluation.measure import features_for, vectors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def copied(drawn_folder, tmp_path_factory):
    """Return drawn pairs, all in one split, of which four pictures are there twice."""
    folder = tmp_path_factory.mktemp("copied")
    for path in sorted(drawn_folder.glob("*"))[:40]:
        shutil.copy(path, folder / path.name)
    for picture in sorted(folder.glob("*.jpg"))[:4]:
        shutil.copy(picture, folder / f"copy-{picture.name}")
        words = picture.with_suffix(".txt").read_text("utf-8").splitlines()
        said = "".join(f"{line}, once more\n" for line in words)
        (folder / f"copy-{picture.stem}.txt").write_text(said, "utf-8")
    return open_pairs(f"folder:{folder}")


def test_what_is_true_of_a_picture_is_true_of_its_copies(copied):
    found, before = interchangeable(copied).truth.toarray(), copied.truth.toarray()
    names = [name.removeprefix("copy-") for name in copied.image_ids]
    for row, name in enumerate(names):
        same = [other for other, its in enumerate(names) if its == name]
        assert (found[row] == before[same].any(axis=0)).all()
    assert (found != before).any()


def test_pairs_without_copies_stay_what_they_are(drawn_pairs):
    assert interchangeable(drawn_pairs) is drawn_pairs


def test_a_copy_costs_no_recall(copied):
    matcher = visita.load("visita-small")
    found = visita.evaluate(matcher, copied, split="all", protocols=["retrieval"])
    images, texts = vectors(matcher, features_for(matcher, copied, None))
    names = np.array([name.removeprefix("copy-") for name in copied.image_ids])
    owners = names[copied.truth.toarray().argmax(axis=0)]
    first = [names[np.argmax(images @ text)] for text in texts]
    right = [name == owner for name, owner in zip(first, owners, strict=True)]
    recall = found["protocols"]["retrieval"]["text_to_image"]["R@1"]["value"]
    assert recall == pytest.approx(100 * np.mean(right))
    apart = replace(copied, image_paths=tuple(p.with_suffix(".png") for p in copied.image_paths))
    assert interchangeable(apart) is apart  # files that cannot be read are no copies
