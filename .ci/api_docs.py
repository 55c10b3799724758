"""Write docs/api.md from the docstrings of the public names.

python .ci/api_docs.py
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
INTRODUCTION = """\
# The Python names

This page is written by `.ci/api_docs.py` from the docstrings; edit those. Everything that is not
listed here may change without notice. `import visita` costs nothing: each name brings its module on
first use.

Arguments come in one order: the matcher or the galleries, then pairs, then where the result goes;
or then the picture, the text or texts, and `k`. All else is given by keyword. A matcher is a
`Matcher`, the name of a shipped one or a folder; pairs are what `open_pairs` takes; a picture is a
PIL image or a path. Where a matcher has a default, it is the keyword `matcher`. A wrong kind of
thing is a `TypeError` that says what is taken, a wrong setting a `VisitaError`. The `repr` of
everything is one line; paths of results are `Path`. In a notebook, `Matches`, `Match`, `Gallery`
and `Explanation` show small pictures, at most 24 at a time, which are embedded in the page.

The tests run the examples, where `visita` is imported and `mypairs` is a folder of drawn pictures
with captions (`python tests/drawn.py mypairs --n 40`). Those marked `+SKIP` take minutes.
"""
SECTIONS = {
    "Finding": (
        "visita",
        (
            *(
                "Gallery",
                "find",
                "find_like",
                "Term",
                "terms_of",
                "Filter",
                "Match",
                "Matches",
                "Finder",
            ),
            "unit_and_length",
            *("recommend", "Recommendation", "Past", "explain", "Explanation"),
            *("Captioner", "Caption", "answer", "Choice"),
            "Client",
        ),
    ),
    "Learning and measuring": (
        "visita",
        (
            *("load", "train", "adapt", "Trained", "fuse", "Fused"),
            *("train_encoder", "TrainedEncoder", "teach_languages", "TaughtLanguages"),
            *("evaluate", "compare", "robustness", "reproduce"),
        ),
    ),
    "Settings": (
        "visita",
        (
            *("FusionConfig", "AdaptConfig", "MklVisitaConfig", "EndToEndConfig"),
            *("LanguagesConfig", "PaperConfig", "MklVisitaPaperConfig"),
        ),
    ),
    "Pairs": ("visita", ("open_pairs", "PairSet")),
    "Errors and version": ("visita", ("VisitaError", "__version__")),
    "Kernels, as scikit-learn has it": (
        "visita.kernels",
        ("UniformMKL", "AlignmentMKL", "EasyMKL", "SimpleMKL"),
    ),
    "Checks for plug-ins": (
        "visita.testing",
        ("check_encoder", "check_text_encoder", "check_matcher", "check_loss", "check_index"),
    ),
}
NOTES = {
    "Kernels, as scikit-learn has it": """\
`visita.kernels` has classifiers of two classes. `fit` takes `sample_weight`; `probability=True`
gives `predict_proba`, calibrated by cross-validation. Precomputed kernels are an array
(n, n, kernels), `np.stack(grams, axis=-1)`, which `cross_val_score` and `GridSearchCV` cut into
folds rightly. They pass `check_estimator` but for one check: that a row of weight two equals two
rows to seven digits, as libsvm solves an SVM to three.
""",
    "Checks for plug-ins": """\
