"""Where the time of lenet5-1998 goes: a step of one image, and what is around it.

    python benchmarks/lenet5_1998_step.py [--images 4000]

On one thread, MNIST's shapes with random pixels. Printed are the shortest of five times: a step
by the kernel in each version that this processor runs, a step by torch, what augmentation adds,
and the curvature before a pass. Twenty passes over 60,000 images are 1.2 million steps.
"""

import os
import time
from collections.abc import Callable

import torch

import common
from convscope import models
from convscope.data.augment import augment, epoch_table
from convscope.kernels import library
from convscope.recipes import recipe
from convscope.training.compute import Compute
from convscope.training.curvature import backpropagated_diagonal
from convscope.training.losses import build_loss
from convscope.training.optimizers import SDLM
from convscope.training.single_images import single_images

STEPS = 1_200_000


def shortest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of five."""
    found = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def show(name: str, seconds: float) -> None:
    """Of one image, and of all steps of a training."""
    print(f"{name:34} {1e6 * seconds:8.1f} µs  {STEPS * seconds:7.1f} s for 20 passes", flush=True)


def main() -> None:
    """Measure and print."""
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, default=4000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = recipe("lenet5-1998-distorted")
    model = models.build(chosen.model.name)
    optimizer = SDLM(model.parameters(), lr=1e-6, mu=chosen.optimizer.mu)
    pixels = torch.randint(0, 256, (options.images, 1, 32, 32), dtype=torch.uint8)
    inputs = pixels.float() / 200 - 0.1
    labels = torch.randint(0, 10, (options.images,))
    loss = build_loss(chosen.loss)

    for target in library.available():
        os.environ[library.VARIABLE] = target
        single = single_images(chosen, Compute(), model, optimizer)
        assert single is not None
        rates = [1e-6] * options.images

        def call(single=single, rates=rates) -> None:  # type: ignore[no-untyped-def]
            single.take(inputs, labels, rates)

        show(f"kernel, {target}", shortest(call) / options.images)

    def by_torch() -> None:
        for image, label in zip(inputs[:200], labels[:200], strict=True):
            loss(model(image[None]), label[None]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

    show("torch", shortest(by_torch) / 200)

    images, spec = pixels[:, :, 2:30, 2:30].contiguous(), chosen.augmentation
    table, rows = epoch_table(spec, options.images, 0, 0), torch.arange(options.images)

    def distort() -> None:
        for some in torch.split(rows, 256):
            augment(images[some], table, some, spec)

    show("distortion of an image", shortest(distort) / options.images)
    few = chosen.optimizer.curvature_images
    seconds = shortest(lambda: backpropagated_diagonal(model, inputs[:few], labels[:few], loss))
    print(f"curvature on {few} images: {seconds:.2f} s before each of 20 passes")


if __name__ == "__main__":
    main()
