import re
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gan_runs import answer, lowered

from wavegan import Discriminator, Generator, TrainConfig, WaveGANConfig
from wavegan.convolution import mapped_kernels, strided_conv
from wavegan.networks import definitions, without_weights


def abstract(network, config):
    return nnx.eval_shape(lambda: network(config, rngs=nnx.Rngs(0)))


def parameters(network) -> int:
    return sum(np.prod(p.shape) for p in jax.tree.leaves(nnx.state(network, nnx.Param)))


@pytest.mark.parametrize(
    ("num_samples", "generator", "discriminator"),
    [(16384, 19_065_345, 17_427_969), (65536, 73_149_953, 69_875_201)],
)
def test_published_parameter_counts(num_samples, generator, discriminator):
    config = WaveGANConfig(num_samples=num_samples)
    assert parameters(abstract(Generator, config)) == generator
    assert parameters(abstract(Discriminator, config)) == discriminator


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("num_samples", [2**n for n in range(5, 18)])
def test_shapes_at_every_length(num_samples, channels):
    config = WaveGANConfig(num_samples=num_samples, channels=channels, dim=2, latent_dim=7)
    assert 16 * np.prod(config.strides) == num_samples

    def run(key):
        audio = Generator(config, rngs=nnx.Rngs(0))(jnp.zeros((3, 7)))
        return audio, Discriminator(config, rngs=nnx.Rngs(0))(audio, key=key)

    audio, logits = jax.eval_shape(run, jax.random.key(0))
    assert (audio.shape, audio.dtype) == ((3, num_samples, channels), jnp.float32)
    assert (logits.shape, logits.dtype) == ((3,), jnp.float32)


@pytest.mark.parametrize(
    ("num_samples", "strides"),
    [
        (64, (4,)),
        (128, (4, 2)),
        (16384, (4,) * 5),
        (32768, (4,) * 5 + (2,)),
        (65536, (4,) * 6),
        (131072, (4,) * 6 + (2,)),
    ],
)
def test_strides_are_fours_then_a_two(num_samples, strides):
    assert WaveGANConfig(num_samples=num_samples).strides == strides


def test_initial_weights_are_glorot_uniform_and_zero():
    generator = Generator(WaveGANConfig(num_samples=256, dim=32), rngs=nnx.Rngs(0))
    kernel = np.asarray(generator.layers[0].kernel)  # (25, 32, 64): 96 fans at 25 taps
    limit = np.sqrt(6 / (25 * (32 + 64)))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    dense = np.asarray(generator.project.kernel)
    assert 0.99 < np.abs(dense).max() / np.sqrt(6 / (100 + 1024)) <= 1
    for layer in (generator.project, *generator.layers):
        assert not np.any(layer.bias[...])


def test_networks_without_weights_are_filled_apart():
    config = WaveGANConfig(num_samples=64, dim=1, kernel_size=23)
    jax.jit(lambda x: x + len(definitions(config)))(1.0)  # first asked for in a trace
    (generator, critic), (other, _) = without_weights(config), without_weights(config)
    for network in (generator, critic):
        for variable in jax.tree.leaves(network, is_leaf=lambda x: isinstance(x, nnx.Variable)):
            variable.set_value(jax.device_put(np.ones(variable.get_value().shape, np.float32)))
    assert isinstance(other.project.kernel.get_value(), jax.ShapeDtypeStruct)
    assert answer(generator, np.ones((1, 100))).shape == (1, 64, 1)


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_no_program_is_compiled_for_the_shapes_of_a_network(network, caplog):
    more = {"num_classes": 3, "spectrogram_critic": True, "batch_norm": True}
    network(WaveGANConfig(num_samples=256, dim=2, **more), rngs=nnx.Rngs(0))
    with jax.log_compiles():
        network(WaveGANConfig(num_samples=1024, dim=3, **more), rngs=nnx.Rngs(0))
        assert not caplog.messages
        jax.jit(lambda x: x + 1)(1.0)
    assert "ompil" in caplog.text  # it would have been seen


def test_a_convolution_is_a_program_and_not_one_for_each_operation(caplog):
    """Of a generator that is called outside of any: the last layer's is a product on a CPU."""
    config = WaveGANConfig(num_samples=128, dim=2, latent_dim=11)
    generator = Generator(config, rngs=nnx.Rngs(0))
    with jax.log_compiles():
        generator(np.ones((3, 11), np.float32))
    compiled = re.findall(r"Finished XLA compilation of jit\((\w+)\)", caplog.text)
    assert ("_transposed_product" in compiled) == (jax.default_backend() == "cpu")
    assert len(compiled) <= 25


