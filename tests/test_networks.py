"""Networks and losses: tensors against loops from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from visita.encoders.engine import Graph
from visita.errors import ConfigError, UnknownNameError
from visita.networks import LOSSES
from visita.networks.fusion import (
    ClassNames,
    FusionNetwork,
    ImageSide,
    JointSpace,
    MultiLevel,
    TextSide,
    Tower,
    mean_view,
)
from visita.networks.fusion_graph import buildable, space_graph
from visita.networks.losses import hinge, info_nce, loss_named, loss_of_guessing, squared_weights
from visita.networks.part import Part
from visita.testing import check_loss
from visita.training.config import FusionConfig


def naive_info_nce(scores: np.ndarray, also_true: np.ndarray, temperature, smoothing) -> float:
    """Return the loss by two loops over a batch: for each row and for each column."""
    b, total = len(scores), 0.0
    for matrix, others in ((scores, also_true), (scores.T, also_true.T)):
        for i in range(b):
            kept = [j for j in range(b) if j == i or not others[i, j]]
            terms = [math.exp(matrix[i, j] / temperature) for j in kept]
            logs = {j: math.log(t / sum(terms)) for j, t in zip(kept, terms, strict=True)}
            spread = sum(logs.values()) / len(kept)
            total -= (1 - smoothing) * logs[i] + smoothing * spread
    return total / (2 * b)


def scores_of(b: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.uniform(-1, 1, (b, b)).astype(np.float32))
    return scores, torch.from_numpy(rng.random((b, b)) < 0.2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_info_nce_is_its_definition(smoothing, temperature):
    scores, also_true = scores_of(9)
    assert also_true.any() and not torch.equal(also_true, also_true.T)
    expected = naive_info_nce(scores.double().numpy(), also_true.numpy(), temperature, smoothing)
    found = info_nce(scores, also_true, temperature, smoothing)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_info_nce_of_no_knowledge_is_that_of_guessing():
    none = torch.zeros(16, 16, dtype=torch.bool)
    for smoothing in (0.0, 0.3):
        loss = info_nce(torch.zeros(16, 16), none, 0.05, smoothing)
        assert loss.item() == pytest.approx(math.log(16), rel=1e-6)


def test_true_pairs_beside_the_diagonal_neither_push_nor_pull():
    scores, also_true = scores_of(6)
    scores.requires_grad_(True)
    info_nce(scores, also_true, 0.1, 0.1).backward()
    assert scores.grad is not None and torch.isfinite(scores.grad).all()
    off = also_true & ~torch.eye(6, dtype=torch.bool)
    assert (scores.grad[off] == 0).all()
    assert (scores.grad.diagonal() < 0).all()
    assert (scores.grad[~off & ~torch.eye(6, dtype=torch.bool)] != 0).all()


def test_where_everything_is_true_there_is_nothing_to_learn():
    scores, _ = scores_of(4)
    loss = info_nce(scores, torch.ones(4, 4, dtype=torch.bool), 0.1, 0.1)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_a_loss_by_name_takes_its_settings_by_their_names():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(6, 6, generator=generator)
    also_true = torch.zeros(6, 6, dtype=torch.bool)
    config = FusionConfig(temperature=0.2, label_smoothing=0.1, margin=0.3)
    contrast = loss_named("info-nce", config)
    assert torch.equal(contrast(scores, also_true), info_nce(scores, also_true, 0.2, 0.1))
    assert loss_of_guessing(contrast, scores) == pytest.approx(math.log(6))
    assert loss_of_guessing(loss_named("hinge", config), scores) == pytest.approx(0.3)
    assert loss_of_guessing(loss_named("hinge", object()), scores) == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="needs temperature and label_smoothing, which object"):
        loss_named("info-nce", object())


@pytest.mark.parametrize("name", LOSSES.names())
def test_every_loss_keeps_the_contract(name):
    config = FusionConfig()
    loss = loss_named(name, config)
    check_loss(loss)


def test_a_loss_that_is_no_number_is_refused():
    for wrong in (lambda scores, _: scores.sum(1), lambda scores, _: float(scores.detach().sum())):
        with pytest.raises(AssertionError, match="a loss must"):
            check_loss(wrong)
        with pytest.raises(ConfigError, match="gives no single number"):
            loss_of_guessing(wrong, torch.zeros(3, 3))


def test_hinge_is_the_papers_sum_over_triplets():
    rng = np.random.default_rng(0)
    scores = rng.uniform(-1, 1, (6, 11)).astype(np.float32)
    true = np.zeros((6, 11), bool)
    true[rng.integers(0, 6, 11), np.arange(11)] = True
    true[rng.integers(0, 6, 4), rng.integers(0, 11, 4)] = True  # some texts of two images
    negatives = [int(rng.choice(np.flatnonzero(~true[:, t]))) for t in range(11)]
    total, triplets = 0.0, 0
    for t in range(11):
        for i in range(6):
            if true[i, t]:
                total += max(0.0, 0.5 - scores[i, t] + scores[negatives[t], t])
                triplets += 1
    tensors = (torch.from_numpy(one) for one in (scores, true, np.array(negatives)))
    assert triplets > 11
    assert hinge(*tensors, 0.5).item() == pytest.approx(total, rel=1e-5)


def test_hinge_of_no_knowledge_is_the_margin_and_of_enough_is_nothing():
    true, negatives = torch.eye(4, dtype=torch.bool), torch.tensor([1, 2, 3, 0])
    assert hinge(torch.zeros(4, 4), true, negatives, 0.3).item() == pytest.approx(4 * 0.3)
    apart = torch.eye(4).requires_grad_(True)
    loss = hinge(apart, true, negatives, 0.5)
    loss.backward()
    assert loss.item() == 0 and (apart.grad == 0).all()


def test_weights_are_squared_and_biases_are_not():
    network = randomised(MultiLevel(5, 3, hidden=4))
    state = network.state_dict()
    names = ("mlp.0.weight", "mlp.2.weight")
    expected = sum(float(value) ** 2 for name in names for value in state[name].flatten())
    assert squared_weights(network).item() == pytest.approx(expected, rel=1e-5)


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Fill every tensor of a network with drawn numbers (scales stay positive)."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        values = torch.randn(tensor.shape, generator=generator) * 0.3
        tensor.copy_(values.abs() + 0.5 if name.endswith("scale") else values)
    return network.eval()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_unit(vectors: Tensor, *shape: int) -> None:
    assert vectors.shape == shape
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(shape[:-1]), atol=1e-5)


@torch.inference_mode()
def test_a_tower_is_its_formula():
    tower = randomised(Tower(6, 4, 5, 0.5, 0.5))
    features = drawn(3, 6)
    found = tower(features)
    assert_unit(found, 3, 4)
    for row in range(3):
        x = (features[row] - tower.mean) / tower.scale
        start = x @ tower.linear
        hidden = nn.functional.gelu(x @ tower.mlp[1].weight.T + tower.mlp[1].bias)
        whole = start / start.norm() + hidden @ tower.mlp[4].weight.T + tower.mlp[4].bias
        assert torch.allclose(found[row], whole / whole.norm(), atol=1e-5)


@torch.inference_mode()
def test_a_new_tower_is_its_linear_map():
    torch.manual_seed(0)
    tower = Tower(6, 4, 5, 0.5, 0.5).eval()
    tower.linear.copy_(drawn(6, 4, seed=1))
    features = drawn(3, 6)
    expected = nn.functional.normalize(features @ tower.linear, dim=-1)
    assert torch.allclose(tower(features), expected, atol=1e-6)


def test_training_changes_the_perceptron_and_nothing_else():
    tower = Tower(6, 4, 5, 0.5, 0.5)
    assert {name for name, _ in tower.named_parameters()} == {
        *("mlp.1.weight", "mlp.1.bias", "mlp.4.weight", "mlp.4.bias")
    }


@torch.inference_mode()
def test_two_views_of_a_picture_are_averaged():
    network = randomised(FusionNetwork(6, 5, dim=4, hidden=3))
    features = drawn(3, 2, 6)
    found = network.image(features)
    assert_unit(found, 3, 4)
    both = [network.image(features[:, view : view + 1]) for view in (0, 1)]
    assert torch.allclose(found, nn.functional.normalize(both[0] + both[1], dim=-1), atol=1e-5)
    assert torch.allclose(network.image(features[:, :1].repeat(1, 2, 1)), both[0], atol=1e-5)
    assert_unit(network.text(drawn(7, 5)), 7, 4)
    assert torch.equal(mean_view(features), nn.functional.normalize(features.mean(1), dim=-1))


@torch.inference_mode()
@pytest.mark.parametrize("hidden", ["sigmoid", "none"])
@pytest.mark.parametrize("output", ["tanh", "none"])
def test_the_papers_network_is_its_formula(hidden, output):
    kinds = {"hidden_activation": hidden, "output_activation": output}
    network = randomised(MultiLevel(6, 3, hidden=5, **kinds))
    features = drawn(4, 2, 6)
    mean, scale, w1, b1, w2, b2 = (tensor.numpy() for tensor in network.state_dict().values())
    for row in range(4):
        total = np.zeros(3)
        for view in features[row].numpy():
            x = (view - mean) / scale
            inside = [float(w @ x) + b for w, b in zip(w1, b1, strict=True)]
            if hidden == "sigmoid":
                inside = [1 / (1 + math.exp(-one)) for one in inside]
            out = np.array([float(w @ inside) + b for w, b in zip(w2, b2, strict=True)])
            out = np.tanh(out) if output == "tanh" else out
            total += out / np.linalg.norm(out)
        expected = total / np.linalg.norm(total)
        assert np.allclose(network.image(features)[row], expected, atol=1e-5)
    assert_unit(network.image(features), 4, 3)


def test_the_papers_widths_follow_the_features():
    both, alone = MultiLevel(4096, 500), MultiLevel(2048, 500)
    for network, width in ((both, 4096), (alone, 2048)):
        shapes = [tuple(p.shape) for p in network.parameters()]
        assert shapes == [(2048, width), (2048,), (500, 2048), (500,)]
        assert network.dim == 500


def test_a_text_is_its_topics_and_one_without_any_is_harmless():
    network = randomised(MultiLevel(6, 3, hidden=5))
    topics = drawn(4, 3)
    topics[2] = 0
    images = network.image(drawn(4, 1, 6))
    texts = network.text(topics)
    assert torch.allclose(texts[0], topics[0] / topics[0].norm())
    assert (texts[2] == 0).all()
    loss = hinge(images @ texts.T, torch.eye(4, dtype=torch.bool), torch.tensor([1, 2, 3, 0]), 0.5)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@torch.inference_mode()
def test_class_names_are_its_formula():
    network = randomised(ClassNames(9, 5))
    probabilities = torch.softmax(drawn(3, 2, 9) * 3, dim=-1)
    found = network.image(probabilities)
    assert_unit(found, 3, 5)
    for row in range(3):
        views = []
        for view in range(2):
            centred = -network.image_mean.clone()
            for c in range(9):
                centred += probabilities[row, view, c] * network.names[c]
            views.append(centred / centred.norm())
        mean = (views[0] + views[1]) / 2
        assert torch.allclose(found[row], mean / mean.norm(), atol=1e-5)
    sentences = drawn(4, 5)
    texts = network.text(sentences)
    assert_unit(texts, 4, 5)
    for row in range(4):
        centred = sentences[row] / sentences[row].norm() - network.text_mean
        assert torch.allclose(texts[row], centred / centred.norm(), atol=1e-5)
    assert torch.allclose(network.text(sentences * 7), texts, atol=1e-5)


PARTS = (
    Part(
        network="fusion",
        arguments={"dim": 4, "hidden": 3},
        image_span=(0, 6),
        text_span=(0, 5),
        weight=0.8,
    ),
    Part(network="class-names", arguments={}, image_span=(6, 9), text_span=(2, 5), weight=0.2),
)


def joint(dim: int = 64) -> JointSpace:
    return randomised(JointSpace(9, 5, parts=PARTS, dim=dim))


@torch.inference_mode()
def test_a_joint_space_is_the_weighted_sum_of_its_kernels():
    space = joint()
    images, texts = drawn(3, 2, 9), drawn(6, 5)
    assert space.dim == space.joined == 7 and space.basis.shape == (0, 0)
    x, y = space.image(images), space.text(texts)
    assert_unit(x, 3, 7)
    assert_unit(y, 6, 7)
    for i in range(3):
        for j in range(6):
            total = 0.0
            for part, network in zip(PARTS, space.networks, strict=True):
                a = network.image(images[i : i + 1, :, slice(*part.image_span)])
                b = network.text(texts[j : j + 1, slice(*part.text_span)])
                total += part.weight * float(a[0] @ b[0])
            assert float(x[i] @ y[j]) == pytest.approx(total, abs=1e-5)


@torch.inference_mode()
def test_a_part_reads_its_own_features_only():
    space = joint()
    images, texts = drawn(3, 2, 9), drawn(6, 5)
    before = space.join_images(images), space.join_texts(texts)
    images[:, :, 6:] += 1
    texts[:, :2] += 1
    after = space.join_images(images), space.join_texts(texts)
    assert torch.equal(before[0][:, :4], after[0][:, :4])
    assert not torch.allclose(before[0][:, 4:], after[0][:, 4:])
    assert torch.equal(before[1][:, 4:], after[1][:, 4:])
    assert not torch.allclose(before[1][:, :4], after[1][:, :4])


@torch.inference_mode()
def test_a_basis_shortens_the_joined_vectors():
    space = joint(dim=5)
    assert space.basis.shape == (7, 5) and space.dim == 5
    images, texts = drawn(3, 1, 9), drawn(2, 5)
    short = space.join_images(images) @ space.basis
    assert torch.allclose(space.image(images), nn.functional.normalize(short, dim=-1))
    assert_unit(space.image(images), 3, 5)
    assert_unit(space.text(texts), 2, 5)


@torch.inference_mode()
@pytest.mark.parametrize("dim", [64, 5])
def test_a_space_inside_a_space_stays_exactly_what_it_was(dim):
    inner = joint(dim)
    outer_part = Part(
        network="joint",
        arguments=inner.arguments(),
        image_span=(0, 9),
        text_span=(0, 5),
        weight=1.0,
    )
    rebuilt = JointSpace(9, 5, parts=[outer_part.model_dump(mode="json")], dim=64)
    assert rebuilt.dim == inner.dim
    rebuilt.networks[0].load_state_dict(inner.state_dict())
    rebuilt.eval()
    images, texts = drawn(3, 2, 9), drawn(6, 5)
    assert torch.equal(rebuilt.networks[0].image(images), inner.image(images))
    assert torch.equal(rebuilt.networks[0].text(texts), inner.text(texts))
    assert torch.allclose(rebuilt.image(images), inner.image(images), atol=1e-6)
    assert torch.allclose(rebuilt.text(texts), inner.text(texts), atol=1e-6)


@torch.inference_mode()
def test_a_space_is_rebuilt_from_its_arguments_and_state():
    space = joint(5)
    again = JointSpace(9, 5, **space.arguments())
    again.load_state_dict(space.state_dict())
    images, texts = drawn(3, 2, 9), drawn(6, 5)
    assert torch.equal(again.eval().image(images), space.image(images))
    assert torch.equal(ImageSide(space)(images), space.image(images))
    assert torch.equal(TextSide(space)(texts), space.text(texts))


def test_a_part_that_makes_no_sense_is_refused():
    unknown = PARTS[0].model_copy(update={"network": "fusoin"})
    with pytest.raises(UnknownNameError, match="Did you mean 'fusion'"):
        JointSpace(9, 5, parts=[unknown], dim=4)
    for wrong in ({"weight": -0.1}, {"wieght": 0.1}):
        with pytest.raises(ValidationError):
            Part.model_validate({**PARTS[0].model_dump(), **wrong})


def nested() -> JointSpace:
    """Return a space with another inside, a part that reads a part, and the paper's network."""
    parts = [
        Part(
            network="joint",
            arguments=joint(5).arguments(),
            image_span=(0, 9),
            text_span=(0, 5),
            weight=0.5,
        ),
        Part(
            network="fusion",
            arguments={"dim": 3, "hidden": 4},
            image_span=(0, 5),
            text_span=(0, 5),
            weight=0.3,
            on=0,
        ),
        Part(
            network="multi-level",
            arguments={"hidden": 6, "hidden_activation": "none"},
            image_span=(2, 9),
            text_span=(1, 4),
            weight=0.2,
        ),
    ]
    return randomised(JointSpace(9, 5, parts=parts, dim=6))


@torch.inference_mode()
@pytest.mark.parametrize("space", [joint(), joint(5), nested()], ids=["plain", "basis", "nested"])
def test_a_graph_computes_what_the_space_does(space):
    arguments = {**space.arguments(), "image_features": 9, "text_features": 5}
    weights = {name: tensor.numpy() for name, tensor in space.state_dict().items()}
    assert buildable(arguments)
    for side, features in (("image", drawn(3, 2, 9)), ("text", drawn(6, 5))):
        for whole in (True, False):
            model = space_graph(arguments, weights, side, 2, parts=not whole)
            vectors = getattr(space, f"{side}_vectors")(features)
            expected = [getattr(space, side)(features)] if whole else vectors
            for found, other in zip(Graph(model)(features.numpy()), expected, strict=True):
                assert np.allclose(found, other.numpy(), atol=1e-5)


def test_a_space_with_a_network_that_only_torch_has_is_not_built():
    spans = {"image_span": (0, 2), "text_span": (0, 2), "weight": 1.0}
    outside = [{"network": "projection", "arguments": {}, **spans}]
    assert not buildable({"parts": outside})
    inner = {"network": "joint", "arguments": {"parts": outside}, **spans}
    assert not buildable({"parts": [inner]})
