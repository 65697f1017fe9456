# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that lacks what the rules need, as after an upgrade that took its modules away: web traffic stays closed, and
the status says what is missing. The kernel is the real one, which is asked for expressions that it does not know."""

import json
import os
import socket
import time

import lab as labs
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SECURE, LOCAL_ERROR, NOT_ENFORCED = "Connected (Secure Channel)", "Blocked - Local error", "Not enforced - Local error"


class Kernel:
    """What it refuses, from now on."""

    def __init__(self, lab):
        self.library, self.path = f"{lab.dir}/refusing_kernel.so", f"{lab.dir}/refused"
        if not os.path.exists(self.library):
            labs.command(["cc", "-std=gnu11", "-shared", "-fPIC", "-o", self.library, f"{HERE}/refusing_kernel.c", "-ldl"])
        self.environment = {
            "LD_PRELOAD": self.library, "REFUSED_EXPRESSIONS": self.path,
            "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"}  # we are before it

    def refuse(self, *names):
        with open(f"{self.path}.new", "w", encoding="ascii") as file:
            file.write(" ".join(names))
        os.rename(f"{self.path}.new", self.path)


@pytest.fixture
def kernel(lab):
    one = Kernel(lab)
    one.refuse()
    yield one
    one.refuse()


def is_closed(lab, drop=False):
    for address in (labs.WWW4, labs.WWW6):
        with pytest.raises(TimeoutError if drop else ConnectionRefusedError):
            lab.connect("host", address, 443, timeout=0.3 if drop else 10)
        with lab.socket("host", socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            with pytest.raises(OSError):
                sock.sendto(b"quic", (address, 443))
    assert lab.leaked() == 0


MISSING = {  # expressions: what is named
    ("redir",): "nft_redir",
    ("fib",): "nft_fib_inet",
    ("ct",): "nft_ct, connection labels",
    ("socket",): "nft_socket",
    ("objref",): "nft_objref",
    ("reject",): "nft_reject_inet",
    ("redir", "fib", "ct", "socket", "objref", "reject"): "nft_fib_inet, nft_reject_inet, nft_ct, nft_redir, nft_objref",
}


@pytest.mark.parametrize("names", MISSING, ids=" ".join)
def test_a_start_without_modules_is_closed_and_says_which(lab, daemon, kernel, names):
    kernel.refuse(*names)
    one = daemon(status=LOCAL_ERROR, environment=kernel.environment)
    page = one.status()
    assert (page["verdict"], page["connection_status"], page["reason"]) == ("local-error", "Not Tested", "Local error")
    assert (page["mode"], page["cause"]) == ("blocked", "kernel-modules")
    assert not page["rules"]["installed"] and page["rules"]["last_resort"]
    assert f"the running kernel lacks {MISSING[names]}" in page["detail"] and "reboot" in page["detail"]
    labs.wait_for(lambda: SECURE in one.status()["detail"], what="a test that has passed")
    assert one.status()["status"] == LOCAL_ERROR
    assert one.cli("status").returncode == 4
    assert "Blocked - Local error: the running kernel lacks" in one.table()
    is_closed(lab, drop="reject" in names)
    assert one.log().count("rules are not installed") == 1
    kernel.refuse()  # the module is loaded
    one.wait_status(SECURE)
    assert lab.curl("https://www4.example/")[:2] == (0, 200)
    assert "web traffic to the relay" in one.table()


def test_a_change_that_is_refused_closes_what_was_open(lab, daemon, kernel):
    """The rules of Connected are there; those of the next state are refused."""
    one = daemon(environment=kernel.environment)
    kernel.refuse("reject")
    lab.fault("refuse")
    one.ask("test")
    one.wait_status(LOCAL_ERROR)
    assert "web traffic to the relay" not in one.table()
    is_closed(lab, drop=True)
    kernel.refuse()
    one.wait_status("Blocked - Secure channel port not available")


def test_the_last_resort_is_put_back(lab, daemon, kernel):
    kernel.refuse("redir", "fib")
    one = daemon(status=LOCAL_ERROR, environment=kernel.environment)
    lab.run("host", ["nft", "flush", "ruleset"], check=True)
    labs.wait_for(lambda: "Blocked - Local error" in one.table(), 2, "the last resort once more")
    assert one.status()["status"] == LOCAL_ERROR
    is_closed(lab)


def test_a_kernel_that_takes_nothing_is_said_aloud(lab, daemon, kernel):
    """Every rule needs this one."""
    kernel.refuse("immediate", "reject")
    one = daemon(status=NOT_ENFORCED, environment=kernel.environment)
    page = one.status()
    assert (page["verdict"], page["mode"], page["reason"]) == ("not-enforced", "open", "Local error")
    assert not page["rules"]["installed"] and not page["rules"]["last_resort"]
    done = one.cli("status")
    assert done.returncode == 7 and "Web traffic is not under control" in done.stdout
    assert json.loads(one.cli("status", "--json").stdout)["connection_status"] == "Not Tested"
    assert "alert: verdict: none -> Not enforced - Local error" in one.log()
    assert lab.curl("http://www4.example/")[:2] == (0, 200), "it is open, as it says"
    kernel.refuse("redir")
    one.wait_status(LOCAL_ERROR)
    lab.reset_counters()
    is_closed(lab)


@pytest.mark.parametrize("word", ["nf_tables", "nfnetlink"])
def test_a_start_without_nf_tables_goes_on_and_closes_as_soon_as_it_can(lab, daemon, kernel, word):
    kernel.refuse(word)
    one = daemon(status=NOT_ENFORCED, environment={**kernel.environment, "PENSTOCK_TABLE_OWNER": "no"})
    page = one.status()
    assert (page["verdict"], page["mode"], page["cause"]) == ("not-enforced", "open", "kernel-modules")
    assert "this kernel has no nf_tables" in page["detail"]
    assert one.cli("status").returncode == 7
    assert "alert: verdict: none -> Not enforced - Local error" in one.log()
    assert one.log().count("rules are not installed") == 1
    assert lab.curl("http://www4.example/")[:2] == (0, 200), "it is open, as it says"
    kernel.refuse()
    one.wait_status(SECURE, timeout=30)
    assert lab.curl("https://www4.example/")[:2] == (0, 200)
    lab.run("host", ["nft", "flush", "ruleset"], check=True)
    labs.wait_for(lambda: "web traffic to the relay" in one.table(), 2, "the table once more: what others do is seen, too")


def test_nf_tables_that_goes_away_is_said_and_its_return_noticed(lab, daemon, kernel):
    one = daemon(environment=kernel.environment)
    kernel.refuse("nf_tables")
    lab.fault("refuse")
    one.ask("test")
    one.wait_status(NOT_ENFORCED)
    kernel.refuse()
    one.wait_status("Blocked - Secure channel port not available", timeout=30)


def test_the_service_manager_does_not_wait_for_a_kernel_without_nf_tables(lab, daemon, kernel, tmp_path):
    """It would end what tries again."""
    path = f"{lab.dir}/notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        os.chmod(path, 0o666)
        sock.settimeout(20)
        kernel.refuse("nf_tables")
        one = daemon(status=None, wait=False, environment=kernel.environment, prefix=["env", f"NOTIFY_SOCKET={path}"])
        said, begin = "", time.monotonic()
        while "READY=1" not in said:
            said += sock.recv(4096).decode() + "\n"
        assert 9 < time.monotonic() - begin < 25, "the network is held back for a while"
        assert "STATUS=Not enforced - Local error" in said
        one.wait_status(NOT_ENFORCED)
    os.unlink(path)


def test_a_stop_leaves_it_closed_where_it_should(lab, daemon, kernel):
    kernel.refuse("redir", "fib")
    one = daemon({"Failure": {"OnStop": "block"}}, status=LOCAL_ERROR, environment=kernel.environment)
    one.stop()
    assert "Blocked - Local error: penstock is stopped" in one.table()
    is_closed(lab)
