"""``visita caption``: the texts of a collection that fit pictures best."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.cli.options import DEFAULT, Json, Matcher, TextEncoder
from visita.cli.output import print_json
from visita.progress import one_line


def caption(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Pictures.")],
    texts: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TEXTS",
            help="A .txt file with one text a line, or pairs: READER:PATH, or a path.",
            show_default="the matcher writes them, if it is a captioner",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many captions a picture.")] = 5,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    as_json: Json = False,
) -> None:
    """Choose captions for pictures from a collection of texts, or write them.

    Prints, separated by tabs: the picture, the score and the text, best first.
    Of texts that say nearly the same, the best one is printed. Without --from
    they are written by a matcher that is a captioner (visita train baseline nic);
    the score is then the mean log probability of a word.

    [bold]visita caption dog.jpg --from captions.txt[/bold]
    [bold]visita caption *.jpg --from flickr8k:data/flickr8k -k 1[/bold]
    [bold]visita caption dog.jpg --matcher my-captioner -k 1[/bold]
    """
    from visita.errors import PictureError  # noqa: PLC0415
    from visita.progress import note, report_skipped  # noqa: PLC0415
    from visita.search.caption import CaptionWriter  # noqa: PLC0415
    from visita.types import Skipped  # noqa: PLC0415

    captioner: visita.Captioner | CaptionWriter
    chosen = visita.load(matcher, text_encoder=text_encoder)
    captioner = CaptionWriter(chosen) if texts is None else visita.Captioner(texts, matcher=chosen)
    note("the numbers are scores, not probabilities")
    captioned, skipped = [], []
    for image in images:
        try:
            captions = captioner.caption(image, k)
        except PictureError as error:
            skipped.append(Skipped(str(image), str(error).removeprefix(f"{image}: ")))
            continue
        captioned.append(
            {"image": str(image), "captions": [asdict(suggestion) for suggestion in captions]}
        )
        if not as_json:
            for suggestion in captions:
                print(
                    f"{one_line(str(image))}\t{suggestion.score:.3f}\t{one_line(suggestion.text)}"
                )
    report_skipped(skipped)
    if not captioned:
        raise visita.VisitaError("None of the pictures could be read; see the reasons above.")
    if as_json:
        print_json(
            {
                "texts": len(captioner.texts) if isinstance(captioner, visita.Captioner) else None,
                "pictures": captioned,
                "skipped": [asdict(picture) for picture in skipped],
            }
        )
