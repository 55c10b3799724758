"""The best and worst answers of a reproduction of the multi-level fusion paper."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from visita.evaluation.ranks import mean_ranks
from visita.experiments.examples import Answers, best_and_worst
from visita.experiments.fusion import Outcomes
from visita.experiments.fusion_bench import WHOLE, Bench
from visita.experiments.fusion_claims import DIRECT_FUSED, RECOMMEND_FC
from visita.experiments.report import Examples


def examples(bench: Bench, outcomes: Outcomes) -> Iterator[Examples]:
    """Yield the best and the worst answers of direct matching, if it was measured."""
    try:
        answers = Answers(
            pairs=bench.pairs.take("test"),
            groups=bench.galleries[WHOLE].groups,
            system="Direct matching with fused features",
            baseline="recommendation with fc",
            ranks=mean_ranks(np.stack(outcomes.arrays(DIRECT_FUSED, WHOLE))).mean(axis=0),
            before=mean_ranks(outcomes.arrays(RECOMMEND_FC, WHOLE)[0]),
            found=outcomes.arrays(DIRECT_FUSED, "found")[0],
        )
    except KeyError:
        return
    yield from best_and_worst(answers)
