"""The application: which address leads to which endpoint."""

import mimetypes
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from convscope.lab.endpoints import Server
from convscope.lab.training_endpoints import Trainings
from convscope.web.answers import Refusal
from convscope.web.failures import handlers
from convscope.web.guard import Access, Guard

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
        exception_handlers=handlers("lab"),
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
