"""Mistakes on the command line: each is one line that says what to do, and status 2."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import VISITA, run
from drawn import draw_pairs
from PIL import Image
from standin import draw_noise

from visita.cli.options import check_drawing, folders
from visita.errors import ConfigError


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """Stand in a folder with ``Pictures/dog.jpg`` and nothing else."""
    (tmp_path / "Pictures").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "Pictures" / "dog.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("query", "places", "message"),
    [
        ("dog", ["Picture"], "There is no folder 'Picture'. Did you mean 'Pictures'?"),
        ("dog", ["Pictures/dog.jpg"], "is a file: name the folder that it is in:  Pictures"),
        ("dog", ["~/Pictures"], "a shell replaces ~ only outside quotes. Write {here}/Pictures."),
        ("dog", ["Photo*"], "'Photo*' matches nothing"),
        (
            "a",
            ["dog", "on", "a", "beach", "Pictures"],
            'a query of several words takes quotes:  visita search "a dog on a beach" Pictures',
        ),
        ("a", ["dog", "barks"], 'visita search "a dog barks" FOLDER'),
        ("Pictures", ["a dog"], 'the query comes first:  visita search "a dog" Pictures'),
        ("a dog", ["here", "there"], "There is no folder 'here'."),
        ("-dog", ["Pictures", "-k", "2"], "no folder '-k': options come before the '--'"),
    ],
)
def test_a_wrong_folder_is_told_by_what_it_is(here, query, places, message):
    with pytest.raises(ConfigError) as caught:
        folders(places, query)
    assert message.format(here=here) in str(caught.value)


@pytest.mark.usefixtures("here")
def test_right_folders_are_taken_as_they_are():
    assert folders(["Pictures", "."], "a dog") == [Path("Pictures"), Path()]
    with pytest.raises(ConfigError, match="There is no folder 'dog'"):
        folders(["dog", "Pictures"])


PICTURE = "Pictures/dog.jpg"
DATA = ("--data", "folder:Pictures")
WRONG = [
    ("search", "--image", "Pictures", "Pictures"),
    ("search", "--queries", "nowhere.txt", "Pictures"),
    ("search", "--queries", PICTURE, "Pictures"),
    ("search", "--queries", "Pictures", "Pictures"),
    ("search", "--queries", os.devnull, "Pictures"),
    ("search", "--queries", "-", "--image", PICTURE, "Pictures"),
    ("search", "dog", "Pictures", "--sheet", "sheet.doc"),
    ("search", "dog", "Pictures", "--sheet", "no/folder/sheet.png"),
    ("search", "dog", "Pictures", "--null", "--json"),
    ("search", "dog", "Pictures", "-k", "many"),
    ("index", "Pictures/dog.jpg"),
    ("recommend", PICTURE, "Pictures"),
    ("recommend", "Pictures", "Pictures"),
    ("match", "Pictures", "a dog"),
    ("match", PICTURE),
    ("explain", PICTURE, "a dog", "--out", "why.txt"),
    ("caption", "Pictures", "--from", "nowhere.txt"),
    ("answer", "nowhere.jpg", "Is it?", "--choices", "yes,no"),
    ("extract", "--data", "folder:nowhere", "--out", "features"),
    ("extract", *DATA),
    ("evaluate", "Pictures", *DATA),
    ("evaluate", "visita-small", *DATA, "--split", "none"),
    ("compare", "visita-small", "--data", PICTURE, "--out", "compared"),
    ("fuse", "visita-small", *DATA, "--out", "fused"),
    ("robustness", "visita-small", "--data", "nowhere.csv", "--out", "robust"),
    ("demo", "--out", "no/folder/sheet.png"),
    ("data", "check", PICTURE),
    ("data", "articles", "folder:Pictures", "--noise", "-1", "--out", "a.jsonl"),
    ("train", "fusion", *DATA, "--out", PICTURE),
    ("train", "baseline", "nothing", *DATA, "--out", "mine"),
    ("train", "encoder", *DATA, "--out", "mine", "--set", "epochs"),
    ("train", "mkl-visita", *DATA, "--out", "mine", "--config", "Pictures"),
    ("reproduce", "fusion", *DATA, "--out", "it", "--seeds", "0"),
    ("gallery", "rm", "Pictures"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_every_mistake_is_one_line_and_with_json_an_object():
    for more in ([], ["--json"]):
        for words in WRONG:
            status, out, err = run(*words, *more)
            *before, line = err.splitlines()
            assert status == 2 and line.startswith("error: "), (words, err)
            assert all(one.startswith(("skipped ", "preparing ")) for one in before), (words, err)
            assert "[Errno" not in line, (words, line)
            error = {"error": line.removeprefix("error: ")}
            assert (json.loads(out or "{}") == error) == ("--json" in [*words, *more]), words


@pytest.mark.usefixtures("here")
def test_no_arguments_show_the_help():
    for words in ([], ["gallery"], ["train"], ["reproduce"], ["data"]):
        done = run(*words)
        assert (done.status, done.err) == (2, "")
        assert "Usage:" in done.out


def closed(*words: str, stream: str) -> subprocess.CompletedProcess:
    line = f'exec "$@" {stream}'
    return subprocess.run(
        ["sh", "-c", line, "sh", *VISITA, *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.skipif(os.name == "nt", reason="streams are closed by a shell")
def test_closed_streams_are_no_reason_for_a_traceback():
    for words in (["search", "-", "Pictures"], ["search", "--queries", "-", "Pictures"]):
        done = closed(*words, stream="<&-")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: There is nothing to read: standard input is closed.\n"
    assert closed("gallery", "list", stream=">&-").returncode == 0
    if Path("/dev/full").exists():
        full = closed("models", stream="> /dev/full")
        assert (full.returncode, full.stderr) == (2, "error: [Errno 28] No space left on device\n")


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.skipif(os.name == "nt", reason="Windows has another signal")
@pytest.mark.parametrize("module", ["visita.cli.app", "typer.core", "numpy", "openvino.op"])
def test_an_interrupt_while_importing_is_said_in_one_line(module):
    """Interrupt as soon as a module was imported, which Python tells on stderr."""
    words = ("search", "a dog", "Pictures", "--gallery", "kept")
    command = [sys.executable, "-X", "importtime", "-m", "visita", *words]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
            for line in process.stderr:
                if line.split()[-1] == module:
                    process.send_signal(signal.SIGINT)
                    break
            rest = process.stderr.read()
    finally:
        signal.signal(signal.SIGINT, before)
    told = [line for line in rest.splitlines() if not line.startswith("import time:")]
    assert process.returncode == 130, rest
    assert told == ["interrupted; what was done is kept"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("asked") / "pictures"
    draw_pairs(folder, 6)
    return folder


@pytest.mark.slow
def test_many_queries_are_answered_like_each_alone(pictures, tmp_path):
    endless = "&" * 300_000  # more signs than are read
    queries = ("a red star", "ein Hund läuft über die Wiese", endless, "a blue circle")
    (tmp_path / "queries.txt").write_text("\n\n".join(queries) + "\n", "utf-8")
    sheet = tmp_path / "sheet.jpg"
    words = ("--queries", tmp_path / "queries.txt", pictures, "-k", "5")
    done = run("search", *words, "--sheet", sheet)
    assert done.status == 2, done.err
    assert f"error: '{endless[:59]}…': " in done.err
    blocks = [block.splitlines() for block in done.out.rstrip("\n").split("\n\n")]
    assert [block[0] for block in blocks] == [f"# {query}" for query in queries]
    notes = [line for line in done.err.splitlines() if "seems to be in German" in line]
    assert len(notes) == 1 and notes[0].startswith(f"note: {queries[1]!r}: ")
    lines = run("search", *words, "--json").out.splitlines()
    assert (len(blocks[2]), "100,000 signs" in json.loads(lines[2])["error"]) == (1, True)
    for query, block, line in zip(queries, blocks, lines, strict=True):
        if query == endless:
            continue
        alone = run("search", query, pictures, "-k", "5", "--json").json
        assert json.loads(line) == {key: alone[key] for key in json.loads(line)}
        assert [row.split("\t")[1] for row in block[1:]] == [m["path"] for m in alone["matches"]]
    with Image.open(sheet) as drawn:  # two lines a query, one where there is none
        assert (drawn.format, drawn.height) == (
            "JPEG",
            132 + 7 * 236 + 28,
        )


@pytest.mark.slow
def test_null_ends_paths_as_the_file_system_has_them(pictures, tmp_path):
    folder = shutil.copytree(pictures, tmp_path / "odd", ignore=shutil.ignore_patterns("*.txt"))
    odd = os.fsencode(folder) + b"/line\nbyte\xff.jpg"
    (folder / "00000.jpg").rename(os.fsdecode(odd))
    done = subprocess.run(
        [*VISITA, "search", "a star", str(folder), "-0"], capture_output=True, check=True
    )
    assert sorted(done.stdout.split(b"\0")) == sorted([b"", *map(os.fsencode, folder.iterdir())])
    assert odd in done.stdout.split(b"\0")


@pytest.mark.slow
def test_open_asks_the_systems_viewer_and_does_without(pictures, tmp_path):
    if sys.platform != "linux":
        pytest.skip("the viewer is another on this system")
    viewer, opened = tmp_path / "bin" / "xdg-open", tmp_path / "opened"
    viewer.parent.mkdir()
    viewer.write_text(f'#!/bin/sh\necho "$@" >> "{opened}"\n', "utf-8")
    viewer.chmod(0o755)
    sheet = tmp_path / "sheet.png"
    words = [*VISITA, "search", "a star", str(pictures), "--sheet", str(sheet), "--open"]
    for place in (viewer.parent, tmp_path):
        done = subprocess.run(
            words,
            env={**os.environ, "PATH": str(place)},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert ("no viewer" in done.stderr) == (place == tmp_path)
    assert opened.read_text("utf-8") == f"{sheet}\n"


def test_no_sheet_is_drawn_over_a_picture_that_is_searched(tmp_path):
    with pytest.raises(ConfigError, match=r"is in the folder .* and would be overwritten"):
        check_drawing(draw_noise(tmp_path / "a.png", 0), [tmp_path])
    with pytest.raises(ConfigError, match="is the picture itself"):
        check_drawing(tmp_path / "a.png", [tmp_path / "a.png"])
    check_drawing(tmp_path / "b.png", [tmp_path])
    done = run("search", "dog", tmp_path, "--sheet", tmp_path / "a.png")
    assert (done.status, done.out) == (2, "") and "name another file" in done.err


def test_with_a_picture_to_search_by_there_is_no_query(tmp_path):
    picture = draw_noise(tmp_path / "a.png", 0)
    done = run("search", "--image", picture, "dog", tmp_path)
    assert (
        done.status == 2 and "all arguments are folders, and there is no folder 'dog'" in done.err
    )
