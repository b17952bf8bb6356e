"""Runs are found by their id alone, and hostile names of files and classes do no harm."""

import os
import socket
from pathlib import Path

import pytest
from lab_server import is_inert, read_frame, serving

from convscope.errors import InputError
from convscope.lab.runs import Runs
from convscope.web.answers import Refusal
from hostile_names import NAMES
from made_runs import make_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_run(tmp_path / "runs" / "old", created="2026-01-01T00:00:00+00:00")
    make_run(tmp_path / "runs" / "new", created="2026-02-01T00:00:00+00:00")
    make_run(tmp_path / "runs" / "begun", created="2026-03-01T00:00:00+00:00", weights=False)
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    (tmp_path / "runs" / "file").write_text("")
    make_run(tmp_path / "elsewhere" / "mine", created="2020-01-01T00:00:00+00:00")
    make_run(tmp_path / "example", created="2019-01-01T00:00:00+00:00")
    return tmp_path


def test_the_newest_with_weights_is_shown_first(root: Path) -> None:
    runs = Runs(None, root / "runs", root / "example")
    assert runs.current() == "new"
    ids = [entry["id"] for entry in runs.to_json()["runs"]]
    assert ids == ["begun", "new", "old", "example"]
    ready = {entry["id"]: entry["ready"] for entry in runs.to_json()["runs"]}
    assert ready == {"begun": False, "new": True, "old": True, "example": True}


def test_a_given_run_goes_first_wherever_it_lies(root: Path) -> None:
    runs = Runs(root / "elsewhere" / "mine", root / "runs", root / "example")
    current = runs.current()
    assert current is not None
    assert current.startswith("mine-")
    assert runs.find(current).path == (root / "elsewhere" / "mine").resolve()
    assert len(runs.to_json()["runs"]) == 5
    inside = Runs(root / "runs" / "old", root / "runs", root / "example")
    assert inside.current() == "old"
    assert len(inside.to_json()["runs"]) == 4


def test_without_runs_the_example_and_without_that_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "example")
    assert Runs(None, tmp_path / "runs", tmp_path / "example").current() == "example"
    bare = Runs(None, tmp_path / "runs", tmp_path / "none")
    assert bare.to_json() == {"runs": [], "current": None}


def test_a_given_run_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no run directory"):
        Runs(tmp_path / "nothing", tmp_path)


def test_an_id_depends_on_its_run_alone(root: Path) -> None:
    one = Runs(None, root / "runs", root / "example")
    other = Runs(root / "elsewhere" / "mine", root / "runs", root / "none")
    for name in ("old", "new", "begun"):
        assert one.id_of(root / "runs" / name) == other.id_of(root / "runs" / name) == name


def test_a_new_run_is_seen_and_a_changed_one_read_again(root: Path) -> None:
    runs = Runs(None, root / "runs", root / "example")
    assert runs.current() == "new"
    made = make_run(root / "runs" / "latest", created="2026-05-01T00:00:00+00:00")
    assert runs.current() == "latest"
    assert runs.find("latest").document.status == "complete"
    made.with_changes(status="training")
    os.utime(made.path / "run.json", ns=(1, 1))
    assert runs.find("latest").document.status == "training"


@pytest.mark.parametrize(
    "run_id",
    [
        "",
        ".",
        "..",
        "../elsewhere/mine",
        "../../etc/passwd",
        "/etc/passwd",
        "runs/old",
        "old/",
        "old/../new",
        "old\0",
        "OLD",
        "~",
        "%2e%2e",
        "broken",
        "empty",
        "file",
        *NAMES,
    ],
)
def test_no_other_text_is_a_run(root: Path, run_id: str) -> None:
    runs = Runs(None, root / "runs", root / "example")
    with pytest.raises(Refusal, match="no run '") as refused:
        runs.find(run_id)
    assert refused.value.status == 404
    assert str(refused.value).isprintable()


TRAVERSALS = [
    "/api/runs/..%2f..%2fetc%2fpasswd",
    "/api/runs/%2e%2e/%2e%2e/etc/passwd",
    "/api/runs/../../../etc/passwd",
    "/api/runs/%2Fetc%2Fpasswd",
    "/api/runs/..",
    "/api/runs/%00",
    "/api/runs/digits/layer/..%2f..%2frun.json?image=x",
    "/api/runs/digits/image/..%2f..%2f/0.png",
    "/api/runs/digits/image/test/..%2f..%2frun.json.png",
    "/api/runs/digits/run.json",
    "/api/runs/digits/weights/..%2fweights.safetensors",
    "/static/../service.py",
    "/static/..%2fservice.py",
    "/static/%2e%2e/service.py",
    "/static/....//service.py",
    "/static//etc/passwd",
    "/static/..\\service.py",
    "/static/%5c..%5cservice.py",
    "/static/js/../../service.py",
    "//etc/passwd",
    "/../../../../etc/passwd",
    "/static/\u0000",
]


def test_paths_from_the_network_lead_nowhere(tmp_path: Path) -> None:
    """In raw bytes, since clients tidy paths up before they send them."""
    make_run(tmp_path / "runs" / "digits")
    with serving(tmp_path / "runs") as live:
        for path in TRAVERSALS:
            with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
                connection.sendall(
                    b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                    % path.encode("latin-1")
                )
                answer = b""
                while part := connection.recv(65536):
                    answer += part
            status = int(answer.split(b" ", 2)[1])
            assert status in (400, 404), (path, status)
            assert b"root:" not in answer
            assert b"import torch" not in answer
            assert b"preprocessing" not in answer


def test_hostile_names_of_classes_and_runs_are_inert(tmp_path: Path) -> None:
    """What reaches the page holds no control, format or other hidden character."""
    names = tuple(dict.fromkeys(NAMES))
    make_run(tmp_path / "runs" / "digits", classes=names, source="/nowhere")
    for name in names:
        if "/" not in name and name not in ("..",) and "\0" not in name:
            make_run(tmp_path / "runs" / name, weights=False)
    with serving(tmp_path / "runs") as live:
        listed = live.client.get("/api/runs")
        assert len(listed.json()["runs"]) > 20
        for entry in listed.json()["runs"]:
            assert set(entry["id"]) <= set(
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
            )
            assert is_inert(entry["name"])
        described = live.client.get("/api/runs/digits")
        assert described.headers["content-type"] == "application/json"
        assert len(described.json()["classes"]) == len(names)
        assert all(map(is_inert, described.json()["classes"]))
        answer = live.client.post(
            "/api/runs/digits/forward?height=1&width=1&channels=1", content=b"x"
        )
        header, _ = read_frame(answer.content)
        assert all(is_inert(one["class"]) for one in header["top"])
        for body in (listed.content, described.content):
            assert body.isascii()
