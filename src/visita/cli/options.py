"""Options that several commands have."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import visita
from visita.artifact import MANIFEST
from visita.data.files import LIMIT, decode_prose
from visita.data.locations import in_bucket, location
from visita.errors import ConfigError, did_you_mean
from visita.progress import note

if TYPE_CHECKING:
    from visita.data import Source


Image = Annotated[
    Path, typer.Argument(metavar="IMAGE", exists=True, dir_okay=False, help="A picture.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT = "visita-small"


def _chosen(context: typer.Context, named: str) -> str:
    """Return the matcher that is named, or else this user's, which is told where it is not ours."""
    from visita.matchers.default import default_matcher  # noqa: PLC0415

    source = context.get_parameter_source("matcher")
    if source and source.name != "DEFAULT":
        return named
    if (name := default_matcher()) != DEFAULT:
        note(f"by {name}, your default; 'visita use {DEFAULT}' goes back")
    return name


Matcher = Annotated[
    str,
    typer.Option(
        metavar="NAME|FOLDER",
        help="A shipped matcher, a saved one's folder, or clip:NAME.",
        show_default=f"{DEFAULT}, or what 'visita use' chose",
        callback=_chosen,
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Read texts by another encoder of the same space, such as a multilingual one; "
        "for models of two towers, such as clip:NAME.",
        show_default="the matcher's own",
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        metavar="CODE",
        help="Language of the text, such as de.",
        show_default="what the text seems to be in",
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        metavar="DIR",
        help="Where galleries are kept.",
        show_default="$VISITA_HOME or the user's data folder",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out files and folders whose name or path matches, as in '*.gif'. Repeatable.",
    ),
]
Null = Annotated[
    bool,
    typer.Option(
        "--null",
        "-0",
        help="Print paths only, as they are, each ended by a null byte, for xargs -0.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace the matcher that --out holds already.")
]
Pairs = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="PAIRS",
        help="Images with texts: READER:PATH, as in flickr8k:data, or a path that is recognised.",
    ),
]
Wrong = Annotated[
    str | None,
    typer.Option(
        metavar="PAIRS",
        help="With --from: pairs that do not belong together, such as results that were refused.",
    ),
]
Root = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Pictures may lie here too: else, what is outside the data's folder is left out. "
        "Repeatable.",
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where 'visita extract' put the features.", show_default="the cache"
    ),
]
Folds = Annotated[
    int,
    typer.Option(
        min=1,
        help="Retrieval as the mean over so many parts of the images: 5 is COCO's 1K protocol.",
    ),
]
Config = Annotated[Path | None, typer.Option(metavar="TOML", help="A file with settings.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting. Repeatable."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="'default', visita's own recipe, or 'paper', the multi-level fusion paper's.",
        show_default="default",
    ),
]


def rooted(data: str, roots: list[Path] | None) -> Source:
    """Return the pairs with the folders of ``--root``."""
    from visita.data import Source  # noqa: PLC0415

    return Source(data, tuple(roots or ()))


