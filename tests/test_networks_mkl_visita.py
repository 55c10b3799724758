"""MKL-VisITA's network: attention, kernels and text sides against loops from their equations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from forging import forge
from sklearn.metrics.pairwise import (
    euclidean_distances,
    linear_kernel,
    polynomial_kernel,
    rbf_kernel,
)
from torch import Tensor, nn

from visita.encoders.engine import Graph
from visita.encoders.minilm import MiniLM
from visita.encoders.vocabulary import Vocabulary
from visita.errors import ConfigError, MismatchError
from visita.matchers.cross_modal import CrossModalReranker, reranker_of
from visita.matchers.whole import WholeMatcher
from visita.networks.cross_modal import (
    LEVELS,
    MklVisita,
    PairScores,
    Parts,
    PictureParts,
    TextParts,
    answered,
    parts,
)
from visita.networks.cross_modal_graph import PARTS
from visita.networks.kernel_functions import FAMILIES, kernel, parse
from visita.networks.kernels import TORCH, KernelLayer
from visita.networks.losses import match_error
from visita.networks.transformer import Block, RecurrentWords
from visita.types import FloatArray, Recipe

pytestmark = pytest.mark.slow

CELLS, FEATURES, WIDTH, DIM = 9, 7, 16, 8
KERNELS = ("linear", "polynomial:3", "rbf:2", "laplacian:1")
WORDS = Vocabulary(("a", "red", "circle", "blue", "square", "on", "black"), longest=12)
SIDES: Mapping[str, dict[str, Any]] = {
    "pretrained": {"side": "pretrained", "features": 5},
    "recurrent": {"side": "recurrent", "vocabulary": len(WORDS)},
    "transformer": {
        "side": "transformer",
        "vocabulary": len(WORDS),
        "longest": WORDS.longest,
        "heads": 2,
        "depth": 2,
    },
}
RECIPE = Recipe({"efficientnet-lite0": ("block15:5x5",)})
COLUMN = "efficientnet-lite0/block15:5x5"


def network(side: str = "pretrained", *, seed: int = 0, **changes: Any) -> MklVisita:
    """Return a network whose every weight is drawn, those that begin at zero too."""
    torch.manual_seed(seed)
    settings = {
        "cells": CELLS,
        "grid_features": FEATURES,
        "text": SIDES[side],
        "width": WIDTH,
        "dim": DIM,
        "heads": 2,
        "depth": 1,
        "levels": LEVELS,
        "kernels": KERNELS,
        **changes,
    }
    made = MklVisita(**settings)
    for name, tensor in made.named_parameters():
        if tensor.ndim and name != "log_sharpness":
            nn.init.normal_(tensor, std=0.3)
    return made.eval()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens_of(side: str, count: int, length: int, seed: int = 0) -> Tensor:
    if side == "pretrained":
        return drawn(count, length, 5, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, len(WORDS), (count, length), generator=generator)


def some_parts(count: int, sizes: list[int], seed: int) -> Parts:
    """Return parts of items of different sizes, those that are not there zero."""
    mask = torch.arange(max(sizes))[None] < torch.tensor(sizes)[:, None]
    vectors = drawn(count, max(sizes), DIM, seed=seed)
    return parts(vectors, drawn(count, max(sizes), seed=seed + 1), mask)


def naive_answer(part: np.ndarray, asked: np.ndarray, sharpness: float) -> float:
    """Return c_q of one part q that asks the rows of ``asked``."""
    weights = [math.exp(sharpness * float(part @ one)) for one in asked]
    found = sum(w / sum(weights) * one for w, one in zip(weights, asked, strict=True))
    return float(part @ found / np.linalg.norm(found))


def naive_kernel(name: str, c: float) -> float:
    family, _, number = name.partition(":")
    gamma = float(number or 1)
    return {
        "linear": lambda: c,
        "polynomial": lambda: 2 * ((1 + c) / 2) ** gamma - 1,
        "rbf": lambda: between(math.exp(-gamma * (2 - 2 * c)), math.exp(-4 * gamma), 1),
        "laplacian": lambda: between(
            math.exp(-gamma * math.sqrt(max(2 - 2 * c, 1e-4))),
            *(math.exp(-2 * gamma), math.exp(-0.01 * gamma)),
        ),
    }[family]()


def between(value: float, lowest: float, highest: float) -> float:
    """Return -1 for the lowest and 1 for the highest, and what lies between in proportion."""
    return 1 - 2 * (highest - value) / (highest - lowest)


def test_parts_are_unit_vectors_whose_shares_sum_to_one():
    found = some_parts(3, [4, 1, 2], seed=0)
    lengths = found.vectors.norm(dim=-1)
    there = torch.arange(4)[None] < torch.tensor([4, 1, 2])[:, None]
    assert torch.allclose(lengths, there.float())
    assert torch.allclose(found.shares.sum(1), torch.ones(3))
    assert (found.shares[~there] == 0).all() and (found.shares[there] > 0).all()


def test_attention_is_its_equation():
    asking, asked = some_parts(3, [4, 1, 2], seed=0), some_parts(2, [3, 5], seed=7)
    found = answered(asking, asked, torch.tensor(9.0))
    assert found.shape == (2, 3, 4)
    for a, own in enumerate((4, 1, 2)):
        for b, theirs in enumerate((3, 5)):
            for p in range(own):
                expected = naive_answer(
                    asking.vectors[a, p].double().numpy(),
                    asked.vectors[b, :theirs].double().numpy(),
                    9.0,
                )
                assert found[b, a, p].item() == pytest.approx(expected, abs=1e-5)


def test_sharp_attention_finds_the_nearest_part():
    asking, asked = some_parts(2, [3, 3], seed=0), some_parts(2, [4, 4], seed=3)
    nearest = torch.einsum("ape,bqe->bapq", asking.vectors, asked.vectors).amax(-1)
    assert torch.allclose(answered(asking, asked, torch.tensor(1e4)), nearest, atol=1e-4)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_those_of_unit_vectors(name):
    rng = np.random.default_rng(0)
    a, b = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in rng.normal(size=(2, 20, 6)))
    family, parameter = parse(name)
    found = FAMILIES[family](torch.from_numpy(a @ b.T), parameter, TORCH).numpy()
    expected = {
        "linear": lambda: linear_kernel(a, b),
        "polynomial": lambda: polynomial_kernel(a, b, degree=parameter, gamma=0.5, coef0=0.5),
        "rbf": lambda: rbf_kernel(a, b, gamma=parameter),
        # scikit-learn's Laplacian has the L1 distance.
        "laplacian": lambda: np.exp(-parameter * euclidean_distances(a, b)),
    }[family]()
    assert np.allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_rise_over_the_range_of_the_cosine(name):
    found = kernel(name, TORCH)(torch.linspace(-1, 1, 50))
    assert found[[0, -1]].tolist() == pytest.approx([-1, 1], abs=1e-6)
    assert (found.diff() > 0).all()


def test_the_laplacian_has_a_slope_at_no_distance():
    cosine = torch.ones(3, requires_grad=True)
    kernel("laplacian:2", TORCH)(cosine).sum().backward()
    assert torch.isfinite(cosine.grad).all()


@pytest.mark.parametrize("name", ["cubic", "rbf:0", "rbf:-1", "rbf:x", "rbf:nan", ""])
def test_what_is_no_kernel_is_refused(name):
    with pytest.raises(ConfigError, match="is no kernel: write a family of linear, polynomial"):
        parse(name)


def test_kernel_weights_stay_on_the_simplex():
    layer = KernelLayer(LEVELS, KERNELS)
    assert torch.allclose(layer.weights(), torch.full((4, 4), 1 / 16))
    for seed in range(5):
        (slope,) = torch.autograd.grad(
            (layer.weights() * drawn(4, 4, seed=seed)).sum(), layer.logits
        )
        layer.logits.data -= 50 * slope
        weights = layer.weights()
        assert (weights >= 0).all() and weights.sum().item() == pytest.approx(1)
    assert weights.max() > 2 * weights.mean()


@pytest.mark.parametrize("kernels", [KERNELS, *((one,) for one in KERNELS)], ids="+".join)
@pytest.mark.parametrize("side", SIDES)
def test_strangers_match_as_likely_as_not_before_training(kernels, side):
    made = network(side, dim=64, kernels=kernels)
    assert made.probability(made.kernels.unrelated()).item() == pytest.approx(0.5, abs=0.1)
    images = made.image(drawn(8, CELLS, FEATURES))
    texts = made.text(tokens_of(side, 8, 6), torch.ones(8, 6, dtype=torch.bool))
    probabilities = made.probability(made.score(images, texts))
    assert probabilities.min() > 0.1 and probabilities.max() < 0.9


def test_the_kernel_layer_is_its_sum():
    layer = KernelLayer(("words", "whole"), KERNELS)
    nn.init.normal_(layer.logits)
    cosines = torch.tanh(drawn(2, 3, 4))
    shares = torch.softmax(drawn(2, 1, 4, seed=1), -1)
    for level in (0, 1):
        found = layer(level, cosines, shares)
        for a in range(2):
            for b in range(3):
                total = sum(
                    layer.weights()[level, k].item()
                    * shares[a, 0, q].item()
                    * naive_kernel(name, cosines[a, b, q].item())
                    for k, name in enumerate(KERNELS)
                    for q in range(4)
                )
                assert found[a, b].item() == pytest.approx(total, abs=1e-5)


def test_scores_are_the_sum_over_levels_kernels_and_parts():
    made = network()
    mask = torch.arange(6)[None] < torch.tensor([6, 2, 4])[:, None]
    with torch.inference_mode():
        images = made.image(drawn(2, CELLS, FEATURES))
        texts = made.text(tokens_of("pretrained", 3, 6), mask)
        found = made.score(images, texts)
        weights, sharpness = made.kernels.weights(), made.log_sharpness.exp().item()
    assert images.shape == (2, 1 + CELLS, DIM + 1) and texts.shape == (3, 7, 2 * (DIM + 1))
    for i, image in enumerate(images.double().numpy()):
        for j, text in enumerate(texts.double().numpy()):
            words, phrases = np.split(text[: 1 + int(mask[j].sum())], 2, axis=1)
            cells = image[1:]
            asks = {
                "words": (words[1:], cells),
                "phrases": (phrases[1:], cells),
                "cells": (cells, words[1:]),
            }
            total = 0.0
            for place, level in enumerate(LEVELS):
                if level == "whole":
                    answers = [(1.0, float(image[0, :-1] @ words[0, :-1]))]
                else:
                    asking, asked = asks[level]
                    answers = [
                        (q[-1], naive_answer(q[:-1], asked[:, :-1], sharpness)) for q in asking
                    ]
                for k, name in enumerate(KERNELS):
                    for share, cosine in answers:
                        total += weights[place, k].item() * share * naive_kernel(name, cosine)
            assert found[i, j].item() == pytest.approx(total, abs=1e-5)


def test_pairs_score_what_all_with_all_do():
    made = network()
    with torch.inference_mode():
        images = made.image(drawn(4, CELLS, FEATURES))
        texts = made.text(tokens_of("pretrained", 4, 5), torch.ones(4, 5, dtype=torch.bool))
        every = made.score(images, texts)
    pairs = made.score_pairs(images.clone(), texts.clone())
    assert torch.allclose(pairs, every.diagonal(), atol=1e-6)
    pairs.sum().backward()
    assert made.kernels.logits.grad.abs().sum() > 0


@pytest.mark.parametrize("side", SIDES)
def test_padding_changes_nothing(side):
    made = network(side)
    whole = tokens_of(side, 3, 9)
    lengths = torch.tensor([9, 1, 4])
    mask = torch.arange(9)[None] < lengths[:, None]
    other = torch.where(mask[..., None] if whole.ndim > 2 else mask, whole, 1 + 0 * whole)
    with torch.inference_mode():
        images = made.image(drawn(2, CELLS, FEATURES))
        scores = made.score(images, made.text(whole, mask))
        assert torch.allclose(scores, made.score(images, made.text(other, mask)), atol=1e-6)
        for row, length in enumerate(lengths.tolist()):
            alone = made.text(whole[row : row + 1, :length], mask[row : row + 1, :length])
            assert torch.allclose(made.score(images, alone)[:, 0], scores[:, row], atol=1e-5)
    assert (scores.std(1) > 1e-4).all()


def test_the_recurrent_side_reads_from_both_ends():
    torch.manual_seed(0)
    words = RecurrentWords(len(WORDS), WIDTH).eval()
    tokens, lengths = tokens_of("recurrent", 3, 7), [7, 3, 1]
    mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
    with torch.inference_mode():
        found = words(tokens, mask)
        for row, length in enumerate(lengths):
            x = words.embed(tokens[row, :length])
            ahead, back, state = [], [], torch.zeros(1, WIDTH)
            for step in range(length):
                _, state = words.forwards(x[step : step + 1], state)
                ahead.append(state[0])
            state = torch.zeros(1, WIDTH)
            for step in reversed(range(length)):
                _, state = words.backwards(x[step : step + 1], state)
                back.insert(0, state[0])
            expected = (torch.stack(ahead) + torch.stack(back)) / 2
            assert torch.allclose(found[row, :length], expected, atol=1e-6)
            assert (found[row, length:] == 0).all()


def test_a_transformer_block_is_torchs_own():
    torch.manual_seed(0)
    block = Block(WIDTH, 4, 0.0).eval()
    for tensor in block.parameters():
        nn.init.normal_(tensor, std=0.3)
    theirs = nn.TransformerEncoderLayer(
        *(WIDTH, 4, 2 * WIDTH, 0.0), activation="gelu", batch_first=True, norm_first=True
    ).eval()
    state = {
        "self_attn.in_proj_weight": block.query_key_value.weight,
        "self_attn.in_proj_bias": block.query_key_value.bias,
        "self_attn.out_proj.weight": block.mix_heads.weight,
        "self_attn.out_proj.bias": block.mix_heads.bias,
        "linear1.weight": block.mlp[0].weight,
        "linear1.bias": block.mlp[0].bias,
        "linear2.weight": block.mlp[3].weight,
        "linear2.bias": block.mlp[3].bias,
        "norm1.weight": block.before_attention.weight,
        "norm1.bias": block.before_attention.bias,
        "norm2.weight": block.before_mlp.weight,
        "norm2.bias": block.before_mlp.bias,
    }
    theirs.load_state_dict(state)
    x = drawn(3, 6, WIDTH)
    mask = torch.arange(6)[None] < torch.tensor([6, 2, 4])[:, None]
    found, expected = block(x, mask), theirs(x, src_key_padding_mask=~mask)
    assert torch.allclose(found[mask], expected[mask], atol=1e-5)


def test_a_new_block_changes_nothing():
    x = drawn(2, 5, WIDTH)
    assert torch.equal(Block(WIDTH, 2, 0.5).train()(x, torch.ones(2, 5, dtype=torch.bool)), x)


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 0},
        {"depth": 3},
        *({"levels": (level,)} for level in LEVELS),
        *({"kernels": (kernel,)} for kernel in KERNELS),
    ],
    ids=str,
)
def test_what_is_left_out_leaves_a_network_that_learns(changes):
    made = network(**changes).train()
    mask = torch.ones(3, 5, dtype=torch.bool)
    scores = made.score(
        made.image(drawn(3, CELLS, FEATURES)), made.text(tokens_of("pretrained", 3, 5), mask)
    )
    assert scores.shape == (3, 3)
    scores.diagonal().sum().backward()
    named = dict(made.named_parameters())
    assert named["see.fuse.1.weight"].grad.abs().sum() > 0
    assert named["read.map.1.weight"].grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": ("words", "letters")}, "Choose levels among words, phrases, cells, whole"),
        ({"levels": ()}, "at least one"),
        ({"kernels": ()}, "at least one kernel"),
        ({"kernels": ("rbg:2",)}, "'rbg:2' is no kernel"),
        ({"heads": 3}, "width=16 cannot be shared by heads=3"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        network(**changes)


def test_the_same_seed_gives_the_same_bits():
    one, same, other = (network("recurrent", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_match_error_is_a_mean_of_squares():
    rng = np.random.default_rng(0)
    found, labels = rng.random((2, 40))
    labels[:20] = np.arange(20) % 2
    expected = sum((p - y) ** 2 for p, y in zip(found, labels, strict=True)) / 40
    loss = match_error(torch.from_numpy(found), torch.from_numpy(labels))
    assert loss.item() == pytest.approx(expected)


def reranker(side: str) -> CrossModalReranker:
    text = MiniLM(("layer6",)) if side == "pretrained" else WORDS
    sizes = {"cells": 25, "grid_features": 320}
    if side == "pretrained":
        sizes["text"] = {"side": "pretrained", "features": text.dim}
    return reranker_of(network(side, **sizes), RECIPE, text)


@pytest.fixture(scope="module", params=SIDES)
def saved(request, tmp_path_factory) -> tuple[CrossModalReranker, CrossModalReranker]:
    """Return a re-ranker and what is read back after saving it."""
    one = reranker(request.param)
    folder = tmp_path_factory.mktemp("saved") / "reranker"
    one.save(folder)
    return one, CrossModalReranker.load(folder)


def grids(count: int) -> Mapping[str, FloatArray]:
    return {COLUMN: np.random.default_rng(0).normal(size=(count, 25, 320)).astype(np.float16)}


TEXTS = ["a red circle on a black square", "circle", "", "on the wall, zorb and a blue"]


def test_graphs_give_what_torch_does(saved):
    one, _ = saved
    made = one.torch_network()
    columns = grids(5)
    packed = one.pack_images(columns)
    with torch.inference_mode():
        seen = made.image(torch.from_numpy(columns[COLUMN].astype(np.float32)))
    assert packed.dtype == np.float16 and packed.shape == (5, *one.packed_shape)
    assert np.allclose(packed, seen.numpy(), atol=2e-3)
    tokens = one.open_text_encoder().tokens(TEXTS)
    for row, text in enumerate(one.pack_texts(TEXTS)):
        values, mask = tokens.padded(np.array([row]))
        with torch.inference_mode():
            read = made.text(torch.from_numpy(values), torch.from_numpy(mask))
            scores = made.score(torch.from_numpy(packed.astype(np.float32)), read)[:, 0]
        assert np.allclose(text, read[0].numpy(), atol=1e-4)
        assert np.allclose(one.scores(packed, text), scores.numpy(), atol=1e-4)


def test_what_is_saved_gives_the_same_bits(saved):
    one, again = saved
    assert again.fingerprint() == one.fingerprint()
    assert all(np.array_equal(one.tensors[name], again.tensors[name]) for name in one.tensors)
    packed, text = one.pack_images(grids(3)), one.pack_texts(TEXTS)
    for a, b in zip(text, again.pack_texts(TEXTS), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(packed, again.pack_images(grids(3)))
    assert np.array_equal(one.scores(packed, text[0]), again.scores(packed, text[0]))


def test_what_scores_by_other_rules_is_refused(tmp_path):
    folder = tmp_path / "second"
    reranker("pretrained").save(folder)
    forge(folder, rules="kernels-1")
    with pytest.raises(MismatchError, match=r"scores by the rules kernels-1.*: train it again"):
        CrossModalReranker.load(folder)


def test_kernel_weights_have_their_names(saved):
    one, _ = saved
    assert sum(one.kernel_weights.values()) == pytest.approx(1)
    weights = one.torch_network().kernels.weights()
    for level, k in ((0, 0), (3, 2)):
        name = f"{LEVELS[level]} {KERNELS[k]}"
        assert one.kernel_weights[name] == pytest.approx(weights[level, k].item(), rel=1e-5)
    found = list(one.kernel_weights.values())
    assert found == sorted(found, reverse=True)


def test_another_vocabulary_is_refused(tmp_path):
    one = reranker("recurrent")
    one.save(tmp_path / "one")
    assert CrossModalReranker.load(tmp_path / "one").vocabulary.words == WORDS.words
    other = Vocabulary(WORDS.words[::-1], WORDS.longest)
    assert other.fingerprint() != WORDS.fingerprint()
    replace(one, vocabulary=other).save(tmp_path / "wrong")
    with pytest.raises(MismatchError, match="trained with another vocabulary"):
        CrossModalReranker.load(tmp_path / "wrong")


def test_the_whole_picture_and_sentence_are_vectors_of_their_own(tmp_path):
    second = reranker("recurrent")
    matcher = WholeMatcher(name="whole", packer=second)
    images = matcher.embed_images(grids(4))
    texts = matcher.embed_texts(matcher.open_text_encoder().encode(TEXTS))
    assert images.shape == (4, DIM) and texts.shape == (len(TEXTS), DIM)
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    logits = second.tensors["kernels.logits"][3:]
    only = replace(
        second,
        network={**second.network, "levels": ["whole"]},
        tensors={**second.tensors, "kernels.logits": logits},
    )
    linear = torch.from_numpy(images @ texts.T)
    weights = torch.softmax(torch.from_numpy(logits.astype(np.float32)).flatten(), 0)
    for j, text in enumerate(only.pack_texts(TEXTS)):
        expected = sum(
            weight * kernel(name, TORCH)(linear[:, j])
            for weight, name in zip(weights, KERNELS, strict=True)
        )
        assert np.allclose(only.scores(only.pack_images(grids(4)), text), expected, atol=3e-3)
    matcher.save(tmp_path / "whole")
    assert WholeMatcher.load(tmp_path / "whole").fingerprint() == matcher.fingerprint()
    assert matcher.open_text_encoder().encode([]).vectors.shape == (0, DIM)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("side", "changes"),
    [
        ("pretrained", {}),
        ("recurrent", {"depth": 2}),
        ("transformer", {"levels": ("cells", "whole"), "kernels": ("rbf:0.5",)}),
    ],
)
def test_graphs_compute_what_the_network_does(side, changes):
    whole = network(side, **changes)
    weights = {name: tensor.numpy() for name, tensor in whole.state_dict().items()}

    def run(part: str, *inputs: Tensor) -> Tensor:
        model = PARTS[part](whole.arguments, weights)
        (found,) = Graph(model)(*(x.numpy() for x in inputs))
        return torch.from_numpy(found)

    grids = drawn(4, CELLS, FEATURES)
    images = PictureParts(whole)(grids)
    assert torch.allclose(run("PictureParts", grids), images, atol=1e-5)
    for length in (1, 2, 7):
        tokens = tokens_of(side, 1, length)
        text = TextParts(whole)(tokens)
        assert torch.allclose(run("TextParts", tokens), text, atol=1e-5)
        assert torch.allclose(
            run("PairScores", images, text), PairScores(whole)(images, text), atol=1e-5
        )
