"""The application: which address leads to which endpoint, and what stands before them."""

import mimetypes
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from convscope.serving.about import About
from convscope.serving.endpoints import Endpoints
from convscope.serving.observing import Log, Observed
from convscope.serving.openapi import openapi
from convscope.serving.pipeline import Pipeline
from convscope.version import __version__
from convscope.web.failures import handlers
from convscope.web.guard import Access, Guard
from convscope.web.process import Farewell

STATIC = Path(__file__).parent / "static"
MAX_BODY = 16 * 2**20
BODY_SECONDS = 30.0
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered without a token: they tell a supervisor that the server is well, and nothing else."""


def make_app(
    about: About,
    pipeline: Pipeline,
    access: Access,
    *,
    closing: threading.Event,
    max_body: int = MAX_BODY,
    body_seconds: float = BODY_SECONDS,
    log: Log | None = None,
) -> Starlette:
    """The application, behind its guard; at its end the pipeline is closed."""
    mimetypes.add_type("text/javascript", ".js")  # a system may say otherwise
    token = access.token is not None
    contract = openapi(about, version=__version__, token=token, max_body=max_body)
    ends = Endpoints(about, pipeline, pipeline.metrics, contract, closing, token)
    gets = {
        "/": ends.page,
        "/model": ends.model,
        "/healthz": ends.healthz,
        "/readyz": ends.readyz,
        "/metrics": ends.counts,
        "/openapi.json": ends.openapi,
        "/example.png": ends.example,
    }

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(pipeline.close)

    return Starlette(
        routes=[
            Route("/predict", ends.predict, methods=["POST"]),
            *(Route(path, end, methods=["GET"]) for path, end in gets.items()),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(
                Observed,
                metrics=pipeline.metrics,
                paths=frozenset({"/predict", *gets}),
                timed="/predict",
                log=log,
            ),
            Middleware(Farewell, closing=closing),
            Middleware(
                Guard,
                access=access,
                max_body=max_body,
                body_seconds=body_seconds,
                open_paths=OPEN_PATHS,
            ),
        ],
        exception_handlers=handlers("server"),
    )
