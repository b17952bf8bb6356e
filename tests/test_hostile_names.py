"""Hostile class and file names through the whole path: data, run, report, terminal, prediction."""

import csv
import io
import json
import os
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscope
from convscope.comparison import read_results
from convscope.errors import InputError
from convscope.prediction_output import OUTPUTS, show_error
from convscope.printing import (
    print_comparison,
    print_evaluation,
    print_inspection,
    print_json,
)
from convscope.run import Run, open_run, read_split
from convscope.text import printable
from hostile_names import NAMES

# What a folder can be called: hidden ones are no classes.
CLASSES = sorted(name for name in NAMES if "/" not in name and not name.startswith("."))
FILES = (*(name for name in CLASSES if len(name) < 100), os.fsdecode(b"no utf-8: \xe9"))

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders; the files are called as badly as the folders."""
    root = tmp_path_factory.mktemp("data") / "<b>$\\frac{"
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 256, (28, 28), dtype=np.uint8)
            file = f"{FILES[(label + i) % len(FILES)]}{i}.png"
            Image.fromarray(pixels).save(root / name / file)
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Run:
    """A network trained on them, evaluated, with its report."""
    return convscope.train(
        "lenet5",
        data=pictures,
        settings=["epochs=1", "min_steps=0", "threads=1", "validation=0"],
        out=tmp_path_factory.mktemp("runs") / "run",
    )


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    lines = (captured.out + captured.err).split("\n")
    assert len(lines) > 1, "nothing was printed"
    for line in lines:
        assert line.isprintable(), ascii(line)
    return lines


def test_names_reach_the_run_as_they_are(run: Run) -> None:
    document = open_run(run.path).document
    assert sorted(document.classes) == CLASSES
    assert document.status == "complete"
    split = read_split(run)
    assert split is not None
    assert {Path(name).parts[0] for name in split} == set(CLASSES)


def test_no_name_becomes_a_path(run: Run) -> None:
    files = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    top = {name for name in files if "/" not in name}
    assert top == {
        "metrics.jsonl",
        "report.html",
        "results.json",
        "run.json",
        "split.json",
        "weights.safetensors",
    }
    assert len(files) > 10
    for name in files - top:
        folder, file = name.split("/")
        assert folder in {"epochs", "figures", "tables"}
        stem = file.replace("-", "").replace("_", "").split(".")[0]
        assert stem.isdigit() if folder == "epochs" else stem.isalpha()


class _Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in {"href", "src"}}


def test_the_report_runs_nothing_of_theirs(run: Run) -> None:
    html = (run.path / "report.html").read_text(encoding="utf-8")
    found = _Elements(html)
    assert found.tags.count("script") == 1, "the report's own"
    assert not any(name.startswith("on") for name in found.attributes)
    assert all(address[:1] == "#" or address[:5] == "data:" for address in found.addresses)
    assert html.replace("\n", "").replace("\u00a0", "").isprintable()
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_no_table_starts_a_formula(run: Run) -> None:
    tables = sorted((run.path / "tables").glob("*.csv"))
    assert tables
    for table in tables:
        for row in csv.reader(io.StringIO(table.read_text(encoding="utf-8"))):
            for cell in row:
                if cell.lstrip()[:1] in {*"=+-@\t\r＝"}:
                    float(cell)  # a number may have a sign, a name may not
                assert cell.isprintable()


def test_results_are_read_back(run: Run) -> None:
    assert sorted(read_results(run).classes) == CLASSES


def test_evaluating_again_prints_inert_lines(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    result = convscope.evaluate(run, robustness=False)
    print_evaluation(result)
    text = "\n".join(lines_of(capsys))
    for name in CLASSES:
        assert printable(result.per_class[CLASSES.index(name)].name, 30) in text
    print_json(result.to_json())
    assert json.loads(capsys.readouterr().out)["n"] == result.n


def test_predicting_prints_inert_lines(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad\x1b[2J\n.png").write_bytes(b"no picture")
    found = list(convscope.predict(run, [pictures, tmp_path]))
    assert len(found) == 5 * len(CLASSES) + 1
    assert [bool(one.error) for one in found] == [False] * (len(found) - 1) + [True]
    assert {guess.name for one in found for guess in one.guesses} <= set(CLASSES)
    show = OUTPUTS["text"](3)
    for one in found:
        show(one)
        if one.error:
            print(show_error(one))
    assert len(lines_of(capsys)) == len(found) + 1
    show = OUTPUTS["json"](3)
    for one in found:
        show(one)
    for line, one in zip(capsys.readouterr().out.splitlines(), found, strict=True):
        assert line.isascii()
        assert json.loads(line)["source"] == one.source
    show = OUTPUTS["csv"](2)
    for one in found:
        show(one)
    header, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["file", "class", "probability", "class2", "probability2", "error"]
    assert len(rows) == len(found)
    for row in rows:
        for cell in (row[0], row[1], row[3], row[5]):
            assert cell.isprintable()
            assert cell.lstrip()[:1] not in tuple("=+-@")


def test_checking_prints_inert_lines(
    pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    found = convscope.check(pictures, preview=sheet)
    assert sorted(found.classes) == CLASSES
    print_inspection(found, sheet)
    lines_of(capsys)
    print_json(found.to_json())
    assert sorted(json.loads(capsys.readouterr().out)["classes"]) == CLASSES


def test_comparing_prints_inert_lines(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(convscope.compare([run, run]))
    lines_of(capsys)


def test_a_class_that_is_no_utf8_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in (os.fsdecode(b"caf\xe9"), "other"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / name / f"{i}.png")
    with pytest.raises(InputError, match=r"class 'caf\\udce9' is not UTF-8: rename it"):
        convscope.load(tmp_path)
    found = convscope.check(tmp_path)
    print_inspection(found, None)
    lines_of(capsys)
    print_json(found.to_json())
    assert "is not UTF-8" in json.loads(capsys.readouterr().out)["problems"][0]


def test_errors_show_names_inert(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "\x1b[2J\n"
    attempts: list[Callable[[], object]] = [
        lambda: convscope.open_run(missing),
        lambda: list(convscope.predict(run, [missing])),
        lambda: convscope.load(missing),
        lambda: convscope.check(missing),
        lambda: convscope.evaluate(run, data=missing),
        lambda: convscope.anatomy(missing.name),
        lambda: convscope.train(missing.name),
        lambda: convscope.train("lenet5", data=missing),
        lambda: convscope.train("lenet5", settings=[missing.name]),
    ]
    for attempt in attempts:
        with pytest.raises(InputError) as caught:
            attempt()
        assert str(caught.value).isprintable(), ascii(str(caught.value))


def test_the_data_are_left_as_they_were(pictures: Path, run: Run) -> None:
    assert run.path.is_dir(), "they were used"
    rng = np.random.default_rng(0)
    for name in CLASSES:
        files = sorted((pictures / name).iterdir(), key=lambda path: path.stem[-1])
        assert len(files) == 5
        for file in files:
            expected = rng.integers(0, 256, (28, 28), dtype=np.uint8)
            np.testing.assert_array_equal(np.asarray(Image.open(file)), expected)
