"""The learning rate as a pure function of the step, so that a resumed run cannot drift."""

import math

from convscope.training.recipe import Schedule


def learning_rate(
    schedule: Schedule, peak: float, step: int, steps: int, steps_per_epoch: int
) -> float:
    """The learning rate of one step.

    - `constant`: the peak.
    - `step`: multiplied by `factor` at each milestone (in epochs).
    - `levels`: from each milestone (in epochs) on, its own share of the peak.
    - `one-cycle`: from `start` × peak up to the peak over the first `warmup` share of the steps,
      then down to `final` × peak, both along half a cosine (Smith 2018, arXiv:1803.09820; the
      momentum stays as it is).
    - `cosine`: a linear warm-up, then half a cosine down to `final` × peak (Loshchilov & Hutter
      2017, arXiv:1608.03983, without restarts).

    Args:
        schedule: the recipe's schedule.
        peak: the optimizer's learning rate.
        step: steps done so far, from 0 to steps − 1.
        steps: steps of the whole run.
        steps_per_epoch: steps of one epoch.
    """
    if schedule.kind == "constant":
        return peak
    passed = sum(step >= round(epoch * steps_per_epoch) for epoch in schedule.milestones)
    if schedule.kind == "levels":
        return peak * (1.0, *schedule.levels)[passed]
    if schedule.kind == "step":
        return float(peak * schedule.factor**passed)
    rising = schedule.warmup * steps
    low = schedule.final * peak
    if step < rising:
        if schedule.kind == "one-cycle":
            return _half_cosine(schedule.start * peak, peak, step / rising)
        return float(peak * (step + 1) / (rising + 1))
    return _half_cosine(peak, low, (step - rising) / max(steps - rising, 1))


def _half_cosine(first: float, last: float, share: float) -> float:
    """From `first` (share 0) to `last` (share 1) along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
