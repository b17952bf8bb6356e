"""What a server answers: JSON, and refusals with their status."""

import json
import math
from collections.abc import Mapping
from typing import Any

from convscope.errors import InputError


class Refusal(InputError):
    """A request that is not answered, with the HTTP status that says what kind of no it is.

    Attributes:
        status: 400 to 503.
        facts: JSON values that go with the words.
        headers: of the answer; a 503 says when to ask again.
    """

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, **facts: Any
    ) -> None:
        super().__init__(message)
        self.status, self.facts = status, facts
        self.headers = dict(headers or ({"retry-after": "1"} if status == 503 else {}))

    def to_json(self) -> dict[str, Any]:
        return {"error": str(self), **self.facts}


def json_bytes(document: object) -> bytes:
    """`document` as ASCII JSON in which every number is finite: others become null."""
    return json.dumps(_finite(document), allow_nan=False, separators=(",", ":")).encode("ascii")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
