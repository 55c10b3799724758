"""What networks are computed in: float32, or int8 where this processor gains by it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import numpy as np

from visita.artifact import fingerprint_of, read_sealed, write_sealed
from visita.durable import make_folder
from visita.encoders.openvino import ops, ov
from visita.errors import ArtifactError, ConfigError
from visita.home import cache_home

T = TypeVar("T")

VARIABLE = "VISITA_PRECISION"
FLOAT32, INT8 = "float32", "int8"
MIN_GAIN = 1.5
"""How much faster products in int8 have to be: processors without VNNI or the like reach 1.1."""
MOST_STEPS = 127
_ROWS, _WIDTH, _INNER = 200, 768, 3072  # the widest layer of a ViT-B, and four pictures of /32
_RUNS = 7
_HIGHEST = 4.0


def allowed() -> tuple[str, ...]:
    """Return what networks may be computed in, the better first; ``VISITA_PRECISION`` names one.

    Raises
    ------
    ConfigError
        If it names something else.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", FLOAT32, INT8):
        raise ConfigError(f"{VARIABLE} is {wanted!r}: set it to {FLOAT32} or {INT8}, or unset it.")
    return (wanted,) if wanted else (INT8, FLOAT32)


@cache
def int8_gain() -> float:
    """Return how many times as fast as in float32 this processor multiplies matrices in int8."""
    return float(found_out("gain", None, _gain))


@cache
def weight_steps() -> int:
    """Return how many steps of int8 weights may have here to each side of 0: 127, or else 63.

    Without VNNI or the like, sums of two products are cut off at 16 bits, which 127 can exceed.
    """
    return int(found_out("steps", None, _steps))


def found_out(name: str, facts: Any, work_out: Callable[[], T]) -> T:
    """Return what is true of this machine, an answer in JSON that is worked out once and kept."""
    machine = [ov.get_version(), ov.Core().get_property("CPU", "FULL_DEVICE_NAME")]
    place = cache_home() / "precisions" / f"{name}-{fingerprint_of([name, facts, machine])}.json"
    with suppress(ArtifactError, KeyError):
        kept: T = read_sealed(place)[name]
        return kept
    answer = work_out()
    with suppress(OSError):  # then it is worked out again next time
        make_folder(place.parent)
        write_sealed(place, {name: answer})
    return answer


def _gain() -> float:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((_ROWS, _WIDTH), dtype=np.float32)
    weights = rng.standard_normal((_INNER, _WIDTH), dtype=np.float32)
    requests = [_compiled(weights, int8=int8) for int8 in (False, True)]
    # In turn, and the quickest of each: another process may take the core for a while.
    float32, int8 = zip(*([_seconds(r, x) for r in requests] for _ in range(_RUNS)), strict=True)
    return float(min(float32) / min(int8))


def _steps() -> int:
    size = 64
    request = _compiled(np.full((size, size), _HIGHEST, np.float32), int8=True)
    result = request.infer([np.full((1, size), _HIGHEST, np.float32)])[0]
    return MOST_STEPS if np.allclose(result, size * _HIGHEST**2, rtol=0.01) else 63


def _compiled(weights: np.ndarray, *, int8: bool) -> ov.InferRequest:
    x = ops.parameter([-1, weights.shape[1]], np.float32)
    left, right = x, ops.constant(weights)
    if int8:
        zero, high = np.float32(0), np.float32(_HIGHEST)
        left = ops.fake_quantize(left, zero, high, zero, high, 256)
        right = ops.fake_quantize(right, -high, high, -high, high, 255)
    model = ov.Model([ops.matmul(left, right, False, True)], [x], "probe")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
    return ov.Core().compile_model(model, "CPU", settings).create_infer_request()


def _seconds(request: ov.InferRequest, x: np.ndarray) -> float:
    start = time.perf_counter()
    request.infer([x])
    return time.perf_counter() - start
