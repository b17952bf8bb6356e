"""The endpoints: each takes a request apart, calls one function, and answers."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from convscope.serving.about import About
from convscope.serving.example import example_picture
from convscope.serving.metrics import CONTENT_TYPE, Metrics
from convscope.serving.openapi import GUESSES, MOST_GUESSES
from convscope.serving.page import page
from convscope.serving.pipeline import Pipeline, Row
from convscope.text import printable
from convscope.web.answers import Refusal
from convscope.web.queries import json_reply, number_of, only


@dataclass(frozen=True, eq=False)
class Endpoints:
    """What the endpoints share.

    Attributes:
        contract: the OpenAPI document.
        closing: set when the server ends.
        token: whether one is asked for.
    """

    about: About
    pipeline: Pipeline
    metrics: Metrics
    contract: dict[str, Any]
    closing: threading.Event
    token: bool

    async def predict(self, request: Request) -> Response:
        """The most probable classes of the picture in the body."""
        kind = request.headers.get("content-type", "")
        if not kind.lower().startswith("image/"):
            raise Refusal(
                415,
                f"the body is declared as '{printable(kind, 80)}'; allowed: image/png, image/jpeg "
                "and other image types: send the file as it is, with curl by --data-binary "
                "@picture.png -H 'Content-Type: image/png'",
            )
        only(request, "top")
        top = number_of(request, "top", GUESSES, 1, MOST_GUESSES)
        row = await self.pipeline.classify(await request.body())
        return json_reply({"guesses": guesses(row, self.about.classes, top)})

    async def model(self, _request: Request) -> Response:
        return json_reply(self.about.to_json())

    async def healthz(self, _request: Request) -> Response:
        return json_reply({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        if self.closing.is_set():
            raise Refusal(503, "the server is ending")
        return json_reply({"status": "ready"})

    async def counts(self, _request: Request) -> Response:
        return Response(self.metrics.to_text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, _request: Request) -> Response:
        return json_reply(self.contract)

    async def example(self, _request: Request) -> Response:
        return Response(example_picture(self.about.preprocessing), media_type="image/png")

    async def page(self, request: Request) -> Response:
        origin = str(request.base_url).rstrip("/")
        return HTMLResponse(page(self.about, origin, token=self.token))


def guesses(row: Row, classes: tuple[str, ...], top: int) -> list[dict[str, Any]]:
    """The `top` most probable classes, the most probable first, equal ones in their order."""
    order = np.argsort(-row, kind="stable")[:top]
    return [{"name": classes[k], "probability": min(1.0, float(row[k]))} for k in order]
