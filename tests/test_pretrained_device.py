"""Networks that torch runs itself: in parts where memory is short, in half precision if asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visita.encoders.device import DeviceRunner, on_gpu
from visita.encoders.export import TorchRunner
from visita.errors import ConfigError

pytestmark = pytest.mark.slow


class Crowded(nn.Module):
    """Pictures (b, 6) with one text (1, 6); has memory for three pictures at once."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(6, 5)
        self.most = 0

    def forward(self, pictures: Tensor, text: Tensor) -> Tensor:
        if len(pictures) > 3:
            raise torch.OutOfMemoryError("no memory")
        self.most = max(self.most, len(pictures))
        return self.layer(pictures) * text[:, :5]


def test_what_does_not_fit_runs_in_parts():
    rng = np.random.default_rng(0)
    pictures, text = (rng.random((n, 6), dtype=np.float32) for n in (11, 1))
    module = Crowded()
    (found,) = DeviceRunner(module, "cpu")(pictures, text)
    each = [TorchRunner(module)(pictures[i : i + 1], text)[0] for i in range(11)]
    assert np.allclose(found, np.concatenate(each), atol=1e-6) and module.most == 3


def test_what_never_fits_says_so():
    class Full(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError(f"no memory for {len(x)}")

    with pytest.raises(torch.OutOfMemoryError):
        DeviceRunner(Full(), "cpu")(np.zeros((4, 2), np.float32))


def test_half_precision_comes_out_as_float32_near_the_full_one():
    torch.manual_seed(0)
    x = np.random.default_rng(0).random((5, 64), dtype=np.float32)
    module = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 3))
    (half,), (full,) = (DeviceRunner(module, "cpu", half=way)(x) for way in (True, False))
    assert half.dtype == np.float32 and np.allclose(half, full, atol=5e-3)
    assert not np.array_equal(half, full)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(monkeypatch):
    assert not on_gpu()
    monkeypatch.setenv("VISITA_DEVICE", "cuda")
    with pytest.raises(ConfigError, match="torch finds no GPU: unset it"):
        on_gpu()
    monkeypatch.setenv("VISITA_DEVICE", "tpu")
    with pytest.raises(ConfigError, match="set it to cpu or cuda"):
        on_gpu()
