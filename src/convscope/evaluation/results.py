"""The plain results of an evaluation: frozen, checked when made, written as JSON and read back.

Everything that shows results (terminal, HTML, pictures, CSV) reads only these. Fractions run
from 0 to 1, probabilities too; a number that is not defined is None, never NaN.
"""

from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from convscope.errors import InputError
from convscope.text import printable


def _encodable(value: object) -> object:
    """File names may hold bytes that are no UTF-8: those are spelled out, the rest is kept."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


Name = Annotated[str, BeforeValidator(_encodable)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

_CONFIG = ConfigDict(allow_inf_nan=False, extra="forbid")


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ClassScore:
    """One class against the rest.

    Attributes:
        support: images that are of this class.
        precision: of the images called this class, the share that are; None where none was.
        recall: of the images of this class, the share called so; None where there are none.
        f1: 2·TP / (2·TP + FP + FN); None where the class neither occurs nor was predicted.
    """

    name: Name
    support: Count
    precision: Fraction | None
    recall: Fraction | None
    f1: Fraction | None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ConfusedPair:
    """`count` images of class `true` were called `predicted`: the share `rate` of its images."""

    true: Name
    predicted: Name
    count: Count
    rate: Fraction


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class CalibrationBin:
    """The images whose winning probability is in (lower, upper]; the first bin includes 0.

    Attributes:
        count: how many images.
        confidence: their mean winning probability; None for an empty bin.
        accuracy: the share of them that are right; None for an empty bin.
    """

    lower: Fraction
    upper: Fraction
    count: Count
    confidence: Fraction | None
    accuracy: Fraction | None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Calibration:
    """Expected calibration error (Guo et al. 2017, equation 3) and its bins from 0 to 1."""

    ece: Fraction
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Mistake:
    """One wrongly classified image.

    Attributes:
        index: its position in the split.
        file: its path relative to the root of the data, None for data without single files.
        probability: of the predicted class.
        probability_true: of the true class.
        top: the three most probable classes with their probabilities, best first (two where
            there are only two).
    """

    index: Count
    file: Name | None
    true: Name
    predicted: Name
    probability: Fraction
    probability_true: Fraction
    top: tuple[tuple[Name, Fraction], ...]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class CurvePoint:
    """What a perturbation of strength `x` leaves.

    Attributes:
        x: strength, in the curve's unit.
        accuracy: share of the images that are still classified rightly.
        interval: 95 % Wilson interval of the accuracy.
        agreement: share of the images whose prediction equals the one on the unchanged image.
    """

    x: float
    accuracy: Fraction
    interval: tuple[Fraction, Fraction]
    agreement: Fraction


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class RobustnessCurve:
    """Accuracy against the strength of one perturbation.

    Attributes:
        name: short identifier, e.g. `shift`.
        label: what was done, for a reader, e.g. `Shift`.
        unit: of x, e.g. `pixels`.
        points: in ascending order of x.
        n: images behind each point.
    """

    name: str
    label: str
    unit: str
    points: tuple[CurvePoint, ...]
    n: Count


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ViewScore:
    """How good the same model is when each image is seen in several views, averaged.

    Attributes:
        name: of the set of views, e.g. `ten-crop`.
        count: views of each image.
        accuracy: share of the images that are right.
        accuracy_interval: its 95 % Wilson interval.
        loss: mean negative log-likelihood of the true class, in nats.
        top5: share of the images whose class is among the five most probable; None up to 10
            classes.
    """

    name: Name
    count: Annotated[int, Field(ge=1)]
    accuracy: Fraction
    accuracy_interval: tuple[Fraction, Fraction]
    loss: Annotated[float, Field(ge=0)]
    top5: Fraction | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Evaluation:
    """How good a model is on one split, each image seen once.

    Attributes:
        dataset: name of the data set.
        split: name of the split.
        n: images evaluated, at least 1.
        classes: names, in the order of the labels.
        accuracy: share of the images whose largest score is that of their class.
        accuracy_interval: its 95 % Wilson interval.
        loss: mean negative log-likelihood of the true class, in nats.
        macro_f1: mean F1 of the classes whose F1 is defined.
        per_class: one entry for each class, in the order of the labels.
        confusion: images by true class (rows) and predicted class (columns).
        confused_pairs: the most frequent confusions, most frequent first, at most 10.
        calibration: expected calibration error and reliability diagram.
        mistakes: the most confident wrong answers, most confident first, at most 40.
        robustness: one curve for each perturbation, where they were measured.
        wrong: positions of all wrongly classified images, ascending: what paired tests need.
        images_sha256: over images and labels; two evaluations with the same one saw the same test.
        top5: share of the images whose class is among the five most probable; None up to 10
            classes, where it says little.
        top5_interval: its 95 % Wilson interval, or None.
        views: the scores with several views of each image, where they were measured.
    """

    dataset: Name
    split: Name
    n: Annotated[int, Field(ge=1)]
    classes: tuple[Name, ...]
    accuracy: Fraction
    accuracy_interval: tuple[Fraction, Fraction]
    loss: Annotated[float, Field(ge=0)]
    macro_f1: Fraction
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[Count, ...], ...]
    confused_pairs: tuple[ConfusedPair, ...]
    calibration: Calibration
    mistakes: tuple[Mistake, ...]
    robustness: tuple[RobustnessCurve, ...] = ()
    wrong: tuple[Count, ...] = ()
    images_sha256: Annotated[str, Field(max_length=64)] = ""
    top5: Fraction | None = None
    top5_interval: tuple[Fraction, Fraction] | None = None
    views: tuple[ViewScore, ...] = ()

    def __post_init__(self) -> None:
        k = len(self.classes)
        if tuple(score.name for score in self.per_class) != self.classes:
            raise ValueError("per_class does not list the classes in their order")
        if len(self.confusion) != k or any(len(row) != k for row in self.confusion):
            raise ValueError(f"confusion is not {k} × {k}, one row and column for each class")
        if any(a >= b for a, b in pairwise((*self.wrong, self.n))):
            raise ValueError(f"wrong are not ascending positions below {self.n}")
        if (total := sum(map(sum, self.confusion))) != self.n:
            raise ValueError(f"confusion counts {total} images, but n is {self.n}")
        if (self.top5 is None) != (self.top5_interval is None):
            raise ValueError("top5 and top5_interval belong together")

    def to_json(self) -> dict[str, Any]:
        """Dictionaries, lists, strings and finite numbers: safe for `json.dumps`."""
        plain: dict[str, Any] = TypeAdapter(Evaluation).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The evaluation that `to_json` wrote.

        Raises:
            InputError: a field is missing, unknown, of the wrong type or out of range, or the
                fields contradict each other.
        """
        try:
            return TypeAdapter(cls).validate_python(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise InputError(
                f"these results are damaged: {printable(where)}: {printable(first['msg'])}; "
                "evaluate the run again to replace them"
            ) from None
