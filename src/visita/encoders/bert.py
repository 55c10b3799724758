"""BERT (Devlin et al., 2019): its hidden layers, of tokens or their mean, as graph and in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from visita.encoders import operations as op
from visita.encoders.library.networks import imported
from visita.encoders.openvino import ops, ov
from visita.types import FloatArray

TABLE = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class BertWeights:
    """What was trained, by its names in the BertModel of transformers.

    Attributes
    ----------
    words : callable
        In a graph, maps ids (b, t) to their vectors (b, t, width).
    table : callable
        Returns these vectors, float32 (vocabulary, width).
    rest : mapping
        All weights but the table.
    """

    words: Callable[[op.Node], op.Node]
    table: Callable[[], FloatArray]
    rest: op.Weights


def bert_graph(
    name: str,
    config: Mapping[str, Any],
    weights: BertWeights,
    layers: Sequence[int],
    *,
    tokens: bool,
) -> ov.Model:
    """Return the graph: ids and mask, int64 (b, t) each → ``layers``, of which 0 is the input's.

    Those of ``tokens`` side by side, (b, t, width * layers), or the mean over them, (b, width) a
    layer. ``config`` is as transformers calls it.
    """
    ids, mask = (op.parameter([-1, -1], np.int64) for _ in range(2))
    seen = op.expanded(ops.convert(mask, bool), 1, 2)  # (b, 1, 1, t)
    states = [_embedded(ids, weights, config)]
    for number in range(max(layers)):
        own = op.within(weights.rest, f"encoder.layer.{number}")
        states.append(_block(states[-1], seen, own, config))
    asked = [states[layer] for layer in layers]
    if tokens:
        return op.model([ops.concat(asked, -1)], [ids, mask], name)
    counts = op.expanded(ops.convert(mask, np.float32), 2)  # (b, t, 1)
    total = ops.reduce_sum(counts, op.axes(1), False)
    sums = [ops.reduce_sum(ops.multiply(x, counts), op.axes(1), False) for x in asked]
    return op.model([ops.divide(x, total) for x in sums], [ids, mask], name)


def _embedded(ids: op.Node, weights: BertWeights, config: Mapping[str, Any]) -> op.Node:
    name = "embeddings."
    # Of every token's two kinds, only the first is used.
    kind = weights.rest[f"{name}token_type_embeddings.weight"][0]
    places = op.constant(weights.rest[f"{name}position_embeddings.weight"] + kind)
    first = op.first_rows(places, ids, 1)
    x = ops.add(weights.words(ids), first)
    return op.layer_norm(x, weights.rest, f"{name}LayerNorm", config["layer_norm_eps"])


def _block(x: op.Node, seen: op.Node, weights: op.Weights, config: Mapping[str, Any]) -> op.Node:
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]
    parts = (op.layer(x, weights, f"attention.self.{part}") for part in ("query", "key", "value"))
    query, key, value = (op.heads_apart(part, heads) for part in parts)
    attended = op.attention(query, key, value, seen)
    mixed = op.layer(op.heads_joined(attended), weights, "attention.output.dense")
    x = op.layer_norm(ops.add(mixed, x), weights, "attention.output.LayerNorm", epsilon)
    inner = ops.gelu(op.layer(x, weights, "intermediate.dense"), "erf")
    out = op.layer(inner, weights, "output.dense")
    return op.layer_norm(ops.add(out, x), weights, "output.LayerNorm", epsilon)


@cache
def bert_modules() -> tuple[Any, Any]:
    """Return the classes of torch modules that read hidden layers: of passages, of tokens."""
    import torch  # noqa: PLC0415 - on a GPU only
    from torch import Tensor, nn  # noqa: PLC0415

    library = imported("transformers")

    class TokenNetwork(nn.Module):
        """Run the transformer once and return the asked layers of every token, side by side."""

        def __init__(
            self, config: Mapping[str, Any], weights: BertWeights, layers: Sequence[int]
        ) -> None:
            super().__init__()
            settings = library.BertConfig.from_dict(dict(config), attn_implementation="eager")
            self.model = library.BertModel(settings)
            arrays = {**weights.rest, TABLE: weights.table()}
            state = {name: torch.from_numpy(np.array(x)) for name, x in arrays.items()}
            self.model.load_state_dict(state, strict=False)  # no places are counted
            self.layers = tuple(layers)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            """Map ids and mask, int64 (b, t), to float32 (b, t, width * layers)."""
            return torch.cat(self.hidden(ids, mask), -1)

        def hidden(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
            """Return float32 (b, t, width) a layer."""
            states = self.model(
                input_ids=ids, attention_mask=mask, output_hidden_states=True
            ).hidden_states
            return [states[layer] for layer in self.layers]

    class LevelNetwork(TokenNetwork):
        """Run the transformer once and return the mean over tokens of each asked layer."""

        def forward(self, ids: Tensor, mask: Tensor) -> Any:
            """Map ids and mask, int64 (b, t), to one float32 (b, width) tensor a layer."""
            weights = mask.unsqueeze(-1).to(torch.float32)  # (b, t, 1)
            total = weights.sum(1)
            return tuple((layer * weights).sum(1) / total for layer in self.hidden(ids, mask))

    return LevelNetwork, TokenNetwork
