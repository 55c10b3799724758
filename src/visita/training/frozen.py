"""Learning from a user's own pairs on top of two frozen towers, such as CLIP's.

The towers stay as they are, and their similarity one of two kernels.
"""

from __future__ import annotations

from visita.matchers.fused import FusedMatcher
from visita.matchers.pretrained import DualMatcher
from visita.training.config import AdaptConfig
from visita.training.head import Vectors, best_mix, learn_head
from visita.training.loop import History
from visita.training.matcher import as_matcher, whole_space
from visita.training.spans import Spans
from visita.training.tensors import PairTensors
from visita.training.tuning import Validate, embed


def adapt_frozen(
    name: str,
    base: DualMatcher,
    train: PairTensors,
    dev: PairTensors,
    of_base: Vectors,
    validate: Validate,
    config: AdaptConfig,
) -> tuple[DualMatcher | FusedMatcher, History, float]:
    """Return the adapted matcher, what happened, and the weight of the learnt kernel.

    The base itself where no weight above 0 is better on dev. Else the vectors are twice as long.

    Parameters
    ----------
    of_base
        The base's vectors of dev.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    """
    network, history = learn_head(train, dev, validate, config)
    spans = Spans.whole(train.images.shape[-1], train.texts.shape[-1])
    space = whole_space(network, "fusion", spans.fusion[1], spans.text[1])
    learnt = as_matcher(f"{name}-tuned", space, base.recipe, base.open_text_encoder())
    # Dev decides about the weights that are saved, which are rounded to half precision.
    weight = best_mix(of_base, embed(learnt.network(), dev, spans), validate)
    if weight == 0:
        return base, history, weight
    both = FusedMatcher(name=name, parts=(base, learnt), weights=(1 - weight, weight))
    return both, history, weight
