"""The torch modules of pretrained models: layers by number, and the vector that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

VECTOR = "vector"


class PictureTower(nn.Module):
    """A vision transformer whose children are its levels.

    ``layer1`` … are the outputs of its blocks, ``tokens`` all tokens after the last
    normalisation, ``vector`` what is compared with texts.

    Parameters
    ----------
    vision : module
        Of transformers: from (b, 3, side, side) to ``last_hidden_state`` and ``pooler_output``.
    projection : module
        From what is pooled to the vector.
    pooling : str
        What is projected: ``pooler``, which is ``pooler_output``; ``first``, the first token; or
        ``all`` tokens.
    """

    def __init__(self, vision: Any, projection: nn.Module, *, pooling: str = "pooler") -> None:
        super().__init__()
        # Registered here first, as levels are named after where a module is found first.
        for number, layer in enumerate(vision.encoder.layers, 1):
            self.add_module(f"layer{number}", layer)
        self.tokens = nn.Identity()
        self.vector = projection
        self.vision = vision
        self.pooling = pooling

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels, float32 (b, 3, side, side), to vectors (b, d)."""
        outputs = self.vision(pixel_values=pixels)
        tokens = self.tokens(outputs.last_hidden_state)
        pooled = {"pooler": outputs.pooler_output, "first": tokens[:, 0], "all": tokens}
        return self.vector(pooled[self.pooling])  # type: ignore[no-any-return]


class MapTower(nn.Module):
    """ALIGN's EfficientNet, with the levels of a ``PictureTower``; its tokens are a map's cells."""

    def __init__(self, vision: Any, projection: nn.Module) -> None:
        super().__init__()
        for number, block in enumerate(vision.encoder.blocks, 1):
            self.add_module(f"layer{number}", block)
        self.tokens = nn.Identity()
        self.vector = projection
        self.vision = vision
        self.pool = torch.amax if vision.config.pooling_type == "max" else torch.mean

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels, float32 (b, 3, side, side), to vectors (b, d)."""
        states = self.vision.encoder(self.vision.embeddings(pixels)).last_hidden_state
        return self.vector(self.pool(self.tokens(states), dim=(2, 3)))  # type: ignore[no-any-return]


class DualText(nn.Module):
    """The text tower of CLIP and its kin.

    ``first`` tells whether the first token is projected, and not what the tower pools; ``masked``
    whether padding is kept from being read, which SigLIP was trained to read.
    """

    def __init__(self, text: Any, projection: nn.Module, *, first: bool, masked: bool) -> None:
        super().__init__()
        self.text = text
        self.projection = projection
        self.first = first
        self.masked = masked

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Map ids and mask, int64 (b, t), to the states of each layer (b, t, d) and vectors."""
        outputs = self.text(
            input_ids=ids, attention_mask=mask if self.masked else None, output_hidden_states=True
        )
        pooled = outputs.last_hidden_state[:, 0] if self.first else outputs.pooler_output
        return outputs.hidden_states[1:], self.projection(pooled)


class BertText(nn.Module):
    """The layers of BLIP's or ALBEF's BERT that read a text without a picture."""

    def __init__(self, embeddings: nn.Module, layers: Any, projection: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.layers = layers
        self.projection = projection

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Map ids and mask, int64 (b, t), to the states of each layer (b, t, d) and vectors."""
        states = self.embeddings(ids)
        hidden = (mask[:, None, None] == 0) * torch.finfo(states.dtype).min
        layer_states = []
        for layer in self.layers:
            states = layer(states, attention_mask=hidden)
            layer_states.append(states)
        return layer_states, self.projection(states[:, 0])


class SentenceText(nn.Module):
    """A transformer of sentence-transformers: its tokens pooled, then ``head``.

    ``pooling`` is ``mean``, over the tokens that are read, or ``cls``, the first one.
    """

    def __init__(self, transformer: Any, pooling: str, head: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling
        self.head = head

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Map ids and mask, int64 (b, t), to the states of each layer (b, t, d) and vectors."""
        outputs = self.transformer(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        tokens = outputs.last_hidden_state
        pooled = tokens[:, 0] if self.pooling == "cls" else _mean(tokens, mask)
        return outputs.hidden_states[1:], self.head(pooled)


class Unit(nn.Module):
    """Scales vectors to unit length."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (b, d) to (b, d)."""
        return nn.functional.normalize(vectors)


class TextTokens(nn.Module):
    """The asked layers of every token of a text tower, side by side."""

    def __init__(self, tower: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.tower = tower
        self.layers = tuple(layers)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Map ids and mask, int64 (b, t), to float32 (b, t, d * layers)."""
        states, _ = self.tower(ids, mask)
        return torch.cat([states[_index(layer)] for layer in self.layers], -1)


class TextLevels(nn.Module):
    """The asked levels of a text tower: ``layer1`` … as means over tokens, ``vector``."""

    def __init__(self, tower: nn.Module, levels: Sequence[str]) -> None:
        super().__init__()
        self.tower = tower
        self.levels = tuple(levels)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Map ids and mask, int64 (b, t), to one float32 (b, d) tensor a level."""
        states, vector = self.tower(ids, mask)
        return tuple(
            vector if level == VECTOR else _mean(states[_index(level)], mask)
            for level in self.levels
        )


class PairHead(nn.Module):
    """Image-text matching: the text is read with the picture's tokens at hand.

    Parameters
    ----------
    bert : module
        ``BlipTextModel``; its layers from ``alone`` on attend to the picture.
    head : module
        From the first token to the two logits, of no match and of a match.
    alone : int
        Layers that read the text alone: none in BLIP, six in ALBEF.
    """

    def __init__(self, bert: Any, head: nn.Module, alone: int) -> None:
        super().__init__()
        self.embeddings = bert.embeddings
        self.alone = bert.encoder.layer[:alone]
        self.fused = bert.encoder.layer[alone:]
        self.head = head

    def forward(self, pictures: Tensor, ids: Tensor) -> Tensor:
        """Map tokens of pictures (k, n, d) and one text, int64 (1, t), to logits (k, 1)."""
        states = self.embeddings(ids)
        for layer in self.alone:
            states = layer(states)
        states = states.expand(pictures.shape[0], -1, -1)
        for layer in self.fused:
            states = layer(states, encoder_hidden_states=pictures)
        return self.head(states[:, 0])[:, 1:]  # type: ignore[no-any-return]


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the tokens that are read: (b, t, d) and (b, t) → (b, d)."""
    weights = mask.unsqueeze(-1).to(torch.float32)  # (b, t, 1)
    return (states * weights).sum(1) / weights.sum(1)


def _index(level: str) -> int:
    return int(level.removeprefix("layer")) - 1
