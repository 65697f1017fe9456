# SPDX-License-Identifier: GPL-2.0-or-later
"""The gate itself: it repairs its table, says what the kernel says, bears bad children and clients, tells systemd."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import lab as labs
import rules

SECURE = "Connected (Secure Channel)"
PLAIN = "Connected (Non-secure)"
TESTING = "Blocked - Testing"
LOCAL_ERROR, NOT_ENFORCED = "Blocked - Local error", "Not enforced - Local error"
UNAVAILABLE = "Blocked - Secure channel port not available"
NOT_OWNED = {"environment": {"PENSTOCK_TABLE_OWNER": "no"}}


def nft(lab, text, check=True):
    done = lab.run("host", ["nft", text])
    assert not check or done.returncode == 0, done.stderr
    return done


def table(lab):
    return nft(lab, "list table inet penstock", check=False).stdout


class Owner:
    """Another program that owns the table inet penstock, as long as it lives."""

    def __init__(self, lab, text="add table inet penstock { flags owner; }"):
        self.child = subprocess.Popen(lab.argv("host", ["nft", "-i"]), stdin=subprocess.PIPE,
                                      stdout=subprocess.DEVNULL)
        self.child.stdin.write(f"{text}\n".encode())
        self.child.stdin.flush()
        labs.wait_for(lambda: "flags owner" in table(lab), what="the owned table")

    def end(self):
        if self.child.poll() is None:
            self.child.stdin.close()
            self.child.wait(10)


@pytest.fixture
def owner(lab):
    made = []

    def make(*args):
        made.append(Owner(lab, *args))
        return made[-1]

    yield make
    for one in made:
        one.end()


# ---- the table ----

@pytest.mark.parametrize("damage", ["delete table inet penstock", "flush table inet penstock", "flush ruleset",
                                    "add rule inet penstock guard_local counter accept"])
def test_a_damaged_table_is_repaired_at_once_and_counted(lab, daemon, damage):
    one = daemon(**NOT_OWNED)
    before = table(lab)
    nft(lab, damage)
    line = one.wait_log("are repaired")
    assert re.search(r"changed by nft \(pid \d+\)", line), line
    page = one.status()
    assert page["status"] == SECURE
    assert page["rules"]["installed"] and page["rules"]["repaired"] == 1
    without_counters = lambda text: re.sub(r"packets \d+ bytes \d+", "", text)  # noqa: E731
    assert without_counters(table(lab)) == without_counters(before)
    assert lab.curl("https://www.example/")[0] == 0


def test_a_blocked_table_is_repaired_too(lab, daemon):
    one = daemon({"SecureChannel": {"Certificate": None, "PrivateKey": None}}, status=LOCAL_ERROR, **NOT_OWNED)
    nft(lab, "delete table inet penstock")
    one.wait_log("are repaired")
    assert LOCAL_ERROR in table(lab)


def test_other_tables_are_nobodys_damage(lab, daemon):
    one = daemon(**NOT_OWNED)
    nft(lab, "add table inet other; add chain inet other c; delete table inet other")
    # Events come in their order: when the damage has been seen, so has what came before it.
    nft(lab, "delete table inet penstock")
    one.wait_log("are repaired")
    assert one.status()["rules"]["repaired"] == 1
    assert one.log().count("repaired") == 1


def test_another_program_that_never_stops_changing_its_own_rules_does_no_harm(lab, daemon):
    one = daemon(**NOT_OWNED)
    with rules.others_that_never_stop(lambda words: lab.argv("host", words)):
        # Verdicts change meanwhile, and the table is compared again and again.
        for how in ("refuse", None) * 3:
            if how:
                lab.fault(how)
            else:
                lab.clear_faults()
            one.ask("test")
            one.wait_status(SECURE if how is None else UNAVAILABLE)
            page = one.status()
            assert page["rules"]["installed"] and page["rules"]["repaired"] == 0, page
    assert "fight" not in one.log() and "not installed" not in one.log()
    # Afterwards a real damage is still seen: the last write was repeated in peace.
    nft(lab, "delete table inet penstock")
    one.wait_log("are repaired")


def test_two_managers_that_fight_are_reported_and_end(lab, daemon):
    one = daemon(**NOT_OWNED)

    def fight():
        nft(lab, "delete table inet penstock", check=False)
        return "two managers fight" in one.log()

    labs.wait_for(fight, 10, "the fight in the log")
    page = one.wait_status(NOT_ENFORCED)
    assert not page["rules"]["installed"] and "nft (pid" in page["rules"]["error"]
    assert "nft (pid" in page["detail"]
    # Nobody disturbs any more: it ends by itself, after a pause.
    page = one.wait_status(SECURE, 15)
    assert page["rules"]["installed"] and page["rules"]["error"] is None
    assert lab.curl("https://www.example/")[0] == 0


def test_a_kernel_that_refuses_from_the_start_is_reported_and_asked_again(lab, daemon, owner):
    other = owner()
    one = daemon(status=None)
    page = labs.wait_for(lambda: (lambda s: s if s.get("rules", {}).get("error") else None)(one.status()))
    assert page["status"] == NOT_ENFORCED and page["mode"] == "open"
    assert not page["rules"]["installed"] and "owns the table" in page["rules"]["error"]
    assert one.log().count("rules are not installed") == 1
    # Also when the tests have passed, nothing that the kernel does not have is claimed.
    labs.wait_for(lambda: "Connected (Secure Channel)" in (one.status()["detail"] or ""), what="an ended test")
    page = one.status()
    assert page["status"] == NOT_ENFORCED and not page["rules"]["installed"]
    other.end()
    page = one.wait_status(SECURE)
    assert page["rules"]["installed"]
    assert lab.curl("https://www.example/")[0] == 0


def test_a_kernel_that_refuses_a_repair_closes_the_relays(lab, daemon, owner):
    one = daemon(**NOT_OWNED)
    with lab.connect("host", labs.WWW4, 80) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        nft(lab, "delete table inet penstock")
        one.wait_log("are repaired")
        # One transaction, as no repair can come between.
        thief = owner("delete table inet penstock; add table inet penstock { flags owner; }")
        page = one.wait_status(NOT_ENFORCED)
        assert not page["rules"]["installed"] and page["rules"]["error"]
        # Without our table the kernel no longer translates what goes back to the client; the relay's log tells.
        one.wait_log("cut because the verdict became blocked")
    thief.end()
    one.wait_status(SECURE)


# ---- configuration and keys ----

def test_fallback_works_without_key_files(lab, daemon):
    """The keys are needed for the channel alone."""
    lab.fault("refuse")
    one = daemon({"SecureChannel": {"AllowFallback": "yes", "Certificate": "/nowhere/client.pem",
                                    "PrivateKey": "/nowhere/client.key"}}, status=None)
    page = one.wait_status(PLAIN)
    assert any("/nowhere/client" in text for text in page["warnings"]), page["warnings"]
    assert any("refused" in text for text in page["warnings"]), page["warnings"]
    assert lab.curl("https://www.example/")[0] == 0


def test_a_reload_with_bad_key_files_changes_nothing_anywhere(lab, daemon):
    """Also not the rules, nor what else is in the file; and a bad key opens no way to the plain port."""
    one = daemon()
    before = one.ask("config")[0]["config"]
    generation = one.status()["rules"]["changes"]
    one.write(lab.config({"SecureChannel": {"Certificate": "/nowhere/client.pem", "AllowFallback": "yes"},
                          "Redirect": {"Ports": "80 443 8000"}}))
    lab.fault("refuse")
    answer, = one.ask("reload")
    assert not answer["ok"] and any("/nowhere/client.pem" in text for text in answer["errors"]), answer
    assert one.ask("config")[0]["config"] == before
    assert one.status()["rules"]["changes"] == generation
    one.ask("test")
    one.wait_status(UNAVAILABLE)
    # A relay may still be starting.
    labs.wait_for(lambda: one.status()["warnings"] == [], what="no warnings")
    assert lab.to_plain_port() == 0
    lab.clear_faults()
    one.write(lab.config({"Redirect": {"Ports": "80 443 8000"}}))
    assert one.ask("reload") == [{"ok": True}]
    one.wait_status(SECURE)
    assert "8000" in one.ask("config")[0]["config"]


def test_reloads_at_once_are_all_answered(lab, daemon):
    one = daemon()
    clients = []
    for _ in range(5):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(15)
        client.connect(one.control)
        client.sendall(b"reload\n")
        clients.append(client)
    answers = []
    for client in clients:
        data = b""
        while chunk := client.recv(65536):
            data += chunk
        answers.append(data)
    assert b'{"ok":true}\n' in answers
    assert all(a == b'{"ok":true}\n' or b"under way" in a for a in answers), answers
    one.wait_status(SECURE)


def test_a_reload_while_the_prober_is_stopped_is_refused_and_the_next_one_works(lab, daemon):
    one = daemon()
    prober, = one.children()["prober"]
    os.kill(prober, signal.SIGSTOP)
    answer, = one.ask("reload", timeout=20)
    assert not answer["ok"] and "prober ended" in answer["errors"][0], answer
    labs.wait_for(lambda: one.ask("reload", timeout=20) == [{"ok": True}], 15, "a reload")
    one.wait_status(SECURE)


def test_a_reload_that_forbids_the_fallback_ends_it_at_once(lab, daemon):
    lab.fault("refuse")
    one = daemon({"SecureChannel": {"AllowFallback": "yes"}}, status=PLAIN)
    one.write(lab.config())
    assert one.ask("reload") == [{"ok": True}]
    assert one.status()["mode"] == "blocked"
    one.wait_status("Blocked - Secure channel port not available")
    one.wait_log("Connected (Non-secure) -> Blocked - Testing")  # not only after the next test


def test_no_proxy_and_direct(lab, daemon):
    lab.fault("refuse")
    lab.fault("refuse", port=labs.PLAIN_PORT)
    one = daemon({"SecureChannel": {"AllowFallback": "yes"}, "Failure": {"OnUnavailable": "direct"}}, status=None)
    page = one.wait_status("Direct - No proxy available")
    assert (page["mode"], page["reason"]) == ("direct", "No proxy available")
    assert lab.curl("https://www.example/")[0] == 0
    assert lab.leaked()
    one.write(lab.config({"SecureChannel": {"AllowFallback": "yes"}}))
    assert one.ask("reload") == [{"ok": True}]
    assert one.status()["mode"] == "blocked"
    lab.reset_counters()
    assert lab.curl("https://www.example/")[0] != 0
    assert not lab.leaked()


# ---- children ----

def test_a_stopped_prober_is_found_and_its_test_is_not_waited_for(lab, daemon):
    one = daemon()
    prober, = one.children()["prober"]
    os.kill(prober, signal.SIGSTOP)
    answer = one.ask("test", timeout=40)
    assert "prober ended" in answer[-1]["error"], answer
    one.wait_status(SECURE)
    labs.wait_for(lambda: one.children()["prober"] not in ([], [prober]), what="another prober")
    labs.wait_for(lambda: one.ask("test")[-1].get("status") == SECURE, what="a test by the new prober")


def test_no_relay_left_is_reported_and_nothing_passes(lab, daemon):
    one = daemon({"Relay": {"Processes": 1}})

    def killed():
        for pid in one.children()["relay"]:
            os.kill(pid, signal.SIGKILL)
        page = one.status()
        return any("no relay is listening" in text for text in page["warnings"]) and page

    lab.reset_counters()
    page = labs.wait_for(killed, what="the warning")
    assert page["rules"]["installed"]
    assert not lab.leaked()
    labs.wait_for(lambda: not one.status()["warnings"], 15, "the relay's return")
    assert lab.curl("https://www.example/")[0] == 0


def test_hundreds_of_control_clients_do_no_harm(lab, daemon):
    one = daemon()
    descriptors = lambda: len(os.listdir(f"/proc/{one.pid}/fd"))  # noqa: E731
    before = descriptors()
    idle = []
    for number in range(200):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(one.control)
        with contextlib.suppress(BrokenPipeError):  # one too many, refused before it could speak
            client.send([b"", b"sta", b"\xff\x00\n", b"x" * 300, b"test\nmore"][number % 5])
        idle.append(client)
        if number % 3 == 0:
            client.close()
    for client in idle:
        client.close()
    labs.wait_for(lambda: one.status().get("status") == SECURE, what="the status")
    labs.wait_for(lambda: descriptors() <= before, 15, "the descriptors of the clients to be closed")


def test_two_tests_at_once_are_both_answered(lab, daemon):
    one = daemon()
    clients = []
    for _ in range(4):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(one.control)
        client.sendall(b"test\n")
        clients.append(client)
    for client in clients:
        data = b""
        while chunk := client.recv(65536):
            data += chunk
        assert data.count(b'"stage":"tcp"') == 1 and data.rstrip().endswith(b"}"), data
        assert b'"status":"Connected (Secure Channel)"' in data


# ---- the service manager ----

class Manager:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.setblocking(False)
        self.heard = []

    def listen(self):
        try:
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return self.heard

    def wait(self, text, timeout=10):
        return labs.wait_for(lambda: next((m for m in self.listen() if text in m), None), timeout,
                             lambda: f"{text} in {self.heard}")


def test_the_service_manager_is_told(lab, daemon):
    manager = Manager(f"{lab.dir}/notify-{os.getpid()}-{time.monotonic_ns()}")
    one = daemon(prefix=["env", f"NOTIFY_SOCKET={manager.socket.getsockname()}", "WATCHDOG_USEC=400000"])
    manager.wait("READY=1")
    manager.wait(f"STATUS={SECURE}")
    assert manager.heard[0] == f"STATUS={TESTING}" or "WATCHDOG" in manager.heard[0], manager.heard
    labs.wait_for(lambda: sum("WATCHDOG=1" in m for m in manager.listen()) >= 3, what="the watchdog's messages")
    for kind in one.children().values():
        for pid in kind:
            with open(f"/proc/{pid}/environ", "rb") as file:
                assert b"NOTIFY_SOCKET" not in file.read()

    manager.heard.clear()
    one.ask("reload")
    assert re.search(r"MONOTONIC_USEC=\d+", manager.wait("RELOADING=1"))
    manager.wait("READY=1")
    manager.heard.clear()
    one.write("[Nonsense]\n")
    assert not one.ask("reload")[0]["ok"]
    manager.wait("RELOADING=1")
    manager.wait("READY=1")

    manager.heard.clear()
    one.stop()
    manager.wait("STOPPING=1")


def test_not_ready_while_the_kernel_refuses(lab, daemon, owner):
    other = owner()
    manager = Manager(f"{lab.dir}/notify-{os.getpid()}-{time.monotonic_ns()}")
    one = daemon(status=None, prefix=["env", f"NOTIFY_SOCKET={manager.socket.getsockname()}"])
    one.wait_log("rules are not installed")
    labs.wait_for(lambda: one.status()["tests"]["at"], what="an ended test")
    assert not any("READY" in message for message in manager.listen())
    other.end()
    manager.wait("READY=1")
