"""A package of someone else's that adds one part of each kind to visita; see ``entry_points.txt``.

``test_toybox.py`` puts it beside visita as an installed distribution.
"""
