"""What searches vectors: one contract over all engines, and the inverted file on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from standin import ColourMeans, LinearMatcher, draw_noise, of_vector

from visita.artifact import read_sealed, write_sealed
from visita.errors import DamagedError
from visita.gallery import inverted_files, inverted_index
from visita.gallery.captions import captions
from visita.gallery.columns import Taken
from visita.gallery.engines import ENGINES, ExactIndex
from visita.gallery.gallery import StoredGallery
from visita.gallery.info import gallery_contents
from visita.gallery.inverted import Inverted, Looked, neighbours
from visita.gallery.inverted_index import InvertedIndex
from visita.gallery.upkeep import verify_gallery
from visita.search.search import search_snapshots
from visita.testing import check_index

N, D, K = 6000, 32, 10


def drawn(n: int, seed: int) -> np.ndarray:
    """Return vectors of which a few directions count most, at most 1 long."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, D)) / np.arange(1, D + 1) ** 0.5
    lengths = rng.uniform(0.6, 1, (n, 1))
    return (values / np.linalg.norm(values, axis=1, keepdims=True) * lengths).astype(np.float32)


VECTORS, QUERIES = drawn(N, 0), drawn(60, 1)


@pytest.fixture(scope="module")
def made() -> Inverted:
    return Inverted.build(VECTORS, drawn(200, 2))


def share(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([np.isin(*rows).mean() for rows in zip(true, found, strict=True)]))


@pytest.mark.parametrize("name", list(ENGINES.names()))
def test_each_engine_keeps_the_contract(name, monkeypatch):
    monkeypatch.setattr(inverted_index, "CANDIDATES", 40)
    check_index(ENGINES.load(name), recall=1.0 if name == "exact" else 0.97)


def test_the_inverted_file_finds_what_all_products_find(made):
    index = InvertedIndex(Taken.all_of(VECTORS), made)
    rows, scores = index.search(QUERIES, K)
    true, true_scores = ExactIndex(VECTORS).search(QUERIES, K)
    assert share(rows, true) >= 0.98
    same = rows == true
    assert np.array_equal(scores[same], true_scores[same])
    looked = [len(made.reduced[s]) for s in map(slice, made.starts, made.starts[1:])]
    assert sum(looked) == N and made.reach * N**0.5 < N / 2


def test_neighbours_are_those_of_a_naive_loop(monkeypatch):
    monkeypatch.setattr("visita.gallery.inverted.BLOCK", 7)
    some = VECTORS[:100]
    for query, rows in zip(QUERIES, neighbours(some, QUERIES, K), strict=True):
        scores = [sum(float(a) * float(b) for a, b in zip(query, v, strict=True)) for v in some]
        assert set(rows) == set(np.argsort(scores)[-K:])


@pytest.mark.parametrize("passing", [0.5, 0.2, 0.02])
def test_among_some_of_the_pictures_only_these_are_found(made, passing):
    rows = np.flatnonzero(np.random.default_rng(3).random(N) < passing)
    index = InvertedIndex(Taken(VECTORS, rows), made)
    found, _ = index.search(QUERIES, K)
    true, _ = ExactIndex(VECTORS[rows]).search(QUERIES, K)
    assert share(found, true) >= 0.98


def test_copies_and_any_order_of_pictures_give_their_own_rows(made):
    rows = np.random.default_rng(4).permutation(np.concatenate([np.arange(N), np.arange(500)]))
    found, scores = InvertedIndex(Taken(VECTORS, rows), made).search(QUERIES, K)
    true, true_scores = ExactIndex(VECTORS[rows]).search(QUERIES, K)
    assert share(found, true) >= 0.98
    assert np.allclose(scores, np.einsum("qkd,qd->qk", VECTORS[rows][found], QUERIES), atol=1e-5)
    same = (scores == true_scores).all(axis=1)
    assert np.array_equal(found[same], true[same])  # of equal ones the first


def test_by_direction_lengths_do_not_count(made):
    index = InvertedIndex(Taken.all_of(VECTORS), made, by_direction=True)
    directions = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    found, scores = index.search(directions[:50], K)
    true, _ = ExactIndex(directions).search(directions[:50], K)
    assert share(found, true) >= 0.98
    assert np.array_equal(found[:, 0], np.arange(50)) and np.allclose(scores[:, 0], 1, atol=1e-6)


