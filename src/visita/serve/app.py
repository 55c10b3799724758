"""The application: guard, limits, the API and the page, in this order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi

from visita.serve.assets import assets
from visita.serve.desk import Desk
from visita.serve.guard import HEADER, Guard
from visita.serve.learning import Learning
from visita.serve.limits import Limits
from visita.serve.metrics import Measured, Metrics
from visita.serve.models import Problem
from visita.serve.problems import NotFoundError, tell_problems
from visita.serve.routes import api

OPENAPI = "/api/v1/openapi.json"


def make_app(desk: Desk, learning: Learning) -> Measured:
    """Return the application that serves galleries; they are indexed once it starts."""

    config, metrics = desk.config, Metrics()
    metrics.pictures_are(lambda: desk.library.size)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = config.threads
        desk.start()
        yield
        learning.close()

    app = FastAPI(
        title="visita",
        version="1",
        docs_url=None,  # their pages are made of files of other hosts
        redoc_url=None,
        openapi_url=OPENAPI,
        lifespan=lifespan,
    )
    tell_problems(app)
    app.include_router(api(desk, learning, metrics))
    _add_page(app)
    if config.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(config.origins),
            allow_methods=["*"],
            allow_headers=[HEADER, "Authorization", "Content-Type"],
        )
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return Measured(Guard(Limits(app, config), config), metrics)


def _add_page(app: FastAPI) -> None:
    files = assets()

    @app.get("/{name:path}", include_in_schema=False)
    def page(name: str, request: Request) -> Response:
        if name not in files:
            raise NotFoundError("There is nothing at this address.")
        file = files[name]
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.type, headers=headers)


def _described(app: FastAPI) -> dict[str, object]:
    """Return the OpenAPI description, with the shape of a refusal in it."""
    if not app.openapi_schema:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        for path in schema["paths"].values():
            for method, operation in path.items():
                if method != "get":
                    operation.setdefault("parameters", []).append(_HEADER)
        app.openapi_schema = schema
    return app.openapi_schema


_HEADER = {
    "name": HEADER,
    "in": "header",
    "required": True,
    "schema": {"type": "string", "enum": ["1"]},
    "description": "What a page of another origin cannot send.",
}
