"""Torch modules exported once to OpenVINO graphs, kept in the cache and run without torch.

Of each network one graph is kept, in int8, bfloat16, float16 or float32; which of them is found out
when it is made, and stays. Where a module cannot be exported, torch runs it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of, read_sealed, write_sealed
from visita.durable import checksum_of, draft_beside, make_folder, sync_folder, sync_tree
from visita.encoders.device import gpu_runner, on_gpu
from visita.encoders.engine import (
    MIN_COSINE,
    MIN_INT8_COSINE,
    Graph,
    Runner,
    compiled,
    least_cosine,
)
from visita.encoders.openvino import ov, trace
from visita.encoders.precision import BFLOAT16, FLOAT16, FLOAT32, INT8, allowed
from visita.encoders.quantizable import layers_of, weight_count
from visita.encoders.quickest import Samples, arithmetic, quickest
from visita.errors import ArtifactError, UnwritableError, extras_named, last_line
from visita.home import cache_home
from visita.progress import say
from visita.types import FloatArray

XML, BIN, FACTS = "graph.xml", "graph.bin", "graph.json"


class TorchRunner:
    """The fall-back: the torch module itself."""

    def __init__(self, module: Any) -> None:
        self._module = module.eval()

    def __call__(self, *inputs: NDArray[Any]) -> tuple[FloatArray, ...]:
        """Run the module once without gradients."""
        import torch  # noqa: PLC0415 - only where no graph could be made

        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(np.ascontiguousarray(x)) for x in inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(o.numpy().astype(np.float32) for o in outputs)


def export(
    module: Any,
    examples: Sequence[NDArray[Any]],
    shapes: Sequence[Sequence[int]],
    path: Path,
) -> None:
    """Write ``module`` as an OpenVINO graph and check it against torch.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode; returns a tensor or a tuple of tensors.
    examples : arrays
        Inputs to trace and to compare on.
    shapes : one shape an input
        With -1 for a dimension that may vary.
    path : Path
        The ``.xml`` file; its weights go beside it as ``.bin``.

    Raises
    ------
    ArtifactError
        If an output vector's cosine to torch's is below ``MIN_COSINE``, or the disk refuses.
    """
    expected = TorchRunner(module)(*examples)
    _save(_converted(module, examples, shapes, expected), examples, path)


class Converted(NamedTuple):
    """A graph that agrees with torch, on no disk yet, and what it makes of the examples."""

    model: ov.Model
    outputs: tuple[FloatArray, ...]


def _converted(
    module: Any,
    examples: Sequence[NDArray[Any]],
    shapes: Sequence[Sequence[int]],
    expected: Sequence[FloatArray],
) -> Converted:
    model = trace(module, examples)
    model.reshape(dict(enumerate(ov.PartialShape(list(shape)) for shape in shapes)))
    outputs = Graph(model)(*examples)
    cosine = least_cosine(expected, outputs)
    if not cosine >= MIN_COSINE:  # NaN is no cosine
        raise ArtifactError(f"the exported graph differs from torch (cosine {cosine:.5f})")
    return Converted(model, outputs)


def _save(
    converted: Converted,
    examples: Sequence[NDArray[Any]],
    path: Path,
    *,
    halved: bool = False,
    least: float = MIN_COSINE,
) -> None:
    """Write a graph and see that it is all there: OpenVINO does not always notice a full disk."""
    try:
        ov.save_model(converted.model, str(path), compress_to_fp16=halved)
        sync_tree(path.parent)
        if not least_cosine(converted.outputs, Graph(path)(*examples)) >= least:
            raise ArtifactError("what was written came back changed")
    except (OSError, RuntimeError, ArtifactError) as error:
        raise _unwritable(path.parent, error) from error


def _saved(
    converted: Converted, examples: Sequence[NDArray[Any]], path: Path, precision: str
) -> str:
    """Write a graph and return its precision: float32 too where 16 bits change what it computes."""
    if precision in (FLOAT16, BFLOAT16):
        with suppress(UnwritableError):  # a full disk is met again
            _save(converted, examples, path, halved=True)
            return precision
    # In int8 one step more or less in the first layers is many in the last.
    least = MIN_INT8_COSINE if precision.startswith(INT8) else MIN_COSINE
    _save(converted, examples, path, least=least)
    return FLOAT32 if precision == FLOAT16 else precision


def _unwritable(folder: Path, error: Exception) -> UnwritableError:
    full = shutil.disk_usage(folder).free < 2**20
    reason = "the disk is full" if full else getattr(error, "strerror", None) or last_line(error)
    return UnwritableError(
        f"{folder} cannot be written ({reason}): make room there, or set VISITA_HOME to a folder "
        "on another disk.",
        reason,
    )


@dataclass(frozen=True)
class CachedNetwork:
    """A network whose graph is kept in the cache: made on first use, and again if damaged.

    Torch is imported once for it and never again. On a GPU (see ``device``) the module itself
    runs.

    Attributes
    ----------
    name : str
        What it is called in the cache and in messages.
    facts : mapping
        What decides the graph, as JSON values; OpenVINO's version is added.
    module : callable
        Builds the torch module.
    examples : callable
        Inputs to trace and to compare on.
    shapes : one shape an input
        With -1 for a dimension that may vary.
    half : bool
        Compute in half precision on a GPU.
    samples : callable, optional
        Inputs to quantise the network by, and others to judge it on; without, it computes in
        float32.
    halved : bool
        Keep the weights in 16 bits a number where there are many, and it is not in int8.
    """

    name: str
    facts: Mapping[str, Any]
    module: Callable[[], Any]
    examples: Callable[[], Sequence[NDArray[Any]]]
    shapes: Sequence[Sequence[int]]
    streams: int = 1
    half: bool = False
    samples: Samples | None = None
    halved: bool = False

    def precision(self) -> str:
        """Return what it is computed in here: "float32", "float16" (so its weights are kept),
        "bfloat16", or "int8" with what decides its numbers.

        Raises
        ------
        ArtifactError, ConfigError
            As ``runner``.
        """
        if on_gpu() or self._allowed == (FLOAT32,):
            return FLOAT32
        if not self._suits(self._card()):
            self.runner()
        card = self._card()  # still none where torch runs it
        return str(card.get("precision", FLOAT32)) if card else FLOAT32

    def runner(self) -> Runner:
        """Return what runs it.

        Raises
        ------
        ArtifactError
            If the cache cannot be written, or torch cannot run the network.
        ConfigError
            If ``VISITA_PRECISION`` asks for int8 or bfloat16, and that is too coarse for it.
        """
        if on_gpu():
            return gpu_runner(self.name, self.module, half=self.half)
        if graph := self._kept():
            return graph
        try:
            make_folder(self.folder.parent)
            with filelock.FileLock(self.folder.with_suffix(".lock")):
                return self._kept() or self._made()
        except OSError as error:
            raise _unwritable(_existing(self.folder), error) from error

    @cached_property
    def folder(self) -> Path:
        """Where the graph is kept."""
        shapes = [list(shape) for shape in self.shapes]
        key = fingerprint_of({**self.facts, "openvino": ov.get_version(), "shapes": shapes})
        # A network's name may be that of a folder, and long.
        name = re.sub(r"[^\w.-]+", "-", self.name)[-100:]
        return cache_home() / "graphs" / f"{name}-{key}"

    @property
    def _allowed(self) -> tuple[str, ...]:
        can_be = {FLOAT32: True, FLOAT16: self.halved}
        can_be |= dict.fromkeys((BFLOAT16, INT8), self.samples is not None)
        return tuple(name for name in allowed() if can_be[name]) or (FLOAT32,)

    def _card(self) -> Mapping[str, Any] | None:
        """Return what is said of the graph in the cache; None if nothing that can be read."""
        with suppress(ArtifactError, OSError):
            return read_sealed(self.folder / FACTS)
        return None

    def _suits(self, card: Mapping[str, Any] | None) -> bool:
        """Tell whether a graph is of a precision that it may run in, or can have no other."""
        if card is None:
            return False
        precision = str(card.get("precision", FLOAT32))
        return precision.partition(" ")[0] in self._allowed or 0 in (
            card.get("weights"),
            card.get("linear"),
        )

    def _kept(self) -> Graph | None:
        """Return the graph in the cache; None if there is none, or it is not what was written."""
        card = self._card()
        if card is None or not self._suits(card):
            return None
        with suppress(ArtifactError, OSError):
            if card.get("files") == _checksums(self.folder):
                return self._compiled(card)
        return None

    def _made(self) -> Runner:
        card = self._card()
        is_another = card is not None and not self._suits(card)  # of another precision, and sound
        is_damaged = self.folder.exists() and not is_another
        why = "its graph is damaged or of an older visita: " if is_damaged else ""
        say(f"{why}preparing {self.name} for this machine (once)")
        with extras_named(self.name):
            module = self.module()
        examples = self.examples()
        expected = _by_torch(self.name, module, examples)
        try:
            converted = _converted(module, examples, self.shapes, expected)
        except Exception as error:  # whatever OpenVINO meets, torch can run it
            say(f"OpenVINO cannot run {self.name} ({last_line(error)}); torch runs it, more slowly")
            return TorchRunner(module)
        weights = weight_count(layers_of(converted.model))
        samples = self.samples if weights else None
        way = quickest(self.name, converted.model, weights, self._allowed, samples)
        if way.model is not converted.model:
            converted = Converted(way.model, Graph(way.model)(*examples))
        with draft_beside(self.folder) as draft:
            facts = {
                "precision": _saved(converted, examples, draft / XML, way.precision),
                "openvino": ov.get_version(),
                "files": _checksums(draft),
                "weights": weights,
            }
            write_sealed(draft / FACTS, facts)
            shutil.rmtree(self.folder, ignore_errors=True)
            draft.replace(self.folder)
            sync_folder(self.folder.parent)
        return self._compiled(facts)

    def _compiled(self, card: Mapping[str, Any]) -> Graph:
        state = (self.folder / BIN).stat()  # a graph reads from the file that it was made of
        path, rest = self.folder / XML, arithmetic(str(card.get("precision")))
        key = (path, self.streams, state.st_ino, state.st_mtime_ns, os.getpid())
        return compiled(key, lambda: Graph(path, streams=self.streams, arithmetic=rest))


def cached_runner(
    name: str,
    facts: Mapping[str, Any],
    module: Callable[[], Any],
    examples: Callable[[], Sequence[NDArray[Any]]],
    shapes: Sequence[Sequence[int]],
    *,
    streams: int = 1,
    half: bool = False,
) -> Runner:
    """Return the ``runner`` of a ``CachedNetwork`` in float32."""
    return CachedNetwork(name, facts, module, examples, shapes, streams=streams, half=half).runner()


def _by_torch(name: str, module: Any, examples: Sequence[NDArray[Any]]) -> Sequence[FloatArray]:
    try:
        return TorchRunner(module)(*examples)
    except Exception as error:  # a stranger's weights may suit each other in no way
        raise ArtifactError(f"The network of {name} cannot be run ({last_line(error)}).") from error


def _checksums(folder: Path) -> dict[str, str]:
    return {name: checksum_of(folder / name) for name in (XML, BIN)}


def _existing(folder: Path) -> Path:
    """Return the nearest folder on the way up that is there."""
    return folder if folder.is_dir() else _existing(folder.parent)
