"""Teaching a matcher other languages by captions and by parallel sentences, and refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from specimens import joint
from test_other_languages import German
from typer.testing import CliRunner

import visita
from visita.cli.app import app
from visita.encoders.table import TEXT_ENCODERS
from visita.errors import ConfigError, DataError
from visita.training.parallel import read_parallel
from visita.vectors import unit

pytestmark = pytest.mark.slow

IN_GERMAN = {"a": "ein", "and": "und", "on": "auf", "background": "Grund", "circle": "Kreis"}
TINY = ("text_encoder=german", 'text_levels=["layer5", "layer6"]', "hidden=16")


@pytest.fixture
def base(monkeypatch, tmp_path) -> Path:
    """Return the folder of a matcher of English texts; ``german`` reads German ones quickly."""
    monkeypatch.setitem(TEXT_ENCODERS._table, "german", "test_other_languages:German")
    joint("minilm-l6").save(tmp_path / "base")
    return tmp_path / "base"


def in_german(text: str) -> str:
    return " ".join(IN_GERMAN.get(word, word) for word in text.split())


def captions(folder: Path) -> dict[Path, list[str]]:
    return {p.with_suffix(".jpg"): p.read_text("utf-8").splitlines() for p in folder.glob("*.txt")}


def run(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["train", "languages", *map(str, words)], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def set_to(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def test_parallel_sentences_alone_put_a_text_near_what_it_means(base, drawn_folder, tmp_path):
    texts = sorted({text for all_ in captions(drawn_folder).values() for text in all_})
    told, held_back = texts[:150], texts[150:200]
    table = tmp_path / "sentences.tsv"
    rows = "".join(f"{in_german(text)}\t{text}\n" for text in told)
    table.write_text("de\ten\n" + rows + "nur deutsch\t\n", "utf-8")
    code, out, _ = run(
        *("--from", base, "--parallel", table, "--out", tmp_path / "new", *set_to(*TINY))
    )
    assert code == 0 and "de: 150 parallel sentences learnt" in out
    taught, before = visita.load(tmp_path / "new"), visita.load(base)
    assert taught.fingerprint() == before.fingerprint()
    german = visita.Finder(taught, language="de").reading("Hund")
    near = german.embed_texts([in_german(text) for text in held_back])
    meant = unit(visita.Finder(before).embed_texts(held_back))
    assert np.mean((near @ meant.T).argmax(axis=1) == np.arange(50)) > 0.2  # chance is 0.02
    assert taught.others.calibration == before.calibration


def test_captions_teach_and_are_measured_by_language(base, drawn_folder, tmp_path):
    table = tmp_path / "captions.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption", "language"])
        for path, texts in captions(drawn_folder).items():
            writer.writerow([path, texts[0], "en"])
            writer.writerows([path, in_german(text), "de"] for text in texts[1:])
    out = tmp_path / "new"
    code, printed, _ = run(
        *("--from", base, "--data", table, "--root", drawn_folder, "--out", out, "--json"),
        *set_to(*TINY, "epochs=30", "batch=64", "learning_rate=0.005"),
    )
    assert code == 0
    report = json.loads(printed)["dev"]
    assert list(report) == ["de"] and report["de"]["texts"] >= 10
    chance = 10 / len(captions(drawn_folder)) / 0.15  # of 18 pictures of dev
    assert report["de"]["text_to_image"]["R@10"]["low"] > 100 * chance
    side = visita.load(out).others
    assert set(side.facts["learnt"]) == {"de", "en"} and side.calibration is not None
    assert side.open_text_encoder().fingerprint() == German().fingerprint()


def test_what_cannot_teach_is_refused_with_the_reason(base, drawn_pairs, tmp_path):
    config = visita.LanguagesConfig.read(None, TINY)
    with pytest.raises(ConfigError, match="nothing to learn from"):
        visita.teach_languages(base, tmp_path / "new", config=config)
    with pytest.raises(ConfigError, match="name no text of dev in a language other than 'en'"):
        visita.teach_languages(base, tmp_path / "new", data=drawn_pairs, config=config)
    assert not (tmp_path / "new").exists()
    table = tmp_path / "sentences.tsv"
    for content, reason in {
        "": "first line has to name",
        "de\tfr\nHund\tchien\n": "'en' among them",
        "en\tde\na dog\tein Hund\tein Tier\n": "no row with a sentence",
        "en\tde\n\tein Hund\n": "no row with a sentence",
    }.items():
        table.write_text(content, "utf-8")
        with pytest.raises(DataError, match=reason):
            read_parallel(table, "en")


def test_a_row_of_other_cells_is_left_out_and_said(tmp_path, capsys):
    table = tmp_path / "sentences.tsv"
    table.write_text("en\tde\na dog\tein Hund\na cat\teine\tKatze\na cow\teine Kuh\n", "utf-8")
    assert [text for _, text, _ in read_parallel(table, "en")] == ["ein Hund", "eine Kuh"]
    assert "1 of 3 rows are left out; row 3 has 3 cells" in capsys.readouterr().err


def test_drawn_rows_are_the_same_each_time_and_every_language_of_them(tmp_path):
    table = tmp_path / "sentences.tsv"
    rows = "".join(f"dog {n}\tHund {n}\tchien {n}\n" for n in range(50))
    table.write_text("en\tde\tfr\n" + rows, "utf-8")
    drawn = read_parallel(table, "en", most=10, seed=1)
    assert drawn == read_parallel(table, "en", most=10, seed=1)
    assert len(drawn) == 20 and {language for language, *_ in drawn} == {"de", "fr"}
    assert all(text.split()[1] == meant.split()[1] for _, text, meant in drawn)
