"""Train a shipped model's recipe with several seeds, measure each, and write its results.

python runs/shipped.py NAME --data flickr8k:PATH --travel coco:PATH --work DIR
    [--seeds 0 1 2 3 4]
    [--against NAME] [--out docs/results]

NAME is visita-small or visita-base. DIR gets one matcher a seed, ``seedN/NAME``, and what was
measured of it beside; what is there already is kept. Seed 0 ships. OUT gets ``NAME.json``,
``NAME.md`` and ``NAME-reliability.png``; ``--against`` compares with a recipe measured before
in the same DIR, image by image.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answering import mean
from compare import plain
from shipped_report import Kept, draw_reliability, markdown

import visita
from visita.data import PairSet, open_pairs
from visita.evaluation import (
    Retrieval,
    cross_fitted_calibration_error,
    cross_fitted_pairs,
    keyword_queries,
    keywords,
    mean_over_seeds,
    measure_ranks,
    paired_retrieval,
    reliability,
    retrieval,
)
from visita.evaluation.blocks import as_vectors
from visita.evaluation.calibrate import VectorStage
from visita.evaluation.intervals import components
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.measure import evaluate, features_for, vectors
from visita.evaluation.pairs import draw_pairs
from visita.evaluation.rerank import RerankedPairs, vector_pair_scores
from visita.evaluation.search_calibration import fit_standing
from visita.store.extract import PairFeatures
from visita.training.config import FusionConfig
from visita.training.mkl_config import MklVisitaConfig
from visita.types import FloatArray, Matcher

RECIPES = {"visita-small": FusionConfig, "visita-base": MklVisitaConfig}
Vectors = tuple[FloatArray, FloatArray]


def main() -> None:
    """Train and measure what is not there yet, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data", required=True)
    parser.add_argument("--travel", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--against", choices=RECIPES)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    pairs, travel = open_pairs(options.data), open_pairs(options.travel)
    kept = [one_seed(options.name, seed, pairs, travel, options.work) for seed in options.seeds]
    result = summary(options.name, kept, pairs)
    if options.against not in (None, options.name):
        others = [Kept(options.work, options.against, seed) for seed in options.seeds]
        found = paired_retrieval(over_seeds(others, pairs), over_seeds(kept, pairs), seed=0)
        result["difference"] = {"from": options.against, **plain(found)}
    stem = options.out / options.name
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    draw_reliability(kept[0].facts(), options.out / f"{options.name}-reliability.png")
    print(markdown(result))


def one_seed(name: str, seed: int, pairs: PairSet, travel: PairSet, work: Path) -> Kept:
    """Train and measure one seed, unless that was done before."""
    kept = Kept(work, name, seed)
    if not kept.matcher.is_dir():
        kept.matcher.parent.mkdir(parents=True, exist_ok=True)
        trained = visita.train(pairs, kept.matcher, config=RECIPES[name](seed=seed))
        kept.note_training(trained.seconds, trained.warnings)
    if not kept.is_measured():
        matcher = visita.load(kept.matcher)
        dev = features_for(matcher, pairs.take("dev"), None)
        facts, ranks = measured(matcher, dev)
        facts["dev"] = evaluate(matcher, pairs, split="dev")["protocols"]
        facts["travel"] = evaluate(matcher, travel, split="all")["protocols"]
        kept.keep(facts, ranks)
    print(kept.line(), flush=True)
    return kept


def measured(matcher: Matcher, dev: PairFeatures) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return calibration and keywords as JSON values, and the ranks of images and texts."""
    truth = dev.pairs.truth.tocsr()
    queries = keyword_queries(dev.pairs.texts, truth)
    named = draw_pairs(queries.relevance.T.tocsr(), seed=0)
    drawn = draw_pairs(truth, seed=0)
    if matcher.reranker:
        scored = RerankedPairs(matcher, dev)
        of_nouns = scored.of_texts(queries.nouns)
        embedded, words = as_vectors(scored.dense()), as_vectors(of_nouns.dense())
        image_ranks, text_ranks = scored.ranks()
        scores, features = of_nouns.match_scores(named), scored.match_features(drawn)
    else:
        embedded = vectors(matcher, dev)
        encoded = matcher.open_text_encoder().encode(queries.nouns)
        words = embedded[0], matcher.embed_texts(encoded)
        ranked = retrieval(*embedded, truth, seed=0)
        image_ranks, text_ranks = ranked.image_ranks[0], ranked.text_ranks[0]
        scores = vector_pair_scores(matcher, words, queries.nouns, named)
        others = matcher.any_texts
        features = features_of_pairs(embedded, dev.pairs.texts, drawn, others=others)
    images = scored.vectors if matcher.reranker else embedded
    stage = VectorStage(*images, matcher.background)
    right = (scores >= matcher.threshold) == named.labels
    _, groups = np.unique(named.texts, return_inverse=True)
    found, said = cross_fitted_pairs(features, drawn, truth, seed=0)
    facts = {
        "cross-fitted pairs": found.to_dict(),
        "match probability": reliability(said, drawn.labels),
        "noun pairs": mean(100.0 * right, groups, seed=0),
        "keywords": keywords(*words, queries.relevance, seed=0).to_dict(),
        "calibration": cross_fitted_calibration_error(
            *embedded, truth, fit=fit_standing, stage=stage, seed=0
        ),
    }
    return facts, {"images": image_ranks, "texts": text_ranks}


def over_seeds(kept: Sequence[Kept], pairs: PairSet) -> Retrieval:
    """Return the dev retrieval of several seeds, their hits averaged an image."""
    groups = components(pairs.take("dev").truth.tocsr())
    runs = [one.ranks() for one in kept]
    return mean_over_seeds(
        [measure_ranks(run["images"][None], run["texts"][None], groups, seed=0) for run in runs],
        seed=0,
    )


def summary(name: str, kept: Sequence[Kept], pairs: PairSet) -> dict[str, Any]:
    """Return all that is written of a recipe, as JSON values."""
    return {
        "name": name,
        "config": RECIPES[name]().model_dump(mode="json"),
        "dev": over_seeds(kept, pairs).to_dict(),
        "runs": [one.facts(with_bins=False) for one in kept],
    }


if __name__ == "__main__":
    main()
