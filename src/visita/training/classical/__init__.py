"""The systems that both papers compare with, by name; one is a file here and a line below."""

from visita.registry import Registry

BASELINES = Registry(
    "baseline",
    {
        "bag-of-words": "visita.training.classical.bag_of_words:BagOfWords",
        "cca": "visita.training.classical.cca:CCA",
        "dcca": "visita.training.classical.dcca:DCCA",
        "uvs": "visita.training.classical.sentences:UVS",
        "vse++": "visita.training.classical.sentences:VSEPlusPlus",
        "dspe": "visita.training.classical.dspe:DSPE",
        "dan": "visita.training.classical.dan:DAN",
        "adpm": "visita.training.classical.adpm:ADPM",
        "m-cnn": "visita.training.classical.mcnn:MCNN",
        "scan": "visita.training.classical.scan:SCAN",
        "nic": "visita.training.classical.captioner:NIC",
    },
)
"""What each name stands for is the class of its configuration, which knows how it is trained."""
