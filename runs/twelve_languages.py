"""Forty queries in each of twelve languages that nothing was taught in: is the first picture right?

python runs/twelve_languages.py --pictures FOLDER [MATCHER] [--out docs/results/twelve-languages.md]

FOLDER holds COCO's pictures by their numbers; scikit-image's photographs are searched with them.
``twelve_languages.tsv`` has the queries, written for this by one person and no native speaker of
most of these languages, and the pictures that are right. What a query says is checked by its
multilingual-e5 vector: of the forty English queries, the nearest should be its own.
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import visita
from visita.encoders.table import TEXT_ENCODERS
from visita.evaluation.intervals import estimates
from visita.reports.demo import PICTURES, sample_pictures
from visita.search.language import LANGUAGES
from visita.vectors import unit

FIRST = 5
TABLE = Path(__file__).with_suffix(".tsv")
HEAD = """\
# Queries in twelve languages

Forty queries, the same in every language, over {count} pictures: scikit-image's photographs and 80
of COCO. {matcher}; nothing was taught in any of these languages but English. *First right*: the
first picture is one that the query means, in % [95 % interval over queries]; *in five*: one of the
first five is. *Reads as meant*: by multilingual-e5's own vectors, the query is nearest to its
English among the forty; that checks the query as much as the encoder. The queries were written by
one person and checked by no native speaker. Written by `runs/twelve_languages.py`.

| language | first right | in five | reads as meant |
|---|---|---|---:|"""


def main() -> None:
    """Search with all queries and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("matcher", nargs="?", default="visita-small")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with TABLE.open(encoding="utf-8", newline="") as file:
        queries = list(csv.DictReader(file, delimiter="\t"))
    matcher = visita.load(options.matcher)
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch) / "pictures", Path(scratch) / "home"
        shutil.copytree(sample_pictures(), folder)
        for picture in options.pictures.glob("*.jpg"):
            shutil.copy(picture, folder)
        pictures = visita.Gallery.open(folder, matcher=matcher, home=home)
        pictures.sync()
        page = [HEAD.format(count=len(pictures), matcher=matcher.name)]
        for code in list(queries[0])[1:]:
            finder = visita.Finder(matcher, language=code)
            page.append(line(code, queries, visita.Gallery.open(folder, matcher=finder, home=home)))
    print("\n".join(page))
    if options.out:
        options.out.write_text("\n".join([*page, ""]), encoding="utf-8")


def line(code: str, queries: list[dict[str, str]], gallery: visita.Gallery) -> str:
    """Return the row of one language."""
    hits = np.array([found(query[code], query["shows"].split(), gallery) for query in queries])
    shares = estimates(
        lambda drawn: 100 * drawn @ hits / drawn.sum(1, keepdims=True), len(hits), seed=0
    )
    cells = " | ".join(f"{one.value:.0f} [{one.low:.0f}, {one.high:.0f}]" for one in shares)
    meant = nearest([query[code] for query in queries], [query["en"] for query in queries])
    return f"| {LANGUAGES[code]} | {cells} | {meant} of {len(queries)} |"


def found(text: str, right: list[str], gallery: visita.Gallery) -> tuple[bool, bool]:
    """Return whether the first picture is right, and whether one of the first five is."""
    paths = [match.path for match in gallery.search(text, FIRST, threshold=-1)]
    names = [path.name if path.name in PICTURES else str(int(path.stem)) for path in paths]
    hits = [name in right for name in names]
    return hits[0], any(hits)


def nearest(texts: list[str], english: list[str]) -> int:
    """Return how many texts are nearest to the English in their place, by e5's own vectors."""
    encoder: Any = TEXT_ENCODERS.load("e5")(["layer12"])
    own, theirs = (unit(encoder.encode(some).pooled()) for some in (texts, english))
    return int(((own @ theirs.T).argmax(axis=1) == np.arange(len(texts))).sum())


if __name__ == "__main__":
    main()
