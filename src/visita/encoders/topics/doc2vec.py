"""doc2vec: vectors from which the words of a text can be told, learnt by gensim.

Le and Mikolov, "Distributed representations of sentences and documents" (2014), as the
distributed bag of words (PV-DBOW, negative sampling), which needs no word vectors. The
multi-level fusion paper names it as the alternative to LSA.

Fitting holds all words and one float32 array of (texts, topics): about 3 GB for a million
captions and 500 topics. It runs in one thread, so that it can be repeated, and takes
half an hour or more for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from visita.encoders.topics.corpus import words
from visita.encoders.topics.model import MAX_WORDS, MIN_COUNT, WordTopics, check_fit, no_words
from visita.errors import MissingExtraError
from visita.progress import bar
from visita.types import FloatArray

try:
    from gensim.models import doc2vec as gensim
    from gensim.models.callbacks import CallbackAny2Vec
except ModuleNotFoundError as error:
    raise MissingExtraError("doc2vec", "doc2vec") from error


EPOCHS = 60
"""Over the texts when fitting, over a text when encoding it; 20 are too few for captions."""
RATES = (0.025, 0.0001)
"""Learning rate, from first to last epoch."""
PIECE = 10_000
"""Words that gensim reads of one text; it skips the rest, so longer ones go in pieces."""


class Doc2Vec(WordTopics):
    """doc2vec as a ``TopicModel``: ``weights`` are word counts, ``topics`` the output weights.

    A text's vector is found by gradient descent from one fixed start, so that it depends
    on the text alone. Frequent words are seldom drawn: a text of which no word is drawn in
    any epoch is the zero vector, as one without known words.
    """

    name = "doc2vec"
    settings: ClassVar = {"epochs": EPOCHS, "rates": list(RATES), "negative": 5, "sample": 1e-3}

    @classmethod
    def fit(cls, texts: Sequence[str], topics: int, seed: int) -> Self:
        """Learn from ``texts``: at most 50,000 words, each of which occurs twice in them.

        The same texts and seed give the same bits.

        Raises
        ------
        ConfigError
            If ``topics`` is below 1.
        DataError
            If there are no texts, or no word that occurs twice.
        MissingExtraError
            If gensim is not installed, or jieba and a text is Chinese.
        """
        check_fit(texts, topics)
        documents = [
            gensim.TaggedDocument(piece, [row])
            for row, text in enumerate(texts)
            for piece in _pieces(words(text))
        ]
        model = _model(topics, seed=seed, min_count=MIN_COUNT, max_final_vocab=MAX_WORDS)
        model.build_vocab(documents)
        if not len(model.wv):
            raise no_words(texts)
        with bar("doc2vec", EPOCHS) as advance:
            model.train(
                documents,
                total_examples=len(documents),
                epochs=EPOCHS,
                callbacks=[_EachEpoch(lambda: advance(1))],
            )
        counts = np.array([model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key])
        return cls(model.wv.index_to_key, counts, model.syn1neg)

    def project(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors that gradient descent finds, float32 (m, dim); m is at least 1."""
        return np.stack([self._infer(words(text)) for text in texts])

    def _infer(self, text: list[str]) -> FloatArray:
        # As gensim's infer_vector, which starts from Python's hash, new in every process.
        model = copy(self._gensim)  # its random state is this text's alone
        model.random = np.random.RandomState(0)
        vector = ((model.random.random_sample((1, self.dim)) - 0.5) / self.dim).astype(np.float32)
        work, free = np.zeros(self.dim, np.float32), np.ones(1, np.float32)
        in_vocabulary = [word for word in text if word in model.wv.key_to_index]
        used = 0
        for rate in np.linspace(*RATES, EPOCHS):
            for piece in _pieces(in_vocabulary):
                counted = gensim.train_document_dbow(
                    model,
                    piece,
                    [0],
                    rate,
                    work,
                    learn_words=False,
                    learn_hidden=False,
                    doctag_vectors=vector,
                    doctags_lockf=free,
                )
                used += counted - 1  # it counts the text's own vector too
        return np.asarray(vector[0] if used else np.zeros(self.dim), dtype=np.float32)

    @cached_property
    def _gensim(self) -> Any:
        model = _model(self.dim, min_count=1, sorted_vocab=0)
        model.build_vocab_from_freq(dict(zip(self.words, self.weights.tolist(), strict=True)))
        model.syn1neg = self.topics
        return model


def _model(topics: int, **more: Any) -> Any:
    settings = {key: Doc2Vec.settings[key] for key in ("epochs", "negative", "sample")}
    rates = {"alpha": RATES[0], "min_alpha": RATES[1]}
    return gensim.Doc2Vec(dm=0, vector_size=topics, workers=1, **settings, **rates, **more)


def _pieces(text: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


class _EachEpoch(CallbackAny2Vec):  # type: ignore[misc]  # gensim has no types
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_epoch_end(self, model: Any) -> None:  # noqa: ARG002 - gensim's signature
        self._call()
