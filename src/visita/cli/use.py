"""``visita use``: the matcher that commands take where none is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import visita
from visita.brief import counted
from visita.cli.options import Json, Root, TextEncoder, agreed, rooted
from visita.cli.output import print_comparison, print_json
from visita.durable import make_folder
from visita.errors import ConfigError
from visita.home import cache_home
from visita.progress import one_line, say

if TYPE_CHECKING:
    from visita.encoders.library.offer import Offer, Review
    from visita.types import Matcher

DESCRIPTION = 100_000
"""Bytes that the description of a model may take, by which it may be refused before all else."""


def use(
    matcher: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FOLDER",
            help="A shipped matcher, a saved one's folder, or clip:NAME.",
            show_default="tells which it is",
        ),
    ] = None,
    text_encoder: TextEncoder = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch without asking.")] = False,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="PAIRS",
            help="Images with texts, as --data of evaluate: measure before and after on them.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Of the pairs: train, dev or test.")] = "test",
    root: Root = None,
    no_reindex: Annotated[
        bool, typer.Option("--no-reindex", help="Leave each gallery to its next search.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a matcher your default: the one that commands take where you name none.

    A pretrained one is fetched first, once you have seen its size and licence. Its
    networks are exported and tried, and your galleries are read again in the
    background. Where something fails, your default stays as it was.

    [bold]visita use clip:ViT-B-32/laion2b_s34b_b79k --pairs folder:mypairs[/bold]
    [bold]visita use clip:sentence-transformers/clip-ViT-B-32 --text-encoder
    sentence-transformers:sentence-transformers/clip-ViT-B-32-multilingual-v1[/bold]
    [bold]visita use visita-small[/bold]
    """
    from visita.matchers.default import default_matcher  # noqa: PLC0415

    if matcher is None:
        if text_encoder or pairs:
            raise ConfigError("--text-encoder and --pairs go with the name of a matcher.")
        _print({"default": default_matcher()}, as_json)
        return
    from visita.gallery.behind import behind  # noqa: PLC0415
    from visita.matchers.default import kept, make_default  # noqa: PLC0415
    from visita.search.trial import tried  # noqa: PLC0415

    name = _whole_name(matcher)
    # What is wrong with the pairs is told first.
    data = visita.open_pairs(rooted(pairs, root)) if pairs else None
    chosen = tried(name, _asking(name, yes=yes), text_encoder)
    comparison = _gain(chosen, data, split) if data else None
    folders = [gallery.folder for gallery in behind(chosen.fingerprint())]
    name = kept(chosen) if text_encoder else name
    make_default(name)
    reader = None if no_reindex else _read_again(folders, name)
    facts = {"pairs": comparison, "galleries": folders, "process": reader and reader.pid}
    _print({"default": name, **facts}, as_json)


def _print(facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    if facts.get("pairs"):
        print_comparison(facts["pairs"])
    print(one_line(f"default matcher: {facts['default']}"))
    if folders := facts.get("galleries"):
        print(f"{counted(len(folders), 'folder')} known by another matcher; {_how(facts)}:")
        print(*(one_line(f"  {folder}") for folder in folders), sep="\n")


def _how(facts: Mapping[str, Any]) -> str:
    if facts["process"] is None:
        return "the next search, or  visita index , reads their pictures again"
    return (
        f"process {facts['process']} reads their pictures again meanwhile, and writes to {_log()}"
    )


def _whole_name(matcher: str) -> str:
    """Return what is kept of a name: folders are absolute, and revisions have safetensors."""
    from visita.encoders.pretrained.model import with_safetensors  # noqa: PLC0415
    from visita.matchers.default import lasting_name  # noqa: PLC0415

    return with_safetensors(lasting_name(matcher))


def _gain(chosen: Matcher, data: visita.PairSet, split: str) -> dict[str, Any]:
    from visita.evaluation.gain import gain  # noqa: PLC0415 - takes seconds
    from visita.matchers.default import default_matcher  # noqa: PLC0415

    return gain(default_matcher(), chosen, data, split=split)


def _asking(name: str, *, yes: bool) -> Review:
    """Return what tells size and licence of what is to be fetched, and asks."""

    def review(offer: Offer) -> None:
        if offer.bytes > DESCRIPTION:
            say(
                f"{offer.repository}: {offer.bytes / 1e6:,.1f} MB to fetch; licence: "
                f"{offer.licence or _known_licence(name)}"
            )
            agreed("Fetch it?", yes=yes, refused="add --yes to fetch it")

    return review


def _known_licence(name: str) -> str:
    from visita.encoders.pretrained.model import KNOWN  # noqa: PLC0415

    licences = {known.name: known.licence for known in KNOWN}
    return licences.get(name.partition("@")[0], "not stated")


def _read_again(folders: Sequence[str], name: str) -> subprocess.Popen[bytes] | None:
    """Start ``visita index``, which goes on when this process has ended."""
    here = [folder for folder in folders if Path(folder).is_dir()]
    if not here:
        return None
    # -P: a folder of pictures may hold a visita.py.
    command = [sys.executable, "-P", "-m", "visita", "index", "--matcher", name, "--", *here]
    make_folder(_log().parent)
    with _log().open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            creationflags=getattr(subprocess, "DETACHED_PROCESS", 0),  # the same on Windows
        )


def _log() -> Path:
    return cache_home() / "index.log"
