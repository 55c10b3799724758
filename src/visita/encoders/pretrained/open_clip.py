"""Models of open_clip, with towers of timm and transformers within them: ``open-clip:NAME``.

NAME is one of open_clip's list, MODEL/WEIGHTS such as ``MobileCLIP2-S0/dfndr2b``; a repository on
the hub (``hf-hub:`` may stand before it) or a folder with an ``open_clip_config.json``; or
FILE@MODEL, a checkpoint of one of its architectures. Weights are safetensors, or pickles of
tensors and nothing else. Which activation the weights of its list were trained with is in the
list, and obeyed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from visita.artifact import read_json
from visita.encoders.library.hub import CONFIGS, TOKENIZERS, obtained
from visita.encoders.library.networks import Preparation, imported
from visita.encoders.pretrained import lora, open_clip_list
from visita.encoders.pretrained.families import OPEN_CLIP_CONFIG, check_kind
from visita.encoders.pretrained.family import Family
from visita.encoders.pretrained.loading import reading, threshold_of
from visita.encoders.pretrained.model import Model
from visita.encoders.pretrained.tokens import Reading
from visita.errors import ArtifactError, ConfigError

PACKAGE = "open_clip_torch"
HUB = "hf-hub:"
LONGEST = 77
"""Ids of a text where a configuration does not say."""
WEIGHTS = (
    *("open_clip*.safetensors", "open_clip*.bin", "*.safetensors"),
    *("pytorch_model.bin", "*.pth", "*.pt", "*.bin"),
)
"""What holds the weights in a folder: the first pattern that one file alone fits."""


def _fetch(model: str) -> Sequence[Path]:
    whole = model.removeprefix(HUB)
    name, _, architecture = whole.partition("@")
    listed, _, tag = name.partition("/")
    if architecture and (_is_file(name) or architecture in open_clip_list.configurations()):
        config, weights = open_clip_list.configuration(architecture), _file(name)
        return [config, weights, *_of_texts(config, config.parent)]
    if not Path(name).expanduser().exists() and listed in open_clip_list.configurations():
        config = open_clip_list.configuration(listed)
        repository, file = open_clip_list.place(listed, tag)
        weights = _weights(repository, [file] if file else WEIGHTS)
        return [config, weights, *_of_texts(config, weights.parent)]
    folder = obtained(whole, (OPEN_CLIP_CONFIG, CONFIGS[0], lora.CONFIG))
    config = folder / OPEN_CLIP_CONFIG
    if not config.is_file():
        if (folder / CONFIGS[0]).is_file():
            check_kind("open-clip", whole, folder / CONFIGS[0])
        if (folder / lora.CONFIG).is_file():
            raise ConfigError(
                f"{whole} is an adapter: those of open_clip's models are in no common layout, and "
                "are not read. Merge it with PEFT (merge_and_unload), save the model's state_dict "
                f"and name that, as FILE@MODEL. An adapter of transformers' CLIP is clip:{whole}"
            )
        raise ArtifactError(f"{folder} holds no model of open_clip: it has no {config.name}.")
    return [config, _weights(whole, WEIGHTS), *_of_texts(config, obtained(whole, TOKENIZERS))]


def _is_file(name: str) -> bool:
    return Path(name).expanduser().is_file()


def _file(name: str) -> Path:
    if not _is_file(name):
        raise ArtifactError(f"There is no file {name}: write FILE@MODEL, or a name of open_clip's.")
    return Path(name).expanduser()


def _weights(name: str, patterns: Sequence[str]) -> Path:
    for pattern in patterns:
        found = sorted(obtained(name, (OPEN_CLIP_CONFIG, pattern)).glob(pattern))
        if len(found) == 1:
            return found[0]
    raise ArtifactError(
        f"{name} has no weights, or several files that may be them: leave only the right one there."
    )


def _of_texts(config: Path, folder: Path) -> list[Path]:
    """Return the files of the tokenizer, and the configuration of a text tower of transformers."""
    texts = _model_config(read_json(config)).get("text_cfg", {})
    found: list[Path] = []
    if name := texts.get("hf_tokenizer_name"):
        own = (folder / TOKENIZERS[0]).is_file()
        place = folder if own else obtained(name, (*CONFIGS, *TOKENIZERS))
        found += [place / part for part in TOKENIZERS if (place / part).is_file()]
    if name := texts.get("hf_model_name"):
        found.append(obtained(name, CONFIGS) / CONFIGS[0])
    return found


def _model_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = settings.get("model_cfg", settings)
    return config


def _listed(model: str) -> dict[str, Any]:
    """Return what open_clip's list says of MODEL/WEIGHTS; nothing of any other name."""
    architecture, _, tag = model.partition("/")
    library = imported(PACKAGE)
    base = architecture.removesuffix(open_clip_list.QUICK)
    known = library.get_pretrained_cfg(architecture, tag) or library.get_pretrained_cfg(base, tag)
    return dict(known or {})


