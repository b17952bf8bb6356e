"""The curvature of each layer of lenet5-1998 at its initial weights, and the rates it gives.

    python benchmarks/lenet5_1998_rates.py [--images 500] [--exact]

Eq. 8, the first images of MNIST. Printed are the least and the greatest curvature of a layer's
weights, back-propagated as in App. C of the paper or, with `--exact`, the whole Gauss-Newton
diagonal (a few minutes for 500 images), and the rates η / (μ + h) of the first pass, η = 0.0005,
for μ as printed and as in the recipe. The paper (III-B) has rates from 0.00007 to 0.016.
"""

import torch

import common
from convscope import models
from convscope.data.batches import as_tensor, to_input
from convscope.data.loading import load
from convscope.layers.rbf import mean_penalty_loss
from convscope.recipes import recipe
from convscope.training.curvature import backpropagated_diagonal, exact_diagonal
from convscope.training.inputs import plan_preprocessing


def main() -> None:
    """Measure and print."""
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chosen = recipe("lenet5-1998")
    digits = load(str(common.existing(options, "data/mnist"))).train
    few = digits.images[: options.images]
    inputs = to_input(as_tensor(few), plan_preprocessing(chosen.inputs, few, (1, 32, 32)))
    labels = as_tensor(digits.labels[: options.images])
    model = models.build(chosen.model.name, seed=options.seed)
    way = exact_diagonal if options.exact else backpropagated_diagonal
    found = way(model, inputs, labels, mean_penalty_loss)
    print(f"{'weights':12} {'least h':>9} {'greatest':>9}")
    for name, curvature in found.items():
        print(f"{name:12} {float(curvature.min()):9.2e} {float(curvature.max()):9.2e}")
    whole = torch.cat([curvature.flatten() for curvature in found.values()])
    for mu in (0.02, chosen.optimizer.mu):
        least, greatest = (chosen.optimizer.lr / (mu + h) for h in (whole.max(), whole.min()))
        print(f"rates with μ = {mu}: {float(least):.2e} to {float(greatest):.2e}")


if __name__ == "__main__":
    main()
