"""Does zero padding tell the network where it is? Red beside green, with the places swapped."""

from convscope.studies.shorthand import ABSENT, more, same
from convscope.studies.study import Arm, Budget, Claim, Study

_PAD = "model.arguments.padding"


def _arm(name: str, kind: str, mode: str = "zeros", note: str = "") -> Arm:
    return Arm(name=name, set={_PAD: {"layer": "pad", "kind": kind, "mode": mode}}, note=note)


STUDY = Study(
    name="padding-place",
    topic="padding",
    question="Does padding tell a convolutional network where in the picture it looks?",
    changed="the padding of the four convolutions of a network that ends in a global maximum",
    recipe="study-pictures",
    set={
        "model.arguments.layers": 4,
        "model.arguments.kernel": 3,
        "model.arguments.head": "global-max",
        "model.arguments.pool": {"layer": "pool", "kind": "max"},
        "model.arguments.last_pool": {"layer": "pool", "kind": "none"},
    },
    images={"source": "squares"},
    probes=("accuracy", "swapped"),
    arms=(
        _arm("zeros", "same"),
        _arm("valid", "valid", note="no padding at all"),
        _arm("full", "full", note="every place is seen by every element of the kernel"),
        _arm("reflect", "same", "reflect"),
        _arm("replicate", "same", "replicate"),
        _arm("circular", "same", "circular"),
    ),
    quick=Budget(train=1000, test=500, epochs=6, seeds=5),
    full=Budget(train=2000, test=1000, epochs=10, seeds=20),
    claims=(
        Claim(
            id="padding-keeps-position",
            quote="zero-padding … where maintaining positional information is crucial",
            source="Pooling and padding, 4",
            comparisons=(
                more("place_reliance", "zeros", "circular", margin=0.2, condition="than circular"),
                more("place_reliance", "zeros", "valid", margin=0.2, condition="than no padding"),
            ),
            published="accuracy where trained / with places swapped: valid 100.0 / 0.2, same 99.8 "
            "/ 8.4, circular 73.7 / 73.7, full 89.7 / 89.7 % (Kayhan & van Gemert 2020)",
            comment="how far the accuracy falls when the places of the two classes are swapped: "
            "how much the network goes by the place rather than by the order of the colours, which "
            "tell the classes apart as well",
        ),
        Claim(
            id="zeros-know-place",
            quote="convolutional layers can exploit absolute spatial location",
            source=f"Kayhan & van Gemert 2020, {ABSENT}",
            comparisons=(
                more("place_reliance", "zeros", 0, margin=0.2, condition="zeros"),
                same("place_reliance", "circular", 0, margin=0.05, condition="circular does not"),
            ),
            published="99.8 → 8.4 % with zeros, 73.7 → 73.7 % circular",
            comment="with circular padding there is neither a place nor, on a ring, an order: the "
            "network does not learn this task. padding-knowledge leaves the place alone",
        ),
    ),
    held_equal="parameters, images, epochs, learning rate and schedule, seeds",
    method="see convscope.studies.squares; ours has two max poolings, theirs none",
)
