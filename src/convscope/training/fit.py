"""The training loop: rows out, nothing printed, the test set out of reach."""

import time
from collections.abc import Iterator
from typing import Any

import torch

from convscope.data.augment import augment, colour_axes, epoch_table
from convscope.data.batches import as_tensor, batches, epoch_order, to_input
from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError, Interrupted
from convscope.run import Run, build_model, epoch_weights, save_weights, write_metrics
from convscope.seeds import derive_seed
from convscope.text import printable
from convscope.training.chain import Gradients
from convscope.training.compute import (
    MEMORY_FORMATS,
    Compute,
    give_back_memory,
    keep_freed_memory,
    use_threads,
)
from convscope.training.initial import set_initial
from convscope.training.inputs import check_input, grow_from
from convscope.training.measuring import compute_of
from convscope.training.progress import Progress
from convscope.training.recipe import Recipe, recipe_from_json
from convscope.training.schedule import learning_rate
from convscope.training.signals import StopRequest
from convscope.training.spectra import use_fourier
from convscope.training.state import TrainingState
from convscope.training.validation import rank, validate
from convscope.training.watch import WINDOW, check_loss, label_entropy

CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 0.02  # of the time may go into checkpoints: large networks save more rarely
REPORT_SECONDS = 0.1
SMALL_EPOCH = 2**20  # bytes of weights that are kept after every epoch, unless told otherwise


