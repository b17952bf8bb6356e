"""How far LeNet-5 carries: from digits to pictures, beside a deeper network."""

from convscope.studies.shorthand import activation, less, more, same
from convscope.studies.study import Arm, Budget, Claim, Study

_PICTURES = {"source": "pictures"}
_RELU = activation("relu")
_FIVE = {"model.name": "ablation"}

STUDY = Study(
    name="lenet5-depth",
    topic="lenet5",
    question="How far does LeNet-5's depth carry, from digits to pictures?",
    changed="the network and the images",
    probes=("accuracy",),
    arms=(
        Arm(name="LeNet-5, digits", set=_RELU),
        Arm(name="LeNet-5, pictures", set=_RELU, images=_PICTURES),
        Arm(name="five convolutions, digits", set=_FIVE),
        Arm(name="five convolutions, pictures", set=_FIVE, images=_PICTURES),
    ),
    quick=Budget(train=2000, test=2000, epochs=5, seeds=5),
    full=Budget(train=20000, test=0, epochs=8, seeds=10),
    claims=(
        Claim(
            id="lenet-complex-images",
            quote="may not perform as well on more complex and diverse image classification tasks",
            source="Exploring LeNet, 3",
            comparisons=(
                less("test_accuracy", "LeNet-5, pictures", "LeNet-5, digits", margin=0.02),
            ),
            comment="the same network, with as many images and epochs",
        ),
        Claim(
            id="lenet-depth",
            quote="it may struggle with more complex and deep feature hierarchies",
            source="Exploring LeNet, 3",
            comparisons=(
                more(
                    "test_accuracy", "five convolutions, pictures", "LeNet-5, pictures", margin=0.02
                ),
            ),
            comment="five convolutions, 92,570 parameters, against LeNet-5's two, 62,006, with as "
            "many images and epochs; windows, padding and initial weights differ, too: "
            "alexnet-depth changes the depth alone",
        ),
        Claim(
            id="lenet-digits",
            quote="it's suitable for digit recognition",
            source="Exploring LeNet, 3",
            comparisons=(
                same("test_accuracy", "LeNet-5, digits", "five convolutions, digits", margin=0.003),
            ),
            comment="the same as a deeper network, to within 0.3 points",
        ),
    ),
    held_equal="number of images, epochs, learning rate and schedule, seeds, ReLU in both",
    method="there is no middle step such as Fashion-MNIST in what is measured here",
)
