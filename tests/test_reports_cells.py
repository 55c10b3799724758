"""Cells: computed once, found again after real kills, and never mistaken for one another.

python tests/test_reports_cells.py FOLDER COUNT [SLOW PIPE]   a run that prints each cell it
computes; cell SLOW is at work until PIPE is written to
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from visita.errors import DataError, TrainingError
from visita.gallery.engines import ExactIndex
from visita.reports import cells as cells_module
from visita.reports.cells import (
    PACKAGE,
    Cell,
    Result,
    fingerprint_reached,
    reached,
    run_cells,
    source_fingerprint,
)

SIZE = 50_000
DECIDING = (
    *("artifact", "data/decode", "encoders/engine", "store/pictures", "kernels/alignment"),
    *("networks/fusion", "matchers/embed", "evaluation/retrieval", "evaluation/rerank"),
    *("report/claims", "training/loop", "baselines/cca", "search/query"),
    *("reports/costs",),
)
"""One module of each room that a comparison computes with."""


def plan(count: int) -> list[Cell]:
    return [Cell(f"cell {seed}", {"seed": seed}) for seed in range(count)]


def draw(cell: Cell) -> Result:
    """Return numbers that only the cell's seed decides."""
    numbers = np.random.default_rng(cell.settings["seed"]).random(SIZE)
    return Result({"mean": float(numbers.mean())}, {"numbers": numbers})


def loud(cell: Cell) -> Result:
    print(cell.settings["seed"], flush=True)
    return draw(cell)


class Counting:
    def __init__(self, fails: tuple[int, ...] = (), error: Exception | None = None):
        self.done: list[int] = []
        self.fails = fails
        self.error = error or DataError("these pairs cannot be used")

    def __call__(self, cell: Cell) -> Result:
        self.done.append(cell.settings["seed"])
        if cell.settings["seed"] in self.fails:
            raise self.error
        return draw(cell)


def same(found: dict[str, Result], cells: list[Cell]) -> bool:
    return list(found) == [cell.name for cell in cells] and all(
        found[cell.name].facts == draw(cell).facts
        and np.array_equal(found[cell.name].arrays["numbers"], draw(cell).arrays["numbers"])
        for cell in cells
    )


def cells_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def test_a_second_run_computes_nothing_and_gives_the_same(tmp_path, capsys):
    first, second = Counting(), Counting()
    found, failed = run_cells(tmp_path, plan(4), first, {"data": "a"})
    assert (first.done, failed, same(found, plan(4))) == ([0, 1, 2, 3], [], True)
    assert "cell 4/4, cell 3: done; about 0 s left" in capsys.readouterr().err
    again, _ = run_cells(tmp_path, plan(5), second, {"data": "a"})
    assert (second.done, same(again, plan(5))) == ([4], True)
    assert "4 of 5 cells were computed before" in capsys.readouterr().err


def test_other_settings_data_or_code_are_other_cells(tmp_path, monkeypatch):
    run_cells(tmp_path, plan(1), draw, {"data": "a"})
    work = Counting()
    run_cells(tmp_path, plan(1), work, {"data": "b"})
    run_cells(tmp_path, [Cell("cell 0", {"seed": 0, "l2": 0.1})], work, {"data": "a"})
    monkeypatch.setattr(cells_module, "source_fingerprint", lambda _: "0" * 16)
    run_cells(tmp_path, plan(1), work, {"data": "a"})
    assert work.done == [0, 0, 0]
    assert len(cells_in(tmp_path)) == 4


@pytest.mark.slow
def test_all_source_that_a_comparison_reaches_counts_and_nothing_else(tmp_path):
    package = shutil.copytree(PACKAGE, tmp_path / "visita")
    files = [package / "reports" / "compare.py"]
    found = {path.relative_to(package).as_posix() for path in reached(files, package)}
    assert {f"{module}.py" for module in DECIDING} <= found
    assert found.isdisjoint({"cli/search.py", "cli/app.py", "search/recommend.py"})
    before = fingerprint_reached(files, package)
    for module in (*DECIDING, "cli/search"):
        path = package / f"{module}.py"
        source = path.read_text("utf-8")
        path.write_text(f"{source}\n# other source\n", "utf-8")
        assert (fingerprint_reached(files, package) != before) is (module in DECIDING), module
        path.write_text(source, "utf-8")


