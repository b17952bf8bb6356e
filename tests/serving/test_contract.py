"""The OpenAPI document says exactly what the server does: schemathesis asks it everything."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for
from PIL import Image
from schemathesis.config import SchemathesisConfig

from convscope.web.guard import LOOPBACK, Access
from hostile_images import encode, hostile_files, pixels
from live_server import PNG, Live, serving
from made_runs import make_run

TOKEN = "right-token-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "digits").path


@pytest.fixture(scope="module", params=[None, TOKEN], ids=["open", "token"])
def live(run: Path, request: pytest.FixtureRequest) -> Iterator[Live]:
    access = Access(LOOPBACK, token=request.param, program="server")
    with serving(run, access) as live:
        if request.param:
            live.client.headers.update(BEARER)
        yield live


def pictures() -> st.SearchStrategy[bytes]:
    """Files of small pictures, as clients send them."""
    sides = st.integers(1, 24)
    kinds = st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP"])

    def make(seed: int, height: int, width: int, kind: str) -> bytes:
        return encode(pixels(seed, height, width), kind)

    return st.builds(make, st.integers(0, 99), sides, sides, kinds)


schemathesis.openapi.media_type("image/*", pictures())


@schemathesis.deserializer("image/png")
def _picture(_context: Any, response: Any) -> Any:
    """That the bytes are a picture is part of the contract."""
    return np.asarray(Image.open(io.BytesIO(response.content))).tolist()


def operations(live: Live) -> list[Any]:
    document = live.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    schema.config.update(base_url=live.url)
    found: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    assert {operation.path for operation in found} == set(document["paths"])
    return found


def statuses(live: Live, operation: Any, mode: str, examples: int) -> Counter[int]:
    """What the server answers to requests that the document allows (positive) or forbids."""
    seen: Counter[int] = Counter()
    headers = {name: live.client.headers[name] for name in BEARER if name in live.client.headers}
    strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(strategy)
    def ask(case: Any) -> None:
        assume([] not in (case.query or {}).values())  # nothing of it would be sent
        response = case.call(headers=headers)
        case.validate_response(response, headers=headers)
        seen[response.status_code] += 1

    ask()
    return seen


@pytest.mark.slow
def test_schemathesis_finds_nothing(live: Live) -> None:
    """Every operation, with what the document allows: it is answered, and as documented."""
    for operation in operations(live):
        examples = 60 if operation.path == "/predict" else 10
        assert statuses(live, operation, "positive", examples).keys() == {200}, operation.path


@pytest.mark.slow
def test_schemathesis_gets_nothing_by_what_the_document_forbids(run: Path) -> None:
    with serving(run) as live:
        (predict,) = [one for one in operations(live) if one.path == "/predict"]
        found = statuses(live, predict, "negative", 100)
    assert found.keys() <= {400, 415, 422}
    assert sum(found.values()) >= 50


def schema_of(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    """The JSON schema of an answer, with the shared ones inside."""
    answer = document["paths"][path][method]["responses"][str(status)]
    (content,) = answer["content"].values()
    found: dict[str, Any] = content["schema"] | {"components": document["components"]}
    return found


def test_answers_are_as_the_document_says(live: Live) -> None:
    """Independently of how schemathesis chooses: one answer of each kind."""
    document = live.client.get("/openapi.json").json()
    other = {"Host": "evil.example"}
    foreign = PNG | {"Origin": "http://evil.example"}
    good, large = encode(pixels()), b"\0" * (2**20 + 1)
    asked = [
        (200, live.client.post("/predict", content=good, headers=PNG)),
        (400, live.client.post("/predict?top=0", content=good, headers=PNG)),
        (403, live.client.post("/predict", content=good, headers=foreign)),
        (413, live.client.post("/predict", content=large, headers=PNG)),
        (415, live.client.post("/predict", content=good)),
        (421, live.client.post("/predict", content=good, headers=PNG | other)),
    ]
    asked += [
        (422, live.client.post("/predict", content=data, headers=PNG))
        for data, _ in hostile_files().values()
    ]
    if "security" in document:
        answer = httpx.post(f"{live.url}/predict", content=good, headers=PNG, trust_env=False)
        asked.append((401, answer))
    for status, answer in asked:
        assert answer.status_code == status
        schema = schema_of(document, "/predict", "post", status)
        validator_for(schema).validate(json.loads(answer.content))
    for path in ("/model", "/healthz", "/readyz"):
        schema = schema_of(document, path, "get", 200)
        validator_for(schema).validate(live.client.get(path).json())


def test_the_document_itself_is_valid(live: Live) -> None:
    """By the OpenAPI meta-schema that comes with schemathesis."""
    document = live.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    schema.validate()
    assert ("security" in document) is ("Authorization" in live.client.headers)
    documented = document["paths"]["/predict"]["post"]["responses"]
    assert ("401" in documented) is ("security" in document)
