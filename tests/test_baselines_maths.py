"""The systems that the papers compare with: their equations against loops written from them."""

from __future__ import annotations

import math
from itertools import islice, product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import linalg, sparse
from torch import Tensor

from visita.baselines.adpm import ADPM, PyramidMatching
from visita.baselines.captioner import NATS, Captioner, NextWord
from visita.baselines.cca import Projection, fit_projection
from visita.baselines.dan import STEPS, Attention, DualAttention
from visita.baselines.dcca import correlation
from visita.baselines.dspe import TINY, TwoBranch, structure_loss
from visita.baselines.mcnn import MultimodalCNN
from visita.baselines.scan import StackedAttention, hardest_after
from visita.baselines.sentences import SentenceSpace
from visita.baselines.words import all_negatives, hardest_negative, standardise
from visita.encoders.vocabulary import Vocabulary
from visita.kernels.estimators import SimpleMKL
from visita.kernels.pairs import sample_pairs
from visita.training.grids import CrossTensors
from visita.training.tensors import PairTensors
from visita.types import FloatArray, Tokens

RIDGE = 1e-5
LEVELS = ("word", "phrase-short", "phrase-long", "sentence")


def two_sided(rows: int, seed: int = 0) -> PairTensors:
    """Return rows whose sides share three directions under noise, each pair once."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((rows, 3)) * (3, 2, 1)
    images = shared @ rng.standard_normal((3, 6)) + rng.standard_normal((rows, 6))
    texts = shared @ rng.standard_normal((3, 5)) + rng.standard_normal((rows, 5))
    truth = sparse.csr_array(np.eye(rows, dtype=bool))
    return PairTensors(images.astype(np.float32)[:, None], texts.astype(np.float32), truth)


def fitted(pairs: PairTensors, distance: str, directions: int = 3) -> Projection:
    network = Projection(6, 5, directions=directions, distance=distance)
    fit_projection(network, pairs, RIDGE, RIDGE)
    return network


def test_projections_solve_the_generalised_eigenproblem():
    pairs = two_sided(400)
    network = fitted(pairs, "cosine")
    x, y = (rows - rows.mean(0) for rows in (pairs.images[:, 0], pairs.texts))
    x, y = x / x.std(0), y / y.std(0)
    sxx, syy = x.T @ x / 400 + RIDGE * np.eye(6), y.T @ y / 400 + RIDGE * np.eye(5)
    sxy = x.T @ y / 400
    values, vectors = linalg.eigh(sxy @ np.linalg.inv(syy) @ sxy.T, sxx)
    projected = network.project("image", torch.from_numpy(pairs.images[:, 0])).numpy()
    for k in range(3):
        found = np.corrcoef(projected[:, k], x @ vectors[:, -1 - k])[0, 1]
        assert abs(found) == pytest.approx(1, abs=1e-3)
        # Each direction is as long as its correlation.
        size = np.sqrt(np.mean(projected[:, k] ** 2))
        assert size == pytest.approx(math.sqrt(values[-1 - k]), rel=2e-3)


def test_a_distance_as_an_inner_product_ranks_both_ways_as_the_distance_does():
    pairs, fresh = two_sided(200), two_sided(60, seed=1)
    network = fitted(pairs, "euclidean")
    images, texts = torch.from_numpy(fresh.images), torch.from_numpy(fresh.texts)
    seen, read = network.image(images), network.text(texts)
    assert network.dim == seen.shape[1] == 3 + 4
    for vectors in (seen, read):
        assert_allclose(vectors.norm(dim=1), 1, atol=1e-6)
    a, b = network.project("image", images[:, 0]), network.project("text", texts)
    squares = torch.cdist(a.double(), b.double()) ** 2
    size = network.get_buffer("image_bound") * network.get_buffer("text_bound")
    assert_allclose(seen @ read.T, -squares / 2 / size, atol=2e-6)
    plain = fitted(pairs, "cosine")
    ratio = (plain.project("text", texts) / b).flatten()
    assert_allclose(ratio, ratio[0], rtol=1e-4)  # one factor for all: no order changes


def test_a_vector_beyond_the_bound_stays_a_unit_vector():
    network = fitted(two_sided(200), "euclidean")
    far = torch.full((1, 1, 6), 1e4)
    [vector] = network.image(far)
    assert vector.norm() == pytest.approx(1, abs=1e-6) and vector[-2] == 0


def test_the_objective_of_dcca_is_the_sum_of_singular_values_of_the_whitened_covariance():
    pairs = two_sided(80)
    x, y = pairs.images[:, 0].astype(float), pairs.texts.astype(float)
    cx, cy = x - x.mean(0), y - y.mean(0)
    sxx, syy = cx.T @ cx / 79 + 0.1 * np.eye(6), cy.T @ cy / 79 + 0.1 * np.eye(5)
    t = linalg.inv(linalg.sqrtm(sxx)) @ (cx.T @ cy / 79) @ linalg.inv(linalg.sqrtm(syy))
    found = correlation(torch.from_numpy(x), torch.from_numpy(y), 0.1)
    assert float(found) == pytest.approx(np.linalg.svd(t, compute_uv=False).sum(), rel=1e-9)
    same = correlation(torch.from_numpy(x), torch.from_numpy(2 * x + 1), 1e-9)
    assert float(same) == pytest.approx(6, rel=1e-6)


def scores_of(b: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(b, b, generator=generator) * 2 - 1
    also_true = torch.rand(b, b, generator=generator) < 0.2
    return scores, also_true


def test_hinge_losses_are_the_sum_and_the_largest_of_their_costs():
    scores, known = scores_of(7)
    total = hardest = 0.0
    for i in range(7):
        others = [j for j in range(7) if j != i]
        texts = [max(0, 0.2 - scores[i, i] + scores[i, j]) for j in others if not known[i, j]]
        images = [max(0, 0.2 - scores[i, i] + scores[j, i]) for j in others if not known[j, i]]
        total += sum(texts) + sum(images)
        hardest += max(texts) + max(images)
    assert float(all_negatives(scores, known, 0.2)) == pytest.approx(float(total) / 7, rel=1e-5)
    assert float(hardest_negative(scores, known, 0.2)) == pytest.approx(
        float(hardest) / 7, rel=1e-5
    )


def test_all_negatives_come_first_and_then_the_hardest():
    scores, known = scores_of(7)
    losses = [float(one(scores, known)) for one in islice(hardest_after(2, 0.2), 5)]
    all_of_them, hardest = (f(scores, known, 0.2).item() for f in (all_negatives, hardest_negative))
    assert hardest < all_of_them and losses == [all_of_them] * 2 + [hardest] * 3


def test_the_structure_loss_is_its_three_terms():
    rng = np.random.default_rng(0)
    images, texts = (rng.standard_normal((n, 4)).astype(np.float32) for n in (4, 7))
    images, texts = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (images, texts))
    owners = np.array([0, 0, 1, 1, 1, 2, 3])
    true = owners[None] == np.arange(4)[:, None]

    def d(a: FloatArray, b: FloatArray) -> float:
        return math.sqrt(np.square(a - b).sum() + TINY)

    def worst(near: float, others: list[float]) -> list[float]:
        return sorted((max(0.0, 0.3 + near - far) for far in others), reverse=True)[:2]

    to_image, to_text, structure = [], [], []
    for i, t in product(range(4), range(7)):
        if true[i, t]:
            near = d(images[i], texts[t])
            to_image += worst(near, [d(images[k], texts[t]) for k in range(4) if not true[k, t]])
            to_text += worst(near, [d(images[i], texts[k]) for k in range(7) if not true[i, k]])
    for t, s in product(range(7), range(7)):
        if t != s and owners[t] == owners[s]:
            others = [d(texts[t], texts[k]) for k in range(7) if owners[k] != owners[t]]
            structure += worst(d(texts[t], texts[s]), others)
    expected = 1.5 * np.mean(to_image) + np.mean(to_text) + 0.05 * np.mean(structure)
    found = structure_loss(
        *(torch.from_numpy(images), torch.from_numpy(texts), torch.from_numpy(true)),
        margin=0.3,
        negatives=2,
        image_weight=1.5,
        structure_weight=0.05,
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_siblings_has_no_structure_to_keep():
    rows = torch.eye(3)
    true = torch.eye(3, dtype=torch.bool)
    settings = {"margin": 0.1, "negatives": 5, "image_weight": 1.0}
    one, other = (
        structure_loss(rows, rows, true, **settings, structure_weight=weight) for weight in (0, 9)
    )
    assert torch.equal(one, other) and torch.isfinite(one)


def test_two_branches_standardise_and_average_views():
    torch.manual_seed(0)
    network = TwoBranch(4, 3, hidden=8, outputs=5).eval()
    network.get_buffer("image_mean").fill_(0.5)
    views = torch.rand(2, 3, 4)
    expected = network.image_layers(views.mean(1) - 0.5)
    assert_allclose(
        network.image(views).detach(),
        (expected / expected.norm(dim=1, keepdim=True)).detach(),
        rtol=1e-5,
    )


@torch.no_grad()
def test_attention_of_dan_by_loops():
    torch.manual_seed(1)
    attend = Attention(4, 3)
    parts, memory = torch.rand(2, 5, 4), torch.rand(2, 3)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    found = attend(parts, mask, memory)
    for n in range(2):
        logits = []
        for r in range(5):
            hidden = torch.tanh(attend.of_part(parts[n, r])) * torch.tanh(
                attend.of_memory(memory[n])
            )
            logits.append(float(attend.weigh(hidden)) if mask[n, r] else -math.inf)
        weights = [math.exp(logit) for logit in logits]
        expected = sum(w / sum(weights) * parts[n, r] for r, w in enumerate(weights))
        assert_allclose(found[n], expected, rtol=1e-5)


@torch.no_grad()
def test_the_similarity_of_dan_is_the_sum_over_its_steps():
    torch.manual_seed(2)
    network = DualAttention(6, 5, vocabulary=9, dim=12).eval()
    grid = torch.rand(1, 6, 5)
    memory = torch.tanh(network.found[0](grid.mean(1)))
    steps = [memory]
    for layer, attend in zip(network.found[1:], network.look, strict=True):
        found = torch.tanh(layer(attend(grid, torch.ones(1, 6, dtype=torch.bool), memory)))
        steps.append(found)
        memory = memory + found
    assert len(steps) == STEPS + 1
    packed = network.image(grid)[0, 0]
    size = math.sqrt(sum(float(step.square().sum()) for step in steps))
    text = network.text(torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.bool))[0, 0]
    by_step = sum(float(step[0] @ part) for step, part in zip(steps, text.split(4), strict=True))
    assert float(packed @ text) == pytest.approx(by_step / size, rel=1e-5)


@pytest.mark.parametrize("network", [SentenceSpace, DualAttention])
def test_a_text_is_packed_the_same_with_and_without_padding(network):
    torch.manual_seed(0)
    one = network(1, 5, vocabulary=9, dim=12).eval()
    alone = one.text(torch.tensor([[3, 4]]), torch.ones(1, 2, dtype=torch.bool))
    tokens = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 8]])
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    beside = one.text(tokens, mask)
    assert_allclose(beside[:1].detach(), alone.detach(), atol=1e-6)
    assert_allclose(beside.norm(dim=2).detach(), 1, atol=1e-6)


def test_a_sentence_is_the_state_after_its_last_word():
    torch.manual_seed(0)
    network = SentenceSpace(1, 5, vocabulary=9, dim=6).eval()
    state = torch.zeros(1, 1, 6)
    for word in (3, 4, 5):
        _, state = network.read(network.embed(torch.tensor([[word]])), state)
    expected = state[0, 0] / state.norm()
    found = network.text(torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.bool))
    assert_allclose(found[0, 0].detach(), expected.detach(), atol=1e-6)


def packed_pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return unit vectors of 2 pictures of 5 cells and 3 texts of 4, 2 and 3 words, padded."""
    generator = torch.Generator().manual_seed(seed)
    cells, words = (torch.randn(*shape, 6, generator=generator) for shape in ((2, 5), (3, 4)))
    words[1, 2:], words[2, 3:] = 0, 0
    return torch.nn.functional.normalize(cells, dim=-1), torch.nn.functional.normalize(
        words, dim=-1
    )


