"""Image models of the library transformers: ``transformers:NAME``, of the hub, or of a folder.

The network is what ``AutoModel`` makes of the configuration, without a head; of a model with
two towers (CLIP, SigLIP …) the one for pictures. Layers are called as in the installed
transformers: in 5.23, ``layers.6:cls`` is the class token after the seventh block of a ViT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL.Image import Resampling

from visita.encoders.library.hub import model_files
from visita.encoders.library.networks import Library, LibraryEncoder, Preparation, imported
from visita.errors import ConfigError

Channels = tuple[float, float, float]
CROP_BELOW = 384
"""ConvNeXt's processor crops the centre below this side and squashes from it on."""


def by_name(model: str) -> LibraryEncoder:
    """Return the encoder for a model on the hub, such as ``google/vit-base-patch16-224``, or in
    a folder with what ``save_pretrained`` of model and image processor wrote.

    Its methods raise MissingExtraError without transformers; ArtifactError if the model
    cannot be found or fetched; ConfigError if it does not read square pictures alone.
    """
    return LibraryEncoder(LIBRARY, model)


def _build(model: str, files: Sequence[Path]) -> tuple[Any, Preparation]:
    library = imported("transformers")
    folder = files[0].parent
    with quiet(library.logging):
        return _network(library, model, folder), preparation_of(library, model, folder)


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Keep transformers from reporting at length on each head that is left out."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _network(library: Any, model: str, folder: Path) -> Any:
    import torch  # noqa: PLC0415

    loaded, report = library.AutoModel.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    # What the file lacks (a pooler, often) was drawn at random. As NaN it shows, and no layer
    # that reads it becomes a level.
    weights = loaded.state_dict()
    for name in report["missing_keys"]:
        weights[name].fill_(torch.nan)
    network = getattr(loaded, "vision_model", loaded)
    if network.main_input_name != "pixel_values":
        raise ConfigError(f"{model} does not read pictures but {network.main_input_name}.")
    return network.eval()


def preparation_of(library: Any, model: str, folder: Path) -> Preparation:
    """Return how the image processor saved in a folder prepares pictures.

    Raises
    ------
    ConfigError
        If there is none, or one that does what a ``Preparation`` cannot.
    """
    from visita.encoders.library.layers import check_preparation  # noqa: PLC0415 - needs torch

    processor = processor_of(library, model, folder)
    side, resize, squash = _sizes(model, processor)
    mean, std = means_of(processor)
    if getattr(processor, "rescale_offset", False):  # EfficientNet's own way to -1 … 1
        mean = mean[0] + 1, mean[1] + 1, mean[2] + 1
    preparation = Preparation(
        side,
        resize,
        squash,
        Resampling(processor.resample).name,
        mean,
        std,
        rounds_crop=False,
        divisor=1 / processor.rescale_factor if processor.do_rescale else 1.0,
    )
    check_preparation(model, preparation, lambda picture: processor(picture)["pixel_values"][0])
    return preparation


def processor_of(library: Any, model: str, folder: Path) -> Any:
    """Return the image processor saved in a folder.

    Raises
    ------
    ConfigError
        If there is none.
    """
    try:
        return library.AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{model} has no image processor that transformers can load; save one beside the model."
        ) from error


def means_of(processor: Any) -> tuple[Channels, Channels]:
    """Return the mean and the standard deviation that it normalises by."""
    if not processor.do_normalize:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return tuple(processor.image_mean), tuple(processor.image_std)


def _sizes(model: str, processor: Any) -> tuple[int, int, bool]:
    """Return the side of the input, what is resized to, and whether both edges are."""
    size, crop = processor.size, processor.crop_size if processor.do_center_crop else None
    shorter = size.shortest_edge
    if shorter and getattr(processor, "crop_pct", None):  # ConvNeXt's own way
        crops = shorter < CROP_BELOW
        return shorter, int(shorter / processor.crop_pct) if crops else shorter, not crops
    resize, squash = (shorter, False) if shorter else (size.height, True)
    square = size.height == size.width and (not crop or crop.height == crop.width)
    if not resize or not square or not (squash or crop):
        raise ConfigError(f"{model} does not read square pictures of one size: {size}.")
    return crop.height if crop else resize, resize, squash


LIBRARY = Library("transformers", model_files, _build)
