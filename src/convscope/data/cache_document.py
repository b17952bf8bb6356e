"""The document beside cached pixels: strict JSON, taken for a stranger's until it is checked."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from convscope.documents import parse_json, read_regular_file
from convscope.errors import InputError
from convscope.text import printable

FORMAT: Literal[1] = 1
KEY = "[0-9a-f]{64}"

Key = Annotated[str, Field(pattern=f"^{KEY}$")]
Count = Annotated[StrictInt, Field(ge=0)]
Side = Annotated[StrictInt, Field(ge=1, le=2**31)]


class Document(BaseModel):
    """Which pixels answer a request, and what decoding found besides.

    Attributes:
        format: version of this document and of what is decoded how.
        key: of the request; also the document's own name.
        name: what the data is called, for people.
        pixels: the name, less its ending, of the file with the pixels.
        shape: N, C, H, W.
        skipped: (number in the listing, reason) of the images that could not be decoded.
        sha256: of each split's names and files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    key: Key
    name: str
    pixels: Key
    shape: tuple[Count, Side, Side, Side]
    skipped: tuple[tuple[Count, str], ...]
    sha256: dict[str, Key]

    @model_validator(mode="after")
    def _channels(self) -> "Document":
        if self.shape[1] not in (1, 3):
            raise ValueError("channels are neither 1 nor 3")
        return self


def read_document(path: Path) -> Document:
    """The document of a request, checked against itself.

    Raises:
        InputError: it is missing, no plain file, or damaged.
    """
    content = parse_json(read_regular_file(path), printable(path))
    try:
        document = Document.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = printable(f"{place}: {first['msg']}", 120)
        raise InputError(f"{printable(path)} is damaged: {reason}") from None
    if document.key != path.name.removesuffix(".json"):
        raise InputError(f"{printable(path)} is damaged: it is another request's")
    return document


def pixels_named(path: Path) -> str:
    """The pixels that a document names; empty if it is damaged."""
    try:
        return read_document(path).pixels
    except InputError:
        return ""
