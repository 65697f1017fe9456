# SPDX-License-Identifier: GPL-2.0-or-later
"""Every row of the verdict table on real peers: texts, exit status, log, nft, and what a client gets."""

import json
import re

import lab as labs
import pytest
from peers import FakeProxy, reset

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
AUTH_FAILED = "Blocked - Mutual Auth Failed"
PORT = "Blocked - Secure channel port not available"
NO_PROXY, NO_NETWORK, TESTING = "Blocked - No proxy available", "Blocked - No network", "Blocked - Testing"
LOCAL_ERROR = "Blocked - Local error"
ROWS = {
    SECURE: ("Proxy Trusted", "secure", None, 0),
    PLAIN: ("Proxy Connected", "plain", None, 3),
    AUTH_FAILED: ("Proxy Mistrust", "blocked", "Mutual Auth Failed", 4),
    PORT: ("Proxy Unreachable", "blocked", "Secure channel port not available", 4),
    NO_PROXY: ("Proxy Unreachable", "blocked", "No proxy available", 4),
    NO_NETWORK: ("No Connectivity", "blocked", "No network", 5),
    TESTING: ("Testing", "blocked", "Testing", 5),
    LOCAL_ERROR: ("Not Tested", "blocked", "Local error", 4),
}
URLS = ("https://www4.example/", "https://www6.example/", "http://www4.example/", "http://www6.example/")
FALLBACK = {"SecureChannel": {"AllowFallback": "yes"}}


def with_auth(url, **more):
    return {"SecureChannel": {"AuthURL": url, "AllowFallback": "yes", **more}}


def check_all(lab, daemon, status, detail=None):
    """What the daemon says agrees everywhere with the table, and clients get what it promises."""
    connection, mode, reason, exit_status = ROWS[status]
    page = daemon.wait_status(status)
    assert (page["connection_status"], page["mode"], page["reason"]) == (connection, mode, reason)
    if detail:
        assert re.search(detail, page["detail"] or ""), page["detail"]
    elif mode in ("secure", "plain"):
        assert page["detail"] is None
    assert page["rules"]["installed"] is True

    text = daemon.cli("status")
    assert status in text.stdout and connection in text.stdout
    assert text.returncode == exit_status, text
    done = daemon.cli("status", "--json")
    assert done.returncode == exit_status
    assert json.loads(done.stdout)["status"] == status

    assert f"-> {status}" in daemon.log() or status == TESTING

    table = daemon.table()
    if mode == "blocked":
        assert status in table, table
        assert "web traffic to the relay" not in table
    else:
        assert "Blocked" not in table
        assert "web traffic to the relay" in table
    for url in URLS:
        code, http, text = lab.curl(url, timeout=4)
        if mode == "blocked":
            assert code == 7, (url, code, text)  # connection refused, at once
        else:
            assert (code, http) == (0, 200), (url, code, text)
            assert "asked by 203.0.113.1" in text or "asked by 2001:db8:3::1" in text, "beside the proxy: " + text
    assert lab.leaked() == 0


@pytest.mark.parametrize("server", ["gw.example", "gw4.example", "gw6.example", "192.0.2.1", "[2001:db8:1::1]"])
def test_both_tests_pass_secure_channel(lab, daemon, server):
    one = daemon({"Proxy": {"Servers": server}})
    check_all(lab, one, SECURE)
    page = one.status()
    assert page["proxy"]["server"] == server.strip("[]") and page["proxy"]["port"] == 8081
    assert page["tls"]["version"] == "TLSv1.3" and page["tls"]["cipher"]
    assert page["tls"]["server_expires"] and page["tls"]["client_expires"]
    assert page["tests"]["tcp"]["result"] == "passed" and page["tests"]["mutual_auth"]["result"] == "passed"
    assert lab.to_plain_port() == 0


def test_both_tests_pass_with_auth_url(lab, daemon):
    check_all(lab, daemon(with_auth("https://auth.example/")), SECURE)
    assert any(line[2:4] == ("CONNECT", "auth.example:443") for line in lab.access_log())
    assert lab.to_plain_port() == 0


def test_tls_1_2_is_enough_when_allowed(lab, daemon):
    lab.start_haproxy("gw", maximum="TLSv1.2")
    one = daemon()
    check_all(lab, one, SECURE)
    assert one.status()["tls"]["version"] == "TLSv1.2"


