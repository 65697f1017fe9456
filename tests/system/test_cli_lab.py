# SPDX-License-Identifier: GPL-2.0-or-later
"""penstock(1) with real proxies: a test alone, and with the daemon."""

import json
import os
import pwd

import pytest

from lab import RAW4, RAW6, WEB4, wait_for

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
MISTRUST, NO_PORT = "Blocked - Mutual Auth Failed", "Blocked - Secure channel port not available"
LOCAL_ERROR = "Blocked - Local error"
NO_PROXY, DIRECT = "Blocked - No proxy available", "Direct - No proxy available"


@pytest.fixture
def alone(lab, tmp_path):
    """alone({section: {key: value}}): the exit status and the objects of penstock test -c FILE --json."""
    def test(changes=None, *options):
        path = tmp_path / "alone.conf"
        path.write_text(lab.config(changes))
        done = lab.run("host", [f"{lab.build}/penstock", "test", "-c", str(path), "--json", *options])
        assert done.stderr == ""
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    return test


FALLBACK = {"SecureChannel": {"AllowFallback": "yes"}}

ALONE = [
    # (ports that are refused, changes, exit status, status, stages, cause)
    ([], {}, 0, SECURE, ["tcp passed", "mutual_auth passed"], None),
    ([8081], {}, 4, NO_PORT, ["tcp failed"], "tcp-refused"),
    ([8081], FALLBACK, 3, PLAIN, ["tcp failed", "plain_tcp passed"], None),
    ([8081, 8080], FALLBACK, 4, NO_PROXY, ["tcp failed", "plain_tcp failed"], "tcp-refused"),
    ([8081, 8080], {**FALLBACK, "Failure": {"OnUnavailable": "direct"}}, 6, DIRECT, ["tcp failed", "plain_tcp failed"],
     "tcp-refused"),
    ([], {"SecureChannel": {"ServerName": "nobody.example", "AllowFallback": "yes"}}, 4, MISTRUST,
     ["tcp passed", "mutual_auth failed"], "certificate-name"),
    ([], {"SecureChannel": {"PrivateKey": "/nonexistent"}}, 4, LOCAL_ERROR, ["tcp passed", "mutual_auth failed"],
     "file-missing"),
    ([], {"SecureChannel": {"Enabled": "no"}}, 3, PLAIN, ["plain_tcp passed"], None),
]


@pytest.mark.parametrize("refused, changes, exit_status, status, stages, cause", ALONE)
def test_alone_comes_to_the_verdict_of_the_table(lab, alone, refused, changes, exit_status, status, stages, cause):
    for port in refused:
        lab.fault("reject", port)
    returned, objects = alone(changes)
    assert (returned, objects[-1]["status"]) == (exit_status, status)
    assert [f"{o['stage']} {o['result']}" for o in objects[:-1]] == stages
    assert (objects[-1]["detail"] is None) == status.startswith("Connected")
    assert objects[-1]["cause"] == cause
    assert [bool(o["cause"]) for o in objects[:-1]] == ["failed" in stage for stage in stages]
    assert [bool(o["detail"]) for o in objects[:-1]] == ["failed" in stage for stage in stages]


def test_alone_without_a_network_is_undecided(lab, alone):
    lab.network(False)
    try:
        returned, objects = alone()
    finally:
        lab.network(True)
    assert (returned, objects[-1]["status"]) == (5, "Blocked - No network")


def test_alone_and_the_daemon_agree(alone, daemon):
    one = daemon()
    _, objects = alone()
    status = one.status()
    for key in ("verdict", "status", "connection_status", "mode", "reason", "cause", "detail", "proxy"):
        assert objects[-1][key] == status[key]
    for key in ("version", "cipher", "server_expires", "client_expires"):
        assert objects[-1]["tls"][key] == status["tls"][key]


def test_the_page_of_a_real_daemon(daemon):
    one = daemon()
    page = one.cli("status", "-S", one.control)
    assert (page.returncode, page.stderr) == (0, "")
    for text in (SECURE, "Proxy Trusted, since ", "✓ gw.example  [", "in use, TCP ", "TLSv1.3, ", "server valid until ",
                 "client valid until ", ", authentication ", "inet penstock installed", "Sessions ", f"pid {one.pid}"):
        assert text in page.stdout, text
    assert json.loads(one.cli("status", "--json").stdout)["pid"] == one.pid


