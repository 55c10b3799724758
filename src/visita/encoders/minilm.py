"""all-MiniLM-L6-v2 (Reimers & Gurevych, 2019): six layers, 384 wide, English.

``layer6`` scaled to unit length is the sentence vector of sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import ClassVar

from tokenizers import Tokenizer

from visita.artifact import fingerprint_of
from visita.encoders import operations as op
from visita.encoders.bert import TABLE, BertWeights
from visita.encoders.bert_text import BertText, Spans
from visita.encoders.weights import SCALE, restored, shipped, shipped_file

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WIDTH = 384
WORDS = "minilm-l6-tokenizer.json"
CLS, SEP = 101, 102


class MiniLM(BertText):
    """The encoder as a ``TextEncoder``; its weights ship."""

    name = "minilm-l6"
    languages = ("en",)
    licence = "Apache-2.0"
    package = None
    longest = 254  # what the model was trained to read
    config: ClassVar = {
        "vocab_size": 30522,
        "hidden_size": WIDTH,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 4 * WIDTH,
        "layer_norm_eps": 1e-12,
    }
    around = ([CLS], [SEP])

    def fingerprint(self) -> str:
        """Return a hash over the original weights, vocabulary and the way texts are cut."""
        return fingerprint_of([self.name, SHA256, self.longest])

    def weights(self) -> BertWeights:
        """Return what was trained; for what is raised see ``BertText``."""
        kept = shipped(self.name)
        table = {name: kept.pop(name) for name in (TABLE, TABLE + SCALE)}
        words = partial(op.embedded, steps=table[TABLE], scale=table[TABLE + SCALE])
        return BertWeights(words, lambda: restored(table)[TABLE], restored(kept))

    def knows(self, symbol: str) -> bool:
        """Tell whether the vocabulary has a symbol."""
        return self._tokenizer.token_to_id(symbol) is not None

    def pieces(self, texts: Sequence[str]) -> list[tuple[list[int], Spans]]:
        """Return the ids of each text's word pieces, and where each is in it."""
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encoded]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(shipped_file(WORDS)))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
