"""The encoders known by name; a new one is a short file and a line here."""

from visita.registry import Registry

IMAGE_ENCODERS = Registry(
    "image encoder",
    {
        "efficientnet-lite0": "visita.features.efficientnet:lite0",
        "efficientnet-lite1": "visita.features.efficientnet:lite1",
        "efficientnet-lite2": "visita.features.efficientnet:lite2",
    },
)

TEXT_ENCODERS = Registry("text encoder", {"minilm-l6": "visita.features.minilm:MiniLM"})
