"""How many altered copies of pictures `visita gallery duplicates` finds, and how many others.

python runs/duplicates.py FOLDER [--pictures 300] [--copies 100] [--seed 0]

Of pictures drawn from a folder, some have a copy that is altered in each way; each copy should be
in one group with its picture, and two different pictures never.
"""

import argparse
import io
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

import visita
from visita.gallery.duplicates import find_duplicates


def _compressed(picture: Image.Image) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=30)
    return Image.open(content)


def _cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def crop(picture: Image.Image) -> Image.Image:
        left, top = (round(share / 2 * edge) for edge in picture.size)
        return picture.crop((left, top, picture.width - left, picture.height - top))

    return crop


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "JPEG of quality 30": _compressed,
    "a third darker": lambda p: ImageEnhance.Brightness(p).enhance(0.67),
    "grey": lambda p: p.convert("L").convert("RGB"),
    "2 % cropped": _cropped(0.02),
    "10 % cropped": _cropped(0.1),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    files = sorted(options.folder.iterdir())
    drawn = [files[i] for i in rng.choice(len(files), options.pictures, replace=False)]
    with tempfile.TemporaryDirectory() as scratch:
        found, wrong = groups_of(drawn, options.copies, Path(scratch))
    print("| altered | found |\n|---|--:|")
    for way in ALTERED:
        print(f"| {way} | {found[way]} of {options.copies} |")
    print(f"\n{wrong} of {options.pictures:,} different pictures are in a group with another.")


def groups_of(drawn: list[Path], copies: int, scratch: Path) -> tuple[Counter[str], int]:
    """Return how many copies of each kind are with their picture, and how many pictures are not."""
    folder = scratch / "pictures"
    folder.mkdir()
    for number, path in enumerate(drawn):
        with Image.open(path) as picture:
            plain = picture.convert("RGB")
        (folder / f"{number:05d}.jpg").write_bytes(path.read_bytes())
        for name, alter in ALTERED.items() if number < copies else ():
            alter(plain).save(folder / f"{number:05d} {name}.png")
    gallery = visita.Gallery.open(folder, home=scratch / "home")
    gallery.sync()
    found: Counter[str] = Counter()
    wrong = 0
    for group in find_duplicates(gallery.snapshot):
        names = {picture.path.stem for picture in group.pictures}
        numbers = {name[:5] for name in names}
        wrong += len(numbers) if len(numbers) > 1 else 0
        found.update(name[6:] for name in names if len(name) > 5 and name[:5] in names)
    return found, wrong


if __name__ == "__main__":
    main()
