"""Add to a saved matcher which pictures it learnt from and was chosen on; no other file changes.

For matchers of before that was kept. Vectors, probabilities and fingerprint stay as they are:
python runs/seen.py src/visita/matchers/visita-small --data flickr8k:data/flickr8k
"""

from __future__ import annotations

import argparse
from pathlib import Path

from visita.artifact import MANIFEST, read_sealed, sha256_of, write_sealed
from visita.data import open_pairs
from visita.data.seen import SEEN, Seen
from visita.errors import ConfigError
from visita.matchers.base import load_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", required=True, help="The pairs that it was trained on.")
    asked = parser.parse_args()
    pairs = open_pairs(asked.data)
    before = load_folder(asked.folder)
    learnt_from = before.facts["data"]["fingerprint"]
    if learnt_from != pairs.fingerprint():
        raise ConfigError(f"{asked.folder} was trained on other pairs, {learnt_from}.")
    Seen.of(pairs).save(asked.folder)
    manifest = read_sealed(asked.folder / MANIFEST)
    manifest["files"][SEEN] = sha256_of(asked.folder / SEEN)
    write_sealed(asked.folder / MANIFEST, manifest)
    after = load_folder(asked.folder)
    assert after.fingerprint() == before.fingerprint()
    print(f"{asked.folder}: {len(after.seen.train)} learnt from, {len(after.seen.dev)} chosen on")


if __name__ == "__main__":
    main()
