"""convscope's layers are plain torch modules: use them in any network.

python examples/layers_in_your_own_network.py
"""

import torch
from torch import nn

from convscope import anatomy
from convscope.layers import Activation, Convolution, Pad, Pool


def main() -> None:
    """A small network for 28×28 images, and what it is made of."""
    network = nn.Sequential(
        Convolution(1, 8, kernel=5, pad=Pad("same", mode="reflect")),
        Activation("relu").build(),
        Pool("max", kernel=3, stride=2).build(8),
        Convolution(8, 16, kernel=3, pad=Pad("valid")),
        Activation("relu").build(),
        Pool("blur", kernel=2, stride=2).build(16),
        nn.Flatten(),
        nn.LazyLinear(10),
    )
    scores = network(torch.zeros(1, 1, 28, 28))
    print(f"scores: {tuple(scores.shape)}")
    for row in anatomy(network, (1, 28, 28)).layers:
        print(f"{row.kind:20} {'×'.join(map(str, row.output_shape)):10} {row.parameters:6,}")


if __name__ == "__main__":
    main()
