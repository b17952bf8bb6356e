"""The anatomy of a network: every layer's shape, receptive field and cost, with the formulas.

Connections are counted as in LeCun 1998: every unit's inputs and its bias, each time they are
used. Multiply-adds are products of an input with a weight, so pooling without
weights has none; an RBF's squared difference counts as one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from convscope import shapes
from convscope.errors import InputError
from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution, Table, table_text
from convscope.layers.facts import ELEMENTWISE, SILENT, Facts, facts_of, is_known
from convscope.layers.windows import Grid
from convscope.models.registry import build
from convscope.shapes import ReceptiveField, Window


@dataclass(frozen=True)
class LayerRow:
    """One layer, in the order of computation.

    Attributes:
        name: the module's name in the model.
        kind: what it is, in words (`convolution`, `max pooling`, …).
        activation: the activation that follows it, or None.
        output_shape: without the batch: (C, H, W) or (units,).
        receptive_field: (height, width) of the input that one unit sees; None where it is
            unknown. The whole input at most, but borders count.
        stride: (rows, columns) between the fields of neighbouring units; None where unknown.
        parameters: trainable and fixed ones; 0 where a layer is used again.
        connections, multiply_adds: for one image; None for layers of a kind not known here.
        formulas: how `size`, `receptive_field`, `parameters`, `connections` and `multiply_adds`
            were found, those that apply.
        table: for a convolution with a connection table, the input maps of each output map.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    activation: str | None = None
    receptive_field: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    connections: int | None = None
    multiply_adds: int | None = None
    formulas: Mapping[str, str] = field(default_factory=dict)
    table: Table | None = None

    def table_text(self) -> str:
        """The connection table as text, or an empty text where there is none."""
        return "" if self.table is None else table_text(self.table)


@dataclass(frozen=True)
class Anatomy:
    """A network, layer by layer.

    Attributes:
        model: its name, or the name of its class.
        input_shape: channels, height and width of its input.
        layers: the rows. An activation stands in the row of the layer before it.
        parameters: of the whole model.
        connections, multiply_adds: the sums over all layers of known kinds, for one image.
    """

    model: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerRow, ...]
    parameters: int
    connections: int
    multiply_adds: int

    def to_json(self) -> dict[str, Any]:
        """The same as plain dictionaries, lists, numbers and texts."""
        data: dict[str, Any] = _plain(asdict(self))
        return data


def anatomy(
    model: str | nn.Module, input_shape: tuple[int, int, int] | None = None, **arguments: Any
) -> Anatomy:
    """The anatomy of a model by name, or of any module.

    A named model is built without allocating its weights. A module runs once on one image of
    zeros, in evaluation mode, and is left as it was. Receptive fields follow a chain of layers;
    where a network branches they are None.

    Args:
        model: a registered name, or a module that takes N × C × H × W.
        input_shape: channels, height and width; by default the model's own. A named model takes
            square inputs.
        arguments: of a named model, as for `convscope.models.build`.

    Raises:
        InputError: an unknown name or argument, an input that the model cannot take, or a module
            without `input_shape` when none is given.

    >>> lenet = anatomy("lenet5-1998")
    >>> lenet.parameters, lenet.connections
    (60000, 340908)
    >>> lenet.layers[0].formulas["connections"]
    '28·28·156 = 122304'
    """
    if isinstance(model, str):
        name = model
        with torch.device("meta"):
            model = build(name, arguments | _input_arguments(input_shape))
    else:
        name = type(model).__name__
        if arguments:
            raise InputError(
                f"arguments ({', '.join(arguments)}) are given with a module; they are for "
                "models by name"
            )
    shape = _input_shape(model, input_shape)
    rows = _trace(model, shape)
    return Anatomy(
        model=name,
        input_shape=shape,
        layers=tuple(rows),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        connections=sum(row.connections or 0 for row in rows),
        multiply_adds=sum(row.multiply_adds or 0 for row in rows),
    )


def _input_arguments(input_shape: tuple[int, int, int] | None) -> dict[str, int]:
    if input_shape is None:
        return {}
    channels, height, width = _checked_shape(input_shape)
    if height != width:
        raise InputError(f"the input is {height}×{width}; models by name take square inputs")
    return {"channels": channels, "input_size": height}


def _input_shape(model: nn.Module, given: tuple[int, int, int] | None) -> tuple[int, int, int]:
    shape = getattr(model, "input_shape", None) if given is None else given
    if shape is None:
        raise InputError(
            f"{type(model).__name__} does not say what it takes; give input_shape (C, H, W)"
        )
    return _checked_shape(shape)