def fit(
    run: Run,
    train: Dataset,
    validation: Dataset | None = None,
    *,
    resume: bool = False,
    stop: StopRequest | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Iterator[Progress]:
    """Train the network that `run` describes, and leave the weights in the run directory.

    Args:
        run: a run directory whose document names model, preprocessing and recipe.
        train: the images to learn from.
        validation: the images to choose the best epoch by; never the test set.
        resume: go on from the run's checkpoint where it has one.
        stop: asked after each step; once it has a signal, state is saved and training ends.
        checkpoint_seconds: the shortest time from one checkpoint to the next. Where saving takes
            long they are rarer, so that it costs no more than a fiftieth of the time.

    Yields:
        A row about ten times a second, and one at the end of each epoch.

    Raises:
        TrainingError: the loss is not finite, runs away or stays at guessing.
        Interrupted: `stop` received a signal; the checkpoint is saved.
        InputError: data that do not fit the model, a damaged checkpoint.
    """
    recipe = recipe_from_json(run.document.recipe)
    _check_data(run, train)
    compute = compute_of(run, recipe)
    use_threads(compute.threads)
    give_back_memory()
    keep_freed_memory()
    loop = _Loop(run, recipe, compute, train, validation)
    if resume and run.checkpoint.exists():
        loop.state.load(run)
        if loop.state.counters.step >= max(loop.epoch_steps(), 1):
            raise InputError(f"{printable(run.checkpoint)} is damaged: it is beyond the epoch")
    pause, saved = checkpoint_seconds, time.monotonic()
    try:
        for row in loop.rows():
            if stop and stop.received:
                loop.state.save(run)
                raise Interrupted(
                    f"stopped in epoch {row.epoch}, step {row.step} of {row.steps}; "
                    f"go on with: convscope train --resume {printable(run.path)}",
                    stop.received,
                )
            if time.monotonic() - saved > pause:
                started = time.monotonic()
                loop.state.save(run)
                saved = time.monotonic()
                pause = max(checkpoint_seconds, (saved - started) / CHECKPOINT_SHARE)
            if row.finished:
                write_metrics(run, loop.state.counters.history)
            if row.finished or loop.due():
                yield row
    finally:
        write_metrics(run, loop.state.counters.history)
    loop.leave_weights()


class _Loop:
    """The state of one call of `fit`, and the steps that move it."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        compute: Compute,
        train: Dataset,
        validation: Dataset | None,
    ) -> None:
        self.run, self.recipe, self.compute, self.validation = run, recipe, compute, validation
        self.preprocessing: Preprocessing = run.document.preprocessing
        self.smaller = grow_from(recipe.growth, self.preprocessing)
        self.images, self.labels = train.images, as_tensor(train.labels)
        self.axes = colour_axes(train.images) if recipe.augmentation.colour_noise else None
        self.steps = -(-len(train) // recipe.batch_size)
        self.total = recipe.total_steps(self.steps)
        self.epochs = -(-self.total // self.steps)
        self.chance = label_entropy(train.labels)
        memory_format = MEMORY_FORMATS[compute.memory_format]
        model = build_model(run.document, seed=recipe.seed).train()
        set_initial(model, recipe.initial, train.images, self.smaller)
        model = model.to(compute.device)
        use_fourier(model, compute.fourier)
        model = model.to(memory_format=memory_format)  # type: ignore[call-overload]
        if recipe.growth.size:
            check_input(model, self.smaller)
        self.state = TrainingState(model, recipe, compute)
        self.gradients = Gradients(self.state.network, recipe, compute)
        self.started = time.monotonic()
        self.shown = 0.0
        self.images_done = 0

    def rows(self) -> Iterator[Progress]:
        """Every step as a row, until the last epoch or until patience ends."""
        counters = self.state.counters
        while counters.epoch < self.epochs and not self._patience_is_over():
            steps = self.epoch_steps()
            for _ in self._run_epoch(steps):
                if counters.step < steps:
                    yield self._progress()
            yield self._finish_epoch()

    def epoch_steps(self) -> int:
        """Steps of the current epoch: the last one may end early."""
        return min(self.steps, self.total - self.state.counters.epoch * self.steps)

    def _run_epoch(self, steps: int) -> Iterator[None]:
        recipe, counters = self.recipe, self.state.counters
        order = epoch_order(len(self.labels), recipe.seed, counters.epoch)
        table = epoch_table(recipe.augmentation, len(self.labels), recipe.seed, counters.epoch)
        order = order[: steps * recipe.batch_size]
        rest = batches(self.images, self.labels, order, recipe.batch_size, start=counters.step)
        for chosen, images, labels in rest:
            images = augment(
                images,
                table,
                chosen,
                recipe.augmentation,
                self.preprocessing.fill,
                window=self.preprocessing.crop,
                axes=self.axes,
            )
            done = counters.epoch * self.steps + counters.step
            small = done < round(recipe.growth.share * self.total)
            inputs = to_input(
                images,
                self.smaller if small else self.preprocessing,
                batch_last=self.compute.uses_kernels,
            )
            self._step(inputs.to(**self.compute.place(), non_blocking=True), labels)
            yield

    def _step(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        recipe, counters, optimizer = self.recipe, self.state.counters, self.state.optimizer
        done = counters.epoch * self.steps + counters.step
        # Dropout and stochastic pooling draw from torch's generator: the same draws for the
        # same step, whether or not the run was interrupted before it.
        torch.default_generator.manual_seed(derive_seed(recipe.seed, "step", done))
        lr = learning_rate(recipe.schedule, recipe.optimizer.lr, done, self.total, self.steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        value, right = self.gradients(inputs, labels.to(inputs.device, non_blocking=True))
        counters.recent = [*counters.recent[-WINDOW + 1 :], value]
        check_loss(counters.recent, done + 1, self.chance, recipe)
        self.state.update()
        if self.state.average:
            self.state.average.update(self.state.model, done)
        counters.step += 1
        counters.seen += len(labels)
        counters.loss_sum += value * len(labels)
        counters.correct += right
        self.images_done += len(labels)

    def _finish_epoch(self) -> Progress:
        recipe, counters = self.recipe, self.state.counters
        row: dict[str, Any] = {
            "epoch": counters.epoch + 1,
            "loss": counters.loss_sum / counters.seen,
            "train_accuracy": counters.correct / counters.seen,
            "learning_rate": self.state.optimizer.param_groups[0]["lr"],
        }
        if self.validation is not None:
            with self.state.averaged() as network, self.compute.autocast():
                row |= validate(
                    network,
                    self.validation,
                    self.preprocessing,
                    precision=self.compute.precision,
                    lr=recipe.optimizer.lr,
                )
                network.train()
        progress = self._progress(row)
        counters.history.append(row)
        counters.epoch += 1
        counters.step = counters.seen = counters.correct = 0
        counters.loss_sum = 0.0
        if self._is_best(row):
            self.state.remember_best()
        if self._keeps_epochs():
            weights = self.state.current_weights()
            save_weights(self.run, weights, epoch_weights(counters.epoch))
        return progress

    def _keeps_epochs(self) -> bool:
        asked = self.recipe.keep_epochs
        size = sum(value.nbytes for value in self.state.current_weights().values())
        return size <= SMALL_EPOCH if asked == "auto" else asked

    def _is_best(self, row: dict[str, Any]) -> bool:
        """Whether the newest row is the best: accuracy first, then the smaller loss."""
        if self.validation is None:
            return False
        best = self.state.counters.best_epoch
        if not best:
            return True
        return rank(row) > rank(self.state.counters.history[best - 1])

    def _patience_is_over(self) -> bool:
        counters = self.state.counters
        waited = counters.epoch - counters.best_epoch
        return bool(self.recipe.patience) and waited >= self.recipe.patience

    def _progress(self, finished: dict[str, Any] | None = None) -> Progress:
        counters = self.state.counters
        speed = self.images_done / max(time.monotonic() - self.started, 1e-9)
        done = counters.epoch * self.steps + counters.step
        left = (self.total - done) * self.recipe.batch_size
        return Progress(
            epoch=counters.epoch + 1,
            epochs=self.epochs,
            step=counters.step,
            steps=self.epoch_steps(),
            done=done,
            total=self.total,
            loss=counters.loss_sum / max(counters.seen, 1),
            accuracy=counters.correct / max(counters.seen, 1),
            images_per_second=speed,
            seconds_left=left / max(speed, 1e-9),
            finished=finished,
        )

    def due(self) -> bool:
        """Whether it is time to show progress again."""
        now = time.monotonic()
        if now - self.shown < REPORT_SECONDS:
            return False
        self.shown = now
        return True

    def leave_weights(self) -> None:
        """Write the chosen weights, and the others of best and last where they differ."""
        state = self.state
        last = state.current_weights()
        best = state.best or last
        kept = {"best": best, "last": last}
        chosen = kept.pop(self.recipe.keep)
        if state.best and state.counters.best_epoch != state.counters.epoch:
            for name, other in kept.items():
                save_weights(self.run, other, f"{name}.safetensors")
        save_weights(self.run, chosen, "weights.safetensors")


def _check_data(run: Run, train: Dataset) -> None:
    if train.classes != run.document.classes:
        raise InputError(
            f"the run was made for classes {printable(run.document.classes)}; the data have "
            f"{printable(train.classes)}: give the data it was started with"
        )
    if len(train) == 0:
        raise InputError(f"'{printable(train.name)}' has no training images: add some")
