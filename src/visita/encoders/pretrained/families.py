"""The families of pretrained models, and which one a model is of by its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from visita.artifact import read_json
from visita.errors import ArtifactError, ConfigError

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "clip": ("clip",),
    "siglip": ("siglip", "siglip2"),
    "blip": ("blip",),
    "albef": (),
    "metaclip2": ("metaclip_2",),
    "chinese-clip": ("chinese_clip",),
    "altclip": ("altclip",),
    "align": ("align",),
    "blip2": ("blip-2",),
    "open-clip": (),
}
"""What comes before the colon of a name, and the ``model_type`` of what it reads. ALBEF's files
have no configuration, and open_clip's folders one of their own."""
OPEN_CLIP_CONFIG = "open_clip_config.json"


def check_kind(family: str, model: str, config: Path) -> None:
    """Refuse a model of another family by its ``config.json``, before any library is imported.

    Raises
    ------
    ArtifactError
        If there is no configuration.
    ConfigError
        If it is of another family; the message names that one, or those that are read.
    """
    if not config.is_file():
        if config.with_name(OPEN_CLIP_CONFIG).is_file():
            raise ConfigError(f"{model} is a model of open_clip. Name it open-clip:{model}")
        raise ArtifactError(f"{config.parent} holds no model: it has no {config.name}.")
    settings = read_json(config)
    kind = settings.get("model_type")
    if kind in FAMILIES[family]:
        return
    said = f"{model} is no {family} model: its {config.name} says {kind!r}."
    fitting = next((name for name, kinds in FAMILIES.items() if kind in kinds), None)
    if fitting:
        raise ConfigError(f"{said} Name it {fitting}:{model}")
    own_code = " It brings code of its own, which visita never runs." * ("auto_map" in settings)
    raise ConfigError(f"{said}{own_code} visita reads {family_names()}: choose one of those.")


def family_names() -> str:
    """Return the families as they are written before a model's name."""
    return ", ".join(f"{family}:" for family in FAMILIES)