def test_what_is_not_in_the_file_yet_is_found_too():
    before = Inverted.build(VECTORS[: N - 1000], drawn(200, 2))
    for inverted in (before, before.extended(VECTORS)):
        found, _ = InvertedIndex(Taken.all_of(VECTORS), inverted).search(QUERIES, K)
        assert share(found, neighbours(VECTORS, QUERIES, K)) >= 0.97
    looked = Looked(before, np.arange(N) >= N - 1000)
    assert len(looked) == 0 and len(looked.near(QUERIES[0], K, 100)) == 0


@pytest.mark.parametrize("k", [1, 100, 2000, N, N + 5])
def test_many_are_as_many_as_were_asked_for(made, k):
    rows, scores = InvertedIndex(Taken.all_of(VECTORS), made).search(QUERIES[:3], k)
    assert rows.shape == scores.shape == (3, min(k, N))
    assert all(len(set(row)) == len(row) for row in rows.tolist())
    assert share(rows, ExactIndex(VECTORS).search(QUERIES[:3], k)[0]) >= 0.95


def test_all_that_is_scored_is_shown_to_the_check(made):
    def refuse(rows):
        raise DamagedError(f"{len(rows)} rows")

    with pytest.raises(DamagedError, match="1000 rows"):
        InvertedIndex(Taken.all_of(VECTORS), made, refuse).search(QUERIES[:1], K)


def test_captions_are_many_and_the_same_each_time():
    some = captions(400)
    assert some == captions(400) and len(set(some)) > 300
    assert all(caption.isascii() and caption == caption.strip() for caption in some)


class Place:
    """A gallery of 60 pictures that counts as a large one."""

    def __init__(self, root: Path) -> None:
        self.home, self.folder = root / "home", root / "pictures"
        for i in range(60):
            draw_noise(self.folder / f"{i:02d}.png", i)
        self.encoder = ColourMeans()
        self.matcher = LinearMatcher(self.encoder.recipe)

    @property
    def gallery(self) -> StoredGallery:
        return StoredGallery.open(self.folder, home=self.home)

    def sync(self):
        return self.gallery.sync(self.matcher, self.encoder)

    @property
    def snapshot(self):
        return self.gallery.snapshot(self.matcher.fingerprint())

    @property
    def files(self) -> list[Path]:
        return sorted(self.gallery.path.glob("inverted-*"))

    def found(self) -> list[tuple[Path, float]]:
        width = self.snapshot.taken.column.shape[1]
        query = of_vector(np.full(width, width**-0.5, np.float32), self.matcher)
        return [(match.path, match.score) for match in search_snapshots(query, [self.snapshot], 3)]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.setattr(inverted_files, "LARGE", 25)
    monkeypatch.setattr(inverted_index, "CANDIDATES", 12)
    monkeypatch.setattr(inverted_index, "EACH", 1)
    place = Place(tmp_path)
    place.sync()
    return place


def naive(place: Place, monkeypatch) -> list[tuple[Path, float]]:
    with monkeypatch.context() as patch:
        patch.setenv("VISITA_ENGINE", "exact")
        assert place.snapshot.kept is None
        return place.found()


def test_a_large_gallery_is_searched_by_lists(place, monkeypatch):
    assert isinstance(place.snapshot.index, InvertedIndex)
    assert place.found() == naive(place, monkeypatch)
    assert place.sync().in_step and len(place.files) == 1


def test_what_is_kept_says_how_much_is_found(place, monkeypatch):
    contents = gallery_contents(place.gallery.path)
    assert contents.engine == "inverted"
    ((store, recall),) = contents.recall.items()
    assert store.startswith("vectors-") and 0.9 <= recall <= 1
    monkeypatch.setenv("VISITA_ENGINE", "exact")
    contents = gallery_contents(place.gallery.path)
    assert (contents.engine, contents.recall) == ("exact", {})


def test_it_stays_in_step_with_what_comes_and_goes_and_moves(place, monkeypatch):
    (before,) = place.files
    (place.folder / "05.png").rename(place.folder / "moved.png")
    (place.folder / "07.png").unlink()
    for i in range(60, 61):
        draw_noise(place.folder / f"{i}.png", i)
    place.sync()
    assert place.files == [before]  # one more is scored beside it
    assert place.found() == naive(place, monkeypatch)
    for i in range(61, 70):
        draw_noise(place.folder / f"{i}.png", i)
    place.sync()
    (after,) = place.files
    assert after != before
    assert len(place.snapshot.kept.inverted) == 70
    assert place.found() == naive(place, monkeypatch)


