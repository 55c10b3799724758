"""A saved folder is the old one or the new one, whole, or it is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forging import forge

from visita.artifact import (
    MANIFEST,
    Manifest,
    fingerprint_of,
    read_json,
    read_manifest,
    sha256_of,
    write_folder,
    write_json,
)
from visita.errors import ArtifactError

KIND = "thing"


class Thing(Manifest):
    """The manifest of what is written here."""

    numbers: list[float] | None = None
    name: str | None = None
    number: int | None = None


def read_thing(folder: Path) -> Thing:
    return read_manifest(folder, KIND, Thing)


def write(folder: Path, content: str = "one", **facts: object) -> Path:
    with write_folder(folder, KIND, facts) as draft:
        (draft / "deep").mkdir()
        (draft / "deep" / "a.txt").write_text(content, "utf-8")
        (draft / "b.bin").write_bytes(content.encode() * 1000)
    return folder


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read_back_with_its_facts(tmp_path):
    folder = write(tmp_path / "new" / "thing", numbers=[1, 2.5], name="Ærø")
    manifest = read_thing(folder)
    assert manifest.numbers == [1, 2.5] and manifest.name == "Ærø"
    assert manifest.files == {
        "b.bin": sha256_of(folder / "b.bin"),
        "deep/a.txt": sha256_of(folder / "deep" / "a.txt"),
    }
    assert set(all_files(folder)) == {MANIFEST, "b.bin", "deep/a.txt"}
    assert os.access(folder, os.R_OK | os.X_OK) and folder.stat().st_mode & 0o055 == 0o055


def test_a_new_artifact_replaces_the_old_one_whole(tmp_path):
    folder = write(tmp_path / "thing")
    (folder / "extra").write_text("of the old one", "utf-8")
    write(folder, "two")
    assert (folder / "deep" / "a.txt").read_text("utf-8") == "two"
    assert not (folder / "extra").exists()
    assert names_in(tmp_path) == ["thing"]


@pytest.mark.parametrize("prepare", [None, Path.mkdir], ids=["new", "empty"])
def test_the_working_folder_itself_can_be_written(tmp_path, monkeypatch, prepare):
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    target = Path("inner") if prepare is None else Path()
    write(target)
    assert read_thing((place / "inner") if prepare is None else place)


def test_a_linked_folder_is_written_where_the_link_points(tmp_path):
    folder = write(tmp_path / "real" / "thing")
    link = tmp_path / "link"
    link.symlink_to(folder)
    write(link, "two")
    assert link.is_symlink() and names_in(tmp_path / "real") == ["thing"]
    assert (folder / "deep" / "a.txt").read_text("utf-8") == "two"


def test_an_error_while_writing_leaves_the_old_one(tmp_path):
    folder = write(tmp_path / "thing")
    before = all_files(folder)
    with pytest.raises(ZeroDivisionError), write_folder(folder, KIND, {}) as draft:
        (draft / "b.bin").write_text("half", "utf-8")
        raise ZeroDivisionError
    assert all_files(folder) == before
    assert names_in(tmp_path) == ["thing"]


def test_facts_that_are_no_json_leave_the_old_one(tmp_path):
    folder = write(tmp_path / "thing")
    with pytest.raises(TypeError):
        write(folder, "two", wrong={1, 2})
    assert (folder / "deep" / "a.txt").read_text("utf-8") == "one"
    assert read_thing(folder)


FOREIGN = {
    "notes.txt": "precious",
    MANIFEST: '{"name": "a web page"}',
    "manifest.JSON": "{}",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_with_other_files_is_refused_and_kept(tmp_path, name):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text(FOREIGN[name], "utf-8")
    with pytest.raises(ArtifactError, match="holds other files; choose an empty or new folder"):
        write(folder)
    assert all_files(folder) == {name: FOREIGN[name].encode()}


def test_a_file_in_the_way_is_refused_and_kept(tmp_path):
    (tmp_path / "file").write_text("precious", "utf-8")
    with pytest.raises(ArtifactError, match="holds other files"):
        write(tmp_path / "file")
    with pytest.raises(ArtifactError, match="cannot be written"):
        write(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text("utf-8") == "precious"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_a_place_where_one_may_not_write_is_named():
    with pytest.raises(ArtifactError, match="/proc/thing cannot be written"):
        write(Path("/proc/thing"))


def test_a_changed_or_missing_file_is_refused(tmp_path):
    folder = write(tmp_path / "thing")
    (folder / "b.bin").write_bytes(b"two" * 1000)
    with pytest.raises(ArtifactError, match=r"b\.bin is missing or changed"):
        read_thing(folder)
    (folder / "b.bin").unlink()
    with pytest.raises(ArtifactError, match=r"b\.bin is missing or changed"):
        read_thing(folder)


def test_a_missing_manifest_and_another_kind_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not a saved thing: it has no manifest\.json"):
        read_thing(tmp_path)
    folder = write(tmp_path / "thing")
    with pytest.raises(ArtifactError, match="holds a thing, not a matcher"):
        read_manifest(folder, "matcher", Thing)


def test_a_newer_format_is_refused(tmp_path):
    folder = write(tmp_path / "thing")
    forge(folder, format=3)
    with pytest.raises(ArtifactError, match="written by a newer visita; upgrade"):
        read_thing(folder)


@pytest.mark.parametrize(
    "changes", [{"files": None}, {"files": ["b.bin"]}, {"format": "1"}, {"format": None}]
)
def test_a_manifest_without_sense_is_refused(tmp_path, changes):
    folder = write(tmp_path / "thing")
    forge(folder, **changes)
    with pytest.raises(ArtifactError, match="is damaged"):
        read_thing(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00"])
def test_a_torn_manifest_is_refused(tmp_path, text):
    folder = write(tmp_path / "thing")
    (folder / MANIFEST).write_text(text, "utf-8")
    with pytest.raises(ArtifactError):
        read_thing(folder)


@pytest.mark.parametrize("name", ["../secret", "deep/../../secret", "{root}/secret"])
def test_a_manifest_that_names_a_file_outside_is_refused(tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text("x", "utf-8")
    folder = write(tmp_path / "thing")
    forge(folder, files={name.format(root=tmp_path): sha256_of(secret)})
    with pytest.raises(ArtifactError, match="names a file outside itself"):
        read_thing(folder)


def test_fingerprints_follow_the_value_and_nothing_else():
    value = {"b": [1, 2.5, None], "a": "ø"}
    assert fingerprint_of(value) == fingerprint_of({"a": "ø", "b": (1, 2.5, None)})
    assert len(fingerprint_of(value)) == 16
    others = [{"b": [1, 2.5, None], "a": "o"}, {"b": [2.5, 1, None], "a": "ø"}, [value], None]
    assert len({fingerprint_of(v) for v in [value, *others]}) == 5


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": "é\n"})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": "é\n"}
    assert names_in(tmp_path) == ["x.json"]


WRITER = """
import sys
from pathlib import Path
from visita.artifact import write_folder
folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(first, last):
    with write_folder(folder, "thing", {"number": number}) as draft:
        for name in "abc":
            (draft / name).write_text(f"{number}\\n" * 5000)
        if sys.argv[4:]:
            print("inside", flush=True)
            sys.stdin.read()
    print(number, flush=True)
