"""docs/api.md is what the docstrings say, and their examples run."""

from __future__ import annotations

import doctest
import importlib
import runpy
from pathlib import Path

import pytest
from drawn import draw_pairs
from extras import skip_if_told

import visita

ROOT = Path(__file__).parents[1]
API = runpy.run_path(str(ROOT / ".ci" / "api_docs.py"))
DOCUMENTED = [
    (module, name)
    for module, names in API["SECTIONS"].values()
    for name in names
    if name != "__version__"
]
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def test_the_page_is_what_the_docstrings_say():
    assert (ROOT / "docs" / "api.md").read_text("utf-8") == API["page"](), (
        "docs/api.md is stale: python .ci/api_docs.py"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return where the examples run: beside drawn pairs whose pictures are known already."""
    folder = tmp_path_factory.mktemp("examples")
    draw_pairs(folder / "mypairs", 40)
    visita.Gallery.open(folder / "mypairs").sync()
    return folder


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_each_public_name_has_an_example_that_runs(module, name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = getattr(importlib.import_module(module), name).__doc__
    example = doctest.DocTestParser().get_doctest(text, {"visita": visita}, name, None, 0)
    assert example.examples
    told: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=told.append)
    skip_if_told("".join(told))
    assert told == []
