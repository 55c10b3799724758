"""LoRA adapters (Hu et al., 2022), in the layout of PEFT, merged into the weights of their base.

W + s B A with s = alpha / r, or alpha / √r where the adapter says so (rsLoRA; Kalajdzievski, 2023).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from visita.artifact import read_json
from visita.errors import ArtifactError, ConfigError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    **dict.fromkeys(("use_dora", "fan_in_fan_out", "lora_bias"), (None, False)),
    **dict.fromkeys(("modules_to_save", "alpha_pattern", "layer_replication"), (None, {}, [])),
}
"""What an adapter may say that is merged by the formula; anything else is another kind."""


def base_of(model: str, config: Path) -> str:
    """Return the name of the model that an adapter was trained on.

    Raises
    ------
    ConfigError
        If it is of a kind that cannot be merged, or does not say its base.
    """
    settings = read_json(config)
    other = [name for name, plain in PLAIN.items() if settings.get(name) not in plain]
    base = settings.get("base_model_name_or_path")
    if other or not isinstance(base, str) or not base:
        reason = f"{other[0]} is {settings.get(other[0])!r}" if other else "it names no base"
        raise _unmergeable(model, reason)
    return base


def weights_of(model: str, folder: Path) -> Path:
    """Return the file of an adapter's weights.

    Raises
    ------
    ArtifactError
        If there is none.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise ArtifactError(f"{model} is an adapter without {WEIGHTS}: save it as safetensors.")
    return file


def merge(model: str, network: Any, config: Path) -> None:
    """Add an adapter to a torch module.

    Raises
    ------
    ConfigError
        If it has other weights than two matrices a linear layer of the module.
    """
    import torch  # noqa: PLC0415 - only where there is an adapter
    from safetensors.torch import load_file  # noqa: PLC0415

    settings, layers = read_json(config), dict(network.named_modules())
    found: dict[str, dict[str, Any]] = {}
    for name, matrix in load_file(weights_of(model, config.parent)).items():
        parts = NAME.fullmatch(name)
        if parts is None or not isinstance(layers.get(parts["layer"]), torch.nn.Linear):
            raise _unmergeable(model, f"it has {name}, which is no part of a linear layer there")
        found.setdefault(parts["layer"], {})[parts["side"]] = matrix.float()
    for layer, sides in found.items():
        weight = layers[layer].weight
        down, up = (sides.get(side, torch.empty(0)) for side in "AB")
        if down.ndim != 2 or up.shape != (len(weight), len(down)) or len(weight.T) != len(down.T):
            raise _unmergeable(model, f"its matrices of {layer} do not fit")
        rank = len(down) ** 0.5 if settings.get("use_rslora") else len(down)
        with torch.no_grad():
            weight += settings["lora_alpha"] / rank * (up @ down)


def _unmergeable(model: str, reason: str) -> ConfigError:
    return ConfigError(
        f"The adapter {model} cannot be merged: {reason}. visita reads plain LoRA of linear "
        "layers: merge it with PEFT (merge_and_unload), save the model and name that folder."
    )
