"""Can a convolutional network tell where a thing is, and by which padding? Only that is asked."""

from convscope.studies import padding_place
from convscope.studies.shorthand import OURS, more, same
from convscope.studies.study import Budget, Claim, Comparison, Study

_GUESSING = 0.5


def _knows(arm: str, condition: str) -> Comparison:
    return more("test_accuracy", arm, _GUESSING, margin=0.05, condition=condition)


STUDY = Study(
    name="padding-knowledge",
    topic="padding",
    question="Can a network know where a thing is, when nothing else tells the classes apart?",
    changed=padding_place.STUDY.changed,
    recipe=padding_place.STUDY.recipe,
    set=padding_place.STUDY.set,
    images={"source": "places"},
    probes=("accuracy",),
    arms=tuple(
        padding_place.STUDY.arm(name) for name in ("zeros", "valid", "replicate", "circular")
    ),
    quick=Budget(train=1000, test=500, epochs=6, seeds=3),
    full=Budget(train=2000, test=1000, epochs=10, seeds=10),
    claims=(
        Claim(
            id="padding-knows-place",
            quote="zero-padding … where maintaining positional information is crucial",
            source="Pooling and padding, 4",
            comparisons=(
                _knows("zeros", "with zeros"),
                more(
                    "test_accuracy",
                    "zeros",
                    "valid",
                    margin=0.05,
                    condition="better than without padding",
                ),
            ),
            comment="accuracy of telling above from below; 50 % is guessing",
        ),
        Claim(
            id="no-border-no-place",
            quote="without a border that differs there is no place",
            source=OURS,
            comparisons=(
                _knows("replicate", "replicate has a border"),
                same(
                    "test_accuracy",
                    "circular",
                    _GUESSING,
                    margin=0.05,
                    condition="circular has none",
                ),
            ),
            comment="accuracy of telling above from below; with circular padding every place is "
            "like every other",
        ),
    ),
    held_equal=padding_place.STUDY.held_equal,
    method="the images of padding-place with the order of the colours at random",
)
