"""Results survive JSON unchanged, refuse what is damaged, and say where."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from pydantic import ValidationError

from convscope.errors import InputError
from convscope.evaluation.results import (
    Calibration,
    CalibrationBin,
    ClassScore,
    ConfusedPair,
    CurvePoint,
    Evaluation,
    Mistake,
    RobustnessCurve,
    ViewScore,
)


def example() -> Evaluation:
    """Five images of 'cat', none of 'dog', one of them wrong."""
    return Evaluation(
        dataset="pets",
        split="test",
        n=5,
        classes=("cat", "dog"),
        accuracy=0.8,
        accuracy_interval=(0.376, 0.964),
        loss=0.25,
        macro_f1=4 / 9,
        per_class=(
            ClassScore(name="cat", support=5, precision=1.0, recall=0.8, f1=8 / 9),
            ClassScore(name="dog", support=0, precision=0.0, recall=None, f1=0.0),
        ),
        confusion=((4, 1), (0, 0)),
        confused_pairs=(ConfusedPair(true="cat", predicted="dog", count=1, rate=0.2),),
        calibration=Calibration(
            ece=0.1,
            bins=(
                CalibrationBin(lower=0.0, upper=0.5, count=0, confidence=None, accuracy=None),
                CalibrationBin(lower=0.5, upper=1.0, count=5, confidence=0.9, accuracy=0.8),
            ),
        ),
        mistakes=(
            Mistake(
                index=3,
                file="cat/3.png",
                true="cat",
                predicted="dog",
                probability=0.7,
                probability_true=0.3,
                top=(("dog", 0.7), ("cat", 0.3)),
            ),
        ),
        robustness=(
            RobustnessCurve(
                name="shift",
                label="Shift",
                unit="pixels",
                points=(CurvePoint(x=0, accuracy=0.8, interval=(0.376, 0.964), agreement=1.0),),
                n=5,
            ),
        ),
        top5=1.0,
        top5_interval=(0.566, 1.0),
        views=(
            ViewScore(
                name="mirrored", count=2, accuracy=1.0, accuracy_interval=(0.566, 1.0), loss=0.2
            ),
        ),
    )


def damaged(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = example().to_json()
    change(data)
    return data


def test_json_and_back_is_the_same() -> None:
    text = json.dumps(example().to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == example()


def test_json_is_plain() -> None:
    data = example().to_json()
    assert data["accuracy"] == 0.8
    assert data["confusion"] == [[4, 1], [0, 0]]
    assert data["per_class"][1] == {
        "name": "dog",
        "support": 0,
        "precision": 0.0,
        "recall": None,
        "f1": 0.0,
    }
    assert data["mistakes"][0]["top"] == [["dog", 0.7], ["cat", 0.3]]


def test_results_without_robustness_can_be_read() -> None:
    data = damaged(lambda d: d.pop("robustness"))
    assert Evaluation.from_json(data) == replace(example(), robustness=())


def test_results_from_before_top_five_and_views_can_be_read() -> None:
    data = example().to_json()
    for key in ("top5", "top5_interval", "views"):
        del data[key]
    assert Evaluation.from_json(data) == replace(example(), top5=None, top5_interval=None, views=())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(top5=None), r"top5 and top5_interval belong together"),
        (lambda d: d["views"][0].update(count=0), r"views\.0\.count: .*greater than or equal to 1"),
        (lambda d: d["views"][0].update(accuracy=2), r"views\.0\.accuracy: .*less than or equal"),
        (lambda d: d.pop("accuracy"), r"accuracy: Field required"),
        (lambda d: d.update(accuracy=1.2), r"accuracy: .*less than or equal to 1"),
        (lambda d: d.update(accuracy="high"), r"accuracy: .*valid number"),
        (lambda d: d.update(loss=float("nan")), r"loss: .*finite"),
        (lambda d: d.update(loss=float("inf")), r"loss: .*finite"),
        (lambda d: d.update(loss=10**400), r"loss: "),
        (lambda d: d.update(n=0), r"n: .*greater than or equal to 1"),
        (lambda d: d.update(n=6), r"confusion counts 5 images, but n is 6"),
        (lambda d: d.update(confusion=[[5]]), r"confusion is not 2 × 2"),
        (lambda d: d.update(confusion=[[4, 1], [0]]), r"confusion is not 2 × 2"),
        (lambda d: d["confusion"][0].__setitem__(0, -1), r"confusion\.0\.0: .*greater than"),
        (lambda d: d.update(classes=["dog", "cat"]), r"per_class does not list the classes"),
        (lambda d: d["per_class"][0].update(recall=-0.1), r"per_class\.0\.recall: "),
        (lambda d: d["per_class"][0].update(colour="red"), r"per_class\.0\.colour: Unexpected"),
        (lambda d: d["mistakes"][0].update(top=[["dog"]]), r"mistakes\.0\.top\.0"),
        (lambda d: d["robustness"][0]["points"][0].update(x=None), r"robustness\.0\.points\.0\.x"),
    ],
)
def test_damaged_results_are_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Evaluation.from_json(damaged(change))
    assert str(caught.value).startswith("these results are damaged: ")
    assert str(caught.value).endswith("evaluate the run again to replace them")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(InputError, match="damaged: the whole: Input should be a dictionary"):
        Evaluation.from_json(data)


def test_hostile_field_names_are_printed_inert() -> None:
    with pytest.raises(InputError, match=r"\\x1b\[31m\\n: Unexpected"):
        Evaluation.from_json(damaged(lambda d: d.update({"\x1b[31m\n": 1})))


def test_names_that_are_no_utf8_are_spelled_out_and_others_kept() -> None:
    mistake = replace(example().mistakes[0], file="\udcff<b>\x1b.png")
    assert mistake.file == "\\udcff<b>\x1b.png"
    evaluation = replace(example(), mistakes=(mistake,))
    text = json.dumps(evaluation.to_json(), ensure_ascii=False).encode()
    assert Evaluation.from_json(json.loads(text)) == evaluation


def test_results_cannot_be_changed_or_made_wrong() -> None:
    with pytest.raises(FrozenInstanceError):
        example().accuracy = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="finite"):
        replace(example(), loss=float("nan"))