def test_a_module_that_is_only_named_in_a_table_counts(tmp_path):
    package = tmp_path / "visita"
    package.mkdir()
    (package / "table.py").write_text("TABLE = {'loop': 'visita.loop:run'}", "utf-8")
    (package / "loop.py").write_text("def run():\n    from visita.late import steps", "utf-8")
    (package / "late.py").write_text("steps = 1", "utf-8")
    assert reached([package / "table.py"], package) == set(package.iterdir())


def test_what_a_partial_binds_counts_and_a_script_that_computes():
    index = ExactIndex(np.eye(2, dtype=np.float32))
    assert source_fingerprint(print) != source_fingerprint(partial(print, index))
    names = {path.name for path in reached([Path(__file__)], PACKAGE)}
    assert {"test_reports_cells.py", "cells.py"} <= names


def test_a_cell_that_fails_is_reported_and_tried_again(tmp_path, capsys):
    found, failed = run_cells(tmp_path, plan(3), Counting(fails=(1,)), {})
    assert list(found) == ["cell 0", "cell 2"]
    assert [(one.item, one.reason) for one in failed] == [("cell 1", "these pairs cannot be used")]
    assert "cell 2/3, cell 1: failed: these pairs cannot be used;" in capsys.readouterr().err
    work = Counting()
    found, failed = run_cells(tmp_path, plan(3), work, {})
    assert (work.done, failed, same(found, plan(3))) == ([1], [], True)


def test_an_unforeseen_error_keeps_its_traceback_on_stderr(tmp_path, capsys):
    broken = Counting(fails=(0,), error=ZeroDivisionError("no epochs"))
    found, failed = run_cells(tmp_path, plan(2), broken, {})
    assert list(found) == ["cell 1"]
    assert failed[0].reason == "ZeroDivisionError('no epochs')"
    assert "raise self.error" in capsys.readouterr().err


def test_the_run_fails_only_if_all_cells_fail(tmp_path):
    with pytest.raises(TrainingError, match="No cell could be computed; the first: these pairs"):
        run_cells(tmp_path, plan(2), Counting(fails=(0, 1)), {})


@pytest.mark.parametrize("name", ["manifest.json", "arrays.safetensors"])
def test_a_damaged_cell_is_computed_anew(tmp_path, capsys, name):
    run_cells(tmp_path, plan(2), draw, {})
    [place] = [
        p
        for p in cells_in(tmp_path)
        if json.loads((p / "manifest.json").read_text("utf-8"))["settings"] == {"seed": 1}
    ]
    file = place / name
    file.write_bytes(file.read_bytes()[:-20])
    work = Counting()
    found, _ = run_cells(tmp_path, plan(2), work, {})
    assert (work.done, same(found, plan(2))) == ([1], True)
    assert "damaged" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 3])
def test_killed_it_goes_on_after_the_last_finished_cell(tmp_path, after):
    count = 2000
    command = [sys.executable, __file__, str(tmp_path), str(count)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as child:
        started = [int(child.stdout.readline()) for _ in range(after)]
        child.send_signal(signal.SIGKILL)
        started += [int(line) for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL, "it ended before it was killed"
    kept = cells_in(tmp_path)
    # All that were finished before the last one began are there, perhaps that one too.
    assert len(started) - 1 <= len(kept) <= len(started)
    work = Counting()
    cells = plan(len(started) + 2)
    found, failed = run_cells(tmp_path, cells, work, {})
    assert work.done == list(range(len(kept), len(cells)))
    assert (failed, same(found, cells)) == ([], True)


@pytest.mark.slow
def test_two_processes_share_the_cells(tmp_path):
    folder, pipe = tmp_path / "cells", tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, __file__, str(folder), "4", "0", str(pipe)]
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **said) as one:
        assert one.stdout.readline() == "0\n"  # it is at cell 0 until the pipe is written to
        with subprocess.Popen(command, **said) as other:
            for line in other.stderr:
                if "waiting for cells that other processes compute: cell 0" in line:
                    break
            pipe.write_text("go on", "utf-8")
            assert other.stdout.read() == "1\n2\n3\n"
        assert one.stdout.read() == ""
    assert one.returncode == other.returncode == 0
    found, _ = run_cells(folder, plan(4), Counting(fails=(0, 1, 2, 3)), {})
    assert same(found, plan(4))


def slow(cell: Cell) -> Result:
    found = loud(cell)
    if cell.settings["seed"] == int(sys.argv[3]):
        Path(sys.argv[4]).read_text("utf-8")
    return found


if __name__ == "__main__":
    run_cells(Path(sys.argv[1]), plan(int(sys.argv[2])), slow if sys.argv[3:] else loud, {})
