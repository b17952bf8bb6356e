"""Does padding save what lies at the border? Digits are pushed against it."""

from convscope.studies.shorthand import OURS, less, more
from convscope.studies.study import Arm, Budget, Claim, Study

_PAD, _SIZE = "model.arguments.padding", "model.arguments.input_size"
_MODES = ("reflect", "replicate", "circular")

STUDY = Study(
    name="padding-border",
    topic="padding",
    question="Are digits at the border of the picture recognised better with padding?",
    changed="the padding of both convolutions of a LeNet with 28 × 28 input",
    set={"model.name": "lenet5-keras", "augmentation.shift": 6},
    probes=("accuracy", {"probe": "border", "images": 1000}),
    arms=(
        Arm(name="valid", note="4 × 4 maps before the fully connected layers"),
        Arm(name="same, zeros", set={_PAD: {"layer": "pad", "kind": "same"}}, note="7 × 7 maps"),
        Arm(
            name="valid, framed",
            set={_SIZE: 40},
            control=True,
            note="the picture has a frame of 6, no layer pads: 7 × 7 maps, as many "
            "parameters as same",
        ),
        *(
            Arm(name=f"same, {mode}", set={_PAD: {"layer": "pad", "kind": "same", "mode": mode}})
            for mode in _MODES
        ),
    ),
    quick=Budget(train=2000, test=1000, epochs=3, seeds=5),
    full=Budget(train=20000, test=0, epochs=8, seeds=10),
    claims=(
        Claim(
            id="padding-border",
            quote="without padding … loss of information at the edges of the input",
            source="Pooling and padding, 3.2",
            comparisons=(
                less(
                    "border_loss",
                    "same, zeros",
                    "valid",
                    margin=0.005,
                    condition="same against valid",
                ),
                less(
                    "border_loss",
                    "same, zeros",
                    "valid, framed",
                    margin=0.005,
                    condition="against a frame around the picture",
                ),
            ),
            comment="fall of the accuracy when digits are pushed against the border; training "
            "moves them by up to 6 pixels, so that it is no matter of never having seen them "
            "there. The frame is background, as many parameters as same padding",
        ),
        Claim(
            id="padding-accuracy",
            quote="preserving spatial information … can be important",
            source="Pooling and padding, 3.1",
            comparisons=(
                more(
                    "test_accuracy",
                    "same, zeros",
                    "valid",
                    margin=0.003,
                    condition="same against valid",
                ),
                more(
                    "test_accuracy",
                    "same, zeros",
                    "valid, framed",
                    margin=0.003,
                    condition="against a frame around the picture",
                ),
            ),
            comment="accuracy on the test digits as they are",
        ),
        Claim(
            id="zeros-against-others",
            quote="zero padding is often used because it doesn't introduce additional values",
            source="Pooling and padding, 3",
            comparisons=tuple(
                more(
                    "test_accuracy",
                    "same, zeros",
                    f"same, {mode}",
                    margin=0.003,
                    condition=f"than {mode}",
                )
                for mode in _MODES
            ),
            comment="zeros are values, too: the network's input is normalised, so that 0 is the "
            "mean grey, not the background",
        ),
        Claim(
            id="circular-border",
            quote="zeros serve the border better than what repeats the picture there",
            source=OURS,
            comparisons=tuple(
                less(
                    "border_loss",
                    "same, zeros",
                    f"same, {mode}",
                    margin=0.005,
                    condition=f"than {mode}",
                )
                for mode in _MODES
            ),
            comment="fall of the accuracy when digits are pushed against the border",
        ),
    ),
    held_equal="images, their random shifts while training, epochs, learning rate and schedule, "
    "seeds; in the control also parameters and the size of the maps",
    method="each test digit is moved until its ink touches the left, right, top or bottom edge",
)
