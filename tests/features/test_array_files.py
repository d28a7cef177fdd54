"""Arrays in files: any changed bit is refused."""

import json

import numpy as np
import pytest

from features.array_files import read_safetensors, write_safetensors


def test_any_flipped_bit_of_a_safetensors_file_is_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    arrays = {"b": np.arange(3, dtype=np.float32), "a": np.zeros((2, 0)), "c": np.int32(7)}
    about = {"version": 1, "metadata": {"tracks": {"blues.00000": "0f"}}}
    write_safetensors(file, arrays, "ours", json.dumps(about))
    found, header = read_safetensors(file, "again", "ours")
    assert json.loads(header["ours"]).items() >= about.items()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    whole = file.read_bytes()
    write_safetensors(file, arrays, "ours", json.dumps(about))
    assert file.read_bytes() == whole
    for place in range(len(whole)):
        for bit in (1, 16):
            changed = bytearray(whole)
            changed[place] ^= bit
            file.write_bytes(changed)
            try:
                found, header = read_safetensors(file, "again", "ours")
                text = header["ours"]
            except (ValueError, KeyError):
                continue
            with pytest.raises(json.JSONDecodeError):  # so that whoever wants it refuses it
                json.loads(text)


def test_a_safetensors_file_without_a_hash_is_read(tmp_path):
    """wavegan 0.2.0 wrote none."""
    from safetensors.numpy import save

    about = json.dumps({"version": 1, "metadata": {}})
    (tmp_path / "a.safetensors").write_bytes(save({"a": np.ones(2)}, metadata={"ours": about}))
    arrays, header = read_safetensors(tmp_path / "a.safetensors", "again", "ours")
    assert arrays["a"].tolist() == [1, 1]
    assert header["ours"] == about
