"""The folder that holds a model: one of the user's own, or the Hugging Face hub's in its cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visita.errors import ArtifactError

CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
"""Only safetensors: a pickle may run what its maker wrote into it."""


def model_files(folder_or_repository: str) -> Sequence[Path]:
    """Return the configuration and the weights, downloaded where they are not there yet.

    ``HF_HUB_OFFLINE`` and ``HF_HOME`` are those of huggingface_hub.

    Raises
    ------
    ArtifactError
        If the model cannot be found or fetched, or lacks its configuration or safetensors.
    """
    folder = Path(folder_or_repository).expanduser()
    if not folder.is_dir():
        folder = _downloaded(folder_or_repository)
    configs = [folder / name for name in CONFIGS if (folder / name).is_file()]
    weights = [path for pattern in WEIGHTS for path in sorted(folder.glob(pattern))]
    if folder / CONFIGS[0] not in configs:
        raise ArtifactError(f"{folder} holds no model: it has no {CONFIGS[0]}.")
    if not weights:
        raise ArtifactError(
            f"{folder} has no model.safetensors, and visita unpickles no weights: save the "
            "model with its library (save_pretrained writes safetensors) and name that folder."
        )
    return [*configs, *weights]


def _downloaded(repository: str) -> Path:
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 - an extra's
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    try:
        return Path(snapshot_download(repository, allow_patterns=[*CONFIGS, *WEIGHTS]))
    except HFValidationError as error:
        raise ArtifactError(
            f"{repository!r} is neither a folder nor the name of a repository on the hub."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtifactError(
            f"{repository!r} is not in {constants.HF_HUB_CACHE} and could not be fetched: "
            f"{reason} Where there is a network, run  hf download {repository}  first; "
            "HF_HOME says where it is kept."
        ) from error
