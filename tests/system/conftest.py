# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the system tests: one lab for the run, a daemon for a test, and everything as before after each test."""

import os
import re
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lab"), HERE]

import lab as labs  # noqa: E402
from peers import FakeProxy  # noqa: E402

BROKEN = re.compile(r"ERROR: \w*Sanitizer|runtime error:|Assertion .* failed|penstockd: .*Assert")


def pytest_addoption(parser):
    parser.addoption("--build", default=None, help="directory with penstockd and penstock")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes many seconds or much data; left out with the sanitized build")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    for daemon in getattr(item, "penstock_daemons", []):
        if report.failed:
            report.sections.append((f"log of penstockd ({daemon.log_path})", daemon.log()[-20000:]))


@pytest.fixture(scope="session")
def lab(request):
    build = request.config.getoption("--build")
    one = labs.Lab(build=os.path.abspath(build) if build else None)
    if not os.access(f"{one.build}/penstockd", os.X_OK):
        pytest.exit(f"no penstockd in {one.build}: build it, or say --build DIRECTORY", returncode=2)
    labs.end_on_signals()
    one.up()
    yield one
    one.down()


@pytest.fixture
def sanitized(lab):
    """True for a build with sanitizers, which is slower and larger."""
    with open(f"{lab.build}/penstockd", "rb") as file:
        return b"__asan_init" in file.read()


@pytest.fixture(autouse=True)
def clean(lab):
    """Faults, certificates and tables are the lab's own again after each test."""
    lab.forget_connections()
    lab.reset_counters()
    yield
    lab.clear_faults()
    lab.restore_haproxies()
    lab.run("host", ["nft", "flush", "ruleset"])


@pytest.fixture
def daemon(lab, clean, request):
    """daemon({section: {key: value}}, status=TEXT): a running penstockd, ended after the test."""
    daemons = request.node.penstock_daemons = []

    def start(changes=None, status="Connected (Secure Channel)", wait=True, **kwargs):
        one = labs.Daemon(lab, lab.config(changes), **kwargs)
        daemons.append(one)
        one.start(wait=wait)
        if wait and status:
            one.wait_status(status)
            labs.wait_for(lambda: not any("listening" in text for text in one.status()["warnings"]), what="all relays")
        return one

    yield start
    broken = []
    for one in daemons:
        try:
            one.stop()
        except labs.LabError as error:
            broken.append(str(error))
        log = one.log()
        if BROKEN.search(log):
            broken.append(log[-10000:])
    lab.run("host", ["nft", "delete", "table", "inet", "penstock"])
    assert not broken, "\n".join(broken)


@pytest.fixture
def proxy(lab):
    """proxy(behaviour, …): a FakeProxy at fake.example, closed after the test."""
    made = []

    def make(*args, **kwargs):
        made.append(FakeProxy(lab, *args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close()
