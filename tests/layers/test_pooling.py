"""Every pooling against loops, values and gradients, over random windows."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_windows import Axis, Reduce, naive_pool
from torch import Tensor, nn

from convscope import shapes
from convscope.errors import InputError
from convscope.layers import Activation, Pool, activate_and_pool
from convscope.layers.pool_variants import MixedPool, StochasticPool
from convscope.layers.pools import PoolModule
from convscope.layers.windows import Padding, grid

REDUCTIONS: dict[str, Reduce] = {
    "max": lambda values, _: values.amax(-1),
    "min": lambda values, _: values.amin(-1),
    "average": lambda values, _: values.mean(-1),
    "l2": lambda values, _: values.square().sum(-1).sqrt(),
    "mixed": lambda values, _: 0.5 * values.amax(-1) + 0.5 * values.mean(-1),
    "subsampling": lambda values, _: values.sum(-1) * 1.5 - 0.25,
}


class Case:
    """A pool spec with the axes that the loops use and a random input."""

    def __init__(
        self, pool: Pool, rows: Axis, columns: Axis, size: tuple[int, int], seed: int
    ) -> None:
        self.pool, self.rows, self.columns = pool, rows, columns
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64)

    def __repr__(self) -> str:
        return f"{self.pool} on {tuple(self.x.shape)}"


@st.composite
def cases(draw: st.DrawFn, /, kind: str, **settings: object) -> Case:
    two = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, stride = draw(two), draw(two)
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    ceil = draw(st.booleans())
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = (draw(st.integers(spans[0], 8)), draw(st.integers(spans[1], 8)))
    how = draw(st.sampled_from(["valid", "same", "number", "sides"]))
    padding: Padding
    if how == "valid":
        padding, sides = "valid", (0, 0, 0, 0)
    elif how == "number":
        amount = draw(st.integers(0, min(spans) - 1))
        padding, sides = amount, (amount,) * 4
    elif how == "sides":
        across, down = st.integers(0, spans[1] - 1), st.integers(0, spans[0] - 1)
        padding = sides = (draw(across), draw(across), draw(down), draw(down))
    else:
        padding, amounts = "same", []
        for axis in (1, 0):
            out = math.ceil(size[axis] / stride[axis])
            total = max((out - 1) * stride[axis] + spans[axis] - size[axis], 0)
            amounts += [total // 2, total - total // 2]
        sides = (amounts[0], amounts[1], amounts[2], amounts[3])
    left, right, top, bottom = sides
    rows = Axis(kernel[0], stride[0], dilation[0], top, bottom, ceil)
    columns = Axis(kernel[1], stride[1], dilation[1], left, right, ceil)
    pool = Pool(kind, kernel, stride, padding, ceil, dilation, **settings)  # type: ignore[arg-type]
    return Case(pool, rows, columns, size, draw(st.integers(0, 2**31)))


def sees_only_padding(case: Case) -> bool:
    height, width = case.x.shape[-2:]
    return any(
        not any(0 <= i < size for i in position)
        for axis, size in ((case.rows, height), (case.columns, width))
        for position in axis.positions(size)
    )


def check(case: Case, module: nn.Module, reduce: Reduce) -> None:
    """Shape, values and gradients of `module` equal the loops'."""
    module = module.double()
    if sees_only_padding(case):
        with pytest.raises(InputError, match="sees nothing but padding"):
            module(case.x)
        return
    x, y = case.x.clone().requires_grad_(), case.x.clone().requires_grad_()
    found = module(x)
    expected = naive_pool(y, case.rows, case.columns, reduce)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator())
    found_gradient = torch.autograd.grad(found, x, weights)
    torch.testing.assert_close(found_gradient, torch.autograd.grad(expected, y, weights))
    window = case.pool.grid()
    assert found.shape[2] == shapes.output_size(x.shape[2], window.rows).size
    assert found.shape[3] == shapes.output_size(x.shape[3], window.columns).size


@pytest.mark.parametrize("kind", REDUCTIONS)
@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_pooling_equals_loops(kind: str, data: st.DataObject) -> None:
    case = data.draw(cases(kind))
    module = case.pool.build(2)
    if kind == "subsampling":
        nn.init.constant_(module.get_parameter("weight"), 1.5)
        nn.init.constant_(module.get_parameter("bias"), -0.25)
    check(case, module, REDUCTIONS[kind])


@given(case=cases("average", count_padding=True))
@settings(deadline=None, max_examples=30)
def test_average_counts_padding_if_asked(case: Case) -> None:
    check(case, case.pool.build(2), lambda values, padded: values.sum(-1) / padded)


