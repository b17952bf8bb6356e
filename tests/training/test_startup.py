"""What training does not load: each of these costs a second or more before the first step."""

import subprocess
import sys

CODE = """
import sys, tempfile
from pathlib import Path
from convscope import pipeline
from convscope.models import build
from convscope.training.optimizers import build_optimizer
from convscope.training.recipe import Optimizer
import torch
for kind in ("sgd", "adam", "adamw"):
    model = build("lenet5")
    optimizer = build_optimizer(Optimizer(kind=kind), model.parameters())
    model(torch.zeros(2, 1, 32, 32)).sum().backward()
    optimizer.step()
print([name for name in ("torch._dynamo", "sympy", "matplotlib", "rich") if name in sys.modules])
"""


def test_a_training_step_loads_no_compiler_and_no_plotting() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
