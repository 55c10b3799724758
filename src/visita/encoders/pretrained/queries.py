"""BLIP-2's Q-Former: learnt queries that read a picture, alone or beside a text."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class QueryMean(nn.Module):
    """From the tokens of pictures to the mean of the unit vectors of all queries."""

    def __init__(self, blip: Any) -> None:
        super().__init__()
        self.query_tokens = blip.query_tokens
        self.qformer = blip.qformer
        self.projection = blip.vision_projection

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (b, n, d) to (b, d)."""
        return self.vectors(tokens).mean(1)

    def vectors(self, tokens: Tensor) -> Tensor:
        """Map (b, n, d) to the unit vector of each query, (b, q, d)."""
        queries = self.query_tokens.expand(tokens.shape[0], -1, -1)
        states = self.qformer(queries, encoder_hidden_states=tokens).last_hidden_state
        return normalize(self.projection(states), dim=-1)


class QueryTexts(nn.Module):
    """From the ids of texts to what the layers of the Q-Former read."""

    def __init__(self, blip: Any) -> None:
        super().__init__()
        self.embeddings = blip.embeddings
        self.norm = blip.qformer.layernorm

    def forward(self, ids: Tensor) -> Tensor:
        """Map int64 (b, t) to (b, t, d)."""
        return self.norm(self.embeddings(ids))  # type: ignore[no-any-return]


class QueryPairHead(nn.Module):
    """Image-text matching: the logit of a match, plus the cosine of text and nearest query."""

    def __init__(self, blip: Any) -> None:
        super().__init__()
        self.queries = QueryMean(blip)
        self.embeddings = blip.embeddings
        self.projection = blip.text_projection
        self.head = blip.itm_head

    def forward(self, pictures: Tensor, ids: Tensor) -> Tensor:
        """Map tokens of pictures (k, n, d) and one text, int64 (1, t), to scores (k, 1)."""
        return self._logit(pictures, ids) + self._cosine(pictures, ids)

    def _logit(self, pictures: Tensor, ids: Tensor) -> Tensor:
        queries = self.queries.query_tokens.expand(pictures.shape[0], -1, -1)
        words = self.embeddings(ids).expand(pictures.shape[0], -1, -1)
        count = queries.shape[1]
        states = self.queries.qformer(
            torch.cat([queries, words], 1), query_length=count, encoder_hidden_states=pictures
        ).last_hidden_state
        return self.head(states[:, :count]).mean(1)[:, 1:]  # type: ignore[no-any-return]

    def _cosine(self, pictures: Tensor, ids: Tensor) -> Tensor:
        read = self.queries.qformer(self.embeddings(ids), query_length=0).last_hidden_state
        text = normalize(self.projection(read[:, 0]), dim=-1)
        return (self.queries.vectors(pictures) @ text.T).amax(1)
