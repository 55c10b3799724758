"""``visita search``: the pictures for a text, like a picture, or for a list of texts."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import visita
from visita.artifact import json_text
from visita.brief import counted
from visita.cli.filtering import Camera, Near, Rating, Since, Tag, Text, Under, Until, Where
from visita.cli.index import in_step
from visita.cli.options import (
    DEFAULT,
    Exclude,
    Home,
    Json,
    Language,
    Matcher,
    Null,
    TextEncoder,
    check_drawing,
    finder_for,
    quoted,
    read_lines,
    read_text,
)
from visita.cli.options import folders as checked
from visita.cli.output import print_json, print_null
from visita.errors import ConfigError
from visita.progress import note, one_line, say
from visita.search.algebra import read_as, terms_of
from visita.search.exact import in_quotes

SURE = 0.5
Sort = Literal["relevance", "date"]
FIRST = 3
"""Pictures that ``--open`` opens, without a sheet."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found among ``gallery_size`` pictures, or why it found nothing."""

    query: str
    kind: str
    gallery_size: int
    matches: list[visita.Match] = field(default_factory=list)
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; the matches are there where there is no error."""
        facts = {"query": self.query, "kind": self.kind, "gallery_size": self.gallery_size}
        if self.error:
            return {**facts, "error": self.error}
        return {**facts, "matches": [asdict(match) for match in self.matches]}

    def remark(self, threshold: float | None) -> str:
        """Return how the numbers are to be read, where that is not plain, or ``""``."""
        if not self.gallery_size:
            return "nothing found: no picture passes the filter"
        if (
            not self.matches
            and self.kind == "text"
            and (asked := in_quotes(self.query))
            and asked.alone
        ):
            return (
                f"nothing found: no picture has {asked.text} in what is written of it; words in "
                "pictures are read by 'visita index --ocr'"
            )
        if self.matches and self.kind != "text":
            told = f"read as {read_as(terms_of(self.query))}: " if self.kind == "sum" else ""
            return f"{told}the numbers are similarities (cosines), not probabilities"
        return remark(self.matches, threshold)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every query of one command asks for."""

    k: int
    threshold: float | None
    where: visita.Filter | None
    sort: Sort
    group: bool

    def look(
        self, galleries: Sequence[visita.Gallery], asked: str | Path, *, forgiving: bool
    ) -> Found:
        """Return what one query found; ``forgiving``, what is wrong with it is kept with it."""
        kind = "picture" if isinstance(asked, Path) else "text"
        size = 0
        try:
            if isinstance(asked, str) and terms_of(asked):
                kind = "sum"
            size = sum(len(self._among(gallery)) for gallery in galleries)
            return Found(str(asked), kind, size, self._find(galleries, asked))
        except visita.VisitaError as error:
            if not forgiving:
                raise
            return Found(str(asked), kind, size, error=str(error))

    def _among(self, gallery: visita.Gallery) -> Sized:
        return gallery.snapshot if self.where is None else gallery.passing(self.where)

    def _find(self, galleries: Sequence[visita.Gallery], asked: str | Path) -> list[visita.Match]:
        find: Any = visita.find_like if isinstance(asked, Path) else visita.find
        options = {"threshold": self.threshold, "where": self.where, "sort": self.sort}
        terms = terms_of(asked) if isinstance(asked, str) else ()
        return list(find(galleries, terms or asked, self.k, group=self.group, **options))


def remark(matches: Sequence[visita.Match], threshold: float | None) -> str:
    """Return how the numbers of matches for a text are to be read, or ``""`` where it is plain."""
    if not matches:
        return f"nothing found: no picture reaches {SURE if threshold is None else threshold}"
    best = matches[0].probability
    if best is None:
        return "this matcher was never calibrated: the numbers are scores, not probabilities"
    return f"no sure match: the best has probability {best:.2f}" if best < SURE else ""


def lines(matches: Sequence[visita.Match], *, dated: bool = False) -> list[str]:
    """Return number, path and, between them, the date of each match, separated by tabs."""
    numbers = [match.score if match.probability is None else match.probability for match in matches]
    return [
        "\t".join([f"{number:.3f}", *[match.date or "-"] * dated, one_line(match.path)])
        for number, match in zip(numbers, matches, strict=True)
    ]


def check_sheet(out: Path, given: Sequence[Path]) -> None:
    """Refuse a name that no sheet can have, or of one's own picture, ``given`` or in a folder."""
    from visita.search import sheet as contact_sheet  # noqa: PLC0415

    contact_sheet.check_sheet(out)
    check_drawing(out, given)


def draw_sheet(found: Sequence[Found], out: Path) -> None:
    """Draw all that was found into one picture."""
    from visita.search.sheet import Head, Row, draw  # noqa: PLC0415

    rows = [
        Row(
            answer.query,
            answer.error or ("" if answer.matches else "nothing found"),
            answer.matches,
        )
        for answer in found
    ]
    queries = f"{len(found)} queries" if len(found) > 1 else "1 query"
    caption = f"{queries}, {counted(found[0].gallery_size, 'picture')}; best first"
    draw(rows, out, Head("visita search", caption))


def view(paths: Sequence[str]) -> None:
    """Open files with the system's viewer, and say so where there is none."""
    if [path for path in paths if typer.launch(path)]:
        note("there is no viewer to open pictures with here")


