"""What a new user waits for and gives room to: the wheel, the install, the first result.

python benchmarks/install.py [--extra demo]      from the clone that this file is in

Each step is a process of its own in a new virtual environment with an empty cache of visita's;
pip may use its own cache. Prints a Markdown table.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

CLONE = Path(__file__).parents[1]
CONSTRAINTS = ("-c", str(CLONE / "constraints.txt"))
HEAVY = ("torch", "transformers", "sklearn", "matplotlib")


def main() -> None:
    """Build, install, run the demo, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", default="demo", help="what is installed beside the core")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = new_environment(Path(folder, "venv"))
        empty = megabytes(Path(folder, "venv"))
        rows = [("seconds to build the wheel", pip(python, "wheel", "--no-deps", "-w", folder))]
        [wheel] = Path(folder).glob("*.whl")
        rows.append(("MB of the wheel", wheel.stat().st_size / 1e6))
        core = pip(python, "install", *CONSTRAINTS, of=str(wheel))
        rows.append(("seconds to install the core", core))
        rows.append(("MB of the core installed", megabytes(Path(folder, "venv")) - empty))
        absent = ", ".join(name for name in HEAVY if not importable(python, name))
        more = pip(python, "install", *CONSTRAINTS, of=f"{wheel}[{options.extra}]")
        rows.append((f"seconds more for [{options.extra}]", more))
        home = {**os.environ, "VISITA_HOME": str(Path(folder, "home"))}
        demo = [str(python.with_name("visita")), "demo", "--out", str(Path(folder, "demo.png"))]
        first = seconds(demo, env=home)
        rows.append(("seconds of the first `visita demo`", first))
        rows.append(("seconds from nothing to its result", core + more + first))
    print("| | |\n|---|--:|")
    for name, value in rows:
        print(f"| {name} | {value:.1f} |")
    print(f"\nNot in the core: {absent}.")


def new_environment(place: Path) -> Path:
    """Return the interpreter of a new virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    return place / ("Scripts" if os.name == "nt" else "bin") / "python"


def pip(python: Path, command: str, *words: str, of: str = str(CLONE)) -> float:
    """Run pip on a package, quietly; return the seconds taken."""
    return seconds([str(python), "-m", "pip", command, "-q", *words, of])


def seconds(words: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Run a command to its end; return the seconds taken."""
    start = time.perf_counter()
    subprocess.run(words, check=True, env=env, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def megabytes(folder: Path) -> float:
    """Return the size of all files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def importable(python: Path, module: str) -> bool:
    """Tell whether an interpreter finds a module."""
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", find], check=False).returncode == 0


if __name__ == "__main__":
    main()
