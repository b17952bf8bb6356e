"""Sizes in whole numbers against walking, hand-computed cases and published networks."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope import shapes
from convscope.errors import InputError
from convscope.shapes import Window


def walk(size: int, window: Window) -> list[int]:
    """Where each window starts, in input coordinates, by walking along the padded axis."""
    before, after, _ = shapes.split_padding(size, window)
    end, starts = size + before + after, [0]
    while True:
        following = starts[-1] + window.stride
        if window.ceil:
            if starts[-1] + window.effective_kernel >= end or following >= size + before:
                break
        elif following + window.effective_kernel > end:
            break
        starts.append(following)
    return [start - before for start in starts]


@st.composite
def windows_on_sizes(draw: st.DrawFn) -> tuple[int, Window]:
    kernel, dilation = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    span = dilation * (kernel - 1) + 1
    padding = draw(
        st.one_of(
            st.sampled_from(["valid", "same", "full"]),
            st.integers(0, span - 1),
            st.tuples(st.integers(0, span - 1), st.integers(0, span - 1)),
        )
    )
    window = Window(kernel, draw(st.integers(1, 5)), dilation, padding, draw(st.booleans()))
    return draw(st.integers(span, 40)), window


@given(windows_on_sizes())
def test_output_size_and_discarded_equal_walking(case: tuple[int, Window]) -> None:
    size, window = case
    starts = walk(size, window)
    assert shapes.output_size(size, window).size == len(starts)
    reached = max(starts[-1] + window.effective_kernel, 0)
    assert shapes.discarded(size, window).elements == max(size - reached, 0)


@given(windows_on_sizes())
def test_formulas_end_in_their_result(case: tuple[int, Window]) -> None:
    size, window = case
    out = shapes.output_size(size, window)
    assert out.formula.endswith(f"= {out.size}")
    lost = shapes.discarded(size, window)
    assert lost.formula.endswith((f"= {lost.elements}", "so 0"))


@given(windows_on_sizes())
def test_window_counts_equal_walking(case: tuple[int, Window]) -> None:
    size, window = case
    before, after, _ = shapes.split_padding(size, window)
    taps = [[s + i * window.dilation for i in range(window.kernel)] for s in walk(size, window)]
    inside = tuple(sum(0 <= tap < size for tap in position) for position in taps)
    padded = tuple(sum(-before <= tap < size + after for tap in position) for position in taps)
    assert shapes.window_counts(size, window) == inside
    assert shapes.window_counts(size, window, padding_counts=True) == padded


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 5), st.integers(1, 3))
def test_same_gives_size_over_stride_with_the_extra_element_last(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    window = Window(kernel, stride, dilation, "same")
    split = shapes.split_padding(size, window)
    assert split.after - split.before in (0, 1)
    assert shapes.output_size(size, window).size == -(-size // stride)
    assert len(walk(size, window)) == -(-size // stride)
    # With one element of padding less, a window fewer fits.
    if split.after:
        less = Window(kernel, stride, dilation, (split.before, split.after - 1))
        total = size + split.before + split.after - 1
        fits = total >= window.effective_kernel
        assert not fits or shapes.output_size(size, less).size < -(-size // stride)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "before", "after"),
    [
        # total = max((⌈size/stride⌉ − 1)·stride + span − size, 0), worked by hand
        (28, 5, 1, 1, 2, 2),  # 27 + 5 − 28 = 4
        (28, 2, 1, 1, 0, 1),  # 27 + 2 − 28 = 1
        (28, 4, 1, 1, 1, 2),  # 27 + 4 − 28 = 3
        (28, 2, 2, 1, 0, 0),  # 26 + 2 − 28 = 0
        (5, 2, 2, 1, 0, 1),  # 4 + 2 − 5 = 1
        (28, 3, 2, 1, 0, 1),  # 26 + 3 − 28 = 1
        (27, 3, 2, 1, 1, 1),  # 26 + 3 − 27 = 2
        (224, 7, 2, 1, 2, 3),  # 222 + 7 − 224 = 5, ResNet's first layer in TensorFlow
        (224, 11, 4, 1, 3, 4),  # 220 + 11 − 224 = 7
        (10, 3, 1, 2, 2, 2),  # 9 + 5 − 10 = 4
        (10, 2, 1, 3, 1, 2),  # 9 + 4 − 10 = 3
        (10, 1, 3, 1, 0, 0),  # 9 + 1 − 10 = 0
        (2, 7, 1, 1, 3, 3),  # 1 + 7 − 2 = 6: larger than the input
        (13, 6, 5, 1, 1, 2),  # the example of TensorFlow's guide: 10 + 6 − 13 = 3
    ],
)
def test_same_splits_as_tensorflow(
    size: int, kernel: int, stride: int, dilation: int, before: int, after: int
) -> None:
    split = shapes.split_padding(size, Window(kernel, stride, dilation, "same"))
    assert split[:2] == (before, after)


def test_alexnet_sizes() -> None:
    # 224 gives 55 only by ceil; with a floor it takes 227.
    assert shapes.output_size(227, Window(11, 4)).size == 55
    assert shapes.output_size(224, Window(11, 4, ceil=True)).size == 55
    assert shapes.output_size(224, Window(11, 4)).size == 54
    assert shapes.discarded(224, Window(11, 4)).elements == 1
    assert [shapes.output_size(n, Window(3, 2)).size for n in (55, 27, 13)] == [27, 13, 6]


def test_receptive_fields_of_the_published_networks() -> None:
    lenet = [Window(5), Window(2, 2), Window(5), Window(2, 2), Window(5)]
    fields = [shapes.receptive_field(lenet[: i + 1], 32) for i in range(5)]
    assert [field.size for field in fields] == [5, 6, 14, 16, 32]
    assert [field.stride for field in fields] == [1, 2, 2, 4, 4]
    pool, three = Window(3, 2), Window(3, padding=1)
    alexnet = [Window(11, 4), pool, Window(5, padding=2), pool, three, three, three, pool]
    fields = [shapes.receptive_field(alexnet[: i + 1], 227) for i in range(8)]
    assert [field.size for field in fields] == [11, 19, 51, 67, 99, 131, 163, 195]
    assert fields[-1].stride == 32


def test_receptive_field_starts_inside_the_padding() -> None:
    field = shapes.receptive_field([Window(5, padding="same"), Window(2, 2), Window(3, 1, 2, 2)], 8)
    # start: 0 − 2·1 = −2, − 0·1 = −2, − 2·2 = −6
    assert field[:3] == (5 + 1 + 4 * 2, 2, -6)
    assert shapes.receptive_field([], 8)[:3] == (1, 1, 0)


@pytest.mark.parametrize("windows", [[Window(3)], [Window(2, 2), Window(3, padding="same")]])
def test_receptive_field_formula_ends_in_its_start(windows: list[Window]) -> None:
    field = shapes.receptive_field(windows, 9)
    assert field.formula.endswith(f"= {field.start}")
    assert f"= {field.size}," in field.formula


def test_a_window_that_does_not_fit_says_what_would() -> None:
    with pytest.raises(InputError, match=r"a window of 5 does not fit into 3 .*at least 5"):
        shapes.output_size(3, Window(5))
    with pytest.raises(InputError, match=r"does not fit into 5 \(3 and 2 .*at least 7"):
        shapes.output_size(3, Window(5, dilation=2, padding=1))


@pytest.mark.parametrize("name", ["kernel", "stride", "dilation"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, None, 10**7])
def test_window_rejects_bad_numbers(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*; allowed: a whole number from 1 to"):
        Window(**{"kernel": 2, name: value})  # type: ignore[arg-type]


def test_window_rejects_bad_padding() -> None:
    with pytest.raises(InputError, match="unknown padding 'sam': did you mean 'same'"):
        Window(2, padding="sam")
    with pytest.raises(InputError, match="padding has 3 numbers"):
        Window(2, padding=(1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="padding is -1; allowed: a whole number from 0"):
        Window(2, padding=-1)
    with pytest.raises(InputError, match="size is 0; allowed"):
        shapes.output_size(0, Window(1))


def test_shapes_needs_no_torch() -> None:
    code = (
        "import sys, convscope.shapes; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