@pytest.mark.parametrize("how", ["reject", "drop"])
def test_port_blocked_without_fallback(lab, daemon, how):
    lab.fault(how)
    one = daemon(status=None)
    check_all(lab, one, PORT, "connect to .*:8081: " + ("connection refused" if how == "reject" else "no answer within"))
    assert lab.to_plain_port() == 0


@pytest.mark.parametrize("how", ["reject", "drop"])
@pytest.mark.parametrize("server", ["gw.example", "gw4.example", "gw6.example"])
def test_port_blocked_with_fallback(lab, daemon, how, server):
    lab.fault(how)
    one = daemon({"Proxy": {"Servers": server}, **FALLBACK}, status=None)
    check_all(lab, one, PLAIN)
    assert one.status()["proxy"]["port"] == 8080
    assert "tls" not in one.status() or not (one.status()["tls"] or {}).get("version")


def test_no_port_answers_with_fallback(lab, daemon):
    lab.fault("reject")
    lab.fault("reject", port=8080)
    check_all(lab, daemon(FALLBACK, status=None), NO_PROXY, "8080.*refused")


def test_secure_channel_off_uses_the_plain_port(lab, daemon):
    off = {"SecureChannel": {"Enabled": "no"}}
    check_all(lab, daemon(off, status=None), PLAIN)


def test_secure_channel_off_and_no_plain_port(lab, daemon):
    lab.fault("reject", port=8080)
    check_all(lab, daemon({"SecureChannel": {"Enabled": "no"}}, status=None), NO_PROXY, "8080")


SERVER_FAULTS = {
    "wrong-issuer": r"certificate of .*(issuer|authorit|CA|trusted)",
    "wrong-name": r'certificate of .*is for "wrong\.example", expected "gw\.example"',
    "expired": r"certificate of .*expired",
}


@pytest.mark.parametrize("cert", SERVER_FAULTS)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_server_certificate_refused(lab, daemon, cert, version):
    lab.start_haproxy("gw", maximum=version)
    lab.set_server_cert("gw", cert)
    check_all(lab, daemon(FALLBACK, status=None), AUTH_FAILED, SERVER_FAULTS[cert])
    assert lab.to_plain_port() == 0, "fell back although TCP to the secure port had succeeded"


CLIENT_FAULTS = {
    "client-wrong-issuer": r"client certificate \(alert 48, unknown ca\)",
    "client-expired": r"(client certificate \(alert 45|certificate.*expired)",
    "client-revoked": r"client certificate \(alert 44",
}


@pytest.mark.parametrize("cert", CLIENT_FAULTS)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_client_certificate_refused(lab, daemon, cert, version):
    lab.start_haproxy("gw", maximum=version)
    pki = f"{lab.dir}/pki"
    keys = {"Certificate": f"{pki}/{cert}.pem", "PrivateKey": f"{pki}/{cert}.key", "AllowFallback": "yes"}
    check_all(lab, daemon({"SecureChannel": keys}, status=None), AUTH_FAILED, CLIENT_FAULTS[cert])
    assert lab.to_plain_port() == 0


@pytest.mark.parametrize("name,detail", [
    ("auth-wrong-name", r'auth-wrong-name\.example.*wrong\.example'),
    ("auth-expired", r"auth-expired\.example.*expired"),
    ("auth-wrong-issuer", r"auth-wrong-issuer\.example.*(issuer|authorit|CA|trusted)"),
    ("denied", r"https://denied\.example/.*403"),
    ("unknown", r"https://unknown\.example/.*(50[0-9]|did not answer)"),
])
def test_auth_url_fails(lab, daemon, name, detail):
    check_all(lab, daemon(with_auth(f"https://{name}.example/"), status=None), AUTH_FAILED, detail)
    assert lab.to_plain_port() == 0


def test_server_speaks_no_common_tls_version(lab, daemon):
    lab.start_haproxy("gw", maximum="TLSv1.2")
    check_all(lab, daemon({"SecureChannel": {"AllowFallback": "yes", "MinimumVersion": "1.3"}}, status=None),
              AUTH_FAILED, "(?i)version|alert 70")
    assert lab.to_plain_port() == 0


