# What flickr30k.sh and mscoco.sh share: how they refuse, and the systems that they compare.
# shellcheck shell=bash
set -euo pipefail

fail() {
  echo "$*" >&2
  exit 2
}

# start DATA OUT: checks the arguments of the recipe; without them its head is the usage.
start() {
  [[ $# -eq 2 ]] || fail "$(sed -n '2,/^$/s/^# \{0,1\}//p' "$0")"
  [[ -e $1 ]] || fail "$1 does not exist."
  command -v visita > /dev/null ||
    fail "Install visita first: pip install 'visita[transformers,classical]'"
  export VISITA_DEVICE=${VISITA_DEVICE:-cuda}
}

# choose BLIP VARIABLE FILE: sets systems; ALBEF's checkpoint FILE is where VARIABLE says.
choose() {
  systems=(
    clip:openai/clip-vit-base-patch32
    siglip:google/siglip-base-patch16-224
    siglip:google/siglip2-base-patch16-224
    "blip:$1"
  )
  if [[ -n ${!2:-} ]]; then
    [[ -f ${!2} ]] || fail "$2=${!2} is no file."
    systems+=("albef:${!2}")
  else
    echo "ALBEF is left out: set $2 to its checkpoint $3 to have it." >&2
  fi
  local name
  for name in bag-of-words cca dcca uvs vse++ dspe dan adpm m-cnn scan nic fusion mkl-visita; do
    systems+=("train:$name")
  done
  systems+=("clip adapted=train:fusion,from=clip:openai/clip-vit-base-patch32")
}
