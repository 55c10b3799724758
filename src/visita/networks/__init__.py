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

PAIR_NETWORKS = Registry(
    "pair network",
    {
        "mkl-visita": "visita.networks.cross_modal:MklVisita",
    },
)
"""Networks that pack pictures (n, cells, d) and texts, and score packed ones with each other."""

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
