"""What finds the ten nearest of many vectors for a text: recall, time, memory and room.

python runs/vector_engines.py --data flickr8k:PATH --scratch FOLDER [--sizes 10000 100000]
    [--engines exact inverted ...] [--out docs/results/vector-engines.md]

Vectors are those of the pictures of train and dev with noise, drawn with their covariance and so
strong that a vector is as near to its nearest as a real one to its own. Queries are captions of
dev; what an engine learns of texts it learns from captions of train. Each engine runs in a
process of its own, on one thread; times are the processor's. faiss-cpu, usearch and lancedb are
measured where they are installed. What was measured before, in FOLDER, is kept.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import visita
from visita.data import open_pairs
from visita.evaluation.measure import features_for, vectors
from visita.gallery.inverted import Inverted, Looked, neighbours

SEED = 0
TEXTS = 300
K = 10
SIZES = (10_000, 100_000, 1_000_000)
BLOCK = 50_000
Search = Callable[[Any], Any]
"""From a query (512,) to the rows of the best ten."""


def main() -> None:
    """Measure what was not, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES[:2])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.scratch, options.one[0], int(options.one[1]))))
        return
    for size in options.sizes:
        prepare(options.data, options.scratch, size)
    kept = options.scratch / "measured.json"
    rows = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for size in options.sizes:
        for engine in options.engines:
            if f"{engine} {size}" not in rows:
                rows[f"{engine} {size}"] = in_a_process(options, engine, size)
                kept.write_text(json.dumps(rows, indent=1), "utf-8")
    page = "\n".join([*HEAD, *lines(rows), ""])
    print(page)
    if options.out:
        options.out.write_text(page, encoding="utf-8")


def prepare(data: str, scratch: Path, size: int) -> None:
    """Write so many vectors, the queries, and what is nearest to them, unless they are there."""
    if (scratch / f"best-{size}.npy").exists():
        return
    images, train, dev = real(data, scratch)
    rng = np.random.default_rng(SEED)
    grown = np.lib.format.open_memmap(
        scratch / f"vectors-{size}.npy", "w+", np.float32, (size, images.shape[1])
    )
    if not (scratch / "noise.npy").exists():
        np.save(scratch / "noise.npy", noise_of(images))
    strength = float(np.load(scratch / "noise.npy"))
    for start in range(0, size, BLOCK):
        grown[start : start + BLOCK] = noisy(images, min(BLOCK, size - start), strength, rng)
    asked = np.random.default_rng(SEED + 1)  # the same for each size
    np.save(scratch / "learnt.npy", train[asked.permutation(len(train))[:2000]])
    queries = dev[asked.permutation(len(dev))[:TEXTS]]
    np.save(scratch / "queries.npy", queries)
    np.save(scratch / f"best-{size}.npy", neighbours(grown, queries, K))
    cosine = nearest_cosine(grown[:BLOCK], 500)
    print(f"{size}: noise {strength:.2f}, nearest of the first {BLOCK} at {cosine:.2f}")


def real(data: str, scratch: Path) -> tuple[Any, ...]:
    """Return the vectors of all pictures, of the captions of train and of those of dev."""
    if not (scratch / "dev-texts.npy").exists():
        matcher = visita.load("visita-small")
        for split in ("train", "dev"):
            pairs = open_pairs(data).take(split)
            made = vectors(matcher, features_for(matcher, pairs, None))
            for name, array in zip(("images", "texts"), made, strict=True):
                np.save(scratch / f"{split}-{name}.npy", array)
    names = ("train-images", "dev-images", "train-texts", "dev-texts")
    one, other, train, dev = (np.load(scratch / f"{name}.npy") for name in names)
    return np.concatenate([one, other]), train, dev


def noise_of(images: Any) -> float:
    """Return the noise with which a vector's nearest is as near as the real ones' is."""
    wanted = nearest_cosine(images, 1000)
    strengths = np.arange(0.7, 1.5, 0.05)
    rng = np.random.default_rng(SEED)
    found = [nearest_cosine(noisy(images, BLOCK, s, rng), 100) for s in strengths]
    print(f"nearest of {len(images)} real vectors at {wanted:.2f}")
    return float(strengths[np.abs(np.array(found) - wanted).argmin()])


def nearest_cosine(vectors: Any, count: int) -> float:
    """Return the median cosine of some vectors to their nearest."""
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = directions[:count] @ directions.T
    cosines[np.arange(count), np.arange(count)] = -1
    return float(np.median(cosines.max(axis=1)))


def noisy(images: Any, count: int, strength: float, rng: np.random.Generator) -> Any:
    """Return real vectors with noise of their own covariance, as long as they were."""
    lengths = np.linalg.norm(images, axis=1, keepdims=True)
    values, axes = np.linalg.eigh(np.cov((images / lengths).T))
    scale = np.sqrt(values.clip(0) / values.sum())
    drawn = rng.integers(len(images), size=count)
    axes = (axes * scale).T.astype(np.float32)
    noise = rng.standard_normal((count, len(values)), np.float32) @ axes
    mixed = images[drawn] / lengths[drawn] + strength * noise
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True) * lengths[drawn]).astype("f4")


