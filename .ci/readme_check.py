"""Run the commands and the Python of the README and docs/ in a scratch folder of drawn pictures.

python .ci/readme_check.py FOLDER. The two commands with pip are run by .ci/run itself; blocks
called ``text`` show what needs a checkpoint or hours, and are not run.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NOTHING_FOUND = 1
MAY_FIND_NOTHING = (
    "--threshold",
    "--since",
    "--near",
    "--tag",
    "--text",
    "--where",
    "--sort",
    "visita match",
)


class Step(NamedTuple):
    """One command, or one block of Python, as a page shows it."""

    language: str
    source: str

    @property
    def command(self) -> list[str]:
        """What runs it."""
        return [{"bash": "bash", "python": sys.executable}[self.language], "-c", self.source]


def main(scratch: Path) -> None:
    """Draw the pictures, run everything, exit with the number of failures."""
    pictures = scratch / "Pictures"
    for folder, seed in ((pictures, "1"), (scratch / "mypairs", "0")):
        draw = [sys.executable, ROOT / "tests" / "drawn.py", folder, "--n", "40", "--seed", seed]
        subprocess.run(draw, check=True)
    photo = next(path for path in sorted(pictures.iterdir()) if path.suffix == ".jpg")
    for name in ("some.jpg", "photo.jpg", "pool.jpg", "a.jpg", "b.jpg", "c.jpg"):
        shutil.copy(photo, scratch / name)
    done: set[Step] = set()
    failed = 0
    for page in pages():
        print(f"-- {page.relative_to(ROOT)}", flush=True)
        for step in steps(page.read_text("utf-8")):
            if step not in done:
                failed += not passes(step, scratch)
                done.add(step)
    sys.exit(f"{failed} failed" if failed else 0)


def pages() -> list[Path]:
    """Return the README and the pages of the index, in the order that it lists them."""
    index = ROOT / "docs" / "README.md"
    linked = re.findall(r"\]\(([\w-]+\.md)\)", index.read_text("utf-8"))
    return [ROOT / "README.md", *(index.parent / name for name in dict.fromkeys(linked))]


def steps(text: str) -> list[Step]:
    """Return what the blocks of a page run, in order: each bash line, each block of Python."""
    listed = []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            listed.append(Step(language, block))
        if language == "bash":
            listed += [Step(language, line) for line in lines(block) if "pip install" not in line]
    return listed


def lines(block: str) -> list[str]:
    """Return the commands of a block, a line each, without comments."""
    return [line.split("  #")[0].strip() for line in block.splitlines() if line.strip()]


def passes(step: Step, scratch: Path) -> bool:
    """Run one step as a user of that folder would; print what it was and how it went."""
    started = time.monotonic()
    environment = {**os.environ, "HOME": str(scratch)}
    done = subprocess.run(  # noqa: PLW1510 - the status is what is asked for
        step.command, cwd=scratch, env=environment, capture_output=True, encoding="utf-8"
    )
    allowed = {0, NOTHING_FOUND} if any(m in step.source for m in MAY_FIND_NOTHING) else {0}
    good = done.returncode in allowed and "Traceback" not in done.stderr
    shown = step.source if step.language == "bash" else "the Python example"
    print(f"{'ok  ' if good else 'FAIL'} {time.monotonic() - started:5.1f} s  {shown}", flush=True)
    if not good:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n")
    return good


if __name__ == "__main__":
    main(Path(sys.argv[1]))
