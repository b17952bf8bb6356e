"""What regularisation adds to a network of LeNet-5's kind, on few images."""

from convscope.studies.shorthand import less, more
from convscope.studies.study import Arm, Budget, Claim, Study

_ARGUMENTS = "model.arguments"
_OURS = (
    "two convolutions as in LeNet-5, but ReLU and 'same' padding; overfitting is test loss less "
    "training loss, in nats"
)


def _helps(claim: str, quote: str, arm: str, comment: str = "") -> Claim:
    return Claim(
        id=claim,
        quote=quote,
        source="Exploring LeNet, 3",
        comparisons=(
            less("loss_gap", arm, "none", margin=0.02, condition="overfitting"),
            more("test_accuracy", arm, "none", margin=0.01, condition="test accuracy"),
        ),
        comment=f"{comment}; {_OURS}" if comment else _OURS,
    )


STUDY = Study(
    name="lenet5-regularisation",
    topic="lenet5",
    question="What do dropout, batch normalisation, decay and augmentation add to LeNet-5's plan?",
    changed="one kind of regularisation",
    recipe="study-pictures",
    set={
        f"{_ARGUMENTS}.layers": 2,
        f"{_ARGUMENTS}.width": 6,
        f"{_ARGUMENTS}.hidden": 100,
        f"{_ARGUMENTS}.pool": {"layer": "pool", "kind": "max"},
        f"{_ARGUMENTS}.last_pool": {"layer": "pool", "kind": "max"},
    },
    images={"source": "digits"},
    probes=("accuracy",),
    arms=(
        Arm(name="none", note="two convolutions (6 and 18 maps), three fully connected layers"),
        Arm(name="dropout", set={f"{_ARGUMENTS}.dropout": 0.5}),
        Arm(name="batch norm", set={f"{_ARGUMENTS}.norm": {"layer": "norm", "kind": "batch"}}),
        Arm(name="decay", set={"optimizer": {"kind": "adamw", "lr": 0.003, "weight_decay": 1.0}}),
        Arm(
            name="augmentation",
            set={"augmentation": {"shift": 1.5, "rotation": 12, "scale": 0.12, "shear": 8}},
        ),
    ),
    quick=Budget(train=500, test=2000, epochs=12, seeds=5),
    full=Budget(train=1000, test=0, epochs=30, seeds=20),
    claims=(
        _helps("dropout-lenet", "dropout … can help prevent overfitting", "dropout"),
        _helps(
            "batch-norm-lenet", "batch normalization … can help prevent overfitting", "batch norm"
        ),
        _helps(
            "decay-lenet",
            "lack of regularization",
            "decay",
            "weight decay of 1 (AdamW), which over the training halves a weight that nothing else "
            "moves",
        ),
        _helps(
            "augmentation-lenet",
            "lack of regularization",
            "augmentation",
            "shift, turn, scale, shear",
        ),
    ),
    held_equal="images, epochs, learning rate and schedule, seeds; parameters but for batch norm's "
    "48",
    method="few training digits, which all arms but those with dropout and augmentation learn "
    "without a mistake",
)
