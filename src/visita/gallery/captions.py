"""Captions that an engine is tried with, as a gallery has none.

How many of the nearest it finds for texts only texts can tell: they lie far from the pictures.
"""

from __future__ import annotations

import numpy as np

WHO = (
    "a man", "a woman", "two children", "a little girl", "a boy in a red shirt", "an old couple",
    "a group of friends", "a crowd of people", "a baby", "a brown dog", "two dogs", "a black cat",
    "a white horse", "a flock of birds", "a cow", "a cyclist", "a football player", "a musician",
    "a street vendor", "a worker with a helmet", "a bride and a groom", "a surfer", "a climber",
    "a family", "a runner", "a skier", "a teenager with headphones", "a waiter", "an elephant",
    "a fisherman",
)  # fmt: skip
DOES = (
    "running", "sitting", "jumping into the air", "looking at the camera", "smiling", "sleeping",
    "eating", "playing with a ball", "walking", "dancing", "reading a book", "riding a bicycle",
    "carrying a bag", "standing in a row", "waiting", "talking on the phone", "taking a picture",
    "swimming", "climbing up a rock", "pushing a cart", "holding an umbrella", "playing the guitar",
)  # fmt: skip
WHERE = (
    "on a beach", "in the snow", "on a busy street", "in a park", "in a kitchen", "at night",
    "near a lake", "in front of a house", "under a tree", "on a mountain", "in the rain",
    "at a market", "on a bridge", "in a field of flowers", "in a swimming pool", "on a sofa",
    "at a train station", "in a garden", "on a boat", "at the table", "in an office", "on stage",
    "in a forest", "beside a red car",
)  # fmt: skip
THINGS = (
    "a red boat", "a plate of food", "a birthday cake", "an old church", "a lighthouse",
    "mountains",
    "a sunset over the sea", "a city at night", "flowers in a vase", "a waterfall", "an aeroplane",
    "a bus at a stop", "a bridge over a river", "a bowl of fruit", "a bedroom", "a motorcycle",
    "autumn leaves", "a snowy road", "fireworks", "a cup of coffee", "a desk with a computer",
    "a castle on a hill", "boats in a harbour", "a wooden door", "a map", "a statue",
    "a clock tower",
)  # fmt: skip


def captions(count: int, seed: int = 0) -> list[str]:
    """Return so many captions, one in four of a thing or of few words.

    >>> captions(2)
    ['a skier waiting', 'a woman sitting on a beach']
    """
    rng = np.random.default_rng(seed)
    return [_caption(rng) for _ in range(count)]


def _caption(rng: np.random.Generator) -> str:
    who, does, where, thing = (
        words[rng.integers(len(words))] for words in (WHO, DOES, WHERE, THINGS)
    )
    kind = rng.integers(8)
    if kind < 2:
        return (thing, who)[kind]
    return (f"{who} {does} {where}", f"{who} {where}", f"{who} {does}")[kind % 3]
