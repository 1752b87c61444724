"""A server asked over HTTP: retries with jitter, deadlines, and no more at once than it bears.

The number of requests under way grows until the server complains (429, 503, a time-out), then shrinks
by half the share of complaints: additive increase, and a decrease in proportion as in DCTCP (Alizadeh
et al., SIGCOMM 2010, section 3.1), so that a few refusals do not empty the line. What is worth
another try is tried again until the deadline; what is not comes back as a Fault, and what no request
can survive (a refused key or field, an untrusted certificate, a server that is gone) is a BackendError.
Proxies and certificates come from the environment, as httpx reads it (HTTPS_PROXY, NO_PROXY,
SSL_CERT_FILE). Not here: what is asked and what the answers mean (openai.py).
"""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from ..errors import BackendError
from ..records import Fault
from .keys import Key

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
#: Fields that are asked for where they are given, and done without elsewhere.
OPTIONAL = frozenset({"logprobs", "top_logprobs"})
#: What reading a body that is none raises.
UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
_TOO_LONG = re.compile(
    r"context.{0,12}(length|window|size)|max_model_len|(prompt|input).{0,40}too (long|large)|too many tokens",
    re.IGNORECASE,
)


class Limiter:
    """How many requests may be under way; threads wait for a slot.

    Twice as many a round until the first complaint. From then on each round of answers takes away half
    the share of complaints in it, and adds a sixteenth of the most where anything went well.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.allowed = float(min(most, START))
        self.in_use = 0
        self.complained = False
        self.good = self.bad = 0
        self.nothing_worked = False
        self.changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot and hold it."""
        with self.changed:
            self.changed.wait_for(lambda: self.in_use < int(self.allowed))
            self.in_use += 1
        try:
            yield
        finally:
            with self.changed:
                self.in_use -= 1
                self.changed.notify()

    def rose(self) -> None:
        """A request went well."""
        with self.changed:
            self.good += 1
            if not self.complained:
                self.allowed = min(self.most, self.allowed + 1)
            self._count()

    def fell(self) -> None:
        """The server complained."""
        with self.changed:
            if not self.complained:
                self.complained, self.good = True, 0
            self.bad += 1
            self._count()

    def _count(self) -> None:
        """At the end of a round, allow more or less. A burst in which nothing works halves once."""
        seen = self.good + self.bad
        if seen >= int(self.allowed):
            if self.good or not self.nothing_worked:
                kept = self.allowed * (1 - self.bad / seen / 2)
                more = max(1.0, self.most / 16) if self.good else 0.0
                self.allowed = min(self.most, max(1.0, kept + more))
            self.nothing_worked = not self.good
            self.good = self.bad = 0
        self.changed.notify_all()


class Endpoint:
    """One server.

    Args:
        url: up to and with the version, for example `http://127.0.0.1:8000/v1`.
        key: its value is sent as a bearer token, and kept out of every message and record.
        most: requests under way at most.
        timeout_s: longest wait for one try.
        deadline_s: longest wait for one request with all its tries.
    """

    def __init__(
        self, url: str, key: Key, *, most: int, timeout_s: float, deadline_s: float
    ) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {key.value}"} if key.value else {}
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        host = parts.netloc.rsplit("@", 1)[-1]
        #: The address as it may be shown, without a user's name and password.
        self.shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
        self.key = key
        self.secrets = [s for s in (key.value, parts.password) if s]
        self.client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(timeout_s, connect=10.0), limits=limits
        )
        self.limiter = Limiter(most)
        self.timeout_s = timeout_s
        self.deadline_s = deadline_s
        self.last_answer = time.monotonic()
        self.retries = 0

    def told(self, said: object) -> str:
        """An error or a server's text, short and without the key, which some servers repeat."""
        text = (
            f"{type(said).__name__}: {said}".rstrip(": ")
            if isinstance(said, Exception)
            else str(said)
        )
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text[:300]

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
                f"{self.shown}{path} gave no answer ({self.told(error)}); check the address, the key "
                f"({self.key.told}), and that the server is running."
            ) from None

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
            read: makes the answer of a JSON body; raises one of UNREADABLE where the body is not one,
                which counts as a failed try.

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
        with self.limiter.slot():
            try:
                response = self.client.post(address, json=payload)
            except httpx.TimeoutException as error:
                self.limiter.fell()
                return _Again("timeout", self.told(error))
            except httpx.ConnectError as error:
                self._check_reachable(error)
                return _Again("backend_error", self.told(error))
            except httpx.HTTPError as error:  # cut bodies, dropped connections
                return _Again("backend_error", self.told(error))
            if response.status_code in OVERLOADED:
                self.limiter.fell()
        self.last_answer = time.monotonic()
        if response.status_code != 200:
            return self._refused(response)
        try:
            answer = read(response.json())
        except (*UNREADABLE, RecursionError) as error:
            return _Again("backend_error", f"an answer that is none ({self.told(error)})")
        self.limiter.rose()
        return answer

    def _refused(self, response: Any) -> Fault | _Again:
        """What a status other than 200 means."""
        code, text = response.status_code, self.told(response.text)
        if code in RETRIED:
            return _Again("backend_error", f"HTTP {code}: {text}", _retry_after(response))
        if code in HOPELESS:
            raise BackendError(
                f"{self.shown} answers HTTP {code} ({text}); check the model's name and the key "
                f"({self.key.told}), then run the same command again: it resumes."
            )
        name = _unsupported(response)
        if name and name not in OPTIONAL:
            raise BackendError(
                f"{self.shown} does not take the field '{name}' ({text}); choose settings that this model "
                "takes (for max_tokens: token_field=max_completion_tokens)."
            )
        reason = "prompt_too_long" if code in (400, 413, 422) and _TOO_LONG.search(text) else ""
        return Fault(reason or "backend_error", f"HTTP {code}: {text}")

    def _check_reachable(self, error: Exception) -> None:
        if isinstance(_root(error), ssl.SSLError):
            raise BackendError(
                f"{self.shown} cannot be trusted ({self.told(_root(error))}); correct the address, or name "
                "its certificate in SSL_CERT_FILE."
            ) from None
        if time.monotonic() - self.last_answer > GONE_S:
            raise BackendError(
                f"{self.shown} has not been reachable for {GONE_S:.0f} s ({self.told(error)}); start the "
                "server and run the same command again: it resumes."
            ) from None

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
    """Seconds that the server asks to wait, told in seconds or as a date; nonsense is ignored."""
    told = response.headers.get("retry-after", "")
    try:
        asked = float(told)
    except ValueError:
        try:
            asked = parsedate_to_datetime(told).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(asked, 2 * LONGEST_PAUSE_S) if asked > 0 else None


def _unsupported(response: Any) -> str | None:
    """The field that the model does not take at all, in OpenAI's way of saying so."""
    try:
        error = response.json()["error"]
        if str(error["code"]) in ("unsupported_parameter", "unsupported_value"):
            return str(error["param"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _root(error: BaseException) -> BaseException:
    """What an error was first caused by."""
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        error = cause
        seen.add(id(error))
    return error
