"""The optimizer of 1998 in a training loop of your own, for a network of your own.

python examples/own_loop_with_sdlm.py

Stochastic diagonal Levenberg-Marquardt gives each weight its own rate, lr / (mu + h), with h the
curvature of the loss along that weight, measured on a few images before each pass. No momentum
and no running averages: what Adam estimates from gradients, this takes from second derivatives.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from convscope.data.batches import as_tensor, epoch_order, to_input
from convscope.data.loading import load
from convscope.training.curvature import exact_diagonal
from convscope.training.inputs import plan_preprocessing
from convscope.training.optimizers import SDLM
from convscope.training.recipe import Inputs


def main() -> None:
    """Four passes over 4,000 digits."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small networks gain nothing from more
    digits = load("mnist-sample")
    preprocessing = plan_preprocessing(Inputs(), digits.train.images, (1, 28, 28))
    images, test_images = (
        to_input(as_tensor(np.asarray(split.images)), preprocessing)
        for split in (digits.train, digits.test)
    )
    labels, test_labels = as_tensor(digits.train.labels), as_tensor(digits.test.labels)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2), nn.GELU(),
        nn.Conv2d(8, 16, 5, stride=2), nn.GELU(),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = SDLM(network.parameters(), lr=0.002, mu=0.02)
    for epoch in range(4):
        order = epoch_order(len(images), 0, epoch)
        few = order[:100]
        diagonal = exact_diagonal(network, images[few], labels[few], F.cross_entropy)
        optimizer.set_curvature(diagonal.values())
        for chosen in torch.split(order, 16):
            F.cross_entropy(network(images[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            right = network(test_images).argmax(1) == test_labels
        print(f"pass {epoch + 1}: {right.float().mean():.1%} of the test digits")


if __name__ == "__main__":
    main()
