"""Finding pictures in real folders with links, locks and odd names."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from zoo import landmark, ordinary_user

from visita.data import find_pictures, picture_id
from visita.data import pictures as kinds_of
from visita.data.join import identical_files
from visita.data.pictures import Exclusion, ignores_case
from visita.errors import DataError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * len(name))


def names(folder, **options):
    found = find_pictures(folder, **options)
    assert found.skipped == []
    return [picture_id(picture.path, folder) for picture in found.pictures]


def test_pictures_are_found_by_suffix_and_sorted(tmp_path):
    touch(tmp_path, "b.JPG", "a/z.jpeg", "a/c.webp", "a b/x.HEIC", "notes.txt", "jpg", "x.jpg.bak")
    touch(tmp_path, ".hidden.jpg", ".cache/y.jpg")
    assert names(tmp_path) == ["a b/x.HEIC", "a/c.webp", "a/z.jpeg", "b.JPG"]
    assert names(tmp_path) == names(tmp_path)


def test_size_and_time_are_those_of_the_file(tmp_path):
    touch(tmp_path, "twelve12.jpg")
    os.utime(tmp_path / "twelve12.jpg", ns=(5, 1_700_000_000_123_456_789))
    (picture,) = find_pictures(tmp_path).pictures
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


def test_patterns_may_be_anchored_absolute_or_for_folders(tmp_path):
    root = tmp_path / "root"
    touch(root, "thumbs/a.jpg", "in/thumbs/b.jpg", "in/c.jpg", "thumbs.jpg/d.jpg", "e.jpg")
    kept = {
        "./thumbs": ["e.jpg", "in/c.jpg", "in/thumbs/b.jpg", "thumbs.jpg/d.jpg"],
        "thumbs/": ["e.jpg", "in/c.jpg", "thumbs.jpg/d.jpg"],
        "*.jpg/": ["e.jpg", "in/c.jpg", "in/thumbs/b.jpg", "thumbs/a.jpg"],
        "./*.jpg": [],
        str(root / "in"): ["e.jpg", "thumbs.jpg/d.jpg", "thumbs/a.jpg"],
        f"{root}/in/": ["e.jpg", "thumbs.jpg/d.jpg", "thumbs/a.jpg"],
        f"{root}/*/c.jpg": ["e.jpg", "in/thumbs/b.jpg", "thumbs.jpg/d.jpg", "thumbs/a.jpg"],
        f"{tmp_path}/link/in": ["e.jpg", "thumbs.jpg/d.jpg", "thumbs/a.jpg"],
    }
    (tmp_path / "link").symlink_to(root)
    for pattern, expected in kept.items():
        for folder in (root, tmp_path / "link"):
            assert names(folder, exclude=[pattern]) == expected, pattern
            assert find_pictures(folder, [pattern]).unmatched == (), pattern


def test_patterns_that_match_nothing_are_named(tmp_path):
    touch(tmp_path, "a.jpg", "in/b.jpg")
    patterns = ["*.gif", "in", "*.GIF", "a.jpg/", "./b.jpg", "/nowhere/*", "*.jpg", "*.gif"]
    unmatched = find_pictures(tmp_path, patterns).unmatched
    assert unmatched == ("*.gif", "*.GIF", "a.jpg/", "./b.jpg", "/nowhere/*")


def test_a_path_tells_whether_it_is_left_out_as_the_search_would(tmp_path):
    paths = ["a.jpg", "in/b.jpg", "in/er/c.jpg", "in.jpg/d.jpg", "x/in/e.png"]
    touch(tmp_path, *paths)
    for pattern in ("in", "./in", "in/", "*.jpg/", "*.jpg", "in/*/c.jpg", f"{tmp_path}/x", "er"):
        exclusion = Exclusion([pattern], tmp_path)
        assert [p for p in sorted(paths) if not exclusion.hides(p)] == names(
            tmp_path, exclude=[pattern]
        ), pattern


def test_case_counts_where_the_file_system_has_any(tmp_path):
    touch(tmp_path, "a.jpg", "b.JPG")
    assert ignores_case(tmp_path) == (tmp_path / "A.JPG").exists()
    assert names(tmp_path, exclude=["*.JPG"]) == ([] if ignores_case(tmp_path) else ["a.jpg"])


def test_case_does_not_count_on_a_stick(tmp_path):
    image, folder = tmp_path / "stick.img", tmp_path / "stick"
    folder.mkdir()
    image.write_bytes(bytes(2**20))
    commands = (["mkfs.vfat", image], ["mount", "-o", "loop,uid=0", image, folder])
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system without case can be mounted here")
    try:
        touch(folder, "Thumbs/a.jpg", "b.JPG", "c.png")
        assert names(folder, exclude=["thumbs", "*.jpg"]) == ["c.png"]
    finally:
        subprocess.run(["umount", folder], check=True)


def test_folders_of_systems_and_programs_are_left_out_and_counted(tmp_path):
    touch(tmp_path, "a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "in/@eaDir/b.jpg")
    touch(tmp_path, "#recycle/c.jpg", "$RECYCLE.BIN/S-1-5/d.jpg", ".Trash-1000/files/e.jpg")
    touch(tmp_path, "System Volume Information/f.jpg", "lost+found/g.jpg", "__MACOSX/._h.jpg")
    touch(tmp_path, ".picasaoriginals/i.jpg", "Catalog Previews.lrdata/j.jpg", ".thumbnails/k.png")
    touch(tmp_path, ".hidden/l.jpg", "recycled art/m.jpg")
    found = find_pictures(tmp_path)
    assert [one.path.name for one in found.pictures] == ["a.jpg", "m.jpg"]
    assert found.left_out == {
        **{"@eaDir": 2, "#recycle": 1, "$RECYCLE.BIN": 1, ".Trash-1000": 1, "lost+found": 1},
        **{"System Volume Information": 1, "__MACOSX": 1, ".picasaoriginals": 1},
        **{"Catalog Previews.lrdata": 1, ".thumbnails": 1},
    }
    inside = find_pictures(tmp_path / "#recycle")  # asked for, it is a folder like any other
    assert [one.path.name for one in inside.pictures] == ["c.jpg"]


def test_what_is_not_read_is_counted_by_kind(tmp_path, monkeypatch):
    touch(tmp_path, "a.MPO", "b.apng", "c.NEF", "in/d.dng", "e.psd", "f.PSD", "g.jxl", "h.svg")
    touch(tmp_path, "i.xcf", "j.mp4", "k.MOV", "l.txt", "m.docx", ".n.psd", "@eaDir/o.psd")
    kinds = {"PSD": 2, "JXL": 1, "SVG": 1, "XCF": 1, "video": 2}
    monkeypatch.setattr(kinds_of, "reads_raw", lambda: True)
    assert names(tmp_path) == ["a.MPO", "b.apng", "c.NEF", "in/d.dng"]
    assert find_pictures(tmp_path).other_kinds == kinds
    monkeypatch.setattr(kinds_of, "reads_raw", lambda: False)
    assert names(tmp_path) == ["a.MPO", "b.apng"]
    assert find_pictures(tmp_path).other_kinds == {**kinds, "RAW": 2}


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
    found = find_pictures(tmp_path)
    pictures, skipped = found.pictures, found.skipped
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
            found = find_pictures(folder)
            with pytest.raises(DataError, match="Permission denied"):
                find_pictures(folder / "locked")
        assert [picture.path.name for picture in found.pictures] == ["a.jpg", "c.jpg"]
        assert [(Path(one.item).name, one.reason) for one in found.skipped] == [
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
    assert all(picture.path.is_file() for picture in find_pictures(tmp_path).pictures)
    (tmp_path / os.fsdecode(b"\xff\xfe.png")).symlink_to("nowhere")
    (broken,) = find_pictures(tmp_path).skipped
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
