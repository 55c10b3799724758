"""One small saved thing of every kind, with random weights, and what each does once it is loaded.

``use`` gives all numbers that come of one, quickly, so that thousands of changed ones can be
looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visita.encoders.fitted import install
from visita.encoders.minilm import MiniLM
from visita.encoders.quantize import Activations
from visita.encoders.topics.lsa import LSA
from visita.encoders.tuned import Heads, TunedEncoder
from visita.encoders.visual_words import VisualWords
from visita.encoders.vocabulary import Vocabulary
from visita.encoders.weights import rounded, rounded_changes
from visita.errors import ArtifactError
from visita.matchers import shipped_folder
from visita.matchers.base import load_folder
from visita.matchers.combine import FusedMatcher, ScaledMatcher
from visita.matchers.cross_modal import CrossModalReranker, reranker_of
from visita.matchers.embed import JointMatcher, encoder_fingerprints, level_shapes
from visita.matchers.pair_probability import MatchProbability
from visita.matchers.probability import Calibration
from visita.matchers.rerank import RerankedMatcher
from visita.matchers.whole import WholeMatcher
from visita.networks.cross_modal import MklVisita
from visita.networks.fusion import JointSpace
from visita.training.loop import Checkpoint
from visita.types import Recipe

GRID = Recipe({"efficientnet-lite0": ("block15:5x5",)})
TEXTS = ("a red circle on a black square", "two dogs")
WORDS = [f"word{letter}" for letter in "abcdefghij"]
Use = Callable[[Path], Any]


def small_matchers(folder: Path) -> dict[str, Path]:
    """Save one of every kind of matcher but pretrained ones below ``folder``."""
    plain = joint("minilm-l6")
    topical = joint("lsa")
    bank = np.random.default_rng(2).normal(size=(2, 12, 8)).astype(np.float16)
    scaled = ScaledMatcher(
        name="scaled",
        part=plain,
        images=bank[0],
        texts=bank[1],
        neighbours=3,
        least=0.5,
        calibration=Calibration(1.0, 2.0, -0.5),
        match_probability=MatchProbability(1.0, 2.0, 0.1, 0.1, -0.1),
        threshold=0.5,
        facts={"data": {"source": "drawn"}},
    )
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(16, 6)))[0].astype(np.float16)
    fused = FusedMatcher(name="fused", parts=(plain, topical), weights=(0.7, 0.3), basis=basis)
    second = reranker()
    both = RerankedMatcher(name="both", first=scaled, reranker=second, weight=0.25, depth=7)
    words = WholeMatcher(name="whole", packer=reranker(Vocabulary(WORDS, 9)))
    saved = {"joint": topical, "scaled": scaled, "fused": fused, "two-stage": both, "whole": words}
    for name, matcher in saved.items():
        matcher.save(folder / name)
    return {name: folder / name for name in saved}


def small_parts(folder: Path) -> dict[str, Path]:
    """Save one of everything else that is an artifact below ``folder``."""
    topics().save(folder / "topics")
    rng = np.random.default_rng(0)
    tuned = rounded_changes({"network.fc": rng.normal(size=(3, 4)).astype(np.float32)})
    heads = Heads(("head:avg",), "minilm-l6", ("layer6",), {"dim": 4, "hidden": 8}, tuned)
    measured = Activations(np.ones((2, 2), np.float32), (np.ones(3, np.float32),) * 2)
    kept = TunedEncoder(
        "efficientnet-lite0", tuned, side=96, activations=measured, heads=heads, seen=None
    )
    kept.save(folder / "tuned")
    seen().save(folder / "visual-words")
    state = Checkpoint(folder / "checkpoint", np.random.default_rng(4))
    state.save({"w": torch.ones(3)}, {"history": {"epochs": []}})
    return {path.name: path for path in folder.iterdir()}


def shipped() -> dict[str, Path]:
    """Return the folders of the shipped matchers."""
    return {name: shipped_folder(name) for name in ("visita-small", "visita-base")}


def topics() -> LSA:
    """Return an LSA of ten words and three topics."""
    rng = np.random.default_rng(1)
    weights = rng.uniform(1, 2, len(WORDS)).astype(np.float32)
    return LSA(WORDS, weights, rng.normal(size=(len(WORDS), 3)).astype(np.float32))


def seen() -> VisualWords:
    """Return four visual words of HOG."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(4, 36)).astype(np.float32)
    return VisualWords({"hog": centres}, {"hog": np.ones(4, np.float32)})


