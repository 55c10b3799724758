"""Fail unless at least five of the demo's six pictures come first."""

import json
import sys
from pathlib import Path

MUST = 5

report = json.loads(Path(sys.argv[1]).read_text("utf-8"))
first = report["first"]
print(f"demo: {first} of {len(report['answers'])} expected pictures come first")
sys.exit(0 if first >= MUST else f"at least {MUST} must")
