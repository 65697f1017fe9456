# SPDX-License-Identifier: GPL-2.0-or-later
"""The status tells of every server, with real proxies behind the names."""

import json
import os

import lab as labs

SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
MISTRUST, NO_PORT = "Blocked - Mutual Auth Failed", "Blocked - Secure channel port not available"
TWO = {"Servers": "gw.example gw2.example nobody.invalid"}
FALLBACK = {"SecureChannel": {"AllowFallback": "yes"}}
OFTEN = {"Test": {"Interval": "1s", "RetryMax": "1s"}}


def servers(one):
    return {server["server"]: server for server in one.status()["servers"]}


def wait_state(one, name, state, timeout=15):
    labs.wait_for(lambda: servers(one)[name]["state"] == state, timeout, f"{name}: {state}")
    return servers(one)[name]


def test_a_mistrusted_server_shows_while_another_works(lab, daemon):
    lab.set_server_cert("gw", "wrong-name")
    one = daemon({"Proxy": TWO, **OFTEN})
    one.wait_status(SECURE)
    first = wait_state(one, "gw.example", "mistrusted")
    second = wait_state(one, "gw2.example", "trusted")
    third = wait_state(one, "nobody.invalid", "unresolved")
    assert (first["cause"], first["port"], first["in_use"]) == ("certificate-name", 8081, False)
    assert first["address"] in (*labs.PROXIES["gw"],)
    assert (second["cause"], second["in_use"]) == (None, True)
    assert second["tests"]["mutual_auth"]["ms"] > 0
    assert third["cause"].startswith("name-") and (third["address"], third["port"]) == (None, None)
    assert third["tests"]["tcp"]["ms"] > 0, "looking up the name took time"
    assert any("gw.example is mistrusted: " in text for text in one.status()["warnings"])
    page = one.cli("status").stdout
    assert "! gw.example is mistrusted: " in page.split("\n  Servers ")[0]
    one.wait_log("server gw.example at ")
    assert "untested -> mistrusted" in one.log() or "testing -> mistrusted" in one.log()
    lab.set_server_cert("gw")
    wait_state(one, "gw.example", "trusted")
    assert "mistrusted -> trusted" in one.log()
    assert one.status()["warnings"] == []


def test_a_server_that_dies_beside_another_one_is_told_once(lab, daemon):
    one = daemon({"Proxy": {"Servers": "gw.example gw2.example"}, **OFTEN})
    wait_state(one, "gw2.example", "trusted")
    lab.fault("reject", server="gw2")
    dead = wait_state(one, "gw2.example", "unreachable")
    assert dead["cause"] == "tcp-refused"
    assert one.status()["status"] == SECURE
    at = dead["tests"]["at"]
    labs.wait_for(lambda: servers(one)["gw2.example"]["tests"]["at"] > at, 15, "another test")
    assert servers(one)["gw2.example"]["since"] == dead["since"]
    assert one.log().count("trusted -> unreachable") == 1


def test_blocked_states_show_the_address(lab, daemon):
    one = daemon(OFTEN)
    lab.fault("reject")
    one.wait_status(NO_PORT)
    dead = wait_state(one, "gw.example", "unreachable")
    assert (dead["address"], dead["port"]) == (dead["address"], 8081) and dead["address"] in labs.PROXIES["gw"]
    assert dead["address"] in one.cli("status").stdout.split("\n  Servers ")[1]


def test_fallback_shows_the_secure_port_with_cause_and_cure(lab, daemon):
    lab.fault("reject")
    one = daemon({**FALLBACK, **OFTEN}, status=None)
    status = one.wait_status(PLAIN)
    wait_state(one, "gw.example", "plain")
    status = one.status()
    assert status["tests"]["tcp"]["result"] == "failed"
    assert status["tests"]["tcp"]["cause"] == "tcp-refused"
    assert status["tests"]["plain_tcp"]["result"] == "passed"
    assert status["tests"]["next_at"] is not None or status["tests"]["at"] is not None
    page = one.cli("status").stdout
    assert "! the secure channel is not used: " in page
    assert "What to do" in page and "Nothing listens there" in page
    assert "TCP to the secure port" in page
    at = servers(one)["gw.example"]["tests"]["at"]
    labs.wait_for(lambda: servers(one)["gw.example"]["tests"]["at"] > at, 15, "another test")
    assert "plain -> unreachable" not in one.log()


def test_a_key_of_this_host_makes_no_server_mistrusted(daemon):
    one = daemon({"SecureChannel": {"PrivateKey": "/nonexistent"}}, status=None)
    one.wait_status("Blocked - Local error")
    labs.wait_for(lambda: servers(one)["gw.example"]["cause"] == "file-missing", 15, "the cause")
    assert servers(one)["gw.example"]["state"] == "untested"


# ---- state.json, and the status without a daemon ----


def state_of(one):
    with open(os.path.join(os.path.dirname(one.control), "state.json"), encoding="utf-8") as file:
        return json.load(file)


