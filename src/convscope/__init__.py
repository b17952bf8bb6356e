"""convscope: train the classic convolutional networks, see why they work, trust the numbers.

Nearly all verbs of the command line are functions here, under the same names:

    import convscope
    run = convscope.train("lenet5", data="mnist-sample")
    print(convscope.evaluate(run).accuracy)

Importing this package is cheap: torch is loaded when the first function that needs it is.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convscope.checking import check as check
    from convscope.comparison import compare as compare
    from convscope.data.dataset import Dataset as Dataset
    from convscope.data.dataset import Splits as Splits
    from convscope.data.loading import load as load
    from convscope.environment import doctor as doctor
    from convscope.lab.notebook import show as show
    from convscope.listing import list_datasets as list_datasets
    from convscope.listing import list_models as list_models
    from convscope.listing import list_recipes as list_recipes
    from convscope.model_summary import anatomy as anatomy
    from convscope.pipeline import evaluate as evaluate
    from convscope.pipeline import resume as resume
    from convscope.pipeline import train as train
    from convscope.prediction import predict as predict
    from convscope.predictor import open_predictor as open_predictor
    from convscope.run import Run as Run
    from convscope.run import load_model as load_model
    from convscope.run import open_run as open_run
    from convscope.serving.server import serve as serve
    from convscope.shipping import export as export
    from convscope.studies.running import study as study
    from convscope.training.fit import fit as fit
    from convscope.training.recipe import Recipe as Recipe
    from convscope.tuning.tune import tune as tune
    from convscope.version import __version__ as __version__

_HOME = {
    "Dataset": "data.dataset",
    "Recipe": "training.recipe",
    "Run": "run",
    "Splits": "data.dataset",
    "__version__": "version",
    "anatomy": "model_summary",
    "check": "checking",
    "compare": "comparison",
    "doctor": "environment",
    "evaluate": "pipeline",
    "export": "shipping",
    "fit": "training.fit",
    "list_datasets": "listing",
    "list_models": "listing",
    "list_recipes": "listing",
    "load": "data.loading",
    "load_model": "run",
    "open_predictor": "predictor",
    "open_run": "run",
    "predict": "prediction",
    "resume": "pipeline",
    "serve": "serving.server",
    "show": "lab.notebook",
    "study": "studies.running",
    "train": "pipeline",
    "tune": "tuning.tune",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'convscope' has no attribute '{name}'")
    return getattr(importlib.import_module(f"convscope.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