def in_a_process(options: argparse.Namespace, engine: str, size: int) -> dict[str, Any]:
    """Return what one engine is like, or why that is not known."""
    command = [sys.executable, __file__, "--data", options.data, "--scratch", options.scratch]
    done = subprocess.run(
        [*map(str, command), "--one", engine, str(size)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    print(engine, size, done.stdout.strip() or done.stderr[-300:], flush=True)
    return json.loads(done.stdout) if not done.returncode else {"failed": done.stderr[-300:]}


def measured(scratch: Path, engine: str, size: int) -> dict[str, Any]:
    """Return the numbers of one engine on so many vectors."""
    vectors = np.asarray(np.load(scratch / f"vectors-{size}.npy", mmap_mode="r"))
    queries, best = np.load(scratch / "queries.npy"), np.load(scratch / f"best-{size}.npy")
    before, start = memory(), time.process_time()
    search, room = ENGINES[engine](vectors, np.load(scratch / "learnt.npy"), scratch)
    build = time.process_time() - start
    seconds, hits = [], 0
    for query, rows in [*zip(queries[:20], best, strict=False), *zip(queries, best, strict=True)]:
        start = time.process_time()
        found = search(query)
        seconds.append(time.process_time() - start)
        hits += np.isin(rows, found).sum() if len(seconds) > 20 else 0
    after = memory()
    return {
        "recall": hits / best.size,
        "p50": float(np.quantile(seconds[20:], 0.5)) * 1e3,
        "p99": float(np.quantile(seconds[20:], 0.99)) * 1e3,
        "build": build,
        "anonymous": (after["Anonymous"] - before["Anonymous"]) / 1e3,
        "mapped": (after["Rss"] - after["Anonymous"]) / 1e3,
        "room": room / size,
    }


def memory() -> dict[str, int]:
    """Return the kilobytes of this process that are in memory, and of those the anonymous."""
    words = (
        line.split() for line in Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines()[1:]
    )
    return {name.rstrip(":"): int(size) for name, size, *_ in words}


def rescored(vectors: Any, query: Any, rows: Any) -> Any:
    """Return the ten best of some rows by the whole vectors."""
    rows = np.sort(rows[rows >= 0])
    return rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:K]]


def exact(vectors: Any, _: Any, __: Path) -> tuple[Search, float]:
    """Every product, by numpy."""
    whole = np.array(vectors)
    return (lambda query: np.argpartition(-(whole @ query), K)[:K]), 0


def inverted(vectors: Any, learnt: Any, scratch: Path) -> tuple[Search, float]:
    """What ``visita.gallery.inverted`` does, its arrays mapped from disk."""
    made = Inverted.build(vectors, learnt[:200])
    room = 0
    for field in fields(made):
        array = getattr(made, field.name)
        if isinstance(array, np.ndarray):
            path = scratch / f"inverted-{field.name}.npy"
            np.save(path, array)
            made = replace(made, **{field.name: np.asarray(np.load(path, mmap_mode="r"))})
            room += array.nbytes
    del array
    looked = Looked(made, np.ones(len(vectors), bool))
    return (lambda query: rescored(vectors, query, looked.near(query, K, 1000))), room


def reduced(vectors: Any, learnt: Any, _: Path) -> tuple[Search, float]:
    """All vectors, reduced to the 64 directions that tell the scores of captions best."""
    moments = [np.asarray(a.T @ a / len(a), float) for a in (learnt, vectors[:BLOCK])]
    values, axes = np.linalg.eigh(0.7 * moments[0] + 0.3 * np.trace(moments[0]) / 512 * np.eye(512))
    root = axes * np.sqrt(values) @ axes.T
    _, found = np.linalg.eigh(root @ moments[1] @ root)
    down = (root @ found[:, :-65:-1]).astype(np.float32)
    up = (np.linalg.inv(root) @ found[:, :-65:-1]).astype(np.float32)
    small = vectors @ down
    return (
        lambda q: rescored(vectors, q, np.argpartition(-(small @ (q @ up)), 300)[:300])
    ), small.nbytes


