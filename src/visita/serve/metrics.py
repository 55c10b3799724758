"""What the service measures of itself, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST as MEDIA

from visita.serve.guard import App, Message, Receive, Send
from visita.stages import heard

__all__ = ["MEDIA", "Measured", "Metrics"]

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.6, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Counts and times of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        own = self._registry
        self.requests = Counter(
            "visita_requests", "Answers, by route and status", ("route", "status"), registry=own
        )
        self.seconds = Histogram(
            "visita_request_seconds",
            "Until an answer begins",
            ("route",),
            buckets=SECONDS,
            registry=own,
        )
        self.stages = Histogram(
            "visita_stage_seconds",
            "Decoding pictures, encoding (with waiting for others), searching, re-ranking",
            ("stage",),
            buckets=SECONDS,
            registry=own,
        )
        self.under_way = Gauge("visita_requests_under_way", "Being answered now", registry=own)

    def pictures_are(self, count: Callable[[], int]) -> None:
        """Let the number of pictures that can be searched be told by ``count``."""
        gauge = Gauge("visita_pictures", "Pictures that can be searched", registry=self._registry)
        gauge.set_function(count)

    def hear(self, stage: str, seconds: float) -> None:
        """Note how long a stage took."""
        self.stages.labels(stage).observe(seconds)

    def text(self) -> bytes:
        """Return everything in the format of Prometheus."""
        return generate_latest(self._registry)


class Measured:
    """Notes every answer of an app."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, and note how."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "refused")
                self._metrics.seconds.labels(route).observe(perf_counter() - begun)
                self._metrics.requests.labels(route, message["status"]).inc()
            await send(message)

        with self._metrics.under_way.track_inprogress(), heard(self._metrics.hear):
            await self._app(scope, receive, noted)
