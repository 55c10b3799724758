"""Features in steps of a few bits: what is kept of them, and how far off it is."""

import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from standin import ColourMeans, LinearMatcher, draw_noise

from visita.artifact import fingerprint_of
from visita.gallery.gallery import StoredGallery
from visita.gallery.info import gallery_contents
from visita.gallery.packing import BITS, FEATURES, Packing, as_kept, pack, packed_width, unpack
from visita.store.store import FeatureStore


def naive(row: list[float]) -> list[float]:
    """Return what becomes of the numbers of one level, one by one."""
    roots = min(row) >= 0
    scaled = [math.sqrt(number) if roots else number for number in row]
    low, high = min(scaled), max(scaled)
    step = (high - low) / (2**BITS - 1)
    kept = [low + (round((number - low) / step) if step else 0) * step for number in scaled]
    return [number * number if roots else number for number in kept]


def rows(kind: str, numbers: int) -> np.ndarray:
    """Return five rows of numbers, float32."""
    drawn = np.random.default_rng(numbers).normal(size=(5, numbers)).astype(np.float32)
    if kind == "signed":
        return drawn
    if kind == "constant":
        return np.full_like(drawn, 3)
    return np.maximum(drawn, 0) if kind == "rectified" else drawn**2 + 1


@pytest.mark.parametrize("numbers", [1, 2, 3, 4, 5, 64, 1280])
@pytest.mark.parametrize("kind", ["signed", "rectified", "above 1", "constant"])
def test_numbers_come_back_as_a_naive_loop_rounds_them(kind, numbers):
    values = rows(kind, numbers)
    packed = pack(values)
    assert packed.dtype == np.uint8 and packed.shape == (5, packed_width(numbers))
    again = unpack(packed, numbers)
    assert again.dtype == np.float32
    for row, found in zip(values, again, strict=True):
        assert found == pytest.approx(naive(row.tolist()), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("kind", ["signed", "rectified", "above 1"])
def test_no_number_is_off_by_more_than_half_a_step(kind):
    values = rows(kind, 500)
    again = unpack(pack(values), 500)
    if kind != "signed":
        values, again = np.sqrt(values), np.sqrt(again)
    spread = values.max(1, keepdims=True) - values.min(1, keepdims=True)
    assert (np.abs(values - again) <= spread / (2**BITS - 1) / 2 * 1.0001).all()


def test_a_row_is_kept_alike_whatever_is_beside_it():
    values = rows("rectified", 300)
    assert np.array_equal(pack(values)[2:3], pack(values[2:3]))
    strided = np.asfortranarray(values)
    assert np.array_equal(pack(values), pack(strided))
    packed = pack(values)
    assert np.array_equal(unpack(packed, 300)[3:4], unpack(packed[3:4], 300))


def test_levels_share_a_column_and_grids_have_their_own():
    shapes = {"a": 5, "grid": (4, 3), "b": (7,)}
    packing = Packing(shapes)
    columns = {
        "a": rows("signed", 5),
        "b": rows("rectified", 7),
        "grid": np.ones((5, 4, 3), np.float32),
    }
    kept = packing.pack(columns)
    assert set(kept) == {FEATURES, "grid"} == set(packing.columns)
    assert kept[FEATURES].shape == (5, packed_width(5) + packed_width(7))
    some = packing.unpack(kept, [3, 1])
    for name, width in {"a": 5, "b": 7}.items():
        assert np.array_equal(some[name], unpack(pack(columns[name]), width)[[3, 1]])
    assert np.array_equal(some["grid"], columns["grid"][[3, 1]])
    assert set(Packing({"grid": (4, 3)}).columns) == {"grid"}


def test_the_vectors_of_a_pretrained_encoder_stay_as_they_were_computed():
    columns = {"clip:mine/vector": rows("signed", 64), "clip:mine/layer2:avg": rows("signed", 32)}
    found = as_kept(columns)
    assert np.array_equal(found["clip:mine/vector"], columns["clip:mine/vector"])
    assert not np.array_equal(found["clip:mine/layer2:avg"], columns["clip:mine/layer2:avg"])
    assert Packing({"clip:mine/vector": 64}).facts == {}


class Place:
    """Pictures of noise and their gallery."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "pictures"
        self.folder.mkdir()
        for i in range(9):
            draw_noise(self.folder / f"{i}.png", i)
        self.gallery = StoredGallery.open(self.folder, home=root / "home")
        self.encoder = ColourMeans()
        self.matcher = LinearMatcher(self.encoder.recipe)

    def vectors(self) -> np.ndarray:
        return self.gallery.snapshot(self.matcher.fingerprint()).vectors

    @property
    def features(self) -> Path:
        (folder,) = self.gallery.path.glob("features-*")
        return folder


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def test_vectors_made_again_from_what_is_kept_are_the_same_to_the_bit(place):
    place.gallery.sync(place.matcher, place.encoder)
    before = place.vectors()
    (vectors,) = place.gallery.path.glob("vectors-*")
    shutil.rmtree(vectors)
    place.encoder.encoded.clear()
    place.gallery.sync(place.matcher, place.encoder)
    assert place.encoder.encoded == []
    assert np.array_equal(place.vectors(), before)


def test_the_columns_say_what_is_kept(place):
    place.gallery.sync(place.matcher, place.encoder)
    width = sum(packed_width(side * side * 3) for side in (8, 2))
    columns = {(c.source, c.name): c for c in gallery_contents(place.gallery.path).columns}
    kept = columns[place.features.name, FEATURES]
    assert (kept.type, kept.known, kept.bytes) == (f"uint8 ({width},)", 9, 9 * width)


def as_before(place: Place) -> Path:
    """Write features as they were kept before, as they were computed; return their store."""
    encoder = place.encoder
    columns, facts = dict(encoder.columns()), dict(encoder.facts())
    old = place.gallery.path / f"features-{fingerprint_of({'columns': columns, 'facts': facts})}"
    digests = FeatureStore.open(place.features).ids
    paths = dict(
        zip(
            (snapshot := place.gallery.snapshot(place.matcher.fingerprint())).digests,
            snapshot.paths,
            strict=True,
        )
    )
    found = [encoder.features(Path(paths[digest])) for digest in digests]
    shutil.rmtree(place.features)
    with FeatureStore.create(old, columns, facts) as store:
        store.append(digests, {name: np.stack([row[name] for row in found]) for name in columns})
    (vectors,) = place.gallery.path.glob("vectors-*")
    shutil.rmtree(vectors)
    values = place.matcher.embed_images({n: np.stack([row[n] for row in found]) for n in columns})
    with FeatureStore.create(
        vectors, {"vector": place.matcher.dim}, {"features": old.name.partition("-")[2]}
    ) as store:
        store.append(digests, {"vector": values})
    return old


def test_a_gallery_of_before_is_brought_to_steps_without_reading_a_picture(place, capfd):
    place.gallery.sync(place.matcher, place.encoder)
    expected = place.vectors()
    old = as_before(place)
    assert not np.array_equal(place.vectors(), expected)
    place.encoder.encoded.clear()
    capfd.readouterr()
    place.gallery.sync(place.matcher, place.encoder)
    assert "packed into less room" in capfd.readouterr().err
    assert place.encoder.encoded == []
    assert not old.exists()
    assert np.array_equal(place.vectors(), expected)


def test_what_is_damaged_of_a_gallery_of_before_is_read_again(place):
    place.gallery.sync(place.matcher, place.encoder)
    expected = place.vectors()
    (column, *_) = sorted(as_before(place).glob("data-1/0*"))
    content = bytearray(column.read_bytes())
    content[5] ^= 4
    column.write_bytes(content)
    place.encoder.encoded.clear()
    place.gallery.sync(place.matcher, place.encoder)
    assert len(place.encoder.encoded) == 1
    assert np.array_equal(place.vectors(), expected)


def test_a_gallery_of_before_that_cannot_be_opened_is_read_again_and_that_is_said(place, capfd):
    place.gallery.sync(place.matcher, place.encoder)
    expected = place.vectors()
    old = as_before(place)
    for header in old.rglob("store.json"):
        header.write_bytes(b"{")
    place.encoder.encoded.clear()
    capfd.readouterr()
    place.gallery.sync(place.matcher, place.encoder)
    told = capfd.readouterr().err
    assert "is damaged" in told and "Its pictures are read again." in told
    assert len(place.encoder.encoded) == len(expected) and not old.exists()
    assert np.array_equal(place.vectors(), expected)


def test_a_flipped_bit_of_what_is_kept_is_found_and_the_picture_read_again(place):
    place.gallery.sync(place.matcher, place.encoder)
    expected = place.vectors()
    column = place.features / "data-1" / "00-features"
    content = bytearray(column.read_bytes())
    content[-1] ^= 1
    column.write_bytes(content)
    (vectors,) = place.gallery.path.glob("vectors-*")
    shutil.rmtree(vectors)
    place.encoder.encoded.clear()
    place.gallery.sync(place.matcher, place.encoder)
    assert len(place.encoder.encoded) == 1
    assert np.array_equal(place.vectors(), expected)


def test_pictures_from_anywhere_are_rounded_as_those_in_a_gallery(place):
    place.gallery.sync(place.matcher, place.encoder)
    snapshot = place.gallery.snapshot(place.matcher.fingerprint())
    for path, vector in zip(snapshot.paths, snapshot.vectors, strict=True):
        features = place.encoder.features(Path(os.fspath(path)))
        columns = as_kept({name: values[None] for name, values in features.items()})
        assert np.array_equal(place.matcher.embed_images(columns)[0], vector)
