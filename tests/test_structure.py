"""Imports point one way, and what must stay light stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import visita

SOURCE = Path(visita.__file__).parent
CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"


HOUSE = CONTRIBUTING.read_text("utf-8").partition("## The house")[2].partition("\n## ")[0]
LISTED = [line for line in HOUSE.splitlines() if line.startswith("    ")]
FIRST, _, REST = "\n".join(LISTED).partition("the foundations")
FOUNDATIONS = (*FIRST.split(),)
ORDER = tuple(line.split()[0].replace("visita", "") for line in REST.strip().splitlines())
"""Rooms from first to last; the empty name is ``visita`` itself, the public names.
``testing`` checks parts of every room and is used by none."""

TORCH_ROOMS = {"encoders", "store", "networks", "baselines", "matchers", "training", "testing"}
NAMED = re.compile(r"visita(\.\w+)+(:[\w.]+)?")
"""A module in a string, as in a registry's table."""


def rank(room: str) -> int:
    return 0 if room in FOUNDATIONS else 1 + ORDER.index(room)


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def room_named(module: str) -> str:
    parts = module.partition(":")[0].split(".")
    known = len(parts) > 1 and (
        (SOURCE / parts[1]).is_dir() or (SOURCE / f"{parts[1]}.py").exists()
    )
    return parts[1] if known else ""


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every module that a file imports, wherever it does so."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            # "from visita import data" names a module too.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Constant) and NAMED.fullmatch(str(node.value)):
            yield node.lineno, node.value


def wrong_arrows(paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        for line, module in imported(path):
            if module.split(".")[0] != "visita":
                continue
            here, there = room_of(path), room_named(module)
            if rank(there) > rank(here):
                found.append(f"{path}:{line} {here or 'visita'} imports {there or 'visita'}")
    return found


def test_the_list_of_rooms_names_each_once_and_no_other():
    rooms = [*FOUNDATIONS, *ORDER]
    assert len(rooms) == len(set(rooms))
    paths = [*SOURCE.glob("*.py"), *(p for p in SOURCE.iterdir() if (p / "__init__.py").exists())]
    assert {room_of(path) for path in paths} == set(rooms)


def test_the_files_that_contributing_names_are_there():
    names = set(re.findall(r"`([\w/]+\.py)`", CONTRIBUTING.read_text("utf-8")))
    assert len(names) > 15
    lacking = {n for n in names if not any((p / n).exists() for p in (SOURCE, CONTRIBUTING.parent))}
    assert not lacking


@pytest.mark.slow
def test_every_import_points_to_the_same_room_or_an_earlier_one():
    paths = sorted(SOURCE.rglob("*.py"))
    assert len(paths) > 60
    assert wrong_arrows(paths) == []


@pytest.mark.parametrize(
    "line",
    [
        "def late():\n    from visita.search.query import Query",
        "import visita.training.loop as loop",
        "from visita import cli",
        "TABLE = {'x': 'visita.gallery.engines:Exact'}",
        "from visita import Gallery",
    ],
)
def test_an_arrow_back_is_found(tmp_path, monkeypatch, line):
    (tmp_path / "kernels").mkdir()
    for room in ("search", "training", "cli", "gallery"):
        (tmp_path / room).mkdir()
    wrong = tmp_path / "kernels" / "wrong.py"
    wrong.write_text(line, "utf-8")
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    assert len(wrong_arrows([wrong])) == 1


def test_no_modules_import_each_other():
    names = {module_of(path): path for path in SOURCE.rglob("*.py")}
    graph = {
        name: {found for _, module in imported_at_once(path) if (found := nearest(module, names))}
        for name, path in names.items()
    }
    TopologicalSorter({name: graph[name] - {name} for name in graph}).prepare()


def module_of(path: Path) -> str:
    return ".".join(["visita", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(
        ".__init__"
    )


def nearest(module: str, names: dict[str, Path]) -> str:
    """Return the module that a name is of, which may be of something in it."""
    while module and module not in names:
        module = module.rpartition(".")[0]
    return module


def imported_at_once(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a file imports when it is imported itself."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.slow
def test_only_rooms_that_compute_networks_name_torch():
    torch = {"torch", "transformers"}
    found = {
        room_of(path)
        for path in SOURCE.rglob("*.py")
        for _, module in imported(path)
        if module.split(".")[0] in torch
    }
    assert found <= TORCH_ROOMS


@pytest.mark.slow
def test_one_module_imports_openvino_as_it_keeps_it_silent():
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for _, module in imported(path)
        if module.split(".")[0] == "openvino"
    }
    assert found == {"encoders/openvino.py"}


def loaded_by(program: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after ``program``."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{program}\n{report}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    return set(done.stdout.splitlines()[-1].split())


def modules_of(room: str) -> list[str]:
    paths = (SOURCE / room).rglob("*.py")
    return [".".join(["visita", *p.relative_to(SOURCE).with_suffix("").parts]) for p in paths]


def test_importing_visita_does_no_work():
    heavy = {"torch", "transformers", "numpy", "scipy", "sklearn", "openvino", "PIL", "rich"}
    assert not loaded_by("import visita; dir(visita)") & heavy


@pytest.mark.slow
@pytest.mark.parametrize("room", ["evaluation", "gallery", "search"])
def test_rooms_that_only_measure_or_search_import_no_torch(room):
    lines = "\n".join(f"import {name.removesuffix('.__init__')}" for name in modules_of(room))
    assert not loaded_by(lines) & {"torch", "transformers"}


def test_the_public_names_exist_and_are_all_listed():
    for name in visita.__all__:
        assert getattr(visita, name) is not None
    assert set(visita.__all__) <= set(dir(visita))
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = visita.serach
