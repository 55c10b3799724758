"""Questions with choices: the statements they become, their scores and shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from commands import run
from PIL import Image
from tiny import draw_scene, folder_of, two_stages

import visita
from visita.errors import ConfigError, DataError, PictureError
from visita.search.answer import LARGE, claim, shares, statement

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finder(drawn_pairs) -> visita.Finder:
    return visita.Finder(two_stages(drawn_pairs))


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    return draw_scene("red", "blue", 16)


@pytest.mark.parametrize(
    ("question", "choice", "said"),
    [
        ("What colour is the man's shirt?", "red", "the man's shirt is red"),
        ("what color are  the dogs", "black", "the dogs are black"),
        ("How many dogs are there?", "two", "two dogs"),
        ("How many people are in the picture?", "3", "3 people"),
        ("how many boys are playing football?", "four", "four boys are playing football"),
        ("What is this?", "a cat", "a cat"),
        ("What animal is shown in the photo?", "a horse", "a horse"),
        ("Who is in the picture?", "A man", "A man"),
        ("What is the dog doing on the beach?", "running", "the dog is running on the beach"),
        ("Where is the dog?", "on a beach", "the dog is on a beach"),
        ("Who is riding the horse?", "a woman", "a woman is riding the horse"),
        ("What is running on the beach?", "a dog", "a dog is running on the beach"),
        ("What is on the table?", "a cup", "a cup is on the table"),
        ("What is she wearing on her head?", "a hat", "she is wearing a hat on her head"),
        ("What sport are they playing?", "football", "they are playing football"),
        ("Is it a dog or a cat?", "a dog", "is it a dog or a cat a dog"),
        ("Why {choice}?", "{what}", "why {choice} {what}"),
        ("?", "x", "? x"),
    ],
)
def test_question_and_choice_become_a_statement(question, choice, said):
    assert statement(question, choice) == said


@pytest.mark.parametrize(
    ("question", "claimed"),
    [
        ("Is there a boat in the picture?", "a boat"),
        ("Are there any dogs?", "dogs"),
        ("Is it a dog?", "a dog"),
        ("Is the dog running?", "the dog running"),
        ("Who is it?", None),
    ],
)
def test_yes_claims_something(question, claimed):
    assert claim(question) == claimed


def test_choices_come_by_the_score_of_their_statements(finder, scene):
    question, colours = "What colour is the circle?", ["red", "green", " yellow ", "red", ""]
    found = visita.answer(finder, scene, question, colours)
    assert {one.text for one in found} == {"red", "green", "yellow"}
    for one in found:
        assert one.statement == f"the circle is {one.text}"
        assert one.score == pytest.approx(finder.match(scene, one.statement).score, abs=1e-5)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert sum(one.share for one in found) == pytest.approx(1)
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)


def test_shares_are_the_calibrated_odds_of_just_one():
    scores, matcher = np.array([0.7, 0.4], np.float32), visita.load("visita-small")
    probable = matcher.probability(scores, LARGE).astype(float)
    expected = [p / (1 - p) for p in probable]
    assert shares(matcher, scores) == pytest.approx(np.array(expected) / sum(expected), rel=1e-4)
    assert shares(replace(matcher, calibration=None), scores) is None


def test_yes_is_better_where_the_claim_reaches_the_threshold(finder, scene):
    score = finder.match(scene, "a red circle").score
    bare = replace(
        finder.matcher, match_probability=None, calibration=None, keyword_calibration=None
    )
    for threshold, best in ((score - 0.1, "yes"), (score + 0.1, "No")):
        unsure = replace(bare, threshold=threshold)
        judge = visita.Finder(unsure)
        found = visita.answer(judge, scene, "Is there a red circle?", ["yes", "No"])
        assert found[0].text == best
        by_text = {one.text: one for one in found}
        assert by_text["yes"].score == pytest.approx(score, abs=1e-5)
        assert by_text["No"].score == threshold
        assert by_text["No"].statement == "not: a red circle"
        assert found[0].share is None
    judge = visita.Finder(replace(bare, threshold=None))
    with pytest.raises(ConfigError, match="no threshold"):
        visita.answer(judge, scene, "Is there a red circle?", ["yes", "no"])


@pytest.mark.parametrize("thing", ["a red circle", "a green star"])
def test_yes_is_better_where_the_claim_is_a_match(finder, scene, thing):
    pair = finder.match(scene, thing)
    found = visita.answer(finder, scene, f"Is there {thing}?", ["no", "yes"])
    assert found[0].text == ("yes" if pair.match else "no")
    by_text = {one.text: one.score for one in found}
    assert by_text == {"yes": pytest.approx(pair.probability, abs=1e-6), "no": 0.5}
    assert {one.share for one in found} == {None}


def test_what_the_picture_shows_is_chosen_mostly(finder):
    rng = np.random.default_rng(0)
    colours = ("red", "green", "yellow", "white")
    right = 0
    for _ in range(48):
        one, other = rng.permutation(colours)[:2]
        picture = draw_scene(one, other, int(rng.integers(25)))
        question = "What colour is the background?"
        right += visita.answer(finder, picture, question, colours)[0].text == other
    assert right >= 20  # by chance 12, and on several processors some 27


@pytest.mark.parametrize(
    ("question", "choices", "error", "message"),
    [
        ("What is this?", ["a dog"], ConfigError, "two different choices"),
        ("What is this?", ["a dog", " a  dog "], ConfigError, "two different choices"),
        (" ", ["a", "b"], DataError, "question is empty"),
    ],
)
def test_what_cannot_be_answered_is_told(finder, scene, question, choices, error, message):
    with pytest.raises(error, match=message):
        visita.answer(finder, scene, question, choices)
    with pytest.raises(PictureError, match=r"nowhere\.jpg: cannot be read"):
        visita.answer(finder, "nowhere.jpg", "What is this?", ["a", "b"])


def test_answer_as_a_command(finder, scene, tmp_path):
    folder = folder_of(finder)
    scene.save(tmp_path / "scene.png")
    question = "What is in the picture?"
    words = ("answer", tmp_path / "scene.png", question, "--matcher", folder)
    done = run(*words, "--choices", "a star,a circle", "--choice", "a circle, red")
    assert done.status == 0
    texts = ["a star", "a circle", "a circle, red"]
    expected = visita.answer(finder, tmp_path / "scene.png", question, texts)
    assert done.out.splitlines() == [
        f"{one.share:.3f}\t{one.score:.3f}\t{one.text}\t{one.statement}" for one in expected
    ]
    found = run(*words, "--choices", "a star,a circle", "--json").json
    assert found["question"] == question
    assert {one["text"] for one in found["choices"]} == {"a star", "a circle"}
    assert set(found["choices"][0]) == {"text", "statement", "score", "share"}
    yes = run(
        "answer", tmp_path / "scene.png", "Is it red?", "--choices", "yes,no", "--matcher", folder
    )
    assert yes.status == 0
    assert "not probabilities" in yes.err
    one = run(*words, "--choices", "a star")
    assert (one.status, one.out) == (2, "")
    assert "error: Give two different choices" in one.err
