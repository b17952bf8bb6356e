"""One opened run: its network, the latest pictures shown to it, its images, what was measured.

Several requests use a session at once. The network's copies share their weights, and each is
lent to one user at a time, since those who look inside hang hooks into the layers.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convscope.data.batches import to_input
from convscope.data.dataset import Dataset
from convscope.explain.tracing import Step, shared_copy, trace
from convscope.lab.background import Background
from convscope.lab.facts import describe_layers
from convscope.lab.images import Pixels
from convscope.lab.mistakes import measure
from convscope.lab.neighbours import Features, collect_features
from convscope.lab.samples import load_images
from convscope.run import Run, epoch_weights, load_model
from convscope.text import printable
from convscope.web.answers import Refusal

MOST_PICTURES, MOST_TRACES = 64, 2


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the network sees it.

    Attributes:
        key: its name for the clients.
        tensor: float32 C × H × W, preprocessed.
        truth: the index of its class, where it is known.
    """

    key: str
    tensor: Tensor
    truth: int | None = None


@dataclass(frozen=True, eq=False)
class Traced:
    """What each layer made of a picture, and how long that took."""

    picture: Picture
    steps: list[Step]
    milliseconds: float


@dataclass(eq=False)
class Session:
    """A run with its network in memory.

    Attributes:
        run: the run directory.
        epoch: whose weights the network has; None are those that training ended with.
        first: a session of the same run, whose images this one shares.

    Raises:
        InputError: the run has no weights, or damaged ones.
    """

    run: Run
    epoch: int | None = None
    first: "Session | None" = None
    _pictures: "OrderedDict[str, Picture]" = field(default_factory=OrderedDict)
    _traces: "OrderedDict[str, Traced]" = field(default_factory=OrderedDict)
    _idle: list[nn.Module] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        named = {} if self.epoch is None else {"weights": epoch_weights(self.epoch)}
        self._network = load_model(self.run, **named)
        self.classes = tuple(printable(name, 80) for name in self.run.document.classes)
        own: Background[Mapping[str, Dataset]] = Background(
            "reading the images of the run", lambda progress: load_images(self.run, progress)
        )
        self.images: Background[Mapping[str, Dataset]] = self.first.images if self.first else own
        self.measured = Background(
            "measuring the test images",
            lambda progress: measure(self.run, self.twin(), self.images.result(), progress),
        )
        self.features: Background[Features] = Background(
            "looking at the images of the run",
            lambda progress: collect_features(
                self.run, self.twin(), self.images.result(), progress
            ),
        )

    @contextmanager
    def network(self) -> Iterator[nn.Module]:
        """The network for one user alone, in evaluation mode; it must come back as it was."""
        with self._lock:
            network = self._idle.pop() if self._idle else self.twin()
        yield network
        with self._lock:  # after an error it is left to the collector: a hook may hang in it
            self._idle.append(network)

    def twin(self) -> nn.Module:
        """A copy of the network with the very same weights: only the modules are new."""
        return shared_copy(self._network)

    def take(self, pixels: Pixels, truth: int | None = None) -> Picture:
        """Keep a picture, uint8 C × H × W of the preprocessing's size; the last 64 are kept."""
        key = hashlib.sha256(pixels.tobytes() + str(truth).encode()).hexdigest()[:16]
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        batch = torch.from_numpy(np.array(pixels)[None])
        with torch.no_grad():
            picture = Picture(key, to_input(batch, self.run.document.preprocessing)[0], truth)
        with self._lock:
            self._pictures[key] = picture
            while len(self._pictures) > MOST_PICTURES:
                self._pictures.popitem(last=False)
        return picture

    def picture(self, key: str) -> Picture:
        """A picture by its key.

        Raises:
            Refusal: 404, it is none of the latest.
        """
        with self._lock:
            if key not in self._pictures:
                raise Refusal(404, "the lab no longer has this picture: draw or choose it again")
            self._pictures.move_to_end(key)
            return self._pictures[key]

    def traced(self, picture: Picture) -> Traced:
        """What each layer makes of a picture; that of the last two is kept."""
        with self._lock:
            if picture.key in self._traces:
                self._traces.move_to_end(picture.key)
                return self._traces[picture.key]
        with self.network() as network:
            started = time.perf_counter()
            steps = trace(network, picture.tensor)
            found = Traced(picture, steps, (time.perf_counter() - started) * 1000)
        with self._lock:
            self._traces[picture.key] = found
            while len(self._traces) > MOST_TRACES:
                self._traces.popitem(last=False)
        return found

    @cached_property
    def blank(self) -> list[Step]:
        """A trace of zeros: for shapes and receptive fields."""
        with self.network() as network:
            shape = self.run.document.preprocessing.input_shape
            return trace(network, torch.zeros(shape))

    @cached_property
    def layers(self) -> list[dict[str, Any]]:
        """The facts of each layer, as JSON."""
        return describe_layers(self.blank)