@given(case=cases("lp", p=3.0))
@settings(deadline=None, max_examples=30)
def test_lp_pooling_takes_magnitudes(case: Case) -> None:
    check(case, case.pool.build(2), lambda values, _: values.abs().pow(3).sum(-1).pow(1 / 3))


@given(case=cases("mixed", mix=0.25, learned=False))
@settings(deadline=None, max_examples=30)
def test_mixed_pooling_with_a_fixed_share(case: Case) -> None:
    module = case.pool.build(2)
    assert not list(module.parameters())
    check(case, module, lambda values, _: 0.25 * values.amax(-1) + 0.75 * values.mean(-1))


@given(case=cases("stochastic"))
@settings(deadline=None, max_examples=30)
def test_stochastic_pooling_in_evaluation_is_the_weighted_mean(case: Case) -> None:
    def weighted(values: Tensor, _: int) -> Tensor:
        weights = values.clamp(min=0)
        nothing = ~(weights > 0).any(-1, keepdim=True)
        weights = torch.where(nothing, 1.0, weights)
        return (values * weights).sum(-1) / weights.sum(-1)

    check(case, case.pool.build(2).eval(), weighted)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None)
def test_pooling_equals_torch(
    kernel: int, stride: int, padding: int, dilation: int, ceil: bool, count: bool
) -> None:
    padding = min(padding, kernel // 2)  # torch allows no more
    x = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(kernel))
    built = Pool("max", kernel, stride, padding, ceil, dilation).build(3)
    expected = F.max_pool2d(x, kernel, stride, padding, dilation, ceil)
    assert torch.equal(built(x), expected)
    four = Pool("max", kernel, stride, (padding,) * 4, ceil, dilation).build(3)
    assert torch.equal(four(x), expected)
    average = Pool("average", kernel, stride, padding, ceil, count_padding=count).build(3)
    torch.testing.assert_close(
        average(x), F.avg_pool2d(x, kernel, stride, padding, ceil, count_include_pad=count)
    )
    if not ceil:  # torch's lp_pool2d scales windows that hang over the end, and cannot pad
        norm = Pool("l2", kernel, stride).build(3)
        torch.testing.assert_close(norm(x), F.lp_pool2d(x, 2, kernel, stride))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("max", [[6.0, 8.0], [14.0, 16.0]]),
        ("min", [[1.0, 3.0], [9.0, 11.0]]),
        ("average", [[3.5, 5.5], [11.5, 13.5]]),
        ("subsampling", [[3.5, 5.5], [11.5, 13.5]]),  # it starts as the average
        ("mixed", [[4.75, 6.75], [12.75, 14.75]]),
        ("global-average", [[8.5]]),
        ("global-max", [[16.0]]),
    ],
)
def test_pooling_by_hand(kind: str, expected: list[list[float]]) -> None:
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    assert Pool(kind).build(1)(x).squeeze((0, 1)).tolist() == expected


def test_l2_by_hand() -> None:
    x = torch.tensor([[[[3.0, 4.0], [0.0, -12.0]]]])
    assert Pool("l2").build(1)(x).item() == 13.0
    assert Pool("lp", p=1.0).build(1)(x).item() == 19.0


def test_none_keeps_the_input() -> None:
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(Pool("none").build(2)(x), x)


@pytest.mark.parametrize("kind", ["max", "min"])
def test_borders_never_win(kind: str) -> None:
    # With zeros around them, −1 would lose the maximum and 1 the minimum.
    sign = -1.0 if kind == "max" else 1.0
    x = torch.full((1, 1, 3, 3), sign)
    pooled = Pool(kind, 3, 1, "same").build(1)(x)
    assert torch.equal(pooled, x)


def test_a_window_of_zeros_has_no_l2_gradient() -> None:
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    Pool("l2").build(1)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]


def test_ceil_keeps_the_last_column() -> None:
    x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0, 9.0]]]])
    assert Pool("max", (1, 2), 2).build(1)(x).flatten().tolist() == [2.0, 4.0]
    assert Pool("max", (1, 2), 2, ceil=True).build(1)(x).flatten().tolist() == [2.0, 4.0, 9.0]
    assert Pool("average", (1, 2), 2, ceil=True).build(1)(x).flatten().tolist() == [1.5, 3.5, 9.0]


