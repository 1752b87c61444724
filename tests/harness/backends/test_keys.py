"""A key goes to the one server that it was set for, and to no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Handler, serving
from test_openai import make_ticket

from waterbed.harness.backends.keys import key_for
from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.errors import BackendError, UsageError
from waterbed.harness.records import Generate, GenerationSettings, user
from waterbed.harness.roles import open_role

OWN, JUDGES = "sk-openai-1234567890", "sk-judge-1234567890"

SUITE = '''
from waterbed import Generate, Sample, Score, task

@task("keys/sums", domain="math", style="completion", roles=("judge",))
class Sums:
    """The candidate adds one, the judge adds two."""
    def samples(self):
        return [Sample(str(n), n) for n in range(4)]
    def converse(self, sample):
        answer = yield Generate(f"{sample.input}+1=")
        vote = yield Generate(f"{sample.input}+2=", role="judge")
        return Score(float(int(vote.text) == int(answer.text) + 1))
'''


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "WATERBED_JUDGE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "base", "sent"),
    [
        ("https://api.openai.com/v1", None, True),
        ("https://api.openai.com:443/v1", None, True),
        ("http://api.openai.com/v1", None, False),
        ("https://api.openai.com.elsewhere.org/v1", None, False),
        ("https://api.openai.com@elsewhere.org/v1", None, False),
        ("http://127.0.0.1:8000/v1", None, False),
        ("https://proxy.example.org/v1", "https://proxy.example.org/openai", True),
        ("https://api.openai.com/v1", "https://proxy.example.org/openai", False),
    ],
)
def test_openais_key_is_for_openais_host_or_the_one_its_variable_names(
    url: str, base: str | None, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OWN)
    if base:
        monkeypatch.setenv("OPENAI_BASE_URL", base)
    assert (key_for("judge", url).value == OWN) is sent
    monkeypatch.setenv("WATERBED_JUDGE_API_KEY", JUDGES)
    assert key_for("judge", url).value == JUDGES
    assert (key_for("candidate", url).value == OWN) is sent


def test_each_server_of_a_run_is_sent_the_key_of_its_role_alone(
    waterbed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OWN)
    monkeypatch.setenv("WATERBED_JUDGE_API_KEY", JUDGES)
    suite, out = tmp_path / "sums.py", tmp_path / "run"
    suite.write_text(SUITE)
    with serving() as candidate, serving() as judge:
        command = ["eval", "adder", "--backend", "openai", "--base-url", candidate.url]
        done = waterbed(*command, "--suites", suite, "--judge", judge.url, "--out", out)
        assert done.code == 0, done.err
        assert candidate.keys == {None}
        assert judge.keys == {f"Bearer {JUDGES}"}
    written = [file.read_bytes() for file in out.iterdir() if file.is_file()]
    assert not any(JUDGES.encode() in data for data in written)


def test_no_key_follows_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERBED_JUDGE_API_KEY", JUDGES)
    with serving() as other, serving("told") as server:

        def told(self: Handler) -> bool:
            self.reply(307, {}, {"Location": f"{other.url}/chat/completions"})
            return True

        monkeypatch.setattr(Handler, "told", told, raising=False)
        got = asked(server)
        assert got.reason == "backend_error" and "307" in got.detail
        assert other.keys == set()


def asked(server: FaultyServer) -> Any:
    backend = open_role("judge", server.url, {})
    try:
        [(_, got)] = backend.answer([make_ticket(Generate(user("1+1=")), GenerationSettings())])
    finally:
        backend.close()
    return got


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        (None, r"none was sent: export WATERBED_JUDGE_API_KEY if this server wants one\)"),
        ("OPENAI_API_KEY", r"wants one; OPENAI_API_KEY is kept for its own host"),
        ("WATERBED_JUDGE_API_KEY", r"that of WATERBED_JUDGE_API_KEY was sent"),
    ],
)
def test_a_refusal_says_which_key_the_server_was_sent(
    variable: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, OWN)

    def refused(self: Handler) -> bool:
        self.reply(401, {"error": "no"})
        return True

    monkeypatch.setattr(Handler, "told", refused, raising=False)
    with serving("told") as server, pytest.raises(BackendError, match=told):
        asked(server)


@pytest.mark.parametrize("address", ["http://host:port/v1", "http://[::1/v1"])
def test_an_address_of_the_environment_that_is_none_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(UsageError, match="OPENAI_BASE_URL holds no address; set it to one such as"):
        key_for("judge", "http://127.0.0.1:1/v1")


def test_a_variable_that_is_named_and_not_set_is_refused() -> None:
    with serving() as server, pytest.raises(UsageError, match="MY_KEY is named for the key"):
        OpenAIBackend(url=server.url, key_variable="MY_KEY")


def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATERBED_USER_API_KEY", OWN[:8] + "\n" + OWN[8:])
    with pytest.raises(UsageError, match="characters that no header can carry") as caught:
        key_for("user", "http://127.0.0.1:1/v1")
    assert OWN[:8] not in str(caught.value)
