"""What errors become: JSON with the reason, and the status that fits."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from convscope.errors import ConvscopeError, InputError
from convscope.web.answers import Refusal
from convscope.web.queries import json_reply

Handler = Callable[[Request, Exception], Awaitable[Response]]


def handlers(program: str) -> Mapping[Any, Handler]:
    """For Starlette's `exception_handlers`; `program` is the server's name in messages."""

    async def failed(_request: Request, error: Exception) -> Response:
        """Our own mistake: its traceback goes to the terminal, not to the client."""
        del error
        words = f"the {program} made a mistake: see the terminal in which it runs"
        answer = json_reply({"error": words}, 500)
        answer.headers["connection"] = "close"  # as uvicorn does after an error
        return answer

    return {
        InputError: _refused,
        ConvscopeError: _refused,
        HTTPException: _no_route,
        Exception: failed,
    }


async def _refused(_request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        answer = json_reply(error.to_json(), error.status)
        answer.headers.update(error.headers)
        return answer
    return json_reply({"error": str(error)}, 400 if isinstance(error, InputError) else 500)


async def _no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address", 405: "this address does not take that method"}
    answer = json_reply({"error": words.get(error.status_code, error.detail)}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer
