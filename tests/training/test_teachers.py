"""Teachers: the loss by hand, and a training that is taught, cut and resumed."""

import contextlib
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convscope import pipeline
from convscope.errors import InputError, Interrupted
from convscope.events import Event, Stage, Work
from convscope.run import Run, open_run, read_metrics
from convscope.training.assignments import override
from convscope.training.distributed import Group
from convscope.training.recipe import Recipe
from convscope.training.teachers import Teaching, check_teachers
from convscope.tuning.tune import tune

SETTINGS = [
    "epochs=2",
    "min_steps=0",
    "batch_size=200",
    "threads=1",
    "validation=0.5",
    "teachers.count=2",
    "teachers.epochs=1",
]


class Says(nn.Module):
    """A network that always gives the same scores."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = torch.tensor([scores])

    def forward(self, x: Tensor) -> Tensor:
        return self.scores.expand(len(x), -1)


def test_the_mean_answer_by_hand() -> None:
    """At T = 2 scores 2·ln 3, 0 are 3/4, 1/4, and 0, 2·ln 7 are 1/8, 7/8."""
    teachers = [Says(2 * math.log(3), 0), Says(0, 2 * math.log(7))]
    answers = Teaching(teachers, 2.0).answers(torch.zeros(3, 1))
    assert answers.shape == (3, 2)
    assert answers[2].tolist() == pytest.approx([(3 / 4 + 1 / 8) / 2, (1 / 4 + 7 / 8) / 2])


def test_the_loss_by_hand() -> None:
    """T = 2: four times the divergence of (1/4, 3/4), what is said, from (3/4, 1/4)."""
    taught = Teaching([], 2.0)
    scores = torch.tensor([[0.0, 2 * math.log(3)]] * 2)
    answers = torch.tensor([[3 / 4, 1 / 4], [1 / 4, 3 / 4]])  # the second is what is said
    divergence = 3 / 4 * math.log(3) + 1 / 4 * math.log(1 / 3)
    assert taught.loss(scores, answers).item() == pytest.approx(4 * divergence / 2, rel=1e-6)


def test_the_gradient_is_that_of_the_paper() -> None:
    """Hinton et al. 2015, eq. 2, times T²: T · (said − told) / images."""
    scores = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, 0.0]], requires_grad=True)
    answers = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    Teaching([], 3.0).loss(scores, answers).backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    wanted = 3 * ((scores.detach() / 3).softmax(1) - answers) / 2
    assert torch.allclose(scores.grad, wanted, atol=1e-6)


def train(path: Path, *more: str) -> Run:
    return pipeline.train("lenet5", out=path, settings=[*SETTINGS, *more], seed=3)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("taught") / "run")


def test_every_teacher_is_a_run_of_its_own(taught: Run) -> None:
    teachers = [open_run(taught.path / "teachers" / name) for name in ("1", "2")]
    assert {one.document.status for one in teachers} == {"complete"}
    seeds = {one.document.recipe["seed"] for one in [taught, *teachers]}
    assert len(seeds) == 3
    assert [len(read_metrics(one)) for one in [taught, *teachers]] == [2, 1, 1]
    assert not any(one.document.recipe["teachers"]["count"] for one in teachers)
    assert not any(one.checkpoint.exists() for one in [taught, *teachers])


def test_what_is_learnt_is_not_the_labels(taught: Run, tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", "teachers.count=0")
    assert plain.weights.read_bytes() != taught.weights.read_bytes()
    assert not (plain.path / "teachers").exists()


@pytest.mark.parametrize("place", ["teacher 1 of 2", "teacher 2 of 2: loss", "epoch 2"])
def test_a_training_that_was_cut_goes_on(taught: Run, tmp_path: Path, place: str) -> None:
    """In a teacher, between teacher and student, in the student: the same bytes in the end."""

    def cut(event: Event) -> None:
        text = event.text if isinstance(event, Stage) else getattr(event, "label", "")
        epoch = "epoch 2" if getattr(event, "epoch", 0) == 2 else ""
        if place in text or place == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.train("lenet5", out=tmp_path / "run", settings=SETTINGS, seed=3, listen=cut)
    assert open_run(tmp_path / "run").document.status == "training"
    again = pipeline.resume(tmp_path / "run")
    assert again.weights.read_bytes() == taught.weights.read_bytes()


def test_teachers_tell_how_far_they_are(tmp_path: Path) -> None:
    heard: list[Event] = []
    pipeline.train("lenet5", out=tmp_path / "run", settings=SETTINGS, seed=3, listen=heard.append)
    work = [one for one in heard if isinstance(one, Work) and one.label == "teacher 2 of 2"]
    assert work[-1].done == work[-1].total == 10
    lines = [one.text for one in heard if isinstance(one, Stage) and "teacher" in one.text]
    assert [line.partition(":")[0] for line in lines] == ["teacher 1 of 2", "teacher 2 of 2"]


def recipe(*settings: str) -> Recipe:
    return pipeline.resolve("lenet5", settings=settings)


def test_several_processes_train_no_teachers() -> None:
    with pytest.raises(InputError, match=r"teachers\.count is 2 .* 4 processes; allowed .*=0"):
        check_teachers(recipe("teachers.count=2"), Group(size=4))
    check_teachers(recipe("teachers.count=2"), Group())
    check_teachers(recipe(), Group(size=4))


def test_several_processes_do_not_go_on_with_teachers(
    taught: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before any data are read or anything is trained."""
    begun = taught.with_changes(status="training")
    try:
        monkeypatch.setattr(pipeline, "joined", lambda: contextlib.nullcontext(Group(size=2)))
        with pytest.raises(InputError, match="2 processes; allowed"):
            pipeline.resume(begun)
    finally:
        begun.with_changes(status="complete")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["teachers.count=33"], r"teachers\.count"),
        (["teachers.temperature=0"], r"teachers\.temperature"),
        (["teachers.count=1", "loss.kind=map"], "needs loss.kind=cross-entropy"),
    ],
)
def test_what_teachers_cannot_be(settings: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        override(recipe(), settings)


def test_ctrl_c_in_a_teacher_names_the_run_to_resume(tmp_path: Path) -> None:
    def press(event: Event) -> None:
        if isinstance(event, Work) and event.label == "teacher 1 of 2":
            os.kill(os.getpid(), signal.SIGINT)

    settings = [*SETTINGS, "teachers.epochs=50"]
    with pytest.raises(Interrupted, match=r"in teacher 1 of 2; go on with: .*/run$") as stopped:
        pipeline.train("lenet5", out=tmp_path / "run", settings=settings, listen=press)
    assert stopped.value.exit_code == 130
    assert (tmp_path / "run" / "teachers" / "1" / "checkpoint.safetensors").exists()


def test_a_teacher_whose_weights_are_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(
            "lenet5", out=tmp_path / "run", settings=SETTINGS, seed=3, listen=_cut_after_teachers
        )
    (tmp_path / "run" / "teachers" / "1" / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"teachers/1/weights\.safetensors"):
        pipeline.resume(tmp_path / "run")


def _cut_after_teachers(event: Event) -> None:
    if isinstance(event, Stage) and event.text.startswith("teacher 2 of 2"):
        raise KeyboardInterrupt


def test_tuning_compares_without_teachers(tmp_path: Path) -> None:
    settings = [*SETTINGS, "teachers.count=3"]
    found = tune(
        "lenet5", settings=settings, trials=2, vary=["batch_size=100,200"], out=tmp_path / "study"
    )
    assert "teachers.count=3" in found.command
    assert not list(tmp_path.rglob("teachers"))
    with pytest.raises(InputError, match=r"teachers\.count is [12], and they are not trained"):
        tune("lenet5", settings=SETTINGS, vary=["teachers.count=1,2"], out=tmp_path / "other")
