"""The benches against torch's own functions, naive loops and hand-made grids."""

import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from convscope.errors import InputError
from convscope.lab.bench import pad_bench, pool_bench
from convscope.layers.padding import Pad
from convscope.layers.pooling import Pool
from convscope.web.answers import json_bytes

GRID = [[1.0, 5.0, 2.0, 0.0], [3.0, -4.0, 8.0, 1.0], [0.0, 2.0, 2.0, 9.0], [7.0, 1.0, 0.5, 3.0]]


def grids(rows: int, columns: int) -> st.SearchStrategy[list[list[float]]]:
    number = st.floats(-50, 50, allow_nan=False, width=32)
    return st.lists(
        st.lists(number, min_size=columns, max_size=columns), min_size=rows, max_size=rows
    )


def test_max_pooling_by_hand() -> None:
    found = pool_bench({"values": GRID, "kind": "max", "size": 2, "stride": 2, "padding": 0})
    assert found["output"] == [[5, 8], [7, 9]]
    assert found["winners"] == [[[0, 1], [1, 2]], [[3, 0], [2, 3]]]
    expected = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]]
    assert found["gradient"] == expected
    assert found["padded"] is None
    assert found["discarded"] == {"rows": 0, "columns": 0, "formula": "4 + 0 − ((2 − 1)·2 + 2) = 0"}
    assert found["formula"] == "⌊(4 + 0 − 2)/2⌋ + 1 = 2"
    assert found["code"] == "Pool('max', stride=2)"


def test_discarded_rows_and_columns_are_told_apart() -> None:
    values = [[float(r * 6 + c) for c in range(6)] for r in range(5)]
    found = pool_bench({"values": values, "kind": "max", "size": 2})
    assert (found["shape"], found["discarded"]["rows"], found["discarded"]["columns"]) == (
        [2, 3],
        1,
        0,
    )
    assert found["formula"].startswith("rows ⌊(5 + 0 − 2)/2⌋ + 1 = 2, columns ⌊(6")


