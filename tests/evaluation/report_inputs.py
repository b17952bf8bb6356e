"""Reports to test with: real evaluations of made-up predictions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convscope.evaluation.metrics import evaluate_predictions, wilson_interval
from convscope.evaluation.report_input import FeatureMaps, ReportInput
from convscope.evaluation.results import CurvePoint, RobustnessCurve

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</style></title>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "<!-- ]]>",
    "&lt;b&gt;",
    "{{7*7}}",
    "$\\frac{",
    "[/]",
    "\x1b[31mred\x07",
    "two\nlines\r",
    "\u202eevil\u2066",
    '=HYPERLINK("http://example.org")',
    "../../etc/passwd",
    "CON",
    "x" * 255,
    "javascript:alert(1)",
    "שלום",
    "語",
)

PLAIN = tuple(f"class {index}" for index in range(len(HOSTILE)))

ANATOMY: dict[str, Any] = {
    "layers": [
        {
            "name": "c1",
            "kind": "convolution",
            "activation": "tanh",
            "output_shape": [6, 28, 28],
            "receptive_field": [5, 5],
            "parameters": 156,
            "connections": 122304,
            "multiply_adds": 117600,
            "formulas": {"size": "⌊(32 − 5)/1⌋ + 1 = 28", "parameters": "6·(5·5 + 1) = 156"},
            "table": None,
        },
        {
            "name": "c3",
            "kind": "convolution",
            "activation": None,
            "output_shape": [2, 10, 10],
            "receptive_field": None,
            "parameters": 75,
            "connections": None,
            "multiply_adds": 7500,
            "formulas": {},
            "table": [[0, 1], [2]],
        },
    ],
    "parameters": 231,
    "connections": 122304,
    "multiply_adds": 125100,
}


def make_report(
    classes: Sequence[str] = ("0", "1", "2"),
    *,
    n: int = 300,
    wrong: float = 0.2,
    channels: int = 1,
    size: int = 8,
    **changes: Any,
) -> ReportInput:
    """A complete report on `n` images, about the share `wrong` of them wrongly classified."""
    rng, k = np.random.default_rng(0), len(classes)
    labels = rng.integers(0, k, n)
    scores = rng.normal(size=(n, k))
    bonus = np.where(rng.random(n) < wrong, -6.0, 9.0)
    scores[np.arange(n), labels] += bonus
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    evaluation = evaluate_predictions(
        logs,
        labels,
        classes,
        dataset="made-up",
        split="test",
        files=[f"{classes[label]}/{index}.png" for index, label in enumerate(labels)],
    )
    points = tuple(
        CurvePoint(x=x, accuracy=right / 50, interval=wilson_interval(right, 50), agreement=same)
        for x, right, same in ((-1.0, 20, 0.5), (0.0, 40, 1.0), (1.0, 10, 0.25))
    )
    evaluation = replace(
        evaluation,
        robustness=(
            RobustnessCurve(name="turn", label="Turn", unit="degrees", points=points, n=50),
        ),
    )
    images = rng.integers(0, 256, (len(evaluation.mistakes), channels, size, size), dtype=np.uint8)
    layers = {
        "c1": rng.normal(size=(6, 6, 6)).astype(np.float32),
        "s2": np.abs(rng.normal(size=(20, 3, 3))).astype(np.float32),
    }
    report = ReportInput(
        title="net on made-up",
        model="net",
        evaluation=evaluation,
        history=[
            {
                "epoch": epoch,
                "loss": 2 / epoch,
                "train_accuracy": 1 - 0.5 / epoch,
                "validation_loss": 2.5 / epoch,
                "validation_accuracy": 0.9 - 0.5 / epoch,
                "learning_rate": 0.1 / epoch,
                "seconds": 1.5,
            }
            for epoch in range(1, 5)
        ],
        mistake_images=images,
        filters=rng.normal(size=(6, channels, 5, 5)).astype(np.float32),
        feature_maps=[
            FeatureMaps(
                image=rng.integers(0, 256, (channels, size, size), dtype=np.uint8),
                true=classes[0],
                layers=layers,
            )
        ],
        anatomy=ANATOMY,
        recipe={"model": "net", "epochs": 4, "nested": {"lr": 0.1}},
        environment={"torch": "2.13.0", "threads": 2, "versions": {"numpy": "2.4"}},
        provenance={"licence": "MIT", "citation": "Somebody (2026)"},
        command="convscope train net --seed 0",
        training_seconds=4.26,
        created="22 November 2026",
    )
    return replace(report, **changes)


def hostile_report() -> ReportInput:
    """Hostile names in every place that takes text from outside."""
    report = make_report(HOSTILE, n=800)
    maps = report.feature_maps[0]
    layer = ANATOMY["layers"][0]
    mapping = {name: {"in": name, "list": [name]} for name in HOSTILE}
    return replace(
        report,
        title=HOSTILE[0],
        model=HOSTILE[1],
        evaluation=replace(
            report.evaluation,
            dataset=HOSTILE[2],
            split=HOSTILE[3],
            robustness=tuple(
                replace(curve, label=HOSTILE[0], unit=HOSTILE[3], name=HOSTILE[14])
                for curve in report.evaluation.robustness
            ),
        ),
        feature_maps=[replace(maps, layers=dict(zip(HOSTILE, maps.layers.values(), strict=False)))],
        anatomy={
            **ANATOMY,
            "layers": [
                {
                    **layer,
                    "name": name,
                    "kind": name,
                    "activation": name,
                    "output_shape": [name],
                    "formulas": {"size": name},
                }
                for name in HOSTILE
            ],
        },
        recipe=mapping,
        environment=mapping,
        provenance=mapping,
        command=" ".join(HOSTILE),
        created=HOSTILE[1],
    )
