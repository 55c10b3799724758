"""What pretrained matchers cost beside the shipped ones: reading pictures, a query, memory.

python benchmarks/pretrained.py FOLDER [--sizes B/32 B/16] [--pictures 32] [--rounds 3]

The networks are of CLIP's sizes with random weights, which cost what trained ones do. Each round
runs every matcher once, in a process of its own whose graphs were exported before. *a CPU second*
counts the seconds of all cores that the process had, so a busy machine changes it little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

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
HEAD = """| matcher | pictures/s | a CPU second | its ratio | ms a query | peak, MB |
|---|---:|---:|---:|---:|---:|"""
CODE = """
import re, sys, time
from pathlib import Path
import visita
finder = visita.Finder(sys.argv[1])
paths = sorted(Path(sys.argv[2]).iterdir())[: int(sys.argv[3])]
finder.embed_texts(["warm"])
list(finder.pictures.encode([("warm", paths[0])]))
wall, cpu = time.perf_counter(), time.process_time()
list(finder.pictures.encode((path.name, path) for path in paths))
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
started = time.process_time()
for number in range(20):
    finder.embed_texts([f"{number} dogs on a beach"])
query = (time.process_time() - started) / 20
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
print("measured", len(paths) / wall, len(paths) / cpu, 1e3 * query, peak)
"""


def main() -> None:
    """Print a Markdown table: medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=["B/32", "B/16"])
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["VISITA_HOME"] = str(Path(scratch, "home"))
        matchers = {name: name for name in SHIPPED}
        for size in options.sizes:
            matchers[f"CLIP ViT-{size}"] = f"clip:{written(size, Path(scratch))}"
        for matcher in matchers.values():
            measured(matcher, options.folder, 1)
        rounds = [
            {
                name: measured(matcher, options.folder, options.pictures)
                for name, matcher in matchers.items()
            }
            for _ in range(options.rounds)
        ]
    print(HEAD)
    for name in matchers:
        rate, of_cpu, query, peak = (
            statistics.median(v) for v in zip(*(r[name] for r in rounds), strict=True)
        )
        ratio = statistics.median(r[name][1] / r["visita-small"][1] for r in rounds)
        print(f"| {name} | {rate:.1f} | {of_cpu:.1f} | {ratio:.3f} | {query:.1f} | {peak:.0f} |")


def measured(matcher: str, folder: Path, pictures: int) -> list[float]:
    """Return pictures a second and a CPU second, ms of a query, and MB."""
    command = [sys.executable, "-c", CODE, matcher, str(folder), str(pictures)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    return [float(word) for word in done.stdout.split()[1:]]


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
