"""What spatial information does pooling lose? The digit is located from the maps."""

from convscope.studies.study import Arm, Budget, Claim, Comparison, Study

_LAST = "model.arguments.last_pool"
_NONE = {"layer": "pool", "kind": "none"}

STUDY = Study(
    name="pooling-information",
    topic="pooling",
    question="How well can the place of a digit still be told after pooling?",
    changed="what happens to the last maps of a five-layer network",
    recipe="study-pictures",
    images={"source": "digits"},
    probes=(
        "accuracy",
        {"probe": "locate", "layers": {"vector": "top.0"}, "fitted": 1600, "tested": 400},
        {"probe": "cost"},
    ),
    arms=(
        Arm(name="pooled", note="max pooling 3/2: 24 maps of 4 × 4"),
        Arm(name="not pooled", set={_LAST: _NONE}, note="24 maps of 8 × 8"),
        Arm(
            name="dilated",
            set={_LAST: _NONE, "model.arguments.dilation": 2},
            note="no last pooling; the last three convolutions see as far by gaps of 2",
        ),
        Arm(
            name="global average",
            set={"model.arguments.head": "global-average"},
            note="the mean of each map, one value for each of 24 maps",
        ),
        Arm(
            name="2 × 2 windows",
            set={
                "model.arguments.pool": {"layer": "pool", "kind": "max"},
                _LAST: {"layer": "pool", "kind": "max"},
            },
            note="windows side by side, maps of the same size",
        ),
    ),
    quick=Budget(train=2000, test=1000, epochs=3, seeds=5),
    full=Budget(train=20000, test=0, epochs=4, seeds=10),
    claims=(
        Claim(
            id="pooling-loses-place",
            quote="can result in some loss of spatial information",
            source="Pooling and padding, 1",
            comparisons=(
                Comparison(
                    measure="locate_vector",
                    arm="pooled",
                    reference="not pooled",
                    expect="more",
                    margin=0.1,
                ),
            ),
            comment="error in pixels with which a linear fit finds by how much the digit was moved",
        ),
        Claim(
            id="dilation-keeps-place",
            quote="dilated convolutions … are used to achieve different trade-offs",
            source="Pooling and padding, 1",
            comparisons=(
                Comparison(
                    measure="locate_vector",
                    arm="dilated",
                    reference="pooled",
                    expect="less",
                    margin=0.1,
                    condition="place",
                ),
                Comparison(
                    measure="parameters",
                    arm="dilated",
                    reference="pooled",
                    kind="ratio",
                    expect="more",
                    condition="parameters",
                ),
            ),
            comment="the error of the place, and the parameters of the whole network",
        ),
        Claim(
            id="global-average-place",
            quote="loss of spatial information may not be desirable, and … global average pooling "
            "[is] used",
            source="Pooling and padding, 1",
            comparisons=(
                Comparison(
                    measure="locate_vector",
                    arm="global average",
                    reference="pooled",
                    expect="less",
                    margin=0.1,
                ),
            ),
            comment="one value for each map, whose mean is the same wherever a feature lies",
        ),
        Claim(
            id="overlap-keeps-place",
            quote="overlapping max-pooling … retain more spatial information",
            source="Analyzing AlexNet, 2.4",
            comparisons=(
                Comparison(
                    measure="locate_vector",
                    arm="pooled",
                    reference="2 × 2 windows",
                    expect="less",
                    margin=0.1,
                ),
            ),
            comment="windows of 3 with stride 2 against windows of 2, maps of the same size",
        ),
    ),
    held_equal="images, epochs, learning rate and schedule, seeds",
    method="digits are moved by up to 5 pixels; a ridge regression on the values that the first "
    "fully connected layer sees is fitted to 1,600 pictures and tested on 400 others",
)
