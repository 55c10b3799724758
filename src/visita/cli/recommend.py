"""``visita recommend``: pictures for an article, and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import visita
from visita.brief import counted
from visita.cli.index import in_step
from visita.cli.options import (
    DEFAULT,
    Exclude,
    Home,
    Json,
    Language,
    Matcher,
    Null,
    Root,
    TextEncoder,
    finder_for,
    read_stdin,
    rooted,
)
from visita.cli.options import folders as checked
from visita.cli.output import print_json, print_null
from visita.cli.search import remark
from visita.errors import ConfigError
from visita.progress import note, one_line, say

SHOWN = 100
"""Characters of a reason; ``--json`` gives all."""


def recommend(
    article: Annotated[
        str,
        typer.Argument(metavar="ARTICLE", help="A file, text or HTML; '-' reads it from stdin."),
    ],
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER", help="Folders of pictures.")],
    past: Annotated[
        str | None,
        typer.Option(
            metavar="PAIRS",
            help="Past articles with their pictures, to learn from: READER:PATH, or a path.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many pictures to print.")] = 10,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", min=0, max=1, help="Leave out what is less probable."),
    ] = None,
    paths: Annotated[bool, typer.Option("--paths", help="Print paths only.")] = False,
    null: Null = False,
    exclude: Exclude = None,
    gallery: Home = None,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    language: Language = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Find pictures in folders for an article of any length.

    Prints, separated by tabs: the probability, the path and the passage of the
    article that fits best; with --past, the picture and the text of the past
    article that spoke most for it. New pictures are read first.

    [bold]visita recommend article.txt Pictures[/bold]
    [bold]visita recommend - Pictures --past folder:published -k 3 --json[/bold]
    """
    from visita.data.prose import read_article  # noqa: PLC0415

    if null and as_json:
        raise ConfigError("--null and --json do not go together: leave out one of them.")
    places = checked(folders)
    text = read_article(read_stdin() if article == "-" else Path(article))
    with finder_for([text], matcher, text_encoder, language) as finder:
        galleries, skipped = in_step(places, finder, gallery, exclude)
        learnt = visita.Past.learn(galleries[0].finder, rooted(past, root)) if past else None
        if learnt:
            say(_learnt(learnt))
        recommendations = visita.recommend(galleries, text, k, past=learnt, threshold=threshold)
    if said := remark(recommendations, threshold):
        note(said)
    if as_json:
        print_json(
            {
                "gallery_size": sum(len(gallery.snapshot) for gallery in galleries),
                "past": _facts(learnt) if learnt else None,
                "recommendations": [asdict(recommendation) for recommendation in recommendations],
                "skipped": [asdict(picture) for picture in skipped],
            }
        )
    elif null:
        print_null(match.path for match in recommendations)
    else:
        for match in recommendations:
            print(one_line(match.path) if paths else _line(match))
    if not recommendations:
        raise typer.Exit(1)


def _line(recommendation: visita.Recommendation) -> str:
    number = (
        recommendation.score if recommendation.probability is None else recommendation.probability
    )
    cells = [f"{number:.3f}", str(recommendation.path), _short(recommendation.passage)]
    if recommendation.precedent:
        cells += [str(recommendation.precedent.picture), _short(recommendation.precedent.text)]
    return "\t".join(map(one_line, cells))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _learnt(past: visita.Past) -> str:
    line = f"past: {counted(len(past.pairs.texts), 'article')}, weight {past.weight:g}"
    if past.gain is None:
        return f"{line}; too few articles of the dev split to learn it from"
    return (
        f"{line}, learnt on {past.learnt_on:,} of the dev split: R@10 {past.gain.value:+.1f} "
        f"[{past.gain.low:+.1f}, {past.gain.high:+.1f}] over the matcher alone"
    )


def _facts(past: visita.Past) -> dict[str, Any]:
    return {
        "articles": len(past.pairs.texts),
        "weight": past.weight,
        "learnt_on": past.learnt_on,
        "gain": asdict(past.gain) if past.gain else None,
    }