`visita.testing` checks whether a part of your own keeps its contract. Each check raises an
`AssertionError` that says what is wrong.
""",
}


class Setting(NamedTuple):
    """One field of a configuration."""

    name: str
    default: Any
    meaning: str


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    told: dict[Any, str] = {}
    for title, (module, names) in SECTIONS.items():
        parts.append(f"## {title}\n")
        if title in NOTES:
            parts.append(NOTES[title])
        parts += [entry(importlib.import_module(module), name, told) for name in names]
    return "\n".join(parts)


def entry(module: Any, name: str, told: dict[Any, str]) -> str:
    """Return the heading, signature, text and members of one name, each member once.

    ``told`` maps bases and members of classes to the class that they were shown with.
    """
    thing = getattr(module, name)
    shown = f"{module.__name__}.{name}".removeprefix("visita.")
    if name == "__version__":
        return "### `__version__`\n\nThe installed version, a str.\n"
    if inspect.isclass(thing) and issubclass(thing, BaseModel):
        parts = [f"### `{shown}`\n", code(f"{name}(**settings)"), prose(thing)]
        parts.append("| setting | default | |\n|---|---|---|")
        parts += [f"| `{s.name}` | {short(s.default)} | {s.meaning} |" for s in settings(thing)]
        return "\n".join(parts) + "\n"
    parts = [f"### `{shown}`\n", code(signature(name, thing)), prose(thing)]
    told[thing] = shown
    for base in thing.__mro__ if inspect.isclass(thing) else ():
        described = base.__module__.startswith("visita.") and "\n----" in (base.__doc__ or "")
        if described and base not in told:
            told[base] = shown
            parts.append(prose(base))
    shared: dict[str, list[str]] = {}
    for member, call in members(thing):
        owner = told.setdefault(inspect.getattr_static(thing, member), shown)
        if owner != shown:
            shared.setdefault(owner, []).append(f"`{member}`")
            continue
        parts += [f"#### `{name}.{member}`\n", code(call), prose(method(thing, member))]
    parts += [f"As `{owner}`: {', '.join(names)}.\n" for owner, names in shared.items()]
    return "\n".join(parts)


def code(line: str) -> str:
    """Return a block with a signature."""
    return f"```text\n{line}\n```\n"


def signature(name: str, thing: Callable[..., Any]) -> str:
    """Return name, parameters and what is returned, on one line or a parameter a line."""
    if inspect.isclass(thing) and thing.__init__ in (object.__init__, list.__init__):
        return f"{name}(…)" if issubclass(thing, list) else name
    try:
        described = inspect.signature(thing)
    except ValueError:
        return name
    parameters = [p for p in described.parameters.values() if p.name not in ("self", "cls")]
    shown = [written(parameter).replace("'", '"') for parameter in parameters]
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        shown.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = described.return_annotation
    arrow = "" if inspect.isclass(thing) or returned is described.empty else f" -> {returned}"
    line = f"{name}({', '.join(shown)}){arrow}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {argument},\n" for argument in shown) + f"){arrow}"


def written(parameter: inspect.Parameter) -> str:
    """Return a parameter with its annotation and default."""
    text = parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {parameter.annotation}"
    if parameter.default is not parameter.empty:
        text += f" = {parameter.default!r}"
    return text


def members(thing: Any) -> Iterator[tuple[str, str]]:
    """Yield the public methods and properties of a class of visita, with their signatures."""
    if not inspect.isclass(thing) or issubclass(thing, Exception):
        return
    listed: dict[str, None] = {}
    for base in reversed(thing.__mro__):
        if base.__module__.startswith("visita."):
            listed.update(dict.fromkeys(name for name in vars(base) if not name.startswith("_")))
    for name in listed:
        attribute = method(thing, name)
        if isinstance(attribute, property):
            yield name, name
        elif callable(attribute) and attribute.__module__.startswith("visita."):
            yield name, signature(name, attribute)


def method(thing: Any, name: str) -> Any:
    """Return a method, or a property as it is."""
    attribute = inspect.getattr_static(thing, name)
    return attribute if isinstance(attribute, property) else getattr(thing, name)


def prose(thing: Any) -> str:
    """Return a docstring as Markdown: sections as lists, examples as code."""
    text = inspect.getdoc(thing) or ""
    sections = re.split(r"^(\w+)\n-{3,}\n", text, flags=re.MULTILINE)
    parts = [markdown(sections[0])]
    for title, body in zip(sections[1::2], sections[2::2], strict=True):
        if title == "Examples":
            parts.append(f"```pycon\n{body.strip()}\n```\n")
        else:
            parts.append(f"{title}:\n\n{entries(body)}\n")
    return "\n".join(part for part in parts if part)


def markdown(text: str) -> str:
    """Return running text with single backticks."""
    return text.strip().replace("``", "`") + "\n" if text.strip() else ""


def entries(body: str) -> str:
    """Return a numpy section as a list."""
    listed: list[list[str]] = []
    for line in body.strip().splitlines():
        if line[:1].strip():
            listed.append([line])
        elif line.strip():
            listed[-1].append(line.strip())
    return "\n".join(item(head, " ".join(rest)) for head, *rest in listed)


def item(head: str, meaning: str) -> str:
    """Return one entry: its name as code, its kind, what it means."""
    name, _, kind = head.partition(" : ")
    shown = ", ".join(f"`{part}`" for part in name.split(", "))
    about = ", ".join(part for part in (kind, meaning) if part)
    if kind and meaning:
        about = f"{kind}. {meaning}"
    return f"- {shown}: {about}".rstrip(": ").replace("``", "`")


def settings(model: type[BaseModel]) -> list[Setting]:
    """Return the fields of a configuration with what the source says under each."""
    meanings: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not base.__module__.startswith("visita."):
            continue
        [body] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and said:
                meanings[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[union-attr]
    return [
        Setting(name, field.default, meanings.get(name, "").replace("``", "`").replace("|", "\\|"))
        for name, field in model.model_fields.items()
    ]


def short(default: Any) -> str:
    """Return a default as code; one of nested settings by its name."""
    if isinstance(default, BaseModel):
        changed = {k: v for k, v in default if v != type(default).model_fields[k].default}
        named = (f"{k}=…" if isinstance(v, dict) else f"{k}={v!r}" for k, v in changed.items())
        return f"`{type(default).__name__}({', '.join(named)})`"
    return f"`{default!r}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
