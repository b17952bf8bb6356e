"""The house has directions: dependencies point one way, and nothing heavy is loaded too early."""

import ast
import graphlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import convscope

ROOT = Path(convscope.__file__).parent

BASE = "errors text"
FILES = f"{BASE} files documents"

# What each part may import, besides itself. A part is a folder or a file of the package. A new
# part gets a line here, and with it a place in the house.
ALLOWED = {
    "version": "",
    "seeds": "",
    "errors": "text",
    "text": "",
    "kernels": BASE,
    "environment": f"{BASE} kernels",
    "files": BASE,
    "documents": BASE,
    "shapes": BASE,
    "layers": f"{BASE} shapes kernels",
    "models": f"{BASE} shapes layers",
    "model_summary": f"{BASE} shapes layers models",
    "weights": FILES,
    "data": f"{FILES} seeds environment kernels",
    "evaluation": f"{BASE} files seeds data layers",
    "run": f"{FILES} weights data models",
    "explain": f"{FILES} shapes data layers models model_summary run",
    "onnx_file": f"{FILES} data",
    "predictors": f"{FILES} data evaluation run onnx_file",
    "predictor": f"{BASE} run predictors",
    "prediction": f"{FILES} data run predictor",
    "prediction_output": f"{BASE} prediction",
    "comparison": f"{FILES} evaluation run",
    "checking": f"{FILES} data",
    "training": f"{FILES} seeds environment kernels layers models weights data evaluation run",
    "recipes": f"{BASE} data training",
    "listing": f"{BASE} data models recipes",
    "events": "evaluation training",
    "reporting": f"{FILES} layers data evaluation explain model_summary run events",
    "tracking": f"{BASE} files evaluation events run training",
    "run_setup": f"{FILES} version environment data models run training",
    "run_data": f"{FILES} data run training events run_setup",
    "pipeline": f"{FILES} environment data evaluation run training recipes events reporting "
    "run_setup run_data tracking",
    "exporting": f"{FILES} shapes layers data evaluation run comparison onnx_file predictors",
    "shipping": f"{FILES} version data run comparison exporting run_data reporting events",
    "terminal": BASE,
    "tuning": f"{FILES} seeds data evaluation run training events run_setup run_data pipeline "
    "terminal",
    "studies": f"{FILES} seeds environment layers models model_summary data evaluation run "
    "training recipes events run_setup",
    "printing": f"{BASE} documents comparison terminal events training",
    "printing_studies": "text studies",
    "web": f"{BASE} documents",
    "lab": f"{FILES} web environment shapes weights layers model_summary data evaluation predictor "
    "explain run listing events reporting comparison pipeline run_data",
    "serving": f"{BASE} version environment data evaluation comparison run predictor web",
    "processes": "errors",
    "cli_options": "",
    "cli_cache": "cli_options data printing",
    "cli_explain": f"{BASE} explain run run_data printing",
    "cli_export": "cli_options printing shipping",
    "cli_lab": "errors text lab",
    "cli_predict": f"{BASE} predictor prediction prediction_output terminal",
    "cli_serve": "errors serving",
    "cli_study": "cli_options studies printing printing_studies",
    "cli_tune": "text cli_options printing tuning",
    "cli": f"{BASE} cli_options cli_cache cli_explain cli_export cli_lab cli_predict cli_serve "
    "cli_study cli_tune terminal printing pipeline checking comparison data environment listing "
    "model_summary processes",
    "__main__": "cli",
    "__init__": "",
}

# For the type checker alone, these may look up: they show what others made, or name it.
UPWARD_TYPES = {"__init__", "printing", "printing_studies", "terminal"}


@dataclass(frozen=True)
class Import:
    """One import of a module of convscope: by whom, of what, and when it happens."""

    source: str
    target: str
    types_only: bool = False
    later: bool = False

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and parts[:-1] else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def targets(node: ast.AST) -> Iterator[str]:
    """Full names of what an import statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def walk(node: ast.AST, types_only: bool, later: bool) -> Iterator[tuple[str, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        for name in targets(child):
            yield name, types_only, later
        guard = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from walk(child, types_only or guard, later or inside)


def module_of(name: str) -> str:
    """The module of ours that a full name lies in."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts) or "__init__"


IMPORTS = [
    Import(module, module_of(name), types_only, later)
    for module, path in MODULES.items()
    for name, types_only, later in walk(ast.parse(path.read_text("utf-8")), False, False)
    if name.split(".")[0] == "convscope"
]
RUNNING = [found for found in IMPORTS if not found.types_only]


def part(module: str) -> str:
    return module.split(".")[0]


def reached(start: str) -> set[str]:
    """Every module that `start` imports, itself or through others, at once or later."""
    found, waiting = set[str](), {start}
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= {one.target for one in RUNNING if one.source == module} - found
    return found


