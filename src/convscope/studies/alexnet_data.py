"""How much the size of the training set matters."""

from convscope.studies.alexnet_common import FULL, HELD, QUICK, accuracy, claim
from convscope.studies.study import Arm, Study

_SIZES = (250, 500, 1000, 2000, 4000, 8000, 16000)

STUDY = Study(
    name="alexnet-data",
    topic="alexnet",
    question="How much do more training images help?",
    changed="the number of training images, with as many steps",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy",),
    arms=tuple(Arm(name=f"{size:,} images", images={"train": size}) for size in _SIZES),
    quick=QUICK.model_copy(update={"steps": 160}),
    full=FULL.model_copy(update={"steps": 1600}),
    claims=(
        claim(
            "data-generalises",
            "the large and diverse training dataset played a significant role in … generaliz[ing]",
            "2.7",
            [
                accuracy(f"{2 * size:,} images", f"{size:,} images", f"{size:,} → {2 * size:,}")
                for size in _SIZES[:-1]
            ],
            comment="points of test accuracy for each doubling of the training set",
        ),
    ),
    held_equal=HELD.replace("images, epochs, ", "") + "; the number of steps, of 64 images each",
    method="fewer images are seen more often, so that the number of steps is the same",
)
