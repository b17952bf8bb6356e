"""The document's LeNet-5 program, run as it is written: does it reach what the document prints?"""

from convscope.studies.shorthand import same
from convscope.studies.study import Arm, Budget, Claim, Study

STUDY = Study(
    name="lenet5-program",
    topic="lenet5",
    question="Does the document's LeNet-5 program reach the accuracy it prints?",
    changed="nothing: one program, several seeds",
    recipe="lenet5-keras",
    probes=("accuracy",),
    arms=(Arm(name="program", note="Keras' LeNet, Adam at its defaults, batches of 32"),),
    quick=Budget(train=4000, test=2000, epochs=10, seeds=3),
    full=Budget(train=0, test=0, epochs=10, seeds=10),
    claims=(
        Claim(
            id="lenet-accuracy",
            quote="Test accuracy: 0.9875",
            source="Exploring LeNet, 4",
            comparisons=(same("test_accuracy", "program", 0.9875, margin=0.003),),
            comment="one run in the document; with the full budget all of MNIST, ten passes",
        ),
    ),
    held_equal="the program's own settings (convscope train lenet5-keras --print-recipe)",
    method="as the program does, nothing is held out and the last weights are kept",
)
