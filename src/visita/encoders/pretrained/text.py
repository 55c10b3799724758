"""The text tower of a pretrained model as a ``TextEncoder``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visita.arguments import check_levels
from visita.artifact import fingerprint_of
from visita.encoders.bert_text import by_length
from visita.encoders.engine import Runner, cores
from visita.encoders.export import CachedNetwork
from visita.encoders.library.hub import CARD
from visita.encoders.library.networks import described, kept_facts
from visita.encoders.post_training import Batch
from visita.encoders.pretrained import sentences
from visita.encoders.pretrained.model import Model
from visita.encoders.pretrained.tokens import Reading
from visita.errors import ConfigError
from visita.types import FloatArray, TextFeatures, Tokens

if TYPE_CHECKING:  # a family makes its text encoders
    from visita.encoders.pretrained.family import Family

VECTOR = "vector"
TOGETHER = 4
"""Sentences that are read at once to measure and to judge, as few as people ask for."""
READ_ALONG = 4
"""Sentences that are read with pictures to quantise a head by, each with all of them."""


class PretrainedText:
    """One checkpoint's text tower: ``vector``, which is what pictures are compared with, and
    ``layer1`` …, each the mean over a passage's tokens. Of layers alone it is a ``TokenEncoder``.

    ``model`` is a repository on the hub, a folder, or a file. Its methods raise
    MissingExtraError without transformers; ArtifactError if the files cannot be found or
    fetched; UnknownNameError if a level does not exist; ConfigError if the files hold no such
    model, or levels of different widths are asked for together.
    """

    def __init__(self, family: Family, model: str, levels: Sequence[str] = (VECTOR,)) -> None:
        self.name = f"{family.name}:{model}"
        self.levels = tuple(levels)
        self._family = family
        self._model = model

    @cached_property
    def dim(self) -> int:
        """Width of all levels together."""
        return self._width * len(self.levels)

    @cached_property
    def _width(self) -> int:
        _, width = self._facts["layers"]
        widths = dict.fromkeys(self.layers, width) | {VECTOR: self._facts["width"]}
        check_levels(self.name, self.levels, widths)
        if len({widths[level] for level in self.levels}) > 1:
            raise ConfigError(
                f"{VECTOR} of {self.name} is {widths[VECTOR]} wide and its layers {width}: text "
                "levels must be of one width, so take either."
            )
        return int(widths[self.levels[0]])

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers, first to last."""
        depth, _ = self._facts["layers"]
        return tuple(f"layer{number}" for number in range(1, depth + 1))

    @property
    def threshold(self) -> float | None:
        """Cosine at which the model itself takes a pair for a match."""
        threshold: float | None = self._facts["threshold"]
        return threshold

    @property
    def languages(self) -> tuple[str, ...] | None:
        """Codes of the languages it was trained on; None where any, or where nobody says."""
        languages = self._facts["languages"]
        return None if languages is None else tuple(languages)

    def fingerprint(self) -> str:
        """Return a hash over all files, those for pictures too, and how texts are read."""
        read = {key: value for key, value in self._facts["reading"].items() if key != "file"}
        return fingerprint_of([self._family.name, self._facts["digests"], read, self._width])

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return the levels side by side, float32 (p, dim), for every passage.

        A text longer than the model reads becomes several passages of nearly equal length.
        """
        cut = self.reading.passages(texts)
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in cut])]).astype(np.int64)
        passages = [passage for text in cut for passage in text]
        vectors = np.empty((len(passages), self.dim), np.float32)
        for rows in by_length(passages):
            ids, mask = self.reading.padded([passages[row] for row in rows])
            vectors[rows] = np.concatenate(self._runner(ids, mask), axis=1)
        return TextFeatures(offsets, vectors)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the layers of every token side by side, float16 (t, dim).

        All passages of a text, one after the other, without the special ids around each; a
        passage of nothing else has the first of them, or of the padding.

        Raises
        ------
        ConfigError
            If ``vector`` is among the levels, which no token has.
        """
        if VECTOR in self.levels:
            raise ConfigError(
                f"No token of {self.name} has a {VECTOR}: use layers, such as {self.layers[-1]}."
            )
        cut = self.reading.passages(texts)
        passages = [passage for text in cut for passage in text]
        per_passage = [np.zeros((0, self.dim), np.float16)] * len(passages)
        for rows in by_length(passages):
            ids, mask = self.reading.padded([passages[row] for row in rows])
            [values] = self._token_runner(ids, mask)
            for row, states, read in zip(rows, values, mask.astype(bool), strict=True):
                per_passage[row] = self._inner(states, read).astype(np.float16)
        ends = np.cumsum([0, *map(len, per_passage)], dtype=np.int64)
        offsets = ends[np.cumsum([0, *map(len, cut)])]
        return Tokens(offsets, np.concatenate([np.zeros((0, self.dim), np.float16), *per_passage]))

    def spans(self, text: str) -> NDArray[np.int64]:
        """Return where each token of a text is in it, int64 (t, 2): start and end.

        As many as ``tokens`` gives; of a text of special ids alone it is the whole.
        """
        spans = self.reading.spans(text)
        return spans if len(spans) else np.array([(0, len(text))], np.int64)

    def _inner(self, states: FloatArray, read: NDArray[np.bool_]) -> FloatArray:
        own = states[read]
        inner = own[len(self.reading.before) : len(own) - len(self.reading.after)]
        # Where there are no special ids, an empty text is padding alone.
        return inner if len(inner) else (own if len(own) else states)[:1]

    @cached_property
    def reading(self) -> Reading:
        """How texts become ids."""
        facts: dict[str, Any] = self._facts["reading"]
        around = {name: tuple(facts[name]) for name in ("before", "after")}
        return Reading(**{**facts, **around})

    def network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → one (b, d) tensor a level."""
        from visita.encoders.pretrained.towers import TextLevels  # noqa: PLC0415 - needs torch

        return TextLevels(self._read().texts, self.levels).eval()

    def token_network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → (b, t, dim)."""
        from visita.encoders.pretrained.towers import TextTokens  # noqa: PLC0415 - needs torch

        return TextTokens(self._read().texts, self.levels).eval()

    def head(self) -> Any:
        """Return a torch module: tokens of pictures (k, n, d) and ids (1, t) → logits (k, 1)."""
        return self._read().pairs.eval()

    def head_runner(
        self, tokens: tuple[int, int], photographs: Callable[[], Sequence[FloatArray]] | None
    ) -> Runner:
        """Return what runs the head, for pictures of (n, d) tokens.

        ``photographs`` returns the tokens of some, (k, n, d), to quantise the head by, and of
        others to judge it on.
        """
        picture = np.random.default_rng(0).random((2, *tokens), dtype=np.float32)
        shapes = [(-1, *tokens), (1, -1)]
        example = [picture, self._examples()[0][:1]]
        network = self._cached("pairs", self.head, lambda: example, shapes, half=True)
        if photographs:
            network = replace(network, samples=partial(self._pairs, photographs))
        return network.runner()

    def _pairs(
        self, photographs: Callable[[], Sequence[FloatArray]]
    ) -> tuple[list[Batch], list[Batch]]:
        seen, held_out = photographs()
        return self._beside(seen, sentences.SEEN), self._beside(held_out, sentences.HELD_OUT)

    def _beside(self, pictures: FloatArray, texts: Sequence[str]) -> list[Batch]:
        read = [passages[0] for passages in self.reading.passages(texts[:READ_ALONG])]
        return [[pictures, np.array([self.reading.beside_a_picture(ids)])] for ids in read]

    def precision(self) -> str:
        """Return what ``encode`` computes in here, as ``CachedNetwork.precision`` does."""
        return self._network.precision()

    @cached_property
    def _runner(self) -> Runner:
        return self._network.runner()

    @cached_property
    def _token_runner(self) -> Runner:
        return self._cached("tokens", self.token_network, self._examples, self._shapes).runner()

    @cached_property
    def _network(self) -> CachedNetwork:
        network = self._cached("texts", self.network, self._examples, self._shapes)
        return replace(network, samples=self._samples)

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        length = self.reading.longest if self.reading.fixed else -1
        return [(-1, length), (-1, length)]

    def _cached(
        self,
        what: str,
        network: Callable[[], Any],
        examples: Callable[[], list[NDArray[Any]]],
        shapes: Sequence[tuple[int, ...]],
        *,
        half: bool = False,
    ) -> CachedNetwork:
        facts = {"weights": self.fingerprint(), "levels": list(self.levels), "what": what}
        name = f"{self.name}-{what}"
        return CachedNetwork(
            name, facts, network, examples, shapes, streams=cores(), half=half, halved=True
        )

    def _samples(self) -> tuple[list[Batch], list[Batch]]:
        return self._batches(sentences.SEEN), self._batches(sentences.HELD_OUT)

    def _batches(self, texts: Sequence[str]) -> list[Batch]:
        ids = [passages[0] for passages in self.reading.passages(texts)]
        return [self.reading.padded(ids[at : at + TOGETHER]) for at in range(0, len(ids), TOGETHER)]

    def _examples(self) -> list[NDArray[Any]]:
        texts = ["two dogs run on a beach", "a red boat", "snow"]
        return list(self.reading.padded([passages[0] for passages in self.reading.passages(texts)]))

    @cached_property
    def _facts(self) -> dict[str, Any]:
        place = self._family.library.facts_file(self._model, "texts")
        return kept_facts(place, lambda: self._work_out(place))

    def _work_out(self, place: Path) -> dict[str, Any]:
        files = self._family.fetch(self._model)
        place.parent.mkdir(parents=True, exist_ok=True)
        model = self._family.read(self._model, files)
        reading = self._family.reading(self._model, files, place.with_suffix(".tokenizer"))
        facts = described(files)
        tokenizer = described([Path(reading.file)])
        return {
            "encoder": self.name,
            "files": {**facts, **tokenizer},
            "digests": sorted(
                file_facts["sha256"]
                for file, file_facts in facts.items()
                if Path(file).name != CARD
            ),
            "layers": model.layers,
            "width": model.width,
            "threshold": model.threshold,
            "languages": self._family.spoken(self._model, files),
            "reading": asdict(reading),
        }

    def _read(self) -> Model:
        files = self._family.fetch(self._model)
        return self._family.read(self._model, files)
