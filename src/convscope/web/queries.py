"""Take requests apart, with words for what is wrong, and put replies together."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from convscope.documents import parse_json
from convscope.errors import InputError
from convscope.text import printable
from convscope.web.answers import Refusal, json_bytes


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        Refusal: 415, another type; InputError: no JSON object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "send the body as application/json")
    document = parse_json(await request.body(), "the body")
    if not isinstance(document, dict):
        raise InputError("the body must be a JSON object")
    return document


def text_of(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if value is None:
        raise InputError(f"'{name}' is missing from the address")
    return value


def number_of(request: Request, name: str, default: int | None, low: int, high: int) -> int:
    value = request.query_params.get(name)
    if value is None and default is not None:
        return default
    text = text_of(request, name)
    if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
        raise InputError(f"{name} is '{printable(text, 40)}'; allowed: {low} to {high}")
    return int(text)


def only(request: Request, *names: str) -> None:
    """Refuse parameters of the address that are none of `names`, or given twice: a misspelt one
    would otherwise be ignored in silence."""
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in names or given.count(name) > 1:
            raise InputError(
                f"the address has '{printable(name, 40)}' {given.count(name)} times; allowed: "
                f"{', '.join(names)}, once"
            )


def flag_of(request: Request, name: str) -> bool:
    return bool(number_of(request, name, 0, 0, 1))


def part_of(request: Request, count: int = 64) -> tuple[int, int]:
    return number_of(request, "from", 0, 0, 10**9), number_of(request, "count", count, 1, 4096)


def json_reply(document: object, status: int = 200) -> Response:
    return Response(json_bytes(document), status, media_type="application/json")


def binary_reply(body: bytes) -> Response:
    return Response(body, media_type="application/octet-stream")
