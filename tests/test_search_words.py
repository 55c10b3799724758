"""Words of a text that stand in what is written of pictures are kernels of their score."""

from __future__ import annotations

import pytest
from drawn import draw_pairs
from written import bag, xmp

import visita
from visita.search.words import WEIGHTS, kernels, share, words_of


def test_words_count_without_case_accents_plurals_and_common_ones():
    assert words_of("The Dogs of the \u00c9glise, 2023") == {"dog", "eglise", "2023"}
    assert share("two dogs on a beach", "A dog. Another dog!") == 0.5
    assert share("the of and", "the of and") == 0
    assert share("glass", "glasses") == 0  # which is another thing


def test_each_field_adds_its_part():
    fields = {"caption": "a dog on a beach", "folder": "beach 2023", "keywords": "cat\nsea"}
    added = kernels("a dog at a beach", fields)
    assert added == pytest.approx({"caption": WEIGHTS["caption"], "folder": WEIGHTS["folder"] / 2})


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> visita.Gallery:
    """Return a gallery of 30 drawn pictures; some have words that nothing in them shows."""
    folder = tmp_path_factory.mktemp("worded") / "pictures"
    draw_pairs(folder, 30)
    for path in folder.glob("*.txt"):
        path.unlink()
    (folder / "00003.txt").write_text("At the Lindenhof with Anna", "utf-8")
    (folder / "00004.xmp").write_bytes(xmp("", bag("lindenhof")))
    found = visita.Gallery.open(folder, home=folder.parent / "home")
    found.sync()
    return found


@pytest.mark.slow
def test_what_has_the_words_is_lifted_by_what_each_kernel_adds(place):
    found = {match.path.stem: match for match in place.search("Anna at Lindenhof", 30)}
    bare = {match.path.stem: match for match in place.search("Anna at Xindenhof", 30)}
    assert dict(found["00003"].said) == {"caption": WEIGHTS["caption"]}
    assert dict(found["00004"].said) == {"keywords": WEIGHTS["keywords"] / 2}
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
def test_a_search_for_one_finds_it_however_far_its_vector_is(place):
    worst = place.search("a red star", 30)[-1].path.stem
    (place.folder / f"{worst}.txt").write_text("zweisimmen, a red star", "utf-8")
    place.sync()
    [first] = place.search("zweisimmen", 1)
    assert first.path.stem == worst


@pytest.mark.slow
def test_a_table_that_is_not_in_step_adds_nothing(place):
    for path in place.stored.path.glob("table-*"):
        path.unlink()
    assert all(not match.said for match in place.search("Anna at Lindenhof", 30))
    place.sync()
    assert any(match.said for match in place.search("Anna at Lindenhof", 30))