def faiss_engine(kind: str, depth: int, **settings: Any) -> Callable[..., Any]:
    """Return an engine of FAISS by its factory string; ``depth`` are scored again."""

    def make(vectors: Any, _: Any, scratch: Path) -> tuple[Search, float]:
        import faiss  # noqa: PLC0415

        faiss.omp_set_num_threads(1)
        index = faiss.index_factory(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        rows = np.sort(np.random.default_rng(SEED).permutation(len(vectors))[:BLOCK])
        index.train(np.array(vectors[rows]))
        for start in range(0, len(vectors), BLOCK):
            index.add(np.array(vectors[start : start + BLOCK]))
        for name, value in settings.items():
            faiss.ParameterSpace().set_index_parameter(index, name, value)
        path = scratch / "index.faiss"
        faiss.write_index(index, str(path))

        def search(query: Any) -> Any:
            rows = index.search(query[None], depth)[1][0]
            return rows if depth == K else rescored(vectors, query, rows)

        return search, path.stat().st_size

    return make


def usearch_engine(dtype: str, *, is_exact: bool, expansion: int = 64) -> Callable[..., Any]:
    """Return usearch with one type of number; exact, or by its graph."""

    def make(vectors: Any, _: Any, scratch: Path) -> tuple[Search, float]:
        from usearch.index import Index  # noqa: PLC0415

        index = Index(ndim=vectors.shape[1], metric="ip", dtype=dtype, expansion_search=expansion)
        for start in range(0, len(vectors), BLOCK):
            part = np.array(vectors[start : start + BLOCK])
            index.add(np.arange(start, start + len(part)), part, threads=1)
        index.save(scratch / "index.usearch")
        room = (scratch / "index.usearch").stat().st_size

        def search(query: Any) -> Any:
            found = index.search(query, 5 * K, exact=is_exact, threads=1)
            return rescored(vectors, query, np.asarray(found.keys, np.int64))

        return search, room

    return make


def lance_engine(kind: str, **settings: Any) -> Callable[..., Any]:
    """Return LanceDB with one kind of index."""

    def make(vectors: Any, _: Any, scratch: Path) -> tuple[Search, float]:
        import lancedb  # noqa: PLC0415
        import pyarrow as pa  # noqa: PLC0415

        database = lancedb.connect(scratch / "lance")

        def parts() -> Iterator[Any]:
            for start in range(0, len(vectors), BLOCK):
                part = np.array(vectors[start : start + BLOCK])
                flat = pa.FixedSizeListArray.from_arrays(part.ravel(), part.shape[1])
                rows = pa.array(np.arange(start, start + len(part)))
                yield pa.record_batch([rows, flat], names=["row", "vector"])

        first = next(parts())
        table = database.create_table("t", parts(), schema=first.schema, mode="overwrite")
        data = sum(f.stat().st_size for f in (scratch / "lance").rglob("*") if f.is_file())
        table.create_index(metric="dot", index_type=kind, vector_column_name="vector", **settings)
        room = sum(f.stat().st_size for f in (scratch / "lance").rglob("*") if f.is_file()) - data

        def search(query: Any) -> Any:
            found = table.search(query).distance_type("dot").nprobes(50).refine_factor(50)
            return np.array(found.limit(K).select(["row"]).to_arrow()["row"])

        return search, room

    return make


ENGINES: dict[str, Callable[..., tuple[Search, float]]] = {
    "exact": exact,
    "inverted": inverted,
    "reduced, flat": reduced,
    "FAISS flat": faiss_engine("Flat", K),
    "FAISS int8 flat": faiss_engine("SQ8", 50),
    "FAISS PQ 4 bit, 256 bytes": faiss_engine("PQ512x4fs", 200),
    "FAISS PCA + PQ 4 bit, 32 bytes": faiss_engine("PCA64,PQ64x4fs", 1000),
    "FAISS RaBitQ flat": faiss_engine("RaBitQ", 1000),
    "FAISS IVF PQ 4 bit": faiss_engine("IVF1024,PQ256x4fs", 200, nprobe=64),
    "FAISS PCA + IVF": faiss_engine("PCA64,IVF1024,Flat", 1000, nprobe=128),
    "FAISS HNSW": faiss_engine("HNSW32", K, efSearch=400),
    "FAISS HNSW int8": faiss_engine("HNSW32,SQ8", 50, efSearch=400),
    "usearch exact i8": usearch_engine("i8", is_exact=True),
    "usearch HNSW f16": usearch_engine("f16", is_exact=False, expansion=400),
    "usearch HNSW i8": usearch_engine("i8", is_exact=False, expansion=400),
    "LanceDB IVF_PQ": lance_engine("IVF_PQ", num_partitions=256, num_sub_vectors=64),
    "LanceDB IVF_HNSW_SQ": lance_engine("IVF_HNSW_SQ", num_partitions=16),
}
HEAD = (
    "# Engines for vectors",
    "",
    "`python runs/vector_engines.py`: vectors of `visita-small` with noise, captions of dev as",
    "queries, recall of the ten nearest by whole vectors; one thread of an AMD EPYC with AVX2 on a",
    "busy machine, so times are the processor's. *Room* is beside the vectors (2,048 bytes).",
    "`inverted` is what large galleries have; the captions it learns from are of train here.",
    "",
    "| engine | vectors | recall | p50 ms | p99 ms | build s | anonymous MB | mapped MB | room |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
)


def lines(rows: dict[str, Any]) -> Iterator[str]:
    """Yield a line of the table for each engine and size."""
    for key, row in rows.items():
        engine, _, size = key.rpartition(" ")
        if "failed" in row:
            continue
        yield (
            f"| {engine} | {int(size):,} | {row['recall']:.3f} | {row['p50']:.2f} "
            f"| {row['p99']:.2f} | {row['build']:.0f} | {row['anonymous']:.0f} "
            f"| {row['mapped']:.0f} | {row['room']:.0f} |"
        )


if __name__ == "__main__":
    main()
