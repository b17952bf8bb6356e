"""ReLU against tanh in AlexNet's plan: how soon a training error is reached."""

from convscope.studies.alexnet_common import FULL, HELD, QUICK, claim
from convscope.studies.shorthand import activation, less
from convscope.studies.study import Arm, Comparison, Study, Tune

_OTHERS = ("tanh", "sigmoid")
_SGD = {"optimizer.kind": "sgd", "optimizer.momentum": 0.9}


def _sooner(arm: str, reference: str, condition: str) -> Comparison:
    return less("epochs_to_error", arm, reference, margin=0.1, condition=condition, ratio=True)


STUDY = Study(
    name="alexnet-pace",
    topic="alexnet",
    question="Does AlexNet's plan learn faster with ReLU than with tanh?",
    changed="the activation of every layer",
    recipe="study-pictures",
    set={"schedule.kind": "constant"},
    images={"source": "pictures"},
    probes=({"probe": "pace", "error": 0.25},),
    arms=(
        Arm(name="relu"),
        *(Arm(name=name, set=activation(name)) for name in _OTHERS),
        Arm(name="relu, SGD", set=_SGD, note="momentum 0.9, as in the paper"),
        Arm(name="tanh, SGD", set=_SGD | activation("tanh")),
    ),
    tune=Tune(values=(0.001, 0.003, 0.01, 0.03), by="train_accuracy"),
    quick=QUICK.model_copy(update={"train": 1000, "epochs": 20}),
    full=FULL.model_copy(update={"train": 10000, "epochs": 20}),
    claims=(
        claim(
            "relu-faster-alexnet",
            "ReLU … allowing for faster training and improved convergence",
            "2.2",
            [
                _sooner("relu, SGD", "tanh, SGD", "than tanh with SGD and momentum"),
                _sooner("relu", "tanh", "than tanh with Adam"),
                _sooner("relu", "sigmoid", "than sigmoid with Adam"),
            ],
            published="six times faster than tanh to 25 % training error on CIFAR-10 (Krizhevsky "
            "et al. 2012, Fig. 1)",
            comment="epochs until the training error is 25 %, in a network this narrow; where it "
            "is never reached, as by ReLU with SGD, one more than all epochs is counted",
        ),
    ),
    held_equal=HELD + "; the learning rate is chosen for each arm: that with which the training "
    "accuracy is highest in the end",
    method="initial weights are He's for every activation; the learning rate does not change from "
    "step to step",
)
