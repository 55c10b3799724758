"""Keeping a gallery in step with its folder, with real files, processes and crashes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import killing
import numpy as np
import pytest
from standin import ColourMeans, LinearMatcher, draw_noise

from visita.data import find_pictures
from visita.errors import DataError, MismatchError
from visita.gallery import survey
from visita.gallery.gallery import StoredGallery
from visita.gallery.packing import as_kept
from visita.gallery.survey import digest_of
from visita.gallery.sync import SyncReport
from visita.store.store import FeatureStore


class Place:
    """A folder of pictures and a home for its gallery."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.folder = root / "pictures"
        self.folder.mkdir()
        self.encoder = ColourMeans()
        self.matcher = LinearMatcher(self.encoder.recipe)

    def draw(self, *names: str, seed: int = 0) -> None:
        for i, name in enumerate(names):
            draw_noise(self.folder / name, seed + i)

    @property
    def gallery(self) -> StoredGallery:
        return StoredGallery.open(self.folder, home=self.home)

    def sync(self, **options) -> SyncReport:
        self.encoder.encoded.clear()
        return self.gallery.sync(self.matcher, self.encoder, **options)

    def names(self, **options) -> list[str]:
        paths = self.gallery.snapshot(self.matcher.fingerprint(), **options).paths
        return [os.path.relpath(path, self.folder) for path in paths]

    def assert_right(self, *names: str) -> None:
        """Check that exactly these pictures are in the gallery, with their own vectors."""
        snapshot = self.gallery.snapshot(self.matcher.fingerprint())
        assert snapshot.paths == [str(self.folder / name) for name in names]
        for path, vector, digest in zip(
            snapshot.paths, snapshot.vectors, snapshot.digests, strict=True
        ):
            features = self.encoder.features(Path(path))
            row = as_kept({name: values[None] for name, values in features.items()})
            assert np.array_equal(vector, self.matcher.embed_images(row)[0])
            assert digest == sha256(Path(path).read_bytes()).hexdigest()

    def store(self, kind: str) -> FeatureStore:
        (folder,) = self.gallery.path.glob(f"{kind}-*")
        return FeatureStore.open(folder)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def news(report: SyncReport) -> dict[str, int]:
    """Return the counts that are not zero."""
    kinds = ("added", "changed", "renamed", "removed", "unchanged", "broken")
    counts = {kind: getattr(report, kind) for kind in kinds}
    return {kind: count for kind, count in counts.items() if count}


def test_new_pictures_are_encoded_and_the_next_sync_reads_nothing(place):
    place.draw("a.png", "deep/er/b.png", "c.jpg")
    assert news(place.sync()) == {"added": 3}
    assert len(place.encoder.encoded) == 3
    place.assert_right("a.png", "c.jpg", "deep/er/b.png")
    assert news(place.sync()) == {"unchanged": 3}
    assert place.encoder.encoded == []


def test_added_changed_renamed_and_removed_pictures(place):
    place.draw("a.png", "b.png", "c.png", "d.png")
    place.sync()
    place.draw("b.png", "e.png", seed=50)
    (place.folder / "c.png").rename(place.folder / "z.png")
    (place.folder / "d.png").unlink()
    report = place.sync()
    assert news(report) == {"added": 1, "changed": 1, "renamed": 1, "removed": 1, "unchanged": 1}
    assert report.skipped == ()
    assert len(place.encoder.encoded) == 2
    place.assert_right("a.png", "b.png", "e.png", "z.png")


def test_a_renamed_folder_costs_no_encoding(place):
    place.draw(*(f"old/{i}.png" for i in range(9)))
    place.sync()
    (place.folder / "old").rename(place.folder / "new")
    assert news(place.sync()) == {"renamed": 9}
    assert place.encoder.encoded == []
    place.assert_right(*(f"new/{i}.png" for i in range(9)))


