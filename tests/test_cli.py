"""The command line as a user has it: real processes, real pictures, exit codes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Inside, small_recipe, start_run
from convscope.data.dataset import Dataset, Splits
from convscope.errors import InputError
from convscope.training.fit import fit

TINY = ["--set", "epochs=2", "--set", "min_steps=0", "--set", "batch_size=32"]


def convscope(
    *words: str | Path, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line; its output as text."""
    done = subprocess.run(
        [sys.executable, "-m", "convscope", *map(str, words)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        timeout=300,
        check=False,
    )
    text = (done.stdout.decode(), done.stderr.decode())
    return subprocess.CompletedProcess(done.args, done.returncode, *text)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, digits: Splits) -> Path:
    """A folder of class folders: 60 real ones and zeros as PNG files."""
    root = tmp_path_factory.mktemp("data") / "digits"
    for label in (0, 1):
        folder = root / ("zero", "one")[label]
        folder.mkdir(parents=True)
        for i in np.flatnonzero(digits.train.labels == label)[:60]:
            Image.fromarray(digits.train.images[i, 0]).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A run, trained by the command line."""
    out = tmp_path_factory.mktemp("runs") / "run"
    done = convscope(
        "train", "lenet5", "--data", pictures, "--out", out, "--set", "threads=1", *TINY
    )
    assert done.returncode == 0, done.stderr
    return out


def test_train_prints_the_accuracy_and_where_the_report_lies(trained: Path) -> None:
    done = convscope("evaluate", trained)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("test accuracy ")
    assert "95 % interval" in done.stdout
    for name in ("report.html", "results.json", "run.json", "weights.safetensors", "metrics.jsonl"):
        assert (trained / name).stat().st_size > 0
    assert len(list((trained / "figures").glob("*.png"))) >= 5
    assert not (trained / "checkpoint.safetensors").exists()


def test_evaluate_json_has_the_accuracy_as_a_fraction(trained: Path) -> None:
    done = convscope("evaluate", trained, "--json", "--no-robustness")
    found = json.loads(done.stdout)
    assert 0.5 < found["accuracy"] <= 1.0
    assert found["n"] == 24  # a fifth of 120


def test_the_split_stays_as_recorded_when_files_are_added(
    trained: Path, pictures: Path, digits: Splits
) -> None:
    before = json.loads((trained / "split.json").read_text())["test"]
    added = pictures / "zero" / "added.png"
    Image.fromarray(digits.test.images[0, 0]).save(added)
    try:
        done = convscope("evaluate", trained, "--json", "--no-robustness")
    finally:
        added.unlink()
    assert json.loads(done.stdout)["n"] == len(before) == 24


def test_other_data_is_bound_by_class_name(
    trained: Path, pictures: Path, tmp_path: Path, inside: Inside
) -> None:
    """Only one class, in another position than in training: it must not be scored as the first."""
    other = tmp_path / "other"
    shutil.copytree(pictures / "zero", other / "zero")
    before = (trained / "results.json").read_bytes()
    code, _, err = inside("evaluate", trained, "--data", pictures)
    assert code == 2
    assert "are the images the run was trained on: leave out --data" in err
    code, out, err = inside("evaluate", trained, "--data", other, "--json", "--no-robustness")
    assert code == 0, err
    found = json.loads(out)
    assert found["n"] == 60  # all of it: a folder without a test/ is not split here
    assert found["classes"] == ["one", "zero"]
    assert found["accuracy"] > 0.9
    assert (trained / "results.json").read_bytes() == before
    (other / "zero").rename(other / "cipher")
    code, _, err = inside("evaluate", trained, "--data", other)
    assert code == 2
    assert "cipher" in err


def test_predict_reads_files_folders_and_standard_input(trained: Path, pictures: Path) -> None:
    one = next(iter(sorted((pictures / "one").iterdir())))
    done = convscope("predict", trained, one, "--top", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{one}: one ")
    lines = convscope("predict", trained, pictures / "zero", "--json").stdout.splitlines()
    assert len(lines) == 60
    assert all(len(json.loads(line)["guesses"]) == 2 for line in lines)
    piped = convscope("predict", trained, "-", "--json", stdin=one.read_bytes())
    assert (
        json.loads(piped.stdout)["guesses"]
        == json.loads(convscope("predict", trained, one, "--json").stdout)["guesses"]
    )


def test_predict_reports_bad_pictures_and_goes_on(
    trained: Path, pictures: Path, tmp_path: Path
) -> None:
    good = next((pictures / "one").iterdir())
    (tmp_path / "a.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "b.png").write_bytes(good.read_bytes())
    (tmp_path / "c\x1b[31m.png").write_text("no picture")
    done = convscope("predict", trained, tmp_path)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert len(done.stderr.splitlines()) == 2
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["train", "lenet"], "unknown recipe 'lenet': did you mean 'lenet5'? Valid: "),
        (["train", "--data", "mnst"], "unknown data set 'mnst': did you mean 'mnist'?"),
        (["train", "--set", "optimizer.rl=1"], "did you mean 'optimizer.lr'?"),
        (["train", "--set", "optimizer.lr=-1"], "optimizer.lr: input should be greater than 0"),
        (["train", "--set", "model.name=resnet"], "unknown model 'resnet'"),
        (["train", "--set", "model.arguments.pol=1"], "did you mean 'pool'?"),
        (["train", "--resume", "nowhere"], "nowhere is no run directory"),
        (["evaluate", "nowhere"], "nowhere is no run directory"),
        (["predict", "nowhere", "x.png"], "nowhere is no run directory"),
        (["anatomy", "lenet4"], "unknown model 'lenet4': did you mean 'lenet5'?"),
        (["anatomy", "lenet5", "--input", "32"], "write channels x height x width: 1x32x32"),
        (["check", "nowhere"], "nothing lies at 'nowhere'"),
        (["list", "model"], "unknown list 'model': did you mean 'models'?"),
        (["compare", "nowhere"], "compare needs two or more runs; received 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], text: str, inside: Inside, tmp_path: Path
) -> None:
    code, out, err = inside(*words)
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert text in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_verb_and_option_exit_with_2(tmp_path: Path) -> None:
    assert convscope("trian").returncode == 2
    assert convscope("train", "--sede", "1", cwd=tmp_path).returncode == 2


def test_out_is_never_overwritten(trained: Path, pictures: Path, inside: Inside) -> None:
    before = (trained / "run.json").read_bytes()
    code, _, err = inside("train", "--data", pictures, "--out", trained)
    assert code == 2
    assert "is not empty: give another --out" in err
    assert (trained / "run.json").read_bytes() == before


def test_resume_of_a_complete_run_changes_nothing(trained: Path, inside: Inside) -> None:
    before = (trained / "weights.safetensors").stat().st_mtime_ns
    code, _, err = inside("train", "--resume", trained)
    assert code == 0
    assert "there is nothing to resume" in err
    assert (trained / "weights.safetensors").stat().st_mtime_ns == before


def test_a_run_cut_before_its_report_gets_it_by_resume(
    trained: Path, inside: Inside, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(trained, cut)
    for name in ("results.json", "report.html"):
        (cut / name).unlink()
    code, out, err = inside("train", "--resume", cut)
    assert code == 0, err
    assert "test accuracy" in out
    assert (cut / "report.html").exists()
    assert (cut / "results.json").exists()


def test_resume_takes_no_other_options(trained: Path, inside: Inside) -> None:
    code, _, err = inside("train", "--resume", trained, "--seed", "1")
    assert code == 2
    assert "leave out the recipe, --data, --set, --seed" in err


def test_print_recipe_shows_the_change_and_makes_nothing(inside: Inside, tmp_path: Path) -> None:
    _, out, _ = inside("train", "lenet5", "--print-recipe", "--set", "optimizer.lr=0.004")
    assert json.loads(out)["optimizer"]["lr"] == 0.004
    assert list(tmp_path.iterdir()) == []


def test_explain_writes_pictures_and_numbers(
    trained: Path, pictures: Path, inside: Inside, tmp_path: Path
) -> None:
    picture = min((pictures / "one").glob("*.png"))
    code, out, err = inside("explain", trained, picture)
    assert code == 0, err
    folder = Path(f"explained-{picture.stem}")
    names = ["feature-maps.png", "attributions.png", "neighbours.png", "explanation.json"]
    assert out.splitlines() == [str(folder / name) for name in names]
    facts = json.loads((tmp_path / folder / "explanation.json").read_text("utf-8"))
    assert facts["explained"] == facts["predicted"]
    assert len(facts["neighbours"]["nearest"]) == 9

    words = ["explain", trained, picture, "--class", "zero", "--neighbours", "0", "--out", "other"]
    code, out, _ = inside(*words, "--json")
    assert code == 0
    assert json.loads(out)["explained"] == "zero"
    assert json.loads(out)["neighbours"] is None

    code, _, err = inside("explain", trained, picture, "--class", "nine")
    assert code == 2
    assert "unknown class 'nine'" in err
    code, _, err = inside("explain", tmp_path / "none", picture)
    assert code == 2
    assert "is no run directory" in err


def test_anatomy_of_the_paper(inside: Inside) -> None:
    found = json.loads(inside("anatomy", "lenet5-1998", "--json")[1])
    assert (found["parameters"], found["connections"]) == (60_000, 340_908)
    _, text, _ = inside("anatomy", "lenet5-1998")
    assert "340,908" in text
    assert "which maps each map of c3 sees" in text


@pytest.mark.parametrize("what", ["models", "recipes", "datasets"])
def test_list_names_each_with_a_line(what: str, inside: Inside) -> None:
    entries = json.loads(inside("list", what, "--json")[1])
    assert len(entries) >= 3
    assert all(entry["name"] and len(entry["summary"]) > 10 for entry in entries)
    lines = inside("list", what)[1].splitlines()
    assert [line.split()[0] for line in lines] == [entry["name"] for entry in entries]


def test_out_of_memory_says_what_to_change(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """The allocation is real: no machine has 16 petabytes."""
    monkeypatch.setattr("convscope.pipeline.train", lambda *_, **__: torch.empty(2**52))
    code, _, err = inside("train")
    assert code == 1
    assert "out of memory: take smaller batches (--set batch_size=32)" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_said_and_the_last_checkpoint_stays(
    tmp_path: Path, few_digits: Dataset
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2400k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode()}")
    try:
        run = start_run(disk / "run", small_recipe(), few_digits)
        first = fit(run, few_digits, checkpoint_seconds=0.0)
        next(first)
        saved = run.checkpoint.read_bytes()
        (disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(disk).free - 4096))
        with pytest.raises(InputError, match=r"no space left on the disk for .* --resume") as error:
            list(first)
        assert error.value.exit_code == 2
        assert run.checkpoint.read_bytes() == saved
        (disk / "ballast").unlink()
        list(fit(run, few_digits, resume=True))
        assert run.weights.exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_check_finds_what_is_wrong(pictures: Path, tmp_path: Path) -> None:
    assert convscope("check", pictures).returncode == 0
    bad = tmp_path / "bad"
    for name in ("a", "b"):
        (bad / name).mkdir(parents=True)
        for source in sorted((pictures / "one").iterdir())[:3]:
            (bad / name / source.name).write_bytes(source.read_bytes())
    (bad / "a" / "broken.png").write_bytes(b"")
    done = convscope("check", bad, "--preview", tmp_path / "sheet.png")
    assert done.returncode == 1
    assert "broken.png" in done.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 100


def test_compare_and_doctor(trained: Path, inside: Inside) -> None:
    found = json.loads(inside("compare", trained, trained, "--json")[1])
    assert found["differing"] == []
    assert found["runs"][1]["p_value"] == 1.0
    assert inside("doctor")[0] == 0
    assert json.loads(inside("doctor", "--json")[1])["healthy"] is True


def test_the_folder_of_the_images_is_never_written_to(pictures: Path, inside: Inside) -> None:
    before = sorted(pictures.rglob("*"))
    code, _, err = inside("train", "--data", pictures, "--out", pictures / "one" / "run")
    assert code == 2
    assert "lies inside the data: give an --out outside" in err
    loop = pictures.parent / "loop"
    loop.symlink_to("loop")
    code, _, err = inside("train", "--data", loop)
    assert (code, err[:6]) == (2, "error:")
    victim = next((pictures / "one").iterdir())
    code, _, err = inside("check", pictures, "--preview", victim)
    assert code == 2
    assert "never written to" in err
    assert sorted(pictures.rglob("*")) == before


def test_a_reader_that_is_gone_does_not_cost_the_report(trained: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(trained, cut)
    for name in ("results.json", "report.html"):
        (cut / name).unlink()
    words = [sys.executable, "-m", "convscope", "train", "--resume", str(cut)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
    assert (cut / "report.html").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_a_directory_whose_name_is_no_text_is_refused_before_anything_is_read(
    pictures: Path, tmp_path: Path
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    shutil.copytree(pictures, folder / "data")
    done = convscope("train", "--data", "data", cwd=folder)
    assert done.returncode == 2
    assert "is no UTF-8, so no file can say where the data are: rename it" in done.stderr
    assert done.stdout == ""


def test_output_that_cannot_show_all_characters() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "convscope", "anatomy", "lenet5"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"61,706" in done.stdout


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_saves_and_resume_goes_on(
    pictures: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    words = ["train", "--data", str(pictures), "--out", str(tmp_path / "run")]
    words += ["--set", "epochs=2000", "--set", "threads=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "convscope", *words], stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        while "epoch" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.2)
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == code
    assert "go on with: convscope train --resume" in rest
    assert "Traceback" not in rest
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_help_has_examples(inside: Inside) -> None:
    verbs = "train evaluate predict export explain lab anatomy check list compare doctor"
    for verb in verbs.split():
        code, out, _ = inside(verb, "--help")
        assert code == 0
        assert "convscope " + verb in out, verb


def _photographs(folder: Path) -> None:
    """Two classes of pictures of several sizes, in colour."""
    generator = np.random.default_rng(0)
    for label, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            size = (int(generator.integers(70, 120)), int(generator.integers(70, 120)), 3)
            noise = generator.integers(-30, 30, size)
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.jpg")


COLOUR = ["--set", "model.arguments.width=2", "--set", "model.arguments.hidden=8"]
SHORT = ["--set", "epochs=1", "--set", "min_steps=3", "--set", "batch_size=8"]
SHORT += ["--precision=fp32", "--set", "memory_format=channels_last", "--set", "fourier=[]"]


def test_photographs_by_way_of_the_cache(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache changes nothing but where the pixels come from; its size is told; it goes away."""
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "cache"))
    _photographs(tmp_path / "photos")
    words = ["train", "alexnet-fast", "--data", tmp_path / "photos", *COLOUR, *SHORT]
    code, _, err = inside(*words, "--cache", "never", "--out", tmp_path / "memory")
    assert code == 0, err
    assert "decoded images" not in err
    code, _, err = inside(*words, "--cache", "always", "--out", tmp_path / "disk")
    assert code == 0, err
    assert "decoded images kept in" in err
    code, out, err = inside(*words, "--out", tmp_path / "again")
    assert code == 0, err
    assert "decoded images taken from" in err
    assert "ten-crop accuracy" in out
    weights = {
        (tmp_path / name / "weights.safetensors").read_bytes()
        for name in ("memory", "disk", "again")
    }
    assert len(weights) == 1
    assert json.loads((tmp_path / "disk/run.json").read_text())["data"]["cache"] == "always"
    code, out, _ = inside("cache")
    assert "convscope cache clear" in out
    code, out, _ = inside("cache", "--json")
    assert json.loads(out)["bytes"] > 24 * 72 * 72 * 3
    code, out, _ = inside("cache", "clear")
    assert (code, "GB freed" in out) == (0, True)
    assert not list((tmp_path / "cache" / "images").glob("*.pixels"))
    code, out, _ = inside("predict", tmp_path / "disk", tmp_path / "photos/red/0.jpg")
    assert code == 0
    assert "red" in out or "blue" in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--cache", "sometimes"], "sometimes"),
        (["--precision", "fp8"], "precision"),
        (["--resume", "x", "--precision", "fp32"], "leave out"),
        (["--set", "device=cuda:0"], "device"),
        (["--set", 'fourier=["conv9"]'], "conv9"),
        (["--set", "growth.size=40", "--set", "growth.share=0.5"], "growth needs inputs.fit"),
    ],
)
def test_wrong_choices_of_speed(
    tmp_path: Path, inside: Inside, words: list[str], text: str
) -> None:
    code, _, err = inside("train", "lenet5", *TINY, "--out", tmp_path / "run", *words)
    assert code == 2
    assert text in err
    assert "Traceback" not in err
