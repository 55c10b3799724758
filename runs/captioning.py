"""Do retrieved and written captions say what people wrote?

python runs/captioning.py --data flickr8k:PATH [--matchers visita-small OTHER…] \\
    [--writers FOLDER…] [--out docs/results/captioning]

Each dev picture gets the best of the training captions, or what a trained captioner writes, and
BLEU-4 and CIDEr-D compare it with the picture's own. Below it is a training caption drawn at
random; above it the first of the picture's captions, compared with its others. The first matcher
is what the others are compared with. Writes OUT.json and OUT.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import visita
from visita.baselines.writer import Writer
from visita.data import PairSet
from visita.evaluation.captions import bleu, bleu_counts, cider_d
from visita.evaluation.intervals import differences, estimates
from visita.evaluation.measure import features_for
from visita.search.pair import Seen

Values = NDArray[np.float64]
CHANCE, PEOPLE = "a training caption at random", "people"


def main() -> None:
    """Caption, compare, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--matchers", nargs="+", default=["visita-small"])
    parser.add_argument("--writers", nargs="+", default=[], help="baselines nic")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/captioning"))
    options = parser.parse_args()
    pairs = visita.open_pairs(options.data)
    train, dev = pairs.take("train"), pairs.take("dev")
    own = [
        [dev.texts[text] for text in dev.truth[[row]].indices] for row in range(len(dev.image_ids))
    ]
    rng = np.random.default_rng(options.seed)
    drawn = [train.texts[row] for row in rng.integers(len(train.texts), size=len(own))]
    measured = {CHANCE: measure(drawn, own)}
    for name in options.matchers:
        matcher = visita.load(name)
        measured[matcher.name] = measure(retrieved(matcher, train, dev), own)
        print(f"{matcher.name}: measured", flush=True)
    for name in options.writers:
        matcher = visita.load(name)
        measured[f"{matcher.name}, written"] = measure(written(matcher, dev), own)
        print(f"{matcher.name}: measured", flush=True)
    measured[PEOPLE] = measure([some[0] for some in own], [some[1:] for some in own])
    report = make_report(measured, options.seed)
    report |= {"data": pairs.fingerprint(), "texts": len(train.texts), "seed": options.seed}
    options.out.with_suffix(".json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    options.out.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


def retrieved(matcher: Any, train: PairSet, dev: PairSet) -> list[str]:
    """Return the best training caption of each dev picture."""
    seen = Seen.of(matcher, features_for(matcher, dev, None).columns)
    captions = visita.Captioner(train.texts, matcher=matcher).captions(seen, 1)
    return [some[0].text for some in captions]


def written(matcher: Any, dev: PairSet) -> list[str]:
    """Return what a captioner says of each dev picture."""
    packed = matcher.reranker.pack_images(features_for(matcher, dev, None).columns)
    writer = Writer(matcher.reranker)
    return [writer.write(one, 1)[0][0] for one in packed]


def measure(captions: list[str], references: list[list[str]]) -> tuple[Values, Values]:
    """Return what BLEU-4 sums up, (n, 10), and CIDEr-D, (n,)."""
    return bleu_counts(captions, references), cider_d(captions, references)


def make_report(measured: dict[str, tuple[Values, Values]], seed: int) -> dict[str, Any]:
    """Return each system's numbers, and the matchers' differences from chance and the first."""
    n = len(measured[CHANCE][1])

    def numbers(name: str, weights: Values) -> Values:
        counts, cider = measured[name]
        return np.hstack([bleu(weights @ counts), (weights @ cider)[:, None] / n])

    def over(name: str, base: str) -> list[dict[str, float]]:
        found = differences(lambda w: numbers(name, w) - numbers(base, w), n, seed=seed)
        return [one.to_dict() for one in found]

    systems = {
        name: [
            one.to_dict() for one in estimates(lambda w, name=name: numbers(name, w), n, seed=seed)
        ]
        for name in measured
    }
    matchers = [name for name in measured if name not in (CHANCE, PEOPLE)]
    return {
        "pictures": n,
        "metrics": ["BLEU-4", "CIDEr-D"],
        "systems": systems,
        "over chance": {name: over(name, CHANCE) for name in matchers},
        f"over {matchers[0]}": {name: over(name, matchers[0]) for name in matchers[1:]},
    }


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    rows = "\n".join(
        f"| {name} | {' | '.join(interval(one) for one in found)} |"
        for name, found in report["systems"].items()
    )
    metrics = report["metrics"]
    compared = "\n".join(
        f"- {name} {base}: " + ", ".join(map(with_sign, metrics, found))
        for base in report
        if base.startswith("over ")
        for name, found in report[base].items()
    )
    return f"""# Captions from the training captions

`runs/captioning.py` writes this page. Each of {report["pictures"]:,} dev pictures gets the best of
{report["texts"]:,} training captions, none of which was written for it, or one that a captioner
*writes*; BLEU-4 and CIDEr-D (times 100) compare it with the picture's own captions. 95 %
intervals over pictures.

| caption | BLEU-4 | CIDEr-D |
|---|---|---|
{rows}

visita-small is the fusion matcher. *People* is the first of a picture's captions, compared with
the others: one reference fewer, so its numbers are a little too low beside the rest.

{compared}
"""


def with_sign(metric: str, one: dict[str, float]) -> str:
    """Return a metric's name and difference."""
    return f"{metric} {interval(one, '+')}"


def interval(one: dict[str, float], sign: str = "") -> str:
    """Return ``value [low, high]``."""
    value, low, high = (f"{one[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
