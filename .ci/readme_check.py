"""Run every command and the Python of the README in a scratch folder of drawn pictures.

python .ci/readme_check.py FOLDER. The two commands with pip are run by .ci/run itself.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTHING_FOUND = 1
MAY_FIND_NOTHING = ("--threshold", "visita match")


def main(scratch: Path) -> None:
    """Draw the pictures, run everything, exit with the number of failures."""
    pictures = scratch / "Pictures"
    mypairs = scratch / "mypairs"
    for folder, seed in ((pictures, 1), (mypairs, 0)):
        draw = [
            sys.executable,
            ROOT / "tests" / "drawn.py",
            folder,
            "--n",
            "100",
            "--seed",
            str(seed),
        ]
        subprocess.run(draw, check=True)
    some = next(path for path in sorted(pictures.iterdir()) if path.suffix == ".jpg")
    for name in ("some.jpg", "photo.jpg"):
        shutil.copy(some, scratch / name)
    text = (ROOT / "README.md").read_text("utf-8")
    commands = [line for line in blocks(text, "bash") if "pip install" not in line]
    failures = [line for line in commands if not passes(["bash", "-c", line], line, scratch)]
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        if not passes([sys.executable, "-c", code], "the Python example", scratch):
            failures.append(code)
    sys.exit(f"{len(failures)} failed" if failures else 0)


def blocks(text: str, language: str) -> list[str]:
    """Return the commands of all blocks of a language, without comments."""
    found = "".join(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))
    return [line.split("  #")[0].strip() for line in found.splitlines() if line.strip()]


def passes(command: list[str], shown: str, scratch: Path) -> bool:
    """Run one command as a user of that folder would; print what it was and how it went."""
    started = time.monotonic()
    environment = {**os.environ, "HOME": str(scratch)}
    done = subprocess.run(  # noqa: PLW1510 - the status is what is asked for
        command, cwd=scratch, env=environment, capture_output=True, text=True
    )
    allowed = {0, NOTHING_FOUND} if any(m in shown for m in MAY_FIND_NOTHING) else {0}
    good = done.returncode in allowed and "Traceback" not in done.stderr
    print(f"{'ok  ' if good else 'FAIL'} {time.monotonic() - started:5.1f} s  {shown}", flush=True)
    if not good:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n")
    return good


if __name__ == "__main__":
    main(Path(sys.argv[1]))
