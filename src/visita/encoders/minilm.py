"""all-MiniLM-L6-v2 (Reimers & Gurevych, 2019): six layers, 384 wide, English.

Its levels are ``layer1`` … ``layer6``, each the mean over a passage's tokens.
``layer6`` scaled to unit length is the sentence vector of sentence-transformers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from visita.arguments import check_levels
from visita.artifact import fingerprint_of
from visita.encoders import operations as op
from visita.encoders.engine import BuiltNetwork, Runner, cores
from visita.encoders.openvino import ops, ov
from visita.encoders.weights import SCALE, restored, shipped, shipped_file
from visita.types import TextFeatures, Tokens

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 254
"""Word pieces a passage, [CLS] and [SEP] not counted: what the model was trained to read."""
LEVELS = tuple(f"layer{n}" for n in range(1, 7))
WIDTH, HEADS, EPSILON = 384, 12, 1e-12
CONFIG = {
    "vocab_size": 30522,
    "hidden_size": WIDTH,
    "num_hidden_layers": len(LEVELS),
    "num_attention_heads": HEADS,
    "intermediate_size": 4 * WIDTH,
    "layer_norm_eps": EPSILON,
}
WORDS = "minilm-l6-tokenizer.json"
TABLE = "embeddings.word_embeddings.weight"
CLS, SEP = 101, 102
BATCH = 32


class MiniLM:
    """The encoder as a ``TextEncoder``; it needs no torch but on a GPU."""

    name = "minilm-l6"
    languages = ("en",)
    licence = "Apache-2.0"
    package = None

    def __init__(self, levels: Sequence[str] = LEVELS) -> None:
        check_levels(self.name, levels, LEVELS)
        self.levels = tuple(levels)
        self.dim = WIDTH * len(self.levels)

    def fingerprint(self) -> str:
        """Return a hash over the original weights, vocabulary and the way texts are cut."""
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
        tokenizer = Tokenizer.from_file(str(shipped_file(WORDS)))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _runner(self) -> Runner:
        return self._built("levels", self.network).runner()

    @cached_property
    def _token_runner(self) -> Runner:
        return self._built("tokens", self.token_network).runner()

    def _built(self, outputs: str, network: Callable[[], Any]) -> BuiltNetwork:
        facts = {"weights": self.fingerprint(), outputs: list(self.levels)}
        graph = partial(_graph, self._layers(), tokens=outputs == "tokens")
        return BuiltNetwork(self.name, facts, graph, network, streams=cores())

    def network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → one (b, 384) tensor a level.

        Raises
        ------
        MismatchError
            If the weights in the package are not the ones this file was written for.
        """
        network, _ = _networks()
        return network(self._layers()).eval()

    def token_network(self) -> Any:
        """Return a torch module: ids and mask, int64 (b, t) each → (b, t, 384 * levels).

        Raises
        ------
        MismatchError
            If the weights in the package are not the ones this file was written for.
        """
        _, network = _networks()
        return network(self._layers()).eval()

    def _layers(self) -> list[int]:
        return [int(name[-1]) for name in self.levels]


def _graph(layers: Sequence[int], *, tokens: bool) -> ov.Model:
    """Return BERT (Devlin et al., 2019) as a graph: ids and mask, int64 (b, t) each → layers.

    Those of ``tokens`` side by side, (b, t, 384 * layers), or the mean over them, (b, 384) a layer.
    """
    kept = shipped(MiniLM.name)
    table = kept.pop(TABLE), kept.pop(TABLE + SCALE)
    weights = restored(kept)
    ids, mask = (op.parameter([-1, -1], np.int64) for _ in range(2))
    seen = op.expanded(ops.convert(mask, bool), 1, 2)  # (b, 1, 1, t)
    states = [_embedded(ids, table, weights)]
    for number in range(max(layers)):
        states.append(_block(states[-1], seen, op.within(weights, f"encoder.layer.{number}")))
    asked = [states[layer] for layer in layers]
    if tokens:
        return op.model([ops.concat(asked, -1)], [ids, mask], MiniLM.name)
    counts = op.expanded(ops.convert(mask, np.float32), 2)  # (b, t, 1)
    total = ops.reduce_sum(counts, op.axes(1), False)
    sums = [ops.reduce_sum(ops.multiply(x, counts), op.axes(1), False) for x in asked]
    return op.model([ops.divide(x, total) for x in sums], [ids, mask], MiniLM.name)


def _embedded(ids: op.Node, table: tuple[NDArray[Any], ...], weights: op.Weights) -> op.Node:
    name = "embeddings."
    words = op.embedded(ids, *table)
    # Of every token's two kinds, only the first is used.
    kind = weights[f"{name}token_type_embeddings.weight"][0]
    places = op.constant(weights[f"{name}position_embeddings.weight"] + kind)
    first = op.first_rows(places, ids, 1)
    return op.layer_norm(ops.add(words, first), weights, f"{name}LayerNorm", EPSILON)


def _block(x: op.Node, seen: op.Node, weights: op.Weights) -> op.Node:
    parts = (op.layer(x, weights, f"attention.self.{part}") for part in ("query", "key", "value"))
    query, key, value = (op.heads_apart(part, HEADS) for part in parts)
    attended = op.attention(query, key, value, seen)
    mixed = op.layer(op.heads_joined(attended), weights, "attention.output.dense")
    x = op.layer_norm(ops.add(mixed, x), weights, "attention.output.LayerNorm", EPSILON)
    inner = ops.gelu(op.layer(x, weights, "intermediate.dense"), "erf")
    out = op.layer(inner, weights, "output.dense")
    return op.layer_norm(ops.add(out, x), weights, "output.LayerNorm", EPSILON)


@cache
def _networks() -> tuple[Any, Any]:
    """Return the classes of torch modules that read hidden layers: of passages, of tokens."""
    import torch  # noqa: PLC0415 - on a GPU only
    from torch import Tensor, nn  # noqa: PLC0415
    from transformers import BertConfig, BertModel  # noqa: PLC0415

    class TokenNetwork(nn.Module):
        """Run the transformer once and return the asked layers of every token, side by side."""

        def __init__(self, layers: Sequence[int]) -> None:
            super().__init__()
            config = BertConfig.from_dict(CONFIG, attn_implementation="eager")
            self.model = BertModel(config)
            weights = {
                name: torch.from_numpy(x) for name, x in restored(shipped(MiniLM.name)).items()
            }
            self.model.load_state_dict(weights, strict=False)  # no places are counted
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
