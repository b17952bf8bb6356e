import copy
import json
import os
import pickle
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import small_recipe
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.run import (
    DataReference,
    ModelReference,
    Run,
    RunDocument,
    build_model,
    load_model,
    open_run,
    read_metrics,
    read_split,
    save_weights,
    write_metrics,
    write_run,
    write_split,
)
from hostile_names import NAMES

Json = dict[str, Any]


def make_document(**changes: Any) -> RunDocument:
    fields: Json = {
        "status": "complete",
        "created": "2026-01-01T00:00:00+00:00",
        "convscope": "test",
        "model": ModelReference(name="lenet5", arguments={"classes": 3}),
        "preprocessing": Preprocessing(
            channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.1,), std=(0.3,)
        ),
        "classes": ("cat", "dog", "owl"),
        "recipe": small_recipe().model_dump(mode="json"),
        "data": DataReference(name="pets", source="/data/pets", sizes={"train": 9}),
        "training": {"seconds": 1.25},
    }
    return RunDocument(**fields | changes)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A complete run of an untrained LeNet-5 with three classes."""
    run = write_run(_made(tmp_path / "run"), make_document())
    save_weights(run, build_model(run.document, seed=5).state_dict(), "weights.safetensors")
    return run


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def change(run: Run, *keys: str, to: object) -> None:
    """Replace one value of `run.json` by hand."""
    whole = json.loads((run.path / "run.json").read_text())
    part = whole
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = to
    (run.path / "run.json").write_text(json.dumps(whole))


def test_a_run_is_read_back_as_it_was_written(run: Run) -> None:
    found = open_run(run.path)
    assert found == run
    assert open_run(str(run.path)) == run
    assert open_run(found) is found
    assert (run.path / "run.json").read_bytes().endswith(b"}\n")


def test_with_changes_rewrites_the_file_and_nothing_else(run: Run) -> None:
    changed = run.with_changes(status="training", training={"seconds": 2.0})
    assert run.document.status == "complete", "a run is frozen"
    assert open_run(run.path) == changed
    assert changed.document == make_document(status="training", training={"seconds": 2.0})


def test_the_model_has_the_saved_bits_and_is_ready_to_evaluate(run: Run) -> None:
    saved = build_model(run.document, seed=5).state_dict()
    model = load_model(run.path)
    assert not any(module.training for module in model.modules())
    assert model.state_dict().keys() == saved.keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value.view(torch.int32), saved[name].view(torch.int32)), name
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 3)


BLUR = {"layer": "pool", "kind": "blur", "kernel": 3, "stride": 2}


@pytest.mark.parametrize(
    ("model", "channels", "arguments"),
    [
        ("lenet5-1998", 1, {}),  # the codes of the output and the table of C3 are in no file
        ("lenet5", 1, {"pool": BLUR | {"kernel": 2}}),  # nor is the blur
        ("alexnet-cifar", 3, {"width": 16, "pool": BLUR}),
    ],
)
def test_what_is_loaded_without_drawing_is_the_model_that_was_saved(
    tmp_path: Path, model: str, channels: int, arguments: Json
) -> None:
    arguments = arguments | {"channels": channels, "classes": 10}
    how = Preprocessing(
        channels=channels, size=(32, 32), mean=(0.1,) * channels, std=(0.3,) * channels
    )
    run = write_run(
        _made(tmp_path / "run"),
        make_document(
            model=ModelReference(name=model, arguments=arguments),
            preprocessing=how,
            classes=tuple("0123456789"),
        ),
    )
    saved = build_model(run.document, seed=5).eval()
    save_weights(run, saved.state_dict(), "weights.safetensors")
    loaded = load_model(run)
    for one, other in zip(loaded.parameters(), saved.parameters(), strict=True):
        assert torch.equal(one, other)
        assert one.requires_grad == other.requires_grad
    pictures = torch.rand(2, channels, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(pictures), saved(pictures))


def test_loading_leaves_the_global_generator_as_it_was(run: Run) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_model(run)
    assert torch.equal(torch.rand(1), expected)


def test_a_loaded_model_does_not_depend_on_its_file(run: Run) -> None:
    model = load_model(run)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    size = run.weights.stat().st_size
    with run.weights.open("r+b") as file:
        file.write(b"\xff" * size)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: shutil.rmtree(path), "is no run directory: `convscope train` makes one"),
        (lambda path: (path / "run.json").unlink(), "holds no run.json: give the directory that"),
        (lambda path: (path / "run.json").write_text(""), "run.json is damaged: Expecting value"),
        (lambda path: (path / "run.json").write_text("[]"), "run.json is damaged: "),
        (lambda path: (path / "run.json").write_text("5"), "run.json is damaged: "),
        (
            lambda path: (path / "run.json").write_bytes(b"\x80\x04K\x01."),
            "run.json is damaged: 'utf",
        ),
        (lambda path: (path / "run.json").write_text("[" * 10**6), "is damaged: nested too deeply"),
        (lambda path: _link(path / "run.json"), "run.json is a link: put the file itself there"),
        (lambda path: _pipe(path / "run.json"), "run.json is no regular file: give a plain file"),
        (lambda path: _folder(path / "run.json"), "run.json is no regular file: give a plain file"),
    ],
)
def test_a_directory_that_is_no_run_is_refused(run: Run, spoil: Any, reason: str) -> None:
    spoil(run.path)
    with pytest.raises(InputError, match=re.escape(reason)):
        open_run(run.path)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "\udcff", "/dev/null"])
def test_a_path_that_cannot_be_is_no_run(path: str) -> None:
    with pytest.raises(InputError, match=r"is no run directory|holds no run\.json"):
        open_run(path)


@pytest.mark.parametrize("format", [0, 2, "1", None, [[1]]])
def test_another_format_asks_for_an_upgrade(run: Run, format: object) -> None:  # noqa: A002
    change(run, "format", to=format)
    shown = re.escape(str(format))
    with pytest.raises(InputError, match=f"has format {shown}; this version reads format 1: upgr"):
        open_run(run.path)


DAMAGE: list[tuple[tuple[str, ...], object, str]] = [
    (("status",), "done", "status: Input should be 'training' or 'complete'"),
    (("created",), 5, "created: Input should be a valid string"),
    (("convscope",), "x" * 101, "convscope: String should have at most 100 characters"),
    (("command",), None, "command: Input should be a valid string"),
    (("model",), "lenet5", "model: Input should be a valid dictionary"),
    (("model", "name"), ["lenet5"], "model.name: Input should be a valid string"),
    (("model", "arguments"), [], "model.arguments: Input should be a valid dictionary"),
    (("model", "import"), "os", "model.import: Extra inputs are not permitted"),
    (("preprocessing", "mean"), [0.1, 0.2], "preprocessing: Value error, mean has 2 values"),
    (("preprocessing", "std"), [0.0], "preprocessing.std.0: Input should be greater than 0"),
    (("preprocessing", "size"), [28], "preprocessing.size.1: Field required"),
    (("preprocessing", "size"), [10**9, 28], "preprocessing.size.0: Input should be less than"),
    (("preprocessing", "padding"), [0, 0, 0, -1], "preprocessing.padding.3: Input should be gre"),
    (("preprocessing", "fill"), 256, "preprocessing.fill: Input should be less than or equal"),
    (("classes",), ["cat"], "classes: Tuple should have at least 2 items"),
    (("classes",), ["cat", 5], "classes.1: Input should be a valid string"),
    (("classes",), "cat", "classes: Input should be a valid tuple"),
    (("recipe",), [], "recipe: Input should be a valid dictionary"),
    (("data",), None, "data: Input should be a valid dictionary"),
    (("data", "seed"), "zero", "data.seed: Input should be a valid integer"),
    (("data", "sizes"), {"train": 0.5}, "data.sizes.train: Input should be a valid integer"),
    (("environment",), "Linux", "environment: Input should be a valid dictionary"),
    (("training",), 5, "training: Input should be a valid dictionary"),
    (("surprise\x1b[2J",), 5, r"surprise\x1b[2J: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("keys", "value", "reason"), DAMAGE, ids=lambda part: str(part)[:30])
def test_each_damaged_field_is_named(
    run: Run, keys: tuple[str, ...], value: object, reason: str
) -> None:
    change(run, *keys, to=value)
    with pytest.raises(InputError, match=re.escape(f"run.json is damaged: {reason}")):
        open_run(run.path)


@pytest.mark.parametrize("key", sorted(make_document().model_dump()))
def test_each_missing_field_has_a_default_or_is_named(run: Run, key: str) -> None:
    document = json.loads((run.path / "run.json").read_text())
    del document[key]
    (run.path / "run.json").write_text(json.dumps(document))
    if key == "format":
        with pytest.raises(InputError, match=r"has format None; this version reads format 1"):
            open_run(run.path)
    elif key in {"status", "command", "environment", "compute", "training"}:
        open_run(run.path)
    else:
        with pytest.raises(InputError, match=rf"run\.json is damaged: {key}: Field required"):
            open_run(run.path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
def test_a_number_that_is_none_is_refused(run: Run, number: str) -> None:
    change(run, "training", "seconds", to=0)
    text = (run.path / "run.json").read_text()
    (run.path / "run.json").write_text(text.replace('"seconds": 0', f'"seconds": {number}'))
    with pytest.raises(InputError, match=r"run\.json is damaged: .*(number|400 digits)"):
        open_run(run.path)


def test_hostile_class_names_survive_as_they_are(run: Run) -> None:
    names = (*NAMES, os.fsdecode(b"caf\xe9"), "\x00", "")
    changed = run.with_changes(classes=names)
    assert open_run(run.path).document.classes == names == changed.document.classes


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"classes": 10**9}, "classes is 1000000000; allowed: .*100000"),
        ({"classes": 10**19}, "classes is 10000000000000000000; allowed: "),
        ({"classes": True}, "classes is True; allowed: a whole number"),
        ({"classes": 3, "input_size": 10**6}, "input_size is 1000000; allowed: "),
        (
            {"classes": 3, "channels": 3},
            "gives 1×32×32 pixels, but its model takes 3×32×32: ",
        ),
        ({"classes": 3, "input_size": 28}, "gives 1×32×32 pixels, but its model takes 1×28×28: "),
        ({"classes": 3, "code": "import os"}, "unknown argument of lenet5 'code'"),
        ({"classes": 3, "pool": {"layer": "os.system"}}, "layer"),
        ({"classes": 3, "pool": "max"}, "pool"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_arguments_that_do_not_fit_are_refused(run: Run, arguments: Json, reason: str) -> None:
    change(run, "model", "arguments", to=arguments)
    with pytest.raises(InputError, match=reason):
        load_model(run.path)


def test_an_unknown_model_lists_the_valid_ones(run: Run) -> None:
    change(run, "model", "name", to="os.system")
    with pytest.raises(InputError, match=r"unknown model 'os\.system':.* Valid: .*lenet5-1998"):
        load_model(run.path)


def test_another_number_of_classes_than_the_model_scores_is_refused(run: Run) -> None:
    change(run, "classes", to=["cat", "dog"])
    with pytest.raises(InputError, match="2 classes, but its model scores 3"):
        load_model(run.path)


@contextmanager
def largest_tensor() -> Iterator[list[int]]:
    """A context that notes the bytes of every tensor made in memory (not on meta)."""
    made = [0]

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.device.type != "meta":
                made.append(result.untyped_storage().nbytes())
            return result

    with Watch():  # type: ignore[no-untyped-call]
        yield made


def test_a_false_file_makes_no_large_tensor(run: Run) -> None:
    """100,000 classes are 34 MB in the last layer; the file has three."""
    with largest_tensor() as made:
        load_model(run.path)
    assert max(made) >= 4 * 48_000, "the watch sees C5"
    change(run, "classes", to=[str(i) for i in range(100_000)])
    change(run, "model", "arguments", to={"classes": 100_000})
    with largest_tensor() as made, pytest.raises(InputError, match="does not fit the model"):
        load_model(run.path)
    assert max(made) < 4096


def test_weights_that_are_not_there_yet_say_how_to_go_on(run: Run) -> None:
    run.weights.unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors is missing: is this a complete"):
        load_model(run.path)
    run.with_changes(status="training")
    with pytest.raises(InputError, match=r"holds no trained weights yet: `convscope train --resum"):
        load_model(run.path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_link, "is a link: put the file itself there"),
        (_pipe, "is no regular file"),
        (_folder, "is no regular file"),
        (lambda path: path.write_bytes(b""), "is damaged: its header claims"),
        (lambda path: path.write_bytes(pickle.dumps({"w": 1})), "is damaged: its header claims"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged: its tensors need"),
    ],
)
def test_weights_that_are_none_are_refused(run: Run, spoil: Any, reason: str) -> None:
    spoil(run.weights)
    with pytest.raises(InputError, match=f"weights.safetensors {reason}"):
        load_model(run.path)


def test_metrics_are_read_back(run: Run) -> None:
    assert read_metrics(run) == []
    rows = [{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 1e-300}]
    write_metrics(run, rows)
    assert read_metrics(run) == rows
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"loss": NaN}\n', "NaN is no JSON number"),
        ('{"loss": 1}\n{"lo', "Unterminated string"),
        ("[1]\n", "each line must be a JSON object"),
        ("\n", "Expecting value"),
    ],
)
def test_damaged_metrics_are_refused(run: Run, text: str, reason: str) -> None:
    (run.path / "metrics.jsonl").write_text(text)
    with pytest.raises(InputError, match=rf"metrics\.jsonl is damaged: {reason}"):
        read_metrics(run)


def test_the_split_is_read_back(run: Run) -> None:
    assert read_split(run) is None
    names = [*NAMES, os.fsdecode(b"caf\xe9.png")]
    write_split(run.path, names)
    assert read_split(run) == tuple(names)


@pytest.mark.parametrize("document", [[], {}, {"test": "a.png"}, {"test": [5]}, {"test": None}])
def test_a_damaged_split_is_refused(run: Run, document: object) -> None:
    (run.path / "split.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"split\.json is damaged: it must hold a list of names"):
        read_split(run)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that every example of a property test writes its `run.json` into."""
    return write_run(tmp_path_factory.mktemp("scratch"), make_document()).path


