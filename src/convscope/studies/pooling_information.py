"""What spatial information does pooling lose? The digit is located from the maps."""

from convscope.studies.shorthand import less, more
from convscope.studies.study import Arm, Budget, Claim, Study

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
        {"probe": "locate", "layers": {"vector": "top.0"}, "fitted": 4000, "tested": 1000},
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
            comparisons=(more("locate_vector", "pooled", "not pooled", margin=0.1),),
            comment="error in pixels with which a linear fit finds by how much the digit was moved",
        ),
        Claim(
            id="dilation-keeps-place",
            quote="dilated convolutions … are used to achieve different trade-offs",
            source="Pooling and padding, 1",
            comparisons=(
                less(
                    "locate_vector",
                    "dilated",
                    "pooled",
                    margin=0.1,
                    condition="more place than with pooling",
                ),
                less(
                    "locate_vector",
                    "dilated",
                    "not pooled",
                    margin=0.1,
                    condition="more place than without both",
                ),
                more("parameters", "dilated", "pooled", condition="more parameters", ratio=True),
            ),
            comment="the error of the place, and the parameters of the whole network",
        ),
        Claim(
            id="global-average-place",
            quote="loss of spatial information may not be desirable, and … global average pooling "
            "[is] used",
            source="Pooling and padding, 1",
            comparisons=(less("locate_vector", "global average", "pooled", margin=0.1),),
            comment="one value for each map: the mean says little of where a feature lies, but the "
            "border and the padding leave some of it",
        ),
        Claim(
            id="overlap-keeps-place",
            quote="overlapping max-pooling … retain more spatial information",
            source="Analyzing AlexNet, 2.4",
            comparisons=(less("locate_vector", "pooled", "2 × 2 windows", margin=0.1),),
            comment="windows of 3 with stride 2 against windows of 2, maps of the same size",
        ),
    ),
    held_equal="images, epochs, learning rate and schedule, seeds",
    method="digits are moved by up to 5 pixels; a ridge regression on the values that the first "
    "fully connected layer sees is fitted to 4,000 pictures and tested on 1,000 others",
)
