"""Text encoders that are a BERT: its layers are their levels.

``layer1`` … each are the mean over a passage's tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from visita.arguments import check_levels
from visita.encoders.bert import BertWeights, bert_graph, bert_modules
from visita.encoders.engine import BuiltNetwork, Runner, cores
from visita.encoders.symbols import in_words
from visita.types import TextFeatures, Tokens

BATCH = 32
Spans = list[tuple[int, int]]


class BertText(ABC):
    """A ``TokenEncoder``; it needs no torch but on a GPU.

    Attributes
    ----------
    config : mapping
        The network, as transformers calls it.
    longest : int
        Tokens a passage, those around it not counted.
    """

    name: ClassVar[str]
    config: ClassVar[Mapping[str, Any]]
    longest: ClassVar[int]

    def __init__(self, levels: Sequence[str] | None = None) -> None:
        known = tuple(f"layer{n + 1}" for n in range(self.config["num_hidden_layers"]))
        self.levels = known if levels is None else tuple(levels)
        check_levels(self.name, self.levels, known)
        self.dim = self._width * len(self.levels)

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash over the original weights, vocabulary and the way texts are cut."""

    @abstractmethod
    def weights(self) -> BertWeights:
        """Return what was trained.

        Raises
        ------
        MismatchError
            If the installed weights are not the ones that the encoder was written for.
        """

    @property
    @abstractmethod
    def around(self) -> tuple[list[int], list[int]]:
        """The ids before and after each passage."""

    @abstractmethod
    def knows(self, symbol: str) -> bool:
        """Tell whether the vocabulary has a symbol; the names of others are read."""

    @abstractmethod
    def pieces(self, texts: Sequence[str]) -> list[tuple[list[int], Spans]]:
        """Return the ids of each text, and where each is in it: start and end."""

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return the levels side by side, float32 (p, width * levels), for every passage.

        A text of more than ``longest`` tokens becomes several passages of nearly equal
        length; an empty text is one passage of no words.
        """
        cut = self._cut(texts)
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in cut])]).astype(np.int64)
        passages = [passage for text in cut for passage in text]
        vectors = np.empty((len(passages), self.dim), dtype=np.float32)
        for rows in by_length(passages):
            ids, mask = self.padded([passages[row] for row in rows])
            vectors[rows] = np.concatenate(self.runner(ids, mask), axis=1)
        return TextFeatures(offsets, vectors)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the levels of every token side by side, float16 (t, width * levels).

        All passages of a text, one after the other; a text without tokens has the one
        that the model starts with.
        """
        cut = self._cut(texts)
        passages = [passage for text in cut for passage in text]
        encoded: list[NDArray[np.float16]] = [np.zeros((0, self.dim), np.float16)] * len(passages)
        first = len(self.around[0])
        for rows in by_length(passages):
            ids, mask = self.padded([passages[row] for row in rows])
            [values] = self.token_runner(ids, mask)
            for row, vectors in zip(rows, values, strict=True):
                count = len(passages[row])
                encoded[row] = vectors[first : first + count] if count else vectors[:1]
                encoded[row] = encoded[row].astype(np.float16)
        lengths = [sum(max(1, len(passage)) for passage in text) for text in cut]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Tokens(
            offsets, np.concatenate(encoded) if encoded else np.zeros((0, self.dim), np.float16)
        )

    def spans(self, text: str) -> NDArray[np.int64]:
        """Return where each token of a text is in it, int64 (t, 2): start and end.

        As many as ``tokens`` gives; of a text without tokens it is the whole.
        """
        [(_, spans)] = self._read([text])
        return np.array(spans or [(0, len(text))], np.int64)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, however long."""
        return [ids for ids, _ in self._read(texts)]

    def padded(self, passages: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of passages with those around them, and where they are: int64 (p, t)."""
        before, after = self.around
        length = max(map(len, passages)) + len(before) + len(after)
        ids = np.zeros((len(passages), length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, passage in enumerate(passages):
            sequence = [*before, *passage, *after]
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        return ids, mask

    def _cut(self, texts: Sequence[str]) -> list[list[list[int]]]:
        return [passages_of(ids, self.longest) for ids in self.token_ids(texts)]

    def _read(self, texts: Sequence[str]) -> list[tuple[list[int], Spans]]:
        # Half a surrogate pair would stop the tokenizer.
        encodable = [text.encode("utf-8", "replace").decode() for text in texts]
        return self.pieces([in_words(text, self.knows) for text in encodable])

    @cached_property
    def runner(self) -> Runner:
        """What maps ids and mask to one (b, width) array a level."""
        return self._built("levels", self.network).runner()

    @cached_property
    def token_runner(self) -> Runner:
        """What maps ids and mask to (b, t, width * levels)."""
        return self._built("tokens", self.token_network).runner()

    def _built(self, outputs: str, network: Callable[[], Any]) -> BuiltNetwork:
        facts = {"weights": self.fingerprint(), outputs: list(self.levels)}
        graph = partial(self._graph, tokens=outputs == "tokens")
        return BuiltNetwork(self.name, facts, graph, network, streams=cores())

    def _graph(self, *, tokens: bool) -> Any:
        return bert_graph(self.name, self.config, self.weights(), self._layers, tokens=tokens)

    def network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → one (b, width) tensor a level.

        Raises as ``weights`` does.
        """
        network, _ = bert_modules()
        return network(self.config, self.weights(), self._layers).eval()

    def token_network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → (b, t, width * levels).

        Raises as ``weights`` does.
        """
        _, network = bert_modules()
        return network(self.config, self.weights(), self._layers).eval()

    @property
    def _layers(self) -> list[int]:
        return [int(name.removeprefix("layer")) for name in self.levels]

    @property
    def _width(self) -> int:
        return int(self.config["hidden_size"])


def passages_of(ids: list[int], longest: int) -> list[list[int]]:
    """Return the ids of a text in parts of nearly equal length, none above ``longest``."""
    parts = max(1, -(-len(ids) // longest))
    ends = [round(part * len(ids) / parts) for part in range(parts + 1)]
    return [ids[start:end] for start, end in pairwise(ends)]


def by_length(passages: Sequence[Sequence[int]]) -> Iterator[NDArray[np.int64]]:
    """Yield rows of passages of like length together, so that little is spent on padding."""
    order = np.argsort([len(p) for p in passages], kind="stable")
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]
