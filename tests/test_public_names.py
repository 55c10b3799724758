"""The public names are the documented ones."""

import ast
import re
from pathlib import Path

import visita

ROOT = Path(__file__).parents[1]


def test_docs_list_exactly_the_public_names():
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    documented = re.findall(r"^### `(\w+)`$", text, flags=re.MULTILINE)
    assert sorted(documented) == sorted(visita.__all__)


def test_every_visita_name_in_the_readme_is_public():
    text = (ROOT / "README.md").read_text("utf-8")
    used = set(re.findall(r"\bvisita\.(\w+)\(", text))
    assert used
    assert used <= set(visita.__all__)


def test_type_checkers_see_what_a_program_gets():
    for package in ("visita", "visita.data"):
        module = __import__(package, fromlist=["_MODULES"])
        tree = ast.parse(Path(module.__file__).read_text("utf-8"))
        [block] = [
            node
            for node in tree.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ]
        seen = {
            alias.name: node.module
            for node in block.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert seen == module._MODULES
        assert set(seen) <= set(module.__all__)


def test_no_lazy_name_is_hidden_by_a_module_of_the_same_name():
    for package in ("visita", "visita.data"):
        module = __import__(package, fromlist=["_MODULES"])
        folder = Path(module.__file__).parent
        modules = {path.stem for path in folder.iterdir()}
        assert not modules & set(module._MODULES)
