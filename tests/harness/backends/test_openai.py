"""Over HTTP nothing is lost, doubled, or scored 0 for a fault of the line."""

from __future__ import annotations

import time
from typing import Any

import pytest
from faulty_server import KINDS, FaultyServer, serving

from waterbed.harness.backends import endpoint
from waterbed.harness.backends.endpoint import Endpoint, Limiter
from waterbed.harness.backends.keys import Key
from waterbed.harness.backends.openai import OpenAIBackend
from waterbed.harness.errors import BackendError, UsageError
from waterbed.harness.records import Choose, Generate, GenerationSettings, Sample, Score, user
from waterbed.harness.runner import Outcome, Runner, TaskPlan
from waterbed.harness.tasks import Card, Metric, Task


class Sums:
    """So many sums, asked as chats or as text."""

    def __init__(self, n: int, chat: bool = True) -> None:
        self.n, self.chat = n, chat

    def samples(self) -> list[Sample]:
        return [Sample(str(i), f"{i}+{i % 7}=", str(i + i % 7)) for i in range(self.n)]

    def prompt(self, sample: Sample) -> Any:
        return user(sample.input) if self.chat else sample.input

    def grade(self, sample: Sample, generation: Any) -> Score:
        return Score(float(generation.text == sample.target))


def sums(n: int, chat: bool = True) -> Task:
    return Task(
        *("sums", "math", "1", "chat" if chat else "completion", (Metric("correct"),)),
        *(GenerationSettings(max_tokens=8), 1, (), (), Card("sums"), lambda: Sums(n, chat)),
    )


def ask(server: FaultyServer, n: int, *, chat: bool = True, **options: Any) -> Outcome:
    patient = {"timeout_s": 10.0, "deadline_s": 20.0, **options}
    backend = OpenAIBackend(url=server.url, **patient)
    task = sums(n, chat)
    try:
        return Runner({"candidate": backend}).run([TaskPlan(task, task.items)])
    finally:
        backend.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PAUSE_S", 0.02)


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_a_fault_that_passes_costs_time_and_no_answer(kind: str) -> None:
    with serving(kind) as server:
        outcome = ask(server, 120, timeout_s=0.2 if kind == "stall" else 10.0)
    assert {score.value for score in outcome.scores.values()} == {1.0}
    assert len(outcome.entries) == len(outcome.scores) == 120
    tries = {1 if kind == "" else 2}
    assert set(server.asked.values()) == tries or kind == "stall"  # a stall may cost two
    assert len(server.answered) == 120


@pytest.mark.parametrize("kind", ["drop", "broken", "malformed"])
def test_a_fault_that_stays_is_unscored_and_the_rest_is_scored(kind: str) -> None:
    with serving(kind, tries=10**6, only="7+") as server:
        outcome = ask(server, 60, deadline_s=0.3)
    lost = {key[1] for key, score in outcome.scores.items() if not score.scored}
    assert lost == {str(i) for i in range(60) if "7+" in f"{i}+"}
    assert {score.reason for score in outcome.scores.values() if not score.scored} == {
        "backend_error"
    }
    assert {score.value for score in outcome.scores.values() if score.scored} == {1.0}


def test_a_prompt_beyond_the_context_is_no_fault_of_the_line_and_not_tried_again() -> None:
    with serving("too_long", tries=10**6, only="3+") as server:
        outcome = ask(server, 20)
    reasons = {key[1]: score.reason for key, score in outcome.scores.items() if not score.scored}
    assert reasons == {"3": "prompt_too_long", "13": "prompt_too_long"}
    assert server.asked["3+3="] == 1


def test_a_stall_that_never_ends_is_named_a_time_out() -> None:
    with serving("stall", tries=10**6, only="5+") as server:
        outcome = ask(server, 8, timeout_s=0.1, deadline_s=0.3)
    assert outcome.scores[("sums", "5", 0)].reason == "timeout"


def test_a_refused_key_stops_the_run_with_the_next_step() -> None:
    with (
        serving("forbidden", tries=10**6) as server,
        pytest.raises(BackendError, match=r"401.*the key"),
    ):
        ask(server, 20)


def test_a_server_that_is_not_there_is_named_at_the_start() -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(BackendError, match="check the address"):
        OpenAIBackend(url=url)