@pytest.mark.parametrize("direction", ["t-i", "i-t", "both"])
def test_stacked_cross_attention_by_loops(direction):
    images, texts = packed_pair()
    network = StackedAttention(5, 3, vocabulary=9, dim=6, direction=direction)
    found = network.score(images, texts)
    for n, (m, count) in product(range(2), enumerate((4, 2, 3))):
        cells, words = images[n].double().numpy(), texts[m, :count].double().numpy()
        t_i, i_t = mean_relevance(words, cells, 9), mean_relevance(cells, words, 4)
        expected = {"t-i": t_i, "i-t": i_t, "both": (t_i + i_t) / 2}[direction]
        assert float(found[n, m]) == pytest.approx(expected, abs=1e-5)


def mean_relevance(asking: FloatArray, asked: FloatArray, sharpness: float) -> float:
    """Return the mean over the asking parts of eqs. 1 to 5 of SCAN."""
    s = [[max(0.0, float(one @ other)) for other in asked] for one in asking]
    total = 0.0
    for a, one in enumerate(asking):
        weights = []
        for r in range(len(asked)):
            size = math.sqrt(sum(s[other][r] ** 2 for other in range(len(asking))))
            weights.append(math.exp(sharpness * s[a][r] / size) if size else 1.0)
        attended = sum(w / sum(weights) * asked[r] for r, w in enumerate(weights))
        total += float(one @ attended) / float(np.linalg.norm(attended))
    return total / len(asking)


