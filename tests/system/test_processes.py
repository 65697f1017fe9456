# SPDX-License-Identifier: GPL-2.0-or-later
"""Privileges of the processes, and what happens when one of them dies."""

import contextlib
import os
import re
import shutil
import signal
import subprocess

import lab as labs
import pytest

SECURE = "Connected (Secure Channel)"
CAP_NET_ADMIN = 1 << 12
LISTEN_PORT = 15443


def fields(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {key: value.split() for key, _, value in (line.partition(":") for line in file)}


def capabilities(pid):
    status = fields(pid)
    return {name: int(status[f"Cap{name}"][0], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def daemon_uid():
    return str(int(subprocess.run(["id", "-u", "daemon"], capture_output=True, text=True, check=True).stdout))


def test_the_gate_has_only_cap_net_admin(daemon):
    one = daemon()
    caps = capabilities(one.pid)
    assert caps["Eff"] == caps["Prm"] == CAP_NET_ADMIN
    assert caps["Amb"] == caps["Inh"] == 0
    status = fields(one.pid)
    assert status["NoNewPrivs"] == ["1"]
    assert status["Uid"] == [daemon_uid()] * 4
    assert "0" not in status["Groups"]


@pytest.mark.parametrize("kind", ["prober", "relay"])
def test_children_have_nothing(daemon, kind):
    one = daemon({"Relay": {"Processes": 2}})
    pids = one.children()[kind]
    assert len(pids) == {"prober": 1, "relay": 2}[kind]
    for pid in pids:
        caps = capabilities(pid)
        assert caps["Eff"] == caps["Prm"] == caps["Amb"] == caps["Inh"] == caps["Bnd"] == 0
        status = fields(pid)
        assert status["NoNewPrivs"] == ["1"] and status["Seccomp"] == ["2"]
        assert status["Uid"] == [daemon_uid()] * 4


def test_children_hold_only_the_descriptors_they_need(daemon):
    one = daemon()
    for pids in one.children().values():
        for pid in pids:
            targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            assert not [t for t in targets if "pki" in t or ".conf" in t or t.startswith("/etc")], targets


def relay_count(one):
    return len(one.children()["relay"])


@pytest.mark.parametrize("kind", ["prober", "relay"])
def test_a_killed_child_is_started_again(lab, daemon, kind):
    one = daemon()
    victim = one.children()[kind][0]
    os.kill(victim, signal.SIGKILL)
    labs.wait_for(lambda: victim not in one.children()[kind] and
                  len(one.children()[kind]) == {"prober": 1, "relay": 2}[kind], 10, "a new one")
    one.ask("test")
    assert one.status()["status"] == SECURE
    for _ in range(10):
        assert lab.curl("https://www.example/")[:2] == (0, 200)
    assert lab.leaked() == 0


def serving(lab, socks):
    """Process ids of the relays that have one of these clients."""
    ports = {sock.getsockname()[1] for sock in socks}
    done = lab.run("host", ["ss", "-tnpH", "state", "established", "sport", "=", ":15443"], check=True)
    return {int(pid) for peer, pid in re.findall(r":(\d+)\s+users:.*?pid=(\d+)", done.stdout) if int(peer) in ports}


def answers(sock):
    """Whether a request on this connection gets its whole answer, which has no body."""
    text = b""
    sock.sendall(b"HEAD / HTTP/1.1\r\nHost: www.example\r\n\r\n")
    while not text.endswith(b"\r\n\r\n"):
        part = sock.recv(65536)
        if not part:
            return False
        text += part
    return text.startswith(b"HTTP/1.1 200 ")


def test_a_killed_relay_takes_only_its_own_sessions_along(lab, daemon):
    one = daemon()
    relays = one.children()["relay"]
    socks = []
    while len(socks) < 16 or serving(lab, socks) < set(relays):  # until each has clients of its own
        assert len(socks) < 1000
        socks.append(lab.connect("host", labs.WWW4, 80))
        assert answers(socks[-1])
    os.kill(relays[0], signal.SIGKILL)
    one.wait_log("was ended by signal 9")
    alive = 0
    for sock in socks:
        with contextlib.suppress(OSError):
            alive += answers(sock)
        sock.close()
    assert 0 < alive < len(socks)
    labs.wait_for(lambda: one.status()["sessions"]["open"] == 0, 10, "no session counted as open")


def test_all_relays_killed_again_and_again_stay_bounded(lab, daemon):
    """The backoff keeps the gate from spinning, and the last start succeeds."""
    one = daemon()
    for _ in range(5):
        for pid in one.children()["relay"]:
            os.kill(pid, signal.SIGKILL)
        labs.wait_for(lambda: relay_count(one) > 0, 20, "a relay")
    labs.wait_for(lambda: relay_count(one) == 2, 30, "both relays")
    labs.wait_for(lambda: lab.curl("http://www.example/")[:2] == (0, 200), 30, "a page", interval=0.2)
    assert lab.leaked() == 0


@pytest.mark.slow
def test_a_stopped_relay_is_found_and_replaced(lab, daemon):
    one = daemon()
    victim = one.children()["relay"][0]
    os.kill(victim, signal.SIGSTOP)
    labs.wait_for(lambda: victim not in one.children()["relay"] and relay_count(one) == 2, 60, "a new relay", 0.1)


@pytest.mark.parametrize("owner", ["yes", "no"])
def test_the_gates_death_ends_all_and_leaves_the_rules_closed(lab, daemon, owner):
    one = daemon(environment={"PENSTOCK_TABLE_OWNER": owner})
    children = [pid for pids in one.children().values() for pid in pids]
    assert len(children) == 3
    one.kill()
    labs.wait_for(lambda: not any(labs.process_start(pid) for pid in children), 5, "the children's end")
    assert "table inet penstock" in one.table()
    for url in ("https://www4.example/", "https://www6.example/", "http://www4.example/"):
        code, http, _ = lab.curl(url, timeout=4)
        assert (code, http) == (7, 0), "the gate is dead and the way is open"
    assert lab.leaked() == 0


@pytest.mark.parametrize("owner", ["yes", "no"])
def test_a_restart_after_death_adopts_the_table(lab, daemon, owner):
    environment = {"PENSTOCK_TABLE_OWNER": owner}
    daemon(environment=environment).kill()
    daemon(environment=environment)
    assert lab.curl("https://www.example/")[:2] == (0, 200)
    assert lab.leaked() == 0


def test_a_second_daemon_does_not_disturb_the_first(lab, daemon):
    one = daemon()
    second = labs.Daemon(lab, lab.config())
    second.control = one.control
    child = lab.spawn("host", [f"{lab.build}/penstockd", "-c", second.path, "-u", "daemon", "-S", one.control],
                      second.log_path)
    assert child.wait(10) != 0
    assert second.log()
    assert one.status()["status"] == SECURE
    assert lab.curl("https://www.example/")[:2] == (0, 200)


def test_without_privilege_it_says_so(lab):
    done = lab.run("host", ["setpriv", "--reuid=1", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
                            f"{lab.build}/penstockd", "-c", "/dev/null", "-S", f"{lab.dir}/nothing"], timeout=20)
    assert done.returncode not in (0, -6, -11)
    assert done.stderr.strip()


def test_started_as_its_user_with_cap_net_admin(lab, daemon):
    one = labs.Daemon(lab, lab.config())
    argv = ["setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", "--inh-caps=-all,+net_admin",
            "--ambient-caps=-all,+net_admin", f"{lab.build}/penstockd", "-c", one.path, "-S", one.control]
    one.child = lab.spawn("host", argv, one.log_path)
    try:
        one.wait_status(SECURE)
        assert lab.curl("https://www.example/")[:2] == (0, 200)
        assert capabilities(one.pid)["Eff"] == CAP_NET_ADMIN
    finally:
        one.stop()


def test_a_relay_that_cannot_listen_waits_for_the_port(lab, daemon):
    """No relay is started before, and nobody has to say that the port is free."""
    squatter = lab.listen("host", "127.0.0.1", LISTEN_PORT)
    try:
        one = daemon(status=None)
        one.wait_log(f"listen on 127.0.0.1 port {LISTEN_PORT}: Address already in use")
        one.ask("reload")
        labs.wait_for(lambda: any("already in use" in text for text in one.status()["warnings"]), 5, "a warning")
    finally:
        squatter.close()
    one.wait_status(SECURE)
    labs.wait_for(lambda: not one.status()["warnings"], 15, "no warning")
    assert " ended " not in one.log()
    assert lab.curl("https://www.example/")[:2] == (0, 200)


# ---- two programs ----

def libraries(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return {os.path.basename(line.split()[-1]) for line in file if ".so" in line}


def needed(path):
    """The libraries that a file itself asks for."""
    done = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True)
    return {line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("NEEDED")}


READ_THE_NETWORK = ("wolfssl", "cares", "nghttp2", "gcrypt")


def test_the_gate_maps_nothing_that_reads_the_network(lab, daemon):
    """But what libsystemd brings along."""
    one = daemon()
    mapped = libraries(one.pid)
    systemd = next(name for name in mapped if name.startswith("libsystemd"))
    brought = {name.split(".")[0] for name in needed(f"/usr/lib/{os.uname().machine}-linux-gnu/{systemd}")}
    assert [name for name in mapped if name.split(".")[0] not in brought and
            any(part in name for part in READ_THE_NETWORK)] == []
    assert not any("wolfssl" in name or "cares" in name for name in mapped)
    for pids in one.children().values():
        assert any("wolfssl" in name for name in libraries(pids[0]))


@pytest.mark.parametrize("program", ["penstockd", "penstock"])
def test_only_the_worker_is_linked_with_what_reads_the_network(lab, program):
    assert [name for name in needed(f"{lab.build}/{program}") if any(part in name for part in READ_THE_NETWORK)] == []


@pytest.fixture
def programs(lab, tmp_path):
    """Copies of the programs, without a worker beside them."""
    tmp_path.chmod(0o755)
    for path in (*tmp_path.parents,):
        if path.owner() == "root" and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    for name in ("penstockd", "penstock"):
        shutil.copy(f"{lab.build}/{name}", tmp_path)
    return tmp_path


def test_without_the_worker_the_daemon_does_not_start(lab, programs):
    one = labs.Daemon(lab, lab.config())
    done = lab.run("host", [f"{programs}/penstockd", "-c", one.path, "-u", "daemon", "-S", one.control], timeout=20)
    assert done.returncode == 72
    assert "/penstock-worker: No such file or directory; the installation is not complete" in done.stderr


@pytest.mark.parametrize("verb", [["check"], ["test", "-c"]])
def test_without_the_worker_the_command_line_says_so(lab, programs, verb):
    one = labs.Daemon(lab, lab.config())
    done = lab.run("host", [f"{programs}/penstock", *verb, one.path], timeout=20)
    assert done.returncode not in (0, 3, 4, 5)
    assert "/penstock-worker: No such file or directory" in done.stderr


def test_a_worker_of_another_version_says_what_to_do(lab):
    done = subprocess.run([f"{lab.build}/penstock-worker", "--child=relay", "--for=0.0.1"], capture_output=True, text=True,
                          timeout=10)
    assert done.returncode == 76
    assert "what started it is 0.0.1: restart penstockd" in done.stderr


def test_by_hand_the_worker_explains_itself(lab):
    for arguments in ([], ["--child=relay"], ["--child=gate", "--for=1"]):
        done = subprocess.run([f"{lab.build}/penstock-worker", *arguments], capture_output=True, text=True, timeout=10)
        assert done.returncode == 64 and "Started by penstockd and penstock" in done.stderr


def test_anybody_can_test_a_configuration(lab):
    """The worker is no privilege, and reads no file that the caller may not read."""
    one = labs.Daemon(lab, lab.config({"SecureChannel": {"Certificate": None, "PrivateKey": None}}))
    done = lab.run("host", ["setpriv", "--reuid=65534", "--clear-groups", f"{lab.build}/penstock", "test", "-c", one.path],
                   timeout=30)
    assert done.returncode in (3, 4), done.stderr
    assert "TCP to the secure port" in done.stdout


# ---- files ----

def test_a_new_relay_needs_no_file(lab, daemon):
    """The gate has read the key; what comes later has it from there."""
    key = f"{lab.dir}/pki/handed-over.key"
    shutil.copy(f"{lab.dir}/pki/client.key", key)
    shutil.chown(key, "daemon")
    one = daemon({"SecureChannel": {"PrivateKey": key}})
    os.unlink(key)
    old = one.children()
    for pids in old.values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    labs.wait_for(lambda: len(one.children()["relay"]) == 2 and not set(one.children()["relay"]) & set(old["relay"]), 20,
                  "new relays")
    one.wait_status(SECURE)
    labs.wait_for(lambda: lab.curl("https://www.example/")[:2] == (0, 200), 20, "a page", interval=0.2)
    # A reload does read it, and leaves everything as it is.
    assert "handed-over.key: No such file or directory" in str(one.ask("reload"))
    assert lab.curl("https://www.example/")[:2] == (0, 200)
