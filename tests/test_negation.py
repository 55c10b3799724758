"""What a text does not want: understood where it is plain, and told where it is not."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from commands import run
from tiny import two_stages

import visita
from visita.errors import ConfigError
from visita.matchers.probability import KeywordCalibration
from visita.search.pair import Pair, without
from visita.search.query import misread, wish

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("beach -dog", "beach", ["dog"]),
        ("-dog", "", ["dog"]),
        ("t-shirt −hat -cap", "t-shirt", ["hat", "cap"]),
        ("a man without a hat on a beach", "a man on a beach", ["hat"]),
        ("a boy without shoes or a shirt", "a boy", ["shoes", "shirt"]),
        ("no cat", "", ["cat"]),
        ("No dogs or cats", "", ["dogs", "cats"]),
        ("not a dog", "", ["dog"]),
        ("a dog but not a cat", "a dog", ["cat"]),
        ("a dog, no cat", "a dog", ["cat"]),
        ("there is no cat", "", ["cat"]),
        ("a beach with no people and no dogs", "a beach", ["people", "dogs"]),
        ("people without red hats", "people", ["red hats"]),
        ("a black-and-white dog", "a black-and-white dog", []),
        ("a man -- smiling", "a man -- smiling", []),
        ("the number -7", "the number -7", []),
        ("no entry sign", "no entry sign", []),
        ("a no. 7 shirt", "a no. 7 shirt", []),
    ],
)
def test_what_is_plain_is_understood(text, wanted, unwanted):
    assert wish(text) == (wanted, tuple(unwanted))
    assert misread(text) == ""


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a dog that is not running", "not"),
        ("nobody on the beach", "nobody"),
        ("he doesn't smile", "doesn't"),
        ("a dog without a leash that is not running", "not"),
        ("two dogs play in the snow", ""),
    ],
)
def test_what_is_not_plain_is_told(text, word):
    assert misread(text) == word


@pytest.fixture(scope="module")
def reranked(drawn_folder, drawn_pairs, tmp_path_factory):
    """Return a gallery for a matcher of two stages that tells what a picture shows."""
    home = tmp_path_factory.mktemp("galleries")
    shows = KeywordCalibration(intercept=0.0, score=0.0, height=5.0, spread=0.0)
    matcher = replace(visita.load(two_stages(drawn_pairs)), keyword_calibration=shows)
    found = visita.Gallery.open(drawn_folder, matcher=matcher, home=home)
    found.sync()
    return found


def said(gallery, text):
    return {one.path: one.probability for one in gallery.search(text, 120)}


@pytest.mark.parametrize("name", ["gallery", "reranked"])
def test_a_search_multiplies_what_is_wanted_and_not(name, request):
    place = request.getfixturevalue(name)
    star, red = said(place, "star"), said(place, "red")
    found = place.search("star -red", 120)
    for one in found:
        expected = star[one.path] * (1 - red[one.path])
        assert one.probability == pytest.approx(expected, abs=1e-4)
    chances = [one.probability for one in found]
    assert chances == sorted(chances, reverse=True) and len(chances) == len(star)
    assert place.search("a star without red", 5) != place.search("a star", 5)
    cut = chances[7]
    assert len(place.search("star -red", 120, threshold=cut)) >= 8


def test_nothing_wanted_gives_what_shows_the_unwanted_least(gallery):
    red = said(gallery, "red")
    found = gallery.search("no red", 120)
    assert [one.probability for one in found] == pytest.approx(
        sorted((1 - p for p in red.values()), reverse=True), abs=1e-5
    )
    assert {one.path for one in found[:10]}.isdisjoint(one.path for one in found[-10:])


@pytest.mark.parametrize("text", ["star -red", "no star", "a star without red"])
def test_a_match_says_what_a_search_says(gallery, text):
    for one in gallery.search(text, 3):
        pair = gallery.finder.match(one.path, text)
        assert pair.probability == pytest.approx(one.probability, abs=2e-3)
        assert pair.match == (pair.probability >= 0.5)


def test_a_question_for_what_is_not_there_is_answered_the_other_way(gallery):
    for path in gallery.snapshot.paths[:10]:
        pair = gallery.finder.match(path, "star")
        [first, *_] = visita.answer(
            gallery.finder, path, "Is there no star in the picture?", ["yes", "no"]
        )
        assert first.text == ("no" if pair.probability > 0.5 else "yes")


def test_without_probabilities_nothing_can_be_excluded():
    known, unknown = Pair(0.4, 0.8, 0.5), Pair(0.2, None, 0.3)
    assert without(known, []) is known
    assert without(known, [Pair(0.3, 0.25, 0.5)]).probability == pytest.approx(0.6)
    assert without(None, [known, Pair(0.6, 0.5, 0.5)]) == Pair(-0.6, pytest.approx(0.1), 0.5)
    for pair, others in ((known, [unknown]), (unknown, [known]), (None, [unknown])):
        with pytest.raises(ConfigError, match="no probability that something is not"):
            without(pair, others)


def test_as_a_command(gallery, tmp_path):
    few, kept = tmp_path / "few", ("--gallery", tmp_path / "kept")
    few.mkdir()
    for path in gallery.snapshot.paths[:12]:
        shutil.copy(path, few)
    done = run("search", *kept, "--json", "--", "-red", few)
    chances = [one["probability"] for one in done.json["matches"]]
    assert done.json["query"] == "-red" and chances == sorted(chances, reverse=True)
    wrong = run("search", "-red", few)
    assert wrong.status == 2 and "visita search -- -dog" in " ".join(wrong.err.split())
    note = run("search", "a star that is not red", few, *kept)
    assert "note: 'not' is read as any other word" in note.err
    assert np.isfinite(chances).all()