def test_secure_port_that_speaks_no_tls(lab, daemon):
    one = daemon({"Proxy": {"SecurePort": 8080, "Port": 8082}, **FALLBACK}, status=None)  # Squid itself
    check_all(lab, one, AUTH_FAILED)


@pytest.mark.parametrize("name,accepted", [
    ("closes", lambda sock: None),
    ("resets", reset),
    ("stays silent", lambda sock: sock.recv(100000) and sock.recv(100000)),
    ("sends garbage", lambda sock: sock.sendall(b"\x00" * 1000)),
], ids=lambda value: value if isinstance(value, str) else "")
def test_secure_port_that_accepts_and_then(lab, daemon, name, accepted):
    proxy = FakeProxy(lab, accepted=accepted)
    try:
        one = daemon({"Proxy": {"Servers": "fake.example"}, "Test": {"HandshakeTimeout": "300ms"}, **FALLBACK},
                     status=None)
        check_all(lab, one, AUTH_FAILED)
        assert not proxy.connects(), "something was sent to the plain port"
    finally:
        proxy.close()


def test_closed_after_the_handshake_is_mistrust(lab, daemon, proxy):
    """A server that drops us after the TLS 1.3 handshake without an alert has perhaps not trusted us; where the question
    was OPTIONS alone nobody knows, and that is said."""
    proxy(ping=lambda sock, head: None)
    one = daemon({"Proxy": {"Servers": "fake.example"}, **FALLBACK}, status=None)
    page = one.wait_status(AUTH_FAILED)
    assert page["cause"] == "options-unanswered"


@pytest.mark.parametrize("code", ["400 Bad Request", "403 Forbidden", "407 Proxy Authentication Required",
                                  "501 Not Implemented", "503 Service Unavailable"])
def test_any_http_answer_proves_that_the_certificate_was_accepted(daemon, proxy, code):
    proxy(ping=lambda sock, head: sock.sendall(f"HTTP/1.1 {code}\r\nContent-Length: 0\r\n\r\n".encode()))
    daemon({"Proxy": {"Servers": "fake.example"}})


def test_no_route_is_no_network_and_comes_back(lab, daemon):
    lab.network(False)
    try:
        one = daemon({"Proxy": {"Servers": "192.0.2.1"}}, status=None)
        check_all(lab, one, NO_NETWORK)
    finally:
        lab.network(True)
    one.wait_status(SECURE, timeout=5)
    assert lab.curl(URLS[0])[1] == 200


def test_while_the_first_test_runs_nothing_leaves(lab, daemon):
    lab.fault("drop")
    one = daemon({"Test": {"ConnectTimeout": "8s"}}, status=None)
    assert one.status()["status"] == TESTING
    check_all(lab, one, TESTING)
    lab.clear_faults()
    one.wait_status(SECURE)


def test_missing_key_file_blocks_and_names_the_file(lab, daemon):
    one = daemon({"SecureChannel": {"PrivateKey": f"{lab.dir}/pki/nothing.key"}}, status=None, wait=False)
    labs.wait_for(lambda: one.child.poll() is not None or one.status()["status"] not in (None, TESTING), 10, "a verdict")
    if one.child.poll() is None:
        assert one.status()["mode"] == "blocked"
    assert "nothing.key" in one.log()


def test_nobody_answers_and_on_unavailable_is_direct(lab, daemon):
    lab.fault("reject")
    lab.fault("reject", port=8080)
    one = daemon({"Failure": {"OnUnavailable": "direct"}, **FALLBACK}, status="Direct - No proxy available")
    page = one.status()
    assert (page["mode"], page["reason"], page["connection_status"]) == \
        ("direct", "No proxy available", "Proxy Unreachable")
    assert one.cli("status").returncode == 6
    code, http, text = lab.curl(URLS[0])
    assert (code, http) == (0, 200) and f"asked by {labs.HOST4}" in text
    lab.clear_faults()
    one.wait_status(SECURE)
    assert "203.0.113.1" in lab.curl(URLS[0])[2]


def test_direct_concerns_no_other_blocked_verdict(lab, daemon):
    lab.set_server_cert("gw", "wrong-name")
    check_all(lab, daemon({"Failure": {"OnUnavailable": "direct"}, **FALLBACK}, status=None), AUTH_FAILED)


# ---- several servers ----

TWO = {"Servers": "gw.example gw2.example"}