def agreed(question: str, *, yes: bool, refused: str) -> None:
    """Ask on the terminal, unless ``yes``; whoever says no ends the command.

    Raises
    ------
    ConfigError
        If there is no terminal; ``refused`` is what to do then.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"There is no terminal to ask on: {refused}.")
    typer.confirm(question, abort=True, err=True)


NAMED = 60
"""Characters of a text that a line on stderr names."""


def read_text(argument: str) -> str:
    """Return the argument, or what stdin holds where it is ``-``; a blank text is refused."""
    if argument == "-":
        text = decode_prose(read_stdin()).strip()
    else:
        text = argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
    if not text:
        raise ConfigError("The text is empty: describe what the picture should show.")
    return text


def read_lines(file: Path) -> list[str]:
    """Return the queries of a file, or of stdin where it is ``-``: its lines that are not blank."""
    text = decode_prose(read_stdin() if str(file) == "-" else file)
    queries = [line.strip() for line in text.splitlines() if line.strip()]
    if not queries:
        raise ConfigError(f"{file} holds no queries: write one a line.")
    return queries


def read_stdin() -> bytes:
    """Return what stdin holds, as far as a text may be long."""
    if sys.stdin is None:
        raise ConfigError("There is nothing to read: standard input is closed.")
    return sys.stdin.buffer.read(LIMIT + 1)


def quoted(text: str) -> str:
    """Return what a line on stderr calls a text: its beginning, in quotes."""
    return repr(text if len(text) <= NAMED else f"{text[: NAMED - 1]}…")


@contextmanager
def finder_for(
    texts: Sequence[str], matcher: str, text_encoder: str | None, language: str | None = None
) -> Iterator[visita.Finder]:
    """Give the finder that texts are for, by the names of the command line.

    Once the body is done, stderr is told how each text was read, where that is not plain. What
    tells languages is read in a thread meanwhile: that takes half a second.
    """
    from visita.search.language import identifier, plainly_english, remarks  # noqa: PLC0415
    from visita.search.query import kind_of  # noqa: PLC0415

    with ThreadPoolExecutor(1) as beside:
        plain = (kind_of(text) == "keywords" or plainly_english(text) for text in texts)
        if language is None and not all(plain):
            beside.submit(identifier)
        chosen = visita.load(matcher, text_encoder=text_encoder)
        yield visita.Finder(chosen, language=language)
    for text in texts:
        for remark in remarks(text, chosen, language):
            note(remark if len(texts) == 1 else f"{quoted(text)}: {remark}")


GLOB = frozenset("*?[")


def folders(places: Sequence[str], query: str | None = None) -> list[Path]:
    """Return the folders that the command line names.

    ``query`` is what stands before them, where that is a text of one's own.

    Raises
    ------
    ConfigError
        If one is no folder; the message says what it is, and what to write.
    """
    wrong = [place for place in places if not (in_bucket(place) or Path(place).is_dir())]
    if options := [place for place in wrong if place.startswith("-")]:
        raise ConfigError(f"There is no folder {options[0]!r}: options come before the '--'.")
    if wrong:
        raise ConfigError(_misread(query, places, wrong) or _fault(wrong[0]))
    return [location(place) for place in places]


def check_out(out: Path, force: bool | None = None) -> None:
    """Refuse to write where a matcher is kept, unless ``force``; None where nothing may.

    Raises
    ------
    ConfigError
        If ``out`` holds a matcher, or an encoder that was trained, or is a file.
    """
    if out.is_file():
        raise ConfigError(f"{out} is a file: name a new folder by --out.")
    if not force and (out / MANIFEST).is_file():
        more = "" if force is None else ", or add --force to replace it"
        raise ConfigError(f"{out} holds a matcher or an encoder: name another --out{more}.")


def check_drawing(out: Path, given: Sequence[str | Path]) -> None:
    """Refuse to draw over a picture of one's own.

    Raises
    ------
    ConfigError
        If ``out`` is one of the files ``given``, or a file in one of the folders.
    """
    real = out.resolve()
    for place in map(Path, given):
        inside = place.is_dir() and real.is_relative_to(place.resolve())
        if real.is_file() and (inside or (place.is_file() and real.samefile(place))):
            where = f"is in the folder {place}" if inside else "is the picture itself"
            raise ConfigError(f"{out} {where}, and would be overwritten: name another file.")


def _misread(query: str | None, places: Sequence[str], wrong: Sequence[str]) -> str:
    """Return what to write where a query was given without quotes, or after its folder."""
    if query is None:
        return ""
    last = 1 + max(number for number, place in enumerate(places) if place in wrong)
    rest = places[last:] or ["FOLDER"]
    if len(wrong) == 1 and Path(query).is_dir():
        query, rest, fault = wrong[0], [query, *places[last:]], "the query comes first"
    elif len(places) > 1 and all(map(_is_word, [query, *wrong])):
        query, fault = " ".join([query, *places[:last]]), "a query of several words takes quotes"
    else:
        return ""
    line = " ".join(["visita search", f'"{query}"', *map(shlex.quote, rest)])
    return f"There is no folder {wrong[0]!r}; {fault}:  {line}"


def _is_word(place: str) -> bool:
    return not place.startswith(("~", ".")) and not (GLOB | set("/\\ ")) & set(place)


def _fault(place: str) -> str:
    path = Path(place)
    if place.startswith("~"):
        return (
            f"{place!r} is no folder: a shell replaces ~ only outside quotes. Write "
            f"{shlex.quote(os.path.expanduser(place))}."  # noqa: PTH111 - no user, no error
        )
    if path.exists():
        beside = shlex.quote(str(path.parent))
        return f"{place!r} is a file: name the folder that it is in:  {beside}"
    if not GLOB.isdisjoint(place):
        return f"{place!r} matches nothing: name a folder, and what to leave out by --exclude."
    names = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    return (
        f"There is no folder {place!r}.{did_you_mean(path.name, names)} "
        "If it was moved, name where it is now; if it is on another disk, connect that."
    )
