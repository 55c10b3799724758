"""How time and memory of ``visita index`` grow with the number of pictures, with CLIP's ViT-B/32.

python benchmarks/growth.py FOLDER [--pictures 100 200 400]

The network has random weights, which cost what trained ones do, and its graphs are made before.
Each row is a process of its own over the first so many files of the folder. CPU seconds are those
of all cores; *peak* is the most resident memory, as the process itself reads it: what the system
says of a child can be its parent's.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pretrained import written

HEAD = """| pictures | CPU seconds | a picture more, ms | peak, MB |
|---:|---:|---:|---:|"""
INDEX = """
import atexit, runpy
@atexit.register
def tell():
    from visita.reports.costs import peak_memory
    print(peak_memory()["peak_mb"])
runpy.run_module("visita", run_name="__main__", alter_sys=True)
"""


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", nargs="*", type=int, default=[100, 200, 400])
    options = parser.parse_args()
    files = sorted(path for path in options.folder.iterdir() if path.is_file())
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        matcher = f"clip:{written('B/32', scratch)}"
        indexed(copied(files[:1], scratch / "first"), matcher, scratch)  # makes the graphs
        print(HEAD)
        before = None
        for count in options.pictures:
            pictures = copied(files[:count], scratch / str(count))
            cpu, peak = indexed(pictures, matcher, scratch)
            more = f"{1e3 * (cpu - before[1]) / (count - before[0]):.0f}" if before else ""
            print(f"| {count} | {cpu:.1f} | {more} | {peak:.0f} |", flush=True)
            before = count, cpu


def copied(files: list[Path], folder: Path) -> Path:
    """Return a folder of copies."""
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    return folder


def indexed(folder: Path, matcher: str, scratch: Path) -> tuple[float, float]:
    """Return the CPU seconds and the peak in MB of indexing a folder."""
    command = [sys.executable, "-c", INDEX, "index", str(folder), "--matcher", matcher]
    environment = os.environ | {"VISITA_HOME": str(scratch / "home")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return cpu, float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
