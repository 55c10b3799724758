"""``visita search``: the pictures for a text, or like a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.cli.index import in_step
from visita.cli.options import DEFAULT, Exclude, Home, Json, Matcher, TextEncoder
from visita.cli.output import print_json
from visita.cli.texts import matcher_for, read_text
from visita.names import one_line

SURE = 0.5


def search(
    query: Annotated[
        str,
        typer.Argument(metavar="QUERY", help="What the picture shows; '-' reads it from stdin."),
    ],
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDER", help="Folders of pictures. With --image, all arguments."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many matches to print.")] = 10,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE", exists=True, dir_okay=False, help="Find pictures like this one."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", min=-1, max=1, help="Leave out what is less probable (or similar)."
        ),
    ] = None,
    paths: Annotated[bool, typer.Option("--paths", help="Print paths only.")] = False,
    exclude: Exclude = None,
    gallery: Home = None,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    as_json: Json = False,
) -> None:
    """Find the pictures in folders that show what a text says.

    Prints the probability and the path of each match, best first; with
    --image, the similarity and the path. New pictures are read first.

    [bold]visita search "a dog on a beach" Pictures[/bold]
    [bold]visita search --image dog.jpg Pictures Scans -k 3[/bold]
    [bold]visita search "a red boat" Pictures --threshold 0.5 --paths | head -1[/bold]
    """
    folders = folders or []
    if image is None and not folders:
        raise typer.BadParameter("Say where to look too: visita search 'a dog' Pictures.")
    text = read_text(query) if image is None else None
    places = folders if image is None else [query, *folders]
    with matcher_for(text, matcher, text_encoder) as chosen:
        galleries, skipped = in_step([Path(place) for place in places], chosen, gallery, exclude)
        matches = _find(galleries, text, image, k, threshold)
    _remark(matches, "picture" if text is None else "text", threshold)
    if as_json:
        print_json(
            {
                "query": str(image) if text is None else text,
                "kind": "picture" if text is None else "text",
                "gallery_size": sum(len(one.snapshot) for one in galleries),
                "matches": [asdict(match) for match in matches],
                "skipped": [asdict(one) for one in skipped],
            }
        )
    else:
        for match in matches:
            print(one_line(match.path) if paths else _line(match))
    if not matches:
        raise typer.Exit(1)


def _find(
    galleries: Sequence[visita.Gallery],
    text: str | None,
    image: Path | None,
    k: int,
    threshold: float | None,
) -> list[visita.Match]:
    if image is not None:
        return visita.find_like(galleries, image, k, threshold=threshold)
    assert text is not None
    return visita.find(galleries, text, k, threshold=threshold)


def _remark(matches: Sequence[visita.Match], kind: str, threshold: float | None) -> None:
    """Say on stderr how to read the numbers, where that is not plain."""
    if not matches:
        remark = f"nothing found: no picture reaches {threshold}"
    elif kind == "picture":
        remark = "the numbers are similarities (cosines), not probabilities"
    elif matches[0].probability is None:
        remark = "this matcher was never calibrated: the numbers are scores, not probabilities"
    elif matches[0].probability < SURE:
        remark = f"no sure match: the best has probability {matches[0].probability:.2f}"
    else:
        return
    print(remark, file=sys.stderr)


def _line(match: visita.Match) -> str:
    number = match.score if match.probability is None else match.probability
    return f"{number:.3f}\t{one_line(match.path)}"
