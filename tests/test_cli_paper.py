"""``visita train fusion --preset paper`` as a process, and what every report says of a leak."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Done, run

import visita

pytestmark = pytest.mark.slow

LEVELS = json.dumps({"efficientnet-lite0": ["block10:avg", "head:avg", "classes"]})
SMALL = [
    word
    for setting in (f"image_levels={LEVELS}", "mirror=true", "topics=12", "hidden=32", "epochs=1")
    for word in ("--set", setting)
]


def train(drawn_folder: Path, out: Path, *words: object) -> Done:
    return run("train", "fusion", "--data", f"folder:{drawn_folder}", "--out", out, *words)


@pytest.fixture(scope="module")
def leaking(drawn_folder, tmp_path_factory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("cli") / "paper"
    words = ("--preset", "paper", *SMALL, "--set", "topics_from=all", "--json")
    return out, train(drawn_folder, out, *words)


def test_the_preset_trains_the_papers_network(leaking):
    folder, done = leaking
    assert done.status == 0
    assert done.json["folder"] == str(folder)
    matcher = visita.load(folder)
    assert [part["network"] for part in matcher.space["parts"]] == ["multi-level"]
    assert matcher.facts["config"]["margin"] == 0.5
    assert matcher.open_text_encoder().dim == matcher.dim == 12


def test_a_leak_is_in_every_report(leaking, drawn_folder):
    folder, done = leaking
    (leak,) = (text for text in done.json["warnings"] if "dev and test included" in text)
    assert f"warning: {leak}" in done.err.splitlines()
    words = ("evaluate", folder, "--data", f"folder:{drawn_folder}")
    assert f"warning: {leak}" in run(*words).err.splitlines()
    assert run(*words, "--json").json["warnings"][0] == leak


def test_a_corpus_of_texts_alone_teaches_the_topics(drawn_folder, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for path in drawn_folder.glob("*.txt"):
        (corpus / path.name).write_text(path.read_text("utf-8").replace("picture", "zorb"), "utf-8")
    words = ("--preset", "paper", "--topic-corpus", corpus, *SMALL)
    assert train(drawn_folder, tmp_path / "out", *words).status == 0
    matcher = visita.load(tmp_path / "out")
    assert "zorb" in matcher.topic_model.words and "picture" not in matcher.topic_model.words
    assert matcher.facts["topics_from"] == "corpus"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "papre"), "No preset is called 'papre'. Did you mean 'paper'?"),
        (("--preset", "paper", "--set", "dropout=0.5"), "Unknown setting 'dropout'"),
        (("--topic-corpus", "x"), "topic_corpus would do nothing: 'minilm-l6' is no topic model"),
        (("--preset", "paper", *SMALL, "--topic-corpus", "nowhere.txt"), "nowhere.txt cannot be"),
        (("--preset", "paper", *SMALL, "--set", "topics=400"), "topics=400 is above the rank"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(drawn_folder, tmp_path, words, message):
    done = train(drawn_folder, tmp_path / "out", *words)
    assert (done.status, done.out) == (2, "")
    line = done.err.splitlines()[-1]
    assert line.startswith("error: ") and message in line
    assert not (tmp_path / "out").exists()


def test_a_preset_is_no_way_to_adapt(drawn_folder, tmp_path):
    done = train(drawn_folder, tmp_path / "out", "--from", "visita-small", "--preset", "paper")
    assert done.status == 2 and "Only for training anew" in done.err


def test_extract_computes_what_a_preset_reads(drawn_folder, tmp_path):
    words = ("extract", "--data", f"folder:{drawn_folder}", "--out", tmp_path / "features")
    config = {"image_levels": json.loads(LEVELS), "topics": 12}
    settings = [w for k, v in config.items() for w in ("--set", f"{k}={json.dumps(v)}")]
    facts = run(*words, "--preset", "paper", *settings, "--json").json
    assert (facts["images"], facts["texts"]) == (120, 360)
    assert facts["columns"]["efficientnet-lite0/head:avg"] == [1280]
