"""The endpoints: each takes a request apart, calls one function, and answers.

Nothing heavy is imported here. The page comes at once; what needs torch waits for it.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from convscope.errors import InputError
from convscope.lab.turnstile import Turnstile
from convscope.web.answers import Refusal
from convscope.web.queries import (
    binary_reply,
    flag_of,
    json_body,
    json_reply,
    number_of,
    part_of,
    text_of,
)

if TYPE_CHECKING:
    from convscope.lab.service import Lab
    from convscope.lab.session import Picture, Session


class Server:
    """The endpoints, and what they share.

    Args:
        given: the run to show first.
        root: the folder of runs.
    """

    def __init__(self, given: Path | None, root: Path = Path("runs")) -> None:
        self._given, self._root = given, root
        self._lab: Lab | None = None
        self._loading = threading.Lock()
        self.turnstile = Turnstile()
        self.closing = threading.Event()

    def load(self) -> "Lab":
        """The lab, with torch behind it; loaded once. For threads."""
        with self._loading:
            if self._lab is None:
                from convscope.lab.service import Lab

                self._lab = Lab(self._given, self._root)
            return self._lab

    def warm_up(self) -> None:
        """Load what the first request will need. Errors are left to that request."""
        try:
            self.load().warm_up()
        except Exception:  # a run that cannot be shown is no reason not to serve the page
            return

    def close(self) -> None:
        """End what goes on."""
        self.closing.set()
        if self._lab is not None:
            self._lab.jobs.close()

    async def lab(self) -> "Lab":
        """The lab, as soon as it is loaded."""
        if self._lab is not None:
            return self._lab
        return await anyio.to_thread.run_sync(self.load)

    async def session(self, request: Request) -> "Session":
        lab = await self.lab()
        run_id = request.path_params["run"]
        return await anyio.to_thread.run_sync(lambda: lab.session(run_id))

    # ── runs ────────────────────────────────────────────────────────────────────────────────

    async def runs(self, _request: Request) -> Response:
        lab = await self.lab()
        return json_reply(await anyio.to_thread.run_sync(lab.runs.to_json))

    async def run(self, request: Request) -> Response:
        lab = await self.lab()
        run_id = request.path_params["run"]
        return json_reply(await self.turnstile.run(request, lambda: lab.describe(run_id)))

    # ── a picture through the network ───────────────────────────────────────────────────────

    async def forward(self, request: Request) -> Response:
        from convscope.lab import layers

        session = await self.session(request)
        take = await self._picture_of(request, session)
        limit = number_of(request, "limit", 0, 0, layers.MOST_MAPS) or None

        def compute() -> bytes:
            return layers.forward(session, session.traced(take()), limit)

        return binary_reply(await self.turnstile.run(request, compute))

    async def _picture_of(self, request: Request, session: "Session") -> "Callable[[], Picture]":
        """What makes the picture of a request, to be called in a thread."""
        from convscope.lab import images, samples

        how = session.run.document.preprocessing
        sample = request.query_params.get("sample")
        if sample is not None:
            split, index = samples.read_sample_name(sample)
            dataset, index = samples.picture(await session.images.wait(), split, index)
            return lambda: session.take(dataset.images[index], int(dataset.labels[index]))
        body = await request.body()
        centre, invert = flag_of(request, "centre"), flag_of(request, "invert")
        named = request.headers.get("content-type", "").lower().startswith("image/")
        is_file = named or "height" not in request.query_params
        sizes = (
            ()
            if is_file
            else tuple(
                number_of(request, name, None, 1, images.MAX_SIDE)
                for name in ("height", "width", "channels")
            )
        )

        def take() -> "Picture":
            pixels = images.from_file(body) if is_file else images.from_raw(body, *sizes)
            return session.take(images.prepare(pixels, how, centre=centre, invert=invert))

        return take

    async def layer(self, request: Request) -> Response:
        from convscope.lab import layers

        session = await self.session(request)
        picture = session.picture(text_of(request, "image"))
        name = request.path_params["layer"]
        start, count = part_of(request)

        def compute() -> bytes:
            return layers.maps(session.traced(picture), name, start, count)

        return binary_reply(await self.turnstile.run(request, compute))

    async def weights(self, request: Request) -> Response:
        from convscope.lab import layers

        session = await self.session(request)
        name = request.path_params["layer"]
        start, count = part_of(request)
        return binary_reply(
            await self.turnstile.run(request, lambda: layers.weights(session, name, start, count))
        )

    async def unit(self, request: Request) -> Response:
        lab, session = await self.lab(), await self.session(request)
        picture = session.picture(text_of(request, "image"))
        layer, unit = text_of(request, "layer"), text_of(request, "unit")
        return json_reply(
            await self.turnstile.run(request, lambda: lab.provenance(session, picture, layer, unit))
        )

    async def field(self, request: Request) -> Response:
        lab, session = await self.lab(), await self.session(request)
        layer = text_of(request, "layer")
        row, column = (number_of(request, name, 0, 0, 10**6) for name in ("row", "column"))
        return json_reply(
            await self.turnstile.run(request, lambda: lab.field(session, layer, row, column))
        )

    async def attribution(self, request: Request) -> Response:
        lab, session = await self.lab(), await self.session(request)
        picture = session.picture(text_of(request, "image"))
        method = text_of(request, "method")
        label = number_of(request, "class", None, 0, len(session.classes) - 1)

        def compute() -> bytes:
            return lab.attribution(session, picture, method, label)

        return binary_reply(await self.turnstile.run(request, compute, long=True))

    async def neighbours(self, request: Request) -> Response:
        lab, session = await self.lab(), await self.session(request)
        picture = session.picture(text_of(request, "image"))
        count = number_of(request, "n", 8, 1, 100)
        features = await session.features.wait()

        def compute() -> dict[str, Any]:
            return lab.neighbours(session, picture, features, count)

        return json_reply(await self.turnstile.run(request, compute))

    # ── the data set ────────────────────────────────────────────────────────────────────────

    async def mistakes(self, request: Request) -> Response:
        from convscope.lab import mistakes

        lab, session = await self.lab(), await self.session(request)
        found = await anyio.to_thread.run_sync(lambda: lab.mistakes(session))
        if found is None:
            found = mistakes.summary((await session.measured.wait()).evaluation)
        return json_reply(found)

    async def images(self, request: Request) -> Response:
        from convscope.lab import mistakes

        session = await self.session(request)
        last = len(session.classes) - 1
        cell = {
            name: number_of(request, name, None, 0, last) if name in request.query_params else None
            for name in ("truth", "predicted")
        }
        order = request.query_params.get("order", "loss")
        start, count = part_of(request, 48)
        measured = await session.measured.wait()
        return json_reply(
            mistakes.list_images(
                measured, session.classes, **cell, order=order, start=start, count=count
            )
        )

    async def samples(self, request: Request) -> Response:
        from convscope.lab import samples

        session = await self.session(request)
        found = await session.images.wait()
        split = request.query_params.get("split") or next(iter(found))
        dataset, _ = samples.picture(found, split, 0)
        chosen = samples.choose(dataset, number_of(request, "count", 16, 1, 200))
        labels = [int(dataset.labels[index]) for index in chosen]
        entries = [
            {"split": split, "index": i, "class": session.classes[k], "class_index": k}
            for i, k in zip(chosen, labels, strict=True)
        ]
        return json_reply(
            {"samples": entries, "splits": {name: len(d) for name, d in found.items()}}
        )

    async def image(self, request: Request) -> Response:
        from convscope.lab import images, samples

        session = await self.session(request)
        split, index = request.path_params["split"], request.path_params["index"]
        dataset, index = samples.picture(await session.images.wait(), split, index)
        body = await anyio.to_thread.run_sync(lambda: images.png(dataset.images[index]))
        return Response(body, media_type="image/png")

    async def what_if(self, request: Request) -> Response:
        from convscope.lab import changes

        session = await self.session(request)
        body = await json_body(request)
        key, replace = body.get("image"), body.get("replace") or {}
        if not isinstance(replace, dict):
            raise InputError('"replace" must be an object of arguments: {"pool": {…}}')
        picture = None if key is None else session.picture(str(key))
        off = changes.read_off(body.get("off") or {})
        measure = body.get("measure") is True
        test = None
        if measure:
            found = await session.images.wait()
            if "test" not in found:
                raise Refusal(409, "the test images of the run are not on this machine")
            test = found["test"]

        def compute() -> dict[str, Any]:
            return changes.what_if(session, picture, off, replace, test)

        return json_reply(await self.turnstile.run(request, compute, long=measure))

    # ── the benches ─────────────────────────────────────────────────────────────────────────

    async def pool_bench(self, request: Request) -> Response:
        return await self._bench(request, "pool_bench")

    async def pad_bench(self, request: Request) -> Response:
        return await self._bench(request, "pad_bench")

    async def _bench(self, request: Request, name: str) -> Response:
        body = await json_body(request)
        await self.lab()
        from convscope.lab import bench

        return json_reply(await self.turnstile.run(request, lambda: getattr(bench, name)(body)))
