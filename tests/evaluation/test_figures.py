"""PNG pictures, pixels inside the page, and CSV tables."""

import base64
import csv
import io
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from report_inputs import HOSTILE, hostile_report, make_report

from convscope.errors import InputError
from convscope.evaluation.figures import write_figures
from convscope.evaluation.figures_pixels import mosaic
from convscope.evaluation.pixels import (
    ACTIVATION_COLOURS,
    colour_levels,
    largest,
    photo,
    photo_html,
    signed,
    signed_levels,
    strongest,
)
from convscope.evaluation.results import ViewScore
from convscope.evaluation.tables import write_tables

NAMES = [
    "training.png",
    "confusion.png",
    "calibration.png",
    "robustness.png",
    "mistakes.png",
    "filters.png",
    "feature-maps.png",
]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_figure_is_a_picture_of_its_size(tmp_path: Path, channels: int) -> None:
    report = make_report(channels=channels)
    paths = write_figures(report, tmp_path)
    assert [path.name for path in paths] == NAMES
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    sizes = {}
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert len(image.convert("RGB").getcolors(2**24) or ()) > 2, f"{path.name} is blank"
            sizes[path.name] = image.size
    # Inches × 120 dots: fixed ones, three classes, one curve, one image with two layers.
    assert sizes["training.png"] == (1320, 408)
    assert sizes["confusion.png"] == (540, 540)
    assert sizes["calibration.png"] == (600, 720)
    assert sizes["robustness.png"] == (624, 408)
    assert sizes["feature-maps.png"] == (744, 276)


def test_figures_without_a_subject_are_left_out(tmp_path: Path) -> None:
    report = make_report(wrong=0.0, history=[], filters=None, feature_maps=[])
    report = replace(report, evaluation=replace(report.evaluation, robustness=()))
    paths = write_figures(report, tmp_path)
    assert [path.name for path in paths] == ["confusion.png", "calibration.png"]


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = write_figures(hostile_report(), tmp_path)
    assert [path.name for path in paths] == NAMES
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)


