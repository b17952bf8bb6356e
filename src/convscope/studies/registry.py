"""Every probe by name: importing this module enters all of them."""

from convscope.studies import probes_cost as _cost
from convscope.studies import probes_place as _place
from convscope.studies.probes import get_probe as get_probe
from convscope.studies.probes import run_probe as run_probe

ENTERED = (_cost, _place)
