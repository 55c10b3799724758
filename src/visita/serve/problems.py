"""What went wrong, as ``application/problem+json`` (RFC 9457), without anything of the inside."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from visita.errors import ArtifactError, DataError, MissingExtraError, VisitaError
from visita.serve.models import Problem

MEDIA = "application/problem+json"
FAULTS = 10
"""Faults of a request that are told."""
CODES = (400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 501, 503, 504)
DOCUMENTED: dict[int | str, dict[str, object]] = {
    code: {
        "description": HTTPStatus(code).phrase,
        "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for code in CODES
}
"""What any route may answer besides its own."""


class NotFoundError(DataError):
    """A gallery, a picture or a collection that the service does not have."""


class GoneError(DataError):
    """A picture that is no longer what was indexed."""


class NotReadyError(ArtifactError):
    """A gallery of which nothing is read yet."""


STATUS: dict[type[VisitaError], int] = {
    NotFoundError: 404,
    GoneError: 409,
    NotReadyError: 503,
    MissingExtraError: 501,
    ArtifactError: 503,
    VisitaError: 422,
}


def problem(
    status: int,
    detail: str,
    *,
    faults: list[dict[str, object]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer to a request that is refused."""
    phrase = HTTPStatus(status).phrase
    told = Problem(title=phrase, status=status, detail=detail, faults=faults or [])
    return JSONResponse(told.model_dump(), status, dict(headers or {}), MEDIA)


def tell_problems(app: FastAPI) -> None:
    """Let an app answer every error by a ``problem``."""
    app.add_exception_handler(VisitaError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_a_shape)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_the_unexpected)


def _of_ours(_request: Request, error: Exception) -> JSONResponse:
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    return problem(status, str(error), headers={"Retry-After": "5"} if status == 503 else None)


def _of_a_shape(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults: list[dict[str, object]] = [
        {"where": ".".join(map(str, fault["loc"]))[:200], "what": fault["msg"][:200]}
        for fault in error.errors()[:FAULTS]
    ]
    return problem(422, "The request does not have the shape that it should.", faults=faults)


def _of_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=error.headers)


def _of_the_unexpected(_request: Request, _error: Exception) -> JSONResponse:
    return problem(500, "Something went wrong inside; the service's log has more.")
