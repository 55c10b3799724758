"""The list of galleries, and the end of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from standin import ColourMeans, LinearMatcher, draw_noise

from visita.artifact import read_sealed, write_sealed
from visita.errors import ArtifactError, UnknownNameError
from visita.gallery.gallery import StoredGallery
from visita.gallery.listing import FORMAT, galleries, remove_gallery


def make_gallery(folder: Path, home: Path | None, count: int = 3) -> StoredGallery:
    for i in range(count):
        draw_noise(folder / f"{i}.png", i)
    encoder = ColourMeans()
    gallery = StoredGallery.open(folder, home=home)
    gallery.sync(LinearMatcher(encoder.recipe), encoder)
    return gallery


def test_galleries_are_listed_with_what_they_hold(tmp_path):
    home = tmp_path / "home"
    assert galleries(home) == []
    one = make_gallery(tmp_path / "My Photos (2020)", home)
    two = make_gallery(tmp_path / "照片", home, 5)
    (home / "galleries" / "stray").mkdir()
    infos = {info.folder: info for info in galleries(home)}
    assert infos.keys() == {str(one.folder), str(two.folder)}
    info = infos[str(one.folder)]
    assert info.name.startswith("my-photos-2020-") and info.path == one.path
    assert info.pictures == 3 and infos[str(two.folder)].pictures == 5
    files = [path for path in one.path.rglob("*") if path.is_file()]
    assert info.bytes == sum(path.stat().st_size for path in files) > 0


def test_nothing_is_written_among_the_pictures(tmp_path):
    make_gallery(tmp_path / "pictures", tmp_path / "home")
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["0.png", "1.png", "2.png"]


def test_opening_alone_writes_nothing(tmp_path):
    (tmp_path / "pictures").mkdir()
    StoredGallery.open(tmp_path / "pictures", home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_the_home_is_the_users_unless_given(tmp_path, monkeypatch):
    monkeypatch.setenv("VISITA_HOME", str(tmp_path / "own"))
    gallery = make_gallery(tmp_path / "pictures", None)
    assert gallery.path.parent == tmp_path / "own" / "galleries"
    assert [info.path for info in galleries()] == [gallery.path]


def test_a_folder_has_one_gallery_however_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    names = ["pictures", "./pictures/", tmp_path / "link", tmp_path / "x" / ".." / "pictures"]
    assert len({StoredGallery.open(name, home=tmp_path).path for name in names}) == 1
    (tmp_path / "other" / "pictures").mkdir(parents=True)
    other = StoredGallery.open(tmp_path / "other" / "pictures", home=tmp_path)
    assert other.path != StoredGallery.open("pictures", home=tmp_path).path


def test_removing_deletes_the_gallery_and_keeps_the_pictures(tmp_path):
    home = tmp_path / "home"
    one = make_gallery(tmp_path / "one", home)
    two = make_gallery(tmp_path / "two", home)
    remove_gallery(one.path.name, home)
    assert [info.path for info in galleries(home)] == [two.path]
    assert list((home / "galleries").iterdir()) == [two.path]
    assert len(list((tmp_path / "one").iterdir())) == 3
    assert len(make_gallery(tmp_path / "one", home).snapshot("00000000")) == 3


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    gallery = make_gallery(tmp_path / "one", tmp_path / "home")
    with pytest.raises(UnknownNameError, match=f"Did you mean '{gallery.path.name}'"):
        remove_gallery(gallery.path.name[:-2], tmp_path / "home")
    with pytest.raises(UnknownNameError, match="There are: none"):
        remove_gallery("one", tmp_path / "empty")


@pytest.mark.parametrize("name", ["..", ".", "", "../victim", "link", "victim"])
def test_nothing_outside_the_galleries_is_ever_deleted(tmp_path, name):
    gallery = make_gallery(tmp_path / "one", tmp_path / "home")
    victim = tmp_path / "home" / "victim"
    victim.mkdir()
    (victim / "gallery.json").write_text("{}", "utf-8")
    (gallery.path.parent / "link").symlink_to(victim)
    with pytest.raises(UnknownNameError):
        remove_gallery(name, tmp_path / "home")
    with pytest.raises(UnknownNameError):
        remove_gallery(str(victim), tmp_path / "home")
    assert (victim / "gallery.json").exists() and gallery.path.exists()


def test_a_gallery_of_a_newer_format_is_refused(tmp_path):
    gallery = make_gallery(tmp_path / "one", tmp_path / "home")
    card = gallery.path / "gallery.json"
    write_sealed(card, {**read_sealed(card), "format": FORMAT + 1})
    with pytest.raises(ArtifactError, match="newer visita; upgrade"):
        StoredGallery.open(tmp_path / "one", home=tmp_path / "home")


def test_a_home_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way", "utf-8")
    with pytest.raises(ArtifactError, match=r"cannot be written .*VISITA_HOME"):
        make_gallery(tmp_path / "one", tmp_path / "file")


@pytest.mark.slow
def test_neither_gallery_nor_search_imports_torch():
    code = (
        "import sys, visita.gallery.gallery, visita.gallery.listing, visita.search.search\n"
        "import visita.search.query, visita.testing\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
