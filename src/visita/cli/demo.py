"""``visita demo``: six queries on sample photographs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import visita
from visita.cli.options import DEFAULT, Json, Matcher
from visita.cli.output import print_json

if TYPE_CHECKING:
    from visita.reports.demo import Answer


def demo(
    out: Annotated[
        Path, typer.Option(metavar="PICTURE", help="Where the contact sheet goes.")
    ] = Path("visita-demo.png"),
    matcher: Matcher = DEFAULT,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show the photographs on the page of `visita serve`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search the sample photographs of scikit-image and draw what was found.

    The six queries and the pictures they should find were fixed beforehand.

    [bold]visita demo --out sheet.png[/bold]
    [bold]visita demo --serve[/bold]
    """
    from visita.reports.demo import draw_answers, run  # noqa: PLC0415
    from visita.search.sheet import check_sheet  # noqa: PLC0415

    if serve:
        _serve(matcher)
        return
    check_sheet(out)
    answers = run(visita.load(matcher))
    draw_answers(answers, out)
    first = sum(answer.rank == 1 for answer in answers)
    if as_json:
        records = [_record(answer) for answer in answers]
        print_json({"answers": records, "first": first, "sheet": str(out)})
        return
    for answer in answers:
        picture = answer.matches[0].path.name
        print(f"{answer.query}: expected {answer.expected}, found {picture}; rank {answer.rank}")
    print(f"first {first} of {len(answers)}")
    print(f"contact sheet: {out}")


def _serve(matcher: str) -> None:
    from visita.reports.demo import sample_pictures  # noqa: PLC0415
    from visita.serve.config import ServeConfig  # noqa: PLC0415
    from visita.serve.run import serve  # noqa: PLC0415

    settings = ServeConfig.of_everything(None, os.environ, {"matcher": matcher})
    serve([sample_pictures()], settings, opens=True)


def _record(answer: Answer) -> dict[str, object]:
    return {
        "query": answer.query,
        "expected": answer.expected,
        "rank": answer.rank,
        "matches": [
            {"picture": m.path.name, "score": m.score, "probability": m.probability}
            for m in answer.matches
        ],
    }