def _checked_shape(shape: object) -> tuple[int, int, int]:
    if isinstance(shape, tuple | list) and len(shape) == 3:
        channels, height, width = shape
        if all(isinstance(n, int) and 1 <= n <= 65_536 for n in shape):
            return channels, height, width
    raise InputError(
        f"input_shape is {shape!r}; allowed: channels, height and width, each from 1 to 65536"
    )


class _Tracer:
    """Builds rows as layers report, and follows the receptive field along the chain."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.rows: list[LayerRow] = []
        self.seen: set[nn.Module] = set()
        self.shape: tuple[int, ...] = shape
        start = ReceptiveField(1, 1, 0, "")
        self.fields: tuple[ReceptiveField, ReceptiveField] | None = (start, start)

    def report(self, name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
        if isinstance(module, SILENT):
            return
        if isinstance(module, ELEMENTWISE):
            self._activation(module)
            return
        before, after = tuple(x.shape[1:]), tuple(y.shape[1:])
        if before != self.shape and before != (torch.Size(self.shape).numel(),):
            self.fields = None  # not the output of the layer before: the chain is broken
        facts = facts_of(module, before, after)
        formulas = dict(facts.formulas)
        self._grow(facts, formulas)
        parameters = sum(p.numel() for p in module.parameters(recurse=is_known(module)))
        if module in self.seen:
            parameters = 0
            formulas["parameters"] = "0, counted where it was used first"
        self.seen.add(module)
        if facts.grids is None or facts.sees_everything or len(after) == 3:
            self.shape = after  # else flattened maps, whose height and width still count
        fields = self.fields
        self.rows.append(
            LayerRow(
                name=name,
                kind=facts.kind,
                output_shape=after,
                parameters=parameters,
                receptive_field=None if fields is None else (fields[0].size, fields[1].size),
                stride=None if fields is None else (fields[0].stride, fields[1].stride),
                connections=facts.connections,
                multiply_adds=facts.multiply_adds,
                formulas=formulas,
                table=module.table if isinstance(module, Convolution) else None,
            )
        )

    def _activation(self, module: nn.Module) -> None:
        kind = module.activation.kind if isinstance(module, Activate) else type(module).__name__
        if self.rows and kind != "identity":
            last = self.rows[-1]
            both = kind if last.activation is None else f"{last.activation}, {kind}"
            values = {f: getattr(last, f) for f in last.__dataclass_fields__}
            self.rows[-1] = LayerRow(**(values | {"activation": both}))

    def _grow(self, facts: Facts, formulas: dict[str, str]) -> None:
        """Extend the receptive field by the windows of a layer, and note the formulas."""
        if facts.grids is None or self.fields is None:
            self.fields = None
            return
        grids = facts.grids
        if facts.sees_everything and len(self.shape) == 3:
            _, height, width = self.shape
            grids = (Grid(Window(height), Window(width)),)
        if len(self.shape) != 3 or not grids:
            return
        _, height, width = self.shape
        sizes, fields = [], []
        for grid in grids:
            rows = shapes.extend_field(self.fields[0], grid.rows, height)
            columns = shapes.extend_field(self.fields[1], grid.columns, width)
            self.fields = (rows, columns)
            height_size = shapes.output_size(height, grid.rows)
            width_size = shapes.output_size(width, grid.columns)
            sizes.append(_both(height_size.formula, width_size.formula))
            fields.append(_both(rows.formula, columns.formula))
            height, width = height_size.size, width_size.size
        if not facts.sees_everything:
            formulas["size"] = "; ".join(sizes)
        formulas["receptive_field"] = "; ".join(fields)


def _both(rows: str, columns: str) -> str:
    return rows if rows == columns else f"rows {rows}, columns {columns}"


def _trace(model: nn.Module, shape: tuple[int, int, int]) -> list[LayerRow]:
    tracer = _Tracer(shape)

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def report(module: nn.Module, inputs: Any, output: Any) -> None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                tracer.report(name, module, inputs[0], output)

        return report

    handles = [layer.register_forward_hook(hook(name)) for name, layer in _layers(model, "")]
    modes = {module: module.training for module in model.modules()}
    first = next(model.parameters(), torch.zeros(0))
    image = torch.zeros((1, *shape), dtype=first.dtype, device=first.device)
    try:
        with torch.no_grad():
            model.eval()(image)
    except InputError:
        raise
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        size = "×".join(map(str, shape))
        raise InputError(f"the model cannot take an input of {size}: {reason}") from error
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return tracer.rows


def _layers(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules that are layers: known ones, those without parts, those with own parameters."""
    children = list(module.named_children())
    own = next(module.parameters(recurse=False), None) is not None
    if is_known(module) or not children or own:
        yield name or type(module).__name__, module
    if not is_known(module):
        for child_name, child in children:
            yield from _layers(child, f"{name}.{child_name}" if name else child_name)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
