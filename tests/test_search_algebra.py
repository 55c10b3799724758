"""Sums and differences of texts and pictures, and texts that only look like them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import run
from drawn import draw_pairs

import visita
from visita.errors import ConfigError, DataError, PictureError
from visita.search.algebra import terms_of
from visita.search.query import misread
from visita.vectors import unit


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (
            "2*golden retriever + ./pool.jpg - fruit",
            [("golden retriever", 2), (Path("pool.jpg"), 1), ("fruit", -1)],
        ),
        ("a dog + a cat", [("a dog", 1), ("a cat", 1)]),
        ("  .5 * dog \u2212  cat ", [("dog", 0.5), ("cat", -1)]),
        ("- fruit + dog", [("fruit", -1), ("dog", 1)]),
        ("/pictures/a b.jpg", [(Path("/pictures/a b.jpg"), 1)]),
        ("~/a.jpg - dog", [(Path("~/a.jpg").expanduser(), 1), ("dog", -1)]),
        ("5 * 4 + 3", [("5 * 4", 1), ("3", 1)]),
        ("1e999*dog + cat", [("1e999*dog", 1), ("cat", 1)]),
        ("3*./a.jpg", [(Path("a.jpg"), 3)]),
    ],
)
def test_a_sum_is_read(text, terms):
    assert [(term.what, term.weight) for term in terms_of(text)] == terms


@pytest.mark.parametrize(
    "text",
    [
        "beach - dog",
        "Sunset - a view of the bay",
        "beach -dog",
        "a C++ book",
        "a 4+1 room",
        "5*4 bricks",
        "2*dog",
        "and/or",
        "+",
        "",
        "I like cats + dogs. They bite - often.",
        "a picture of pool.jpg",
        f"{'word ' * 500}+ dog",
    ],
)
def test_an_ordinary_text_is_none(text):
    assert terms_of(text) == []


def test_a_dash_before_a_few_words_is_told():
    assert misread("beach - dog") == "-"
    assert misread("Sunset - a view of the bay") == misread("a man -- smiling") == ""


@pytest.mark.parametrize("text", ["dog + + cat", "dog +", "+ dog + ", "2*dog - ./a.jpg -"])
def test_a_sign_by_itself_is_refused(text):
    with pytest.raises(DataError, match="A sign with nothing beside it"):
        terms_of(text)


@pytest.mark.parametrize("weight", ["0", "1000", "9" * 400])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ConfigError, match=r"weight is a number from 0\.01 to 100"):
        terms_of(f"{weight}*dog + cat")
    with pytest.raises(ConfigError, match="weight"):
        visita.Term("dog", float(weight))


def test_a_sum_of_too_many_terms_is_refused():
    with pytest.raises(DataError, match="at most 20"):
        terms_of(" + ".join(["dog"] * 21))


def ordered(matches) -> list[Path]:
    return [match.path for match in matches]


@pytest.mark.slow
def test_each_term_counts_by_how_its_similarities_vary(gallery):
    """Against the same by hand, from cosines with every picture."""
    finder, pictures = gallery.finder, unit(gallery.snapshot.vectors)
    star = finder.reading("star").query("star").pooled()
    [example] = finder.embed_pictures([gallery.snapshot.paths[3]])
    total = np.zeros(len(pictures))
    for vector, weight in ((star, 2), (example, 1)):
        direction = vector / np.linalg.norm(vector)
        usual = unit(finder.matcher.background) @ direction
        total += weight * (pictures @ direction) / usual.std()
    terms = [
        visita.Term("star", 2),
        visita.Term(Path(gallery.snapshot.paths[3])),
    ]
    found = gallery.search(terms, 120)
    rows = {path: row for row, path in enumerate(gallery.snapshot)}
    assert [total[rows[path]] for path in ordered(found)] == pytest.approx(np.sort(total)[::-1])
    assert all(match.probability is None for match in found)
    assert all(-1 <= match.score <= 1 for match in found)


@pytest.mark.slow
def test_what_is_taken_away_comes_less(gallery):
    [first, *_] = gallery.search("red", 1)
    places = [
        ordered(gallery.search(text, 120)).index(first.path)
        for text in ("red + star", "0.5*red + star", "star - red + circle", "star - 3*red + circle")
    ]
    assert places == sorted(places) and places[0] < places[-1]
    away = ordered(gallery.search(visita.terms_of(f"star - {first.path}"), 120))
    assert away[-1] == first.path
    assert ordered(gallery.search(visita.terms_of(f"{first.path}"), 1)) == [first.path]


@pytest.mark.slow
def test_a_single_text_is_that_text(gallery):
    assert gallery.search([visita.Term("a red star")], 5) == gallery.search("a red star", 5)
    path = gallery.snapshot.paths[0]
    text = gallery.search([visita.Term(f"{path} + ./b.jpg")], 3)  # which names no file
    assert all(match.probability is not None for match in text)


@pytest.mark.slow
def test_what_cannot_be_summed_is_told(gallery, tmp_path):
    with pytest.raises(DataError, match="cancel out"):
        gallery.search("2*star + red - 2*star - red")
    with pytest.raises(PictureError, match=r"nowhere\.jpg"):
        gallery.search(visita.terms_of("star + ./nowhere.jpg"))
    with pytest.raises(PictureError):
        gallery.search(visita.terms_of(f"star + {tmp_path}"))
    with pytest.raises(DataError, match="names a file, and a text reads none here"):
        gallery.search(f"star + {gallery.snapshot.paths[0]}")  # as a stranger may ask
    with pytest.raises(DataError, match="no terms"):
        gallery.search([])
    with pytest.raises(TypeError, match="a str or a list of Term"):
        gallery.search(["star"])
    with pytest.raises(ConfigError, match="sum"):
        gallery.search("star + red", sort="date")


@pytest.mark.slow
def test_the_command_line_says_how_a_sum_was_read(tmp_path, monkeypatch):
    draw_pairs(tmp_path / "Pictures", 12)
    monkeypatch.chdir(tmp_path)
    text = "2*star + ./Pictures/00000.jpg - red"
    done = run("search", text, "Pictures", "--gallery", tmp_path / "home", "-k", "3")
    assert (done.status, len(done.out.splitlines())) == (0, 3)
    assert "note: read as 2 x 'star' + 00000.jpg - 'red': the numbers are similarities" in done.err
    assert done.err.count("note:") == 1
    answer = run("search", text, "Pictures", "--gallery", tmp_path / "home", "--json").json
    assert answer["kind"] == "sum"
    assert all(match["probability"] is None for match in answer["matches"])
    wrong = run("search", "star + + red", "Pictures", "--gallery", tmp_path / "home")
    assert wrong.status == 2 and "error: A sign with nothing beside it" in wrong.err
