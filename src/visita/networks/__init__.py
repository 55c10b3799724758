"""Networks and losses; a network by name is a line in this table."""

from visita.registry import Registry

NETWORKS = Registry(
    "network",
    {
        "fusion": "visita.networks.towers:FusionNetwork",
        "multi-level": "visita.networks.multilevel:MultiLevel",
        "class-names": "visita.networks.classnames:ClassNames",
        "joint": "visita.networks.joint:JointSpace",
        "projection": "visita.networks.classical.projection:Projection",
        "deep-cca": "visita.networks.classical.dcca:DeepCCA",
        "two-branch": "visita.networks.classical.two_branch:TwoBranch",
    },
)

PAIR_NETWORKS = Registry(
    "pair network",
    {
        "mkl-visita": "visita.networks.mkl_visita:MklVisita",
        "sentences": "visita.networks.classical.sentences:SentenceSpace",
        "dan": "visita.networks.classical.dan:DualAttention",
        "adpm": "visita.networks.classical.adpm:PyramidMatching",
        "m-cnn": "visita.networks.classical.mcnn:MultimodalCNN",
        "scan": "visita.networks.classical.scan:StackedAttention",
        "captioner": "visita.networks.classical.captioner:Captioner",
    },
)
"""Networks that pack pictures (n, cells, d) and texts, and score packed ones with each other."""
