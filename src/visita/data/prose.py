"""Articles as people have them: markup and odd characters out, then cut into sentences."""

from __future__ import annotations

import re
from html import unescape
from itertools import groupby, pairwise
from pathlib import Path

from visita.data.files import decode_prose, name_of
from visita.errors import DataError

# Not html.parser: on Python 3.11 its time grows with the square of broken markup, or its
# cube. Here no alternative looks past the next "<", or it ends in a match, so time is linear.
_MARKUP = re.compile(
    r"""<!--.*?(?:-->|\Z)
    | <(?P<hidden>script|style|noscript|template|svg)(?=[\s/>])
      .*? (?: </(?P=hidden)(?=[\s/>])[^<>]*> | \Z )
    | <!\[CDATA\[ | \]\]> | <[!?][^<>]*>
    | </?(?P<tag>[a-z][\w:-]*)(?=\s|/(?!/)|>)
      (?: (?:[^<>"']|"[^"<]*"|'[^'<]*')*+> | [^<>]*> )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_BLOCK = re.compile(
    "address|article|aside|blockquote|body|br|caption|center|d[dlt]|details|dialog|div|fieldset|"
    "figcaption|figure|footer|form|h[1-6r]|head|header|html|legend|li|main|nav|[ou]l|option|p|pre|"
    "section|summary|table|t[dhr]|tbody|tfoot|thead|title",
    re.IGNORECASE,
)
"""Tags that part paragraphs."""
_HUGE_REFERENCE = re.compile(r"&#(?:\d{8,}|x[0-9a-f]{8,});?", re.IGNORECASE)
"""Numbers of no character; ``unescape`` fails at thousands of digits."""
_ODD = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\uffff\U000e0000-\U0010ffff]"
)
"""Control, zero-width, private and broken characters."""
_WIDEST_WRAPPED = 100

_END = re.compile(
    r"""(?P<marks>[.!?…。！？｡．]+(?:\s+[.!?…。！？｡．]+)*) (?P<quotes>["'”’»)\]）】〕」』》〉]*)
    (?=(?P<space>\s*)(?P<after>\S?))""",
    re.VERBOSE,
)
_FULL = re.compile("[。！？｡]")
_WORD = re.compile(r"[^\W_]")
_WIDE = re.compile("[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef“‘]+")
_NEVER_LAST = re.compile(
    r"[A-HJ-Z]|(?:[A-Z]\.)+[A-Z]|e\.g|i\.e|vs|viz|cf|Mr|Mrs|Ms|Messrs|Dr|Prof|Rev|Fr|Hon|Pres|Gov|"
    r"Sen|Rep|Gen|Col|Maj|Capt|Cmdr|Lt|Sgt|St|Mt|Ft"
)
_SELDOM_LAST = re.compile(r"etc|Jr|Sr|Inc|Ltd|Co|Corp|Bros|Dept|al|ca|approx|[ap]\.m")
_BEFORE_NUMBERS = re.compile(
    r"(?:nos?|figs?|eqs?|vol|pp?|ch|sec|ca|approx|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)",
    re.IGNORECASE,
)


def read_article(source: Path | bytes) -> str:
    r"""Return an article's clean paragraphs, parted by ``\n``.

    Parameters
    ----------
    source
        A file of plain text or HTML, or its bytes.

    Raises
    ------
    DataError
        If ``decode_prose`` cannot read it, or it holds no text.
    """
    raw = decode_prose(source)
    text = clean(raw)
    if not text:
        name = name_of(source)
        fault = f"{name} holds markup but no text" if raw.strip() else f"{name} is empty"
        raise DataError(f"{fault}; an article needs at least one sentence.")
    return text


def clean(text: str) -> str:
    r"""Return the paragraphs of plain text or HTML, parted by ``\n``; whitespace is one space.

    Tags, comments, scripts and styles, control and zero-width characters go; entities become
    characters. In plain text each line is a paragraph, unless it was wrapped at a width.
    """
    marked = False

    def replace(match: re.Match[str]) -> str:
        nonlocal marked
        if match["hidden"] or _BLOCK.fullmatch(match["tag"] or ""):
            marked = True
            return "\n\n"
        return ""

    text = unescape(_HUGE_REFERENCE.sub("", _MARKUP.sub(replace, text)))
    lines = [" ".join(line.split()) for line in _ODD.sub("", text).splitlines()]
    paragraphs: list[str] = []
    for filled, group in groupby(lines, key=bool):
        if filled:
            block = list(group)
            paragraphs += [" ".join(block)] if marked or _is_wrapped(block) else block
    return "\n".join(paragraphs)


def sentences(text: str) -> list[str]:
    """Return the sentences of English or Chinese text, in order; a line's end ends one too.

    Every character that is not a space is in one of them.
    """
    return [sentence for line in text.splitlines() if line for sentence in _sentences(line)]


def _is_wrapped(lines: list[str]) -> bool:
    narrow = max(map(len, lines)) <= _WIDEST_WRAPPED
    return narrow and any(line[0].islower() for line in lines[1:])


def _sentences(line: str) -> list[str]:
    ends = [0]
    for match in _END.finditer(line):
        if _ends(line, ends[-1], match):
            ends.append(match.end())
    # What has no word belongs to the sentence before, or else to the first.
    words = [start for start, end in pairwise([*ends, len(line)]) if _WORD.search(line, start, end)]
    pieces = (line[start:end].strip() for start, end in pairwise([0, *words[1:], len(line)]))
    return [piece for piece in pieces if piece]


def _ends(line: str, start: int, match: re.Match[str]) -> bool:
    """Tell whether a sentence that began at ``start`` ends with these marks and quotes."""
    marks, quotes, space, after = match.groups()
    before = line[max(start, match.start() - 20) : match.start()]
    if not after or _FULL.search(marks):
        return True
    dots = "…" in marks or marks.count(".") > 1
    if not space:  # 3.5, a.com and wait...what go on
        beside = before[-1:] + after if marks in ".．" else after
        return bool(_WIDE.fullmatch(beside))
    if after in ",;:)]":
        return False
    if dots or quotes:
        return not after.islower()
    return marks != "." or not _abbreviates(before, after)


def _abbreviates(before: str, after: str) -> bool:
    """Tell whether a full stop between these belongs to the word or number it follows."""
    if before.strip().isdigit():
        return True  # the number of an item or a heading
    word = before.rpartition(" ")[2].lstrip("([\"'“‘（")
    if _NEVER_LAST.fullmatch(word) or (after.islower() and _SELDOM_LAST.fullmatch(word)):
        return True
    return after.isdigit() and bool(_BEFORE_NUMBERS.fullmatch(word))
