"""What the core installation does alone, and what it says where an extra is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from drawn import draw_pairs

WITHOUT = """
import sys
for name in ("torch", "transformers", "sklearn", "matplotlib", "accelerate"):
    sys.modules[name] = None
"""
EACH = """
import json
from visita.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    print(end=",")
"""


def run(program: str, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process that has none of the extras."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + program, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize("name", ["train", "fuse", "train_encoder", "adapt"])
def test_what_trains_names_its_extra(name):
    done = run(f"import visita; visita.{name}")
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"visita.{name} needs an extra: run  pip install 'visita[train]'")


def test_a_gpu_without_torch_names_the_extra():
    program = "from visita.encoders.device import on_gpu; on_gpu()"
    last = run(program, VISITA_DEVICE="cuda").stderr.splitlines()[-1]
    assert last.endswith("VISITA_DEVICE=cuda needs an extra: run  pip install 'visita[train]'")


def test_a_command_that_trains_names_its_extra_and_shows_no_traceback():
    words = ("train", "fusion", "--data", "folder:.", "--out", "nowhere")
    done = run("from visita.cli import main; main()", *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "pip install 'visita[train]'" in done.stderr


@pytest.mark.slow
def test_the_core_finds_matches_and_explains(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    drawn = draw_pairs(pictures, 4)
    text = drawn[0].with_suffix(".txt").read_text("utf-8").splitlines()[0]
    lines = [["search", text, pictures, "-k", 4], ["match", drawn[0], text]]
    lines.append(["explain", drawn[0], text])
    matchers = ("visita-small", "visita-base")
    given = [[*map(str, line), "--json", "--matcher", one] for one in matchers for line in lines]
    home = tmp_path / "home"  # where nothing was made with the extras
    done = run(EACH, json.dumps(given), VISITA_HOME=str(home))
    assert done.returncode == 0, done.stderr
    told = json.loads(f"[{done.stdout[:-1]}]")
    assert len(told) == len(given)
    for found, pair, explained in zip(told[::3], told[1::3], told[2::3], strict=True):
        assert {match["path"] for match in found["matches"]} == set(map(str, drawn))
        assert 0 <= pair["probability"] <= 1
        assert explained
