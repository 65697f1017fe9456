# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests on a real Debian: pytest tests/vm --suite=bookworm. One lab and one machine for the run; the
package is installed by the first test that needs it, the service is as usual again after each test."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lab"), HERE]

import lab as labs  # noqa: E402
import machine  # noqa: E402
import vm as vms  # noqa: E402

# The package's life, in this order.
ORDER = ["test_install", "test_service", "test_traffic", "test_verdicts", "test_rules", "test_modules", "test_crash", "test_journal",
         "test_stop", "test_bad_input", "test_on_error", "test_boot", "test_upgrade", "test_remove"]


def pytest_addoption(parser):
    parser.addoption("--suite", default="bookworm", help="bookworm or trixie")
    parser.addoption("--logs", default=None, help="directory for the logs of the console")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.index(item.module.__name__))  # stable: within a file as written


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    one = getattr(item.session, "penstock_machine", None)
    told = getattr(item.session, "penstock_told", 0)
    if report.failed and one and told < 6:
        item.session.penstock_told = told + 1
        report.sections.append(("the machine", one.story()[:30000]))
        report.sections.append((f"its console ({one.console})", one.console_tail()))


def pytest_terminal_summary(terminalreporter, config):
    for line in getattr(config, "penstock_measured", []):
        terminalreporter.write_line(f"measured: {line}")


@pytest.fixture
def measured(request):
    """measured(text): shown at the end of the run."""
    config = request.config
    if not hasattr(config, "penstock_measured"):
        config.penstock_measured = []
    return config.penstock_measured.append


@pytest.fixture(scope="session")
def suite(request):
    return request.config.getoption("--suite")


@pytest.fixture(scope="session")
def lab():
    labs.end_on_signals()
    with labs.Lab() as one:
        machine.bridge(one)
        yield one


@pytest.fixture(scope="session")
def bare(request, lab, suite):
    """The machine, with all it needs but penstock."""
    logs = request.config.getoption("--logs") or f"{os.path.dirname(os.path.dirname(HERE))}/build/logs/vm-{suite}"
    os.makedirs(logs, exist_ok=True)
    files = vms.make(suite)
    one = request.session.penstock_machine = machine.boot(lab, files, logs)
    one.provide(files)
    yield one
    one.stop()


@pytest.fixture(scope="session")
def installed(bare):
    """penstock is installed, with keys, but without a server."""
    bare.before = bare.all_files()
    bare.apt_said = bare.install()
    return bare


@pytest.fixture(scope="session")
def configured(installed):
    """A server is named; it may run, or not."""
    installed.keys()
    installed.configure()
    return installed


@pytest.fixture
def vm(lab, configured):
    """The machine with penstock connected, and so again after the test."""
    if configured.configure() or configured.status()["status"] != machine.SECURE:
        configured.start()
    lab.reset_counters()
    yield configured
    lab.clear_faults()
    lab.restore_haproxies()
