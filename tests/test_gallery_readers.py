"""Readers of a gallery are never refused: beside writers, without rights, on a full disk."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from standin import ColourMeans, LinearMatcher, draw_noise

from visita.errors import ArtifactError, UnwritableError
from visita.gallery.gallery import StoredGallery
from visita.gallery.listing import remove_gallery

SEARCH = """
import os, sys
from standin import ColourMeans, LinearMatcher
from visita.gallery.survey import decoder_versions
from visita.gallery.gallery import StoredGallery
if sys.argv[3:]:
    decoder_versions()  # imports what the other user may not read
    os.setuid(int(sys.argv[3]))
encoder = ColourMeans()
matcher = LinearMatcher(encoder.recipe)
gallery = StoredGallery.open(sys.argv[2], home=__import__("pathlib").Path(sys.argv[1]))
report, _ = gallery.refresh(matcher, encoder)
print(len(gallery.snapshot(matcher.fingerprint())), report.unread)
"""


class Place:
    """A folder of pictures and a home for its gallery, with some in step."""

    def __init__(self, root: Path, count: int = 3) -> None:
        self.home, self.folder = root / "home", root / "pictures"
        for i in range(count):
            draw_noise(self.folder / f"{i}.png", i)
        self.encoder = ColourMeans()
        self.matcher = LinearMatcher(self.encoder.recipe)

    @property
    def gallery(self) -> StoredGallery:
        return StoredGallery.open(self.folder, home=self.home)

    def sync(self) -> None:
        self.gallery.sync(self.matcher, self.encoder)

    def search(self, user: int | None = None) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", SEARCH, self.home, self.folder, *[str(user)] * bool(user)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(words, encoding="utf-8", cwd=Path(__file__).parent, **pipes)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


class Searched(ColourMeans):
    """While it reads its first picture, another process searches."""

    def __init__(self, place: Place, until: str = "") -> None:
        super().__init__(batch=1)
        self.place = place
        self.until = until
        self.answers: list[tuple[str, str]] = []
        self.waiting: list[subprocess.Popen[str]] = []

    def features(self, path: Path):
        if not self.answers and not self.waiting:
            other = self.place.search()
            if self.until:
                assert self.until in other.stderr.readline()
                self.waiting.append(other)
            else:
                self.answers.append(other.communicate())
        return super().features(path)


@pytest.mark.slow
def test_many_searches_of_a_gallery_in_step_are_all_answered(place):
    place.sync()
    others = [place.search() for _ in range(6)]
    assert [other.communicate() for other in others] == [("3 0\n", "")] * 6


@pytest.mark.slow
def test_a_search_beside_an_indexer_answers_from_what_is_committed_and_says_so(place):
    place.sync()
    for i in range(3, 5):
        draw_noise(place.folder / f"{i}.png", i)
    place.encoder = Searched(place)
    place.sync()
    said = (
        f"{place.folder}: 2 new or changed pictures left unread: process {os.getpid()} is reading"
    )
    assert place.encoder.answers == [("3 2\n", f"{said} them\n")]


@pytest.mark.slow
def test_a_search_of_what_another_process_indexes_for_the_first_time_waits_for_a_picture(place):
    place.encoder = Searched(place, until=f"waiting for process {os.getpid()}, which reads the")
    place.sync()
    (other,) = place.encoder.waiting
    found = other.communicate()[0].split()
    assert other.returncode == 0 and 0 < int(found[0]) <= 3


@pytest.mark.slow
def test_two_indexers_of_one_folder_both_succeed(place):
    command = [sys.executable, Path(__file__).parent / "killing.py", "gallery"]
    both = [subprocess.Popen([*command, place.home, place.folder]) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert len(place.gallery.snapshot(place.matcher.fingerprint())) == 3


@pytest.mark.slow
def test_a_user_without_rights_searches_what_is_there(place, tmp_path):
    if os.geteuid():
        pytest.skip("only root can become another user")
    place.sync()
    for outer in (tmp_path, *list(tmp_path.parents)[:3]):
        outer.chmod(0o755)
    assert place.search(65534).communicate() == ("3 0\n", "")
    draw_noise(place.folder / "3.png", 3)
    found, said = place.search(65534).communicate()
    assert found == "3 1\n"
    assert said == (f"{place.folder}: 1 new or changed picture left unread: Permission denied\n")


def test_on_a_full_disk_a_new_picture_stays_unread_and_the_rest_is_found(place, capsys):
    place.sync()
    draw_noise(place.folder / "3.png", 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        report, _ = place.gallery.refresh(place.matcher, place.encoder)
        with pytest.raises(UnwritableError, match="cannot be written"):
            place.sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (report.unchanged, report.unread, report.reason) == (3, 1, "File too large")
    assert "1 new or changed picture left unread: File too large" in capsys.readouterr().err
    assert len(place.gallery.snapshot(place.matcher.fingerprint())) == 3
    assert place.gallery.refresh(place.matcher, place.encoder)[0].added == 1


def test_where_nothing_is_known_and_nothing_can_be_written_that_is_an_error(place):
    place.home.write_text("in the way", "utf-8")
    with pytest.raises(UnwritableError, match=r"cannot be written .*VISITA_HOME"):
        place.gallery.refresh(place.matcher, place.encoder)


def test_reading_writes_nothing_at_all(place):
    place.sync()
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in place.home.rglob("*")}
    place.gallery.refresh(place.matcher, place.encoder)
    place.sync()
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in place.home.rglob("*")} == before


@pytest.mark.parametrize("made_anew", [False, True])
def test_an_indexer_whose_gallery_is_removed_stops_with_the_true_reason(place, made_anew):
    class Removed(ColourMeans):
        def features(self, path: Path):
            if path.name == "1.png":
                remove_gallery(place.gallery.path.name, place.home)
                if made_anew:
                    other = Place(place.folder.parent)
                    other.sync()
            return super().features(path)

    place.encoder = Removed(batch=1)
    with pytest.raises(ArtifactError, match="was removed while it was written to"):
        place.sync()
    assert (place.home / "galleries").exists()
    assert len(list((place.home / "galleries").iterdir())) == made_anew
    place.encoder = ColourMeans()
    place.sync()
    assert len(place.gallery.snapshot(place.matcher.fingerprint())) == 3


def test_a_moved_folder_keeps_its_gallery(place, capfd):
    place.sync()
    before = place.folder
    place.folder = before.rename(before.with_name("moved"))
    draw_noise(place.folder / "3.png", 3)
    place.encoder.encoded.clear()
    report, _ = place.gallery.refresh(place.matcher, place.encoder)
    assert (report.unchanged, report.added) == (3, 1)
    assert len(place.encoder.encoded) == 1
    assert f"{place.folder} is taken for {before}, which is gone" in capfd.readouterr().err
    assert len(list((place.home / "galleries").iterdir())) == 1
    assert place.gallery.refresh(place.matcher, place.encoder)[0].in_step


def test_a_copy_beside_the_folder_has_a_gallery_of_its_own(place):
    place.sync()
    shutil.copytree(place.folder, place.folder.with_name("copy"))
    other = StoredGallery.open(place.folder.with_name("copy"), home=place.home)
    assert other.sync(place.matcher, place.encoder).added == 3
    assert len(list((place.home / "galleries").iterdir())) == 2
