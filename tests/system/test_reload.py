# SPDX-License-Identifier: GPL-2.0-or-later
"""A new configuration for a running daemon, good or bad."""

import json
import os
import shutil
import signal
import socket
import tempfile
import time

import lab as labs
import pytest

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
PORT = "Blocked - Secure channel port not available"
AUTH_FAILED = "Blocked - Mutual Auth Failed"


def reload(lab, one, changes):
    one.write(lab.config(changes))
    return one.ask("reload")


def test_a_good_one_takes_effect(lab, daemon):
    lab.fault("reject")
    one = daemon(status=PORT)
    assert reload(lab, one, {"SecureChannel": {"AllowFallback": "yes"}}) == [{"ok": True}]
    one.wait_status(PLAIN)
    assert reload(lab, one, {"SecureChannel": {"AllowFallback": "no"}}) == [{"ok": True}]
    one.wait_status(PORT)
    assert lab.leaked() == 0


def test_sighup_reloads(lab, daemon):
    one = daemon()
    one.write(lab.config({"Proxy": {"Servers": "gw2.example"}}))
    os.kill(one.pid, signal.SIGHUP)
    labs.wait_for(lambda: (one.status()["proxy"] or {}).get("server") == "gw2.example", 10, "gw2.example")


def test_a_bad_one_keeps_the_old_and_names_every_mistake(lab, daemon):
    one = daemon()
    good = one.ask("config")
    one.write("[Proxy]\nServers=gw.example\nPort=99999\n[Nonsense]\nKey=1\n[Test]\nInterval=soon\n")
    answer = one.ask("reload")[0]
    assert answer["ok"] is False
    errors = "\n".join(answer["errors"])
    for line in (3, 4, 7):
        assert f"{one.path}:{line}: " in errors, errors
    assert one.ask("config") == good
    assert one.status()["status"] == SECURE
    assert lab.curl("https://www.example/")[:2] == (0, 200)


def test_a_bad_one_by_sighup_is_logged(lab, daemon):
    one = daemon()
    one.write("[Proxy]\nServers=\n[Redirect]\nIntercept=forwarded\n")
    os.kill(one.pid, signal.SIGHUP)
    one.wait_log(f"{one.path}:4: ")
    assert one.status()["status"] == SECURE


def test_one_asked_for_during_another_follows_it(lab, daemon):
    """The files may have changed since the first was read: nobody is sent away, and the last file wins."""
    one = daemon()
    asked = []
    for server in ("gw2.example", "gw.example", "gw2.example"):
        with open(f"{one.path}.new", "w", encoding="ascii") as file:
            file.write(lab.config({"Proxy": {"Servers": server}}))
        os.rename(f"{one.path}.new", one.path)  # never half of it
        for _ in range(3):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(20)
            sock.connect(one.control)
            sock.sendall(b"reload\n")
            asked.append(sock)
    for sock in asked:
        with sock, sock.makefile() as answer:
            assert [json.loads(line) for line in answer] == [{"ok": True}]
    labs.wait_for(lambda: (one.status()["proxy"] or {}).get("server") == "gw2.example", 10, "gw2.example")


def test_the_service_manager_hears_of_begin_and_end(lab, daemon):
    path = f"{lab.dir}/notify-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        os.chmod(path, 0o666)
        manager.settimeout(10)

        def next_but_status():
            while True:
                heard = manager.recv(4096).decode()
                if not heard.startswith("STATUS="):
                    return heard.partition("\n")[0]

        one = daemon(prefix=["env", f"NOTIFY_SOCKET={path}"])
        assert next_but_status() == "READY=1"
        for text, ok in ((lab.config(), True), ("[Proxy]\nServers=\n", False)):
            one.write(text)
            assert one.ask("reload")[0]["ok"] is ok
            assert [next_but_status(), next_but_status()] == ["RELOADING=1", "READY=1"]


def test_a_file_that_is_gone_keeps_the_old(lab, daemon):
    one = daemon()
    os.unlink(one.path)
    answer = one.ask("reload")[0]
    assert answer["ok"] is False and one.path in answer["errors"][0]
    assert one.status()["status"] == SECURE


def test_key_files_that_are_gone_keep_the_old_channel_or_block(lab, daemon):
    """Never a way out: either the old certificate goes on, or the verdict blocks and names the file."""
    one = daemon()
    reload(lab, one, {"SecureChannel": {"Certificate": f"{lab.dir}/pki/nothing.pem"}})
    one.ask("test")
    assert one.status()["status"] in (SECURE, AUTH_FAILED)
    one.wait_log("nothing.pem")
    assert lab.leaked() == 0 and lab.to_plain_port() == 0
    reload(lab, one, {})
    one.ask("test")
    one.wait_status(SECURE)
    assert lab.curl("https://www.example/")[:2] == (0, 200)


def test_a_new_client_certificate_is_used(lab, daemon):
    pki = f"{lab.dir}/pki"
    one = daemon()
    revoked = {"Certificate": f"{pki}/client-revoked.pem", "PrivateKey": f"{pki}/client-revoked.key"}
    reload(lab, one, {"SecureChannel": revoked})
    one.wait_status(AUTH_FAILED)
    reload(lab, one, {})
    one.wait_status(SECURE)


# ---- files that change on disk ----

def rename(source, path):
    shutil.copyfile(source, path + ".new")
    os.rename(path + ".new", path)


def rewrite(source, path):
    with open(source, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data)


