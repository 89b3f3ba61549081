"""The three pages of every service, over real HTTP."""

import socket
import threading
import urllib.error
import urllib.request

import pytest

from libs import health, metrics
from libs.errors import UserError
from libs.settings import HealthSettings
from tests.waiting import SOON_S


def page(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SOON_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, ""


@pytest.fixture
def readiness():
    return health.Readiness()


@pytest.fixture
def port(readiness, log):
    with health.serve(HealthSettings(port=0), readiness, log) as served:
        yield served


def test_a_process_that_lives_says_so(port):
    assert page(port, "/healthz") == (200, "OK\n")


def test_a_program_is_ready_when_it_says_so_and_no_longer(port, readiness):
    assert page(port, "/readyz")[0] == 503
    readiness.ready = True
    assert page(port, "/readyz")[0] == 200
    readiness.ready = False
    assert page(port, "/readyz")[0] == 503


def test_metrics_are_written_as_prometheus_reads_them(port):
    metrics.MESSAGES.labels("match", "done").inc()
    status, text = page(port, "/metrics")
    assert status == 200
    assert 'watchline_messages_total{outcome="done",stage="match"}' in text


def test_there_is_no_other_page(port):
    assert page(port, "/")[0] == 404
    assert page(port, "/../etc/passwd")[0] == 404


def test_one_who_connects_and_says_nothing_does_not_keep_the_others_waiting(port):
    with socket.create_connection(("127.0.0.1", port)):
        assert page(port, "/healthz")[0] == 200


def test_without_a_port_nothing_is_served(readiness, log):
    with health.serve(HealthSettings(), readiness, log) as served:
        assert served is None
        assert "health" not in {thread.name for thread in threading.enumerate()}


def test_a_free_port_is_logged_so_that_it_can_be_found(port, log):
    assert [entry["port"] for entry in log.entries if entry["event"] == "health"] == [port]


def test_a_port_that_is_taken_is_one_line_that_says_what_to_do(port, readiness, log):
    with pytest.raises(UserError) as refused, health.serve(HealthSettings(port=port), readiness, log):
        pytest.fail("served twice")
    assert f"127.0.0.1:{port}" in str(refused.value)
    assert "WATCHLINE_HEALTH_PORT" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_host_that_is_not_here_is_one_line(readiness, log):
    settings = HealthSettings(host="192.0.2.1", port=0)  # of TEST-NET-1, RFC 5737: nobody's
    with pytest.raises(UserError, match=r"192\.0\.2\.1"), health.serve(settings, readiness, log):
        pytest.fail("served elsewhere")


def test_the_port_is_free_again_afterwards(readiness, log):
    with health.serve(HealthSettings(port=0), readiness, log) as first:
        pass
    with health.serve(HealthSettings(port=first), readiness, log) as second:
        assert page(second, "/healthz")[0] == 200
