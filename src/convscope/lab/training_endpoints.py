"""The endpoints of trainings: start, stop, go on, and what happens meanwhile."""

import time

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from convscope.lab.endpoints import Server
from convscope.web.queries import binary_reply, json_body, json_reply, number_of

POLL_SECONDS, LOOK_SECONDS = 10.0, 0.1


class Trainings:
    """Endpoints over the jobs of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def recipes(self, _request: Request) -> Response:
        await self._server.lab()
        from convscope.lab import jobs

        return json_reply(jobs.recipes())

    async def datasets(self, _request: Request) -> Response:
        lab = await self._server.lab()
        return json_reply(await anyio.to_thread.run_sync(lab.jobs.datasets))

    async def jobs(self, _request: Request) -> Response:
        lab = await self._server.lab()
        return json_reply(lab.jobs.to_json())

    async def train(self, request: Request) -> Response:
        lab, body = await self._server.lab(), await json_body(request)
        return json_reply(
            await anyio.to_thread.run_sync(lambda: lab.jobs.entry(lab.jobs.start(body)))
        )

    async def stop(self, request: Request) -> Response:
        lab, job = await self._server.lab(), request.path_params["job"]
        return json_reply(lab.jobs.entry(lab.jobs.stop(job)))

    async def resume(self, request: Request) -> Response:
        lab, job = await self._server.lab(), request.path_params["job"]
        return json_reply(
            await anyio.to_thread.run_sync(lambda: lab.jobs.entry(lab.jobs.resume(job)))
        )

    async def events(self, request: Request) -> Response:
        lab = await self._server.lab()
        job = lab.jobs.find(request.path_params["job"])
        after = number_of(request, "after", 0, 0, 10**9)
        end = time.monotonic() + POLL_SECONDS
        while True:
            found = lab.jobs.events(job, after)
            if found["events"] or not job.active or self._server.closing.is_set():
                return json_reply(found)
            if time.monotonic() > end or await request.is_disconnected():
                return json_reply(found)
            await anyio.sleep(LOOK_SECONDS)

    async def filters(self, request: Request) -> Response:
        lab = await self._server.lab()
        from convscope.lab import filters
        from convscope.lab.answers import one_tensor

        path = lab.jobs.find(request.path_params["job"]).path
        found = await anyio.to_thread.run_sync(lambda: filters.newest_filters(path))
        return binary_reply(one_tensor("filters", found))
