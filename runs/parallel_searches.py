"""Search a gallery from many processes at once, beside one that indexes it: all are answered.

python runs/parallel_searches.py --out docs/results/parallel-searches.md [--searches 48]

An indexer reads pictures drawn at random with a small encoder; once a first batch is there,
the searches start side by side. Each has to find at least what was acknowledged before it
began, with the vectors that the pictures give, and to say in one line what it left unread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from killing import VECTOR, expected, make_encoder, same
from standin import draw_noise

TESTS = Path(__file__).parents[1] / "tests"
PICTURES = 6000
SEARCH = """
import json, sys
from pathlib import Path
from killing import make_encoder
from standin import LinearMatcher
from visita.gallery.gallery import StoredGallery
encoder = make_encoder(False)
matcher = LinearMatcher(encoder.recipe)
gallery = StoredGallery.open(sys.argv[2], home=Path(sys.argv[1]))
gallery.refresh(matcher, encoder)
found = gallery.snapshot(matcher.fingerprint())
print(json.dumps({Path(p).name: v.tolist() for p, v in zip(found.paths, found.vectors)}))
"""


def main() -> None:
    """Write a Markdown table; exit status 1 if a search was refused or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--searches", type=int, default=48)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, pictures = Path(folder, "home"), Path(folder, "pictures")
        for number in range(PICTURES):
            draw_noise(pictures / f"{number:03d}.png", number)
        truth = expected("gallery", pictures, make_encoder(False))
        indexer = subprocess.Popen(
            [sys.executable, TESTS / "killing.py", "gallery", home, pictures],
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        assert indexer.stdout
        least = int(indexer.stdout.readline())
        searches = [_search(home, pictures) for _ in range(options.searches)]
        answers = [(*one.communicate(), one.returncode) for one in searches]
        beside = indexer.poll() is None
        indexer.communicate()
    answered = sum(status == 0 for _, _, status in answers)
    found = [json.loads(out) if status == 0 else {} for out, _, status in answers]
    right = sum(
        len(one) >= least and all(same({VECTOR: v}, truth[name]) for name, v in one.items())
        for one in found
    )
    plain = sum(said.count("\n") <= 1 and "Traceback" not in said for _, said, _ in answers)
    good = answered == right == plain == options.searches and indexer.returncode == 0
    rows = {
        "answered": answered,
        "right, with all that was acknowledged": right,
        "at most one line on stderr": plain,
        "that left some unread and said so": sum("left unread" in said for _, said, _ in answers),
        "pictures found, fewest": min(map(len, found)),
        "pictures found, most": max(map(len, found)),
    }
    title = f"# {options.searches} parallel searches beside an indexer of {PICTURES} pictures"
    state = "still indexed" if beside else "had ended"
    lines = [f"| {name} | {number} |" for name, number in rows.items()]
    text = [title, "", f"`python runs/parallel_searches.py --searches {options.searches}`", ""]
    text += [f"When the last search was answered, the indexer {state}.", "", "| searches | |"]
    options.out.write_text("\n".join([*text, "|---|---:|", *lines]) + "\n", "utf-8")
    print("\n".join(lines))
    sys.exit(not good)


def _search(home: Path, pictures: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SEARCH, home, pictures],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=TESTS,
    )


if __name__ == "__main__":
    main()
