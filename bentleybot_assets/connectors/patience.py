"""How a source bears with a server in trouble: bounded retries with jitter, then a circuit breaker.

Belongs here: whether to ask again, after how long, and when to stop asking. Does not belong here: what is asked, and
which answers are about one part alone (a source's feeds; those are :class:`ConfigError` and never asked again).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

import pybreaker
import stamina
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from bentleybot_assets.connectors.feeds import TransientError, UnavailableError

Answer = TypeVar("Answer")

_ATTEMPTS = 4
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1, 60
_JITTER_SECONDS = 1
_FAILURES = 3
"""Parts in a row that may fail, each after all its attempts, before the server itself is taken to be in trouble."""

_LONGER_THAN_A_READ_SECONDS = 7 * 86_400

_logger = logging.getLogger("airbyte.patience")


class BusyError(TransientError):
    """The server asks for less or for later, whatever it is asked for (429, or another status with Retry-After).

    Attributes:
        retry_after: seconds that the server asks to wait; None if it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def trouble(server: str, status: int, headers: Mapping[str, str], now: datetime) -> TransientError | None:
    """What an HTTP answer says of its server: that it is busy or fails; None if the answer is about the question.

    Args:
        server: its name, for the message.
        status: HTTP status of the answer.
        headers: of the answer, by their names in lower case or in any if the mapping does not mind.
        now: the present, timezone-aware, from which a Retry-After that is a date counts.
    """
    retry_after = _seconds(headers.get("retry-after"), now)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return BusyError(f"{server} limits the rate of requests; sync again later.", retry_after)
    if status != HTTPStatus.REQUEST_TIMEOUT and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    said = f"{server} answers with HTTP {status}; sync again later."
    return TransientError(said) if retry_after is None else BusyError(said, retry_after)


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """A Retry-After header (seconds, or an HTTP date) as seconds from ``now``; None if absent or unreadable."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:  # "-0000"; HTTP dates are always UTC
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


class Patience:
    """Asks one server during one read.

    A question that meets a passing error is asked again. After three questions in a row that failed all the same, or
    when the server stays busy, it is asked nothing more.

    Args:
        server: its name, for messages.
        attempts: how often a question is asked at most; once if it is asked again by itself.
    """

    def __init__(self, server: str, attempts: int = _ATTEMPTS) -> None:
        self._server = server
        self._attempts = attempts
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=_FAILURES,
            reset_timeout=_LONGER_THAN_A_READ_SECONDS,
            exclude=[lambda error: not isinstance(error, TransientError)],
            name=server,
        )
        self._last_said = ""

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The answer to ``question``, however often it had to be asked.

        Raises:
            UnavailableError: the server is in trouble; it is asked nothing more in this read.
            TransientError: the server failed for this question.
        """
        try:
            return self._breaker.call(self._insist, question)
        except pybreaker.CircuitBreakerError as error:
            raise self._unavailable() from error
        except (BusyError, UnavailableError) as error:
            self._breaker.open()
            raise self._unavailable() from error

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"{self._server} is asked nothing more in this read, lastly because: {self._last_said}")

    def _insist(self, question: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer, an error that does not pass, or no attempt left."""
        for attempt in stamina.retry_context(
            on=self._wait,
            attempts=self._attempts,
            timeout=None,
            wait_initial=_FIRST_WAIT_SECONDS,
            wait_max=_LONGEST_WAIT_SECONDS,
            wait_jitter=_JITTER_SECONDS,
        ):
            if attempt.num > 1:
                _logger.info("%s Attempt %d of %d.", self._last_said, attempt.num, self._attempts)
            with attempt:
                return question()
        raise AssertionError  # the last attempt returns or raises

    def _wait(self, error: Exception) -> bool | float:
        """Whether to ask again; a number is after how many seconds."""
        if not isinstance(error, TransientError):
            return False
        self._last_said = filter_secrets(str(error))
        error.args = (self._last_said,)  # the process's hooks of stamina may tell it
        if isinstance(error, UnavailableError):
            return False
        if not isinstance(error, BusyError) or error.retry_after is None:
            return True
        if error.retry_after > _LONGEST_WAIT_SECONDS:
            self._last_said += f" It asks to wait {error.retry_after:.0f} seconds."
            return False
        return error.retry_after + random.uniform(0, _JITTER_SECONDS)  # noqa: S311 - not for security
