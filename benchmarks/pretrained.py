"""What pretrained matchers cost beside the shipped ones: reading pictures, a query, memory.

python benchmarks/pretrained.py FOLDER [--sizes B/32 B/16] [--pictures 32] [--rounds 3]

The networks are of CLIP's sizes with random weights, which cost what trained ones do: as they run
here by default (in int8, bfloat16 or float32, whichever the processor does best), in float32, and
as transformers runs them itself. Each round runs every matcher once, in a process of
its own whose graphs were exported before. *a CPU second* counts the seconds of all cores that the
process had, so a busy machine changes it little; *a search* those of a cold ``visita search``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import transformers
from tokenizers import pre_tokenizers

from visita.matchers import SHIPPED

SIZES = {
    "B/32": {"patch_size": 32},
    "B/16": {"patch_size": 16},
    "L/14": {
        "patch_size": 14,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
}
EAGER = "transformers"
HEAD = """| matcher | pictures/s | a CPU second | its ratio | ms a query | peak, MB | a search, s |
|---|---:|---:|---:|---:|---:|---:|"""
CODE = """
import re, sys, time
from pathlib import Path
import numpy as np
paths = sorted(Path(sys.argv[2]).iterdir())[: int(sys.argv[3])]
{read}
embed_texts(["warm"])
embed_pictures(paths[:1])
wall, cpu = time.perf_counter(), time.process_time()
vectors = embed_pictures(paths)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
started = time.process_time()
for number in range(20):
    embed_texts([f"{{number}} dogs on a beach"])
query = (time.process_time() - started) / 20
pair = embed_pair(paths[:8])
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
np.save(sys.argv[4], vectors)
print("measured", len(paths) / wall, len(paths) / cpu, 1e3 * query, peak, 1e3 * pair)
"""
OURS = CODE.format(
    read="""
import visita
finder = visita.Finder(sys.argv[1])
embed_texts = finder.embed_texts
def embed_pictures(paths):
    encoded = finder.pictures.encode((path.name, path) for path in paths)
    return np.concatenate([finder.matcher.embed_images(batch.columns) for batch in encoded])
def embed_pair(paths):
    second = finder.matcher.reranker
    if second is None:
        return float("nan")
    encoded = finder.pictures.encode((path.name, path) for path in paths)
    pictures = np.concatenate([second.pack_images(batch.columns) for batch in encoded])
    [text] = second.pack_texts(["a dog on a beach"])
    second.scores(pictures, text)
    started = time.process_time()
    second.scores(pictures, text)
    return (time.process_time() - started) / len(pictures)
"""
)
THEIRS = CODE.format(
    read="""
import torch, transformers
from PIL import Image
name = sys.argv[1].partition(":")[2]
model = transformers.CLIPModel.from_pretrained(name).eval()
processor = transformers.CLIPProcessor.from_pretrained(name)
@torch.inference_mode()
def embed_texts(texts):
    return model.get_text_features(**processor(text=texts, return_tensors="pt"))
@torch.inference_mode()
def embed_pictures(paths):
    vectors = []
    for at in range(0, len(paths), 4):
        pictures = [Image.open(path).convert("RGB") for path in paths[at : at + 4]]
        inputs = processor(images=pictures, return_tensors="pt")
        vectors.append(model.get_image_features(**inputs).pooler_output.numpy())
    return np.concatenate(vectors)
def embed_pair(paths):
    return float("nan")
"""
)


def main() -> None:
    """Print a Markdown table: medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=["B/32", "B/16"])
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        matchers = {name: (name, "") for name in SHIPPED}
        for size in options.sizes:
            name = f"clip:{written(size, Path(scratch))}"
            for precision in ("", "float32", EAGER):
                matchers[row_of(size, precision)] = (name, precision)
        bench = Bench(options.folder, options.pictures, Path(scratch))
        for row, matcher in matchers.items():
            bench.costs(row, *matcher)
        rounds = [
            {row: bench.costs(row, *matcher) for row, matcher in matchers.items()}
            for _ in range(options.rounds)
        ]
        print(HEAD)
        for row in matchers:
            rate, of_cpu, query, peak, _, search = (
                statistics.median(v) for v in zip(*(r[row] for r in rounds), strict=True)
            )
            ratio = statistics.median(r[row][1] / r["visita-small"][1] for r in rounds)
            print(
                f"| {row} | {rate:.1f} | {of_cpu:.1f} | {ratio:.3f} | {query:.1f} | {peak:.0f} "
                f"| {search:.1f} |"
            )
        print()
        for size in options.sizes:
            row, exact, eager = (row_of(size, how) for how in ("", "float32", EAGER))
            faster, than_eager = (
                statistics.median(r[row][1] / r[other][1] for r in rounds)
                for other in (exact, eager)
            )
            search = statistics.median(r[row][-1] / r["visita-small"][-1] for r in rounds)
            print(
                f"{row}: {faster:.2f} times as fast as in float32, {than_eager:.2f} times as "
                f"transformers; a search takes {search:.2f} of visita-small's; mean cosine to "
                f"float32 {bench.cosine(row, exact):.4f}."
            )


class Bench:
    """Runs each matcher in processes of its own, with a home for each precision."""

    def __init__(self, folder: Path, pictures: int, scratch: Path) -> None:
        self.folder = folder
        self.pictures = pictures
        self.scratch = scratch

    def costs(self, row: str, matcher: str, precision: str) -> list[float]:
        """Return what ``reading`` does, and the CPU seconds of a search."""
        search = float("nan")
        if precision != EAGER:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            self._run(
                precision, "-m", "visita", "search", "a dog", self.folder, "--matcher", matcher
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            search = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [*self.reading(row, matcher, precision), search]

    def reading(self, row: str, matcher: str, precision: str) -> list[float]:
        """Return pictures a second and a CPU second, ms of a query, MB, ms of a re-ranked pair."""
        code = THEIRS if precision == EAGER else OURS
        out = self._run(
            precision, "-c", code, matcher, self.folder, self.pictures, self._vectors(row)
        )
        return [float(word) for word in out.split()[1:]]

    def cosine(self, *rows: str) -> float:
        """Return the mean cosine of a picture's vectors in two rows."""
        one, other = (np.load(self._vectors(row)) for row in rows)
        return float((one * other).sum(1).mean())

    def _vectors(self, row: str) -> Path:
        return self.scratch / f"{row.replace('/', '-')}.npy"

    def _run(self, precision: str, *arguments: object) -> str:
        home = {"VISITA_HOME": str(self.scratch / f"home-{precision}")}
        asked = {} if precision in ("", EAGER) else {"VISITA_PRECISION": precision}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
            env=os.environ | home | asked,
        )
        return done.stdout


def row_of(size: str, precision: str) -> str:
    """Return what the row of a network is called."""
    return f"CLIP ViT-{size}{precision and ', '}{precision}"


def written(size: str, scratch: Path) -> Path:
    """Write a CLIP of one size, with random weights."""
    folder = scratch / size.replace("/", "-")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    ends = {"bos_token_id": len(vocab) - 2, "eos_token_id": len(vocab) - 1}
    config = transformers.CLIPConfig(vision_config=SIZES[size], text_config=ends)
    transformers.CLIPModel(config).save_pretrained(folder)
    tokenizer = transformers.CLIPTokenizer(vocab=vocab, merges=[])
    seen = transformers.CLIPImageProcessorPil()
    transformers.CLIPProcessor(seen, tokenizer).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