def without_daemon(lab, one, *prefix):
    """The object and the page of penstock status."""
    argv = [*prefix, f"{lab.build}/penstock", "-S", one.control, "status"]
    page, whole = lab.run("host", argv), lab.run("host", [*argv, "--json"])
    assert page.returncode == whole.returncode == 1
    assert "the daemon does not answer" in page.stderr
    status = json.loads(whole.stdout)
    assert status["running"] is False
    return status, page.stdout


def test_the_state_is_there_for_anyone_to_read_at_each_change(lab, daemon):
    one = daemon({"Proxy": {"Servers": "gw.example gw2.example", "Header": "X-Secret: 4711"},
                  "Bypass": {"Users": "daemon nobody-yet games"}, "Block": {"Users": "games"}})
    path = os.path.join(os.path.dirname(one.control), "state.json")
    assert os.stat(path).st_mode & 0o777 == 0o644
    state = state_of(one)
    assert (state["status"], state["ended"], state["pid"]) == (SECURE, None, one.pid)
    labs.wait_for(lambda: [s["state"] for s in state_of(one)["servers"]] == ["trusted", "trusted"], 10, "both servers")
    assert "sessions" not in state and "bytes" not in state
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert "4711" not in text.replace(str(one.pid), "") and "nobody-yet" not in text and "games" not in text
    assert "nobody-yet" in json.dumps(one.status()) and "[Block] Users=games" in json.dumps(one.status())
    written = os.stat(path).st_mtime_ns
    lab.fault("reject")
    one.ask("test")
    one.wait_status(NO_PORT)
    labs.wait_for(lambda: state_of(one)["status"] == NO_PORT, 10, "the new state")
    assert os.stat(path).st_mtime_ns > written
    assert sorted(os.listdir(os.path.dirname(path))) == ["changes.jsonl", "control.sock", "state.json"]


def test_the_state_is_not_written_for_traffic_and_tests_that_change_nothing(lab, daemon):
    one = daemon(OFTEN)
    path = os.path.join(os.path.dirname(one.control), "state.json")
    labs.wait_for(lambda: servers(one)["gw.example"]["state"] == "trusted", 10, "the server")
    labs.wait_for(lambda: state_of(one)["servers"][0]["state"] == "trusted", 10, "the state")
    inode, at = os.stat(path).st_ino, one.status()["tests"]["at"]
    assert lab.curl("https://www4.example/")[:2] == (0, 200)
    labs.wait_for(lambda: one.status()["tests"]["at"] > at, 10, "another test")
    assert os.stat(path).st_ino == inode


def test_a_stop_that_blocks_is_told_with_what_opens_the_gate(lab, daemon):
    one = daemon({"Failure": {"OnStop": "block"}})
    assert one.stop() == 0
    status, page = without_daemon(lab, one)
    assert (status["mode"], status["cause"], status["rules"]["installed"]) == ("blocked", "daemon-stopped", True)
    assert status["last"]["status"] == SECURE and status["since"] == status["last"]["ended"]["at"]
    assert "web traffic is refused" in page and "Blocked - penstock is stopped" in page
    assert "nft delete table inet penstock" in page.replace("\n                ", " ")
    assert "systemctl start penstock" in page
    status, page = without_daemon(lab, one, "setpriv", "--reuid=65534", "--clear-groups")
    assert (status["mode"], status["rules"]["installed"]) == ("blocked", None)
    assert "as penstockd left it" in page


def test_a_stop_that_opens_says_that_nothing_is_under_control(lab, daemon):
    one = daemon({"Failure": {"OnStop": "open"}})
    assert one.stop() == 0
    for prefix in ((), ("setpriv", "--reuid=65534", "--clear-groups")):
        status, page = without_daemon(lab, one, *prefix)
        assert (status["mode"], status["cause"]) == ("open", "daemon-stopped")
        assert "not under control" in page


def test_a_daemon_that_was_killed_leaves_a_closed_gate_and_an_explanation(lab, daemon):
    one = daemon()
    pid = one.pid
    one.kill()
    for prefix in ((), ("setpriv", "--reuid=65534", "--clear-groups")):
        status, page = without_daemon(lab, one, *prefix)
        assert (status["mode"], status["cause"]) == ("blocked", "daemon-failed")
        assert f"pid {pid}, ended without a word" in status["detail"]
        assert f"Before        {SECURE}, since " in page
    assert lab.curl("https://www4.example/", timeout=4)[0] != 0
    lab.run("host", ["nft", "delete", "table", "inet", "penstock"])
    assert without_daemon(lab, one)[0]["mode"] == "open"


def test_a_start_that_fails_is_told_with_its_reason(lab, daemon):
    one = daemon()
    one.stop()
    one.write(lab.config({"Redirect": {"Nonsense": "1"}}))
    one.start(wait=False)
    assert one.child.wait(20) == 78
    status, page = without_daemon(lab, one)
    assert (status["mode"], status["cause"]) == ("blocked", "daemon-failed")
    assert status["detail"] == "penstockd could not start: the configuration cannot be used"
    assert "penstock check" in page