def test_the_generator_stays_within_one():
    generator = Generator(WaveGANConfig(num_samples=64, dim=2, channels=2), rngs=nnx.Rngs(0))
    audio = np.asarray(answer(generator, np.full((2, 100), 100, np.float32)))
    assert np.abs(audio).max() <= 1
    assert np.ptp(audio) > 0


# Phase shuffle


@pytest.fixture(scope="module")
def critic():
    return Discriminator(WaveGANConfig(num_samples=1024, dim=2), rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def clips():
    return jax.device_put(np.random.default_rng(0).normal(size=(4, 1024, 1)).astype(np.float32))


def test_a_key_shuffles_and_none_does_not(critic, clips):
    keys = jax.random.split(jax.random.key(0), 20)
    shuffled, still = jax.jit(lambda key: critic(clips, key=key)), jax.jit(lambda: critic(clips))
    logits = np.stack([shuffled(key) for key in keys])
    plain = np.asarray(still())
    np.testing.assert_array_equal(plain, still())
    np.testing.assert_array_equal(logits[0], shuffled(keys[0]))
    assert len({row.tobytes() for row in logits}) > 10  # of 25 pairs of shifts
    assert np.abs(logits - plain).max() > 1e-4


def test_a_batch_has_a_say_in_training_alone(clips):
    config = WaveGANConfig(num_samples=1024, dim=2, spectrogram_critic=True, minibatch_stddev=True)
    critic = Discriminator(config, rngs=nnx.Rngs(0))
    score = jax.jit(lambda x, key=None: critic(x, key=key))
    alike = jnp.broadcast_to(clips[:1], clips.shape)
    np.testing.assert_allclose(score(clips)[0], score(alike)[0], rtol=1e-4)
    key = jax.random.key(0)
    assert abs(score(clips, key)[0] - score(alike, key)[0]) > 1e-3


def test_radius_zero_switches_it_off(clips):
    config = WaveGANConfig(num_samples=1024, dim=2, phase_shuffle=0)
    critic = Discriminator(config, rngs=nnx.Rngs(0))
    shuffled = answer(critic, clips, key=jax.random.key(3))
    np.testing.assert_array_equal(answer(critic, clips), shuffled)


@pytest.mark.parametrize(
    ("num_samples", "shuffled"),
    [
        (64, []),
        (1024, [256, 64]),
        (16384, [4096, 1024, 256, 64]),
        (32768, [8192, 2048, 512, 128]),
        (65536, [16384, 4096, 1024, 256]),
    ],
)
def test_it_follows_layers_0_to_3_only(num_samples, shuffled):
    config = WaveGANConfig(num_samples=num_samples, dim=1)
    critic = abstract(Discriminator, config)
    graphdef, weights = nnx.split(critic)
    jaxpr = jax.make_jaxpr(lambda w, x, key: nnx.merge(graphdef, w)(x, key=key))(
        weights, jax.ShapeDtypeStruct((2, num_samples, 1), jnp.float32), jax.random.key(0)
    )
    cuts = [e for e in jaxpr.eqns if "dynamic_slice" in str(e)]  # at the drawn place
    assert [e.outvars[0].aval.shape[1] for e in cuts] == shuffled


def test_numpy_arrays_go_in(critic, clips):
    np.testing.assert_array_equal(critic(np.asarray(clips)), critic(clips))
    generator = Generator(WaveGANConfig(num_samples=64, dim=1), rngs=nnx.Rngs(0))
    assert generator(np.zeros((2, 100), np.float32)).shape == (2, 64, 1)


# Options

LATENTS, KEY = np.random.default_rng(0).uniform(-1, 1, (4, 3)).astype(np.float32), jax.random.key(5)


def networks(config):
    return Generator(config, rngs=nnx.Rngs(1)), Discriminator(config, rngs=nnx.Rngs(2))


@cache
def plain_logits(config):
    """The sum of squared logits without any option."""
    return nnx.jit(lambda g, d: jnp.sum(d(g(LATENTS), key=KEY) ** 2))(*networks(config))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_norm": True},
        {"upsample": "nn"},
        {"post_filter": 512},
        {"num_classes": 3},
        {"phase_shuffle_by": "example"},
        {"spectral_norm": True},
        {"spectrogram_critic": True},
        {"spectrogram_critic": True, "minibatch_stddev": True},
        {"precision": "bfloat16"},
        {"batch_norm": True, "upsample": "nn", "post_filter": 9, "num_classes": 3, "channels": 2},
    ],
    ids=str,
)
def test_every_option_makes_networks_that_differ(options):
    """It has an effect on clips or logits, and gradients reach all weights."""
    plain = WaveGANConfig(num_samples=256, dim=2, latent_dim=3, channels=options.get("channels", 1))
    config = replace(plain, **options)
    label = jnp.arange(4) % 3 if config.num_classes else None

    @jax.jit
    def run(generator, critic, key):
        def score(generator, critic):
            audio = generator(LATENTS, label, training=True)
            return jnp.sum(critic(audio, label, key) ** 2), audio

        (logits, audio), slopes = nnx.value_and_grad(score, argnums=(0, 1), has_aux=True)(
            generator, critic
        )
        return logits, audio, slopes

    logits, audio, slopes = run(*networks(config), KEY)
    assert audio.shape == (4, 256, config.channels)
    assert audio.dtype == jnp.float32
    assert np.isfinite(logits)
    assert all(np.isfinite(g).all() and np.any(g) for g in jax.tree.leaves(slopes))
    if options != {"num_classes": 3}:  # whose tables begin at zero in the generator
        assert logits != plain_logits(plain)


