"""What visita adds works on every family; all of it on each: ``runs/families.py``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from every_family import NO_SQUARE, TRIALS, matcher_of, told_languages

from visita.errors import UnknownNameError

pytestmark = pytest.mark.slow

SAMPLE = [("metaclip2", "`--from`"), ("align", "local scaling"), ("naflex", "explain")]
MORE = [
    ("naflex", "fusion"),
    ("chinese-clip", "MKL-VisITA"),
    ("altclip", "fuse"),
    ("align", "explain"),
    ("blip2", "head"),
    ("albef", "head"),
]
"""CLIP, SigLIP, BLIP and ALBEF are in files of their own."""
SPOKEN = ("chinese-clip", "metaclip2", "altclip", "align")


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict[str, str]:
    """Return the matcher's name of each row that is tried here."""
    rows = {row for row, _ in [*SAMPLE, *MORE]}.union(SPOKEN)
    return {row: matcher_of(row, tmp_path_factory.mktemp("family")) for row in rows}


@pytest.fixture(scope="module")
def few(drawn_folder, tmp_path_factory) -> Path:
    """Return a folder of 40 drawn pictures with their captions."""
    folder = tmp_path_factory.mktemp("few")
    for file in sorted(drawn_folder.iterdir())[:80]:
        shutil.copy(file, folder)
    return folder


@pytest.mark.parametrize(
    ("row", "trial"),
    [*SAMPLE, *(pytest.param(*one, marks=pytest.mark.campaign) for one in MORE)],
)
def test_what_visita_adds_works_on_it(names, few, tmp_path, row, trial):
    TRIALS[trial](names[row], few, tmp_path / "out")


def test_a_square_of_cells_is_refused_where_pictures_keep_their_shape(names, few, tmp_path):
    with pytest.raises(UnknownNameError, match=NO_SQUARE):
        TRIALS["MKL-VisITA"](names["naflex"], few, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("row", SPOKEN)
def test_a_text_in_a_language_that_is_not_the_models_is_told(names, row):
    told_languages(names[row], row)