def test_rules_that_let_web_traffic_pass_are_told_as_such(lab, daemon):
    """What the table says goes before what the daemon wrote last."""
    one = daemon({"Failure": {"OnStop": "block", "OnUnavailable": "direct"}, **FALLBACK})
    lab.fault("reject")
    lab.fault("reject", port=8080)
    one.ask("test")
    one.wait_status("Direct - No proxy available")
    one.kill()
    status, page = without_daemon(lab, one)
    assert (status["mode"], status["rules"]["comment"]) == ("direct", "Direct - No proxy available")
    assert "passes without the proxy" in page


# ---- changes ----


def history(one):
    done = one.cli("history", "-S", one.control, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_history_outlives_the_daemon(lab, daemon):
    one = daemon({**FALLBACK, **OFTEN})
    lab.fault("reject")
    one.wait_status(PLAIN)
    one.stop()
    lab.clear_faults()
    one.start()
    one.wait_status(SECURE)
    labs.wait_for(lambda: history(one)[-1].get("status") == SECURE, 10, "the last state in the history")
    spans = history(one)
    assert [span.get("status", span["type"]) for span in spans if span.get("verdict") != "testing"] == \
        [SECURE, PLAIN, "stop", SECURE]
    plain = next(span for span in spans if span.get("status") == PLAIN)
    assert (plain["cause"], plain["mode"], plain["lasts"]) == ("tcp-refused", "plain", False) and plain["seconds"] >= 0
    assert "connection refused" in plain["detail"]
    assert spans[-1]["lasts"] is True
    assert [span["seq"] for span in spans] == sorted({span["seq"] for span in spans})
    shown = one.cli("status", "-S", one.control).stdout.splitlines()[-3:]
    assert SECURE in shown[0] or "server gw.example is trusted" in shown[0], "the latest change first"
    page = one.cli("history", "-S", one.control).stdout
    assert "connection refused" in page.replace("\n" + 34 * " ", " ") and "In all:" in page
    assert "penstockd has stopped, web traffic is" in page
    one.stop()
    assert len(history(one)) > len(spans), "also without a daemon"


def test_the_monitor_tells_each_change_as_it_happens(lab, daemon, tmp_path):
    one = daemon({"Proxy": {"Servers": "gw.example gw2.example"}, **OFTEN})
    wait_state(one, "gw2.example", "trusted")
    log = f"{tmp_path}/monitor"
    child = lab.spawn("host", [f"{lab.build}/penstock", "-S", one.control, "monitor", "--json"], log)

    def told():
        with open(log, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("}\n")]

    labs.wait_for(lambda: "inotify" in " ".join(os.readlink(f"/proc/{child.pid}/fd/{fd}")
                                                for fd in os.listdir(f"/proc/{child.pid}/fd")), 10, "the monitor")
    lab.fault("reject", server="gw2")
    labs.wait_for(lambda: any(c["type"] == "server" and c["state"] == "unreachable" for c in told()), 15, "the dead server")
    lab.fault("reject", server="gw")
    labs.wait_for(lambda: any(c.get("status") == NO_PORT and c["type"] == "verdict" for c in told()), 15, "the verdict")
    one.stop()
    labs.wait_for(lambda: told()[-1]["type"] == "stop", 10, "the stop")
    assert all(c["type"] != "start" for c in told()), "what was before is not told"
    child.terminate()
    child.wait(10)


def test_no_history_is_said_in_one_line(daemon, lab, tmp_path):
    done = lab.run("host", [f"{lab.build}/penstock", "-S", f"{tmp_path}/none/x.sock", "history"])
    assert (done.returncode, done.stdout) == (1, "") and "penstockd has not run yet" in done.stderr
    done = lab.run("host", [f"{lab.build}/penstock", "-S", f"{tmp_path}/none/x.sock", "monitor"])
    assert (done.returncode, done.stdout) == (1, "") and "penstockd has not run yet" in done.stderr


def test_top_answers_who_used_it_most(lab, daemon):
    one = daemon()
    for _ in range(3):
        assert lab.curl("https://www4.example/")[:2] == (0, 200)
    done = lab.run("host", ["setpriv", "--reuid=65534", "--clear-groups", "curl", "-sk", "https://www6.example/"])
    assert done.returncode == 0

    def top(by):
        return {row[by]: row for row in map(json.loads, one.cli("top", "-S", one.control, "--json", "--by", by).stdout.splitlines())}

    labs.wait_for(lambda: top("name").get("www6.example", {}).get("open") == 0, 10, "the last session's end")
    names, users = top("name"), top("user")
    assert (names["www4.example"]["total"], names["www6.example"]["total"], names["www4.example"]["failed"]) == (3, 1, 0)
    assert names["www4.example"]["bytes"]["down"] > 100
    assert users["root"]["total"] == 3 and users["nobody"]["total"] == 1
    assert sum(row["total"] for row in top("unit").values()) == 4