def test_many_classes_and_a_history_with_gaps(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": 1.0}]
    report = make_report([f"class {i}" for i in range(60)], n=600, history=rows)
    write_figures(report, tmp_path)
    with Image.open(tmp_path / "confusion.png") as image:
        assert image.size == (1200, 1200)


def test_settings_of_the_user_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`text.usetex` would hand the names of classes to LaTeX, or end in an error without one."""
    for name in ("plain", "changed"):
        (tmp_path / name).mkdir()
    write_figures(make_report(), tmp_path / "plain")
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    for path in write_figures(make_report(), tmp_path / "changed"):
        assert path.read_bytes() == (tmp_path / "plain" / path.name).read_bytes()
    assert matplotlib.rcParams["text.usetex"] is True


def test_global_state_of_matplotlib_is_not_touched(tmp_path: Path) -> None:
    # Reading the setting `backend` would itself import pyplot.
    code = (
        "import sys, pathlib, matplotlib; sys.path.insert(0, sys.argv[1])\n"
        "def state(): return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams "
        "if k != 'backend'}\n"
        "before = state()\n"
        "from report_inputs import make_report\n"
        "from convscope.evaluation.figures import write_figures\n"
        "write_figures(make_report(), pathlib.Path(sys.argv[2]))\n"
        "print('matplotlib.pyplot' in sys.modules, before == state())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False True"


def test_a_missing_directory_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        write_figures(make_report(), tmp_path / "none")


# Pixels


def test_zero_is_exactly_the_page_and_signs_have_their_colours() -> None:
    values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]], np.float32)
    pixels = np.asarray(signed(values, 2.0, ACTIVATION_COLOURS).convert("RGBA"))[0]
    assert pixels[2, 3] == 0
    assert tuple(pixels[0]) == (*ACTIVATION_COLOURS[0], 255)
    assert tuple(pixels[4]) == (*ACTIVATION_COLOURS[1], 255)
    assert pixels[1, 3] == pixels[3, 3] == round(255 * 16 / 31)  # half, of 31 steps


def test_levels_of_values_that_are_no_numbers_or_all_zero() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0], np.float32)
    assert signed_levels(values, 1.0).tolist() == [31, 62, 0, 31]
    assert signed_levels(values[3:], 0.0).tolist() == [31]
    assert largest(values) == 0.0
    assert largest(np.array([-3.0, 2.0, np.nan], np.float32)) == 3.0


@pytest.mark.parametrize("channels", [1, 3])
def test_photo_keeps_every_pixel(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 3, 5), dtype=np.uint8)
    pixels = np.asarray(photo(image))
    np.testing.assert_array_equal(pixels, image[0] if channels == 1 else image.transpose(1, 2, 0))


def test_filters_for_colour_are_pictures_around_mid_grey() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 5, 4)).astype(np.float32)
    levels = colour_levels(kernel).astype(int)
    assert levels.shape == (5, 4, 3)
    np.testing.assert_allclose(
        (levels - 128) / 127, np.moveaxis(kernel, 0, -1) / largest(kernel), atol=0.5 / 127 + 1e-6
    )
    assert {1, 255} & set(levels.ravel().tolist())
    for flat in (np.zeros((3, 2, 2)), np.full((3, 2, 2), np.nan)):
        assert (colour_levels(flat.astype(np.float32)) == 128).all()
    np.testing.assert_array_equal(colour_levels(kernel), colour_levels(7 * kernel))


def test_famous_figure_has_sixteen_filters_to_a_row(tmp_path: Path) -> None:
    """96 filters of 11 × 11: red ones and blue ones in turn, each at its place."""
    filters = np.zeros((96, 3, 11, 11), np.float32)
    filters[::2, 0] = filters[1::2, 2] = 0.25
    write_figures(make_report(channels=3, filters=filters), tmp_path)
    with Image.open(tmp_path / "filters.png") as image:
        picture = np.asarray(image.convert("RGB"))
    assert picture.shape[1] == round(10.2 * 120)
    step = (picture.shape[1] - 24) / 16
    for row in range(6):
        for column in range(16):
            y, x = round(12 + step * (row + 0.45)), round(12 + step * (column + 0.45))
            expected = (128, 128, 255) if column % 2 else (255, 128, 128)
            assert np.abs(picture[y, x].astype(int) - expected).max() <= 1, (row, column)


def test_small_photos_are_exact_and_large_ones_are_light() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (3, 32, 48), dtype=np.uint8)
    html = photo_html(small, 'a "cat"', "source")
    assert html.startswith('<img class="pixels source" src="data:image/png;base64,')
    assert html.endswith(' alt="a &quot;cat&quot;">')
    y, x = np.mgrid[:300, :400]
    smooth = np.stack([(x // 2 % 256), (y // 2 % 256), (x + y) // 4]).astype(np.uint8)
    for large in (smooth, smooth[:1]):
        html = photo_html(large, "a cat")
        assert html.startswith('<img class="smooth" src="data:image/jpeg;base64,')
        assert len(html) < 12_000
        data = html.partition("base64,")[2].partition('"')[0]
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.size == (192, 144)
            expected = Image.fromarray(np.moveaxis(large, 0, -1).squeeze()).resize((192, 144))
            difference = np.asarray(image, int) - np.asarray(expected, int)
            assert np.abs(difference).mean() < 4


def test_strongest_maps_stay_in_order() -> None:
    maps = np.arange(20, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    maps[3] = -100
    maps[5] = np.nan
    assert strongest(maps, 3).tolist() == [3, 18, 19]
    assert strongest(maps, 50).tolist() == list(range(20))


def test_mosaic_places_tiles_in_rows() -> None:
    tiles = [np.full((1, 2), value, np.float32) for value in (1, 2, 3)]
    nan = np.nan
    expected = [[1, 1, nan, 2, 2], [nan] * 5, [3, 3, nan, nan, nan]]
    np.testing.assert_array_equal(mosaic(tiles, 2, gap=1), expected)


# CSV


def read(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_tables_hold_the_numbers_exactly(tmp_path: Path) -> None:
    report = make_report(("cat", "dog"))
    views = ViewScore(
        name="ten-crop",
        count=10,
        accuracy=0.9,
        accuracy_interval=(0.8, 0.95),
        loss=0.5,
        top5=0.99,
    )
    report = replace(report, evaluation=replace(report.evaluation, views=(views,)))
    result = report.evaluation
    paths = write_tables(report, tmp_path)
    names = ["scores", "history", "per_class", "confusion", "calibration", "robustness", "mistakes"]
    assert [path.name for path in paths] == [f"{name}.csv" for name in names]
    tables = {path.stem: read(path) for path in paths}

    assert tables["scores"] == [
        ["views", "count", "accuracy", "low", "high", "loss", "top5"],
        [
            "single",
            "1",
            *map(repr, (result.accuracy, *result.accuracy_interval, result.loss)),
            "",
        ],
        ["ten-crop", "10", "0.9", "0.8", "0.95", "0.5", "0.99"],
    ]
    header, *rows = tables["history"]
    assert [dict(zip(header, map(float, row), strict=True)) for row in rows] == report.history
    assert tables["confusion"] == [
        ["true \\ predicted", "cat", "dog"],
        ["cat", *map(str, result.confusion[0])],
        ["dog", *map(str, result.confusion[1])],
    ]
    scores = [(row[0], int(row[1]), *map(float, row[2:])) for row in tables["per_class"][1:]]
    assert scores == [
        (one.name, one.support, one.precision, one.recall, one.f1) for one in result.per_class
    ]
    empty = [one for one in result.calibration.bins if not one.count]
    assert empty
    assert [row[3:] for row in tables["calibration"][1:]].count(["", ""]) == len(empty)
    curve = result.robustness[0]
    assert tables["robustness"][1] == [
        "turn",
        "degrees",
        "-1.0",
        "0.4",
        *map(repr, curve.points[0].interval),
        "0.5",
        "50",
    ]
    assert [int(row[0]) for row in tables["mistakes"][1:]] == [one.index for one in result.mistakes]


def test_hostile_names_start_no_formula_and_break_no_row(tmp_path: Path) -> None:
    report = hostile_report()
    for path in write_tables(report, tmp_path):
        rows = read(path)
        assert len({len(row) for row in rows}) == 1, path.name
        for row in rows:
            for cell in row:
                number = cell.lstrip("-").replace(".", "").replace("e-", "").isdigit()
                assert number or cell[:1] not in {"=", "+", "-", "@", "\t", "\r"}
    names = [row[0] for row in read(tmp_path / "per_class.csv")[1:]]
    assert len(names) == len(HOSTILE)
    assert names[13] == "'" + HOSTILE[13]
    assert names[11] == "two\\nlines\\r"


def test_undefined_numbers_of_a_history_are_empty_cells(tmp_path: Path) -> None:
    report = make_report(history=[{"epoch": 1, "loss": float("nan")}])
    write_tables(report, tmp_path)
    assert read(tmp_path / "history.csv")[1] == ["1.0", "", "", "", "", "", ""]