def test_batch_norm_outside_training_is_each_clips_own():
    config = WaveGANConfig(num_samples=64, dim=2, latent_dim=3, batch_norm=True)
    generator = Generator(config, rngs=nnx.Rngs(0))
    z = np.random.default_rng(0).uniform(-1, 1, (4, 3)).astype(np.float32)
    answer(generator, z, training=True)
    found = np.asarray(answer(generator, z))
    np.testing.assert_allclose(found[:2], answer(generator, z[:2]), atol=1e-6)
    in_training = np.asarray(answer(generator, z, training=True))
    assert np.abs(in_training[:2] - answer(generator, z[:2], training=True)).max() > 1e-4


@pytest.fixture(scope="module")
def conditional():
    """Networks of three classes whose tables are not at their start, zero."""
    config = WaveGANConfig(num_samples=64, dim=2, latent_dim=3, num_classes=3)
    generator = Generator(config, rngs=nnx.Rngs(0))
    for seed, layer in enumerate(generator.modulations):
        draws = np.random.default_rng(seed).normal(size=(2, *layer.scale.shape))
        layer.scale[...], layer.shift[...] = jax.device_put(tuple(draws.astype(np.float32)))
    return generator, Discriminator(config, rngs=nnx.Rngs(1))


def test_classes_and_their_mixtures(conditional):
    """One class is all of its weight; halfway lies elsewhere than either."""
    generator, _ = conditional
    z = np.full((3, 3), 0.3, np.float32)
    each = np.asarray(answer(generator, z, np.arange(3)))
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(answer(generator, z, np.eye(3)), each, atol=1e-6)
    half = np.asarray(answer(generator, z[:1], np.array([[0.5, 0.5, 0.0]])))[0]
    assert min(np.abs(half - each[0]).max(), np.abs(half - each[1]).max()) > 1e-3


def test_the_projection(conditional):
    """Logits of two classes differ by the products of their vectors with the summed features."""
    _, critic = conditional
    x = np.random.default_rng(0).normal(size=(2, 64, 1)).astype(np.float32)
    layer = critic.layers[0]
    features = jax.lax.conv_general_dilated(
        x, layer.kernel[...], (4,), [(10, 11)], dimension_numbers=("NWC", "WIO", "NWC")
    )
    features = np.asarray(jax.nn.leaky_relu(features + layer.bias[...][None, None], 0.2))
    vectors = np.asarray(critic.projection[...])
    expected = features.sum(1) @ (vectors[2] - vectors[0])
    third, first = (np.asarray(answer(critic, x, np.full(2, label))) for label in (2, 0))
    np.testing.assert_allclose(third - first, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, r"conditional: label must be classes \(2,\) in 0 … 2 or .* found none"),
        (jnp.zeros((2, 4)), r"weights of the classes \(2, 3\); found float32 \(2, 4\)"),
        (jnp.array([0, 3]), r"labels lie in 0 … 2, found \[3\]"),
        (np.array([-1, 0]), r"labels lie in 0 … 2, found \[-1\]"),
    ],
)
def test_labels_that_are_no_classes(conditional, label, message):
    generator, critic = conditional
    with pytest.raises(ValueError, match=message):
        generator(jnp.zeros((2, 3)), label)
    with pytest.raises(ValueError, match=message):
        critic(jnp.zeros((2, 64, 1)), label)


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 16000}, r"num_samples .* found 16000; the nearest are 8192 and 16384"),
        ({"num_samples": 16}, r"found 16; the nearest are 32 and 64"),
        ({"num_samples": 0}, r"found 0"),
        ({"num_samples": -64}, r"found -64"),
        ({"num_samples": 48}, r"found 48"),
        ({"channels": 0}, r"channels must be at least 1, found 0"),
        ({"dim": 0}, r"dim must be at least 1, found 0"),
        ({"latent_dim": -1}, r"latent_dim must be at least 1, found -1"),
        ({"kernel_size": 3}, r"kernel_size must be at least 4 .* found 3"),
        ({"phase_shuffle": -1}, r"phase_shuffle .* found -1"),
        ({"phase_shuffle": 16}, r"phase_shuffle .* found 16"),
        ({"num_classes": 1}, r"num_classes must be 0 .* found 1"),
        ({"post_filter": -1}, r"post_filter must be at least 0, found -1"),
        ({"upsample": "linear"}, r"upsample must be one of zeros, nn; found 'linear'"),
        ({"phase_shuffle_by": "clip"}, r"phase_shuffle_by must be one of batch, example"),
        ({"precision": "float16"}, r"precision must be one of float32, tf32, bfloat16"),
        ({"conv_dtype": "float16"}, r"conv_dtype must be one of float32, bfloat16"),
        (
            {"num_samples": 128, "spectrogram_critic": True},
            r"spectrogram_critic needs num_samples of at least 256, found 128",
        ),
    ],
)
def test_options_that_make_no_network(options, message):
    with pytest.raises(ValueError, match=message):
        WaveGANConfig(**options)