def test_a_bypass_of_everything_is_told(lab, daemon):
    """Connected, and nothing goes to the proxy: the page must say it."""
    one = daemon({"Bypass": {"Networks": "0.0.0.0/0 ::/0"}})
    assert lab.curl(f"http://{WEB4[0]}/")[1] != 0
    status = one.status()
    assert status["status"] == SECURE
    assert status["sessions"]["bypassed"] == 1 and status["sessions"]["total"] == 0
    for family in ("IPv4", "IPv6"):
        text = f"[Bypass] Networks= covers all of {family}: whatever is sent there goes past the proxy"
        assert text in status["warnings"]
        one.wait_log(text)
    assert "1 past the proxy; 0 rejected by the rules" in one.cli("status").stdout


def test_what_is_blocked_is_refused_and_counted(lab, daemon):
    """Also after a stop, when it leaves its rules behind."""
    one = daemon({"Block": {"Networks": f"{RAW4} {RAW6}", "Ports": "4711"}, "Failure": {"OnStop": "block"}})
    for url in (f"https://{RAW4}/", f"http://[{RAW6}]/", f"http://{RAW4}:4711/", f"http://{RAW4}:8000/"):
        assert lab.curl(url)[0] == 7, url
    status = one.status()
    assert (status["sessions"]["bypassed"], status["sessions"]["rejected"]) == (0, 4)
    assert "0 past the proxy; 4 rejected by the rules" in one.cli("status").stdout
    one.stop()
    assert lab.curl(f"http://{RAW4}:8000/")[0] == 7


def test_test_reports_stages_and_the_new_verdict(lab, daemon):
    one = daemon()
    done = one.cli("test")
    assert done.returncode == 0, done.stderr
    assert "TCP to the secure port, gw.example (" in done.stdout
    assert "mutual authentication, gw.example (" in done.stdout
    lab.fault("reject", 8081)
    done = one.cli("test")
    assert (done.returncode, done.stderr) == (4, "")
    assert "connection refused" in done.stdout
    assert NO_PORT in done.stdout


@pytest.mark.parametrize("address", [RAW4, RAW6])
def test_a_redirected_session_leads_to_user_and_process(lab, daemon, address):
    """The kernel knows the program's socket by the original destination."""
    one = daemon()
    host = f"[{address}]" if ":" in address else address
    with lab.listen("web", address, 443):
        child = lab.spawn("host", ["setpriv", "--reuid=games", "--clear-groups", "curl", "-sk", "-m", "60",
                                   f"https://{host}/"], f"{one.dir}/curl")

        def found():
            lines = one.cli("sessions", "--json").stdout.splitlines()
            return [s for s in map(json.loads, lines)
                    if (s["destination"], s["process"], s["route"]) == (f"{host}:443", "curl", "secure")]

        session, = wait_for(found, 10, "the session of curl")
        table = one.cli("sessions").stdout
        child.kill()
        child.wait()
        lab.children.remove(child)
    assert (session["uid"], session["pid"], session["user"]) == (pwd.getpwnam("games").pw_uid, child.pid, "games")
    assert f"games  curl[{child.pid}]" in table


def test_the_printed_configuration_can_be_read_again(daemon, tmp_path):
    one = daemon({"Bypass": {"Users": "games", "Networks": ["203.0.113.0/24", "2001:db8:5::/48"]}})
    text = one.cli("config")
    assert text.returncode == 0
    path = tmp_path / "printed.conf"
    path.write_text(text.stdout)
    done = one.cli("check", str(path))
    assert (done.returncode, done.stderr) == (0, "")


def test_reload_through_the_socket(daemon):
    one = daemon()
    done = one.cli("reload")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    with open(one.path, "a", encoding="utf-8") as file:
        file.write("[Proxy]\nNonsense=1\nPort=x\n")
    lines = sum(1 for _ in open(one.path, encoding="utf-8"))
    done = one.cli("reload")
    assert done.returncode == 78
    assert f"{one.path}:{lines - 1}: unknown key Nonsense=" in done.stderr
    assert f"{one.path}:{lines}: Port=x" in done.stderr
    assert one.status()["status"] == SECURE


def test_only_the_status_is_for_everybody(lab, daemon):
    one = daemon()
    os.chmod(lab.dir, 0o755)
    for verb, code in (("status", 0), ("test", 1), ("sessions", 1), ("config", 1), ("reload", 1)):
        done = lab.run("host", ["setpriv", "--reuid=nobody", "--clear-groups", f"{lab.build}/penstock", verb],
                       env=one.environment)
        assert done.returncode == code, (verb, done.stdout, done.stderr)
        assert ("permission denied" in done.stderr) == (code == 1)
