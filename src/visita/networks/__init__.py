"""Networks and losses; a network by name is a line in this table."""

from visita.registry import Registry

NETWORKS = Registry(
    "network",
    {
        "fusion": "visita.networks.towers:FusionNetwork",
        "multi-level": "visita.networks.multilevel:MultiLevel",
        "class-names": "visita.networks.classnames:ClassNames",
        "joint": "visita.networks.joint:JointSpace",
    },
)
