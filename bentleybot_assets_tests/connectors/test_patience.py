"""A server in trouble is asked again with patience, and then left alone."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
import stamina
from airbyte_cdk.utils import airbyte_secrets_utils
from hypothesis import example, given
from hypothesis import strategies as st

from bentleybot_assets.connectors.feeds import ConfigError, TransientError, UnavailableError
from bentleybot_assets.connectors.patience import BusyError, Patience, trouble

NOW = datetime(2024, 1, 19, 12, 0, tzinfo=UTC)


class Server:
    """Gives one answer after the other, errors raised; the last one for ever."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> object:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


FAILS = TransientError("The server fails.")


def test_a_passing_failure_is_asked_again_after_growing_waits_with_jitter(waits):
    server = Server(FAILS, FAILS, FAILS, "answer")
    assert Patience("It").ask(server) == "answer"
    assert [least <= wait < least + 1 for least, wait in zip((1, 2, 4), waits, strict=True)] == [True] * 3
    assert all(wait % 1 for wait in waits)


def test_four_attempts_are_all_and_the_failure_is_of_this_question_alone(waits):
    server, patience = Server(FAILS), Patience("It")
    with pytest.raises(TransientError, match="The server fails") as raised:
        patience.ask(server)
    assert not isinstance(raised.value, UnavailableError)
    assert (server.asked, len(waits)) == (4, 3)
    assert patience.ask(Server("answer")) == "answer"


def test_a_question_that_is_asked_again_by_itself_is_asked_once_here(waits):
    patience, server = Patience("It", attempts=1), Server(FAILS)
    for _ in range(2):
        with pytest.raises(TransientError, match=r"^The server fails\.$"):
            patience.ask(server)
    assert (server.asked, waits) == (2, [])
    with pytest.raises(UnavailableError, match="lastly because: The server fails"):
        patience.ask(server)


@pytest.mark.parametrize("retry_after", ["7", "Fri, 19 Jan 2024 12:00:07 GMT"])
def test_the_server_says_how_long_to_wait(waits, retry_after):
    busy = trouble("It", 429, {"retry-after": retry_after}, NOW)
    assert Patience("It").ask(Server(busy, "answer")) == "answer"
    (wait,) = waits
    assert 7 <= wait < 8


def test_who_asks_for_more_than_a_minute_is_not_waited_for(waits):
    server, patience = Server(trouble("It", 503, {"retry-after": "3600"}, NOW)), Patience("It")
    with pytest.raises(UnavailableError, match=r"HTTP 503; sync again later\. It asks to wait 3600 seconds"):
        patience.ask(server)
    assert (server.asked, waits) == (1, [])


def test_a_server_that_stays_busy_is_asked_nothing_more(waits):
    server, patience = Server(trouble("It", 429, {}, NOW)), Patience("It")
    with pytest.raises(UnavailableError, match=r"It is asked nothing more .* limits the rate"):
        patience.ask(server)
    other = Server("answer")
    with pytest.raises(UnavailableError, match="limits the rate"):
        patience.ask(other)
    assert (server.asked, other.asked) == (4, 0)


def test_three_questions_in_a_row_that_fail_open_the_breaker(waits):
    patience, other = Patience("It"), Server("answer")
    for _ in range(2):
        with pytest.raises(TransientError, match=r"^The server fails\.$"):
            patience.ask(Server(FAILS))
    for server in (Server(FAILS), other):
        with pytest.raises(UnavailableError, match="It is asked nothing more in this read, lastly because: The server"):
            patience.ask(server)
    assert other.asked == 0


@pytest.mark.parametrize("answers", ["answer", ConfigError("There is no such symbol.")], ids=["answer", "refusal"])
def test_an_answer_between_failures_keeps_the_breaker_closed(waits, answers):
    patience = Patience("It")
    for round_ in range(6):
        with pytest.raises(TransientError) as raised:
            patience.ask(Server(FAILS))
        assert not isinstance(raised.value, UnavailableError), round_
        try:
            patience.ask(Server(answers))
        except ConfigError as error:
            assert error is answers  # noqa: PT017 - one of two cases


@pytest.mark.parametrize("error", [ConfigError("no such symbol"), KeyError("a bug"), UnavailableError("no such key")])
def test_what_does_not_pass_is_asked_once(waits, error):
    server = Server(error)
    with pytest.raises(type(error)):
        Patience("It").ask(server)
    assert (server.asked, waits) == (1, [])


def test_a_bug_does_not_count_against_the_server(waits):
    patience = Patience("It")
    for _ in range(5):
        with pytest.raises(KeyError):
            patience.ask(Server(KeyError("a bug")))
    assert patience.ask(Server("answer")) == "answer"


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (200, {}, None),
        (404, {"retry-after": "7"}, None),
        (401, {}, None),
        (408, {}, TransientError),
        (429, {}, BusyError),
        (500, {}, TransientError),
        (503, {}, TransientError),
        (503, {"retry-after": "7"}, BusyError),
        (503, {"retry-after": "soon"}, TransientError),
    ],
)
def test_an_answer_is_trouble_only_if_it_is_about_the_server(status, headers, kind):
    found = trouble("It", status, headers, NOW)
    assert found is None if kind is None else type(found) is kind


DATE_LIKE = ["Fri,", "31", "Feb", "2024", "99999999999", "12:00:07", "25:61:61", "GMT", "-0000", "+9999", "+999999999"]


@given(st.text() | st.integers().map(str) | st.lists(st.sampled_from(DATE_LIKE), max_size=7).map(" ".join))
@example("99999999999 Feb GMT 00:00:00 +999999999 2024 GMT")
@example("Fri, 19 Jan 2024 11:00:00 GMT")
def test_no_retry_after_however_odd_is_a_crash_or_a_step_back_in_time(header):
    seconds = trouble("It", 429, {"retry-after": header}, NOW).retry_after
    assert seconds is None or seconds >= 0


def test_hooks_of_the_process_stay_and_are_told_no_secret(waits, monkeypatch, hooks):
    monkeypatch.setattr(airbyte_secrets_utils, "__SECRETS_FROM_CONFIG", ["s3cr3t"])
    told = []
    stamina.instrumentation.set_on_retry_hooks([told.append])
    assert Patience("It").ask(Server(TransientError("GET /?key=s3cr3t failed."), "answer")) == "answer"
    assert [repr(retry.caused_by) for retry in told] == ["TransientError('GET /?key=**** failed.')"]
    assert stamina.instrumentation.get_on_retry_hooks() == (told.append,)


def test_no_secret_is_told(waits, monkeypatch, caplog):
    monkeypatch.setattr(airbyte_secrets_utils, "__SECRETS_FROM_CONFIG", ["s3cr3t"])
    with caplog.at_level(logging.INFO), pytest.raises(UnavailableError) as raised:
        Patience("It").ask(Server(BusyError("GET /?key=s3cr3t failed.", 1)))
    assert "s3cr3t" not in str(raised.value) + caplog.text
    assert "GET /?key=**** failed." in caplog.text
