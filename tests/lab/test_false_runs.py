"""The lab among the runs of strangers."""

import shutil
from pathlib import Path

from convscope.predictor import EXAMPLE
from hostile_images import encode, pixels
from hostile_runs import RUNS
from lab_server import serving


def test_false_runs_are_told_in_words_and_the_good_one_is_shown(tmp_path: Path) -> None:
    for number, spoil in enumerate(RUNS.values()):
        shutil.copytree(EXAMPLE, tmp_path / f"{number}")
        spoil(tmp_path / f"{number}")
    shutil.copytree(EXAMPLE, tmp_path / "good")
    with serving(tmp_path) as lab:
        for number, name in enumerate(RUNS):
            answer = lab.client.post(f"/api/runs/{number}/forward", content=encode(pixels()))
            assert answer.status_code in (400, 404), name
            assert answer.json()["error"].isprintable()
        answer = lab.client.post("/api/runs/good/forward", content=encode(pixels()))
        assert answer.status_code == 200
