"""Several seeds in one batched network end where they end one by one."""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F

from convscope import models

PATH = Path(__file__).parents[2] / "benchmarks" / "seeds_per_hour.py"


def test_batched_seeds_equal_seeds_one_by_one() -> None:
    spec = importlib.util.spec_from_file_location("seeds_per_hour", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    networks = [models.build("lenet5", seed=seed) for seed in range(3)]
    batched = module.BatchedLeNet5([models.build("lenet5", seed=seed) for seed in range(3)])
    generator = torch.Generator().manual_seed(0)
    together = torch.optim.SGD(batched.parameters(), lr=0.05)
    alone = [torch.optim.SGD(network.parameters(), lr=0.05) for network in networks]
    for _ in range(10):
        x = torch.randn(8, 3, 1, 32, 32, generator=generator)
        labels = torch.randint(0, 10, (8, 3), generator=generator)
        scores = batched(x)
        loss = F.cross_entropy(scores.reshape(24, 10), labels.reshape(24)) * 3
        loss.backward()  # type: ignore[no-untyped-call]  # the sum of the seeds' mean losses
        together.step()
        together.zero_grad()
        for seed, (network, optimizer) in enumerate(zip(networks, alone, strict=True)):
            one = F.cross_entropy(network(x[:, seed]), labels[:, seed])
            one.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    for seed, network in enumerate(networks):
        for name, value in network.named_parameters():
            found = dict(batched.named_parameters())[name.replace(".", "_")][seed]
            assert torch.allclose(found, value, atol=1e-5), name