class TestStochastic:
    def test_samples_with_the_papers_probabilities(self) -> None:
        # Zeiler & Fergus 2013, Figure 1: activations 1.6 and 2.4 with probabilities 0.4 and 0.6.
        x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.6], [0.0, 0.0, 2.4]]).expand(1, 8000, 3, 3)
        pool = StochasticPool(grid(3), generator=torch.Generator().manual_seed(3))
        drawn = pool(x).flatten()
        assert set(drawn.tolist()) == {torch.tensor(1.6).item(), torch.tensor(2.4).item()}
        share = (drawn > 2).double().mean().item()
        assert abs(share - 0.6) < 4 * math.sqrt(0.24 / 8000)
        assert pool.eval()(x)[0, 0].item() == pytest.approx(0.4 * 1.6 + 0.6 * 2.4)

    def test_draws_uniformly_where_nothing_is_positive(self) -> None:
        x = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]).expand(1, 8000, 2, 2)
        pool = StochasticPool(grid(2), generator=torch.Generator().manual_seed(0))
        values, counts = pool(x).flatten().unique(return_counts=True)
        assert values.tolist() == [-4.0, -3.0, -2.0, -1.0]
        assert (counts.double() / 8000 - 0.25).abs().max() < 4 * math.sqrt(0.1875 / 8000)

    def test_never_draws_padding(self) -> None:
        pool = StochasticPool(grid(3, 1, "same"), generator=torch.Generator().manual_seed(0))
        for sign in (1.0, -1.0):
            x = torch.full((1, 50, 4, 4), sign)
            assert torch.equal(pool(x), x)
            assert torch.equal(pool.eval()(x), x)
            pool.train()

    def test_the_generator_alone_decides(self) -> None:
        x = torch.rand(2, 3, 8, 8)

        def draw(seed: int) -> Tensor:
            made = Pool("stochastic").build(3, generator=torch.Generator().manual_seed(seed))
            result: Tensor = made(x)
            return result

        before = torch.get_rng_state()
        assert torch.equal(draw(1), draw(1))
        assert not torch.equal(draw(1), draw(2))
        assert torch.equal(before, torch.get_rng_state())

    def test_without_a_generator_the_global_seed_decides(self) -> None:
        x, pool = torch.rand(2, 3, 8, 8), Pool("stochastic").build(3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            first = pool(x)
            torch.manual_seed(5)
            assert torch.equal(first, pool(x))

    def test_gradient_goes_to_the_sampled_value(self) -> None:
        x = torch.rand(1, 1, 4, 4, requires_grad=True)
        pooled = Pool("stochastic").build(1, generator=torch.Generator().manual_seed(0))(x)
        pooled.sum().backward()
        assert x.grad is not None
        assert (
            x.detach()[x.grad == 1].sort().values.tolist()
            == pooled.flatten().sort().values.tolist()
        )

    def test_half_precision_samples_as_finely(self) -> None:
        # bfloat16 knows 256 values between 0.5 and 1: too few to draw a share of 1/1000 from.
        x = torch.tensor([[1.0, 1.0], [1.0, 0.003]]).expand(1, 20000, 2, 2).bfloat16()
        pool = StochasticPool(grid(2), generator=torch.Generator().manual_seed(0))
        drawn = pool(x)
        assert drawn.dtype == torch.bfloat16
        rare = int((drawn < 0.5).sum())
        assert abs(rare - 20) < 4 * math.sqrt(20)  # 20000 · 0.003/3.003


class TestBlur:
    @given(
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(2, 6),
        st.integers(8, 12),
        st.integers(8, 12),
    )
    @settings(deadline=None, max_examples=30)
    def test_equals_max_then_reflected_binomial_blur(
        self, kernel: int, stride: int, size: int, height: int, width: int
    ) -> None:
        x = torch.randn(2, 3, height, width, dtype=torch.float64)
        found = Pool("blur", kernel, stride, blur=size).build(3).double()(x)
        maxima = F.max_pool2d(x, kernel, 1)
        before = (size - 1) // 2
        padded = F.pad(maxima, (before, size - 1 - before) * 2, mode="reflect")
        taps = torch.tensor([math.comb(size - 1, i) for i in range(size)], dtype=torch.float64)
        rows = range(0, padded.shape[2] - size + 1, stride)
        columns = range(0, padded.shape[3] - size + 1, stride)
        kernel2d = torch.outer(taps, taps) / 4 ** (size - 1)
        expected = torch.stack(
            [
                (padded[:, :, r : r + size, c : c + size] * kernel2d).sum((2, 3))
                for r in rows
                for c in columns
            ],
            -1,
        ).reshape(2, 3, len(rows), len(columns))
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize(("stride", "out"), [(1, 27), (2, 14), (3, 9), (4, 7)])
    def test_size_is_that_of_the_stride(self, stride: int, out: int) -> None:
        # 28 → 27 maxima → ⌈27/stride⌉, for stride 2 the 14 of plain pooling
        module = Pool("blur", 2, stride).build(1)
        assert module(torch.zeros(1, 1, 28, 28)).shape[-2:] == (out, out)
        assert isinstance(module, PoolModule)
        assert module.output_size(28, 28) == (out, out)

    def test_keeps_a_constant(self) -> None:
        x = torch.full((1, 2, 9, 9), 3.0)
        assert torch.equal(Pool("blur").build(2)(x), torch.full((1, 2, 4, 4), 3.0))

    def test_smoother_than_max_pooling_under_a_shift(self) -> None:
        # Zhang's point: an edge that moves by one pixel changes the output less.
        x = torch.zeros(1, 1, 16, 16)
        x[..., 7:] = 1
        shifted = x.roll(1, 3)
        plain, blurred = Pool("max").build(1), Pool("blur").build(1)
        change = (plain(x) - plain(shifted)).abs().max()
        assert (blurred(x) - blurred(shifted)).abs().max() < change

    def test_too_small_a_map_says_so(self) -> None:
        with pytest.raises(InputError, match=r"blur of 5 reflects 2 elements of a map of 2×2"):
            Pool("blur", blur=5).build(1)(torch.zeros(1, 1, 3, 3))


@pytest.mark.parametrize(
    "pool",
    [
        Pool("average", 3, 2, "same"),
        Pool("max", 2),
        Pool("min", 3, 1, 1),
        Pool("l2", 2),
        Pool("lp", 3, 2, p=1.5),
        Pool("mixed", 2),
        Pool("subsampling", 2),
        Pool("blur", 2),
        Pool("global-average"),
        Pool("global-max"),
        Pool("average", 2, dilation=2, padding=(1, 0, 0, 1)),
    ],
    ids=lambda pool: str(pool.kind),
)
def test_gradients_numerically(pool: Pool) -> None:
    module = pool.build(2).double()
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))
    names = [name for name, _ in module.named_parameters()]
    values = tuple(value.detach().requires_grad_() for value in module.parameters())
    if values:
        assert torch.autograd.gradcheck(
            lambda *p: torch.func.functional_call(module, dict(zip(names, p, strict=True)), (x,)),
            values,
        )


