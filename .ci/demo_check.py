"""Fail unless at least five of the demo's six pictures come first."""

import json
import sys
from pathlib import Path

MUST = 5

report = json.loads(Path(sys.argv[1]).read_text("utf-8"))
first = sum(query["first"] for query in report["queries"])
print(f"demo: {first} of {len(report['queries'])} expected pictures come first")
sys.exit(0 if first >= MUST else f"at least {MUST} must")
