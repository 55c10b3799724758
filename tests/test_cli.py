"""The command line: what goes to stdout and stderr, and the exit status."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import VISITA, Done, process, run
from typer.main import get_command

import visita
from visita.cli import options
from visita.cli.app import app
from visita.data.pictures import printable
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.matchers import DEFAULT
from visita.progress import one_line, report_skipped
from visita.types import Skipped

pytestmark = pytest.mark.slow

# The levels of visita-small, whose graphs other tests need too.
SMALL = """
mirror = false
class_names_weight = 0.0
keywords_per_image = 0
dim = 32
fusion_dim = 32
hidden = 32
"""
LIGHT = """
import sys
from visita.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def training(drawn_folder, tmp_path_factory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.toml").write_text(SMALL, "utf-8")
    data = ("--data", f"folder:{drawn_folder}", "--config", folder / "small.toml")
    assert run("extract", *data, "--out", folder / "features").status == 0
    done = run(
        *("train", "fusion", *data, "--features", folder / "features"),
        *("--out", folder / "base", "--set", "epochs=1"),
    )
    return folder / "base", done


@pytest.fixture(scope="module")
def matcher(training) -> Path:
    return training[0]


@pytest.fixture
def pictures(drawn_folder, tmp_path) -> Path:
    """Return a folder with ten drawn pictures, 00000.jpg to 00009.png."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in sorted(drawn_folder.glob("0000?.*[gt]")):
        shutil.copy(path, folder)
    return folder


def caption(pictures: Path, number: int) -> str:
    return (pictures / f"{number:05d}.txt").read_text("utf-8").splitlines()[0]


def test_training_prints_numbers_with_intervals_and_where_the_matcher_is(training):
    folder, done = training
    assert done.status == 0
    assert "rsum" in done.out
    assert f"matcher: {folder}" in done.out
    assert "epoch 1" in done.err
    assert "epoch 1" not in done.out
    assert "to read" not in done.err  # extract has read all
    assert (folder / "curve.png").is_file()
    recall = next(line for line in done.out.splitlines() if "text to image R@1 " in line)
    value, low, high = (float(word.strip("[],")) for word in recall.split()[-3:])
    assert low <= value <= high


def test_a_matcher_is_replaced_by_force_only(matcher, drawn_folder):
    data = ("--data", f"folder:{drawn_folder}", "--out", matcher)
    for words in (
        *(("train", "fusion"), ("train", "mkl-visita"), ("train", "encoder")),
        *(("train", "baseline", "cca"), ("fuse", "visita-small", "visita-base")),
    ):
        done = run(*words, *data)
        assert (done.status, done.out) == (2, "")
        assert "holds a matcher or an encoder: name another --out, or add --force" in done.err
    for words in (("extract",), ("compare", "visita-small"), ("reproduce", "fusion")):
        assert run(*words, *data).err.endswith("name another --out.\n")


def test_adapting_compares_before_with_after(matcher, drawn_folder, tmp_path):
    done = run(
        *("train", "fusion", "--data", f"folder:{drawn_folder}", "--out", tmp_path / "tuned"),
        *("--from", matcher, "--set", "epochs=1", "--json"),
    )
    assert done.status == 0
    facts = done.json
    assert facts["name"] == "tuned"
    assert facts["folder"] == str(tmp_path / "tuned")
    assert Path(facts["curve"]).is_file()
    for side in ("before", "after", "difference"):
        recall = facts["comparison"][side]["text_to_image"]["R@1"]
        assert recall["low"] <= recall["value"] <= recall["high"]
    assert facts["comparison"]["split"] == "test"
    assert {f"warning: {text}" for text in facts["warnings"]} <= set(done.err.splitlines())
    assert facts["fingerprint"] == visita.load(tmp_path / "tuned").fingerprint()


def test_search_prints_probability_and_path_of_the_best(matcher, pictures):
    done = run("search", caption(pictures, 3), pictures, "-k", 4, "--matcher", matcher)
    assert done.status == 0
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert len(rows) == 4
    assert all(Path(path).parent == pictures for _, path in rows)
    probabilities = [float(number) for number, _ in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert "10 pictures, 10 added" in done.err


def test_search_follows_the_folder(matcher, pictures):
    words = ("-k", 20, "--paths", "--matcher", matcher)
    before = run("search", "a red star", pictures, *words).out.splitlines()
    (pictures / "00001.png").rename(pictures / "moved.png")
    (pictures / "00002.jpg").unlink()
    done = run("search", "a red star", pictures, *words)
    expected = {line.replace("00001", "moved") for line in before if "00002" not in line}
    assert set(done.out.splitlines()) == expected
    assert len(expected) == 9
    assert "1 renamed, 1 removed" in done.err


def test_search_as_json_holds_the_same_whatever_a_file_is_called(matcher, pictures):
    odd = os.fsencode(pictures) + b"/tab\tline\nbyte\xff \x1b[31m.png"
    (pictures / "00001.png").rename(os.fsdecode(odd))
    (pictures / "broken.jpg").write_bytes(b"no picture")
    text = run("search", "a red star", pictures, "--matcher", matcher)
    paths = [line.partition("\t")[2] for line in text.out.splitlines()]
    assert len(paths) == 10
    assert rf"{pictures}/tab\tline\nbyte\udcff \x1b[31m.png" in paths
    assert f"skipped {pictures / 'broken.jpg'}: " in text.err
    (pictures / "other.jpg").write_bytes(b"no picture either")
    found = run("search", "-", pictures, "--json", "--matcher", matcher, stdin="a red star\n")
    value = found.json
    assert list(value) == ["query", "kind", "gallery_size", "matches", "skipped"]
    assert (value["query"], value["kind"], value["gallery_size"]) == ("a red star", "text", 10)
    assert odd in {os.fsencode(match["path"]) for match in value["matches"]}
    assert [printed(match) for match in value["matches"]] == text.out.splitlines()
    # What was read before and is no picture is not said again on stderr, but is in the JSON.
    skipped = {one["item"]: one["reason"] for one in value["skipped"]}
    assert list(skipped) == [str(pictures / name) for name in ("other.jpg", "broken.jpg")]
    assert all(skipped.values()) and "broken.jpg" not in found.err
    unsure = value["matches"][0]["probability"] < 0.5
    assert ("no sure match: the best has probability 0." in found.err) == unsure
    assert "trained on English" not in found.err


def printed(match: dict) -> str:
    return f"{match['probability']:.3f}\t{one_line(printable(match['path']))}"


def test_search_by_picture_finds_the_picture_first(matcher, pictures):
    picture = pictures / "00004.jpg"
    done = run("search", "--image", picture, pictures, pictures, "-k", 3, "--matcher", matcher)
    assert done.status == 0
    assert done.out.splitlines()[0] == f"1.000\t{picture}"
    assert len(set(done.out.splitlines())) == 3
    assert "similarities" in done.err


def test_a_threshold_that_nothing_reaches_is_status_1(matcher, pictures):
    done = run("search", "красная звезда", pictures, "--threshold", 1, "--matcher", matcher)
    assert (done.status, done.out) == (1, "")
    assert "nothing found" in done.err
    assert "trained on English" in done.err


def test_a_reader_that_went_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            [*VISITA, "models"], stdout=gone, stderr=subprocess.PIPE, encoding="utf-8", check=False
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_search_imports_nothing_that_trains_or_draws(matcher, pictures):
    command = (sys.executable, "-c", LIGHT)
    done = process("search", "a red star", pictures, "--matcher", matcher, command=command)
    assert done.status == 0
    loaded = set(done.err.splitlines()[-1].split())
    assert "openvino" in loaded
    heavy = {"torch", "transformers", "sklearn", "matplotlib", "scipy.sparse"}
    assert not loaded & heavy


def test_index_sums_up_each_folder(matcher, pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "second")
    folders = (pictures, tmp_path / "second")
    kept = ("--gallery", tmp_path / "kept", "--matcher", matcher)
    done = run("index", *folders, "--exclude", "*.png", *kept)
    assert done.status == 0
    assert done.out.splitlines() == [f"{folder}: 5 pictures, 5 added" for folder in folders]
    found = run("index", *folders, "--json", *kept).json["galleries"]
    assert [(one["folder"], one["added"], one["unchanged"]) for one in found] == [
        (str(folder), 5, 5) for folder in folders
    ]


def test_galleries_are_listed_and_removed(matcher, pictures, tmp_path):
    kept = ("--gallery", tmp_path / "kept")
    run("index", pictures, "--matcher", matcher, *kept)
    [known] = run("gallery", "list", "--json", *kept).json["galleries"]
    assert (known["folder"], known["pictures"]) == (str(pictures), 10)
    listed = run("gallery", "list", *kept)
    assert listed.out.split() == [known["name"], "10", "0", "MB", str(pictures)]
    refused = run("gallery", "rm", known["name"], *kept)
    assert refused.status == 2
    assert "--yes" in refused.err
    unknown = run("gallery", "rm", "picturs", *kept)
    assert "No gallery is called 'picturs'" in unknown.err
    assert run("gallery", "rm", pictures, "--yes", *kept).out == f"removed {known['name']}\n"
    assert run("gallery", "list", *kept).out == ""
    assert len(list(pictures.glob("*.*g"))) == 10


def test_match_tells_yes_from_no(matcher, drawn_folder):
    picture = drawn_folder / "00000.jpg"
    captions = sorted({caption(drawn_folder, number) for number in range(30)})
    finder = visita.Finder(matcher)
    scores = finder.embed_texts(captions) @ finder.embed_pictures([picture])[0]
    worst, best = captions[scores.argmin()], captions[scores.argmax()]
    yes = run("match", picture, best, "--matcher", matcher)
    assert yes.status == 0
    assert yes.out.startswith("match: probability ")
    no = run("match", picture, worst, "--json", "--matcher", matcher)
    assert no.status == 1
    pair = finder.match(picture, worst)
    assert no.json == {
        "image": str(picture),
        "text": worst,
        "score": pytest.approx(pair.score, abs=1e-5),
        "probability": pytest.approx(pair.probability, abs=1e-4),
        "threshold": 0.5,
        "match": False,
    }
    missing = run("match", "nowhere.jpg", best, "--matcher", matcher)
    assert (missing.status, missing.out) == (2, "")
    assert missing.err.startswith("error: Invalid value for 'IMAGE': file 'nowhere.jpg' does not")


def test_extract_keeps_the_features_of_a_recipe(matcher, pictures, tmp_path):
    config = matcher.parent / "small.toml"
    words = ("extract", "--data", f"folder:{pictures}", "--out", tmp_path / "features")
    facts = run(*words, "--config", config, "--json").json
    assert facts["columns"]["efficientnet-lite2/head:avg"] == [1280]
    assert (facts["images"], facts["left_out"], facts["texts"]) == (10, 0, 30)
    assert facts["folder"] == str(tmp_path / "features")
    again = run(*words, "--config", config)
    assert again.out == f"10 images and 30 texts are in {tmp_path / 'features'}\n"
    assert "to read" not in again.err


def test_evaluate_prints_what_the_library_returns(matcher, drawn_folder):
    pairs = f"folder:{drawn_folder}"
    expected = visita.evaluate(matcher, pairs)
    found = run("evaluate", matcher, "--data", pairs, "--json")
    assert found.status == 0
    assert found.json == json.loads(json.dumps(expected))
    table = run("evaluate", matcher, "--data", pairs, "--protocol", "pairs").out
    f1 = expected["protocols"]["pairs"]["F1"]
    assert f"{f1['value']:.1f} [{f1['low']:.1f}, {f1['high']:.1f}]" in table
    assert "R@1" not in table


def test_data_check_fails_on_errors_only(drawn_folder, pictures):
    clean = run("data", "check", f"folder:{drawn_folder}")
    assert clean.status == 0
    assert clean.out.splitlines()[0].startswith("120 images (train 84, dev 18, test 18)")
    (pictures / "00001.png").write_bytes(b"no picture")
    broken = run("data", "check", f"folder:{pictures}")
    assert broken.status == 1
    assert "error: pictures that cannot be decoded: 1" in broken.out
    report = run("data", "check", f"folder:{pictures}", "--json").json
    assert [one["kind"] for one in report["findings"]] == ["broken-pictures"]


def test_models_lists_every_registered_encoder():
    done = run("models", "--json")
    encoders = {one["name"]: one for one in done.json["encoders"]}
    assert list(encoders) == [*IMAGE_ENCODERS.names(), *TEXT_ENCODERS.names()]
    assert "licence not stated" not in {one["licence"] for one in encoders.values()}
    assert encoders["colours"]["package"] is None
    assert encoders["efficientnet-lite2"]["levels"] == 93
    assert encoders["minilm-l6"]["width"] == [384, 384]
    assert 2e7 < encoders["minilm-l6"]["bytes"] < 3e7 and encoders["colours"]["bytes"] == 0
    assert [one["name"] for one in done.json["matchers"]] == ["visita-small", "visita-base"]
    assert list(done.json["trained"]) == ["fusion", "mkl-visita", "encoder"]
    assert [bool(one["second"]) for one in done.json["matchers"]] == [False, True]
    assert sum(one["bytes"] for one in done.json["matchers"]) < 40e6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("search", "x", "nowhere"), "There is no folder 'nowhere'"),
        (("search", "x", "."), "No pictures were found"),
        (("search", "x", ".", "--matcher", "visita-smal"), "Did you mean 'visita-small'?"),
        (("gallery", "rm", "x", "--yes", "--gallery", "."), "No gallery is called 'x'"),
        (("data", "check", "flickr:x"), "Did you mean 'flickr8k'?"),
        (
            ("train", "fusion", "--data", "x", "--out", "y", "--set", "epoch=3"),
            "Did you mean 'epochs'?",
        ),
        (("extract", "--data", "x", "--out", "y", "--config", "no.toml"), "no.toml cannot be read"),
    ],
)
def test_errors_are_one_line_that_helps(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert (done.status, done.out) == (2, "")
    line = done.err.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    "words",
    [
        ("search", "a cat"),
        ("search", "-", "."),
        ("search", "x", ".", "-k", "0"),
        ("search", "x", ".", "--threshold", "50"),
        ("search", "--image", "nowhere.jpg", "."),
        ("serach", "x", "."),
    ],
)
def test_wrong_usage_is_status_2(words):
    done = run(*words)
    assert (done.status, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith("error: ")


def interrupted(process):
    """Interrupt until it ends: Python misses a signal that comes just before it blocks."""
    for _ in range(60):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=2)[1]
    raise AssertionError("it cannot be interrupted")


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_is_said_in_one_line(tmp_path):
    command = [*VISITA, "search", "--queries", "-", str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, encoding="utf-8", **pipes) as process:
        process.stdin.write("a dog\n" * 100_000)  # more than a pipe holds: it is at work
        process.stdin.flush()
        err = interrupted(process)
    assert process.returncode == 130
    assert err == "interrupted; what was done is kept\n"


def test_the_default_matcher_is_the_librarys():
    assert options.DEFAULT == DEFAULT


def test_the_version_is_the_packages():
    assert run("--version").out == f"{visita.__version__}\n"


def test_every_help_has_an_example():
    parts = get_command(app).commands.values()
    inner = (getattr(part, "commands", {"": part}) for part in parts)
    commands = [command for group in inner for command in group.values()]
    assert len(commands) >= 27
    for command in commands:
        assert "[bold]visita " in command.callback.__doc__
    shown = run("search", "--help").out
    assert 'visita search "a dog on a beach" Pictures' in shown
    assert "[bold]" not in shown


def test_control_characters_are_escaped():
    assert one_line("a\tb\r\n\x1b[0m\x85\u2028c\\d é\u202f海") == (
        "a\\tb\\r\\n\\x1b[0m\\x85\\u2028c\\d é\u202f海"
    )


def test_names_on_stderr_are_escaped_as_on_stdout(capsys):
    report_skipped([Skipped("a\x1b[2J\u202egpj\n.jpg", "is \u2066odd\x9b")])
    assert capsys.readouterr().err == "skipped a\\x1b[2J\\u202egpj\\n.jpg: is \\u2066odd\\x9b\n"