def turn(source, path):
    os.symlink(source, path + ".new")
    os.rename(path + ".new", path)


@pytest.fixture
def directory(lab):
    """That the daemon's user may enter."""
    path = tempfile.mkdtemp(dir=lab.dir)
    os.chmod(path, 0o755)
    return path


@pytest.fixture
def pair(lab, directory):
    """Copies of the client's certificate and key, and what names them in the configuration."""
    paths = {kind: f"{directory}/client.{kind}" for kind in ("pem", "key")}
    for kind, path in paths.items():
        rename(f"{lab.dir}/pki/client.{kind}", path)
    return paths, {"SecureChannel": {"Certificate": paths["pem"], "PrivateKey": paths["key"]}}


@pytest.mark.parametrize("order", [("pem", "key"), ("key", "pem")], ids=["certificate first", "key first"])
@pytest.mark.parametrize("how", [rename, rewrite, turn], ids=["rename", "rewrite", "symbolic link"])
def test_a_pair_that_is_replaced_is_taken_up(lab, daemon, pair, how, order):
    paths, changes = pair
    one = daemon(changes)
    one.write(lab.config({"Proxy": {"Port": "nonsense"}}))  # half an edit, which is nobody's business yet
    how(f"{lab.dir}/pki/client-revoked.{order[0]}", paths[order[0]])
    one.wait_log("the old ones stay in force until they change again")
    one.ask("test")
    assert one.status()["status"] == SECURE
    assert any("are not in force" in text for text in one.status()["warnings"])
    assert lab.curl("https://www.example/")[:2] == (0, 200)
    how(f"{lab.dir}/pki/client-revoked.{order[1]}", paths[order[1]])
    one.wait_status(AUTH_FAILED)
    assert not any("are not in force" in text for text in one.status()["warnings"])
    for kind in order:
        how(f"{lab.dir}/pki/client.{kind}", paths[kind])
    one.wait_status(SECURE)
    assert lab.curl("https://www.example/")[:2] == (0, 200)


def test_a_key_that_comes_late_is_found(lab, daemon, pair):
    paths, changes = pair
    os.rename(paths["key"], paths["key"] + ".later")
    one = daemon(changes, status="Blocked - Local error")
    os.rename(paths["key"] + ".later", paths["key"])
    one.wait_status(SECURE)
    os.unlink(paths["key"])
    one.wait_log("the old ones stay in force until they change again")
    one.ask("test")
    assert one.status()["status"] == SECURE


def test_a_new_ca_is_trusted_and_an_old_one_no_more(lab, daemon, directory):
    path = f"{directory}/ca.pem"
    rename(f"{lab.dir}/pki/ca.pem", path)
    one = daemon({"SecureChannel": {"TrustedCA": path}})
    rename(f"{lab.dir}/pki/other-ca.pem", path)
    one.wait_status(AUTH_FAILED)
    rename(f"{lab.dir}/pki/ca.pem", path)
    one.wait_status(SECURE)


def test_open_sessions_survive(lab, daemon):
    one = daemon()
    with lab.connect("host", labs.WWW4, 80) as sock:
        for changes in ({"Log": {"Level": "debug"}}, {"Relay": {"Processes": 3}}, {"Redirect": {"Ports": "80 443 8000"}}):
            assert reload(lab, one, changes) == [{"ok": True}]
            one.wait_status(SECURE)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")
            assert b"200" in sock.recv(65536)
    labs.wait_for(lambda: len(one.children()["relay"]) == 2 or len(one.children()["relay"]) == 3, 5, "relays")


@pytest.mark.parametrize("count", [1, 4])
def test_the_number_of_relays_follows(lab, daemon, count):
    one = daemon({"Relay": {"Processes": 2}})
    reload(lab, one, {"Relay": {"Processes": count}})
    labs.wait_for(lambda: len(one.children()["relay"]) == count, 10, f"{count} relays")
    for _ in range(8):
        assert lab.curl("https://www.example/")[:2] == (0, 200)


def test_another_listen_port_is_taken(lab, daemon):
    one = daemon()
    assert reload(lab, one, {"Redirect": {"ListenPort": "16443"}}) == [{"ok": True}]
    labs.wait_for(lambda: "16443" in one.table(), 10, "the new port in the rules")
    labs.wait_for(lambda: lab.curl("https://www.example/")[:2] == (0, 200), 5, "a page")
    assert lab.leaked() == 0


def test_bypass_networks_follow(lab, daemon):
    one = daemon()
    assert "203.0.113.1" in lab.curl("http://www4.example/")[2]
    reload(lab, one, {"Bypass": {"Networks": f"{labs.WWW4}/32"}})
    labs.wait_for(lambda: labs.HOST4 in lab.curl("http://www4.example/")[2], 5, "the direct way")
    reload(lab, one, {})
    labs.wait_for(lambda: "203.0.113.1" in lab.curl("http://www4.example/")[2], 5, "the proxy's way")


def test_drop_ins_are_read(lab, daemon):
    one = daemon()
    os.makedirs(f"{one.path}.d")
    with open(f"{one.path}.d/50-more.conf", "w", encoding="ascii") as file:
        file.write("[Proxy]\nServers=\nServers=gw2.example\n")
    assert one.ask("reload") == [{"ok": True}]
    labs.wait_for(lambda: (one.status()["proxy"] or {}).get("server") == "gw2.example", 10, "gw2.example")
