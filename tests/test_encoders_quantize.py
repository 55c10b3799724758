"""Eight-bit convolutions against float32 ones, on a small network made here."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from visita.encoders.openvino import ov, trace
from visita.encoders.quantize import FLOAT, Activations, known_activations, measure, quantize

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


class Small(nn.Module):
    """Five convolutions, the fourth depthwise; the first three stay in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 1),
            nn.ReLU6(),
            nn.Conv2d(8, 16, 1),
            nn.ReLU6(),
            nn.Conv2d(16, 16, 3, groups=16),
            nn.ReLU6(),
            nn.Conv2d(16, 4, 1),
        )

    def forward(self, pixels):
        return self.layers(pixels.permute(0, 3, 1, 2).float() / 64)


@pytest.fixture(scope="module")
def network():
    import torch  # noqa: PLC0415 - seeded here alone

    torch.manual_seed(0)
    small = Small().eval()
    with torch.no_grad():  # one large weight a channel, so that the others are rounded coarsely
        small.layers[6].weight[:, :, 0, 0] *= 30
        small.layers[8].weight[:, 0] *= 30
    return small


def run(model):
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return ov.Core().compile_model(model, "CPU", settings)(PIXELS)[0].copy()


def quantized(network, activations):
    model = trace(network, [PIXELS])
    assert quantize(model, activations) == "int8"
    return run(model)


def test_what_is_measured_is_the_mean_and_the_range_of_each_input(network):
    model = trace(network, [PIXELS])
    found = measure(model, [PIXELS[:2], PIXELS[2:]])
    scaled = PIXELS.astype(np.float32) / 64
    assert found.ranges.shape == (5, 2) and [len(m) for m in found.means] == [3, 8, 8, 16, 16]
    np.testing.assert_allclose(found.means[0], scaled.mean((0, 1, 2)), rtol=1e-4)
    lows = [scaled[:2].min(), scaled[2:].min()]
    np.testing.assert_allclose(found.ranges[0, 0], np.mean(lows), atol=1e-5)


def test_only_the_convolutions_after_the_first_are_rounded(network):
    model = trace(network, [PIXELS])
    quantize(model, measure(model, [PIXELS]))
    nodes = [n for n in model.get_ordered_ops() if "Convolution" in n.get_type_name()]
    rounded = [n.input_value(1).get_node().get_type_name() == "FakeQuantize" for n in nodes]
    assert rounded == [False] * FLOAT + [True] * (5 - FLOAT)


def test_the_mean_shift_of_rounded_weights_is_taken_off(network):
    exact = run(trace(network, [PIXELS]))
    measured = measure(trace(network, [PIXELS]), [PIXELS])
    uncorrected = replace(measured, means=tuple(np.zeros_like(m) for m in measured.means))
    shifts = [
        np.abs((quantized(network, one) - exact).mean((0, 2, 3))).mean()
        for one in (measured, uncorrected)
    ]
    assert shifts[0] < 0.7 * shifts[1]


def test_stored_activations_come_back(network):
    measured = measure(trace(network, [PIXELS]), [PIXELS])
    again = Activations.from_tensors("x", measured.to_tensors("x"))
    np.testing.assert_array_equal(again.ranges, measured.ranges)
    for one, other in zip(again.means, measured.means, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
    assert again.fingerprint() != replace(again, ranges=again.ranges + 1).fingerprint()


def test_what_ships_was_measured_for_the_shipped_encoders_alone():
    for number, convolutions in enumerate((49, 64, 64)):
        found = known_activations(f"efficientnet-lite{number}")
        assert found is not None and len(found.means) == len(found.ranges) == convolutions
    assert known_activations("inception-v3") is None