def test_input_of_another_shape_or_with_a_label(critic, clips):
    generator = Generator(WaveGANConfig(num_samples=64, dim=1), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"z must be \(n, 100\), found \(2, 99\)"):
        generator(jnp.zeros((2, 99)))
    with pytest.raises(ValueError, match=r"clips must be \(n, 1024, 1\), found \(2, 512, 1\)"):
        critic(jnp.zeros((2, 512, 1)))
    for call in (lambda y: generator(jnp.zeros((2, 100)), y), lambda y: critic(clips[:2], y)):
        with pytest.raises(ValueError, match="takes no label"):
            call(jnp.zeros(2, jnp.int32))


# Precision


def test_the_earlier_name_of_a_precision_is_read():
    """In scripts, and in the configuration of a run, which says both or neither."""
    half = WaveGANConfig(precision="bfloat16")
    assert WaveGANConfig(conv_dtype="bfloat16") == replace(WaveGANConfig(), conv_dtype="bfloat16")
    assert WaveGANConfig(conv_dtype="bfloat16") == half
    assert WaveGANConfig(conv_dtype="float32") == WaveGANConfig()
    assert replace(half, dim=3).precision == "bfloat16"
    assert replace(WaveGANConfig(conv_dtype="bfloat16"), precision="tf32").precision == "tf32"
    assert "conv_dtype" not in asdict(half)


@pytest.mark.parametrize(
    ("precision", "of_float32"), [("float32", "HIGHEST"), ("tf32", "HIGH"), ("bfloat16", "HIGHEST")]
)
def test_what_a_gpu_multiplies_how(precision, of_float32, as_on_a_gpu):
    """Each product of a step, its gradients' of any order included; nothing is left to a default.

    In bfloat16 all convolutions are, and nothing else: the dense layers stay float32.
    """
    config = WaveGANConfig(num_samples=256, dim=2, latent_dim=4, num_classes=2, spectral_norm=True)
    text = lowered(replace(config, precision=precision), TrainConfig(batch_size=2, critic_steps=2))
    products = [
        line
        for line in text.splitlines()
        if re.search(r"stablehlo\.(dot_general|convolution)", line)
    ]
    assert len(products) > 40
    half = [line for line in products if "bf16" in line]
    convolutions = [line for line in products if "convolution" in line]
    assert half == (convolutions if precision == "bfloat16" else [])
    for line in set(products) - set(half):
        found = re.findall(r"DEFAULT|HIGHEST|HIGH", line)
        assert found == [of_float32] * 2, line


@pytest.mark.parametrize("mapped", [False, True])
def test_half_precision_adds_up_in_float32(mapped):
    """1600 ones: in bfloat16, which has no 257, their sum would stay 256."""
    x, kernel = (jnp.ones(shape, jnp.bfloat16) for shape in ((32, 32, 64), (25, 64, 2)))

    @jax.jit
    def both(x, kernel):
        y, back = jax.vjp(partial(strided_conv, stride=1), x, kernel)
        return y, back(jnp.ones_like(y))

    with mapped_kernels() if mapped else nullcontext():
        y, slopes = jax.device_get(both(x, kernel))
    assert y[0, 16, 0] == 1600
    assert slopes[0][0, 16, 0] == 50
    assert slopes[1][12, 0, 0] == 1024
