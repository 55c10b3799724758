"""Words of a text that stand in what is written of pictures are kernels of their score."""

from __future__ import annotations

import pytest
from drawn import draw_pairs

import visita
from visita.data.decode import decode
from visita.gallery.ocr import read_words
from visita.progress import bar
from visita.search.words import WEIGHTS, kernels, share, words_of


def test_words_count_without_case_accents_plurals_and_common_ones():
    assert words_of("The Dogs of the \u00c9glise, 2023") == {"dog", "eglise", "2023"}
    assert share("two dogs on a beach", "A dog. Another dog!") == 0.5
    assert share("the of and", "the of and") == 0
    assert share("glass", "glasses") == 0  # which is another thing


def test_words_that_were_read_add_and_others_do_not():
    fields = {"caption": "a dog on a beach", "words": "BEACH 2023", "keywords": "cat\nsea"}
    assert kernels("a dog at a beach", fields) == pytest.approx({"words": WEIGHTS["words"] / 2})


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> visita.Gallery:
    """Return a gallery of 30 drawn pictures; some have words that nothing in them shows."""
    folder = tmp_path_factory.mktemp("worded") / "pictures"
    draw_pairs(folder, 30)
    for path in folder.glob("*.txt"):
        path.unlink()
    found = visita.Gallery.open(folder, home=folder.parent / "home")
    found.sync()
    read(found, {"00003": "At the Lindenhof with Anna", "00004": "LINDENHOF"})
    return found


def read(gallery: visita.Gallery, signs: dict[str, str]) -> None:
    """Read words in pictures: these, by their names, and none in the others."""
    files = {path.stem: path for path in gallery.snapshot}
    known = {decode(files[stem]).tobytes(): words for stem, words in signs.items()}
    where = gallery.stored.path, gallery.stored.folder
    read_words(*where, lambda picture: known.get(picture.tobytes(), ""), bar)


@pytest.mark.slow
def test_what_has_the_words_is_lifted_by_what_each_kernel_adds(place):
    found = {match.path.stem: match for match in place.search("Anna at Lindenhof", 30)}
    bare = {match.path.stem: match for match in place.search("Anna at Xindenhof", 30)}
    assert dict(found["00003"].said) == {"words": WEIGHTS["words"]}
    assert dict(found["00004"].said) == {"words": WEIGHTS["words"] / 2}
    assert all(not match.said for stem, match in found.items() if stem not in ("00003", "00004"))
    assert next(iter(found)) in ("00003", "00004") and bare.keys() == found.keys()
    query = place.finder.query("Anna at Lindenhof")
    rows = {path.stem: row for row, path in enumerate(place.snapshot)}
    for stem, match in found.items():
        vectors = float(place.snapshot.vectors[rows[stem]] @ query.pooled())
        assert match.score == pytest.approx(vectors + sum(v for _, v in match.said), abs=1e-5)
    assert [match.score for match in found.values()] == sorted(
        (match.score for match in found.values()), reverse=True
    )


@pytest.mark.slow
def test_a_table_that_is_not_in_step_adds_nothing(place):
    for path in place.stored.path.glob("table-*"):
        path.unlink()
    assert all(not match.said for match in place.search("Anna at Lindenhof", 30))
    place.sync()
    assert any(match.said for match in place.search("Anna at Lindenhof", 30))
