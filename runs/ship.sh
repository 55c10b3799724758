#!/usr/bin/env bash
# The whole recipe of the shipped models: ranges for int8, five seeds of each, seed 0 ships.
#   runs/ship.sh DATA    where DATA holds flickr8k/ and coco80/
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
work=$(mktemp -d)
python runs/quantize.py "flickr8k:$data/flickr8k"
for name in visita-small visita-base; do
  python runs/shipped.py "$name" --data "flickr8k:$data/flickr8k" --travel "coco:$data/coco80" \
    --work "$work" --against visita-small
  rm -rf "src/visita/matchers/$name"
  cp -r "$work/seed0/$name" "src/visita/matchers/$name"
done
