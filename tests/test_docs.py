"""The README and the pages name what exists: files, tests, links, commands and their options."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from visita.cli.app import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACES = (ROOT, ROOT / "src", ROOT / "src" / "visita", ROOT / "tests", ROOT / "docs")
CHECK = runpy.run_path(str(ROOT / ".ci" / "readme_check.py"))

CODE = re.compile(r"`+([^`\n]+)`+")
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
PATH = re.compile(r"[\w.-]*\w/\w[\w./-]*|[\w-]+\.(?:py|sh)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TESTED = ("papers.md", "compared-systems.md")


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text("utf-8"))


def names(page: Path) -> Iterator[str]:
    """Yield what stands in backticks and looks like a path of the repository."""
    for name in CODE.findall(prose(page)):
        if PATH.fullmatch(name) and not name.startswith("out/"):  # a user's folder
            yield name


def exists(name: str) -> bool:
    return any((place / name).exists() for place in PLACES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page):
    assert [name for name in names(page) if not exists(name)] == []


@pytest.mark.parametrize("name", ["encoders/table.py", "tests/test_docs.py", "training/gone.py"])
def test_a_path_of_the_repository_is_recognised(name):
    assert PATH.fullmatch(name)
    assert exists(name) == ("gone" not in name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if heading:
            assert heading in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("name", TESTED)
def test_each_part_has_a_module_and_a_test(name):
    rows = [line for line in (ROOT / "docs" / name).read_text("utf-8").splitlines() if "|" in line]
    parts = [row for row in rows if not row.startswith("|---") and "| module | test |" not in row]
    assert len(parts) > 10
    for part in parts:
        *_, modules, tests = (cell.strip() for cell in part.strip("| ").split(" | "))
        for cell in (modules, tests):
            paths = [path for path in CODE.findall(cell) if "/" in path or path.endswith(".py")]
            assert cell == "same" or paths, part
            assert [path for path in paths if not exists(path)] == []
        assert all(path.startswith("test_") for path in CODE.findall(tests)), part


def test_the_index_lists_every_page():
    checked = CHECK["pages"]()
    assert checked[0] == README
    listed = {path.name for path in checked[1:]}
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_checker_runs_lines_and_python_in_order():
    blocks = (
        ("bash", "visita models  # all\npip install x"),
        ("python", "print(1)"),
        ("text", "no"),
    )
    text = "\n".join(f"```{language}\n{block}\n```" for language, block in blocks)
    steps = CHECK["steps"](text)
    assert [(step.language, step.source) for step in steps] == [
        ("bash", "visita models"),
        ("python", "print(1)\n"),
    ]


def test_every_block_says_what_it_is():
    for page in PAGES:
        for language, _ in BLOCK.findall(page.read_text("utf-8")):
            assert language in ("bash", "python", "text", "pycon", "toml"), (
                f"{page.name}: {language}"
            )


def commands() -> list[str]:
    """Return the command lines of visita in all pages, those that CI does not run among them."""
    shown = []
    for page in PAGES:
        for language, block in BLOCK.findall(page.read_text("utf-8")):
            if language in ("bash", "text"):
                shown += [line for line in CHECK["lines"](block) if "visita " in line]
    return list(dict.fromkeys(shown))


@pytest.mark.parametrize("line", commands())
def test_every_command_and_option_exists(line):
    words = shlex.split(re.split(r"\s[|>]\s", line[re.search(r"\bvisita ", line).start() :])[0])
    command = typer.main.get_command(app)
    context = command.make_context("visita", [], resilient_parsing=True)
    words = words[1:]
    while hasattr(command, "get_command"):
        name = words.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name}"
        context = typer.Context(command, parent=context, info_name=name)
    options = {option for parameter in command.params for option in parameter.opts}
    assert [word for word in words if re.match("-[-a-z]", word) and word not in options] == []
