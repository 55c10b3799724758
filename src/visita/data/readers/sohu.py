"""Sohu's image-text matching competition of 2017: news in Chinese and their pictures.

Source: https://www.biendata.com/competition/luckydata/. Its files for validation and test
come without which picture belongs to which text, so only the training files are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from visita.data.files import decode_prose
from visita.data.pairs import PairSet
from visita.data.pictures import is_picture_name, printable
from visita.data.prose import clean
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.bounds import OUTSIDE, Bounds
from visita.errors import DataError
from visita.types import Skipped

MATCHING = "trainMatching.txt"
TEXTS = "News_info_train"
PICTURES = "News_pic_info_train"


class Sohu:
    """Reads titles and bodies of news with their pictures; splits are drawn."""

    looks_for = f"a folder with {MATCHING}, {TEXTS}/ and {PICTURES}/"

    def recognises(self, path: Path) -> bool:
        return (path / MATCHING).is_file()

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        if not (self.recognises(path) and (path / TEXTS).is_dir() and (path / PICTURES).is_dir()):
            raise DataError(f"{path} is not Sohu's: it should be {self.looks_for}.")
        problems: list[Skipped] = []
        bounds = Bounds(path, roots)
        matching = _matching(bounds.check(path / MATCHING), problems)
        texts = _texts(path / TEXTS, bounds, dict.fromkeys(text for _, text in matching), problems)
        captions = [
            Caption(image, path / PICTURES / image, texts[text], text)
            for image, text in matching
            if text in texts
        ]
        return assemble(f"sohu:{path}", captions, problems, seed, bounds)


def _matching(file: Path, problems: list[Skipped]) -> list[tuple[str, str]]:
    """Return which files of pictures and texts belong together; the list may omit suffixes."""
    pairs = []
    for number, line in enumerate(decode_prose(file).split("\n"), start=1):
        match line.split():
            case [image, text]:
                image = image if is_picture_name(image) else f"{image}.jpg"
                text = text if text.lower().endswith(".txt") else f"{text}.txt"
                pairs.append((image, text))
            case [_, *_]:
                problems.append(Skipped(f"{MATCHING}:{number}", "is not  picture <space> text"))
    return pairs


def _texts(
    folder: Path, bounds: Bounds, names: Iterable[str], problems: list[Skipped]
) -> dict[str, str]:
    texts = {}
    for name in names:
        try:
            texts[name] = _text(folder, bounds, name)
        except DataError as error:
            problems.append(Skipped(printable(name), str(error)))
        except OSError as error:
            problems.append(Skipped(printable(name), f"cannot be read: {error.strerror}"))
    return texts


def _text(folder: Path, bounds: Bounds, name: str) -> str:
    """Return title and body, clean; the title is a paragraph."""
    if PurePath(name).name != name:
        raise DataError(OUTSIDE)
    if fault := bounds.fault(folder / name, "text"):
        raise DataError(fault)
    match decode_prose(folder / name).split("\t", 2):
        case [_, title, body]:
            text = "\n".join(filter(None, (clean(title), clean(body))))
        case _:
            raise DataError("is not  address <tab> title <tab> body")
    if not text:
        raise DataError("has neither title nor body")
    return text
