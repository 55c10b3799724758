"""``visita watch``: keep galleries in step while files change."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import visita
from visita.artifact import json_text
from visita.cli.index import opened, summary, synced
from visita.cli.options import DEFAULT, Exclude, Home, Json, Matcher, TextEncoder
from visita.cli.options import folders as checked
from visita.progress import one_line, say


def watch(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER", help="Folders of pictures.")],
    exclude: Exclude = None,
    gallery: Home = None,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    as_json: Json = False,
) -> None:
    """Read new and changed pictures as they come, until it is interrupted.

    Prints a line whenever a gallery was brought in step. Searches meanwhile
    find what was read.

    [bold]visita watch Pictures Scans[/bold]
    """
    from visita.gallery.changes import changed_folders  # noqa: PLC0415

    chosen = visita.load(matcher, text_encoder=text_encoder)
    galleries = {
        each.folder: each for each in opened(checked(folders), visita.Finder(chosen), gallery)
    }
    for changed in changed_folders(list(galleries)):
        told = synced([galleries[folder] for folder in changed], visita.Gallery.sync, exclude, _say)
        for each, report in told:
            facts = {"folder": str(each.stored), **asdict(report)}
            line = json_text(facts) if as_json else one_line(summary(each, report))
            print(line, flush=True)


def _say(fault: visita.VisitaError) -> None:
    say(f"error: {fault}")
