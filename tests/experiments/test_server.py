"""The server of a page: what it gives, what it refuses, and how long a clip takes."""

import base64
import io
import json
import socket
import threading
import time
from html import unescape
from http.client import HTTPConnection

import jax
import numpy as np
import pytest
import soundfile as sf
from flax import nnx

from experiments.cli import main
from experiments.config import AuditionConfig
from experiments.listening import auditions
from experiments.listening.studio import Studio
from experiments.server import MOST_BYTES, PageServer, warm_up
from wavegan import Generator, WaveGANConfig, generate
from wavegan.export import export

RATE = 4000
ASKED = {"gan": 0, "x": 0.5, "y": -0.25, "truncation": 0.8, "weights": [0, 1, 0]}


@pytest.fixture(scope="module")
def network() -> Generator:
    config = WaveGANConfig(num_samples=1024, dim=1, latent_dim=4, num_classes=3)
    graph, state = nnx.split(Generator(config, rngs=nnx.Rngs(1)))
    return nnx.merge(graph, jax.tree.map(lambda weights: 3 * weights, state))


@pytest.fixture(scope="module")
def studio(network, tmp_path_factory) -> Studio:
    file = tmp_path_factory.mktemp("genres") / "genres.safetensors"
    export(network, file, metadata={"sample_rate": RATE, "labels": ["a", "b", "c"]})
    return Studio(auditions.makers(AuditionConfig((file,))), seed=3)


@pytest.fixture(scope="module")
def server(studio, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<p>the page")
    (folder / "secret.txt").write_text("not for the browser")
    (folder / "clips").mkdir()
    (folder / "clips" / "0123456789ab.js").write_text("heard()")
    (folder / "clips" / "ffffffffffff.js").symlink_to(folder / "secret.txt")
    with PageServer(folder, studio, "127.0.0.1", 0) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(server, method: str, path: str, body: bytes | None = None, **headers: str):
    """The status, type and content of an answer."""
    name = f"127.0.0.1:{server.server_port}"
    usual = {"Host": name, "Origin": f"http://{name}", "Content-Type": "application/json"}
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    given = {**usual, **{key.replace("_", "-"): value for key, value in headers.items()}}
    connection.request(method, path, body, {k: v for k, v in given.items() if v})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], content


def test_the_page_and_what_lies_beside_it(server):
    assert ask(server, "GET", "/") == (200, "text/html; charset=utf-8", b"<p>the page")
    assert ask(server, "GET", "/clips/0123456789ab.js")[::2] == (200, b"heard()")


@pytest.mark.parametrize(
    "path",
    ["/secret.txt", "/../secret.txt", "/clips/../secret.txt", "/clips/", "/render",
     "/clips/ffffffffffff.js", "/clips/aaaaaaaaaaaa.js", "/clips/0123456789ab.js?x", "//etc/passwd",
     "/clips/%2e%2e/secret.txt", "/index.html/..", "/clips/0123456789AB.js"],
)  # fmt: skip
def test_requests_outside_the_page_are_refused(server, path):
    status, kind, content = ask(server, "GET", path)
    assert (status, kind) == (404, "application/json")
    assert b"not for the browser" not in content


def test_only_the_page_itself_may_ask(server):
    body = json.dumps(ASKED).encode()
    assert ask(server, "GET", "/", Host="evil.example")[0] == 403
    assert ask(server, "POST", "/render", body, Origin="http://evil.example")[0] == 403
    assert ask(server, "POST", "/render", body, Origin="")[0] == 403
    assert ask(server, "POST", "/render", body, Host="evil.example")[0] == 403
    assert ask(server, "POST", "/render", body, Content_Type="text/plain")[0] == 404
    assert ask(server, "POST", "/other", body)[0] == 404
    assert ask(server, "PUT", "/render", body)[0] == 501


