"""What networks may be computed in, and what is found out about this machine once."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from visita.artifact import fingerprint_of, read_sealed, write_sealed
from visita.durable import make_folder
from visita.encoders.openvino import ov
from visita.errors import ArtifactError, ConfigError
from visita.home import cache_home

VARIABLE = "VISITA_PRECISION"
FLOAT32, FLOAT16, BFLOAT16, INT8 = "float32", "float16", "bfloat16", "int8"
"""``FLOAT16`` keeps weights in 16 bits and computes in float32; ``BFLOAT16`` computes in it."""
T = TypeVar("T")


def allowed() -> tuple[str, ...]:
    """Return what networks may be computed in, the better first; ``VISITA_PRECISION`` names one.

    Raises
    ------
    ConfigError
        If it names something else, or what this processor does not have.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", FLOAT32, BFLOAT16, INT8):
        raise ConfigError(
            f"{VARIABLE} is {wanted!r}: set it to {FLOAT32}, {BFLOAT16} or {INT8}, or unset it."
        )
    if wanted == BFLOAT16 and not has_bfloat16():
        raise ConfigError(f"This processor has no {BFLOAT16}: unset {VARIABLE}.")
    if wanted:
        return (wanted,)
    return (INT8, BFLOAT16, FLOAT16, FLOAT32) if has_bfloat16() else (INT8, FLOAT16, FLOAT32)


@cache
def has_bfloat16() -> bool:
    """Tell whether OpenVINO computes in bfloat16 here; where the processor has no units for it,
    that can be slower than float32."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


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
