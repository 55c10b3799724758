"""Damage to what a gallery keeps is found and made again; passing errors lose nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from standin import ColourMeans, LinearMatcher, draw_noise

from visita.errors import ArtifactError, PassingError
from visita.gallery.catalog import Catalog
from visita.gallery.gallery import StoredGallery
from visita.gallery.listing import galleries
from visita.gallery.packing import as_kept
from visita.gallery.upkeep import compact_gallery, verify_gallery
from visita.store.lock import WriterLock
from visita.store.store import FeatureStore

FORMAT_1 = Path(__file__).parent / "data" / "format-1"


class Place:
    """A gallery of eight pictures in step, and what it should give."""

    def __init__(self, root: Path) -> None:
        self.home, self.folder = root / "home", root / "pictures"
        for i in range(8):
            draw_noise(self.folder / ("deep" if i > 4 else ".") / f"{i}.png", i)
        self.encoder = ColourMeans()
        self.matcher = LinearMatcher(self.encoder.recipe)
        self.sync()
        self.truth = self.vectors()

    @property
    def gallery(self) -> StoredGallery:
        return StoredGallery.open(self.folder, home=self.home)

    def sync(self, **options):
        self.encoder.encoded.clear()
        return self.gallery.refresh(self.matcher, self.encoder, **options)[0]

    def vectors(self, **options) -> dict[str, list[float]]:
        found = self.gallery.snapshot(self.matcher.fingerprint(), **options)
        return {p: v.tolist() for p, v in zip(found.paths, found.vectors, strict=True)}


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def files(place: Place) -> list[Path]:
    found = [p for p in place.gallery.path.rglob("*") if p.is_file() and p.stat().st_size]
    return sorted(p for p in found if not p.name.startswith("."))


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_anywhere_changes_no_result_and_is_mended(place, seed):
    rng = np.random.default_rng(seed)
    for path in files(place):
        for place_of_bit in rng.random(2).tolist():
            bit = int(8 * path.stat().st_size * place_of_bit)
            flip(path, bit)
            galleries(place.home)
            place.sync()
            assert place.vectors() == place.truth, (path, bit)
            assert not place.gallery.refresh(place.matcher, place.encoder)[0].unread
            if verify_gallery(place.gallery.path).damaged:  # in what a search does not need
                place.sync()
            assert place.vectors() == place.truth, (path, bit)
            assert verify_gallery(place.gallery.path).damaged == [], (path, bit)


def test_a_zeroed_block_of_vectors_is_made_again_from_the_features(place, capfd):
    (path,) = place.gallery.path.glob("vectors-*/data-1/00-vector")
    content = path.read_bytes()
    path.write_bytes(content[:64] + bytes(200) + content[264:])
    assert len(place.vectors()) < 8
    assert re.search(r"is damaged: \d pictures? left out", capfd.readouterr().err)
    place.sync()
    assert place.encoder.encoded == []
    assert place.vectors() == place.truth


def test_damaged_features_are_read_again_from_the_pictures(place):
    for path in place.gallery.path.glob("*/data-1/0*"):
        path.write_bytes(bytes(len(path.read_bytes())))
    place.sync()
    assert len(place.encoder.encoded) == 8
    assert place.vectors() == place.truth


@pytest.mark.parametrize("name", ["index.jsonl", "gallery.json"])
@pytest.mark.parametrize("content", [None, b"", b"not what it was, " * 100])
def test_a_lost_index_or_card_comes_back_without_encoding(place, name, content):
    path = place.gallery.path / name
    path.unlink() if content is None else path.write_bytes(content)
    assert len(galleries(place.home)) == 1
    place.sync()
    assert place.encoder.encoded == []
    assert place.vectors() == place.truth
    assert galleries(place.home)[0].folder == str(place.folder)


def test_one_damaged_gallery_breaks_no_list(place):
    other = place.home / "galleries" / "other-12345678"
    shutil.copytree(place.gallery.path, other)
    for path in other.rglob("*.json*"):
        path.write_bytes(b"{" + bytes(20))
    infos = galleries(place.home)
    assert [(one.folder, one.pictures) for one in infos] == [("", 0), (str(place.folder), 8)]


def test_verifying_says_what_is_damaged_and_the_next_search_mends_it(place):
    assert verify_gallery(place.gallery.path).damaged == []
    (column,) = place.gallery.path.glob("features-*/data-1/00-*")
    flip(column, 999)
    (found,) = verify_gallery(place.gallery.path).damaged
    assert found == f"{column.parent.parent.name}: 1 row"
    assert verify_gallery(place.gallery.path).damaged == []


def test_what_is_gone_is_let_go_on_request(place):
    shutil.rmtree(place.folder / "deep")
    place.sync()
    assert len(Catalog(place.gallery.path).entries) == 8
    assert compact_gallery(place.gallery.path) > 0
    assert len(Catalog(place.gallery.path).entries) == 5
    assert place.sync().in_step
    assert compact_gallery(place.gallery.path) == 0
    assert place.vectors() == {p: v for p, v in place.truth.items() if "deep" not in p}


def test_a_damaged_catalogue_lets_nothing_go(place):
    flip(place.gallery.path / "index.jsonl", 50)
    with pytest.raises(ArtifactError, match="is damaged: bring the gallery in step"):
        compact_gallery(place.gallery.path)
    shutil.move(place.folder / "deep", place.folder.parent / "aside")
    place.sync()
    shutil.move(place.folder.parent / "aside", place.folder / "deep")
    place.sync()
    assert place.encoder.encoded == []
    assert place.vectors() == place.truth


def test_an_unreadable_folder_drops_nothing(place, monkeypatch):
    def refusing(path):
        if Path(path).name == "deep":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refusing)
    report = place.sync()
    assert [one.reason for one in report.skipped] == ["cannot be read: Input/output error"]
    assert place.vectors() == place.truth
    monkeypatch.undo()
    assert place.sync().in_step and place.encoder.encoded == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ESTALE, errno.ENOMEM])
def test_a_passing_error_is_not_remembered(place, number):
    class Failing(ColourMeans):
        def features(self, path: Path):
            if path.name == "new.png":
                raise PassingError(f"cannot be read: {os.strerror(number)}")
            return super().features(path)

    draw_noise(place.folder / "new.png", 99)
    place.encoder = Failing()
    (skipped,) = place.sync().skipped
    assert skipped.passing and os.strerror(number) in skipped.reason
    assert place.vectors() == place.truth
    place.encoder = ColourMeans()
    assert place.sync().added == 1


def test_a_file_that_cannot_be_read_to_its_end_is_not_taken_for_no_picture(place, monkeypatch):
    (place.folder / "new.png").write_bytes(b"no picture")
    monkeypatch.setattr("visita.gallery.reading.can_be_read", lambda *_: False)
    assert place.sync().skipped[0].passing
    monkeypatch.undo()
    assert not place.sync().skipped[0].passing
    assert place.sync().broken == 1


def test_two_files_of_equal_size_and_time_that_change_places_are_noticed(place):
    one, two = place.folder / "0.png", place.folder / "1.png"
    for path, seed in ((one, 100), (two, 200)):
        pixels = np.random.default_rng(seed).integers(0, 256, 48, dtype=np.uint8)
        path.unlink()
        path.write_bytes(b"P6 4 4 255\n" + pixels.tobytes())
        os.utime(path, ns=(10**18, 10**18))
    place.sync()
    before = place.vectors()
    one.rename(place.folder / "aside")
    two.rename(one)
    (place.folder / "aside").rename(two)
    place.sync()
    after = place.vectors()
    assert (after[str(one)], after[str(two)]) == (before[str(two)], before[str(one)])
    assert place.encoder.encoded == []


def test_a_mount_that_numbers_its_files_anew_is_not_read_again(place, monkeypatch):
    catalog = Catalog(place.gallery.path)
    lock = WriterLock(place.gallery.path)
    assert lock.try_acquire()
    entries = {
        p: type(e)(e.size, e.mtime_ns, e.inode + 10**6, e.digest)
        for p, e in catalog.entries.items()
    }
    catalog.update(entries, (), lock)
    lock.release()
    monkeypatch.setattr("visita.gallery.reading.digest_of", None)  # reads no file
    assert place.sync().unchanged == 8
    assert place.sync().in_step


def test_what_killed_writers_left_is_removed_by_the_next(place):
    left = [place.gallery.path / ".removed-abc", place.gallery.path / ".gallery.json.draft-abc"]
    for folder in left:
        folder.mkdir()
        (folder / "data").write_bytes(bytes(1000))
    draw_noise(place.folder / "new.png", 99)
    (place.gallery.path / "gallery.json").unlink()
    place.sync()
    assert not any(folder.exists() for folder in left)


def test_a_gallery_of_format_1_is_used_and_brought_to_today_s(tmp_path):
    folder, home = tmp_path / "pictures", tmp_path / "home"
    shutil.copytree(FORMAT_1 / "pictures", folder)
    for path in folder.rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))
    gallery = StoredGallery.open(folder, home=home)
    shutil.copytree(FORMAT_1 / "gallery", gallery.path)
    encoder = ColourMeans(levels=("2",))
    matcher = LinearMatcher(encoder.recipe)
    before = gallery.snapshot(matcher.fingerprint())
    assert len(before) == 6
    assert galleries(home)[0].pictures == 6
    (stored,) = map(FeatureStore.open, gallery.path.glob("features-*"))
    rows = stored.rows(before.digests)
    kept = as_kept({name: stored.column(name)[rows] for name in stored.columns})
    report = gallery.sync(matcher, encoder)
    assert report.unchanged == 6
    assert report.broken + len(report.skipped) == 1
    assert len(encoder.encoded) <= 1  # the broken one, where another Pillow tries it again
    assert not (gallery.path / "index.sqlite").exists()
    after = gallery.snapshot(matcher.fingerprint())
    assert after.paths == before.paths
    assert np.array_equal(after.vectors, matcher.embed_images(kept))
    assert np.allclose(after.vectors, before.vectors, atol=0.02)  # of features in steps of 6 bits
    assert len(list(gallery.path.glob("features-*"))) == 1
    assert verify_gallery(gallery.path).damaged == []
    assert galleries(home)[0].folder == str(folder)
