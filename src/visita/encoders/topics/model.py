"""What topic models share: words with a number and a row of topics each, saved as arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from visita.artifact import (
    Manifest,
    Width,
    fingerprint_of,
    read_arrays,
    read_json,
    read_manifest,
    write_arrays,
    write_folder,
    write_json,
)
from visita.encoders.topics.corpus import SEGMENTER, known_words
from visita.errors import ArtifactError, ConfigError, DataError, MismatchError, RankError
from visita.types import FloatArray, TextFeatures

VOCABULARY = "vocabulary.json"
ARRAYS = "arrays.safetensors"
MAX_WORDS = 50_000
"""Words a model keeps, the most frequent ones: 100 MB of topics at 500 topics."""
MIN_COUNT = 2
"""How often a word has to occur: one that occurs once links no text to another."""
NOTHING = 1e-6
"""Length under which a vector holds rounding errors only."""
T = TypeVar("T")


class WordTopics(ABC):
    """A fitted ``TopicModel``: ``words`` with ``weights`` (v,) and ``topics`` (v, dim).

    A text without any known word is the zero vector. Its cosine with everything is 0: in
    the hinge loss of the fusion paper (eq. 5) it adds the margin and no gradient, and as
    a query all answers tie, so who recommends or ranks should leave it out and say so.
    """

    name: str
    languages = None
    """Those of the texts that it is fitted on."""
    settings: ClassVar[Mapping[str, Any]]
    """What else decides the vectors, as JSON."""

    def __init__(
        self, words: Sequence[str], weights: NDArray[np.generic], topics: FloatArray
    ) -> None:
        self.words = tuple(words)
        self.weights = weights
        self.topics = np.ascontiguousarray(topics, dtype=np.float32)
        self.levels: tuple[str, ...] = ("topics",)
        self.dim: int = topics.shape[1]

    @classmethod
    @abstractmethod
    def fit(cls, texts: Sequence[str], topics: int, seed: int) -> Self:
        """Learn ``topics`` topics from ``texts``."""

    @abstractmethod
    def project(self, texts: Sequence[str]) -> FloatArray:
        """Return the topics of at least one text, float32 (m, dim), of any length."""

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return one passage a text: a unit vector, or zero where no word is known."""
        offsets = np.arange(len(texts) + 1, dtype=np.int64)
        if not texts:
            return TextFeatures(offsets, np.zeros((0, self.dim), np.float32))
        rows = self.project(texts)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > NOTHING)
        return TextFeatures(offsets, vectors)

    def fingerprint(self) -> str:
        """Return a hash over words, arrays, settings and the way texts are cut into words."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        arrays = [sha256(array.tobytes()).hexdigest() for array in (self.weights, self.topics)]
        return fingerprint_of([self.name, dict(self.settings), SEGMENTER, self.words, arrays])

    def save(self, folder: Path) -> None:
        """Write the model as an artifact folder, atomically.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else or cannot be written.
        """
        facts = {"topics": self.dim, "segmenter": SEGMENTER, "settings": dict(self.settings)}
        with write_folder(folder, _kind(self.name), facts) as draft:
            write_json(draft / VOCABULARY, {"words": self.words})
            write_arrays(draft / ARRAYS, {"weights": self.weights, "topics": self.topics})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved model, which encodes bit for bit as the one that was saved.

        Raises
        ------
        ArtifactError
            If the folder is not a whole topic model of this kind.
        MismatchError
            If it was fitted with other rules or another segmenter than the installed ones.
        """
        saved = read_manifest(folder, _kind(cls.name), SavedTopics)
        if (saved.segmenter, saved.settings) != (SEGMENTER, dict(cls.settings)):
            raise MismatchError(
                f"{folder} was fitted by another version of visita's {cls.name}; fit it again."
            )
        words = known_words(folder / VOCABULARY, read_json(folder / VOCABULARY).get("words"))
        arrays = read_arrays(folder / ARRAYS)
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != {"weights": (len(words),), "topics": (len(words), saved.topics)}:
            raise ArtifactError(f"{folder} is damaged: words and arrays differ; copy it again.")
        weights, topics = arrays["weights"], arrays["topics"]
        if not (weights > 0).all():
            raise ArtifactError(f"{folder} holds words that count nothing; copy it again.")
        return cls(words, weights, topics)


class SavedTopics(Manifest):
    """The manifest of a topic model."""

    topics: Width
    segmenter: Any
    settings: dict[str, Any]


def _kind(name: str) -> str:
    return f"{name} topic model"


def check_fit(texts: Sequence[str], topics: int) -> None:
    """Make sure that there are texts and that a topic is asked for.

    Raises
    ------
    ConfigError
        If ``topics`` is below 1.
    DataError
        If there are no texts.
    """
    if topics < 1:
        raise ConfigError(f"topics={topics} is too small; ask for at least 1.")
    if not texts:
        raise DataError("There are no texts to fit a topic model on; give it some.")


def most_topics(fit: Callable[[int], T], topics: int) -> T:
    """Return ``fit(topics)``, or of the most topics below that the texts hold."""
    while True:
        try:
            return fit(topics)
        except RankError as error:
            topics = error.rank


def no_words(texts: Sequence[str]) -> DataError:
    """Return the error for texts in which no word is frequent enough."""
    return DataError(f"No two of the {len(texts)} texts share a word; fit topics on more texts.")
