"""Finding pictures in real folders with links, locks and odd names."""

import os
import tempfile
from pathlib import Path

import pytest
from zoo import landmark, ordinary_user

from visita.data import find_pictures, picture_id
from visita.data.identical import identical_files
from visita.errors import DataError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * len(name))


def names(folder, **options):
    pictures, skipped = find_pictures(folder, **options)
    assert skipped == []
    return [picture_id(picture.path, folder) for picture in pictures]


def test_pictures_are_found_by_suffix_and_sorted(tmp_path):
    touch(tmp_path, "b.JPG", "a/z.jpeg", "a/c.webp", "a b/x.HEIC", "notes.txt", "jpg", "x.jpg.bak")
    touch(tmp_path, ".hidden.jpg", ".cache/y.jpg")
    assert names(tmp_path) == ["a b/x.HEIC", "a/c.webp", "a/z.jpeg", "b.JPG"]
    assert names(tmp_path) == names(tmp_path)


def test_size_and_time_are_those_of_the_file(tmp_path):
    touch(tmp_path, "twelve12.jpg")
    os.utime(tmp_path / "twelve12.jpg", ns=(5, 1_700_000_000_123_456_789))
    (picture,), _ = find_pictures(tmp_path)
    assert (picture.size, picture.mtime_ns) == (12, 1_700_000_000_123_456_789)


def test_exclude_matches_names_and_relative_paths(tmp_path):
    touch(tmp_path, "keep/a.jpg", "keep/a_thumb.jpg", "thumbs/b.jpg", "deep/er/c.jpg", "d.png")
    assert names(tmp_path, exclude=["*_thumb.*"]) == [
        "d.png",
        "deep/er/c.jpg",
        "keep/a.jpg",
        "thumbs/b.jpg",
    ]
    assert names(tmp_path, exclude=["thumbs", "deep/er/*", "*.png"]) == [
        "keep/a.jpg",
        "keep/a_thumb.jpg",
    ]
    assert names(tmp_path, exclude=["er", "keep/?.jpg"]) == [
        "d.png",
        "keep/a_thumb.jpg",
        "thumbs/b.jpg",
    ]


def test_linked_folders_are_followed_once(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root, "real/a.jpg")
    touch(outside, "b.jpg", "inner/c.jpg")
    (root / "aaa").symlink_to(root / "real")  # sorts before the real folder
    (root / "real" / "loop").symlink_to(root)
    (root / "one").symlink_to(outside)
    (root / "two").symlink_to(outside)
    (root / "link.jpg").symlink_to(outside / "b.jpg")
    assert names(root) == ["link.jpg", "one/b.jpg", "one/inner/c.jpg", "real/a.jpg"]


def test_a_linked_root_is_fine(tmp_path):
    touch(tmp_path / "real", "a.jpg")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert names(tmp_path / "root") == ["a.jpg"]


def test_broken_links_and_special_files_are_reported(tmp_path):
    touch(tmp_path, "a.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    pictures, skipped = find_pictures(tmp_path)
    assert [picture.path.name for picture in pictures] == ["a.jpg"]
    reasons = {Path(one.item).name: one.reason for one in skipped}
    assert reasons == {
        "gone.jpg": "is a broken link",
        "self.jpg": reasons["self.jpg"],
        "pipe.jpg": "is not a regular file",
    }
    assert "symbolic links" in reasons["self.jpg"]


def test_folders_one_may_not_read():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        touch(folder, "a.jpg", "locked/b.jpg", "open/c.jpg")
        (folder / "locked").chmod(0)
        with ordinary_user():
            pictures, skipped = find_pictures(folder)
            with pytest.raises(DataError, match="Permission denied"):
                find_pictures(folder / "locked")
        assert [picture.path.name for picture in pictures] == ["a.jpg", "c.jpg"]
        assert [(Path(one.item).name, one.reason) for one in skipped] == [
            ("locked", "cannot be read: Permission denied")
        ]
        (folder / "locked").chmod(0o755)


def test_odd_names_survive(tmp_path):
    stray = os.fsdecode(b"caf\xe9.jpg")
    odd = ["日本/写真 🐙.jpg", "new\nline.jpg", "a\\b:c*?.jpg", "'\".jpg", " .jpg"]
    touch(tmp_path, *odd, stray)
    found = names(tmp_path)
    assert sorted(found) == sorted([*odd, r"caf\udce9.jpg"])
    "".join(found).encode("utf-8")
    pictures, _ = find_pictures(tmp_path)
    assert all(picture.path.is_file() for picture in pictures)
    (tmp_path / os.fsdecode(b"\xff\xfe.png")).symlink_to("nowhere")
    _, (broken,) = find_pictures(tmp_path)
    assert broken.item.endswith(r"\udcff\udcfe.png")


def test_a_missing_folder_and_a_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        find_pictures(tmp_path / "nowhere")
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="Not a directory"):
        find_pictures(tmp_path / "a.jpg")


def test_very_deep_folders_do_not_overflow(tmp_path):
    deep = tmp_path.joinpath(*["d"] * 600)
    deep.mkdir(parents=True)
    landmark().save(deep / "a.png")
    assert len(names(tmp_path)) == 1


def test_identical_files_are_grouped_by_content(tmp_path):
    contents = [b"aa", b"bb", b"aa", b"c", b"bb", b"aa", b"", b""]
    paths = [tmp_path / f"{row}" for row in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert sorted(identical_files([*paths, tmp_path / "absent", tmp_path])) == [
        [0, 2, 5],
        [1, 4],
        [6, 7],
    ]
