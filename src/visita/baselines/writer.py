"""Captions written word by word: the beam of a recurrent captioner, without torch.

Vinyals et al. (2015), as ``visita.baselines.captioner`` tells: the most probable few
beginnings are kept, each grown by its most probable next words, until they end.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.encoders.engine import Runner, cores
from visita.encoders.export import cached_runner
from visita.encoders.vocabulary import PADDING, UNKNOWN, Vocabulary
from visita.errors import ConfigError
from visita.matchers.cross_modal import CrossModalReranker

CAPTIONER = "captioner"
END = PADDING
BEAM = 5
LONGEST = 20
"""Words of a caption at most."""


class Writer:
    """Writes captions for pictures that a captioner has packed.

    Raises
    ------
    ConfigError
        If the re-ranker is no captioner.
    """

    def __init__(self, reranker: CrossModalReranker) -> None:
        if reranker.network.get("name") != CAPTIONER or reranker.vocabulary is None:
            raise ConfigError(
                "Only a captioner writes captions: train one with  visita train baseline nic, "
                "or choose captions from texts."
            )
        self._reranker = reranker
        self._vocabulary: Vocabulary = reranker.vocabulary

    def write(self, packed: NDArray[np.float16], k: int) -> list[tuple[str, float]]:
        """Return the k best captions of a packed picture (1, dim), each with its log P a word.

        There may be fewer.
        """
        growing: list[tuple[float, tuple[int, ...]]] = [(0.0, (END,))]
        done: list[tuple[float, tuple[int, ...]]] = []
        for _ in range(LONGEST):
            next_log_p = self._next(packed, np.array([numbers for _, numbers in growing]))
            best = np.argsort(-next_log_p, axis=1)[:, : max(BEAM, k)]
            grown = [
                (log_p + float(next_log_p[row, number]), (*numbers, int(number)))
                for row, (log_p, numbers) in enumerate(growing)
                for number in best[row]
            ]
            beams = sorted(grown, reverse=True)[: max(BEAM, k)]
            done += [beam for beam in beams if beam[1][-1] == END]
            growing = [beam for beam in beams if beam[1][-1] != END]
            if not growing or len(done) >= max(BEAM, k):
                break
        ended = done or growing
        by_word = [(log_p / (len(numbers) - 1), numbers) for log_p, numbers in ended]
        return [(self._text(numbers), log_p) for log_p, numbers in sorted(by_word)[::-1][:k]]

    def _text(self, numbers: tuple[int, ...]) -> str:
        known = [number for number in numbers if number > UNKNOWN]
        return " ".join(self._vocabulary.words[number - UNKNOWN - 1] for number in known)

    def _next(self, packed: NDArray[np.float16], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        images = np.repeat(packed[None].astype(np.float32), len(numbers), axis=0)
        return self._runner(images, numbers)[0]

    @cached_property
    def _runner(self) -> Runner:
        rows, dim = self._reranker.packed_shape
        examples: list[NDArray[Any]] = [
            np.random.default_rng(0).random((2, rows, dim), dtype=np.float32),
            np.arange(6, dtype=np.int64).reshape(2, 3) % len(self._vocabulary),
        ]
        return cached_runner(
            "captioner-next-word",
            {"rescorer": self._reranker.fingerprint(), "part": "NextWord"},
            self._module,
            lambda: examples,
            [(-1, rows, dim), (-1, -1)],
            streams=cores(),
        )

    def _module(self) -> Any:
        from visita.baselines.captioner import NextWord  # noqa: PLC0415 - first export

        return NextWord(self._reranker.torch_network()).eval()
