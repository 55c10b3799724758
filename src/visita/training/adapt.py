"""Learning from a user's own pairs on top of a trained matcher, which stays one of the kernels.

For two frozen towers, see ``frozen``.
"""

from __future__ import annotations

from scipy import sparse

from visita.errors import ConfigError
from visita.matchers.joint import JointMatcher
from visita.networks.fusion import FusionNetwork, JointSpace, Part
from visita.training.config import AdaptConfig
from visita.training.head import Vectors, best_mix, learn_head
from visita.training.loop import History
from visita.training.matcher import as_matcher
from visita.training.spans import Spans
from visita.training.tensors import PairTensors
from visita.training.tuning import Validate, embed
from visita.vectors import join

MAX_DIM = 1024


def adapt(
    name: str,
    base: JointMatcher,
    train: PairTensors,
    dev: PairTensors,
    validate: Validate,
    config: AdaptConfig,
) -> tuple[JointMatcher, History, float]:
    """Return the adapted matcher, what happened, and the weight of the learnt kernel.

    A network that reads the base's vectors learns on ``train``; the base's untouched similarity
    and its own are then joined with the weights that do best on dev. A topic model stays what it
    is.

    Raises
    ------
    ConfigError
        If the base was adapted already.
    TrainingError
        If the loss stops being a number.
    """
    space = base.network()
    if 2 * space.dim > MAX_DIM:
        raise ConfigError(
            f"{base.name!r} was adapted already, and its vectors would grow past {MAX_DIM} "
            "numbers: adapt its own base again, on all pairs together."
        )
    whole = Spans.whole(space.image_features, space.text_features)
    of_train, of_dev = embed(space, train, whole), embed(space, dev, whole)
    chosen_on = _read(of_dev, dev.truth)
    network, history = learn_head(_read(of_train, train.truth), chosen_on, validate, config)
    learnt = embed(network, chosen_on, Spans.whole(space.dim, space.dim))
    weight = best_mix(of_dev, learnt, validate)
    if weight == 0:
        return base, history, weight
    joined = _joined(space, network, weight)
    return as_matcher(name, joined, base.recipe, base.open_text_encoder()), history, weight


def from_vectors(found: JointMatcher, base: JointMatcher, vectors: Vectors) -> Vectors:
    """Return the vectors of what was adapted, float32 (n, 2 d) and (m, 2 d), from its base's.

    They are the base's own where that stayed as it was.
    """
    if found is base:
        return vectors
    space = found.network()
    unknown = sparse.csr_array((len(vectors[0]), len(vectors[1])), dtype=bool)
    learnt = embed(space.networks[1], _read(vectors, unknown), Spans.whole(base.dim, base.dim))
    weights = [part.weight for part in space.parts]
    images, texts = (join(sides, weights) for sides in zip(vectors, learnt, strict=True))
    return images, texts


def _read(vectors: Vectors, truth: sparse.csr_array) -> PairTensors:
    """Return pairs (n, m) with the base's vectors in place of their features."""
    images, texts = vectors
    return PairTensors(images[:, None], texts, truth)


def _joined(space: JointSpace, network: FusionNetwork, weight: float) -> JointSpace:
    base = Part(
        network="joint",
        arguments=space.arguments(),
        image_span=(0, space.image_features),
        text_span=(0, space.text_features),
        weight=1 - weight,
    )
    own = Part(
        network="fusion",
        arguments=network.arguments,
        image_span=(0, space.dim),
        text_span=(0, space.dim),
        weight=weight,
        on=0,
    )
    joined = JointSpace(
        space.image_features, space.text_features, parts=[base, own], dim=space.dim + network.dim
    )
    joined.networks[0], joined.networks[1] = space, network
    return joined.eval()
