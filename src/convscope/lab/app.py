"""The application: which address leads to which endpoint, and what errors become."""

import mimetypes
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from convscope.errors import ConvscopeError, InputError
from convscope.lab.answers import Refusal
from convscope.lab.endpoints import Server
from convscope.lab.guard import Access, Guard
from convscope.lab.queries import json_reply
from convscope.lab.training_endpoints import Trainings

STATIC = Path(__file__).parent / "static"

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(server: Server, access: Access) -> Starlette:
    """The application, behind its guard."""
    mimetypes.add_type("text/javascript", ".js")  # a system may say otherwise

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=server.warm_up, name="warm up", daemon=True).start()
        yield
        await anyio.to_thread.run_sync(server.close)

    return Starlette(
        routes=_routes(server),
        lifespan=lifespan,
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={
            InputError: _refused,
            ConvscopeError: _refused,
            HTTPException: _no_route,
            Exception: _failed,
        },
    )


def _routes(server: Server) -> list[Route | Mount]:
    trainings = Trainings(server)
    run = "/api/runs/{run}"
    gets: dict[str, Endpoint] = {
        "/": _page,
        "/api/runs": server.runs,
        run: server.run,
        f"{run}/layer/{{layer}}": server.layer,
        f"{run}/weights/{{layer}}": server.weights,
        f"{run}/unit": server.unit,
        f"{run}/field": server.field,
        f"{run}/attribution": server.attribution,
        f"{run}/neighbours": server.neighbours,
        f"{run}/mistakes": server.mistakes,
        f"{run}/images": server.images,
        f"{run}/samples": server.samples,
        f"{run}/image/{{split}}/{{index:int}}.png": server.image,
        "/api/recipes": trainings.recipes,
        "/api/datasets": trainings.datasets,
        "/api/train": trainings.jobs,
        "/api/train/{job}/events": trainings.events,
        "/api/train/{job}/filters": trainings.filters,
    }
    posts: dict[str, Endpoint] = {
        f"{run}/forward": server.forward,
        f"{run}/what-if": server.what_if,
        "/api/bench/pool": server.pool_bench,
        "/api/bench/pad": server.pad_bench,
        "/api/train": trainings.train,
        "/api/train/{job}/stop": trainings.stop,
        "/api/train/{job}/resume": trainings.resume,
    }
    routes: list[Route | Mount] = [Route(path, end, methods=["GET"]) for path, end in gets.items()]
    routes += [Route(path, end, methods=["POST"]) for path, end in posts.items()]
    routes.append(Mount("/static", StaticFiles(directory=STATIC, check_dir=False)))
    return routes


async def _page(_request: Request) -> Response:
    if not (STATIC / "index.html").is_file():
        raise Refusal(404, "the page is missing from this installation")
    return FileResponse(STATIC / "index.html")


async def _refused(_request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        answer = json_reply(error.to_json(), error.status)
        if error.status == 503:
            answer.headers["Retry-After"] = "1"
        return answer
    return json_reply({"error": str(error)}, 400 if isinstance(error, InputError) else 500)


async def _no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address", 405: "this address does not take that method"}
    answer = json_reply({"error": words.get(error.status_code, error.detail)}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _failed(_request: Request, error: Exception) -> Response:
    """Our own mistake: its traceback goes to the terminal, not to the client."""
    del error
    return json_reply({"error": "the lab made a mistake: see the terminal in which it runs"}, 500)