def test_the_first_server_that_passes_both_tests_is_used(lab, daemon):
    assert daemon({"Proxy": TWO}).status()["proxy"]["server"] == "gw.example"


def test_a_mistrusted_first_server_is_passed_over(lab, daemon):
    lab.set_server_cert("gw", "wrong-name")
    one = daemon({"Proxy": TWO})
    assert one.status()["proxy"]["server"] == "gw2.example"
    check_all(lab, one, SECURE)


def test_one_mistrusted_server_and_one_unreachable_is_mistrust(lab, daemon):
    lab.set_server_cert("gw2", "wrong-name")
    lab.fault("reject", server="gw")
    check_all(lab, daemon({"Proxy": TWO, **FALLBACK}, status=None), AUTH_FAILED, r"wrong\.example")
    assert lab.to_plain_port() == 0


def test_fallback_goes_over_all_servers_in_order(lab, daemon):
    lab.fault("reject")
    lab.fault("reject", port=8080, server="gw")
    one = daemon({"Proxy": TWO, **FALLBACK}, status=None)
    check_all(lab, one, PLAIN)
    assert one.status()["proxy"]["server"] == "gw2.example"


# ---- from one to the other ----

def test_every_change_is_followed_and_logged(lab, daemon):
    one = daemon({**FALLBACK, "Test": {"Interval": "1s"}})
    lab.fault("reject")
    check_all(lab, one, PLAIN)
    lab.clear_faults()
    check_all(lab, one, SECURE)
    lab.set_client_ca("gw", "other-ca")
    check_all(lab, one, AUTH_FAILED, "client certificate")
    lab.set_client_ca("gw")
    check_all(lab, one, SECURE)
    log = one.log()
    for old, new in ((TESTING, SECURE), (SECURE, PLAIN), (PLAIN, SECURE), (SECURE, AUTH_FAILED), (AUTH_FAILED, SECURE)):
        assert f"verdict: {old} -> {new}" in log


@pytest.mark.parametrize("keys,detail,cause", [
    ({"PrivateKey": "/none.key"}, "/none.key: No such file", "file-missing"),
    ({"TrustedCA": "/dev/null"}, "/dev/null: no CA certificate in it", "file-invalid"),
    ({"PrivateKey": "pki/client-expired.key"}, "does not belong to the certificate", "key-mismatch"),
], ids=["key", "CA", "pair"])
def test_a_fault_of_this_host_is_not_the_proxys(lab, daemon, keys, detail, cause):
    keys = {key: value.replace("pki/", f"{lab.dir}/pki/") for key, value in keys.items()}
    one = daemon({"SecureChannel": {"AllowFallback": "yes", **keys}}, status=None)
    check_all(lab, one, LOCAL_ERROR, detail)
    assert one.status()["cause"] == cause
    assert lab.to_plain_port() == 0, "TCP to the secure port had succeeded"
    lab.fault("reject")  # which decides about the fallback, whatever this host lacks
    one.ask("test")
    check_all(lab, one, PLAIN)


def use_plain_port(lab):
    return lab.curl("https://www4.example/", "-x", "http://gw.example:8080", timeout=4)


def test_plain_port_is_penstocks_own(lab, daemon):
    lab.set_server_cert("gw", "expired")
    one = daemon(FALLBACK, status=AUTH_FAILED)
    assert use_plain_port(lab)[0] == 7, "past a proxy that is mistrusted"
    assert lab.to_plain_port() == 0
    one.write(lab.config({**FALLBACK, "Redirect": {"ProtectProxies": "no"}}))
    assert one.ask("reload") == [{"ok": True}]
    one.wait_status(AUTH_FAILED)
    assert use_plain_port(lab)[:2] == (0, 200)


def test_penstocks_user_reaches_the_proxies_alone(lab, daemon):
    """What runs as the daemon's user, as a relay that was taken over does."""
    daemon()
    argv = ["setpriv", "--reuid=daemon", "--clear-groups", "curl", "-sS", "-m", "4", "-k"]
    assert lab.run("host", [*argv, "https://www4.example/"]).returncode == 7
    assert lab.run("host", [*argv, "https://www6.example/"]).returncode == 7
    assert lab.leaked() == 0
    proxied = lab.run("host", [*argv, "-x", "http://gw.example:8080", "https://www4.example/"])
    assert proxied.returncode == 0, proxied.stderr
