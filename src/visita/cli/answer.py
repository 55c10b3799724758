"""``visita answer``: a question about a picture, with choices."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import visita
from visita.cli.options import DEFAULT, Image, Json, Matcher, TextEncoder, finder_for
from visita.cli.output import print_json
from visita.progress import note, one_line


def answer(
    image: Image,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="In English.")],
    choices: Annotated[
        str, typer.Option("--choices", metavar="A,B,…", help="The choices, separated by commas.")
    ] = "",
    choice: Annotated[
        list[str] | None,
        typer.Option("--choice", metavar="TEXT", help="A choice that may hold commas. Repeatable."),
    ] = None,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    as_json: Json = False,
) -> None:
    """Answer a question about a picture by the best of some choices.

    Prints, separated by tabs: the probability of each choice if exactly one is right
    (not for yes and no), its score, the choice, and the statement that was
    matched, best first.

    [bold]visita answer dog.jpg "What colour is the dog?" --choices black,white,brown[/bold]
    [bold]visita answer dog.jpg "Is there a boat?" --choices yes,no[/bold]
    """
    with finder_for([question], matcher, text_encoder) as finder:
        answers = visita.answer(finder, image, question, [*choices.split(","), *(choice or ())])
    if answers[0].share is None:
        note("the numbers are scores, not probabilities")
    if as_json:
        rows = [asdict(option) for option in answers]
        print_json({"image": str(image), "question": question, "choices": rows})
        return
    for option in answers:
        share = "" if option.share is None else f"{option.share:.3f}\t"
        print(f"{share}{option.score:.3f}\t{one_line(option.text)}\t{one_line(option.statement)}")