def test_the_same_content_is_encoded_once(place):
    place.draw("a.png")
    for i in range(30):
        shutil.copy(place.folder / "a.png", place.folder / f"copy{i:02d}.png")
    assert news(place.sync()) == {"added": 31}
    assert len(place.encoder.encoded) == 1
    place.assert_right("a.png", *(f"copy{i:02d}.png" for i in range(30)))
    shutil.copy(place.folder / "a.png", place.folder / "late.png")
    assert news(place.sync()) == {"added": 1, "unchanged": 31}
    assert place.encoder.encoded == []


def test_a_touched_file_is_read_but_not_encoded(place):
    place.draw("a.png")
    place.sync()
    os.utime(place.folder / "a.png", ns=(1, 1))
    assert news(place.sync()) == {"unchanged": 1}
    assert place.encoder.encoded == []
    assert news(place.sync()) == {"unchanged": 1}


def test_a_change_that_keeps_the_size_is_seen(place):
    for seed in (0, 1):
        pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        (place.folder / "a.ppm").write_bytes(b"P6 4 4 255\n" + pixels.tobytes())
        os.utime(place.folder / "a.ppm", ns=(seed, seed))
        place.sync()
        place.assert_right("a.ppm")


def test_a_broken_picture_is_reported_once_and_tried_again_when_it_changes(place):
    place.draw("a.png", "b.png")
    for name in ("bad1.png", "bad2.png"):
        (place.folder / name).write_bytes(b"no picture at all")
    report = place.sync()
    assert news(report) == {"added": 2}
    reason = "is not a picture in a format that visita reads"
    bad = [str(place.folder / name) for name in ("bad1.png", "bad2.png")]
    assert [(one.item, one.reason) for one in report.skipped] == [(b, reason) for b in bad]
    assert len(place.encoder.encoded) == 3

    report = place.sync()
    assert news(report) == {"unchanged": 2, "broken": 2}
    assert report.skipped == () and place.encoder.encoded == []

    (place.folder / "bad1.png").write_bytes(b"still none")
    report = place.sync()
    assert news(report) == {"unchanged": 2, "broken": 1}
    assert [one.item for one in report.skipped] == bad[:1]

    place.draw("bad1.png", "bad2.png", seed=9)
    assert news(place.sync()) == {"unchanged": 2, "changed": 2}
    place.assert_right("a.png", "b.png", "bad1.png", "bad2.png")


def test_a_picture_that_breaks_leaves_the_gallery(place):
    place.draw("a.png", "b.png")
    place.sync()
    (place.folder / "b.png").write_bytes(b"")
    report = place.sync()
    assert [one.reason for one in report.skipped] == ["is empty"]
    place.assert_right("a.png")


def test_a_broken_picture_is_tried_again_with_another_decoder(place, monkeypatch):
    place.draw("a.png")
    (place.folder / "b.png").write_bytes(b"no picture")
    place.sync()
    monkeypatch.setattr("visita.gallery.survey._version", lambda _: "99")
    assert len(place.sync().skipped) == 1
    assert len(place.encoder.encoded) == 1


def test_files_that_vanish_or_change_during_the_sync_are_skipped_and_come_next_time(place):
    class Meddling(ColourMeans):
        def features(self, path: Path):
            if path.name == "0.png":
                (place.folder / "9.png").unlink()  # found, not read yet
            if path.name == "1.png":
                path.unlink()
            if path.name == "2.png":
                draw_noise(path, 77)  # its digest is known, but of what it was
            rows = super().features(path)
            if path.name == "3.png":
                draw_noise(path, 78)
            return rows

    place.draw(*(f"{i}.png" for i in range(10)))
    shutil.copy(place.folder / "1.png", place.folder / "copy.png")
    place.encoder = Meddling()
    report = place.sync()
    names = {Path(one.item).name for one in report.skipped}
    gone = {"1.png", "2.png", "3.png", "9.png"}
    assert gone <= names <= gone | {"copy.png"}
    assert all("changed or disappeared" in one.reason for one in report.skipped)
    assert report.added + len(report.skipped) == 11

    place.encoder = ColourMeans()
    draw_noise(place.folder / "2.png", 2)
    report = place.sync()
    assert report.skipped == ()
    place.assert_right("0.png", *(f"{i}.png" for i in range(2, 9)), "copy.png")


