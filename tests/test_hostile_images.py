"""Every door through which a picture comes in, and every picture that is meant to break one.

A door takes the bytes of a file and says what is wrong with it, as a user is told. The reasons are
those that `data.images` gives, so that a picture is refused for the same cause everywhere.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import convscope
import lab_server
from conftest import small_recipe
from convscope.checking import check
from convscope.errors import InputError
from convscope.explain.writing import explain_image
from convscope.predictor import open_predictor
from hostile_images import hostile_files, odd_files, pixels, put
from live_server import Live as LiveServer
from live_server import serving
from made_runs import make_run

CORPUS = sorted(hostile_files())
ODD = sorted(odd_files())

Door = Callable[["House", str, bytes], str]


@dataclass(frozen=True)
class House:
    """A model in all its forms, servers that run, and a place for files."""

    run: Path
    onnx: Path
    server: LiveServer
    onnx_server: LiveServer
    lab: lab_server.Live
    root: Path

    def file(self, name: str, data: bytes) -> Path:
        path = self.root / name
        path.write_bytes(data)
        return path

    def folder(self, name: str, data: bytes) -> Path:
        """A data set, split already, with the file among the pictures of one class."""
        root = self.root / f"data {name}"
        for seed in range(12):
            place = root / ("train", "test")[seed % 2] / ("cat", "dog")[seed // 6]
            put(place / f"{seed}.png", pixels(seed))
        for split in ("train", "test"):
            (root / split / "cat" / name).write_bytes(data)
        return root


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("house")
    made = make_run(root / "runs" / "digits", classes=("cat", "dog"))
    run = made.with_changes(recipe=small_recipe().model_dump(mode="json")).path
    onnx = convscope.export(run).path
    files = root / "files"
    files.mkdir()
    with (
        serving(run, max_body=2**22) as server,
        serving(onnx, max_body=2**22) as onnx_server,
        lab_server.serving(root / "runs") as lab,
    ):
        yield House(run, onnx, server, onnx_server, lab, files)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        act()
    return str(caught.value)


def predict_run(house: House, name: str, data: bytes) -> str:
    (found,) = convscope.predict(house.run, [house.file(name, data)])
    assert not found.guesses
    return found.error


def predict_onnx(house: House, name: str, data: bytes) -> str:
    (found,) = convscope.predict(house.onnx, [house.file(name, data)])
    assert not found.guesses
    return found.error


def predictor(house: House, name: str, data: bytes) -> str:
    del name
    return refusal(lambda: open_predictor(house.onnx).read(data))


def serve_run(house: House, name: str, data: bytes) -> str:
    return _served(house.server, name, data)


def serve_onnx(house: House, name: str, data: bytes) -> str:
    return _served(house.onnx_server, name, data)


def _served(server: LiveServer, name: str, data: bytes) -> str:
    del name
    answer = server.predict(data)
    assert answer.status_code == 422
    error: str = answer.json()["error"]
    return error


def lab_upload(house: House, name: str, data: bytes) -> str:
    del name
    answer = house.lab.client.post(
        "/api/runs/digits/forward", content=data, headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == 400
    error: str = answer.json()["error"]
    return error


def explain(house: House, name: str, data: bytes) -> str:
    out = house.root / "explained"
    words = refusal(lambda: explain_image(house.run, house.file(name, data), out))
    assert not out.exists()
    return words


def show(house: House, name: str, data: bytes) -> str:
    return refusal(lambda: convscope.show(house.run, house.file(name, data)))


def check_folder(house: House, name: str, data: bytes) -> str:
    found = check(house.folder(name, data))
    ((_, first), (_, second)) = found.corrupt
    assert first == second
    return first


def train(house: House, name: str, data: bytes) -> str:
    out = house.root / "run"
    words = refusal(lambda: convscope.train("lenet5", data=house.folder(name, data), out=out))
    assert not out.exists()
    return words


def evaluate(house: House, name: str, data: bytes) -> str:
    folder = house.folder(name, data)
    return refusal(lambda: convscope.evaluate(house.run, data=folder, robustness=False))


def export_in_eight_bits(house: House, name: str, data: bytes) -> str:
    """It chooses its ranges on the run's own data, which may have changed since."""
    run = make_run(
        house.root / f"run {name}", classes=("cat", "dog"), source=str(house.folder(name, data))
    )
    words = refusal(lambda: convscope.export(run, int8=True))
    assert not list(run.path.rglob("*.onnx"))
    return words


DOORS: tuple[Door, ...] = (
    *(predict_run, predict_onnx, predictor, serve_run, serve_onnx, lab_upload, explain, show),
    *(check_folder, train, evaluate, export_in_eight_bits),
)


def reason(door: Door, name: str) -> str:
    """What is said of the file; servers and lab have smaller limits of their own."""
    words = hostile_files()[name][1]
    if "pixels, more than the" in words and door in (serve_run, serve_onnx, lab_upload):
        words = words.split("64,")[0]
    return words


LONGER = (explain, show, train, evaluate, export_in_eight_bits)
EACH_DOOR = [
    pytest.param(door, id=door.__name__, marks=[pytest.mark.slow] * (door in LONGER))
    for door in DOORS
]


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("door", EACH_DOOR)
def test_every_door_refuses_every_hostile_picture(house: House, door: Door, name: str) -> None:
    said = door(house, name, hostile_files()[name][0])
    assert reason(door, name) in said
    assert said.isprintable()


def test_the_servers_answer_after_all_that(house: House) -> None:
    for server in (house.server, house.onnx_server):
        assert server.predict(odd_files()["grey.png"]).status_code == 200
    answer = house.lab.client.get("/api/runs")
    assert answer.status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_every_door_sees_the_same_in_odd_pictures(house: House, name: str, tmp_path: Path) -> None:
    """Alpha, palettes, 16 bits, CMYK, turned, animated: one answer, whoever is asked."""
    data = odd_files()[name]
    file = tmp_path / name
    file.write_bytes(data)
    (by_run,), (by_onnx,) = (convscope.predict(one, [file]) for one in (house.run, house.onnx))
    wanted = {guess.name: guess.probability for guess in by_run.guesses}
    assert len(wanted) == 2, by_run.error
    answers = [{guess.name: guess.probability for guess in by_onnx.guesses}]
    for server in (house.server, house.onnx_server):
        found = server.predict(data).json()["guesses"]
        answers.append({guess["name"]: guess["probability"] for guess in found})
    explain_image(house.run, file, tmp_path / "out", methods=[])
    explained = json.loads((tmp_path / "out" / "explanation.json").read_text())
    answers.append(explained["probabilities"])
    for answer in answers:
        assert answer == pytest.approx(wanted, abs=1e-5)
    header, _ = lab_server.read_frame(
        house.lab.client.post(
            "/api/runs/digits/forward", content=data, headers={"Content-Type": "image/png"}
        ).content
    )
    assert re.fullmatch("[0-9a-f]{16}", header["image"])


def test_the_corpus_is_what_the_promises_name() -> None:
    """So that a file cannot be dropped unseen."""
    assert len(CORPUS) >= 19
    for word in ("half.jpg", "zero.png", "text.png", "huge.png", "fits.png", "eps.png"):
        assert word in CORPUS
    for word in ("16-bit.png", "alpha.png", "cmyk.jpg", "palette.png", "turned.jpg"):
        assert word in ODD
