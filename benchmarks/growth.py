"""How time and memory of ``visita index`` grow with the number of pictures, with CLIP's ViT-B/32.

python benchmarks/growth.py FOLDER [--pictures 100 200 400]

The network has random weights, which cost what trained ones do, and its graphs are made before.
Each row is a process of its own over the first so many files of the folder. CPU seconds are those
of all cores; *peak* is the most resident memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pretrained import written

HEAD = """| pictures | CPU seconds | a picture more, ms | peak, MB |
|---:|---:|---:|---:|"""


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
    command = [sys.executable, "-m", "visita", "index", str(folder), "--matcher", matcher]
    environment = os.environ | {"VISITA_HOME": str(scratch / "home")}
    child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed.")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


if __name__ == "__main__":
    main()