def test_a_known_picture_that_vanishes_while_it_is_read_again_leaves_the_gallery(place):
    class Meddling(ColourMeans):
        def features(self, path: Path):
            rows = super().features(path)
            if path.name == "a.png":
                path.unlink()
            return rows

    place.draw("a.png", "b.png")
    place.sync()
    place.draw("a.png", seed=50)
    place.encoder = Meddling()
    assert [Path(one.item).name for one in place.sync().skipped] == ["a.png"]
    place.assert_right("b.png")


def test_names_of_any_bytes(place):
    odd = [b"caf\xe9.png", "照片 🙂.png".encode(), b"new\nline.png", b"-rf.png", "é/é.jpg".encode()]
    for i, name in enumerate(odd):
        draw_noise(place.folder / os.fsdecode(name), i)
    (place.folder / os.fsdecode(b"bad\xff.png")).write_bytes(b"none")
    report = place.sync()
    assert [one.item for one in report.skipped] == [str(place.folder / "bad\\udcff.png")]
    assert news(place.sync()) == {"unchanged": 5, "broken": 1}
    assert sorted(map(os.fsencode, place.names())) == sorted(odd)
    place.assert_right(*place.names())


def test_a_folder_with_an_odd_name(tmp_path):
    (tmp_path / "x").mkdir()
    place = Place(tmp_path / "x")
    place.folder = tmp_path / os.fsdecode(b"Fotos \xff 2020 \xf0\x9f\x99\x82")
    place.draw("a.png")
    place.sync()
    place.assert_right("a.png")


