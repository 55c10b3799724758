"""Presets of training, by what is trained; one is a line in these tables."""

from visita.registry import Registry

PRESETS = Registry(
    "preset",
    {
        "default": "visita.training.config:FusionConfig",
        "paper": "visita.training.config:PaperConfig",
    },
)

MKL_VISITA = Registry(
    "preset",
    {
        "default": "visita.training.mkl_config:MklVisitaConfig",
        "paper": "visita.training.mkl_config:MklVisitaPaperConfig",
    },
)
