"""A server asked over HTTP: retries with jitter, deadlines, and no more at once than it bears.

The number of requests under way grows until the server complains (429, 503, a time-out), then is
halved: additive increase, multiplicative decrease (Chiu & Jain 1989), with a slow start. What is worth
another try is tried again until the deadline; what is not comes back as a Fault, and what no request
can survive (a refused key, a server that is gone) is a BackendError. Not here: what is asked and what
the answers mean (openai.py).
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import BackendError
from ..records import Fault

A = TypeVar("A")

#: Requests under way before the server has shown what it bears.
START = 8
#: Seconds without any answer after which a server that refuses connections is taken to be gone.
GONE_S = 60.0
#: First and longest pause before another try, in seconds.
PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
OVERLOADED = frozenset({429, 503, 529})
HOPELESS = frozenset({401, 402, 403, 404, 405})
_TOO_LONG = re.compile(
    r"context.{0,12}(length|window|size)|max_model_len|(prompt|input).{0,40}too (long|large)|too many tokens",
    re.IGNORECASE,
)


class Limiter:
    """How many requests may be under way; threads wait for a slot."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.allowed = float(min(most, START))
        self.in_use = 0
        self.complained = False
        self.lowered_at = 0.0
        self.changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[float]:
        """Wait for a slot; gives the time at which it was got."""
        with self.changed:
            self.changed.wait_for(lambda: self.in_use < int(self.allowed))
            self.in_use += 1
        try:
            yield time.monotonic()
        finally:
            with self.changed:
                self.in_use -= 1
                self.changed.notify_all()

    def rose(self) -> None:
        """A request went well: one more a round once the server has complained, twice as many before."""
        with self.changed:
            step = 1 / self.allowed if self.complained else 1.0
            self.allowed = min(self.most, self.allowed + step)
            self.changed.notify_all()

    def fell(self, begun: float, least: int = 1) -> None:
        """The server complained of a request begun at `begun`; one burst halves once."""
        with self.changed:
            if begun < self.lowered_at or self.allowed <= least:
                return
            self.complained = True
            self.allowed = max(float(least), self.allowed / 2)
            self.lowered_at = time.monotonic()


class Endpoint:
    """One server.

    Args:
        url: up to and with the version, for example `http://127.0.0.1:8000/v1`.
        key: sent as a bearer token; kept out of every message and record.
        most: requests under way at most.
        timeout_s: longest wait for one try.
        deadline_s: longest wait for one request with all its tries.
    """

    def __init__(
        self, url: str, key: str | None, *, most: int, timeout_s: float, deadline_s: float
    ) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        self.url = url.rstrip("/")
        self.client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(timeout_s, connect=10.0), limits=limits
        )
        self.limiter = Limiter(most)
        self.timeout_s = timeout_s
        self.deadline_s = deadline_s
        self.last_answer = time.monotonic()
        self.retries = 0

    def get(self, path: str) -> Any:
        """One GET without retries.

        Raises:
            BackendError: no JSON came back.
        """
        import httpx

        try:
            response = self.client.get(f"{self.url}{path}")
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise BackendError(
                f"{self.url}{path} gave no answer ({_shown(error)}); check the address, the key and that "
                "the server is running."
            ) from error

    def accepts(self, address: str) -> bool:
        """Whether there is something to POST to at an address (a GET is refused, not unknown)."""
        import httpx

        try:
            return bool(self.client.get(address).status_code == 405)
        except httpx.HTTPError:
            return False

    def post(
        self, path: str, payload: Mapping[str, Any], read: Callable[[Mapping[str, Any]], A]
    ) -> A | Fault:
        """Ask until there is an answer that `read` accepts, or the deadline has passed.

        Args:
            path: below the server's address, or a whole address.
            read: makes the answer of a JSON body; raises ValueError, KeyError, TypeError or IndexError
                where the body is not one, which counts as a failed try.

        Raises:
            BackendError: the server refuses every request alike, or is gone.
        """
        end = time.monotonic() + self.deadline_s
        tries = 0
        while True:
            tries += 1
            got = self._try(path, payload, read)
            if not isinstance(got, _Again):
                return got
            pause = max(got.wait_s or 0.0, _pause(tries))
            if time.monotonic() + pause > end:
                return Fault(got.reason, f"{got.why} after {tries} tries")
            self.retries += 1
            time.sleep(pause)

    def _try(
        self, path: str, payload: Mapping[str, Any], read: Callable[[Mapping[str, Any]], A]
    ) -> A | Fault | _Again:
        import httpx

        address = path if "://" in path else f"{self.url}{path}"
        with self.limiter.slot() as begun:
            try:
                response = self.client.post(address, json=payload)
            except httpx.TimeoutException as error:
                self.limiter.fell(begun, START)  # a stall is not always a crowd
                return _Again("timeout", _shown(error))
            except httpx.ConnectError as error:
                self._check_gone(error)
                return _Again("backend_error", _shown(error))
            except httpx.HTTPError as error:  # cut bodies, dropped connections
                return _Again("backend_error", _shown(error))
            if response.status_code in OVERLOADED:
                self.limiter.fell(begun)
        self.last_answer = time.monotonic()
        if response.status_code != 200:
            return self._refused(response)
        try:
            answer = read(response.json())
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            return _Again("backend_error", f"an answer that is none ({_shown(error)})")
        self.limiter.rose()
        return answer

    def _refused(self, response: Any) -> Fault | _Again:
        """What a status other than 200 means."""
        code, text = response.status_code, response.text[:300]
        if code in RETRIED:
            return _Again("backend_error", f"HTTP {code}: {text}", _retry_after(response))
        if code in HOPELESS:
            raise BackendError(
                f"{self.url} answers HTTP {code} ({text}); check the model's name and the key, then run the "
                "same command again: it resumes."
            )
        reason = "prompt_too_long" if code in (400, 413, 422) and _TOO_LONG.search(text) else ""
        return Fault(reason or "backend_error", f"HTTP {code}: {text}")

    def _check_gone(self, error: Exception) -> None:
        if time.monotonic() - self.last_answer > GONE_S:
            raise BackendError(
                f"{self.url} has not been reachable for {GONE_S:.0f} s ({_shown(error)}); start the server "
                "and run the same command again: it resumes."
            ) from error

    def close(self) -> None:
        """Drop all connections; requests under way fail."""
        self.client.close()


class _Again:
    """A try that failed in a way that another may not."""

    def __init__(self, reason: str, why: str, wait_s: float | None = None) -> None:
        self.reason, self.why, self.wait_s = reason, why, wait_s


def _pause(tries: int) -> float:
    """Full jitter: anything up to twice as long as the time before."""
    return random.uniform(0.0, min(LONGEST_PAUSE_S, PAUSE_S * 2.0**tries))


def _retry_after(response: Any) -> float | None:
    """Seconds that the server asks to wait; dates and nonsense are ignored."""
    try:
        asked = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(asked, 2 * LONGEST_PAUSE_S) if asked > 0 else None


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}".rstrip(": ")
