# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with the host: penstock check says it, and the daemon ends with a status that the service manager knows
or says it beside its verdict."""

import json
import os
import socket
import sys
import time

import lab as labs
import pytest
from rules import Space

# Runs a command in which netlink sockets for netfilter fail, as where the kernel has none.
WITHOUT_NETFILTER = """
import ctypes, os, struct, sys
nr = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
def step(code, yes, no, k): return struct.pack("HBBI", code, yes, no, k)
load, equal, end = 0x20, 0x15, 0x06
filter = b"".join([step(load, 0, 0, 0), step(equal, 0, 5, nr), step(load, 0, 0, 16), step(equal, 0, 3, 16),
                   step(load, 0, 0, 32), step(equal, 0, 1, 12), step(end, 0, 0, 0x50000 | 93),
                   step(end, 0, 0, 0x7fff0000)])
buffer = ctypes.create_string_buffer(filter)
program = struct.pack("HxxxxxxP", len(filter) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


def write(lab, text):
    path = f"{lab.dir}/check.conf"
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


@pytest.fixture
def space():
    one = Space()
    yield one
    one.close()


@pytest.fixture
def check(lab, space):
    """check(changes, *options): penstock check of the lab's configuration in a network namespace of its own."""
    def run(changes=None, *options, prefix=()):
        return space.run(*prefix, f"{lab.build}/penstock", "check", *options, write(lab, lab.config(changes)), ok=False)

    return run


# ---- keys and certificates ----

def test_a_good_one(check):
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(": no errors\n")
    answer = json.loads(check(None, "--json").stdout)
    assert (answer["ok"], answer["errors"], answer["warnings"]) == (True, [], [])


def test_lists_that_cancel_each_other_are_warnings(lab, check):
    done = check({"Bypass": {"Networks": "::/0", "Ports": "443"}, "Block": {"Networks": "2001:db8::/32"}})
    assert done.returncode == 0 and done.stdout.endswith(": no errors\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "warning: [Bypass] Networks= covers all of IPv6: whatever is sent there goes past the proxy"
    assert all(line.startswith("warning: ") for line in lines)
    for text in ("[Bypass] Ports=443: this is a redirected port", "[Block] Networks=2001:db8::/32: never decides"):
        assert any(text in line and f"{lab.dir}/check.conf:" in line for line in lines), text


def test_a_key_that_is_not_there(lab, check):
    path = f"{lab.dir}/pki/none.key"
    done = check({"SecureChannel": {"PrivateKey": path}})
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == f"{path}: No such file or directory\n"
    answer = json.loads(check({"SecureChannel": {"PrivateKey": path}}, "--json").stdout)
    assert (answer["ok"], answer["errors"]) == (False, [f"{path}: No such file or directory"])


def test_a_key_that_may_not_be_read(lab, check):
    done = check(prefix=["setpriv", "--reuid=65534", "--clear-groups"])
    assert done.returncode == 78
    assert done.stderr == f"{lab.dir}/pki/client.key: Permission denied (penstockd reads it as uid 65534)\n"


def test_a_key_of_another_certificate(lab, check):
    done = check({"SecureChannel": {"PrivateKey": f"{lab.dir}/pki/server.key"}})
    assert done.returncode == 78
    assert "does not belong to the certificate in" in done.stderr


def test_keys_do_not_matter_while_the_channel_is_off(check):
    done = check({"SecureChannel": {"Enabled": "no", "PrivateKey": "/none"}})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_certificate_that_has_expired_is_a_warning(lab, check):
    """It is the proxy that refuses it."""
    pki = f"{lab.dir}/pki"
    changes = {"SecureChannel": {"Certificate": f"{pki}/client-expired.pem", "PrivateKey": f"{pki}/client-expired.key"}}
    done = check(changes)
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {pki}/client-expired.pem: this certificate expired on 20")
    assert "expired on" in json.loads(check(changes, "--json").stdout)["warnings"][0]


def test_credentials_of_the_service_are_there_while_it_runs(check):
    path = "/run/credentials/penstock.service/none.key"
    done = check({"SecureChannel": {"PrivateKey": path}})
    assert done.returncode == 0
    assert done.stderr == f"warning: {path}: No such file or directory\n"


# ---- redirects of other programs ----

CHAIN = "chain ip other out { type nat hook output priority -100; }"
THEIRS = {
    "redirect": [CHAIN, "rule ip other out tcp dport 443 redirect to :3129"],
    "a set of ports": [CHAIN, "rule ip other out tcp dport { 80, 443 } redirect to :3129"],
    "every port": [CHAIN, "rule ip other out meta l4proto tcp redirect to :12345"],
    "dnat": [CHAIN, "rule ip other out tcp dport 80 dnat to 10.0.0.5:3129"],
    "a chain that is jumped to": [CHAIN, "chain ip other REDSOCKS", "rule ip other REDSOCKS tcp dport 443 redirect to :3129",
                                  "rule ip other out meta l4proto tcp jump REDSOCKS"],
}
HARMLESS = {
    "names": [CHAIN, "rule ip other out udp dport 53 redirect to :5353", "rule ip other out meta l4proto udp redirect"],
    "another port": [CHAIN, "rule ip other out tcp dport 25 redirect to :2525"],
    "what comes in": ["chain ip other pre { type nat hook prerouting priority -100; }",
                      "rule ip other pre tcp dport 443 redirect to :8443"],
    "a container's port": [CHAIN, "chain ip other DOCKER", "rule ip other DOCKER tcp dport 443 dnat to 172.17.0.2:8443",
                           "rule ip other out fib daddr type local jump DOCKER"],
    "source addresses": ["chain ip other post { type nat hook postrouting priority 100; }", "rule ip other post masquerade"],
}


def add(run, commands):
    run("nft", "; ".join(["add table ip other", *(f"add {command}" for command in commands)]))


@pytest.mark.parametrize("name", THEIRS)
def test_another_table_that_redirects_web_traffic(space, check, name):
    add(space.run, THEIRS[name])
    done = check()
    assert done.returncode == 0
    assert done.stderr.startswith("warning: table ip other, chain "), done.stderr
    assert "redirects web connections, too" in done.stderr and "nft list table ip other" in done.stderr


@pytest.mark.parametrize("name", HARMLESS)
def test_other_rules_are_left_in_peace(space, check, name):
    add(space.run, HARMLESS[name])
    done = check()
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_privilege_the_rules_are_not_looked_at(lab, space, check):
    add(space.run, THEIRS["redirect"])
    done = check({"SecureChannel": {"Enabled": "no"}}, prefix=["setpriv", "--reuid=65534", "--clear-groups"])
    assert (done.returncode, done.stderr) == (0, "")


def test_the_daemon_tells_the_service_manager_of_another_redirect(lab, daemon):
    add(lambda *argv: lab.run("host", list(argv), check=True), THEIRS["redirect"])
    path = f"{lab.dir}/notify-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        os.chmod(path, 0o666)
        manager.settimeout(10)
        one = daemon(status=None, prefix=["env", f"NOTIFY_SOCKET={path}"])
        heard = ""
        while "warning: table ip other, chain out redirects web connections, too" not in heard:
            heard = manager.recv(4096).decode()
        assert heard.startswith("STATUS=")
    one.wait_log("warning: table ip other, chain out redirects web connections, too")
    assert any("table ip other, chain out redirects web connections, too" in text for text in one.status()["warnings"])


def test_the_daemon_notices_when_another_redirect_comes_and_goes(lab, daemon):
    text = "table ip other, chain out redirects web connections, too"
    one = daemon()
    add(lambda *argv: lab.run("host", list(argv), check=True), THEIRS["redirect"])
    labs.wait_for(lambda: any(text in warning for warning in one.status()["warnings"]), 15, "the warning")
    lab.run("host", ["nft", "delete", "table", "ip", "other"], check=True)
    labs.wait_for(lambda: one.status()["warnings"] == [], 15, "no warning")
    one.wait_log("no other table redirects web connections any more")


# ---- what the host forwards ----

FORWARDS = {"ipv4/ip_forward": "IPv4", "ipv4/conf/lo/forwarding": "IPv4", "ipv6/conf/all/forwarding": "IPv6"}


def set_forwarding(run, keys):
    run("sh", "-c", " && ".join(f"echo 1 >/proc/sys/net/{key}" for key in keys))


@pytest.mark.parametrize("key", FORWARDS)
def test_a_host_that_forwards_is_told_that_this_is_not_covered(space, check, key):
    set_forwarding(space.run, [key])
    text = f"this host forwards {FORWARDS[key]}: what containers, virtual machines and other hosts send through it"
    done = check()
    assert done.returncode == 0
    assert done.stderr.startswith("warning: " + text), done.stderr
    assert json.loads(check(None, "--json").stdout)["warnings"][0].startswith(text)
    assert text in check(prefix=["setpriv", "--reuid=65534", "--clear-groups"]).stderr


def test_what_new_interfaces_may_is_not_what_they_do(space, check):
    set_forwarding(space.run, ["ipv4/conf/default/forwarding", "ipv6/conf/default/forwarding"])
    assert check().stderr == ""


def test_the_status_of_a_host_that_forwards_says_so(lab, daemon):
    keys = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
    one = daemon()
    assert one.status()["warnings"] == []
    set_forwarding(lambda *argv: lab.run("host", list(argv), check=True), keys)
    try:
        warnings = one.status()["warnings"]
        page = " ".join(one.cli("status").stdout.split())
    finally:
        lab.run("host", ["sh", "-c", "; ".join(f"echo 0 >/proc/sys/net/{key}" for key in keys)], check=True)
    assert warnings == ["this host forwards IPv4 and IPv6: what containers, virtual machines and other hosts send "
                        "through it is neither redirected nor blocked"]
    assert f"! {warnings[0]}" in page


# ---- the kernel, the disk ----

def test_no_nf_tables_in_the_kernel(check):
    done = check(prefix=[sys.executable, "-c", WITHOUT_NETFILTER])
    assert done.returncode == 0
    assert done.stderr.startswith("warning: reading nf_tables: Protocol not supported (this kernel has no nf_tables")


def test_a_full_disk_below_the_control_socket(lab):
    """The only thing that the daemon writes."""
    script = 'mkdir -p "$0/full" && mount -t tmpfs -o nr_inodes=1 full "$0/full" && exec "$@" -S "$0/full/control.sock"'
    done = lab.run("host", ["unshare", "--mount", "sh", "-c", script, lab.dir, f"{lab.build}/penstockd", "-c",
                            write(lab, lab.config()), "-u", "daemon"], timeout=20)
    assert done.returncode == 73, done.stderr
    assert "full/control.sock: No space left on device" in done.stderr
    assert lab.run("host", ["nft", "list", "tables"]).stdout == ""
