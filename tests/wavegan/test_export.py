import json
import resource
import struct

import jax
import numpy as np
import pytest
from damaged_files import with_a_bit_changed
from flax import nnx
from safetensors.numpy import load_file, save_file

from features.array_files import write_safetensors
from wavegan import Generator, WaveGANConfig, generate
from wavegan.export import export, read_exported

PLAIN = WaveGANConfig(num_samples=64, dim=2, latent_dim=4)
FULL = WaveGANConfig(
    num_samples=128,
    channels=2,
    dim=1,
    latent_dim=4,
    kernel_size=5,
    num_classes=3,
    batch_norm=True,
    upsample="nn",
    post_filter=8,
)


def trained(config: WaveGANConfig) -> Generator:
    """A generator none of whose variables is as it is at the start."""
    network = Generator(config, rngs=nnx.Rngs(7))
    rng = np.random.default_rng(0)
    for _, variable in nnx.to_flat_state(nnx.state(network)):
        noise = 0.1 * np.abs(rng.standard_normal(variable.shape)).astype(np.float32)
        variable[...] = variable[...] + noise
    return network


def rewrite(path, *, about=None, **arrays) -> None:
    """The exported file with other arrays (None: without it) and other words in its header."""
    content = load_file(path)
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    said = json.loads(header["wavegan"]) | (about or {})
    content |= arrays
    content = {name: array for name, array in content.items() if array is not None}
    del said["blake2b"]
    write_safetensors(path, content, "wavegan", json.dumps(said))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "plain.safetensors"
    export(trained(PLAIN), path, metadata={"sample_rate": 16000})
    return path


@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "full"])
def test_the_same_audio_bit_for_bit(config, tmp_path):
    network = trained(config)
    path = tmp_path / "new" / "drums.safetensors"
    metadata = {"sample_rate": 8000, "labels": ["kick", "snare", "Hände"], "step": 12}
    export(network, path, metadata=metadata)
    again, said = read_exported(path)
    assert said == metadata
    assert again.config == config
    jax.tree.map(np.testing.assert_array_equal, nnx.state(again), nnx.state(network))
    expected = generate(network, 5, seed=1, batch_size=4)
    found = generate(again, 5, seed=1, batch_size=4)
    np.testing.assert_array_equal(found.audio, expected.audio)
    assert [f.name for f in path.parent.iterdir()] == [path.name]


def test_half_the_bytes_sound_almost_alike(tmp_path):
    """bfloat16 rounds each weight by at most 2⁻⁸ of it; what is read is float32 again."""
    network = trained(FULL)
    for dtype in ("float32", "bfloat16"):
        export(network, tmp_path / f"{dtype}.safetensors", dtype=dtype)
    sizes = [(tmp_path / f"{d}.safetensors").stat().st_size for d in ("float32", "bfloat16")]
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(network)))
    assert sizes[0] - sizes[1] == pytest.approx(weights / 2, abs=100)
    again, _ = read_exported(tmp_path / "bfloat16.safetensors")
    for found, exact in zip(
        *(jax.tree.leaves(nnx.state(n)) for n in (again, network)), strict=True
    ):
        assert found.dtype == exact.dtype
        np.testing.assert_allclose(found, exact, rtol=2**-8)
    clips = [generate(n, 8, seed=1).audio for n in (again, network)]
    assert np.std(clips[0] - clips[1]) < 0.03 * np.std(clips[1])
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16; found 'int8'"):
        export(network, tmp_path / "int8.safetensors", dtype="int8")


def test_the_file_reads_without_this_package(tmp_path):
    network = trained(FULL)
    export(network, tmp_path / "full.safetensors")
    arrays = load_file(tmp_path / "full.safetensors")
    assert arrays.keys() >= {"project.kernel", "layers.0.kernel", "norms.0.mean", "post_filter"}
    np.testing.assert_array_equal(arrays["layers.1.bias"], network.layers[1].bias[...])
    np.testing.assert_array_equal(arrays["norms.1.variance"], network.norms[1].variance[...])
    np.testing.assert_array_equal(arrays["modulations.0.scale"], network.modulations[0].scale[...])
    assert sum(a.size for a in arrays.values()) == sum(
        leaf.size for leaf in jax.tree.leaves(nnx.state(network))
    )


def test_the_same_generator_gives_the_same_bytes(file, tmp_path):
    export(trained(PLAIN), tmp_path / "b.safetensors", metadata={"sample_rate": 16000})
    assert (tmp_path / "b.safetensors").read_bytes() == file.read_bytes()


def test_what_cannot_be_written(tmp_path):
    network = trained(PLAIN)
    with pytest.raises(ValueError, match=r"weights\.pkl: .* ends in .safetensors"):
        export(network, tmp_path / "weights.pkl")
    for value in (object(), float("nan")):
        with pytest.raises(ValueError, match="metadata must be fit for JSON"):
            export(network, tmp_path / "a.safetensors", metadata={"value": value})
    assert not list(tmp_path.iterdir())


def test_a_former_file_stays_when_the_disk_is_full(file):
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"could not write {file}"):
            export(trained(PLAIN), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert [f.name for f in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_file_cut_short(file, length):
    content = file.read_bytes()
    file.write_bytes(content[:length])
    with pytest.raises(
        ValueError, match=r"plain\.safetensors is no safetensors file, or cut short"
    ):
        read_exported(file)


def test_something_else(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(FileNotFoundError, match=r"other\.safetensors: no such file"):
        read_exported(path)
    path.write_bytes(b"RIFF" * 100)
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_exported(path)
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(ValueError, match="holds no generator"):
        read_exported(path)
    save_file({"weight": np.zeros(3, np.float32)}, path, {"wavegan": "{"})
    with pytest.raises(ValueError, match="describes no generator that this version knows"):
        read_exported(path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"version": 2}, "format version 2, this is version 1"),
        ({"config": {"num_samples": 64, "colour": 3}}, "colour"),
        ({"config": {"num_samples": 63}}, "num_samples must be 16 times"),
        ({"config": None}, "describes no generator"),
        ({"config": {"num_samples": 64, "dim": 10**9}}, r"a size of 1e\+09, and has \d+ numbers"),
    ],
)
def test_another_version_or_configuration(file, about, message):
    rewrite(file, about=about)
    with pytest.raises(ValueError, match=message) as error:
        read_exported(file)
    assert file.name in str(error.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"layers.0.bias": None},
            r"the variable layers\.0\.bias is missing; found: .*project\.kernel",
        ),
        ({"post_filter": np.zeros(8, np.float32)}, "the variable post_filter has no place"),
        (
            {"project.kernel": np.zeros((4, 5), np.float32)},
            r"project\.kernel is float32 \(4, 5\), .* needs float32 \(4, 32\)",
        ),
        (
            {"layers.0.bias": np.zeros(1, np.float16)},
            r"layers\.0\.bias is float16 \(1,\), .* needs float32 \(1,\)",
        ),
    ],
)
def test_other_variables(file, arrays, message):
    rewrite(file, **arrays)
    with pytest.raises(ValueError, match=message) as error:
        read_exported(file)
    assert file.name in str(error.value)


def test_a_changed_weight_or_word_is_refused(file):
    for _ in with_a_bit_changed(file, b"version"):
        with pytest.raises(ValueError, match=r"is damaged .*: export the generator again"):
            read_exported(file)
