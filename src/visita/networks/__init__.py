"""Networks and losses; a network by name is a line in this table, or an entry point.

Those of the systems that the papers compare with are entry points of visita's own.
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