@torch.no_grad()
@pytest.mark.parametrize("level", LEVELS)
def test_m_cnn_by_loops_has_the_picture_in_every_window_of_its_layer(level):
    torch.manual_seed(0)
    network = MultimodalCNN(1, 4, vocabulary=9, level=level).eval()
    grid, tokens = torch.rand(1, 1, 4), torch.tensor([[2, 3, 4, 5, 6]])
    image = network.see(grid[0, 0])
    x = [*network.embed(tokens[0]), *[torch.zeros(100)] * 25]
    there = [place < 5 for place in range(30)]
    for number, layer in enumerate(network.convolve):
        above, near = [], []
        for place in range(len(x)):
            total = layer.bias.clone()
            if LEVELS[number] == level:
                total = total + network.join.weight @ image
            for offset in range(3):
                if 0 <= place + offset - 1 < len(x):
                    total = total + layer.weight[:, :, offset] @ x[place + offset - 1]
            near.append(any(there[max(0, place - 1) : place + 2]))
            above.append(torch.relu(total) * near[-1])
        x = [torch.maximum(above[k], above[k + 1]) for k in range(0, len(x) - 1, 2)]
        there = [near[k] or near[k + 1] for k in range(0, len(near) - 1, 2)]
    finished = torch.stack(x, 1).flatten()
    if level == "sentence":
        finished = torch.cat([image, finished])
    expected = torch.tanh(network.judge(finished[None]))[0, 0]
    packed = network.text(tokens, torch.ones(1, 5, dtype=torch.bool))
    assert (
        packed.shape[1] == {"word": 30, "phrase-short": 15, "phrase-long": 7, "sentence": 1}[level]
    )
    found = network.score(network.image(grid), packed)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("level", LEVELS)
