"""From a query to matches, over one or more galleries."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from standin import ColourMeans, LetterCounts, LinearMatcher, draw_noise, of_vector

from visita.errors import ConfigError, DataError
from visita.gallery.gallery import StoredGallery
from visita.gallery.snapshot import Snapshot
from visita.search.matches import Match
from visita.search.query import Query
from visita.search.search import search_snapshots

ENCODER = ColourMeans()
MATCHER = LinearMatcher(ENCODER.recipe)


def take(folder: Path, home: Path) -> Snapshot:
    gallery = StoredGallery.open(folder, home=home)
    gallery.sync(MATCHER, ENCODER)
    return gallery.snapshot(MATCHER.fingerprint())


def text_vector(text: str = "a red circle") -> np.ndarray:
    return Query.from_texts([text], LetterCounts(), MATCHER).pooled()


@pytest.fixture
def folder(tmp_path) -> Path:
    for i in range(20):
        draw_noise(tmp_path / "one" / f"{i:02d}.png", i)
    return tmp_path / "one"


def test_the_best_come_first_with_scores_and_probabilities(folder, tmp_path):
    snapshot = take(folder, tmp_path)
    vector = text_vector()
    matches = search_snapshots(of_vector(vector, MATCHER), [snapshot], 5)
    true = {
        path: float(np.dot(row.astype(float), vector.astype(float)))
        for path, row in zip(snapshot, snapshot.vectors, strict=True)
    }
    assert [m.path for m in matches] == sorted(true, key=lambda path: -true[path])[:5]
    for match in matches:
        assert match.score == pytest.approx(true[match.path], abs=1e-6)
        odds = 20 * np.exp(-5 * match.score)
        assert match.probability == pytest.approx(1 / (1 + odds), rel=1e-5)
    assert len(search_snapshots(of_vector(vector, MATCHER), [snapshot], 1000)) == 20


def test_a_picture_finds_itself_first_and_has_no_probability(folder, tmp_path):
    snapshot = take(folder, tmp_path)
    query = Query.from_vectors(snapshot.vectors[7:8])
    matches = search_snapshots(of_vector(query.pooled(), MATCHER, "picture"), [snapshot], 3)
    assert matches[0] == Match(folder / "07.png", pytest.approx(1.0), None)
    assert [m.probability for m in matches] == [None] * 3


def test_equal_scores_come_in_the_order_of_paths_over_galleries(folder, tmp_path):
    for name in ("b/x.png", "a/y.png", "z.png"):
        (tmp_path / "two" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "03.png", tmp_path / "two" / name)
    snapshots = [take(tmp_path / "two", tmp_path), take(folder, tmp_path)]
    query = snapshots[1].vectors[3]
    matches = search_snapshots(of_vector(query, MATCHER, "picture"), snapshots, 4)
    two = tmp_path / "two"
    expected = [folder / "03.png", two / "a/y.png", two / "b/x.png", two / "z.png"]
    assert [m.path for m in matches] == expected
    assert len({m.score for m in matches}) == 1
    assert [
        m.path for m in search_snapshots(of_vector(query, MATCHER, "picture"), snapshots, 2)
    ] == (expected[:2])


def test_a_file_reached_twice_is_returned_once_and_the_rest_still_fills_k(folder, tmp_path):
    for i in range(12):
        (folder / f"link{i}.png").symlink_to(folder / "00.png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "again.png").symlink_to(folder / "00.png")
    (folder / "sub").mkdir()
    draw_noise(folder / "sub" / "s.png", 99)
    snapshots = [take(tmp_path / name, tmp_path) for name in ("one", "one/sub", "other")]
    query = snapshots[0].vectors[0]
    matches = search_snapshots(of_vector(query, MATCHER, "picture"), snapshots, 21)
    real = [match.path.resolve() for match in matches]
    assert len(real) == len(set(real)) == 21
    assert len(search_snapshots(of_vector(query, MATCHER, "picture"), snapshots, 5)) == 5


def test_the_gallery_size_of_a_probability_is_that_of_all_galleries(folder, tmp_path):
    for i in range(5):
        draw_noise(tmp_path / "two" / f"{i}.png", 100 + i)
    snapshots = [take(folder, tmp_path), take(tmp_path / "two", tmp_path)]
    (match,) = search_snapshots(of_vector(text_vector(), MATCHER), snapshots, 1)
    assert match.probability == pytest.approx(1 / (1 + 25 * np.exp(-5 * match.score)), rel=1e-5)


def test_the_threshold_cuts_probabilities_of_texts_and_similarities_of_pictures(folder, tmp_path):
    snapshot = take(folder, tmp_path)
    every = search_snapshots(of_vector(text_vector(), MATCHER), [snapshot], 20)
    cut = every[6].probability
    assert (
        search_snapshots(of_vector(text_vector(), MATCHER), [snapshot], 20, threshold=cut)
        == every[:7]
    )
    assert (
        search_snapshots(of_vector(text_vector(), MATCHER), [snapshot], 3, threshold=cut)
        == every[:3]
    )
    assert search_snapshots(of_vector(text_vector(), MATCHER), [snapshot], 20, threshold=1.0) == []
    query = snapshot.vectors[0]
    alike = search_snapshots(of_vector(query, MATCHER, "picture"), [snapshot], 20, threshold=0.999)
    assert [m.path for m in alike] == [Path(snapshot.paths[0])]


def test_without_calibration_there_are_scores_but_no_threshold(folder, tmp_path):
    snapshot = take(folder, tmp_path)
    plain = LinearMatcher(ENCODER.recipe, calibrated=False)
    assert {
        m.probability for m in search_snapshots(of_vector(text_vector(), plain), [snapshot], 4)
    } == {None}
    with pytest.raises(ConfigError, match="never calibrated"):
        search_snapshots(of_vector(text_vector(), plain), [snapshot], 4, threshold=0.5)
    query = snapshot.vectors[0]
    assert search_snapshots(of_vector(query, plain, "picture"), [snapshot], 1, threshold=0.5)


def test_impossible_searches_are_refused(folder, tmp_path):
    snapshot = take(folder, tmp_path)
    with pytest.raises(ConfigError, match="at least 1"):
        search_snapshots(of_vector(text_vector(), MATCHER), [snapshot], 0)
    with pytest.raises(DataError, match=r"use the matcher that the gallery was synchronized"):
        search_snapshots(of_vector(text_vector()[:-1], MATCHER), [snapshot], 3)


def test_no_galleries_give_no_matches():
    assert search_snapshots(of_vector(text_vector(), MATCHER), [], 3) == []


def test_texts_are_pooled_by_weight_into_one_unit_vector():
    texts = ["a red circle", "A dog runs. It is wet."]
    query = Query.from_texts(texts, LetterCounts(), MATCHER, weights=[1, 3])
    rows = MATCHER.embed_texts(LetterCounts().encode(texts)).astype(float)
    total = rows[0] + 3 * rows[1]
    assert query.vectors.shape == (2, 16)
    assert np.allclose(query.pooled(), total / np.sqrt((total**2).sum()), atol=1e-6)
    assert query.pooled().dtype == np.float32
    assert np.allclose(Query.from_texts(texts[:1], LetterCounts(), MATCHER).pooled(), rows[0])


@pytest.mark.parametrize("texts", [[], [""], ["a dog", " \n"]])
def test_blank_queries_are_refused(texts):
    with pytest.raises(DataError, match="describe what the picture should show"):
        Query.from_texts(texts, LetterCounts(), MATCHER)


def test_queries_that_make_no_sense_are_refused():
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match="cancel out"):
        Query.from_vectors(np.stack([vectors[0], -vectors[0]])).pooled()
    with pytest.raises(DataError, match=r"weights \(p,\)"):
        Query.from_vectors(vectors, [1, 2])
    with pytest.raises(DataError, match=r"vectors \(p, d\)"):
        Query.from_vectors(vectors[:0])
    with pytest.raises(DataError, match="finite"):
        Query.from_vectors(vectors * np.float32(np.nan))


def test_a_query_of_unknown_words_is_told_so():
    with pytest.raises(DataError, match="knows no word of the query"):
        Query.from_vectors(np.zeros((2, 4), np.float32)).pooled()
