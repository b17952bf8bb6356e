"""Which of several processes this one is, told by torchrun's variables alone: no torch needed."""

import os

from convscope.errors import ConvscopeError, InputError


def is_follower() -> bool:
    """Whether another process writes and prints: this one is not the first that torchrun started.

    >>> is_follower()
    False
    """
    return os.environ.get("RANK", "0") != "0" and "MASTER_ADDR" in os.environ


def is_told_here(error: ConvscopeError) -> bool:
    """Whether this process prints `error`.

    What ends all processes at the same step is told by the first of them; what one of them meets
    alone, such as data that its machine lacks, by itself.
    """
    return isinstance(error, InputError) or not is_follower()
