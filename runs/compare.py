"""Test visita-small's recipe against a variation of it, everything else equal, several seeds.

python runs/compare.py --data flickr8k:PATH --recipe FOLDER --out FILE.json [--seeds 5]
    [--set KEY=VALUE]…

FOLDER is what ``runs/shipped.py`` made. The interval is over dev images, each one's hits
averaged over seeds.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from visita.data import PairSet, open_pairs
from visita.evaluation import Retrieval, mean_over_seeds, paired_retrieval, retrieval
from visita.evaluation.measure import features_for, vectors
from visita.matchers import load
from visita.training.config import FusionConfig
from visita.training.train import train
from visita.types import Matcher


def main() -> None:
    """Measure the recipe and the variation, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    pairs = open_pairs(options.data)
    seeds = range(options.seeds)
    recipe = joined(pairs, (load(options.recipe / f"seed{n}" / "visita-small") for n in seeds))
    varied = joined(pairs, (trained(pairs, [*options.set, f"seed={n}"]) for n in seeds))
    result = {
        "settings": options.set,
        "seeds": options.seeds,
        "recipe": recipe.to_dict(),
        "variation": varied.to_dict(),
        "recipe - variation": plain(paired_retrieval(varied, recipe, seed=0)),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name in ("recipe", "variation", "recipe - variation"):
        print(name, result[name]["rsum"])


def trained(pairs: PairSet, settings: list[str]) -> Matcher:
    """Return a matcher trained with these settings."""
    with tempfile.TemporaryDirectory() as folder:
        return train(
            pairs, Path(folder, "matcher"), config=FusionConfig.read(None, settings)
        ).matcher


def joined(pairs: PairSet, matchers: Iterable[Matcher]) -> Retrieval:
    """Return the dev retrieval of several matchers, their hits averaged an image."""
    return mean_over_seeds(measured(pairs, matchers), seed=0)


def measured(pairs: PairSet, matchers: Iterable[Matcher]) -> list[Retrieval]:
    """Return and print the dev retrieval of each matcher."""
    found = []
    for matcher in matchers:
        dev = features_for(matcher, pairs.take("dev"), None)
        truth = dev.pairs.truth.tocsr()
        found.append(retrieval(*vectors(matcher, dev), truth, seed=0))
        print(found[-1].rsum, flush=True)
    return found


def plain(value: Any) -> Any:
    """Return differences as JSON values."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return {name: getattr(value, name) for name in ("value", "low", "high", "p_value")}


if __name__ == "__main__":
    main()