def test_a_gallery_of_before_gets_its_lists_by_a_sync(place):
    shutil.rmtree(place.files[0])
    assert isinstance(place.snapshot.index, ExactIndex)
    place.encoder.encoded.clear()
    place.sync()
    assert len(place.files) == 1 and place.encoder.encoded == []


@pytest.mark.parametrize("name", ["inverted.json", "reduced.npy", "rows.npy"])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_lists_that_are_damaged_are_not_used_and_made_again(place, monkeypatch, name, harm):
    path = place.files[0] / name
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(flipped if harm == "flip" else content[:middle])
    if (name, harm) == ("reduced.npy", "flip"):  # is found when it is read
        with pytest.raises(DamagedError):
            place.found()
    assert isinstance(place.snapshot.index, ExactIndex)
    assert place.found() == naive(place, monkeypatch)
    place.sync()
    assert isinstance(place.snapshot.index, InvertedIndex)
    path = place.files[0] / name
    path.write_bytes(flipped)
    assert verify_gallery(place.gallery.path).damaged == [path.parent.name]


def test_lists_that_are_damaged_are_found_by_a_search_that_reads_them_and_by_no_other(
    place, monkeypatch
):
    path = place.files[0] / "reduced.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    kept, truth = place.snapshot.kept, naive(place, monkeypatch)
    assert kept is not None
    last = int(np.flatnonzero(np.diff(kept.inverted.starts))[-1])
    kept.check(np.setdiff1d(np.arange(len(kept.inverted.centroids)), [last]))
    monkeypatch.setattr(inverted_files, "discard", lambda _: None)  # as where nobody may write
    with pytest.raises(DamagedError, match=path.parent.name):
        kept.check(np.array([last]))
    whole = place.gallery.snapshot(place.matcher.fingerprint(), whole=True)
    assert whole.kept is None and isinstance(whole.index, ExactIndex)
    monkeypatch.undo()
    assert verify_gallery(place.gallery.path).damaged == [path.parent.name]
    assert place.found() == truth


def test_lists_of_a_file_without_their_checksums_are_read_all_the_same(place, monkeypatch):
    """Such files were written before; all of one is looked at when it is opened."""
    (folder,) = place.files
    card = read_sealed(folder / "inverted.json") | {"format": 1}
    card["files"].pop("sums")
    (folder / "sums.npy").unlink()
    write_sealed(folder / "inverted.json", card)
    assert isinstance(place.snapshot.index, InvertedIndex)
    assert place.found() == naive(place, monkeypatch)
    assert verify_gallery(place.gallery.path).damaged == []
    content = (folder / "reduced.npy").read_bytes()
    (folder / "reduced.npy").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert isinstance(place.snapshot.index, ExactIndex)


@pytest.mark.parametrize("lists", ["made", "extended"])
def test_a_vector_that_damage_made_infinite_is_made_again_and_lists_are_made_without_it(
    place, monkeypatch, lists
):
    truth = naive(place, monkeypatch)
    (path,) = place.gallery.path.glob("vectors-*/data-1/00-vector")
    column = np.memmap(path, np.float32, mode="r+")
    column[5], column[40] = np.inf, np.nan
    column.flush()
    if lists == "made":
        shutil.rmtree(place.files[0])
    for i in range(60, 70 if lists == "extended" else 60):
        draw_noise(place.folder / f"{i}.png", i)
    place.sync()
    kept = place.snapshot.kept
    assert kept is not None and np.isfinite(kept.inverted.reduced).all()
    assert np.isfinite(kept.inverted.centroids).all() and kept.recall > 0.9
    for i in range(60, 70):
        (place.folder / f"{i}.png").unlink(missing_ok=True)
    place.sync()
    assert place.found() == naive(place, monkeypatch) == truth


def test_lists_of_other_vectors_are_not_used(place):
    (folder,) = place.files
    other = folder.with_name(f"{folder.name[:-16]}{'0' * 16}")
    folder.rename(other)
    assert isinstance(place.snapshot.index, ExactIndex)


def test_a_vector_that_is_damaged_is_found_when_it_is_(place):
    found = place.found()
    (column,) = place.gallery.path.glob("vectors-*/data-1/00-vector")
    column.write_bytes(bytes(column.stat().st_size - 4) + b"\0\0\0?")
    with pytest.raises(DamagedError):
        place.found()
    place.gallery.refresh(place.matcher, place.encoder, whole=True)
    assert place.found() == found
