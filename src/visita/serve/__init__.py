"""The service: what a browser and other programs ask over HTTP, and agents over stdio.

A request goes one way: ``guard`` (who may ask) → ``limits`` (how much) → a route (``searching``,
``pictures``, ``reasons``) → one call of the library → an answer. ``library`` holds the galleries
that are served and keeps them in step. Every request and answer has its shape in ``models`` or
``kept_models``; a running service has them with examples at ``/api/v1/openapi.json``.
"""
