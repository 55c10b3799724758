"""The systems that both papers compare with, by name; one is a file here and a line below."""

from visita.registry import Registry

BASELINES = Registry(
    "baseline",
    {
        "bag-of-words": "visita.baselines.bag_of_words:BagOfWords",
        "cca": "visita.baselines.cca:CCA",
        "dcca": "visita.baselines.dcca:DCCA",
        "uvs": "visita.baselines.sentences:UVS",
        "vse++": "visita.baselines.sentences:VSEPlusPlus",
        "dspe": "visita.baselines.dspe:DSPE",
        "dan": "visita.baselines.dan:DAN",
        "adpm": "visita.baselines.adpm:ADPM",
        "m-cnn": "visita.baselines.mcnn:MCNN",
        "scan": "visita.baselines.scan:SCAN",
        "nic": "visita.baselines.captioner:NIC",
    },
)
"""What each name stands for is the class of its configuration, which knows how it is trained."""
