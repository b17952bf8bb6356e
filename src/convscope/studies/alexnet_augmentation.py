"""Augmentation, one kind at a time."""

from convscope.studies.alexnet_common import FULL, HELD, QUICK, accuracy, claim, gap
from convscope.studies.shorthand import more
from convscope.studies.study import Arm, Study

_KINDS = {
    "crop": {"crop": 3},
    "flip": {"flip": True},
    "colour noise": {"colour_noise": 0.1},
    "crop and flip": {"crop": 3, "flip": True},
}

STUDY = Study(
    name="alexnet-augmentation",
    topic="alexnet",
    question="What does each kind of augmentation bring?",
    changed="the augmentation of the training images",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy", {"probe": "shift", "most": 3, "images": 1000}),
    arms=(
        Arm(name="none"),
        *(Arm(name=name, set={"augmentation": kind}) for name, kind in _KINDS.items()),
    ),
    quick=QUICK.model_copy(update={"train": 1000, "epochs": 12}),
    full=FULL.model_copy(update={"train": 5000, "epochs": 30}),
    claims=(
        claim(
            "augmentation-crop",
            "random cropping … improved the model's ability to handle variations",
            "2.5",
            [
                accuracy("crop", "none", "accuracy"),
                gap("crop", "none", "gap"),
                more(
                    "shifted_accuracy", "crop", "none", margin=0.01, condition="of shifted pictures"
                ),
            ],
        ),
        claim(
            "augmentation-flip",
            "horizontal flips … improved the model's ability to handle variations",
            "2.5",
            [accuracy("flip", "none", "accuracy"), gap("flip", "none", "gap")],
        ),
        claim(
            "augmentation-colour",
            "data augmentation techniques were also employed … to improve generalization",
            "1.8",
            [accuracy("colour noise", "none", "accuracy"), gap("colour noise", "none", "gap")],
            published="colour noise brings over 1 point of top-1 (Krizhevsky et al. 2012, §4.1)",
        ),
        claim(
            "augmentation-both",
            "increased the diversity of the training data",
            "2.5",
            [accuracy("crop and flip", "none", "accuracy"), gap("crop and flip", "none", "gap")],
        ),
    ),
    held_equal=HELD,
    method="crops out of a border of 3 pixels, mirror images, colour noise of 0.1 as in the paper",
)
