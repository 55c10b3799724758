"""``visita explain``: why a text fits a picture, or does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.cli.options import (
    DEFAULT,
    Image,
    Json,
    Language,
    Matcher,
    TextEncoder,
    check_drawing,
    finder_for,
    read_text,
)
from visita.cli.output import print_json
from visita.errors import ConfigError
from visita.progress import one_line

SUFFIXES = (".png", ".html")


def explain(
    image: Image,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text; '-' reads it from stdin.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Draw it: a .png or an .html file."),
    ] = None,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Show where in a picture, in which words and by which kernels a score comes about.

    Prints the score, by how much it falls without each word, and what each
    kernel adds to it. With --out, draws heat over the picture for the text
    and for each word.

    [bold]visita explain dog.jpg "a dog on a beach" -o dog.png[/bold]
    """
    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{out} is neither a .png nor an .html file.")
    if out is not None:
        check_drawing(out, [image])
    words = read_text(text)
    with finder_for([words], matcher, text_encoder, language) as finder:
        explanation = visita.explain(finder, image, words)
    if out is not None:
        from visita.search.explained import draw, write_page  # noqa: PLC0415 - where needed

        write = draw if out.suffix.lower() == ".png" else write_page
        write(explanation, out)
    if as_json:
        drawn = {"out": str(out)} if out else {}
        print_json({"image": str(image), **explanation.to_dict(), **drawn})
        return
    _print(explanation)
    if out is not None:
        print(f"explanation: {one_line(str(out))}")


def _print(explanation: visita.Explanation) -> None:
    print(explanation.pair)
    print("words, and by how much the score falls without each:")
    for word in explanation.words:
        print(f"  {word.effect:+.3f}  {one_line(word.text)}")
    print("kernels, their weights, and what each adds to the score:")
    width = max(len(kernel.name) for kernel in explanation.kernels)
    for kernel in explanation.kernels:
        print(f"  {one_line(kernel.name):{width}}  {kernel.weight:.3f}  {kernel.adds:+.3f}")
