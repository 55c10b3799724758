"""The torch module that reads hidden layers off MiniLM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel
from transformers.utils import logging


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
