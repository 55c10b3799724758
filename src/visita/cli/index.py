"""``visita index``: bring galleries in step with their folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import visita
from visita.brief import counted
from visita.cli.options import DEFAULT, Exclude, Home, Json, Matcher, TextEncoder
from visita.cli.options import folders as checked
from visita.cli.output import print_json
from visita.progress import one_line, report_skipped, say

if TYPE_CHECKING:
    from visita import types
    from visita.gallery.sync import SyncReport


def index(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER", help="Folders of pictures.")],
    ocr: Annotated[
        bool, typer.Option("--ocr", help="Then read the words in them too: a second each.")
    ] = False,
    exclude: Exclude = None,
    gallery: Home = None,
    matcher: Matcher = DEFAULT,
    text_encoder: TextEncoder = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Read on a Ray cluster: $RAY_ADDRESS, or one started on this machine."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Read the pictures of folders, so that searches find them at once.

    Only what is new or changed is read. Searching does this too; a large
    folder is better indexed beforehand. Interrupted, it resumes when
    it is run again. While another process writes, it waits. A folder that
    cannot be read is told at the end, and the others are read.

    [bold]visita index Pictures --exclude '*.gif'[/bold]
    [bold]visita index Pictures --ocr[/bold]
    """
    if ocr:
        from visita.data.metadata.words import WordReader  # noqa: PLC0415  an extra

        WordReader()  # which says at once what is not installed
    done: list[visita.Gallery] = []
    reports: list[dict[str, Any]] = []
    faults: list[visita.VisitaError] = []
    places = checked(folders)
    chosen = visita.load(matcher, text_encoder=text_encoder)
    galleries = opened(places, visita.Finder(chosen), gallery)
    way = partial(visita.Gallery.sync, ray=ray)
    for each, report in synced(galleries, way, exclude, faults.append):
        done.append(each)
        reports.append({"folder": str(each.stored), **asdict(report), "broken": report.broken})
        if not as_json:
            print(one_line(summary(each, report)), flush=True)
    for each, facts in zip(done, reports, strict=True) if ocr else ():
        words = each.read_words()
        facts["words"] = asdict(words)
        report_skipped(words.skipped)
        if not as_json:
            told = f"words in {words.worded:,} of {counted(words.read, 'picture')} read now"
            print(one_line(f"{each.stored}: {told}, {words.known:,} read before"), flush=True)
    if faults and not reports:
        raise faults[0]
    if as_json:
        print_json({"galleries": reports, "errors": [str(fault) for fault in faults]})
    for fault in faults:
        say(f"error: {fault}")
    if faults:
        raise typer.Exit(2)


def _fail(fault: visita.VisitaError) -> None:
    raise fault


def synced(
    galleries: Sequence[visita.Gallery],
    way: Callable[..., SyncReport],
    exclude: Sequence[str] | None,
    failed: Callable[[visita.VisitaError], None] = _fail,
) -> Iterator[tuple[visita.Gallery, SyncReport]]:
    """Bring each gallery in step; skipped files and remarks go to stderr.

    ``failed`` is told what keeps one of them from that, and raises it unless the rest goes on.
    """
    unmatched = set(exclude or ())
    for gallery in galleries:
        try:
            report = way(gallery, exclude=exclude or ())
        except visita.VisitaError as fault:
            failed(fault)
            continue
        report_skipped(report.skipped)
        for remark in _remarks(report):
            say(remark)
        unmatched &= set(report.unmatched)
        yield gallery, report
    for pattern in sorted(unmatched):
        say(f"nothing was excluded by {pattern!r}")


def _remarks(report: SyncReport) -> Iterator[str]:
    """Yield what else lies in a folder, when pictures of it were read: so it is said once."""
    if not report.added + report.changed:
        return
    if report.left_out:
        yield f"left out, as folders of systems and programs: {_counted(report.left_out)}"
    if report.other_kinds:
        hint = "; visita[raw] reads the previews of RAW" if "RAW" in report.other_kinds else ""
        yield f"not read, as of other kinds: {_counted(report.other_kinds)}{hint}"


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(numbers.items()))


def in_step(
    folders: Sequence[Path],
    finder: visita.Finder,
    home: Path | None,
    exclude: Sequence[str] | None,
    *,
    tabled: bool = False,
) -> tuple[list[visita.Gallery], list[types.Skipped]]:
    """Return every folder's gallery, as far in step as can be at once, and what is not searched.

    Summaries, skipped files and what was left unread go to stderr. ``tabled``: what is written
    about pictures that are known is read too.
    """
    galleries = opened(folders, finder, home)
    skipped: list[types.Skipped] = []
    refresh = partial(visita.Gallery.refresh, tabled=tabled)
    for gallery, report in synced(galleries, refresh, exclude):
        say(summary(gallery, report))
        skipped += [*report.skipped, *report.unreadable]
    return galleries, skipped


def opened(
    folders: Sequence[Path], finder: visita.Finder, home: Path | None
) -> list[visita.Gallery]:
    """Open the gallery of every folder, each once."""
    each_one = [visita.Gallery.open(folder, matcher=finder, home=home) for folder in folders]
    return list({each.folder: each for each in each_one}.values())


def summary(gallery: visita.Gallery, report: SyncReport) -> str:
    """Return one line on a sync: how many pictures there are, and what was new."""
    count = report.added + report.changed + report.renamed + report.unchanged
    kinds = ("added", "changed", "renamed", "removed")
    news = [f"{number:,} {kind}" for kind in kinds if (number := getattr(report, kind))]
    faults = [f"{report.broken:,} known to be unreadable"] if report.broken else []
    faults += [f"{len(report.skipped):,} skipped"] if report.skipped else []
    faults += [f"{report.unread:,} unread"] if report.unread else []
    state = ", ".join([counted(count, "picture"), *(news or ["up to date"]), *faults])
    return f"{gallery.stored}: {state}"
