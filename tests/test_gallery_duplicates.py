"""Pictures that are the same or nearly are found, the best of each first; others are not."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from standin import ColourMeans, LetterCounts, LinearMatcher

from visita.data.looks import perceptual_hash
from visita.gallery.duplicates import find_duplicates, near_pairs
from visita.gallery.gallery import StoredGallery
from visita.search.grouping import grouped
from visita.search.query import Query
from visita.search.search import search_snapshots
from visita.vectors import unit


@pytest.fixture
def folder(tmp_path, photographs) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in photographs:
        shutil.copy(path, folder)
    cat = Image.open(folder / "chelsea.png")
    cat.resize((300, 200)).save(folder / "cat small.jpg", quality=60)
    cat.filter(ImageFilter.GaussianBlur(3)).save(folder / "cat blurred.png")
    shutil.copy(folder / "coffee.png", folder / "another coffee.png")
    return folder


def test_copies_come_together_and_the_largest_and_sharpest_is_first(folder, tmp_path):
    encoder = ColourMeans()
    matcher = LinearMatcher(encoder.recipe)
    gallery = StoredGallery.open(folder, home=tmp_path)
    gallery.sync(matcher, encoder)
    before = sorted(path.read_bytes() for path in folder.iterdir())
    groups = find_duplicates(gallery.snapshot(matcher.fingerprint()))
    named = [([p.path.name for p in group.pictures], group.exact) for group in groups]
    assert named == [
        (["another coffee.png", "coffee.png"], True),
        (["chelsea.png", "cat blurred.png", "cat small.jpg"], False),
    ]
    assert [p.width for p in groups[1].pictures] == [451, 451, 300]
    assert sorted(path.read_bytes() for path in folder.iterdir()) == before


def test_matches_that_are_nearly_the_same_are_put_together(folder, tmp_path):
    encoder = ColourMeans()
    matcher = LinearMatcher(encoder.recipe)
    gallery = StoredGallery.open(folder, home=tmp_path)
    gallery.sync(matcher, encoder)
    snapshot = gallery.snapshot(matcher.fingerprint())
    query = Query.of("a red circle", matcher, LetterCounts())
    every = search_snapshots(query, [snapshot], 10)
    cats = {"chelsea.png", "cat blurred.png", "cat small.jpg"}
    kinds = [cats, {"coffee.png", "another coffee.png"}, {"astronaut.png"}]
    firsts = [min(kind, key=[m.path.name for m in every].index) for kind in kinds]
    order = [match.path.name for match in every if match.path.name in firsts]
    for k in (1, 2, 3, 9):
        found = grouped(partial(search_snapshots, query, [snapshot]), [snapshot], k)
        assert [match.path.name for match in found] == order[:k]
    named = [{match.path.name, *(path.name for path in match.alike)} for match in found]
    assert sorted(named, key=sorted) == sorted(kinds, key=sorted)


def test_a_hash_is_of_the_picture_and_not_of_its_light(photographs):
    def grey(path: Path) -> np.ndarray:
        return np.asarray(Image.open(path).convert("L").resize((256, 256)), np.float32)

    one, other = grey(photographs[0]), grey(photographs[1])
    assert not (perceptual_hash(one) != perceptual_hash(0.5 * one + 40)).any()
    assert (perceptual_hash(one) != perceptual_hash(other)).sum() > 16
    cells = one.reshape(8, 32, 256).mean(1)
    naive = [
        np.mean(cells[r, round(256 * (c + 1) / 9) : round(256 * (c + 2) / 9)])
        > np.mean(cells[r, round(256 * c / 9) : round(256 * (c + 1) / 9)])
        for r in range(8)
        for c in range(8)
    ]
    assert (perceptual_hash(one) != np.array(naive)).sum() <= 2  # the edges of cells are rounded


def test_every_near_pair_is_found(monkeypatch):
    monkeypatch.setattr("visita.gallery.duplicates._BLOCK", 7)
    vectors = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    directions = unit(vectors)
    naive = {
        (i, j) for i in range(40) for j in range(i + 1, 40) if directions[i] @ directions[j] >= 0.9
    }
    assert len(naive) > 10
    assert set(near_pairs(directions, 0.9)) == naive