def test_a_clip_is_that_of_its_latent_and_class(server, network, studio):
    status, _, content = ask(server, "POST", "/render", json.dumps(ASKED).encode())
    made = json.loads(content)
    assert (status, made["label"]) == (200, "b")
    latent = np.frombuffer(base64.b64decode(made["latent"]), "<f4")
    origin, across, up = studio.corners[0]
    expected = 0.8 * (origin + 0.5 * (across - origin) - 0.25 * (up - origin))
    np.testing.assert_allclose(latent, np.clip(expected, -1, 1), atol=1e-6)
    heard, rate = sf.read(io.BytesIO(base64.b64decode(made["sound"])), always_2d=True)
    assert rate == RATE
    again = generate(network, latents=latent[None], label=1).audio[0]
    np.testing.assert_allclose(heard, again, atol=2**-15)
    mix = json.loads(ask(server, "POST", "/render",
                         json.dumps({**ASKED, "weights": [1, 1, 0]}).encode())[2])  # fmt: skip
    assert mix["label"] is None
    assert mix["key"] != made["key"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gan": 1}, "gan lies in 0 … 0, found 1"),
        ({"gan": True}, "gan lies in"),
        ({"x": 3}, "x is a number in -2 … 2, found 3"),
        ({"y": None}, "y is a number"),
        ({"y": 1e999}, "y is a number"),
        ({"truncation": 0}, "truncation is a number in 0.001 … 1"),
        ({"weights": [0, 0, 0]}, "must not all be 0"),
        ({"weights": [1]}, "weights are 3 numbers"),
        ({"weights": [-1, 1, 1]}, "weights is a number in 0 … 1"),
        ({"weights": "all"}, "weights are 3 numbers"),
    ],
)
def test_what_can_not_be_made_says_why(server, change, said):
    status, _, content = ask(server, "POST", "/render", json.dumps({**ASKED, **change}).encode())
    assert status == 400
    assert said in json.loads(content)["error"]


def test_work_is_bounded(server):
    for body in (b"[" * 60_000, b"[]", b"{", b"\xff"):
        assert ask(server, "POST", "/render", body)[0] == 400
    assert ask(server, "POST", "/render", b" " * (MOST_BYTES + 1))[0] == 413
    with server.busy:
        start = time.monotonic()
        status, _, content = ask(server, "POST", "/render", json.dumps(ASKED).encode())
        assert (status, "another clip" in json.loads(content)["error"]) == (503, True)
        assert 1.5 < time.monotonic() - start < 8


def test_a_port_in_use_and_a_host_elsewhere_are_named(studio, tmp_path, server):
    with pytest.raises(ValueError, match=f"--port {server.server_port}: Address already in use"):
        PageServer(tmp_path, studio, "127.0.0.1", server.server_port)
    with pytest.raises(ValueError, match=r"--host 203\.0\.113\.1 .*: "):
        PageServer(tmp_path, studio, "203.0.113.1", 0)


def test_the_command_says_where_to_look_and_ends_quietly(studio, tmp_path, monkeypatch, capsys):
    file = studio.makers[0].gan.folder
    line = ["audition", file, "--out", tmp_path / "page", "--count", 1, "--between", 0, "--serve"]

    def stop(self: PageServer, poll_interval: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", stop)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main([*map(str, [*line, "--port", port])]) == 2
        assert f"--port {port}: Address already in use" in capsys.readouterr().err
    assert main([*map(str, [*line, "--port", 0])]) == 0
    assert "open http://127.0.0.1:" in capsys.readouterr().err
    html = unescape((tmp_path / "page" / "index.html").read_text())
    assert "connect-src 'self'" in html
    assert "Make new clips" in html
    assert main([*map(str, [*line, "--single-file"])]) == 2


@pytest.mark.slow
def test_a_sound_of_dim_64_within_200_ms(tmp_path):
    config = WaveGANConfig(num_samples=16384, dim=64, num_classes=10)
    file = tmp_path / "large.safetensors"
    export(Generator(config, rngs=nnx.Rngs(0)), file, metadata={"sample_rate": 16000})
    studio = Studio(auditions.makers(AuditionConfig((file,))), seed=0)
    warm_up(studio)
    folder = tmp_path / "page"
    folder.mkdir()
    with PageServer(folder, studio, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        seconds = []
        for i in range(7):
            body = json.dumps({**ASKED, "x": i / 10, "weights": [1.0] * 10}).encode()
            start = time.monotonic()
            assert ask(server, "POST", "/render", body)[0] == 200
            seconds.append(time.monotonic() - start)
        server.shutdown()
    print([round(1000 * x) for x in seconds])
    assert np.median(seconds[1:]) < 0.2
