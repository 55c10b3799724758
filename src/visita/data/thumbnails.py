"""Pictures in a notebook: small copies that lie in the page itself, with a few words below each."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

from visita.data.decode import decode
from visita.data.pictures import printable
from visita.errors import PictureError

SIDE = 160
"""Pixels of a thumbnail's longer side; with its text, it takes some 10 KB."""
MOST = 24
"""Pictures of one page."""
WORDS = 200
"""Characters of a line."""


def cards(heading: str, pictures: Sequence[tuple[Path, Sequence[str]]]) -> str:
    """Return HTML of the first pictures side by side, each with lines of text below.

    Names and texts are shown as they are, whatever they hold: none becomes part of the page. A
    picture that cannot be read is its name and the reason.
    """
    shown = "".join(_card(path, lines) for path, lines in pictures[:MOST])
    more = len(pictures) - MOST
    rest = f"<p>and {more:,} more</p>" if more > 0 else ""
    row = f'<div style="display:flex;flex-wrap:wrap;gap:12px">{shown}</div>'
    return f"<div><p>{plain(heading)}</p>{row}{rest}</div>"


def picture_uri(picture: Image.Image, kind: Literal["JPEG", "PNG"] = "JPEG") -> str:
    """Return a picture as a ``data:`` address."""
    out = BytesIO()
    picture.save(out, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def plain(text: str) -> str:
    """Return text as HTML that shows it as it is, shortened to a line."""
    return escape(printable(text if len(text) <= WORDS else f"{text[: WORDS - 1]}…"))


def _card(path: Path, lines: Sequence[str]) -> str:
    try:
        picture = decode(path, reduced=True)
        picture.thumbnail((SIDE, SIDE))
        shown = f'<img src="{picture_uri(picture)}" alt="">'
    except PictureError as error:
        shown = f"<em>{plain(str(error))}</em>"
    caption = "<br>".join(plain(line) for line in (path.name, *lines))
    style = f"margin:0;width:{SIDE}px;overflow-wrap:anywhere"
    return (
        f'<figure style="{style}" title="{plain(str(path))}">{shown}'
        f"<figcaption>{caption}</figcaption></figure>"
    )
