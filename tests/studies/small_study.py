"""A study that takes seconds: two arms, two epochs of five steps."""

from typing import Any

from convscope.studies.study import Study, study_from_json

SMALL: dict[str, Any] = {
    "name": "small",
    "question": "Is max pooling better than average pooling after ten steps?",
    "changed": "the pooling",
    "set": {"batch_size": 40},
    "quick": {"train": 200, "test": 100, "epochs": 2, "seeds": 2},
    "probes": ["accuracy", {"probe": "shift", "most": 1, "images": 40}],
    "arms": [
        {"name": "max"},
        {
            "name": "average",
            "set": {"model.arguments.pool": {"layer": "pool", "kind": "average"}},
        },
    ],
    "claims": [
        {
            "id": "small-max",
            "quote": "max pooling is better",
            "comparisons": [
                {
                    "measure": "test_accuracy",
                    "arm": "max",
                    "reference": "average",
                    "expect": "more",
                    "margin": 0.01,
                }
            ],
        }
    ],
}


def small_study(**changes: object) -> Study:
    return study_from_json({**SMALL, **changes})
