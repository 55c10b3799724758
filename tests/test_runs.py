"""The recipes in ``runs`` for data of others: what they start, and what they refuse."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from visita.baselines import BASELINES
from visita.reports.systems import read_systems

RUNS = Path(__file__).parents[1] / "runs"
RECIPES = {"flickr30k.sh": "ALBEF_FLICKR", "mscoco.sh": "ALBEF_COCO"}
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="needs bash")]


@pytest.fixture(params=sorted(RECIPES))
def recipe(request) -> str:
    return request.param


@pytest.fixture
def start(recipe, tmp_path):
    """Return what starts the recipe, with a program in place of visita that notes its words."""
    said = tmp_path / "said"
    program = tmp_path / "bin" / "visita"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$VISITA_DEVICE" "$@" "" >> "{said}"\n', "utf-8")
    program.chmod(0o755)

    def run(
        *words: object, **variables: str
    ) -> tuple[subprocess.CompletedProcess, list[list[str]]]:
        done = subprocess.run(
            [RUNS / recipe, *map(str, words)],
            env={"PATH": f"{program.parent}:{os.environ['PATH']}", **variables},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        calls = said.read_text("utf-8").split("\n\n")[:-1] if said.is_file() else []
        return done, [call.split("\n") for call in calls]

    return run


@pytest.fixture
def data(tmp_path) -> Path:
    path = tmp_path / "my data" / "dataset.json"
    path.parent.mkdir()
    path.write_text("{}", "utf-8")
    return path


def test_everything_is_compared_on_the_test_split(recipe, start, data, tmp_path):
    done, calls = start(data, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(calls) == (2 if recipe == "mscoco.sh" else 1)
    for device, command, *words in calls:
        assert (device, command) == ("cuda", "compare")
        systems = read_systems(words[: words.index("--data")], seeds=1, seed=0)
        names = [one.name for one in systems]
        assert {*BASELINES.names(), "fusion", "mkl-visita"} <= set(names)
        assert {name.partition(":")[0] for name in names} >= {"clip", "siglip", "blip"}
        options = dict(zip(words[len(names) :: 2], words[len(names) + 1 :: 2], strict=True))
        assert options["--data"].partition(":")[2] == str(data)
        assert options["--split"] == "test"
        assert Path(options["--out"]).is_relative_to(tmp_path / "out")
    if recipe == "mscoco.sh":
        assert [call[call.index("--out") + 2 :] for call in calls] == [[], ["--folds", "5"]]
        first, second = (Path(call[call.index("--out") + 1]) for call in calls)
        assert (first / "matchers").samefile(second / "matchers")


def test_albef_has_a_row_where_its_checkpoint_is_named(recipe, start, data, tmp_path):
    done, [[*words], *_] = start(data, tmp_path / "out")
    assert f"ALBEF is left out: set {RECIPES[recipe]}" in done.stderr
    assert not any(word.startswith("albef:") for word in words)
    checkpoint = tmp_path / "checkpoint.pth"
    done, _ = start(data, tmp_path / "out", **{RECIPES[recipe]: str(checkpoint)})
    assert done.returncode == 2 and "is no file" in done.stderr
    checkpoint.touch()
    done, calls = start(data, tmp_path / "out", **{RECIPES[recipe]: str(checkpoint)})
    assert done.returncode == 0 and not done.stderr
    assert f"albef:{checkpoint}" in calls[-1]


def test_a_device_and_seeds_of_ones_own_are_kept(start, data, tmp_path):
    _, [call, *_] = start(data, tmp_path / "out", VISITA_DEVICE="cpu", SEEDS="3")
    assert call[0] == "cpu" and call[call.index("--seeds") + 1] == "3"


def test_wrong_arguments_are_answered_with_what_is_needed(recipe, start, tmp_path):
    done, calls = start()
    assert done.returncode == 2 and f"runs/{recipe} DATA OUT" in done.stderr
    assert "#" not in done.stderr and "set -" not in done.stderr
    done, more = start(tmp_path / "nowhere", tmp_path / "out")
    assert done.returncode == 2 and "nowhere" in done.stderr
    assert not calls and not more