def test_pairs_of_m_cnn_score_as_all_and_padding_does_not_count(level):
    torch.manual_seed(0)
    network = MultimodalCNN(1, 4, vocabulary=9, level=level).eval()
    images = network.image(torch.rand(3, 1, 4))
    tokens = torch.tensor([[2, 3, 0, 0], [4, 5, 6, 7], [8, 2, 3, 0]])
    texts = network.text(tokens, tokens > 0)
    every = network.score(images, texts)
    assert_allclose(every.diagonal(), network.score_pairs(images, texts), atol=1e-6)
    alone = network.text(torch.tensor([[2, 3]]), torch.ones(1, 2, dtype=torch.bool))
    assert_allclose(network.score(images, alone), every[:, :1], atol=1e-6)
    long = network.text(torch.full((1, 40), 3), torch.ones(1, 40, dtype=torch.bool))
    cut = network.text(torch.full((1, 30), 3), torch.ones(1, 30, dtype=torch.bool))
    assert torch.equal(long, cut)


def log_p(network: Captioner, first: Tensor, numbers: list[int]) -> float:
    """Return log P of a caption, word by word through the LSTM's own state."""
    _, state = network.read(first[None])
    total, before = 0.0, 0
    for number in [*numbers, 0]:
        out, state = network.read(network.embed(torch.tensor([[before]])), state)
        total += float(network.say(out[0, 0] + network.add(first[0])).log_softmax(0)[number])
        before = number
    return total


@torch.no_grad()
def test_a_caption_is_scored_by_what_the_picture_adds_to_its_likelihood():
    torch.manual_seed(0)
    network = Captioner(1, 4, vocabulary=9, dim=8).eval()
    network.crowd.copy_(3 * torch.randn(64, 4))
    grids = torch.rand(2, 1, 4)
    images = network.image(grids)
    tokens = torch.tensor([[2, 3, 4], [5, 0, 0]])
    found = network.score(images, network.text(tokens, tokens > 0))
    for n, (m, numbers) in product(range(2), enumerate(([2, 3, 4], [5]))):
        crowd = [math.exp(log_p(network, network.see(one)[None], numbers)) for one in network.crowd]
        gain = log_p(network, images[n], numbers) - math.log(sum(crowd) / len(crowd))
        expected = math.tanh(gain / NATS)
        assert float(found[n, m]) == pytest.approx(expected, abs=1e-6)


