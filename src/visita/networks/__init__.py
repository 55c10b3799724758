"""Networks and losses; one by name is a line in these tables, or an entry point.

The networks of the systems that the papers compare with are entry points of visita's own.
"""

from visita.registry import Registry

NETWORKS = Registry(
    "network",
    {
        "fusion": "visita.networks.fusion:FusionNetwork",
        "multi-level": "visita.networks.fusion:MultiLevel",
        "class-names": "visita.networks.fusion:ClassNames",
        "joint": "visita.networks.fusion:JointSpace",
    },
)

GRAPHS = Registry(
    "network graph",
    {
        "fusion": "visita.networks.fusion_graph:fusion",
        "multi-level": "visita.networks.fusion_graph:multi_level",
        "class-names": "visita.networks.fusion_graph:class_names",
        "joint": "visita.networks.fusion_graph:joint",
    },
)
"""How a graph of a network is built without torch; one that has none is exported from torch."""

PAIR_NETWORKS = Registry(
    "pair network",
    {
        "mkl-visita": "visita.networks.cross_modal:MklVisita",
    },
)
"""Networks that pack pictures (n, cells, d) and texts, and score packed ones with each other."""

PAIR_GRAPHS = Registry(
    "pair network graph", {"mkl-visita": "visita.networks.cross_modal_graph:PARTS"}
)
"""As ``GRAPHS``, of pair networks: a graph of each part by the name of its torch module."""

LOSSES = Registry(
    "loss",
    {
        "info-nce": "visita.networks.losses:info_nce",
        "hinge": "visita.networks.losses:random_hinge",
    },
)
"""Of a batch of pairs: scores float32 (b, b) of image i and text j, and bool (b, b), which pairs
beside the diagonal are true."""

PAIR_LOSSES = Registry("pair loss", {"match-error": "visita.networks.losses:match_error"})
"""Of pairs with labels: match probabilities and labels, float32 (p,) both."""
