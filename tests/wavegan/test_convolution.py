"""The convolutions, polyphase or as products, against the direct forms that they replace."""

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from wavegan import convolution
from wavegan.convolution import (
    mapped_kernels,
    nearest_conv,
    same_padding,
    strided_conv,
    transposed_conv,
)

both_forms = pytest.mark.parametrize("product", [False, True], ids=["polyphase", "product"])


def forced(product):
    """One form for all sizes on every platform, in place of the choice by size and platform."""
    return mock.patch.object(convolution, "_as_product", return_value=product)


def direct_conv(x, kernel, *, stride):
    """TensorFlow's SAME convolution, strided by the primitive itself."""
    return lax.conv_general_dilated(
        x, kernel, (stride,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )


def direct_transposed_conv(x, kernel, *, stride):
    """TensorFlow's conv1d_transpose: zeros between the samples, then a flipped convolution."""
    taps, left = len(kernel), max(len(kernel) - stride, 0) // 2
    pads = (taps - 1 - left, stride - 1 + left)
    return lax.conv_general_dilated(
        x,
        kernel[::-1].swapaxes(1, 2),
        (1,),
        [pads],
        lhs_dilation=(stride,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("stride", "pads"), [(4, (10, 11)), (2, (11, 12))])
def test_padding_of_the_reference(stride, pads):
    assert same_padding(25, stride) == pads


shapes = {
    "stride": st.sampled_from([2, 4]),
    "taps": st.sampled_from([4, 5, 16, 25]),
    "blocks": st.sampled_from([1, 2, 7]),
    "channels": st.tuples(st.sampled_from([1, 3]), st.sampled_from([1, 5])),
    "seed": st.integers(0, 2**16),
}


@both_forms
@settings(max_examples=12)
@given(**shapes)
def test_strided_conv_is_the_direct_one(product, stride, taps, blocks, channels, seed):
    x = normal(seed, 2, blocks * stride, channels[0])
    kernel = normal(seed + 1, taps, *channels)
    with forced(product):
        ours = jax.jit(partial(strided_conv, stride=stride))(x, kernel)
    np.testing.assert_allclose(ours, direct_conv(x, kernel, stride=stride), atol=1e-4)


@both_forms
@settings(max_examples=12)
@given(**shapes)
def test_transposed_conv_is_the_adjoint(product, stride, taps, blocks, channels, seed):
    """<conv(x), y> = <x, transposed(y)>, in numpy's doubles."""
    x = normal(seed, 2, blocks * stride, channels[0])
    y = normal(seed + 1, 2, blocks, channels[1])
    kernel = normal(seed + 2, taps, *channels)
    with forced(product):
        forward, back = (
            np.asarray(jax.jit(partial(conv, stride=stride))(z, kernel), np.float64)
            for conv, z in ((strided_conv, x), (transposed_conv, y))
        )
    scale = np.linalg.norm(forward) * np.linalg.norm(y) + 1
    assert abs(np.sum(forward * y) - np.sum(x * back)) < 1e-5 * scale


@both_forms
@pytest.mark.parametrize("stride", [2, 4])
def test_transposed_conv_is_the_direct_vjp(stride, product):
    x, y, kernel = normal(0, 2, 8 * stride, 3), normal(1, 2, 8, 5), normal(2, 25, 3, 5)

    def back(x, y, kernel):
        return jax.vjp(lambda x: direct_conv(x, kernel, stride=stride), x)[1](y)[0]

    with forced(product):
        ours = jax.jit(partial(transposed_conv, stride=stride))(y, kernel)
    np.testing.assert_allclose(ours, jax.jit(back)(x, y, kernel), atol=2e-5)
    np.testing.assert_allclose(ours, direct_transposed_conv(y, kernel, stride=stride), atol=2e-5)


@both_forms
def test_an_impulse_lands_where_the_reference_puts_it(product):
    """A sample at block 3 spreads over the 25 samples from 4 · 3 - 10 on, in the kernel's order."""
    kernel = np.arange(1, 26, dtype=np.float32).reshape(25, 1, 1)
    x = np.zeros((1, 8, 1), np.float32)
    x[0, 3] = 1
    expected = np.zeros(32)
    expected[2:27] = np.arange(1, 26)
    with forced(product):
        ours = jax.jit(partial(transposed_conv, stride=4))(x, kernel)
    np.testing.assert_allclose(np.asarray(ours)[0, :, 0], expected, atol=1e-6)


def penalty(conv, transposed):
    """A gradient penalty through both kinds: its gradient is one of second order."""

    def critic(kernels, x):
        return jnp.sum(jnp.tanh(conv(jnp.tanh(transposed(x, kernels[0], stride=2)), kernels[1])))

    def objective(kernels, x):
        slopes = jax.grad(critic, 1)(kernels, x)
        return jnp.mean((jnp.sqrt(jnp.sum(slopes**2, axis=(1, 2))) - 1) ** 2)

    return objective


KERNELS = (0.2 * normal(3, 25, 5, 3), 0.2 * normal(4, 25, 5, 2))
OURS = penalty(lambda x, k: strided_conv(x, k, stride=4), transposed_conv)
DIRECT = penalty(lambda x, k: direct_conv(x, k, stride=4), direct_transposed_conv)


@both_forms
def test_second_order_gradients_are_the_direct_ones(product):
    x = normal(5, 2, 16, 3)
    with forced(product):
        found = jax.jit(jax.grad(OURS))(KERNELS, x)
    for ours, direct in zip(found, jax.jit(jax.grad(DIRECT))(KERNELS, x), strict=True):
        assert np.abs(np.asarray(direct)).max() > 1e-3
        np.testing.assert_allclose(ours, direct, rtol=1e-3, atol=1e-5)


def convolutions(jaxpr):
    """The parameters of all convolutions in ``jaxpr``, inner ones included."""
    for equation in jaxpr.eqns:
        if equation.primitive is lax.conv_general_dilated_p:
            yield equation.params
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                yield from convolutions(value.jaxpr)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_no_order_multiplies_inserted_zeros(order):
    """Dilation and stride are what makes the direct form slow: none may come back."""
    x = normal(5, 2, 16, 3)

    def value(objective, kernels, x):
        if order == 0:
            return strided_conv(transposed_conv(x, kernels[0], stride=2), kernels[1], stride=4)
        if order == 1:
            return jax.grad(lambda k: value_of_squares(k, x))(kernels)
        return jax.grad(objective)(kernels, x)

    def value_of_squares(kernels, x):
        y = strided_conv(transposed_conv(x, kernels[0], stride=2), kernels[1], stride=4)
        return jnp.sum(y**2)

    with forced(product=False):
        jaxpr = jax.make_jaxpr(lambda k, x: value(OURS, k, x))(KERNELS, x).jaxpr
    found = list(convolutions(jaxpr))
    assert len(found) >= (2, 5, 8)[order]
    for parameters in found:
        for name in ("lhs_dilation", "rhs_dilation", "window_strides"):
            assert set(parameters[name]) == {1}, f"{name} of {parameters}"
    direct = jax.make_jaxpr(jax.grad(DIRECT))(KERNELS, x).jaxpr
    assert any(set(p["lhs_dilation"]) != {1} for p in convolutions(direct))  # the probe sees them


@pytest.mark.parametrize(
    ("rows", "kernel", "expected"),
    [
        (65536, (25, 1, 32), True),  # the first layer: blocks of 4 samples
        (16384, (25, 32, 64), False),
        (1024, (25, 128, 256), False),
        (256, (25, 256, 512), True),  # the last one, of a batch of 16
        (1024, (25, 256, 512), True),
        (2048, (25, 256, 512), False),
        (65536, (512, 2, 2), False),  # a post filter: its patches would take gigabytes
    ],
)
def test_the_form_follows_the_size_on_a_cpu_alone(monkeypatch, rows, kernel, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert convolution._as_product(rows, jnp.zeros(kernel), 4) is expected
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not convolution._as_product(rows, jnp.zeros(kernel), 4)


@pytest.mark.parametrize(("taps", "stride"), [(25, 4), (25, 2), (4, 4), (7, 2), (9, 4)])
def test_nearest_conv_is_repeating_then_convolving(taps, stride):
    x, kernel = normal(0, 2, 6, 3), normal(1, taps, 3, 5)
    expected = direct_conv(np.repeat(x, stride, axis=1), kernel, stride=1)
    found = jax.jit(partial(nearest_conv, stride=stride))(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# Kernels of several GANs


@pytest.mark.parametrize(
    ("convolve", "taps", "stride", "c_in"),
    [
        (strided_conv, 25, 4, 1),
        (strided_conv, 25, 2, 3),
        (strided_conv, 5, 1, 3),
        (strided_conv, 77, 1, 2),
        (strided_conv, 77, 4, 2),
        (strided_conv, 512, 1, 1),
        (transposed_conv, 25, 4, 3),
        (transposed_conv, 25, 2, 3),
        (nearest_conv, 25, 4, 3),
    ],
)
def test_mapped_over_kernels_it_is_products_that_equal_each_alone(convolve, taps, stride, c_in):
    """Of slopes of slopes, too, as a gradient penalty takes them."""
    c_out = 4
    x = normal(0, 3, 2, 96, c_in)
    shape = (taps, c_out, c_in) if convolve is transposed_conv else (taps, c_in, c_out)
    kernels = 0.1 * normal(1, 3, *shape)

    def norm(kernel, x):
        slopes = jax.grad(lambda x: jnp.sum(jnp.tanh(convolve(x, kernel, stride=stride))))(x)
        return jnp.sum(slopes**2)

    def every(kernels, x):
        with mapped_kernels():
            return jax.vmap(jax.value_and_grad(norm, argnums=(0, 1)))(kernels, x)

    text = jax.jit(every).trace(kernels, x).lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.convolution" not in text
    assert "batching_dims = [0]" in text

    def check(of_all, of_one, i):
        error = np.abs(of_all[i] - of_one).max()
        assert error < 1e-6 * np.abs(of_one).max()

    with jax.enable_x64(True):  # but for the products, whose sums are in float32
        kernels, x = kernels.astype(np.float64), x.astype(np.float64)
        found = jax.device_get(jax.jit(every)(kernels, x))
        alone = jax.jit(jax.value_and_grad(norm, argnums=(0, 1)))
        for i in range(3):
            jax.tree.map(partial(check, i=i), found, jax.device_get(alone(kernels[i], x[i])))


def test_what_is_gathered_is_not_kept_for_gradients():
    """It is each input seven times."""
    x, kernel = map(jnp.asarray, (normal(0, 4, 512, 8), normal(1, 7, 8, 8)))
    _, back = jax.vjp(lambda x, k: convolution._gathered_product(x, k, 3), x, kernel)
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(back))
    assert kept <= x.nbytes + kernel.nbytes


def test_thin_layers_are_filled_up_in_half_precision_on_a_gpu(as_on_a_gpu):
    """To eight channels, four of a mono clip's blocks and three of its outputs; values stay."""
    x, kernel = normal(0, 2, 64, 1), 0.1 * normal(1, 25, 1, 3)
    both = partial(strided_conv, stride=4)
    half = [a.astype(jnp.bfloat16) for a in (x, kernel)]

    def lowered(*arguments):
        traced = jax.jit(both).trace(*arguments)
        return traced.lower(lowering_platforms=("cuda",)).as_text()

    assert "tensor<7x8x8xbf16>" in lowered(*half)
    assert "tensor<7x4x3xf32>" in lowered(x, kernel)
    found, expected = jax.jit(both)(*half), jax.jit(both)(*(a.astype(np.float32) for a in half))
    np.testing.assert_allclose(np.float32(found), expected, rtol=1e-2, atol=1e-2)