def joint(text_encoder: str) -> JointMatcher:
    """Return a matcher of eight numbers, of fitted parts where it reads topics."""
    fitted = text_encoder == "lsa"
    text: Any = topics() if fitted else MiniLM(("layer6",))
    if fitted:
        install(seen())
    recipe = Recipe({seen().name: ("hog",)} if fitted else {"colours": ("whole",)}, not fitted)
    width = sum(shape[-1] for shape in level_shapes(recipe))
    part = {
        "network": "fusion",
        "arguments": {"dim": 8, "hidden": 8},
        "image_span": [0, width],
        "text_span": [0, text.dim],
        "weight": 1.0,
    }
    space = {"image_features": width, "text_features": text.dim, "parts": [part], "dim": 8}
    return JointMatcher(
        name=f"joint {text_encoder}",
        recipe=recipe,
        text_encoder=text.name,
        text_levels=text.levels,
        space=space,
        tensors=rounded(_drawn(JointSpace(**space))),
        encoders=encoder_fingerprints(recipe, text),
        topic_model=text if fitted else None,
    )


def reranker(vocabulary: Vocabulary | None = None) -> CrossModalReranker:
    """Return a small second stage."""
    text = vocabulary or MiniLM(("layer6",))
    sizes: dict[str, Any] = {"side": "pretrained", "features": 384}
    if vocabulary:
        sizes = {"side": "transformer", "vocabulary": len(vocabulary), "longest": 9}
        sizes |= {"depth": 1, "heads": 2}
    network = MklVisita(
        25,
        level_shapes(GRID)[0][-1],
        text=sizes,
        width=8,
        dim=4,
        heads=2,
        depth=1,
        levels=("words", "whole"),
        kernels=("linear", "rbf:2"),
    )
    drawn = {name: torch.from_numpy(values) for name, values in _drawn(network).items()}
    network.load_state_dict(drawn)
    return reranker_of(network, GRID, text)


def _drawn(network: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: np.asarray(np.abs(rng.normal(size=values.shape)) + 0.1, np.float32)
        for name, values in network.state_dict().items()
    }


SENTENCES = MiniLM()
"""In use throughout, so that its graph is compiled once."""


def use_matcher(folder: Path) -> list[Any]:
    """Load a matcher, and return what it is and what it gives for two pictures and two texts."""
    matcher = load_folder(folder)
    shapes = dict(zip(matcher.recipe.columns(), _column_shapes(matcher.recipe), strict=True))
    rng = np.random.default_rng(0)
    columns = {name: rng.random((2, *shape), np.float32) for name, shape in shapes.items()}
    images = matcher.embed_images(columns)
    text = matcher.open_text_encoder()
    vectors = matcher.embed_texts(text.encode(TEXTS))
    found = [matcher.name, matcher.threshold, images, vectors]
    found.append(matcher.probability(images @ vectors[0], 10))
    if matcher.reranker:
        packed = matcher.reranker.pack_images(columns)
        scores = matcher.reranker.scores(packed, matcher.reranker.pack_texts(TEXTS[:1])[0])
        found.append(matcher.combine(images @ vectors[0], scores))
    return [*found, matcher.fingerprint()]


def use_topics(folder: Path) -> list[Any]:
    """Load a topic model, and return what it gives for two texts."""
    model = LSA.load(folder)
    return [model.fingerprint(), model.encode(["worda wordb", "wordc none"]).vectors]


def use_tuned(folder: Path) -> list[Any]:
    """Load a tuned encoder, and return its weights."""
    encoder = TunedEncoder.load(folder)
    return [encoder.name, *encoder.changes.values()]


def use_words(folder: Path) -> list[Any]:
    """Load visual words, and return what they give for a picture."""
    encoder = VisualWords.load(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    return [encoder.name, *encoder.runner(("hog",))(pixels)]


def use_checkpoint(folder: Path) -> list[Any]:
    """Load a checkpoint, and return it."""
    rng = np.random.default_rng(0)
    found = Checkpoint(folder, rng).load()
    if found is None:
        raise ArtifactError("it was refused, and training starts anew")
    tensors, state = found
    return [*(values.numpy() for values in tensors.values()), state, rng.integers(1000)]


PARTS: dict[str, Use] = {
    "topics": use_topics,
    "tuned": use_tuned,
    "visual-words": use_words,
    "checkpoint": use_checkpoint,
}
"""What is done with each of the ``small_parts``; matchers are all used alike."""


def use_of(name: str) -> Use:
    """Return what loads a specimen and gives its numbers."""
    return PARTS.get(name, use_matcher)


def _column_shapes(recipe: Recipe) -> list[tuple[int, ...]]:
    shapes = dict(zip(Recipe(recipe.levels).columns(), level_shapes(recipe), strict=True))
    return [shapes[name.removesuffix("@mirror")] for name in recipe.columns()]