@torch.no_grad()
def test_the_next_word_is_that_of_the_likelihood():
    torch.manual_seed(0)
    network = Captioner(1, 4, vocabulary=9, dim=8).eval()
    first = network.image(torch.rand(1, 1, 4))
    found = NextWord(network)(first, torch.tensor([[0, 2]]))[0]
    step = log_p(network, first[0], [2]) - log_p(network, first[0], [])
    before = NextWord(network)(first, torch.tensor([[0]]))[0]
    ends = float(before[2]) + float(found[0])
    assert ends == pytest.approx(log_p(network, first[0], [2]), abs=1e-5)
    assert step == pytest.approx(ends - float(before[0]), abs=1e-5)
    assert found.argmax() != 1 and float(found[1]) < -1e3  # an unknown word is not said


def pyramid() -> PyramidMatching:
    network = PyramidMatching(4, 5, widths=[2, 3], words=3, vocabulary=6, dim=8)
    torch.manual_seed(0)
    network.centres.copy_(torch.rand(3, 5))
    network.idf.copy_(torch.tensor([0.0, 0.0, 1.0, 2.0, 1.5, 1.0]))
    return network


def test_codes_give_the_intersection_of_histograms_of_words():
    network = pyramid()
    grids = torch.rand(3, 4, 5)
    codes = network.unary(network.counts(grids))
    for layer, span in enumerate((slice(0, 2), slice(2, 5))):
        counts = np.zeros((3, 3))
        for n, cell in product(range(3), range(4)):
            far = ((network.centres[:, span] - grids[n, cell, span]) ** 2).sum(1)
            counts[n, int(far.argmin())] += 1
        for one, other in product(range(3), range(3)):
            expected = sum(min(a, b) for a, b in zip(counts[one], counts[other], strict=True)) / 4
            found = float(codes[one, layer] @ codes[other, layer])
            assert found == pytest.approx(expected, abs=1e-6)


def test_the_vectors_of_adpm_are_the_decision_of_the_svm_over_pairs():
    rng = np.random.default_rng(0)
    kinds = np.arange(40) % 4
    grids = (rng.standard_normal((4, 4, 5))[kinds] + 0.1 * rng.standard_normal((40, 4, 5))).astype(
        np.float16
    )
    tokens = Tokens(np.arange(0, 81, 2), np.stack([2 + kinds % 2, 4 + kinds // 2], 1).ravel())
    truth = sparse.csr_array(np.eye(40, dtype=bool))
    train = CrossTensors(grids, tokens, truth)
    config = ADPM.of({"words": 3, "pairs": 30, "dim": 64})
    network = PyramidMatching(4, 5, widths=[2, 3], words=3, vocabulary=6, dim=64)
    words = Vocabulary(("a", "b", "c", "d"), 5)
    standardise(network, train)
    network.centres.copy_(torch.from_numpy(config._centres(grids, network)))
    network.idf.copy_(torch.tensor([0.0, 0.0, 1.0, 2.0, 1.5, 1.0]))
    config._solve(network, train)
    assert len(words) == 6

    pairs = sample_pairs(truth, count=30, seed=0)
    every = np.arange(40)
    histograms = network.counts(torch.from_numpy(grids.astype(np.float32))).numpy()
    values, mask = tokens.padded(every)
    rows = network.tf_idf(torch.from_numpy(values), torch.from_numpy(mask)).numpy()

    def layer_kernel(layer: int, i: int, j: int) -> float:
        return float(np.minimum(histograms[i, layer], histograms[j, layer]).sum()) / 4

    def gram(layer: int, images: FloatArray, texts: FloatArray) -> FloatArray:
        return np.array(
            [
                [
                    layer_kernel(layer, i, j) * float(rows[t] @ rows[u])
                    for j, u in zip(pairs.images, pairs.texts, strict=True)
                ]
                for i, t in zip(images, texts, strict=True)
            ]
        )

    grams = np.stack([gram(layer, pairs.images, pairs.texts) for layer in range(2)], axis=-1)
    svm = SimpleMKL("precomputed", C=1.0, normalise=False, tolerance=0.01)
    svm.fit(grams, pairs.labels)
    fresh = np.array([0, 7, 13, 22]), np.array([5, 7, 1, 30])
    fresh_grams = np.stack([gram(layer, *fresh) for layer in range(2)], axis=-1)
    decided = svm.decision_function(fresh_grams)
    codes = network.unary(network.counts(torch.from_numpy(grids[fresh[0]].astype(np.float32))))
    seen = codes.flatten(1) @ network.codes
    read = torch.from_numpy(rows[fresh[1]]) @ network.terms
    found = (seen * read).sum(1).numpy()
    assert_allclose(found, decided - svm.intercept_, atol=1e-4)
    packed = network.text(torch.from_numpy(values[fresh[1]]), torch.from_numpy(mask[fresh[1]]))
    assert_allclose(packed[:, 0], read / read.norm(dim=1, keepdim=True), atol=1e-5)
