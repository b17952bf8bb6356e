"""Networks that are trained first and then teach another: knowledge distillation.

G. Hinton, O. Vinyals, J. Dean: Distilling the knowledge in a neural network, 2015
(arXiv:1503.02531). Here the teachers are networks of the student's own kind, trained on the same
images from seeds of their own; a student that learns what they say on average comes nearer to the
ensemble than to any one of them (T. Furlanello et al.: Born-again neural networks, 2018).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.run import Run, load_model, open_run, write_run
from convscope.seeds import derive_seed
from convscope.training.compute import MEMORY_FORMATS, Compute
from convscope.training.distributed import Group
from convscope.training.recipe import Recipe, Teachers


class Teaching:
    """The loss of a student: how far its answers are from the teachers' mean answer.

    Args:
        teachers: in evaluation mode, on the device of the student.
        temperature: T, that scores are divided by before the softmax.
    """

    def __init__(self, teachers: Sequence[nn.Module], temperature: float) -> None:
        self.teachers, self.temperature = teachers, temperature

    @torch.no_grad()
    def answers(self, inputs: Tensor) -> Tensor:
        """The mean over the teachers of softmax(scores / T): N × classes."""
        each = [one(inputs).float() / self.temperature for one in self.teachers]
        return torch.stack([scores.softmax(1) for scores in each]).mean(0)

    def loss(self, scores: Tensor, answers: Tensor) -> Tensor:
        """T² times the mean Kullback-Leibler divergence of softmax(scores / T) from `answers`.

        T² makes up for the gradients' 1/T² (section 2.1), so that T leaves the learning rate alone.
        """
        told = (scores / self.temperature).log_softmax(1)
        return F.kl_div(told, answers, reduction="batchmean") * self.temperature**2


def teaching(run: Run, recipe: Recipe, compute: Compute, group: Group) -> Teaching | None:
    """The teachers of `run`, which are trained by now; None where it learns from labels.

    Raises:
        InputError: several processes are to train it, or teachers are not trained or damaged.
    """
    check_teachers(recipe, group)
    if not recipe.teachers.count:
        return None
    runs = teacher_runs(run, recipe)
    if any(one.document.status != "complete" for one in runs):
        raise InputError(
            f"teachers.count is {len(runs)}, and they are not trained: `convscope train` trains "
            "them; elsewhere give teachers.count=0"
        )
    order = MEMORY_FORMATS[compute.memory_format]
    models = [load_model(one) for one in runs]
    for model in models:
        model.to(compute.device)
        model.to(memory_format=order)  # type: ignore[call-overload]
    return Teaching(models, recipe.teachers.temperature)


def check_teachers(recipe: Recipe, group: Group) -> None:
    """Raise InputError where several processes would train teachers: one trains them all."""
    if recipe.teachers.count and group.size > 1:
        raise InputError(
            f"teachers.count is {recipe.teachers.count} and there are {group.size} processes; "
            "allowed with several processes: teachers.count=0"
        )


def teacher_runs(run: Run, recipe: Recipe) -> list[Run]:
    """The runs of the teachers: `teachers/1` and so on inside of `run`, begun where need be."""
    found = []
    for number in range(1, recipe.teachers.count + 1):
        path = run.path / "teachers" / str(number)
        if (path / "run.json").exists():
            found.append(open_run(path))
            continue
        path.mkdir(parents=True, exist_ok=True)
        own = recipe.model_copy(
            update={
                "seed": derive_seed(recipe.seed, "teacher", number),
                "epochs": recipe.teachers.epochs or recipe.epochs,
                "teachers": Teachers(),
                "keep_epochs": False,
            }
        )
        changes = {"status": "training", "recipe": own.model_dump(mode="json"), "training": {}}
        found.append(write_run(path, run.document.model_copy(update=changes)))
    return found
