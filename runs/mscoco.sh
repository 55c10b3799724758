#!/usr/bin/env bash
# MSCOCO, Karpathy's 5,000 test images: CLIP, SigLIP, BLIP, ALBEF, the systems that the papers
# compare with and ours, in one table of all 5,000 and one of the mean over five thousands.
#
#   runs/mscoco.sh DATA OUT
#
# DATA  dataset_coco.json with train2014/ and val2014/ beside it; restval is trained on
# OUT   where the reports go, OUT/5k and OUT/1k; give the same again to go on after an interruption
#
# ALBEF_COCO=mscoco.pth  ALBEF's checkpoint, which github.com/salesforce/ALBEF links to
# SEEDS=1                how often each system is trained
# VISITA_DEVICE=cuda     what encodes; cpu takes days
#
# Needs pip install 'visita[transformers,classical]' with a CUDA build of torch. It fetches 3.8 GB
# of checkpoints and keeps about 30 GB of features under VISITA_HOME. With one GPU the pretrained
# models take about two hours and the features to learn from as long. The small systems train on
# the processor: a seed takes about twenty times as long as on Flickr8k, where it is minutes.

# Published on all 5,000, R@1 image to text | text to image:
#   CLIP ViT-B/32, zero-shot          50.1 | 30.4
#   SigLIP 2 g, zero-shot             72.8 | 56.1
#   BLIP-2, fine-tuned                85.4 | 68.3
# shellcheck source=runs/recipe.sh
source "$(dirname "$0")/recipe.sh"

start "$@"
data=$1 out=$2
[[ -f $data ]] || fail "$data is no file: name dataset_coco.json."
choose Salesforce/blip-itm-base-coco ALBEF_COCO mscoco.pth

compare() {
  visita compare "${systems[@]}" --data "karpathy-with-restval:$data" --split test \
    --seeds "${SEEDS:-1}" "$@"
}
# What is trained for the first table is what the second measures.
mkdir -p "$out/5k/matchers" "$out/1k"
ln -sfn ../5k/matchers "$out/1k/matchers"
compare --out "$out/5k"
compare --out "$out/1k" --folds 5