def test_links_fifos_and_hidden_files(place, tmp_path):
    place.draw("a.png", ".hidden.png")
    draw_noise(tmp_path / "elsewhere" / "b.png", 5)
    (place.folder / "link.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    (place.folder / "dir").symlink_to(tmp_path / "elsewhere")
    (place.folder / "loop").symlink_to(place.folder)
    (place.folder / "broken.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(place.folder / "pipe.png")
    report = place.sync()
    assert {Path(one.item).name for one in report.skipped} == {"broken.png", "pipe.png"}
    assert len(place.encoder.encoded) == 2
    place.assert_right("a.png", "dir/b.png", "link.png")


def test_a_file_that_becomes_a_fifo_does_not_block(place):
    class Meddling(ColourMeans):
        def features(self, path: Path):
            if path.name == "0.png":
                (place.folder / "9.png").unlink()
                os.mkfifo(place.folder / "9.png")
            return super().features(path)

    place.draw(*(f"{i}.png" for i in range(10)))
    place.encoder = Meddling()
    assert [Path(one.item).name for one in place.sync().skipped] == ["9.png"]


def test_unreadable_files_and_folders_are_skipped_and_come_back(place):
    place.draw("a.png", "b.png", "closed/c.png")
    (place.folder / "b.png").chmod(0)
    (place.folder / "closed").chmod(0)
    try:
        if os.access(place.folder / "b.png", os.R_OK):
            pytest.skip("this user may read everything")
        report = place.sync()
    finally:
        (place.folder / "closed").chmod(0o755)
        (place.folder / "b.png").chmod(0o644)
    assert sorted(Path(one.item).name for one in report.skipped) == ["b.png", "closed"]
    assert news(place.sync()) == {"added": 2, "unchanged": 1}


def test_excluded_pictures_stay_out(place):
    place.draw("a.png", "raw/b.png", "c.jpg")
    assert news(place.sync(exclude=["raw", "*.jpg"])) == {"added": 1}
    place.assert_right("a.png")
    assert news(place.sync(exclude=["a.png"])) == {"added": 2}
    assert place.names(exclude=["a.png"]) == ["c.jpg", "raw/b.png"]
    place.assert_right("a.png", "c.jpg", "raw/b.png")  # kept, whoever left it out


def test_a_folder_without_pictures_is_an_error_that_keeps_what_was_known(place):
    with pytest.raises(DataError, match=r"No pictures were found in .*pictures.*\.jpg.*\.png"):
        place.sync()
    place.draw("a.png")
    place.sync()
    (place.folder / "a.png").rename(place.folder / "a.txt")  # as if the disk were not mounted
    with pytest.raises(DataError, match="No pictures were found"):
        place.sync()
    (place.folder / "a.txt").rename(place.folder / "a.png")
    assert news(place.sync()) == {"unchanged": 1}


def test_only_if_all_pictures_fail_does_the_sync_fail(place):
    for name in ("a.png", "b.png"):
        (place.folder / name).write_bytes(b"none")
    for _ in range(2):
        with pytest.raises(DataError, match=r"None of the 2 pictures can be used.*a\.png: is not"):
            place.sync()


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"gone is not a folder.*moved"):
        StoredGallery.open(tmp_path / "gone", home=tmp_path)


def test_another_matcher_embeds_from_stored_features_without_reading_pictures(place):
    place.draw(*(f"{i}.png" for i in range(10)))
    place.sync()
    first = place.gallery.snapshot(place.matcher.fingerprint())
    place.matcher = LinearMatcher(place.encoder.recipe, dim=8, seed=1)
    with pytest.raises(DataError, match="never synchronized with this matcher"):
        place.gallery.snapshot(place.matcher.fingerprint())
    assert news(place.sync()) == {"unchanged": 10}
    assert place.encoder.encoded == []
    place.assert_right(*(f"{i}.png" for i in range(10)))
    place.matcher = LinearMatcher(place.encoder.recipe)
    again = place.gallery.snapshot(place.matcher.fingerprint())
    assert np.array_equal(again.vectors, first.vectors)


@pytest.mark.parametrize("other", [{"version": 2}, {"levels": ("4",)}])
def test_another_encoder_or_recipe_starts_beside_the_old_features(place, other):
    place.draw("a.png", "b.png")
    place.sync()
    place.encoder = ColourMeans(**other)
    place.matcher = LinearMatcher(place.encoder.recipe, seed=1)
    assert news(place.sync()) == {"unchanged": 2}
    assert len(place.encoder.encoded) == 2
    assert len(list(place.gallery.path.glob("features-*"))) == 2
    place.assert_right("a.png", "b.png")


def test_vectors_follow_when_the_same_matcher_comes_with_other_features(place):
    place.draw("a.png", "b.png")
    place.sync()
    place.encoder = ColourMeans(version=2)
    place.sync()
    assert len(place.encoder.encoded) == 2
    place.assert_right("a.png", "b.png")


def test_an_encoder_of_another_recipe_is_refused(place):
    place.draw("a.png")
    place.matcher = LinearMatcher(ColourMeans(("16",)).recipe)
    with pytest.raises(MismatchError, match="needs colours/16, which the encoder does not"):
        place.sync()


def test_what_is_gone_is_kept_for_a_month_then_let_go_as_it_becomes_the_larger_part(
    place, monkeypatch
):
    place.draw(*(f"{i}.png" for i in range(10)))
    place.sync()
    for i in range(6):
        (place.folder / f"{i}.png").unlink()
    assert news(place.sync()) == {"removed": 6, "unchanged": 4}
    place.assert_right(*(f"{i}.png" for i in range(6, 10)))
    assert len(place.store("features")) == len(place.store("vectors")) == 10
    before = place.gallery.snapshot(place.matcher.fingerprint())
    copy = before.vectors.copy()
    monkeypatch.setattr(survey, "KEPT_DAYS", -1)
    place.sync()
    assert len(place.store("features")) == len(place.store("vectors")) == 4
    assert np.array_equal(before.vectors, copy)
    place.assert_right(*(f"{i}.png" for i in range(6, 10)))
    assert news(place.sync()) == {"unchanged": 4}


def test_what_comes_back_costs_nothing(place):
    place.draw("a.png", "deep/b.png", "deep/c.png")
    place.sync()
    (place.folder / "deep").rename(place.folder.parent / "elsewhere")
    assert news(place.sync()) == {"removed": 2, "unchanged": 1}
    place.assert_right("a.png")
    (place.folder.parent / "elsewhere").rename(place.folder / "deep")
    assert news(place.sync()) == {"unchanged": 3}
    assert place.encoder.encoded == []
    place.assert_right("a.png", "deep/b.png", "deep/c.png")


def test_progress_counts_every_file_that_has_to_be_read(place):
    shown: list[tuple[str, int]] = []
    steps: list[int] = []

    @contextmanager
    def bar(label: str, total: int):
        shown.append((label, total))
        yield steps.append

    place.draw(*(f"{i}.png" for i in range(10)))
    shutil.copy(place.folder / "0.png", place.folder / "copy.png")
    (place.folder / "bad.png").write_bytes(b"none")
    place.sync(progress=bar)
    assert [total for _, total in shown] == [12]
    assert sum(steps) == 12
    place.sync(progress=bar)
    assert len(shown) == 1


@pytest.mark.slow
def test_a_second_sync_waits_for_the_first_and_says_for_whom(place):
    others: list[subprocess.Popen[str]] = []

    class Nested(ColourMeans):
        def features(self, path: Path):
            command = [sys.executable, killing.__file__, "gallery", place.home, place.folder]
            others.append(subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8"))
            assert others[0].stderr.readline() == (
                f"another process is writing to {place.gallery.path}: "
                f"waiting for process {os.getpid()}\n"
            )
            return super().features(path)

    place.draw("a.png")
    place.encoder = Nested()
    place.sync()
    assert others[0].communicate() == (None, "")
    assert others[0].returncode == 0
    place.encoder = ColourMeans()
    place.assert_right("a.png")


@pytest.mark.slow
def test_readers_see_whole_pictures_while_another_process_syncs(place):
    place.draw(*(f"{i:02d}.png" for i in range(40)))
    truth = killing.expected("gallery", place.folder, place.encoder)
    command = [sys.executable, killing.__file__, "gallery", str(place.home), str(place.folder)]
    seen = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as child:
        for line in child.stdout:
            found = killing.stored("gallery", place.home, place.folder, place.encoder)
            assert len(found) >= int(line)
            assert all(killing.same(row, truth[name]) for name, row in found.items())
            seen.append(len(found))
    assert child.returncode == 0
    assert len(seen) == 10 and seen[-1] == 40


def test_a_snapshot_is_not_altered_by_later_syncs(place):
    place.draw("a.png", "b.png")
    place.sync()
    snapshot = place.gallery.snapshot(place.matcher.fingerprint())
    paths, vectors = list(snapshot.paths), snapshot.vectors.copy()
    place.draw("a.png", "c.png", seed=50)
    (place.folder / "b.png").unlink()
    place.sync()
    assert snapshot.paths == paths and np.array_equal(snapshot.vectors, vectors)
    with pytest.raises(ValueError, match="read-only"):
        snapshot.vectors[0, 0] = 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sync_that_is_killed_loses_nothing_it_acknowledged(place, seed):
    place.draw(*(f"{i:02d}.png" for i in range(48)))
    truth = killing.expected("gallery", place.folder, place.encoder)
    after = int(np.random.default_rng(seed).integers(1, 8))
    outcome = killing.kill_once("gallery", place.home, place.folder, truth, after=after)
    assert outcome.acknowledged >= 4 * after
    assert outcome.right and outcome.resumed
    assert news(place.sync()) == {"unchanged": 48}


def test_a_link_to_what_the_system_makes_up_is_read_as_far_as_it_is_long(tmp_path):
    if not os.access("/proc/kmsg", os.R_OK):
        pytest.skip("needs /proc/kmsg, which never ends, and the right to read it")
    (tmp_path / "kernel.jpg").symlink_to("/proc/kmsg")
    [found] = find_pictures(tmp_path).pictures
    assert digest_of(found) == sha256().hexdigest()
