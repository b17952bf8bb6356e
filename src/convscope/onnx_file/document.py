"""What convscope writes into an ONNX file beside the network: its metadata, one JSON document.

classes, preprocessing   what a program needs to use the network
input                    what the file's graph takes: raw pixels, or normalised numbers
accuracy, data, recipe   where it comes from, and how good it is
licence                  of the weights
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from convscope.data.preprocess import Preprocessing
from convscope.documents import parse_json, to_json_bytes
from convscope.errors import InputError
from convscope.text import printable

KEY = "convscope"
"""Of the metadata that hold the document."""
FORMAT = 1

PIXELS, INPUT = "pixels", "input"
"""Names of the graph's input: uint8 pixels, or float32 normalised by whoever calls."""
PROBABILITIES, SCORES = "probabilities", "scores"
"""Names of the graph's outputs, both float32, N × classes."""

Text = Annotated[str, Field(max_length=10_000)]


class Accuracy(BaseModel):
    """How often the network is right on images it was not trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    split: Text
    dataset: Text
    images_sha256: Text = ""
    n: Annotated[int, Field(ge=1)]
    accuracy: Annotated[float, Field(ge=0, le=1)]
    interval: tuple[float, float]


class OnnxDocument(BaseModel):
    """The metadata of an exported network.

    Attributes:
        input: `pixels`: the graph takes uint8 pixels of the preprocessing's size, and does the
            rest of it; `input`: the graph takes what `preprocess.normalise` gives.
        precision: of its weights and products.
        accuracy: of this file; of a float32 file that of the run it was made of.
        float_accuracy: of the same network in float32, where this is int8.
        p_value: McNemar's, of the difference between the two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    convscope: Text
    created: Text
    model: Text
    arguments: dict[str, Any] = Field(default_factory=dict)
    classes: tuple[str, ...] = Field(min_length=1, max_length=100_000)
    preprocessing: Preprocessing
    input: Literal["pixels", "input"] = "pixels"
    precision: Literal["fp32", "int8"] = "fp32"
    licence: Text = ""
    data: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    accuracy: Accuracy | None = None
    float_accuracy: Accuracy | None = None
    p_value: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _names_are_short(self) -> "OnnxDocument":
        if any(len(name) > 1000 for name in self.classes):
            raise ValueError("the name of a class has more than 1,000 characters")
        return self

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what the graph takes."""
        p = self.preprocessing
        return (p.channels, *p.size) if self.input == PIXELS else p.input_shape

    def to_text(self) -> str:
        """As it stands in the file."""
        return to_json_bytes(self.model_dump(mode="json")).decode()


def parse_document(text: bytes, shown: str) -> OnnxDocument:
    """The document that `to_text` wrote.

    Raises:
        InputError: it is damaged, or of another format.
    """
    document = parse_json(text, f"{shown}, metadata")
    if isinstance(document, dict) and document.get("format") != FORMAT:
        raise InputError(
            f"{shown} has metadata of format {printable(document.get('format'))}; this version "
            f"reads format {FORMAT}: upgrade convscope"
        )
    try:
        return OnnxDocument.model_validate(document)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(key) for key in problem["loc"]) or "the whole"
        raise InputError(
            f"{shown} has damaged metadata: {printable(where)}: {printable(problem['msg'])}"
        ) from None
