"""How the arithmetic is done: the number of threads, the order of numbers in memory."""

import torch

from convscope.environment import available_cores

MEMORY_FORMATS = {
    "channels_last": torch.channels_last,
    "contiguous": torch.contiguous_format,
}


def use_threads(wanted: int) -> int:
    """Set torch's threads to `wanted`, or to one per available core where it is 0.

    The number belongs to the run: sums are added in another order with another number.
    """
    cores = available_cores()
    threads = min(wanted, 4 * cores) or cores  # a run from a larger machine still works here
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return threads
