"""What a matcher costs in use: time, memory, bytes a picture, parameters.

``measure_apart`` runs this file as a process of its own, so that its peak of memory is the
matcher's and no other's. Parameters it counts here, as that loads torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from safetensors import safe_open

from visita.encoders.joined_text import JoinedText
from visita.encoders.table import IMAGE_ENCODERS
from visita.errors import VisitaError
from visita.matchers import load
from visita.matchers.cross_modal import CrossModalReranker
from visita.search.passages import passages
from visita.search.query import Query
from visita.store.pictures import CHUNK, RecipeEncoder
from visita.types import FloatArray, Matcher, TextEncoder
from visita.vectors import unit

GALLERY = 10_000
"""Vectors that a query is compared with."""
PICTURES, TEXTS = 128, 30
"""How many are read, and asked."""


def measure_apart(
    matcher: str | Path, pictures: Sequence[Path], texts: Sequence[str]
) -> dict[str, float]:
    """Return ``measure`` of a matcher by its name or folder, from a process of its own.

    With it are its ``parameters``.

    Raises
    ------
    VisitaError
        If the process fails; the message is its last line.
    """
    task = {"matcher": str(matcher), "pictures": [str(p) for p in pictures], "texts": list(texts)}
    command = [sys.executable, "-m", "visita.reports.costs"]
    done = subprocess.run(
        command, input=json.dumps(task), capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise VisitaError(f"What it costs could not be measured: {lines[-1]}")
    costs: dict[str, float] = json.loads(done.stdout)
    return costs | {"parameters": parameters(load(matcher))}


def measure(matcher: Matcher, pictures: Sequence[Path], texts: Sequence[str]) -> dict[str, float]:
    """Return what reading ``pictures`` and asking ``texts`` takes.

    Returns
    -------
    dict
        ``pictures_per_second``, files to vectors on all cores; ``query_ms``, the median of one
        text in, ``GALLERY`` vectors compared and the first re-scored where the matcher does so;
        ``bytes_per_picture``, what is compared; and ``peak_memory``'s.

    Raises
    ------
    VisitaError
        If no picture can be read.
    """
    vectors, packed, rate = _read(matcher, pictures)
    milliseconds = _asked(matcher, texts, vectors, packed)
    return {
        "pictures_per_second": rate,
        "query_ms": milliseconds,
        "bytes_per_picture": vectors[0].nbytes + (packed[0].nbytes if packed is not None else 0),
        **peak_memory(),
    }


def _read(matcher: Matcher, pictures: Sequence[Path]) -> tuple[FloatArray, Any, float]:
    encoder = RecipeEncoder(matcher.recipe)
    items = [(str(path), path) for path in pictures]
    for _ in encoder.encode(items[:CHUNK]):  # exports the network where that was never done
        pass
    started = time.perf_counter()
    vectors, packed = [], []
    for batch in encoder.encode(items):
        if not batch.keys:
            continue
        vectors.append(matcher.embed_images(batch.columns))
        if matcher.reranker:
            packed.append(matcher.reranker.pack_images(batch.columns))
    seconds = time.perf_counter() - started
    if not vectors:
        raise VisitaError("none of the pictures can be read.")
    joined = np.concatenate(vectors)
    return joined, np.concatenate(packed) if packed else None, len(joined) / seconds


def _asked(matcher: Matcher, texts: Sequence[str], vectors: FloatArray, packed: Any) -> float:
    rng = np.random.default_rng(0)
    gallery = unit(rng.standard_normal((GALLERY, vectors.shape[1]), dtype=np.float32))
    encoder = matcher.open_text_encoder()
    milliseconds = []
    for text in islice((t for t in texts if t.strip()), 1 + TEXTS):
        started = time.perf_counter()
        query = Query.from_texts(passages(text), encoder, matcher)
        scores = gallery @ query.pooled()
        np.argpartition(-scores, 50)
        if query.reranker:
            rows = np.arange(matcher.depth) % len(packed)
            query.combine(scores[: matcher.depth], query.rerank_scores(packed[rows]))
        milliseconds.append(1000 * (time.perf_counter() - started))
    return median(milliseconds[1:] or milliseconds)  # the first loads what is loaded once


def parameters(matcher: Matcher) -> int:
    """Return how many numbers encoders and matcher consist of."""
    levels = matcher.recipe.levels
    pictures = (
        _count(IMAGE_ENCODERS.load(name)(), its_levels) for name, its_levels in levels.items()
    )
    texts = {encoder.name: _count(encoder) for encoder in _text_encoders(matcher)}
    return sum(pictures) + sum(texts.values()) + _saved_numbers(matcher)


def _text_encoders(matcher: Matcher) -> list[TextEncoder]:
    encoders = [matcher.open_text_encoder()]
    if isinstance(matcher.reranker, CrossModalReranker):
        encoders.append(matcher.reranker.open_text_encoder())
    return [
        inner
        for encoder in encoders
        for inner in (encoder.encoders if isinstance(encoder, JoinedText) else [encoder])
    ]


def _count(encoder: Any, *levels: Sequence[str]) -> int:
    """Return the parameters of an encoder's network; what is fitted is saved with the matcher."""
    if not hasattr(encoder, "network"):
        return 0
    return sum(parameter.numel() for parameter in encoder.network(*levels).parameters())


def _saved_numbers(matcher: Matcher) -> int:
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        matcher.save(Path(folder, "matcher"))
        for path in Path(folder).rglob("*.safetensors"):
            with safe_open(path, "numpy") as file:
                shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
            total += sum(int(np.prod(shape)) for shape in shapes)
    return total


def peak_memory() -> dict[str, float]:
    """Return ``peak_mb``, the most memory that this process held; on Windows nothing tells."""
    if sys.platform == "win32":
        return {}
    if sys.platform == "linux":  # ru_maxrss is never below the parent's
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
        [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return {"peak_mb": int(peak) / 1e3}
    import resource  # noqa: PLC0415  Windows lacks it

    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}


def _main(task: Mapping[str, Any]) -> None:
    try:
        costs = measure(load(task["matcher"]), [Path(p) for p in task["pictures"]], task["texts"])
    except VisitaError as error:
        sys.exit(str(error))
    print(json.dumps(costs))


if __name__ == "__main__":
    _main(json.load(sys.stdin))
