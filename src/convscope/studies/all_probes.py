"""Every probe by name: importing this module enters all of them."""

from convscope.studies import probes_cost, probes_place  # noqa: F401
from convscope.studies.probes import check_probe as check_probe
from convscope.studies.probes import get_probe as get_probe
from convscope.studies.probes import run_probe as run_probe