def fresh(code: str) -> set[str]:
    """Top-level modules loaded after `code` ran in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, json\n{code}\nprint(json.dumps(list(sys.modules)))"],
        capture_output=True,
        check=True,
        text=True,
    )
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_the_walk_sees_the_imports() -> None:
    assert len(MODULES) > 50
    assert Import("run", "weights") in IMPORTS
    assert Import("layers.padding", "shapes") in IMPORTS
    assert Import("run_setup", "models") in IMPORTS
    assert Import("cli_predict", "prediction", later=True) in IMPORTS
    assert Import("terminal", "training.progress", types_only=True) in IMPORTS


def test_every_part_has_a_place_in_the_house() -> None:
    assert {part(module) for module in MODULES} == set(ALLOWED)


def test_dependencies_point_one_way() -> None:
    wrong = [
        str(found)
        for found in RUNNING
        if part(found.target) not in {part(found.source), *ALLOWED[part(found.source)].split()}
    ]
    assert not wrong


def test_the_table_itself_has_no_circle_and_no_dead_word() -> None:
    table = {name: set(words.split()) for name, words in ALLOWED.items()}
    assert set().union(*table.values()) <= set(table)
    list(graphlib.TopologicalSorter(table).static_order())  # raises CycleError


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {module: set[str]() for module in MODULES}
    for found in RUNNING:
        if not found.later:
            graph[found.source].add(found.target)
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_only_those_who_show_results_look_up_for_types() -> None:
    up = [
        str(found)
        for found in IMPORTS
        if found.types_only
        and part(found.source) not in UPWARD_TYPES
        and part(found.target) not in {part(found.source), *ALLOWED[part(found.source)].split()}
    ]
    assert not up


@pytest.mark.parametrize(
    "start", ["explain.activations", "explain.filters", "prediction", "predictor", "exporting.onnx"]
)
def test_what_reads_a_run_never_reaches_training(start: str) -> None:
    assert not {part(module) for module in reached(start)} & {"training", "recipes", "pipeline"}


def test_nothing_imports_the_command_line() -> None:
    assert {found.source for found in IMPORTS if found.target == "cli"} == {"__main__"}


def test_data_without_torch() -> None:
    """Prediction needs images and preprocessing, and no torch for them."""
    with_torch = {
        module
        for module, path in MODULES.items()
        for name, _, _ in walk(ast.parse(path.read_text("utf-8")), False, False)
        if name.split(".")[0] == "torch" and part(module) in {"data", "shapes", "text", "errors"}
    }
    assert with_torch == {"data.augment", "data.batches", "data.colour"}
    loaded = fresh(
        "import convscope.data.preprocess, convscope.data.images, convscope.data.folder\n"
        "import convscope.data.catalog, convscope.data.loading, convscope.data.archive"
    )
    assert {"numpy", "PIL"} <= loaded
    assert not {"torch", "matplotlib"} & loaded


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        ("import convscope", {"torch", "numpy", "pydantic", "matplotlib", "PIL", "typer", "rich"}),
        ("import convscope; dir(convscope)", {"torch", "numpy", "pydantic", "matplotlib"}),
        ("import convscope.cli", {"torch", "numpy", "pydantic", "matplotlib", "PIL", "rich"}),
        ("import convscope.shapes", {"torch", "numpy"}),
        ("import convscope.training.fit", {"matplotlib", "mlxtend"}),
        ("import convscope.prediction", {"torch", "matplotlib", "mlxtend", "typer", "rich"}),
        ("import convscope.predictor", {"torch", "matplotlib", "typer", "rich", "onnxruntime"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str, banned: set[str]) -> None:
    assert not fresh(code) & banned


def test_help_loads_nothing_heavy() -> None:
    loaded = fresh(
        "import convscope.cli as cli\nsys.argv = ['convscope', '--help']\n"
        "try: cli.main()\nexcept SystemExit as end: assert end.code == 0"
    )
    assert "typer" in loaded
    assert not {"torch", "numpy", "pydantic", "matplotlib", "PIL"} & loaded


@pytest.mark.slow
def test_help_answers_in_less_than_three_tenths_of_a_second() -> None:
    """The median of five fresh starts. A busy machine is asked again, the bar stays."""

    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "convscope", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - started

    medians = []
    for _ in range(4):
        medians.append(statistics.median(seconds() for _ in range(5)))
        if medians[-1] < 0.3:
            return
        time.sleep(2)
    raise AssertionError(f"medians of five starts: {medians}")


@pytest.mark.parametrize("name", convscope.__all__)
def test_every_public_name_is_there_and_is_no_module(name: str) -> None:
    value = getattr(convscope, name)
    assert not isinstance(value, type(convscope)), "a module hides the verb of its name"
    assert callable(value) or isinstance(value, str)
    assert name in dir(convscope)


def test_the_public_names_are_those_the_type_checker_sees() -> None:
    seen = {
        (module_of(name), name.rpartition(".")[2])
        for name, types_only, _ in walk(ast.parse((ROOT / "__init__.py").read_text()), False, False)
        if types_only
    }
    assert seen == {(home, name) for name, home in convscope._HOME.items()}


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'convscope' has no attribute 'trian'"):
        convscope.trian  # noqa: B018