"""


def killed_writer(folder: Path, first: int, lines: int, *more: str) -> list[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first), "1000000", *more]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as child:
        assert child.stdout
        read = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        read += [line for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL
    return [line.strip() for line in read]


def test_killed_while_writing_it_is_the_old_one(tmp_path):
    folder = write(tmp_path / "thing")
    before = all_files(folder)
    assert killed_writer(folder, 0, 1, "stop inside") == ["inside"]
    assert all_files(folder) == before


@pytest.mark.slow
def test_killed_at_any_moment_it_is_old_or_new_and_whole(tmp_path):
    folder = tmp_path / "thing"
    first = 0
    for lines in np.random.default_rng(0).integers(1, 8, 5).tolist():
        acknowledged = int(killed_writer(folder, first, lines)[-1])
        number = read_thing(folder).number
        assert number in (acknowledged, acknowledged + 1)
        for name in "abc":
            assert (folder / name).read_text("utf-8") == f"{number}\n" * 5000
        first = number + 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere folders are swapped in two steps")
def test_while_it_is_replaced_there_is_always_one(tmp_path):
    folder = write(tmp_path / "thing")
    command = [sys.executable, "-c", WRITER, str(folder), "0", "40"]
    missing = looks = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            missing += not folder.is_dir()
            looks += 1
    assert child.returncode == 0 and missing == 0 and looks > 300
    assert read_thing(folder).number == 39


def test_a_reader_of_a_replaced_artifact_can_read_on(tmp_path):
    folder = write(tmp_path / "thing")
    with (folder / "b.bin").open("rb") as file:
        write(folder, "two")
        assert file.read() == b"one" * 1000
    moved = shutil.copytree(folder, tmp_path / "copy")
    assert read_thing(moved) == read_thing(folder)