def test_what_pads_max_pooling_is_no_number() -> None:
    """−∞, which JSON cannot hold: null. It never wins, though every value is negative."""
    values = [[-5.0, -6.0], [-7.0, -8.0]]
    found = pool_bench({"values": values, "kind": "max", "size": 3, "stride": 1, "padding": 1})
    assert found["output"] == [[-5, -5], [-5, -5]]
    assert found["winners"] == [[[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    assert found["gradient"] == [[4, 0], [0, 0]]
    shown = json.loads(json_bytes(found))["padded"]
    assert shown[0] == [None] * 4
    assert shown[1] == [None, -5, -6, None]


@pytest.mark.parametrize(("counts", "corner", "border"), [(False, 3.0, None), (True, 12 / 9, 0.0)])
def test_average_padding_counts_or_not(counts: bool, corner: float, border: float | None) -> None:
    """A corner window sees four 3s: their mean is 3, or 12/9 with five zeros of padding."""
    request = {"values": [[3.0] * 3] * 3, "kind": "average", "size": 3, "stride": 1, "padding": 1}
    found = pool_bench(request | {"count_padding": counts})
    assert found["output"][0][0] == pytest.approx(corner)
    assert json.loads(json_bytes(found))["padded"][0][0] == border


def test_min_pooling_takes_the_least() -> None:
    found = pool_bench({"values": GRID, "kind": "min", "size": 2})
    assert found["output"] == [[-4, 0], [0, 0.5]]
    assert found["winners"] == [[[1, 1], [0, 3]], [[2, 0], [3, 2]]]


def test_subsampling_has_a_coefficient_and_a_bias() -> None:
    request = {"values": GRID, "kind": "subsampling", "size": 2}
    assert pool_bench(request)["output"] == [[1.25, 2.75], [2.5, 3.625]]
    found = pool_bench(request | {"coefficient": 2.0, "bias": -1.0})
    assert found["output"] == [[9, 21], [19, 28]]
    assert found["gradient"] == [[2] * 4] * 4


@given(grids(7, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 1))
def test_pooling_equals_torch(
    values: list[list[float]], size: int, stride: int, padding: int
) -> None:
    padding = min(padding, size // 2)
    x = torch.tensor(values, dtype=torch.float64)[None, None].requires_grad_()
    request = {"values": values, "size": size, "stride": stride, "padding": padding}
    functions: dict[str, Any] = {
        "max": lambda: F.max_pool2d(x, size, stride, padding),
        "average": lambda: F.avg_pool2d(x, size, stride, padding, count_include_pad=False),
    }
    for kind, function in functions.items():
        expected = function()
        found = pool_bench(request | {"kind": kind})
        assert torch.allclose(torch.tensor(found["output"], dtype=torch.float64), expected[0, 0])
        (gradient,) = torch.autograd.grad(expected.sum(), x)
        assert torch.allclose(torch.tensor(found["gradient"], dtype=torch.float64), gradient[0, 0])


@given(grids(6, 7), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["valid", "same"]))
def test_a_winner_holds_the_output_and_lies_in_its_window(
    values: list[list[float]], size: int, stride: int, padding: str
) -> None:
    found = pool_bench(
        {"values": values, "kind": "max", "size": size, "stride": stride, "padding": padding}
    )
    for i, row in enumerate(found["winners"]):
        for j, (r, c) in enumerate(row):
            assert values[r][c] == pytest.approx(found["output"][i][j], abs=1e-12)
            if padding == "valid":
                assert i * stride <= r < i * stride + size
                assert j * stride <= c < j * stride + size


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("l2", {}),
        ("lp", {"p": 3.0}),
        ("stochastic", {}),
        ("mixed", {"mix": 0.25}),
        ("blur", {"blur": 3}),
        ("global-average", {}),
        ("global-max", {}),
        ("none", {}),
    ],
)
def test_every_other_kind_gives_what_its_layer_gives(kind: str, extra: dict[str, Any]) -> None:
    settings: dict[str, Any] = (
        {} if kind.startswith("global") or kind == "none" else {"kernel": 2, "stride": 1}
    )
    layer = Pool(kind, **settings, **extra).build(1).double().eval()
    expected = layer(torch.tensor(GRID, dtype=torch.float64)[None, None])[0, 0]
    found = pool_bench({"values": GRID, "kind": kind, "size": 2, "stride": 1} | extra)
    assert torch.allclose(torch.tensor(found["output"], dtype=torch.float64), expected)
    assert found["shape"] == list(expected.shape)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("border", ["valid", "same", "full", "explicit"])
def test_padding_equals_torch(mode: str, border: str) -> None:
    """numpy's names for the same borders are the reference for what fills them."""
    import numpy as np

    values = torch.arange(20, dtype=torch.float64).view(5, 4)
    kernel = [[1.0, 2.0, 0.0], [0.0, -1.0, 3.0], [2.0, 0.0, 1.0]]
    sides = {"valid": 0, "same": 1, "full": 2, "explicit": 2}[border]
    request = {"values": values.tolist(), "border": border, "mode": mode, "kernel": kernel}
    found = pad_bench(request | ({"sides": 2} if border == "explicit" else {}))
    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    expected = np.pad(values.numpy(), sides, mode=modes[mode])  # type: ignore[call-overload]
    assert np.array_equal(np.array(found["padded"]), expected)
    inside = np.zeros(expected.shape, dtype=bool)
    inside[sides : sides + 5, sides : sides + 4] = True
    assert np.array_equal(np.array(found["is_border"]), ~inside)
    output = F.conv2d(
        torch.from_numpy(expected)[None, None],
        torch.tensor(kernel, dtype=torch.float64)[None, None],
    )[0, 0]
    assert torch.allclose(torch.tensor(found["output"], dtype=torch.float64), output)


def test_the_formula_and_the_code_of_padding() -> None:
    request = {"values": [[1.0] * 28] * 28, "border": "explicit", "sides": 1, "stride": 2}
    found = pad_bench(request | {"kernel": [[1.0] * 5] * 5, "mode": "reflect"})
    assert found["formula"] == "⌊(28 + 2 − 5)/2⌋ + 1 = 13"
    assert (found["discarded"]["rows"], found["discarded"]["columns"]) == (0, 0)
    assert found["code"] == (
        "Convolution(1, 1, (5, 5), stride=2, pad=Pad('explicit', mode='reflect', sides=1))"
    )


@pytest.mark.parametrize("border", ["valid", "same", "full", "explicit"])
def test_the_code_line_means_what_was_shown(border: str) -> None:
    """It is run: the line that the bench gives makes the layer that gives its output."""
    from convscope.layers.convolution import Convolution

    values = [[float(r * c % 5) for c in range(8)] for r in range(9)]
    kernel = [[1.0, -1.0], [0.5, 2.0]]
    request = {"values": values, "border": border, "mode": "replicate", "kernel": kernel}
    found = pad_bench(request | {"stride": 2} | ({"sides": 1} if border == "explicit" else {}))
    layer = eval(found["code"], {"Convolution": Convolution, "Pad": Pad})  # noqa: S307
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(kernel))
        layer.bias.zero_()
        expected = layer(torch.tensor(values)[None, None])[0, 0]
    assert torch.allclose(torch.tensor(found["output"]), expected)
    pool = pool_bench({"values": values, "kind": "average", "size": 3, "padding": "same"})
    again = eval(pool["code"], {"Pool": Pool}).build(1)  # noqa: S307
    expected = again(torch.tensor(values)[None, None])[0, 0]
    assert torch.allclose(torch.tensor(pool["output"]), expected)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, r"values is None; allowed: rows of numbers"),
        ({"values": []}, r"values is \[\]; allowed: rows of numbers"),
        ({"values": [[]]}, "allowed: rows of numbers"),
        ({"values": [[1], [2, 3]]}, "rows of different lengths"),
        ({"values": [[1.0] * 65]}, "more than 64 rows or columns"),
        ({"values": [["1"]]}, "a number of values is '1'; allowed: a number"),
        ({"values": [[math.nan]]}, "a number of values is nan"),
        ({"values": [[True]]}, "a number of values is True"),
        ({"values": [[10**30]]}, "allowed: a number from -1e"),
        ({"values": GRID, "kind": "maximum"}, "unknown pooling 'maximum'"),
        ({"values": GRID, "kind": ["max"]}, "unknown pooling"),
        ({"values": GRID, "size": 0}, "pooling kernel is 0"),
        ({"values": GRID, "size": 5}, "a window of 5 does not fit into 4"),
        ({"values": GRID, "size": 2, "padding": 2}, "pooling padding is 2 for a window of 2"),
        ({"values": GRID, "size": [1, 2, 3]}, "has 3 numbers"),
        ({"values": GRID, "size": 600, "padding": "full"}, "too large for the bench"),
        ({"values": GRID, "size": 2, "p": 3}, "does not use p"),
        ({"values": GRID, "kind": "subsampling", "bias": "x"}, "bias is 'x'"),
    ],
)
def test_what_cannot_be_pooled_is_said_in_words(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        pool_bench(request_)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"values": GRID, "border": "some"}, "unknown padding 'some'"),
        ({"values": GRID, "mode": "mirror"}, "unknown padding mode 'mirror'"),
        ({"values": GRID, "border": "explicit", "sides": -1}, "padding sides is -1"),
        ({"values": GRID, "border": "explicit", "sides": 1000}, "padding sides is 1000"),
        ({"values": GRID, "border": "explicit", "sides": 4, "mode": "reflect"}, "at most 3"),
        ({"values": GRID, "border": "explicit", "sides": 5, "mode": "circular"}, "at most 4"),
        ({"values": GRID, "stride": 0.5}, "stride is 0.5"),
        ({"values": GRID, "kernel": [[1.0] * 9] * 9}, "a window of 9 does not fit into 4"),
        ({"values": GRID, "kernel": "x"}, "kernel is 'x'"),
    ],
)
def test_what_cannot_be_padded_is_said_in_words(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        pad_bench(request_)
