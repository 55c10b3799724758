"""``visita match``: does a text fit a picture?"""

from __future__ import annotations

from typing import Annotated

import typer

from visita.cli.options import (
    DEFAULT,
    Image,
    Json,
    Language,
    Matcher,
    TextEncoder,
    finder_for,
    read_text,
)
from visita.cli.output import print_json


def match(
    image: Image,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text; '-' reads it from stdin.")],
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Tell whether a text fits a picture.

    Prints the verdict, how probable a match is or the threshold, and the score.
    Exit status: 0 match, 1 no match.

    [bold]visita match dog.jpg "a dog on a beach"[/bold]
    """
    words = read_text(text)
    with finder_for([words], matcher, text_encoder, language) as finder:
        pair = finder.match(image, words)
    if as_json:
        print_json({"image": str(image), "text": words, **pair.to_dict()})
    else:
        print(pair)
    if pair.match is False:
        raise typer.Exit(1)
