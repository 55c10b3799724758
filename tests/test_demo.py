"""The demo: six queries on the sample photographs of scikit-image, and the sheet of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import serving

from visita.errors import ConfigError
from visita.reports.demo import PICTURES, QUERIES, Answer, draw_answers
from visita.search import sheet as contact_sheet
from visita.search.matches import Match

pytestmark = pytest.mark.slow

WITHOUT_SCIKIT_IMAGE = """
import sys
sys.modules["skimage"] = None
from visita.cli import main
main()
"""


def demo(*words: str, command: tuple[str, ...] = ("-m", "visita")) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command, "demo", *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_at_least_five_of_six_expected_pictures_come_first(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra demo")
    done = demo("--json", "--out", str(tmp_path / "sheet.png"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {one["query"]: one["expected"] for one in found["answers"]} == QUERIES
    for one in found["answers"]:
        names = [match["picture"] for match in one["matches"]]
        assert sorted(names) == sorted(PICTURES)
        assert names.index(one["expected"]) == one["rank"] - 1
    assert found["first"] == sum(one["rank"] == 1 for one in found["answers"]) >= 5
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 1000


def test_without_scikit_image_the_extra_is_named():
    done = demo(command=("-c", WITHOUT_SCIKIT_IMAGE))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "error: the demo needs an extra: run  pip install 'visita[demo]'"
    )


@pytest.fixture
def answers(tmp_path) -> list[Answer]:
    """Return two answers over five pictures, each of one colour; the expected one is red."""
    colours = ("red", "lime", "blue", "black", "white")
    for colour in colours:
        Image.new("RGB", (60, 90), colour).save(tmp_path / f"{colour}.png")
    first = [Match(tmp_path / f"{c}.png", 0.9, 0.9 - i / 5) for i, c in enumerate(colours)]
    return [Answer("a red one", "red.png", order) for order in (first, first[::-1])]


def test_the_sheet_shows_four_pictures_a_query_and_marks_the_expected(answers, tmp_path):
    assert [answer.rank for answer in answers] == [1, 5]
    draw_answers(answers, tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    rows = [pixels[top : top + contact_sheet.ROW] for top in (contact_sheet.HEAD, -300)]
    red, lime = ((np.array(colour) == rows[0]).all(axis=2).sum() for colour in RED_AND_LIME)
    assert red > 0.9 * np.prod(contact_sheet.THUMB)
    assert red < lime  # the mark covers a part of it
    assert (rows[1] == RED_AND_LIME[0]).all(axis=2).sum() == 0  # it is fifth


RED_AND_LIME = ((255, 0, 0), (0, 255, 0))


def test_a_sheet_that_cannot_be_written_says_what_to_do(answers, tmp_path):
    for name, message in (("sheet.xyz", "end it in .png"), ("no/folder/sheet.png", "name a file")):
        with pytest.raises(ConfigError, match=re.escape(message)):
            draw_answers(answers, Path(tmp_path, name))


def test_the_photographs_are_shown_on_the_page():
    pytest.importorskip("skimage", reason="needs the extra demo")
    pytest.importorskip("fastapi", reason="needs the extra serve")
    environment = {**os.environ, "VISITA_SERVE_PORT": "0", "BROWSER": "true"}
    with serving(command=("demo", "--serve"), env=environment) as service:
        page = service.ask("/")
        assert page.status == 200 and b"main.js" in page.body
        service.wait_until_ready()
        assert service.ask("pictures").json["total"] == len(PICTURES)