GOOD = make_document().model_dump(mode="json")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(leaves, lambda x: st.lists(x) | st.dictionaries(st.text(max_size=3), x))


def read_or_refuse(path: Path) -> None:
    """Nothing but an InputError may come of a run directory, and a run can be written again."""
    try:
        found = open_run(path)
        write_run(path, found.document)
        with torch.device("meta"):
            build_model(found.document)
    except InputError as error:
        message = str(error)
    else:
        assert open_run(path).document == found.document
        return
    assert len(message.splitlines()) == 1


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3), st.data())
@settings(deadline=None)
def test_any_changed_bytes_are_a_run_or_an_input_error(
    scratch: Path, changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    content = bytearray(json.dumps(GOOD, indent=1).encode())
    for position, value in changes:
        content[position % len(content)] = value
    cut = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    (scratch / "run.json").write_bytes(bytes(content[:cut]))
    read_or_refuse(scratch)


@given(st.data(), values)
@settings(deadline=None)
def test_any_value_in_any_field_is_a_run_or_an_input_error(
    scratch: Path, data: st.DataObject, value: object
) -> None:
    document = part = copy.deepcopy(GOOD)
    key = data.draw(st.sampled_from(sorted(part)))
    while isinstance(part[key], dict) and part[key] and data.draw(st.booleans()):
        part = part[key]
        key = data.draw(st.sampled_from([*sorted(part), "pool", "classes", "padding"]))
        part.setdefault(key, None)
    part[key] = value
    (scratch / "run.json").write_text(json.dumps(document))
    read_or_refuse(scratch)
