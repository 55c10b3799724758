"""The folder that holds a model: one of the user's own, or the Hugging Face hub's in its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from visita.errors import ArtifactError

CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
TOKENIZERS = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "spiece.model", "tokenizer.model"),
)
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
"""Only safetensors: a pickle may run what its maker wrote into it."""
PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
"""What older repositories have instead; of these torch must read tensors and nothing else."""
CARD = "README.md"
"""What a model's makers say of it; it decides no vector."""
TELLING = ("*config.json", "modules.json")
"""The small files that tell what a model is."""
_FETCHING: ContextVar[bool] = ContextVar("fetching", default=True)


@contextmanager
def no_fetching() -> Iterator[None]:
    """Let nothing be downloaded: what a saved matcher names, a stranger may have chosen."""
    before = _FETCHING.set(False)
    try:
        yield
    finally:
        _FETCHING.reset(before)


def may_fetch() -> bool:
    """Tell whether a model may be downloaded: its name was given by the user."""
    return _FETCHING.get()


def model_files(
    folder_or_repository: str,
    more: Sequence[str] = (),
    *,
    pickled: bool = False,
    inspected: Callable[[Path], str] = lambda _: "",
) -> Sequence[Path]:
    """Return the configuration and the weights, downloaded where they are not there yet.

    Who reviews what is fetched (see ``offer``) sees it first. ``more`` names further files, or
    patterns of them, that are wanted where there are any. ``pickled`` takes ``PICKLED`` where
    there are no safetensors: whoever builds the network must then load with ``weights_only``.
    ``inspected`` is given the folder once it has what ``TELLING`` names and nothing else, may
    refuse the model by that, and returns the subfolder that the model is in, or "".
    ``HF_HUB_OFFLINE`` and ``HF_HOME`` are those of huggingface_hub.

    Raises
    ------
    ArtifactError
        If the model cannot be found or fetched, or lacks its configuration or safetensors.
    """
    within = inspected(obtained(folder_or_repository, TELLING))
    folder = _obtained_within(folder_or_repository, within, [*CONFIGS, *WEIGHTS, *more])
    if not (folder / CONFIGS[0]).is_file():
        raise ArtifactError(f"{folder} holds no model: it has no {CONFIGS[0]}.")
    if pickled and not _found(folder, WEIGHTS):
        folder = _obtained_within(folder_or_repository, within, [*CONFIGS, *PICKLED, *more])
    configs = [folder / name for name in CONFIGS if (folder / name).is_file()]
    weights = _found(folder, WEIGHTS) or (_found(folder, PICKLED) if pickled else [])
    if not weights:
        raise ArtifactError(
            f"{folder} has no model.safetensors, and visita unpickles no weights: save the "
            "model with its library (save_pretrained writes safetensors) and name that folder."
        )
    return [*configs, *weights, *_found(folder, more)]


def _found(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def _obtained_within(folder_or_repository: str, within: str, patterns: Sequence[str]) -> Path:
    inner = [f"{within}/{pattern}" for pattern in patterns] if within else patterns
    return obtained(folder_or_repository, inner) / within


def obtained(folder_or_repository: str, patterns: Sequence[str]) -> Path:
    """Return a folder as it is, or where the files of a repository lie, once downloaded.

    Raises
    ------
    ArtifactError
        If they cannot be fetched.
    """
    folder = Path(folder_or_repository).expanduser()
    return folder if folder.is_dir() else _downloaded(folder_or_repository, patterns)


def _downloaded(repository: str, patterns: Sequence[str]) -> Path:
    from visita.encoders.library import fetch  # noqa: PLC0415 - by the library of an extra

    if may_fetch():
        return fetch.fetched(repository, patterns)
    if folder := fetch.kept(repository, patterns):
        return folder
    raise ArtifactError(
        f"{repository!r} is not in the hub's cache, and a saved matcher fetches nothing by itself: "
        f"if you trust it, run  {fetch.download_line(repository)}  first."
    )
