"""Presets of training; one is a line in this table."""

from visita.registry import Registry

PRESETS = Registry(
    "preset",
    {
        "default": "visita.training.config:FusionConfig",
        "paper": "visita.training.config:PaperConfig",
    },
)
