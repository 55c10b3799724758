"""The 1,000 ImageNet class names, in the order of every ImageNet network's outputs.

The names are WordNet's: https://wordnet.princeton.edu/license-and-commercial-use
"""

from importlib.resources import files


def class_names() -> list[str]:
    """Return one line a class: its synonyms separated by commas, such as "goldfish, Carassius"."""
    text = files("visita.features").joinpath("imagenet_classes.txt").read_text("utf-8")
    return text.splitlines()
