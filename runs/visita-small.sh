#!/usr/bin/env bash
# The whole recipe of visita-small: ranges for int8, five seeds, seed 0 ships.
#   runs/visita-small.sh DATA    where DATA holds flickr8k/ and coco80/
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
out=$(mktemp -d)
python runs/quantize.py "flickr8k:$data/flickr8k"
python runs/visita_small.py --data "flickr8k:$data/flickr8k" --travel "coco:$data/coco80" --out "$out"
rm -rf src/visita/matchers/visita-small
cp -r "$out/seed0/visita-small" src/visita/matchers/visita-small
cp "$out/seeds.json" docs/results/visita-small.json