def search(
    query: Annotated[
        str,
        typer.Argument(metavar="QUERY", help="What the picture shows; '-' reads it from stdin."),
    ],
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER",
            help="Folders of pictures. With --image or --queries, all arguments.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many matches to print.")] = 10,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE", exists=True, dir_okay=False, help="Find pictures like this one."
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Many queries, one a line; '-' reads them from stdin.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", min=-1, max=1, help="Leave out what is less probable (or similar)."
        ),
    ] = None,
    paths: Annotated[bool, typer.Option("--paths", help="Print paths only.")] = False,
    null: Null = False,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Draw what was found: a .png or .jpg file."),
    ] = None,
    viewed: Annotated[
        bool, typer.Option("--open", help="Open the sheet, or the first pictures, in a viewer.")
    ] = False,
    sort: Annotated[
        Sort,
        typer.Option(
            metavar="relevance|date",
            help="'date': the newest first, with their dates, of what reaches the threshold.",
            show_default="relevance; with date, a threshold of 0.5",
        ),
    ] = "relevance",
    group: Annotated[
        bool,
        typer.Option("--group", help="Of pictures that are nearly the same, print the best alone."),
    ] = False,
    since: Since = None,
    until: Until = None,
    camera: Camera = None,
    near: Near = None,
    under: Under = None,
    tag: Tag = None,
    rating: Rating = None,
    text: Text = None,
    where: Where = None,
    exclude: Exclude = None,
    gallery: Home = None,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Find the pictures in folders that show what a text says.

    Prints the probability and the path of each match, best first; with
    --image, the similarity and the path. New pictures are read first.
    --since and the like search among some of the pictures, as if there were
    no others.
    With --queries, prints a block a query, or one JSON object a line; a query
    that cannot be answered is reported, and the rest goes on.

    [bold]visita search "a dog on a beach" Pictures[/bold]
    [bold]visita search "a street without cars" Pictures[/bold]
    [bold]visita search "2*golden retriever + ./pool.jpg - fruit" Pictures[/bold]
    [bold]visita search '"invoice 2023"' Pictures[/bold]
    [bold]visita search --image dog.jpg Pictures Scans -k 3[/bold]
    [bold]visita search "a red boat" Pictures --threshold 0.5 --paths | head -1[/bold]
    [bold]visita search "a red boat" Pictures --since 2023 --sort date[/bold]
    [bold]visita search "a red boat" Pictures -0 | xargs -0 ls -l[/bold]
    [bold]visita search --queries wanted.txt Pictures --sheet wanted.png --open[/bold]
    """
    if image and queries:
        raise ConfigError("--image and --queries do not go together: search with one of them.")
    if null and (as_json or queries):
        raise ConfigError("--null prints the paths of one query: leave out --json and --queries.")
    given: dict[str, Any] = {
        **{"since": since, "until": until, "camera": camera, "near": near, "under": under},
        **{"tag": tag, "rating": rating, "text": text, "where": where},
    }
    values = {name: value for name, value in given.items() if value not in (None, [])}
    dated = as_json or sort == "date" or bool(values)
    among = visita.Filter(**values) if dated else None
    wanted = Wanted(k, threshold, among, sort, group)
    texts = [] if image else read_lines(queries) if queries else [read_text(query)]
    places = _places(query, folders or [], text=not (image or queries))
    if sheet:
        check_sheet(sheet, [*places, *([image] if image else [])])
    answers = []
    with finder_for(list(filter(_is_plain, texts)), matcher, text_encoder, language) as finder:
        tabled = dated or any(map(in_quotes, texts))
        galleries, skipped = in_step(places, finder, gallery, exclude, tabled=tabled)
        for asked in [image] if image else texts:
            answer = wanted.look(galleries, asked, forgiving=bool(queries))
            _remark(answer, threshold, named=len(texts) > 1)
            answers.append(answer)
            if as_json and queries:
                print(json_text(answer.to_dict()), flush=True)
            elif as_json:
                print_json({**answer.to_dict(), "skipped": [asdict(each) for each in skipped]})
            elif null:
                print_null(match.path for match in answer.matches)
            else:
                _print(answer, paths, named=bool(queries), dated=sort == "date")
    if sheet:
        draw_sheet(answers, sheet)
    if viewed:
        view([str(sheet)] if sheet else [str(match.path) for match in answers[0].matches[:FIRST]])
    if any(answer.error for answer in answers):
        raise typer.Exit(2)
    if not any(answer.matches for answer in answers):
        raise typer.Exit(1)


def _is_plain(text: str) -> bool:
    """Tell whether remarks on a text's words fit: how a sum was read is said anyway."""
    try:
        return not terms_of(text)
    except visita.VisitaError:  # which is told when it is searched with
        return False


def _places(query: str, folders: list[str], text: bool) -> list[Path]:
    if text and not folders:
        raise ConfigError('Say where to look too:  visita search "a dog" Pictures')
    if not text and not Path(query).exists():
        raise ConfigError(
            "With --image and --queries all arguments are folders, and there is no folder "
            f"{query!r}."
        )
    return checked(folders, query) if text else checked([query, *folders])


def _remark(answer: Found, threshold: float | None, *, named: bool) -> None:
    name = f"{quoted(answer.query)}: " if named else ""
    if answer.error:
        say(f"error: {name}{answer.error}")
    elif remark := answer.remark(threshold):
        note(name + remark)


def _print(answer: Found, paths: bool, *, named: bool, dated: bool) -> None:
    if named:
        print(f"# {one_line(answer.query)}")
    plain = (one_line(match.path) for match in answer.matches)
    for line in plain if paths else lines(answer.matches, dated=dated):
        print(line, flush=named)
    if named:
        print()