def test_a_server_that_goes_away_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "GONE_S", 0.3)
    with serving() as server:
        backend = OpenAIBackend(url=server.url, deadline_s=20.0)
        backend.endpoint.client.close()
        backend.endpoint = Endpoint(server.url, Key(), most=4, timeout_s=1.0, deadline_s=20.0)
    task = sums(50)
    with pytest.raises(BackendError, match="not been reachable"):
        Runner({"candidate": backend}).run([TaskPlan(task, task.items)])
    backend.close()


def test_requests_overlap_up_to_the_limit_and_no_further() -> None:
    with serving(delay_s=0.05) as server:
        began = time.monotonic()
        ask(server, 64, concurrency=16)
        took = time.monotonic() - began
    assert 8 < server.most_under_way <= 16
    assert took < 64 * 0.05


def grown(most: int) -> Limiter:
    limiter = Limiter(most)
    while limiter.allowed < most:
        limiter.rose()
    return limiter


def round_of(limiter: Limiter, bad: float) -> float:
    """One round of answers with a share of complaints; what is allowed then."""
    count = int(limiter.allowed)
    for i in range(count):
        (limiter.fell if i < bad * count else limiter.rose)()
    return limiter.allowed


def test_a_server_that_complains_is_asked_less_at_once_in_proportion() -> None:
    assert round_of(grown(64), 0.5) == 52
    assert round_of(grown(64), 0.1) > 60
    limiter = grown(64)
    for _ in range(40):
        round_of(limiter, max(0.0, 1 - 16 / limiter.allowed))  # it bears 16
    assert 16 <= limiter.allowed <= 26
    for _ in range(20):
        round_of(limiter, 0.0)
    assert limiter.allowed == 64


def test_a_burst_in_which_nothing_works_halves_once() -> None:
    limiter = grown(64)
    assert [round_of(limiter, 1.0) for _ in range(4)] == [32, 32, 32, 32]
    assert round_of(limiter, 0.0) == 36


def test_a_model_that_the_server_lacks_is_refused_by_name() -> None:
    with serving() as server, pytest.raises(BackendError, match=r"does not serve 'gpt'.*adder"):
        OpenAIBackend("gpt", url=server.url)
    with pytest.raises(UsageError, match="no address"):
        OpenAIBackend(url="localhost:8000")


def test_everything_that_shapes_an_answer_is_sent_and_described() -> None:
    with serving() as server:
        backend = OpenAIBackend(url=server.url, body={"top_k": 5})
        settings = GenerationSettings(max_tokens=9, temperature=0.7, top_p=0.9, stop=("\n",))
        ticket = make_ticket(Generate(user("1+1=")), settings)
        [(_, got)] = backend.answer([ticket])
        backend.close()
    sent = server.bodies[-1]
    assert sent["messages"] == [{"role": "user", "content": "1+1="}]
    asked = {k: sent[k] for k in ("max_tokens", "temperature", "top_p", "stop", "top_k", "seed")}
    assert asked == {
        "max_tokens": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "stop": ["\n"],
        "top_k": 5,
        "seed": ticket.seed,
    }
    assert (got.text, got.prompt_tokens, got.completion_tokens) == ("2", 4, 1)  # type: ignore[union-attr]
    assert backend.describe()["body"] == {"top_k": 5}


def test_identity_follows_the_weights_where_they_are_known() -> None:
    with serving() as one, serving() as two:
        a, b = OpenAIBackend(url=one.url), OpenAIBackend(url=two.url)
        c, d = (OpenAIBackend(url=s.url, digest="abc") for s in (one, two))
        assert a.identity != b.identity
        assert c.identity == d.identity
        for backend in (a, b, c, d):
            backend.close()


def test_choose_without_log_probabilities_is_a_fault_and_no_choice() -> None:
    with serving() as server:
        backend = OpenAIBackend(url=server.url)
        request = Choose(user("1+1="), ("2", "3"))
        [(_, got)] = backend.answer([make_ticket(request, GenerationSettings())])
        backend.close()
    assert "log-probabilities" in got.detail  # type: ignore[union-attr]


def make_ticket(request: Any, settings: GenerationSettings) -> Any:
    from waterbed.harness.backends.base import Ticket, as_text

    return Ticket(request, as_text(request), settings, 17, "t", "s", 0, 0)
