"""The HTML report: inert, self-contained, and true to the numbers it was given."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from report_inputs import HOSTILE, PLAIN, hostile_report, make_report

from convscope.errors import InputError
from convscope.evaluation.markup import duration, finite, percent, table_html
from convscope.evaluation.report import ReportInput, render_html
from convscope.evaluation.results import ViewScore

CHROMIUM = Path("/usr/bin/chromium")
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.inside: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._caption = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID and self.get_starttag_text()[-2:] != "/>":  # type: ignore[index]
            self.open.append(tag)
        if tag == "table":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag in {"td", "th"}:
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.inside[self.open[-1] if self.open else ""] = data
        self.text.append(data)
        if "caption" in self.open:
            self._caption += data
        elif {"td", "th"} & set(self.open):
            self.tables[self._caption][-1][-1] += data

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def page_text(html: str) -> str:
    return " ".join("".join(Page(html).text).split())


def test_hostile_names_change_neither_elements_nor_attributes() -> None:
    hostile = hostile_report()
    tame = {evil: f"name{index:02}" for index, evil in enumerate(HOSTILE)}

    def clean(value: object) -> object:
        if isinstance(value, str):
            for evil, name in sorted(tame.items(), key=lambda pair: -len(pair[0])):
                value = value.replace(evil, name)
        elif isinstance(value, dict):
            value = {clean(key): clean(inner) for key, inner in value.items()}
        elif isinstance(value, list | tuple):
            value = [clean(inner) for inner in value]
        return value

    evaluation = type(hostile.evaluation).from_json(clean(hostile.evaluation.to_json()))
    fields = ("title", "model", "anatomy", "recipe", "environment", "provenance", "command")
    harmless = replace(
        hostile,
        evaluation=evaluation,
        feature_maps=[
            replace(maps, true="a", layers={str(clean(k)): v for k, v in maps.layers.items()})
            for maps in hostile.feature_maps
        ],
        created="today",
        **{field: clean(getattr(hostile, field)) for field in fields},  # type: ignore[arg-type]
    )

    def shape(report: ReportInput) -> list[tuple[str, list[str]]]:
        return [(tag, list(attrs)) for tag, attrs in Page(render_html(report)).elements]

    assert shape(hostile) == shape(harmless)


def test_hostile_names_are_shown_spelled_out() -> None:
    html = render_html(hostile_report())
    page = Page(html)
    text = "".join(page.text)
    assert text.count(HOSTILE[0]) > 10  # as text, where a reader can see it
    assert "\\x1b[31mred\\x07" in text
    assert "two\\nlines\\r" in text
    assert "\\u202eevil\\u2066" in text
    hidden = {char for char in html if unicodedata.category(char) in {"Cc", "Cf"}} - {"\n"}
    assert not hidden
    assert "x" * 255 not in "".join(page.tables["All classes"][17])


@pytest.mark.parametrize("report", [make_report(), hostile_report()], ids=["plain", "hostile"])
def test_nothing_is_loaded_from_outside(report: ReportInput) -> None:
    page = Page(render_html(report))
    for tag, attrs in page.elements:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], tag
        if "src" in attrs:
            assert tag == "img"
            assert attrs["src"].startswith("data:image/png;base64,")
        if "href" in attrs:
            assert attrs["href"].startswith("#") or attrs["href"] == "data:,"
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == tags.count("style") == 1
    assert not {"iframe", "object", "embed", "form", "base", "use", "foreignobject"} & set(tags)


def test_policy_allows_exactly_the_packages_style_and_script() -> None:
    page = Page(render_html(hostile_report()))

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    folder = resources.files("convscope.evaluation")
    assert page.inside["style"] == (folder / "report.css").read_text(encoding="utf-8")
    assert page.inside["script"] == (folder / "report.js").read_text(encoding="utf-8")
    policy = next(attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs)
    assert policy == (
        "default-src 'none'; img-src data:; "
        f"style-src {source(page.inside['style'])}; script-src {source(page.inside['script'])}; "
        "base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in page.inside["style"]
    assert "@import" not in page.inside["style"]


def test_links_lead_to_sections_and_ids_are_unique() -> None:
    page = Page(render_html(make_report()))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"][1:] for tag, attrs in page.elements if tag == "a"]
    assert set(targets) <= set(ids)
    assert len(targets) == 11  # ten sections, and the link that skips to them
    assert [tag for tag, _ in page.elements].count("h1") == 1


def test_every_picture_and_chart_has_a_text_alternative() -> None:
    for tag, attrs in Page(render_html(make_report())).elements:
        if tag == "img":
            assert attrs["alt"]
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or attrs["aria-label"]
        if tag == "th":
            assert attrs["scope"] in {"row", "col"}


def test_tables_hold_the_numbers_of_the_evaluation() -> None:
    report = make_report(("cat", "dog", "owl"))
    result, tables = report.evaluation, Page(render_html(report)).tables
    for score, row in zip(result.per_class, tables["All classes"][1:], strict=True):
        missed = (
            score.support
            - result.confusion[result.classes.index(score.name)][result.classes.index(score.name)]
        )
        assert row == [
            score.name,
            f"{score.support:,}",
            *(
                f"{100 * value:.1f}\xa0%"
                for value in (score.precision, score.recall, score.f1)
                if value
            ),
            str(missed),
        ]
    assert tables["True classes down, predicted across"] == [
        ["", "cat", "dog", "owl"],
        *(
            [name, *map(str, row)]
            for name, row in zip(result.classes, result.confusion, strict=True)
        ),
    ]
    assert tables["Most confused pairs"][1:] == [
        [f"{pair.true} → {pair.predicted}", str(pair.count), f"{100 * pair.rate:.1f}\xa0%"]
        for pair in result.confused_pairs
    ]
    assert tables["Turn"][1:] == [
        ["−1", "40.0\xa0%", "27.6\xa0% to 53.8\xa0%", "50.0\xa0%"],  # Wilson, 20 of 50
        ["0", "80.0\xa0%", "67.0\xa0% to 88.8\xa0%", "100.0\xa0%"],
        ["1", "20.0\xa0%", "11.2\xa0% to 33.0\xa0%", "25.0\xa0%"],
    ]
    used = [one for one in result.calibration.bins if one.count]
    assert [row[1] for row in tables["By stated confidence"][1:]] == [
        str(one.count) for one in used
    ]
    assert tables["Layers from input to output"][1:] == [
        ["c1 convolution, tanh", "6 × 28 × 28", "5 × 5", "156", "122,304", "117,600"],
        ["c3 convolution", "2 × 10 × 10", "–", "75", "–", "7,500"],
        ["Total", "", "", "231", "122,304", "125,100"],
    ]
    assert tables["Maps of the layer before (down) that each map of c3 sees"] == [
        ["Map", "0", "1"],
        ["0", "●", ""],
        ["1", "●", ""],
        ["2", "", "●"],
    ]


def test_hero_says_how_good_it_is() -> None:
    report = make_report(("cat", "dog"), n=400)
    result = report.evaluation
    right = result.confusion[0][0] + result.confusion[1][1]
    pair = result.confused_pairs[0]
    text = page_text(render_html(report))
    low, high = result.accuracy_interval
    assert (
        f"{100 * right / 400:.2f} % test accuracy95 % interval {100 * low:.2f} % to "
        f"{100 * high:.2f} %n = 400 images"
    ) in text
    assert (
        f"net names {right} of 400 test images correctly; most often it takes “{pair.true}” for "
        f"“{pair.predicted}” ({pair.count} times)."
    ) in text
    assert f"Loss{result.loss:.4f}" in text
    assert "Parameters231" in text
    assert "Training time4.3 s" in text


def test_views_stand_apart_from_the_accuracy() -> None:
    report = make_report([f"class {i}" for i in range(12)])
    views = ViewScore(
        name="ten-crop",
        count=10,
        accuracy=0.9,
        accuracy_interval=(0.85, 0.94),
        loss=0.5,
        top5=0.99,
    )
    plain = page_text(render_html(report))
    assert "test-time views" not in plain
    text = page_text(
        render_html(replace(report, evaluation=replace(report.evaluation, views=(views,))))
    )
    assert (
        "With test-time views 90.00 %, top-5 99.00 % (95 % interval 85.00 % to 94.00 %): the mean "
        "over 10 views of each image, crops at its corners and its centre, each mirrored, too."
    ) in text
    result = report.evaluation
    assert result.top5 is not None
    assert f"{100 * result.accuracy:.2f} % test accuracy" in text  # the single view leads
    assert f"top-5 accuracy {100 * result.top5:.2f} %" in text
    assert "top-5" not in page_text(render_html(make_report()))


def test_views_of_an_unknown_name_are_inert() -> None:
    report = make_report()
    evil = ViewScore(name=HOSTILE[0], count=3, accuracy=0.9, accuracy_interval=(0.8, 1.0), loss=0.5)
    html = render_html(replace(report, evaluation=replace(report.evaluation, views=(evil,))))
    assert HOSTILE[0] not in html
    assert "mean over 3 views of each image." in page_text(html)


def test_filters_for_colour_are_one_picture_each() -> None:
    report = make_report(channels=3, filters=np.ones((100, 3, 11, 11), np.float32))
    page = Page(render_html(report))
    pictures = [
        attrs for tag, attrs in page.elements if tag == "img" and attrs["alt"].startswith("Filter ")
    ]
    assert [attrs["alt"] for attrs in pictures] == [
        f"Filter {index}: weights from 1 to 1" for index in range(96)
    ]
    assert "The first 96 of 100 filters of 11 × 11 weights for red, green and blue" in "".join(
        page.text
    )


def test_a_thousand_classes_stay_readable_and_light() -> None:
    report = make_report([f"class {i}" for i in range(1000)], n=4000, channels=3, size=100)
    html = render_html(report)
    assert len(html) < 3_000_000
    page = Page(html)
    assert "True classes down, predicted across" not in page.tables
    assert len(page.tables["The 12 classes with the lowest F1"]) == 13
    label = next(
        attrs["aria-label"]
        for tag, attrs in page.elements
        if tag == "svg" and attrs.get("class", "").startswith("matrix")
    )
    result = report.evaluation
    named = {name for pair in result.confused_pairs for name in (pair.true, pair.predicted)}
    assert label.startswith(f"Confusion matrix of {len(named)} chosen classes: ")
    assert "Of 1,000 classes those of the most confused pairs are here." in page_text(html)


def test_a_perfect_network_without_anything_else() -> None:
    report = make_report(
        ("a", "b"),
        wrong=0.0,
        history=[],
        filters=None,
        feature_maps=[],
        anatomy={},
        recipe={},
        environment={},
        provenance={},
        training_seconds=None,
    )
    report = replace(report, evaluation=replace(report.evaluation, robustness=()))
    assert not report.evaluation.mistakes
    html = render_html(report)
    text = page_text(html)
    assert "100.00 %" in text
    assert "net names 300 of 300 test images correctly: not one mistake." in text
    assert "There is none: every image is right." in text
    anchors = [attrs["id"] for tag, attrs in Page(html).elements if tag == "section"]
    assert anchors == ["classes", "confusion", "calibration", "mistakes", "origin"]


def test_many_classes_show_the_weakest_first_and_all_on_demand() -> None:
    report = make_report([f"class {i}" for i in range(45)], n=2000)
    tables = Page(render_html(report)).tables
    weakest = tables["The 12 classes with the lowest F1"][1:]
    scores = {one.name: one.f1 or 0.0 for one in report.evaluation.per_class}
    assert [scores[row[0]] for row in weakest] == sorted(scores.values())[:12]
    assert len(tables["All classes"]) == 46


def test_history_with_gaps_is_drawn_where_it_has_numbers() -> None:
    rows = [
        {"epoch": 1, "loss": float("nan"), "learning_rate": 0.1},
        {"epoch": 2, "loss": 0.5, "learning_rate": 0.05},
    ]
    html = render_html(make_report(history=rows))
    tables = Page(html).tables
    assert tables["Training by epoch"] == [
        ["Epoch", "Loss", "Learning rate"],
        ["1", "–", "0.1"],
        ["2", "0.5", "0.05"],
    ]
    assert "best validation accuracy" not in html
    assert 'd="Mnan' not in html


def test_recipe_is_shown_as_readable_json() -> None:
    page = Page(render_html(make_report(recipe={"name": "<b>", "nested": {"lr": 0.1}})))
    blocks = [text for text in page.text if text.startswith("{")]
    assert [json.loads(block) for block in blocks] == [{"name": "<b>", "nested": {"lr": 0.1}}]
    assert "\n  " in blocks[0]


def test_mistake_pictures_are_the_pixels_themselves() -> None:
    from io import BytesIO

    from PIL import Image

    report = make_report(channels=3)
    page = Page(render_html(report))
    pictures = [
        attrs for tag, attrs in page.elements if tag == "img" and " taken for " in attrs["alt"]
    ]
    assert len(pictures) == len(report.evaluation.mistakes) > 12
    for picture, image, mistake in zip(
        pictures, report.mistake_images, report.evaluation.mistakes, strict=True
    ):
        assert picture["alt"] == f"{mistake.true}, taken for {mistake.predicted}"
        decoded = Image.open(BytesIO(base64.b64decode(picture["src"].partition(",")[2])))
        np.testing.assert_array_equal(np.asarray(decoded), np.moveaxis(image, 0, -1))


def test_wrong_pictures_and_filters_are_refused() -> None:
    report = make_report()
    with pytest.raises(InputError, match=r"mistake_images are uint8 .* one for each mistake"):
        replace(report, mistake_images=report.mistake_images[1:])
    with pytest.raises(InputError, match=r"mistake_images are float32"):
        replace(report, mistake_images=report.mistake_images.astype(np.float32))
    with pytest.raises(InputError, match=r"filters have shape \(5, 5\)"):
        replace(report, filters=np.zeros((5, 5), np.float32))


def test_percent_never_rounds_to_certainty() -> None:
    assert percent(0.99949, 1) == "99.9\xa0%"
    assert percent(0.9996, 1) == ">\xa099.9\xa0%"
    assert percent(0.0004, 1) == "<\xa00.1\xa0%"
    assert percent(1.0, 2) == "100.00\xa0%"
    assert duration(59.97) == "1 min 0 s"
    assert finite(float("inf")) is finite("1") is None


def test_table_cells_and_captions_are_marked_for_readers() -> None:
    page = Page(table_html('a "b"', ["x", "y"], [["r", "1"]], foot_html=["t", "2"]))
    assert page.tables == {'a "b"': [["x", "y"], ["r", "1"], ["t", "2"]]}
    assert page.elements[0][1]["aria-label"] == 'a "b"'
    assert [attrs.get("scope") for tag, attrs in page.elements if tag == "th"] == [
        "col",
        "col",
        "row",
        "row",
    ]


# Colours


def palette() -> dict[str, tuple[str, str]]:
    style = (resources.files("convscope.evaluation") / "report.css").read_text(encoding="utf-8")
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    return {name: (light, dark) for name, light, dark in found}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def pairs() -> Iterator[tuple[str, str, float]]:
    for text in ("ink", "muted", "link"):
        yield text, "page", 4.5
    yield "ink", "panel", 4.5
    yield "muted", "panel", 4.5
    for shade in ("right1", "right2", "right3", "right4", "wrong1", "wrong2", "wrong3", "wrong4"):
        yield "on-soft", shade, 4.5
    for shade in ("wrong5", "wrong6"):
        yield "on-strong", shade, 4.5
    for graphic in ("a", "b", "error"):
        yield graphic, "page", 3.0


@pytest.mark.parametrize(("front", "back", "least"), list(pairs()))
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_meets_wcag_aa(front: str, back: str, least: float, theme: int) -> None:
    colours = palette()
    assert contrast(colours[front][theme], colours[back][theme]) >= least


def test_errors_stand_out_more_the_larger_they_are() -> None:
    colours = palette()
    for theme in (0, 1):
        page = colours["page"][theme]
        shades = [contrast(colours[f"wrong{i}"][theme], page) for i in range(1, 7)]
        assert shades == sorted(shades)


# The browser, and what is imported


def test_report_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, convscope.evaluation.report; "
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium")
@pytest.mark.parametrize("kind", ["plain", "hostile", "many", "photos"])
def test_in_a_browser_it_is_quiet_offline_and_fits(kind: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    reports = {
        "plain": make_report(),
        "hostile": hostile_report(),
        "many": make_report([*PLAIN, *(f"more {i}" for i in range(80))], channels=3),
        "photos": make_report(
            channels=3, size=150, filters=np.ones((96, 3, 11, 11), dtype=np.float32)
        ),
    }
    path = tmp_path / "report.html"
    path.write_text(render_html(reports[kind]), encoding="utf-8")
    requests: list[str] = []
    messages: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic"],
        )
        try:
            page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
            page.on("request", lambda request: requests.append(request.url))
            page.on("console", lambda message: messages.append(message.text))
            page.on("pageerror", lambda error: messages.append(str(error)))
            page.on("dialog", lambda dialog: messages.append(dialog.message))
            page.goto(path.as_uri())
            for opened in (False, True):
                page.evaluate(
                    "open => document.querySelectorAll('details')"
                    ".forEach(one => { one.open = open; })",
                    opened,
                )
                for width in (390, 768, 1280, 1920):
                    page.set_viewport_size({"width": width, "height": 844})
                    beyond = page.evaluate(
                        "document.documentElement.scrollWidth"
                        " - document.documentElement.clientWidth"
                    )
                    assert beyond <= 0, f"{beyond} px too wide at {width} px"
            background = "getComputedStyle(document.body).backgroundColor"
            assert page.evaluate(background) == "rgb(16, 18, 22)"
            button = page.get_by_role("button", name="Dark")
            assert button.get_attribute("aria-pressed") == "true"
            button.click()
            assert page.evaluate(background) == "rgb(255, 255, 255)"
            assert button.get_attribute("aria-pressed") == "false"
            broken = page.evaluate(
                "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
            )
            assert broken == 0
        finally:
            browser.close()
    assert messages == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert [url for url in requests if url.startswith("file:")] == [path.as_uri()]