def share(module: MixedPool) -> Tensor:
    return torch.as_tensor(module.mix).detach()


def test_the_mixed_share_is_learned_and_stays_a_share() -> None:
    module = Pool("mixed", mix=0.2).build(1)
    assert isinstance(module, MixedPool)
    assert float(share(module)) == pytest.approx(0.2)
    optimizer = torch.optim.SGD(module.parameters(), lr=100)
    x = torch.rand(4, 1, 4, 4)
    for _ in range(20):
        optimizer.zero_grad()
        (-module(x)).mean().backward()  # the larger the better, so the maximum wins
        optimizer.step()
    assert 0.9 < float(share(module)) <= 1
    with pytest.raises(InputError, match="mix is 1; allowed: between 0 and 1"):
        MixedPool(grid(2), mix=1)


@pytest.mark.parametrize("kind", ["max", "average", "l2", "stochastic", "subsampling"])
def test_windows_of_nothing_but_padding_are_refused(kind: str) -> None:
    # A dilated window steps over the only column: −2 and 2 of an input 0 … 0.
    with pytest.raises(InputError, match=r"sees nothing but padding; give less padding than 5"):
        Pool(kind, 2, 1, 4, dilation=4).build(1)(torch.zeros(1, 1, 3, 3))


@pytest.mark.parametrize("kind", ["max", "blur", "average"])
def test_windows_that_do_not_fit_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match=r"a window of 5 does not fit into 4"):
        Pool(kind, 5).build(1)(torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize(
    "activation", ["tanh", "scaled-tanh", "relu", "leaky-relu", "sigmoid", "elu", "identity"]
)
@pytest.mark.parametrize(
    "pool",
    [Pool("max"), Pool("max", 3, 2, "same"), Pool("min"), Pool("global-max"), Pool("average")],
)
def test_pooling_first_changes_nothing(activation: str, pool: Pool) -> None:
    act, module = Activation(activation).build(), pool.build(2)
    results = []
    for _ in ("as it is fast", "as it is published"):
        x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x.requires_grad_()
        y = activate_and_pool(x, act, module)
        results.append((y, torch.autograd.grad(y.square().sum(), x)))
        module.eval().register_forward_hook(lambda *_: None)
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("activation", "pool", "training", "activated"),
    [
        ("tanh", Pool("max"), True, 4),  # one value a window
        ("tanh", Pool("max"), False, 16),  # the published order for whoever looks
        ("gelu", Pool("max"), True, 16),  # not monotone
        ("tanh", Pool("average"), True, 16),  # does not commute
    ],
)
def test_order_of_activation_and_pooling(
    activation: str, pool: Pool, training: bool, activated: int
) -> None:
    act, module = Activation(activation).build(), pool.build(1).train(training)
    seen = []
    act.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].numel()))
    activate_and_pool(torch.randn(1, 1, 4, 4), act, module)
    assert seen == [activated]
