#!/usr/bin/env bash
# Flickr30K, Karpathy's 1,000 test images: CLIP, SigLIP, BLIP, ALBEF, the systems that the papers
# compare with and ours, in one table.
#
#   runs/flickr30k.sh DATA OUT
#
# DATA  dataset_flickr30k.json with the pictures beside it, or the folder of the official layout
#       with that file in it
# OUT   where the report goes; give the same again to go on after an interruption
#
# ALBEF_FLICKR=flickr30k.pth  ALBEF's checkpoint, which github.com/salesforce/ALBEF links to
# SEEDS=5                     how often each system is trained
# VISITA_DEVICE=cuda          what encodes; cpu takes days
#
# Needs pip install 'visita[transformers,classical]' with a CUDA build of torch. It fetches 3.8 GB
# of checkpoints and keeps about 8 GB of features under VISITA_HOME. With one GPU the pretrained
# models take about half an hour and the features to learn from another. The small systems train
# on the processor: a seed takes about five times as long as on Flickr8k, where it is minutes.

# Published, image to text | text to image, R@1/R@5/R@10 or R@1:
#   VSE++, ResNet-152 frozen     43.8/72.4/81.8 | 31.6/59.6/69.7
#   SCAN, detected regions       67.4 | 48.6
#   VSE-infinity, WSL and BERT   88.4 | 74.2
#   CLIP ViT-B/32, zero-shot     78.9/94.9/98.2 | 58.8/83.6/90.0
#   SigLIP 2 So400m, zero-shot   95.4 | 85.5
#   ALBEF, fine-tuned            95.9 | 85.6
#   BLIP, fine-tuned             97.2 | 87.5
# shellcheck source=runs/recipe.sh
source "$(dirname "$0")/recipe.sh"

start "$@"
data=$1 out=$2
reader=flickr30k-karpathy
[[ -f $data ]] && reader=karpathy
choose Salesforce/blip-itm-base-flickr ALBEF_FLICKR flickr30k.pth

visita compare "${systems[@]}" --data "$reader:$data" --split test --seeds "${SEEDS:-5}" --out "$out"
