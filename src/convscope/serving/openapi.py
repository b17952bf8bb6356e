"""The server's contract as an OpenAPI 3.1 document, written by hand and tested against it."""

from typing import Any

from convscope.serving.about import About

MOST_GUESSES = 100_000
"""More than a model can have classes."""
GUESSES = 3

Json = dict[str, Any]

_REFUSALS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "Another site's page may not use this server.",
    408: "The request came too slowly.",
    413: "The body is larger than this server takes.",
    415: "The body is not declared as an image.",
    421: "The Host header does not name this server.",
    422: "The body is no image that can be read; the error says why.",
    503: "Too much is going on; ask again after the seconds of Retry-After.",
}
_EVERYWHERE = (400, 403, 408, 413, 421, 503)
_TEXT: Json = {"type": "string"}
_SHARE: Json = {"type": "number", "minimum": 0, "maximum": 1}


def openapi(about: About, *, version: str, token: bool, max_body: int) -> Json:
    """The document of a server for this model.

    Args:
        token: whether one is asked for.
        max_body: bytes of a picture's file, at most.
    """
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": f"convscope serve: {about.model}",
            "version": version,
            "description": "What a trained network sees in a picture.",
        },
        "paths": {
            "/predict": {"post": _predict(max_body)},
            "/model": {"get": _get("model", "The model.", {"$ref": "#/components/schemas/Model"})},
            "/healthz": {"get": _get("healthz", "The process answers.", _state("ok"), free=True)},
            "/readyz": {"get": _get("readyz", "Pictures are taken.", _state("ready"), free=True)},
            "/metrics": {
                "get": _get("metrics", "Counts for Prometheus.", _TEXT, kind="text/plain")
            },
            "/openapi.json": {"get": _get("openapi", "This document.", {"type": "object"})},
            "/example.png": {"get": _get("example", "A picture.", {}, kind="image/png")},
            "/": {"get": _get("page", "A page for people.", _TEXT, kind="text/html")},
        },
        "components": {"schemas": _schemas(len(about.classes))},
    }
    if token:
        document["security"] = [{"token": []}]
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path in document["paths"].values():
            for operation in path.values():
                if operation.get("security") != []:
                    operation["responses"]["401"] = _refusal(401)
    return document


def _predict(max_body: int) -> Json:
    return {
        "operationId": "predict",
        "summary": "The most probable classes of a picture.",
        "description": "The body is the bytes of an image file: BMP, GIF, JPEG, PNG, PPM, TIFF or "
        f"WebP, at most {max_body:,} bytes.",
        "parameters": [
            {
                "name": "top",
                "in": "query",
                "description": "How many classes to name, at most.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_GUESSES,
                    "default": GUESSES,
                },
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {
            "200": {
                "description": "The most probable class first.",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Prediction"}}
                },
            },
            **_refusals(*_EVERYWHERE, 415, 422),
        },
    }


def _get(
    name: str, words: str, schema: Json, kind: str = "application/json", *, free: bool = False
) -> Json:
    operation: Json = {
        "operationId": name,
        "summary": words,
        "responses": {
            "200": {"description": words, "content": {kind: {"schema": schema}}},
            **_refusals(*_EVERYWHERE),
        },
    }
    return operation | ({"security": []} if free else {})


def _refusals(*statuses: int) -> Json:
    return {str(status): _refusal(status) for status in sorted(statuses)}


def _refusal(status: int) -> Json:
    answer: Json = {
        "description": _REFUSALS[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if status == 503:
        answer["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
        }
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"const": "Bearer"}}}
    return answer


def _state(word: str) -> Json:
    return _object({"status": {"const": word}})


def _object(properties: Json, required: list[str] | None = None) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _schemas(classes: int) -> Json:
    guess = _object({"name": _TEXT, "probability": _SHARE})
    side = {"type": "integer", "minimum": 1}
    accuracy = _object(
        {
            "accuracy": _SHARE,
            "interval": {"type": "array", "items": _SHARE, "minItems": 2, "maxItems": 2},
            "n": {"type": "integer", "minimum": 1},
            "dataset": _TEXT,
        }
    )
    return {
        "Prediction": _object(
            {"guesses": {"type": "array", "items": guess, "minItems": 1, "maxItems": classes}}
        ),
        "Model": _object(
            {
                "model": _TEXT,
                "classes": {
                    "type": "array",
                    "items": _TEXT,
                    "minItems": classes,
                    "maxItems": classes,
                },
                "picture": _object({"channels": {"enum": [1, 3]}, "height": side, "width": side}),
                "accuracy": {"anyOf": [accuracy, {"type": "null"}]},
            }
        ),
        "Error": _object({"error": _TEXT}),
    }
