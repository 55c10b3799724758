"""Teach a shipped matcher other languages, with several seeds, and measure it.

python runs/languages.py NAME --data flickr8k:PATH --captions FILE --parallel TEXTS --work DIR
    [--seeds 0 1 2 3 4] [--without CODE …] [--set KEY=VALUE …] [--out docs/results]

FILE has the columns image, language and caption, separated by tabs, and TEXTS a column a language,
``en`` among them, of sentences that say the same. DIR gets one matcher a seed,
``seedN/NAME``, and what was measured of it on dev beside; what is there already is kept. Seed 0
ships: copy it over src/visita/matchers/NAME. OUT gets ``languages-NAME.md``. ``--without`` leaves a
language out of training, to see how well it is read unseen: give such a run a DIR of its own; its
page is ``languages-NAME-without-CODE.md``. With ``--only-parallel CODE …`` these languages have
sentences and no captions in training: the page is ``languages-NAME-parallel-CODE.md``.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import visita
from visita.data import PairSet, open_pairs
from visita.training.languages import (
    Caption,
    beside,
    captions_of,
    own_language,
    taught,
    with_captions,
)
from visita.training.parallel import read_parallel
from visita.types import Matcher

SHOWN = {"train": ("without", "only_parallel"), "dev": ()}
"""The options whose languages have no captions in a split."""


def main() -> None:
    """Train and measure what is not there yet, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=visita.matchers.SHIPPED)
    parser.add_argument("--data", required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--parallel", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--only-parallel", nargs="*", default=[])
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    matcher = visita.load(options.name)
    reports = [one_seed(matcher, seed, options) for seed in options.seeds]
    page = markdown(options, reports)
    parts = [f"languages-{options.name}"]
    parts += [f"without-{code}" for code in options.without]
    parts += [f"parallel-{code}" for code in options.only_parallel]
    (options.out / f"{'-'.join(parts)}.md").write_text(page, encoding="utf-8")
    print(page)


def read(options: Any, pairs: PairSet, split: str) -> Iterator[Caption]:
    """Yield the captions of a split that ``pairs`` does not have."""
    rows = {picture: row for row, picture in enumerate(pairs.image_ids)}
    left_out = {code for option in SHOWN[split] for code in getattr(options, option)}
    for line in options.captions.read_text("utf-8").splitlines()[1:]:
        picture, language, text = line.split("\t")
        if picture in rows and language not in left_out:
            yield rows[picture], language, text


def one_seed(matcher: Matcher, seed: int, options: Any) -> dict[str, Any]:
    """Return what was measured of one seed, trained unless that was done before."""
    place = options.work / f"seed{seed}"
    report = place / "languages.json"
    if not report.is_file():
        config = visita.LanguagesConfig.read(None, [*options.set, f"seed={seed}"])
        first: Any = matcher.retriever
        own = own_language(first)
        english = open_pairs(options.data)
        splits = {}
        for split in SHOWN:
            part = english.take(split)
            found = list(read(options, part, split))
            splits[split] = with_captions(part, [*captions_of(part, own), *found])
        sentences = [
            sentence
            for sentence in read_parallel(options.parallel, own, most=config.sentences)
            if sentence[0] not in options.without
        ]
        side, found = taught(first, splits, sentences, config)
        whole = beside(matcher, side)
        curve = visita.matchers.shipped_folder(options.name) / "curve.png"
        whole.save(place / options.name, beside=lambda draft: shutil.copy(curve, draft))
        report.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"seed {seed}", flush=True)
    return dict(json.loads(report.read_text("utf-8")))


def markdown(options: Any, reports: Sequence[dict[str, Any]]) -> str:
    """Return the mean over the seeds, with the interval of each seed's mean as one."""
    without = f", without {', '.join(options.without)}" if options.without else ""
    if options.only_parallel:
        without += f", no captions but parallel sentences in {', '.join(options.only_parallel)}"
    lines = [
        f"# {options.name}: texts in other languages",
        "",
        f"Recall of dev pictures, text to image, in % [95 % interval]{without}; mean over "
        f"the seeds {' '.join(map(str, options.seeds))}. Written by `runs/languages.py`.",
        "",
        "| language | texts | R@1 | R@5 | R@10 |",
        "|---|---|---|---|---|",
    ]
    for code in reports[0]:
        cells = []
        for k in (1, 5, 10):
            found = [report[code]["text_to_image"][f"R@{k}"] for report in reports]
            value, low, high = (
                np.mean([one[x] for one in found]) for x in ("value", "low", "high")
            )
            cells.append(f"{value:.1f} [{low:.1f}, {high:.1f}]")
        lines.append(f"| {code} | {reports[0][code]['texts']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
