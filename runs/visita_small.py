"""Train visita-small's recipe with several seeds and measure each; ship the seed fixed beforehand.

python runs/visita_small.py --data flickr8k:PATH --travel coco:PATH --out FOLDER [--seeds 5]

FOLDER gets one matcher a seed and ``seeds.json``; seed 0 is the one that ships.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from visita.api.finding import Finder
from visita.api.learning import train
from visita.api.measuring import evaluate, features_for, vectors
from visita.data import open_pairs
from visita.evaluation import (
    cross_fitted_calibration_error,
    cross_fitted_keyword_error,
    keyword_queries,
    keywords,
    mean_over_seeds,
    retrieval,
)
from visita.features.extract import PairFeatures
from visita.matchers.joint import JointMatcher
from visita.training.config import FusionConfig


def main() -> None:
    """Train, measure and write ``seeds.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--travel", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    pairs, travel = open_pairs(options.data), open_pairs(options.travel)
    runs, retrievals = [], []
    for seed in range(options.seeds):
        config = FusionConfig.read(None, [*options.set, f"seed={seed}"])
        folder = options.out / f"seed{seed}" / "visita-small"
        trained = train(pairs, folder, config=config)
        dev = features_for(trained.matcher, pairs.take("dev"), None)
        measured = retrieval(*vectors(trained.matcher, dev), dev.pairs.truth.tocsr(), seed=0)
        retrievals.append(measured)
        runs.append(
            {
                "seed": seed,
                "seconds": round(trained.seconds, 1),
                "warnings": trained.warnings,
                "dev": trained.report["protocols"],
                "travel": evaluate(trained.matcher, travel, split="all")["protocols"],
                "keywords": keyword_numbers(trained.matcher, dev),
                "calibration": calibration_numbers(trained.matcher, dev),
            }
        )
        print(line(runs[-1]), flush=True)
    joined = mean_over_seeds(retrievals, seed=0)
    result = {"config": config.model_dump(mode="json"), "dev": joined.to_dict(), "runs": runs}
    (options.out / "seeds.json").write_text(json.dumps(result, indent=1) + "\n")
    print(summary(runs))


def keyword_numbers(matcher: JointMatcher, dev: PairFeatures) -> dict[str, Any]:
    """Measure keyword queries, the nouns of the captions, on ``dev``."""
    queries = keyword_queries(dev.pairs.texts, dev.pairs.truth.tocsr())
    nouns = Finder(matcher).embed_texts(queries.nouns)
    images, _ = vectors(matcher, dev)
    errors = cross_fitted_keyword_error(images, nouns, queries.relevance, seed=0)
    found = keywords(images, nouns, queries.relevance, seed=0).to_dict()
    return {**found, "calibration": only_errors(errors)}


def calibration_numbers(matcher: JointMatcher, dev: PairFeatures) -> dict[str, Any]:
    """Cross-fitted calibration error of captions, in percent, by rank and gallery size."""
    truth = dev.pairs.truth.tocsr()
    return only_errors(cross_fitted_calibration_error(*vectors(matcher, dev), truth, seed=0))


def only_errors(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out the reliability tables."""
    return {
        top: {size: round(one["error"], 2) for size, one in sizes.items()}
        for top, sizes in found.items()
    }


def numbers(run: dict[str, Any]) -> dict[str, float]:
    """Pick the headline numbers of one run."""
    dev, travel = run["dev"]["retrieval"], run["travel"]["retrieval"]
    return {
        "rsum": dev["rsum"]["value"],
        "i2t R@1": dev["image_to_text"]["R@1"]["value"],
        "t2i R@1": dev["text_to_image"]["R@1"]["value"],
        "F1": run["dev"]["pairs"]["F1"]["value"],
        "mAP": run["dev"]["pairs"]["mAP"]["value"],
        "travel i2t R@1": travel["image_to_text"]["R@1"]["value"],
        "travel t2i R@1": travel["text_to_image"]["R@1"]["value"],
        "keyword mAP": run["keywords"]["mAP"]["value"],
        "seconds": run["seconds"],
    }


def line(run: dict[str, Any]) -> str:
    """Return one run as a line."""
    facts = "  ".join(f"{name} {value:.1f}" for name, value in numbers(run).items())
    return f"seed {run['seed']}  {facts}  calibration {run['calibration']}"


def summary(runs: list[dict[str, Any]]) -> str:
    """Return the means over seeds as a line."""
    table = [numbers(run) for run in runs]
    means = {name: np.mean([row[name] for row in table]) for name in table[0]}
    return "mean  " + "  ".join(f"{name} {value:.2f}" for name, value in means.items())


if __name__ == "__main__":
    main()
