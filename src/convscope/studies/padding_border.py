"""Does padding save what lies at the border? Digits are pushed against it."""

from convscope.studies.study import Arm, Budget, Claim, Comparison, Study

_PAD, _SIZE = "model.arguments.padding", "model.arguments.input_size"
_MODES = ("reflect", "replicate", "circular")

STUDY = Study(
    name="padding-border",
    topic="padding",
    question="Are digits at the border of the picture recognised better with padding?",
    changed="the padding of both convolutions of a LeNet with 28 × 28 input",
    set={"model.name": "lenet5-keras"},
    probes=("accuracy", {"probe": "border", "images": 300}),
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
    full=Budget(train=0, test=0, epochs=5, seeds=10),
    claims=(
        Claim(
            id="padding-border",
            quote="without padding … loss of information at the edges of the input",
            source="Pooling and padding, 3.2",
            comparisons=(
                Comparison(
                    measure="border_loss",
                    arm="same, zeros",
                    reference="valid",
                    expect="less",
                    margin=0.05,
                    condition="same against valid",
                ),
                Comparison(
                    measure="border_loss",
                    arm="same, zeros",
                    reference="valid, framed",
                    expect="less",
                    margin=0.05,
                    condition="with as many parameters",
                ),
            ),
            comment="fall of the accuracy when digits are pushed against the border",
        ),
        Claim(
            id="padding-accuracy",
            quote="preserving spatial information … can be important",
            source="Pooling and padding, 3.1",
            comparisons=(
                Comparison(
                    measure="test_accuracy",
                    arm="same, zeros",
                    reference="valid",
                    expect="more",
                    margin=0.003,
                    condition="same against valid",
                ),
                Comparison(
                    measure="test_accuracy",
                    arm="same, zeros",
                    reference="valid, framed",
                    expect="more",
                    margin=0.003,
                    condition="with as many parameters",
                ),
            ),
            comment="accuracy on the test digits as they are",
        ),
        Claim(
            id="zeros-against-others",
            quote="zero padding is often used because it doesn't introduce additional values",
            source="Pooling and padding, 3",
            comparisons=tuple(
                Comparison(
                    measure="test_accuracy",
                    arm="same, zeros",
                    reference=f"same, {mode}",
                    expect="more",
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
            quote="zeros (or other values)",
            source="Pooling and padding, 3",
            comparisons=tuple(
                Comparison(
                    measure="border_loss",
                    arm="same, zeros",
                    reference=f"same, {mode}",
                    expect="less",
                    margin=0.05,
                    condition=f"than {mode}",
                )
                for mode in _MODES
            ),
            comment="whether zeros serve digits at the border better than what repeats them there",
        ),
    ),
    held_equal="images, epochs, learning rate and schedule, seeds; in the control also parameters "
    "and the size of the maps",
    method="each test digit is moved until its ink touches the left, right, top or bottom edge",
)
