"""A run's earlier epochs in the lab: by address over HTTP, and by the slider of the page."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from convscope.data.batches import to_input
from convscope.data.loading import load
from convscope.run import build_model, epoch_weights, load_model, open_run, save_weights
from lab_browser import chromium, needs_chromium, watched
from lab_server import Live, read_frame, serving
from made_runs import MNIST, make_run

EPOCHS = (1, 2, 4)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A run whose epochs, and final weights, are four different networks."""
    root = tmp_path_factory.mktemp("lab") / "runs"
    run = make_run(root / "digits")
    for epoch in EPOCHS:
        weights = build_model(run.document, seed=10 + epoch).state_dict()
        save_weights(run, weights, epoch_weights(epoch))
    with serving(root) as live:
        yield live


def expected(lab: Live, weights: str) -> list[float]:
    root: Path = lab.server.load().runs.root
    model = load_model(open_run(root / "digits"), weights)
    picture = np.array(load("mnist-sample").test.images[7:8])
    with torch.no_grad():
        found: list[float] = model(to_input(torch.from_numpy(picture), MNIST))[0].tolist()
    return found


@pytest.mark.parametrize("epoch", [*EPOCHS, None])
def test_each_epoch_is_the_network_of_its_file(lab: Live, epoch: int | None) -> None:
    name = "digits" if epoch is None else f"digits@{epoch}"
    info = lab.client.get(f"/api/runs/{name}").json()
    assert (info["id"], info["epoch"], info["epochs"]) == (name, epoch, [*EPOCHS])
    answer = lab.client.post(f"/api/runs/{name}/forward", params={"sample": "test:7"})
    while answer.status_code == 503:  # the images are still being read
        answer = lab.client.post(f"/api/runs/{name}/forward", params={"sample": "test:7"})
    scores = read_frame(answer.content)[0]["scores"]
    file = "weights.safetensors" if epoch is None else epoch_weights(epoch)
    assert scores == pytest.approx(expected(lab, file), abs=1e-5)


@pytest.mark.parametrize("name", ["digits@3", "digits@0", "digits@", "digits@../1", "digits@1@2"])
def test_an_epoch_that_is_not_there(lab: Live, name: str) -> None:
    answer = lab.client.get(f"/api/runs/{name.replace('/', '%2F')}")
    assert answer.status_code == 404
    assert "error" in answer.json()


@needs_chromium
@pytest.mark.slow
def test_the_slider(lab: Live) -> None:
    with chromium() as browser, watched(browser, lab.url) as live:
        page = live.open("image=test:7")
        slider = page.get_by_role("slider", name="Epoch")
        assert slider.get_attribute("aria-valuetext") == "final"
        verdicts = [page.locator(".bars").inner_text()]
        slider.focus()
        for words in ("4 of 4", "2 of 4", "1 of 4"):
            before = page.locator(".bars").inner_text()
            page.keyboard.press("ArrowLeft")
            page.wait_for_function(
                "before => document.querySelector('.bars').innerText !== before", arg=before
            )
            live.wait()
            assert slider.get_attribute("aria-valuetext") == words
            verdicts.append(page.locator(".bars").inner_text())
        assert len(set(verdicts)) == 4
        page.wait_for_function("() => location.hash.includes('epoch=1')")
        link = page.url.partition("#")[2]
        page = live.open(link)
        assert page.locator(".bars").inner_text() == verdicts[-1]
        assert page.get_by_role("slider", name="Epoch").get_attribute("aria-valuetext") == "1 of 4"