def _build(model: str, files: Sequence[Path]) -> Model:
    from visita.encoders.pretrained.open_clip_towers import texts_of, tower_of  # noqa: PLC0415 - torch

    settings, listed = read_json(files[0]), _listed(model)
    network = _network(settings, listed, files)
    preparation = _prepared(model, network, {**settings.get("preprocess_cfg", {}), **listed})
    longest = _model_config(settings)["text_cfg"].get("context_length", LONGEST)
    texts, layers, width = texts_of(network, longest)
    threshold = None if network.logit_bias is None else threshold_of(network)
    return Model(tower_of(network.visual), preparation, texts, layers, width, threshold=threshold)


def _network(settings: Mapping[str, Any], listed: Mapping[str, Any], files: Sequence[Path]) -> Any:
    """Return the model as ``open_clip.create_model`` makes it, in evaluation mode and float32."""
    library = imported(PACKAGE)
    config = deepcopy(_model_config(settings))
    vision, texts = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision:
        if ":" in vision["timm_model_name"]:  # timm would fetch what a stranger names
            raise ConfigError(f"{vision['timm_model_name']} is no architecture of timm's own.")
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in texts:
        texts |= {"hf_model_pretrained": False, "hf_model_name": str(files[-1].parent)}
    if listed:
        config["quick_gelu"] = listed.get("quick_gelu", False)
    custom = config.pop("custom_text", False) or "hf_model_name" in texts
    of_two = library.CustomTextCLIP if custom else library.CLIP
    kind = library.CoCa if custom and "multimodal_cfg" in config else of_two
    network = kind(**config)
    library.load_checkpoint(network, str(files[1]), strict=True, weights_only=True)
    return network.float().eval()


def _prepared(model: str, network: Any, wanted: Mapping[str, Any]) -> Preparation:
    from visita.encoders.library.layers import check_preparation  # noqa: PLC0415 - needs torch

    transform = imported(PACKAGE).transform
    size = {"size": network.visual.image_size}
    settings = transform.merge_preprocess_dict(transform.PreprocessCfg(), {**wanted, **size})
    whole = transform.PreprocessCfg(**settings)
    _, height, width = whole.input_size
    if height != width:
        raise ConfigError(f"open-clip:{model} reads pictures of {width} x {height}, not squares.")
    preparation = Preparation(
        height,
        height,
        whole.resize_mode == "squash",
        "BILINEAR" if whole.interpolation == "bilinear" else "BICUBIC",
        tuple(whole.mean),
        tuple(whole.std),
        rounds_crop=True,
    )
    check_preparation(model, preparation, transform.image_transform_v2(whole, is_train=False))
    return preparation


def _tokenizer(model: str, files: Sequence[Path], place: Path) -> Reading:
    texts = _model_config(read_json(files[0]))["text_cfg"]
    options = texts.get("tokenizer_kwargs", {})
    longest = texts.get("context_length", LONGEST)
    if texts.get("tokenizer_mode") or set(options) - {"clean", "strip_sep_token"}:
        raise ConfigError(
            f"open-clip:{model} has a tokenizer that visita cannot read: choose another model."
        )
    if "hf_tokenizer_name" not in texts:
        return open_clip_list.byte_pairs(place, longest, options.get("clean", "lower"))
    [tokenizer, *_] = [file for file in files[2:] if file.name in TOKENIZERS]
    read = reading(model, [tokenizer], place, longest=longest, fixed=True)
    after = (0,) * len(read.after) if options.get("strip_sep_token") else read.after
    clean = f"open-clip-{options.get('clean', 'whitespace')}"
    return Reading(
        read.file, read.before, after, read.pad, longest, fixed=True, left=read.left, clean=clean
    )


def _languages(files: Sequence[Path]) -> Sequence[str] | None:
    # Only words of other tokenizers than CLIP's are of more languages; which, nobody says.
    texts = _model_config(read_json(files[0]))["text_cfg"]
    return None if "hf_tokenizer_name" in texts else ("en",)


OPEN_CLIP = Family("open-clip", _fetch, _build, _tokenizer, _languages, PACKAGE)
