"""Ask a service whatever its OpenAPI description allows: no 5xx, no undocumented answer.

python runs/contract.py --examples 100 --seed 0     some minutes; status 0 if nothing was found

The service is a process of its own over drawn pictures; the outcome: docs/results/serving.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from contract import contract
from drawn import draw_pairs
from serving import serving


def main() -> None:
    """Serve drawn pictures, let schemathesis ask, and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        draw_pairs(place / "pictures", 20)
        with serving(place / "pictures", "--gallery", place / "home") as service:
            service.wait_until_ready()
            status, told = contract(service, place, asked.examples, asked.seed)
    print(told)
    sys.exit(status)


if __name__ == "__main__":
    main()
