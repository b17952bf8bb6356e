"""Errors that a user can act on, and the exit code each ends with.

Every message says what was received, what is allowed and what to do. The command line
prints it on one line, without a traceback; from Python they are ordinary exceptions.
"""

import difflib
from collections.abc import Iterable

from convscope.text import printable


class ConvscopeError(Exception):
    """The work could not be finished. Ends the command line with exit code 1."""

    exit_code = 1


class InputError(ConvscopeError, ValueError):
    """What was given cannot be used: data, names, options, files. Exit code 2."""

    exit_code = 2


class TrainingError(ConvscopeError):
    """Training ended before its time (a loss that is NaN or does not move). Exit code 1."""


class Interrupted(ConvscopeError):
    """A signal ended the work after its state was saved. Exit code 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> InputError:
    """The error for a name that is in no registry: the nearest match and every valid name.

    >>> print(unknown_name("model", "lenet", ["lenet5", "alexnet-bn"]))
    unknown model 'lenet': did you mean 'lenet5'? Valid: alexnet-bn, lenet5
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return InputError(f"unknown {kind} '{printable(name)}':{hint} Valid: {', '.join(names)}")
