"""Words in quotes: found exactly, first in a sentence, and no harm in passing."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run
from drawn import draw_pairs

import visita
from visita.search.exact import in_quotes


@pytest.mark.parametrize(
    ("text", "phrases", "alone"),
    [
        ('"invoice 2023"', ("invoice 2023",), True),
        ('"invoice" "2023"', ("invoice", "2023"), True),
        ("\u201cgrand hotel\u201d", ("grand hotel",), True),
        ('a sign that says "stop".', ("stop",), False),
        ('dog ("holiday 2023")', ("holiday 2023",), False),
    ],
)
def test_what_is_in_quotes_is_told(text, phrases, alone):
    assert in_quotes(text) == (phrases, alone)


@pytest.mark.parametrize(
    "text",
    [
        'a 6" nail and an 8" bolt',
        'rock"n"roll',
        '"...',
        '""',
        '" - "',
        "the dog's 'bone'",
        f'{"word " * 60}"speech"',
        " ".join(f'"{n}"' for n in range(6)),
    ],
)
def test_other_quotes_are_as_any_sign(text):
    assert in_quotes(text) is None


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> visita.Gallery:
    """Return a gallery of 20 drawn pictures, of which three have words of their own."""
    folder = tmp_path_factory.mktemp("exact") / "pictures"
    for path in draw_pairs(folder, 20):
        path.with_suffix(".txt").unlink(missing_ok=True)
    said = {3: "The Invoice, 2023: paid", 7: "invoice of 2023", 9: "an INVOICE 2023"}
    for number, words in said.items():
        next(folder.glob(f"{number:05}.*")).with_suffix(".txt").write_text(words, "utf-8")
    found = visita.Gallery.open(folder, home=folder.parent / "home")
    found.sync()
    return found


def stems(matches) -> list[str]:
    return [match.path.stem for match in matches]


@pytest.mark.slow
def test_words_in_quotes_alone_find_what_has_them_and_no_other(place):
    found = place.search('"invoice 2023"', 20)
    assert sorted(stems(found)) == ["00003", "00009"]
    assert [match.probability for match in found] == [1.0, 1.0]
    assert place.search('"invoice 2023"', 20, threshold=0.99) == found
    assert len(place.search('"invoice 2023"', 1)) == 1
    assert len(place.search('"invoice 2023"', 20, sort="date")) == 2
    among = visita.Filter(text="paid")
    assert stems(place.search('"invoice 2023"', 20, where=among)) == ["00003"]
    assert place.search('"letter 2023"', 20) == []


@pytest.mark.slow
def test_in_a_sentence_they_come_first_and_the_rest_follows_as_ever(place):
    text = 'a red star with "invoice 2023" on it'
    plain = place.search(text.replace('"', "'"), 20)
    found = place.search(text, 20)
    assert sorted(stems(found)[:2]) == ["00003", "00009"]
    rest = [stem for stem in stems(found) if stem not in ("00003", "00009")]
    assert len(found) == 20 and len(rest) == 18
    nobody = place.search('a star that says "stop"', 20)
    assert len(nobody) == 20 and nobody[0].probability < 1
    assert {match.path for match in plain} == {match.path for match in found}


@pytest.mark.slow
def test_the_command_line_says_when_nothing_has_the_words(place):
    home = Path(place.stored.path).parents[1]
    found = run("search", '"invoice 2023"', place.folder, "--gallery", home, "--paths")
    assert sorted(Path(line).stem for line in found.out.splitlines()) == ["00003", "00009"]
    done = run("search", '"no such words"', place.folder, "--gallery", home)
    assert done.status == 1 and 'no picture has "no such words"' in done.err
