"""1998's parts against modern ones, one at a time."""

from convscope.studies.shorthand import activation, more
from convscope.studies.study import Arm, Budget, Claim, Study, Tune

_ARGUMENTS = "model.arguments"


def _better(
    claim: str, quote: str, arm: str, comment: str, published: str = "", part: str = "3"
) -> Claim:
    return Claim(
        id=claim,
        quote=quote,
        source=f"Exploring LeNet, {part}",
        comparisons=(more("test_accuracy", "field", arm, margin=0.003),),
        comment=comment,
        published=published,
    )


_QUOTE = "outdated architectural choices make it less suitable"

STUDY = Study(
    name="lenet5-parts",
    topic="lenet5",
    question="Which of LeNet-5's parts of 1998 cost accuracy?",
    changed="one part of LeNet-5 at a time",
    probes=("accuracy",),
    tune=Tune(values=(0.001, 0.004, 0.02, 0.1, 0.4)),
    arms=(
        Arm(name="field", note="tanh, max pooling, dense C3, softmax"),
        Arm(
            name="subsampling", set={f"{_ARGUMENTS}.pool": {"layer": "pool", "kind": "subsampling"}}
        ),
        Arm(name="sparse C3", set={f"{_ARGUMENTS}.c3": "table"}),
        Arm(
            name="scaled tanh",
            set=activation("scaled-tanh"),
        ),
        Arm(
            name="plain SGD",
            set={"optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.0}},
            note="no momentum",
        ),
        Arm(
            name="1998",
            set={
                "model.name": "lenet5-1998",
                "loss": {"kind": "map", "j": 1.0},
                "inputs.normalisation": "lenet5-1998",
            },
            note="the paper's network, input and loss; Adam",
        ),
    ),
    quick=Budget(train=2000, test=2000, epochs=4, seeds=5),
    full=Budget(train=20000, test=0, epochs=6, seeds=10),
    claims=(
        _better(
            "parts-pooling",
            _QUOTE,
            "subsampling",
            "max pooling against a trainable mean; the paper squashes the pooled maps besides",
        ),
        _better("parts-sparse", _QUOTE, "sparse C3", "dense C3 against the paper's table"),
        _better("parts-tanh", _QUOTE, "scaled tanh", "tanh against 1.7159·tanh(2x/3)"),
        _better(
            "parts-sgd",
            "LeNet-5 was trained using … stochastic gradient descent (SGD)",
            "plain SGD",
            "Adam against SGD; that SGD does worse is not in the document",
            part="1.6",
        ),
        _better(
            "parts-1998",
            _QUOTE,
            "1998",
            "the field's LeNet-5 against the paper's network",
            "0.95 % error on MNIST after 20 passes (LeCun et al. 1998)",
        ),
    ),
    held_equal="images, epochs, schedule, seeds, and all other parts; the learning rate is chosen "
    "for each arm on held-out training images",
    method="one part is changed at a time; 1998 changes all of the network, but not the optimizer",
)
