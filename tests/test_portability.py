"""Nothing needs Linux, as far as Linux can tell: other systems are played to the code."""

from __future__ import annotations

import ast
import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import watch
from standin import ColourMeans, LinearMatcher, draw_noise

import visita
from visita.data import find_pictures
from visita.durable import draft_beside, sync_handle, write_durably
from visita.encoders.engine import cores
from visita.gallery.gallery import StoredGallery
from visita.gallery.survey import digest_of
from visita.report.content import shown
from visita.reports.costs import peak_memory

if sys.platform != "win32":
    import fcntl
    import resource

ROOT = Path(__file__).parents[1]
SOURCE = Path(visita.__file__).parent
ROOMS = ("src", ".ci", "runs", "benchmarks", "tests")
OURS = [path for name in ROOMS for path in (ROOT / name).rglob("*.py")]


def without_encoding(source: str) -> Iterator[int]:
    """Yield the lines of calls that read or write text in whatever encoding the system has."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and not any(k.arg == "encoding" for k in node.keywords):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if len(node.args) < least_words(name, node):
                yield node.lineno


def least_words(name: str, call: ast.Call) -> int:
    """Return how many positional arguments say the encoding; 0 if the call needs none."""
    if name in {"run", "Popen", "check_output"}:
        return 99 if any(k.arg in {"text", "universal_newlines"} for k in call.keywords) else 0
    before = isinstance(call.func, ast.Name)  # open(path, mode), path.open(mode)
    modes = [k.value for k in call.keywords if k.arg == "mode"] or call.args[before : before + 1]
    of_text = all(re.fullmatch("[rwxat+]+", str(getattr(mode, "value", "?"))) for mode in modes)
    return {"read_text": 1, "write_text": 2, "open": 3 + before if of_text else 0}.get(name, 0)


def test_every_text_is_read_and_written_in_a_stated_encoding():
    assert len(OURS) > 500
    found = {str(path): [*without_encoding(path.read_text("utf-8"))] for path in OURS}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("line", "is_stated"),
    [
        ("open(path)", False),
        ("open(path, 'w')", False),
        ("path.open()", False),
        ("path.open(mode='a')", False),
        ("path.read_text()", False),
        ("path.write_text(text)", False),
        ("subprocess.run(command, text=True)", False),
        ("open(path, 'rb')", True),
        ("path.open('rb')", True),
        ("path.open(encoding='utf-8')", True),
        ("path.read_text('utf-8')", True),
        ("Image.open(path)", True),
        ("subprocess.run(command)", True),
    ],
)
def test_a_text_in_the_encoding_of_the_system_is_found(line, is_stated):
    assert [*without_encoding(line)] == ([] if is_stated else [1])


@pytest.mark.slow
def test_nothing_is_asked_of_python_that_windows_lacks(tmp_path):
    pytest.importorskip("mypy")
    planted = tmp_path / "planted.py"
    planted.write_text("import fcntl, os\nfcntl.flock\nos.sched_getaffinity\n", "utf-8")
    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", os.devnull]
    # Of its remarks only some are of interest: without other packages many types are unknown.
    alone = ["--platform", "win32", "--no-site-packages", "--ignore-missing-imports"]
    done = subprocess.run(
        [*mypy, *alone, str(SOURCE), str(planted)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if "Module has no attribute" in line]
    assert [Path(line.split(":")[0]).name for line in found] == ["planted.py"] * 2, done.stdout


def test_cores_are_counted_where_none_are_set_aside_for_a_process(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delenv("VISITA_CORES")
    assert cores() == os.cpu_count()


def test_the_peak_of_memory_is_told_where_the_system_knows_it(monkeypatch):
    most = 1.1 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert 30 < peak_memory()["peak_mb"] < most / 1e3
    monkeypatch.setattr(sys, "platform", "darwin")  # which counts bytes
    assert 0 < peak_memory()["peak_mb"] < most / 1e6
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() == {}


def test_a_file_is_replaced_where_folders_have_no_locks_and_cannot_be_waited_for(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(fcntl, "flock", None)
    for content in (b"one", b"two"):
        write_durably(tmp_path / "x", content)
        assert (tmp_path / "x").read_bytes() == content
    with draft_beside(tmp_path / "x") as draft:
        (draft / "half").write_text("half", "utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("knows", [True, False])
def test_macos_is_asked_to_empty_the_memory_of_the_drive(tmp_path, monkeypatch, knows):
    asked = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(os, "fsync", lambda _: asked.append("fsync"))

    def control(_handle: int, command: int) -> None:
        asked.append(command)
        if not knows:
            raise OSError(errno.ENOTSUP, "a network's disk")

    monkeypatch.setattr(fcntl, "fcntl", control)
    with (tmp_path / "x").open("wb") as file:
        sync_handle(file.fileno())
    assert asked == ([51] if knows else [51, "fsync"])


class Listed:
    """A file as Windows lists it: without the file system's number."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self._entry = entry

    def __getattr__(self, name: str) -> object:
        return getattr(self._entry, name)

    def stat(self) -> os.stat_result:
        """Return what ``os.stat`` does, the number aside."""
        status = self._entry.stat()
        facts = (status.st_mode, 0, *status[2:])
        return os.stat_result(facts, {"st_mtime_ns": status.st_mtime_ns})


class Listing:
    """``os.scandir`` of Windows."""

    def __init__(self, folder: str) -> None:
        self._entries = SCAN(folder)

    def __enter__(self) -> Iterator[Listed]:
        return map(Listed, self._entries)

    def __exit__(self, *_: object) -> None:
        self._entries.close()


SCAN = os.scandir


def test_a_gallery_is_kept_where_listings_tell_no_inode(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    folder.mkdir()
    a, b = (draw_noise(folder / f"{name}.png", seed) for seed, name in enumerate("ab"))
    monkeypatch.setattr("visita.data.pictures.os.scandir", Listing)
    assert [file.inode for file in find_pictures(folder).pictures] == [0, 0]
    encoder = ColourMeans()
    matcher = LinearMatcher(encoder.recipe)
    gallery = StoredGallery.open(folder, home=tmp_path / "home")
    assert gallery.sync(matcher, encoder).added == 2
    assert gallery.sync(matcher, encoder).unchanged == 2
    a.rename(folder / "c.png")
    draw_noise(b, 2)
    report = gallery.sync(matcher, encoder)
    assert (report.renamed, report.changed, report.unchanged) == (1, 1, 0)
    [found, _] = find_pictures(folder).pictures
    assert len(digest_of(found)) == 64
    assert np.isfinite(gallery.snapshot(matcher.fingerprint()).vectors).all()


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        *((name, False) for name in ("a:b", "what?", "con", "Aux.txt", "dot.", "end ", "a\nb")),
        *((name, True) for name in ("a-b", "console", "com", "lpt10.txt", "ü.png", ".hidden")),
    ],
)
def test_the_watch_of_all_tests_knows_the_names_that_windows_refuses(name, fits):
    assert watch.fits_windows(name) == fits


def test_a_report_takes_no_drive_for_a_family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C:tuned").mkdir()  # as on a system where this is a folder of a drive
    (tmp_path / "tuned").mkdir()
    assert shown("C:tuned") == "C:tuned"
    assert shown(f"clip:{tmp_path / 'tuned'}") == "clip:tuned"
    assert shown(str(tmp_path / "tuned")) == "tuned"
