"""The encoders known by name; a new one is a short file and a line here."""

from visita.registry import Registry

IMAGE_ENCODERS = Registry(
    "image encoder",
    {
        "efficientnet-lite0": "visita.features.efficientnet:lite0",
        "efficientnet-lite1": "visita.features.efficientnet:lite1",
        "efficientnet-lite2": "visita.features.efficientnet:lite2",
        "colours": "visita.features.colours:Colours",
        "inception-v3": "visita.features.adapters.inception:InceptionV3",
        "torchvision:": "visita.features.adapters.torchvision_models:by_name",
        "timm:": "visita.features.adapters.timm_models:by_name",
        "transformers:": "visita.features.adapters.transformers_models:by_name",
        "clip:": "visita.features.pretrained.clip:pictures",
        "siglip:": "visita.features.pretrained.siglip:pictures",
        "blip:": "visita.features.pretrained.blip:pictures",
        "albef:": "visita.features.pretrained.albef:pictures",
        "visual-words:": "visita.features.visual_words:by_name",
        "tuned:": "visita.features.tuned:by_name",
    },
)

TEXT_ENCODERS = Registry(
    "text encoder",
    {
        "minilm-l6": "visita.features.minilm:MiniLM",
        "clip:": "visita.features.pretrained.clip:texts",
        "siglip:": "visita.features.pretrained.siglip:texts",
        "blip:": "visita.features.pretrained.blip:texts",
        "albef:": "visita.features.pretrained.albef:texts",
        "sentence-transformers:": "visita.features.pretrained.sentence_transformers:texts",
    },
)

TOPIC_MODELS = Registry(
    "topic model",
    {"lsa": "visita.features.topics.lsa:LSA", "doc2vec": "visita.features.topics.doc2vec:Doc2Vec"},
)
