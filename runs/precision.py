"""What int8 features cost: visita-small's seeds on dev, read in int8 and in float32.

python runs/precision.py --data flickr8k:PATH --recipe FOLDER --out FILE.json [--seeds 5]

FOLDER is what ``runs/visita_small.py`` made. The same matchers read both, so no chance of
training is in the difference; the interval is over dev images.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from visita.api.measuring import features_for, vectors
from visita.data import PairSet, open_pairs
from visita.evaluation import Retrieval, mean_over_seeds, paired_retrieval, retrieval
from visita.features import pictures
from visita.matchers import load
from visita.matchers.joint import JointMatcher


def main() -> None:
    """Measure in both precisions, print and write rsum and its difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    dev = open_pairs(options.data).take("dev")
    folders = [options.recipe / f"seed{n}" / "visita-small" for n in range(options.seeds)]
    matchers = [load(folder) for folder in folders]
    int8 = measured(matchers, dev)
    pictures.known_activations = lambda _: None  # every encoder stays in float32
    float32 = measured(matchers, dev)
    joined = [mean_over_seeds(runs, seed=0) for runs in (float32, int8)]
    result = {
        "seeds": options.seeds,
        "float32": [run.rsum.value for run in float32],
        "int8": [run.rsum.value for run in int8],
        "int8 - float32": plain(paired_retrieval(*joined, seed=0)["rsum"]),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def measured(matchers: list[JointMatcher], dev: PairSet) -> list[Retrieval]:
    """Return the dev retrieval of each matcher, with the features of this moment."""
    found = []
    for matcher in matchers:
        features = features_for(matcher, dev, None)
        truth = features.pairs.truth.tocsr()
        found.append(retrieval(*vectors(matcher, features), truth, seed=0))
    return found


def plain(value: Any) -> dict[str, float]:
    """Return a difference as JSON values."""
    return {name: getattr(value, name) for name in ("value", "low", "high", "p_value")}


if __name__ == "__main__":
    main()
