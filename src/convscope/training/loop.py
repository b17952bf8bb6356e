"""The steps of a training: each moves the state by a batch, each epoch ends in a row."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from convscope.data.augment import Augmentation, EpochTable, augment, colour_axes, epoch_table
from convscope.data.batches import as_tensor, batches, epoch_order, take, to_input
from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing
from convscope.run import Run, epoch_weights
from convscope.seeds import derive_seed
from convscope.training.chain import Gradients
from convscope.training.compute import (
    Compute,
)
from convscope.training.curvature import curvature_diagonal
from convscope.training.distributed import Group
from convscope.training.inputs import grow_from
from convscope.training.optimizers import SDLM
from convscope.training.progress import Progress
from convscope.training.recipe import Recipe
from convscope.training.saving import Saving
from convscope.training.schedule import learning_rate
from convscope.training.signals import StopRequest
from convscope.training.single_images import IMAGES_A_CALL, SingleImages, single_images
from convscope.training.start import keeps_epochs, starting_network
from convscope.training.state import TrainingState
from convscope.training.teachers import teaching
from convscope.training.validation import rank, validate
from convscope.training.watch import WINDOW, check_loss, label_entropy

REPORT_SECONDS = 0.1


class Loop:
    """The state of one call of `fit`, and the steps that move it."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        compute: Compute,
        train: Dataset,
        validation: Dataset | None,
        group: Group,
        stop: StopRequest,
        saving: Saving,
    ) -> None:
        self.run, self.recipe, self.compute, self.validation = run, recipe, compute, validation
        self.group, self.stop, self.saving = group, stop, saving
        self.stopped_by, self.saves_now = 0, False
        self.preprocessing: Preprocessing = run.document.preprocessing
        self.smaller = grow_from(recipe.growth, self.preprocessing)
        self.images, self.labels = train.images, as_tensor(train.labels)
        self.unchanged = self._unchanged()
        self.axes = colour_axes(train.images) if recipe.augmentation.colour_noise else None
        self.steps = -(-len(train) // recipe.batch_size)
        self.total = recipe.total_steps(self.steps)
        self.epochs = -(-self.total // self.steps)
        self.chance = label_entropy(train.labels)
        model = starting_network(run, recipe, compute, train.images, group)
        self.keeps_epochs = keeps_epochs(recipe, run)
        self.state = TrainingState(model, recipe, compute, group)
        taught = teaching(run, recipe, compute, group)
        self.gradients = Gradients(self.state.network, recipe, compute, group, taught)
        alone = group.size == 1
        self.single = single_images(recipe, compute, model, self.state.optimizer) if alone else None
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
        order = self._order()
        table = epoch_table(recipe.augmentation, len(self.labels), recipe.seed, counters.epoch)
        if counters.step == 0 and isinstance(self.state.optimizer, SDLM):
            self._measure_curvature(self.state.optimizer, table)
        order = order[counters.step * recipe.batch_size : steps * recipe.batch_size]
        at_once = IMAGES_A_CALL if self.single else recipe.batch_size
        done = 0
        for chosen, labels in batches(self.labels, order, at_once, share=self.group.share):
            inputs = self._inputs(table, chosen)
            n = min(at_once, len(order) - done)
            done += n
            if self.single:
                self._single_steps(self.single, inputs, labels)
            else:
                self._step(inputs, labels, n)
            yield

    def _unchanged(self) -> torch.Tensor | None:
        """All images, if they are in memory and the network sees them as they are."""
        plain = self.recipe.augmentation == Augmentation() and not self.preprocessing.crop
        return as_tensor(self.images) if plain and isinstance(self.images, np.ndarray) else None

    def _order(self) -> torch.Tensor:
        if self.recipe.order == "stored":
            return torch.arange(len(self.labels))
        epoch = self.state.counters.epoch if self.recipe.order == "anew" else 0
        return epoch_order(len(self.labels), self.recipe.seed, epoch)

    def _inputs(self, table: EpochTable, chosen: torch.Tensor) -> torch.Tensor:
        """What the network sees of the images `chosen` from the data set in the current epoch."""
        small = self._done() < round(self.recipe.growth.share * self.total)
        preprocessing = self.smaller if small else self.preprocessing
        kernels = self.compute.uses_kernels
        if self.unchanged is not None:
            inputs = to_input(self.unchanged, preprocessing, batch_last=kernels, rows=chosen)
        else:
            images = augment(
                take(self.images, chosen),
                table,
                chosen,
                self.recipe.augmentation,
                self.preprocessing.fill,
                window=self.preprocessing.crop,
                axes=self.axes,
            )
            inputs = to_input(images, preprocessing, batch_last=kernels)
        return inputs.to(**self.compute.place(), non_blocking=True)

    def _measure_curvature(self, optimizer: SDLM, table: EpochTable) -> None:
        """Give the optimizer the curvature at the weights as they are now, for the coming pass."""
        recipe = self.recipe
        seed = derive_seed(recipe.seed, "curvature", self.state.counters.epoch)
        chosen = epoch_order(len(self.labels), seed, 0)[: recipe.optimizer.curvature_images]
        labels = self.labels[chosen]
        inputs = self._inputs(table, chosen).float()  # as the weights that are moved
        diagonal = curvature_diagonal(
            recipe.optimizer.curvature,
            self.state.model,
            inputs,
            labels.to(inputs.device),
            self.gradients.loss,
        )
        optimizer.set_curvature(diagonal.values())

    def _step(self, inputs: torch.Tensor, labels: torch.Tensor, n: int) -> None:
        """One update by a batch of `n` images, of which this process has those in `inputs`."""
        done = self._done()
        # Dropout and stochastic pooling draw from torch's generator: the same draws for the
        # same step, whether or not the run was interrupted before it.
        torch.default_generator.manual_seed(derive_seed(self.recipe.seed, "step", done))
        self._set_rate(self._rate(done))
        labels = labels.to(inputs.device, non_blocking=True)
        value, correct = self._agree(*self.gradients(inputs, labels, n))
        self._watch(value)
        self.state.update()
        if self.state.average:
            self.state.average.update(self.state.model, done)
        self._count(value, n, int(correct))

    def _single_steps(
        self, single: SingleImages, inputs: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """A step for each image; what `_step` would do with batches of one."""
        done = self._done()
        rates = [self._rate(step) for step in range(done, done + len(labels))]
        self._set_rate(rates[-1])
        for value, right in zip(*single.take(inputs, labels, rates), strict=True):
            self._watch(value)
            self._count(value, 1, right)
        self._agree()

    def _done(self) -> int:
        return self.state.counters.epoch * self.steps + self.state.counters.step

    def _rate(self, step: int) -> float:
        choice = self.recipe.optimizer.lr
        return learning_rate(self.recipe.schedule, choice, step, self.total, self.steps)

    def _set_rate(self, lr: float) -> None:
        for group in self.state.optimizer.param_groups:
            group["lr"] = lr

    def _watch(self, loss: float) -> None:
        recent = self.state.counters.recent = [*self.state.counters.recent[-WINDOW + 1 :], loss]
        check_loss(recent, self._done() + 1, self.chance, self.recipe)

    def _count(self, loss: float, images: int, right: int) -> None:
        counters = self.state.counters
        counters.step += 1
        counters.seen += images
        counters.loss_sum += loss * images
        counters.correct += right
        self.images_done += images

    def _agree(self, loss: float = 0.0, correct: float = 0.0) -> tuple[float, float]:
        """The sums over all processes, and what they do next: a signal to one stops all."""
        received = self.stop.received
        wishes = [float(received), float(bool(received)), float(self.saving.due())]
        *sums, signals, count, savings = self.group.total([loss, correct, *wishes])
        self.stopped_by = int(signals / count) if count else 0
        self.saves_now = savings > 0
        if self.group.shares_columns:  # each has seen every image
            sums = [value / self.group.size for value in sums]
        return sums[0], sums[1]

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
                    group=self.group,
                )
                network.train()
        progress = self._progress(row)
        counters.history.append(row)
        counters.epoch += 1
        counters.step = counters.seen = counters.correct = 0
        counters.loss_sum = 0.0
        if self._is_best(row):
            self.state.remember_best()
        if self.keeps_epochs:
            weights = self.state.current_weights()
            self.state.save_weights(self.run, weights, epoch_weights(counters.epoch))
        self._agree()
        return progress

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
        done = self._done()
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
                state.save_weights(self.run, other, f"{name}.safetensors")
        state.save_weights(self.run, chosen, "weights.safetensors")
