# SPDX-License-Identifier: GPL-2.0-or-later
"""penstock explain and the kernel agree: random configurations, real connections, SEED=n repeats them."""

import contextlib
import json
import os
import random
import re
import socket
import threading

import pytest

import rules as lib
from test_rules_packets import ANY, HOST, OTHER_UID, WEB, Servers, World

CONFIGURATIONS = int(os.environ.get("EXPLAIN_CONFIGURATIONS", "40"))
CONNECTIONS = 12  # for each of them

# Where the web answers, whatever stands in the lists, and services of this host.
ADDRESSES = {4: ["203.0.113.2", "203.0.113.3", "10.1.0.2", "10.2.0.2", "169.254.169.254", "198.51.100.9"],
             6: ["2001:db8:cb::2", "2001:db8:cb::3", "fd01::2", "fd02::2"]}
PORTS = [80, 443, 8443, 4711]
USERS = [0, OTHER_UID, 65502]
NETWORKS = ["0.0.0.0/0", "203.0.113.0/24", "203.0.113.3/32", "10.1.0.0/16", "10.0.0.0/8", "169.254.169.254/32",
            "198.51.0.0/16", "::/0", "2001:db8:cb::/48", "2001:db8:cb::3/128", "fd01::/16", "fd00::/8"]


@pytest.fixture(autouse=True)
def clean():
    """These tests do without the lab."""
    yield


@pytest.fixture
def world(request, tmp_path):
    helper = lib.find_helper(request.config.getoption("--build"))
    assert helper, "no tests/system/ruleset_apply: make check builds it"
    one = World(helper, tmp_path)
    one.penstock = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(helper))), "penstock")
    one.web.batch(*(f"addr add {address}/32 dev up0" for address in ADDRESSES[4][2:]),
                  *(f"addr add {address}/128 dev up0 nodad" for address in ADDRESSES[6][2:]))
    more = Servers()
    for ip, addresses in ADDRESSES.items():
        for address in addresses:
            for port in PORTS:
                if address != WEB[ip] or port not in (80, 443, 8443):
                    more.listen(one.web, ip, address, port, lambda client: b"web")
    more.thread.start()
    yield one
    more.close()
    one.close()


def some(pool, most):
    return " ".join(str(item) for item in random.sample(pool, random.randint(0, most)))


def some_configuration():
    return lib.CONF + f"""[Redirect]
Ports=
Ports={some(PORTS, 2) or 443}
[Bypass]
LocalNetworks={random.choice(["yes", "no"])}
Users={some(USERS, 1)}
Networks={some(NETWORKS, 2)}
Ports={some(PORTS, 1)}
[Block]
Users={some(USERS, 1)}
Networks={some(NETWORKS, 2)}
Ports={some(PORTS, 1)}
"""


def explain(world, address, port, uid):
    host = f"[{address}]" if ":" in address else address
    done = world.host.run(world.penstock, "-S", "/nonexistent", "explain", "--json", "-c",
                          f"{world.directory}/penstock.conf", "--user", str(uid), f"{host}:{port}")
    answer = json.loads(done.stdout)
    assert (answer["host"], answer["port"], answer["addresses"]) == (address, port, [address])
    return answer


def what_happens(world, ip, address, port, uid):
    """Whether it comes to the relay, leaves, stays here, or is refused; and it leaves only then."""
    before = world.arrived()
    try:
        got = world.get(ip, port, address=address, uid=uid)
    except ConnectionRefusedError:
        assert world.arrived() == before, "refused, but something left"
        return "block"
    return {b"web": "direct", b"own service": "direct"}.get(got, "proxy")


MEANS = {"proxy": "proxy", "bypass": "direct", "untouched": "direct", "block": "block"}


def test_explain_and_the_kernel_agree(world):
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    random.seed(seed)
    world.start("secure")
    seen = {}
    for _ in range(CONFIGURATIONS):
        conf = some_configuration()
        world.rules.configure(conf)
        world.rules.apply("secure")
        for _ in range(CONNECTIONS):
            ip = random.choice([4, 6])
            address, port, uid = random.choice(ADDRESSES[ip]), random.choice(PORTS), random.choice(USERS)
            if random.random() < 0.1:
                address, port = HOST[ip], 443
            answer = explain(world, address, port, uid)
            assert what_happens(world, ip, address, port, uid) == MEANS[answer["decision"]], (conf, address, port, uid, answer)
            seen[answer["decision"]] = seen.get(answer["decision"], 0) + 1
    assert set(seen) == set(MEANS), seen


def test_what_one_address_of_a_name_may_not_is_told(world, tmp_path):
    """/etc/hosts names both families of this host; the rules part them."""
    world.start("secure", "Networks=127.0.0.0/8")
    hosts = tmp_path / "hosts"
    hosts.write_text("203.0.113.2 two.example\n2001:db8:cb::2 two.example\n")
    with open(f"{world.directory}/penstock.conf", "w", encoding="ascii") as file:
        file.write(lib.CONF + "[Block]\nNetworks=203.0.113.0/24\n")
    script = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", world.penstock, "-S", "/nonexistent", "explain", "-c",
             f"{world.directory}/penstock.conf"]
    answer = json.loads(world.host.run(*words, "--json", "two.example").stdout)
    each = {one["address"]: one["decision"] for one in answer["each"]}
    assert each == {"203.0.113.2": "block", "2001:db8:cb::2": "proxy"}
    assert answer["decision"] == each[answer["addresses"][0]]
    page = world.host.run(*words, "two.example").stdout
    assert "two.example:443 at 203.0.113.2 is refused" in page
    assert "two.example:443 at 2001:db8:cb::2 goes to the proxy" in page
    assert "Route now  not known: the daemon does not answer" in page


# ---- the command line ----

@pytest.fixture
def explain_alone(world):
    """explain_alone(conf, *arguments, answer=…): with a daemon whose status is that answer, or none."""
    def run(conf, *arguments, status=None):
        with open(f"{world.directory}/penstock.conf", "w", encoding="ascii") as file:
            file.write(conf)
        path = f"{world.directory}/control.sock"
        with contextlib.ExitStack() as stack:
            if status is not None:
                stack.enter_context(answering(path, status))
            return world.host.run(world.penstock, "-S", path, "explain", "-c", f"{world.directory}/penstock.conf",
                                  *arguments, ok=False)

    return run


@contextlib.contextmanager
def answering(path, answer):
    """A control socket that gives everybody this answer."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(4)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(100)
                        client.sendall(json.dumps(answer).encode() + b"\n")

        threading.Thread(target=serve, daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)
    os.unlink(path)


CONF = """[Proxy]
Servers=gw.example
SecurePort=8081
[Block]
Networks=198.51.100.0/24
Networks=198.51.0.0/16
"""


def test_winner_and_losers_are_named_with_their_lines(explain_alone, world):
    answer = json.loads(explain_alone(CONF, "--json", "198.51.100.7:80").stdout)
    path = f"{world.directory}/penstock.conf"
    assert answer == {"host": "198.51.100.7", "port": 80, "decision": "block", "by": "kernel",
                      "rule": "[Block] Networks=198.51.100.0/24", "file": path, "line": 5,
                      "lost": [{"rule": "[Block] Networks=198.51.0.0/16", "file": path, "line": 6},
                               {"rule": "[Redirect] Ports=80", "file": None, "line": None}],
                      "addresses": ["198.51.100.7"], "route": "none"}
    page = explain_alone(CONF, "198.51.100.7:80").stdout
    assert page.startswith("198.51.100.7:80 is refused\n")
    assert f"[Block] Networks=198.51.100.0/24 ({path}:5)" in page and "Lost" in page


ROUTES = {"secure": "secure", "plain": "plain", "blocked": "none", "direct": "direct", "open": "direct"}


@pytest.mark.parametrize("mode", list(ROUTES))
def test_the_route_is_that_of_the_daemon(explain_alone, mode):
    for target, route in (("203.0.113.9", ROUTES[mode]), ("203.0.113.9:22", "direct"), ("10.0.0.1", "direct"),
                          ("198.51.100.7", "direct" if mode == "open" else "none")):
        answer = json.loads(explain_alone(CONF, "--json", target, status={"mode": mode}).stdout)
        assert answer["route"] == route, target


def test_the_plain_port_of_a_proxy_is_protected_unless_it_is_in_use(explain_alone):
    status = {"mode": "secure", "servers": [{"address": "203.0.113.77"}]}
    answer = json.loads(explain_alone(CONF, "--json", "203.0.113.77:8080", status=status).stdout)
    assert (answer["decision"], answer["rule"]) == ("block", "[Redirect] ProtectProxies=yes")
    status["mode"] = "plain"
    assert json.loads(explain_alone(CONF, "--json", "203.0.113.77:8080", status=status).stdout)["decision"] == "untouched"


@pytest.mark.parametrize("answer", [{}, [], {"mode": 7, "servers": 5, "proxy": "x"}, {"error": "no"}, "x" * 100000])
def test_a_daemon_that_makes_no_sense_is_none(explain_alone, answer):
    done = explain_alone(CONF, "--json", "203.0.113.9", status=answer)
    assert done.returncode == 0 and json.loads(done.stdout)["route"] is None


def test_what_cannot_be_explained_is_a_failure(explain_alone):
    done = explain_alone(CONF, "no-such-host.invalid")
    assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith("penstock: no-such-host.invalid: ")
    done = explain_alone("[Proxy]\nServers=\nbad\n", "203.0.113.9")
    assert done.returncode == 78 and done.stdout == ""


def test_files_that_differ_from_what_is_in_force_are_told(world):
    """The usual configuration, in a mount of this test; and a daemon with another one, or the same."""
    path = f"{world.directory}/control.sock"
    script = 'mkdir -p "$0" && mount -t tmpfs none "$0" && mkdir "$0/penstock" && cp "$1" "$0/penstock/penstock.conf" && ' \
             'shift && exec "$@"'
    with open(f"{world.directory}/penstock.conf", "w", encoding="ascii") as file:
        file.write(CONF)
    with open(os.path.dirname(world.penstock) + "/Makefile", encoding="utf-8") as file:
        settings = dict(re.findall(r"^(prefix|sysconfdir) = (.*)$", file.read(), flags=re.M))
    etc = settings["sysconfdir"].replace("${prefix}", settings["prefix"])
    words = ["unshare", "--mount", "sh", "-c", script, etc, f"{world.directory}/penstock.conf", world.penstock, "-S", path,
             "explain", "203.0.113.9"]
    with answering(path, {"mode": "secure", "config": "[Proxy]\n"}):
        done = world.host.run(*words)
        assert "goes to the proxy" in done.stdout and "the files differ from the configuration in force" in done.stderr
    with answering(path, {"error": "permission denied"}):
        assert world.host.run(*words).stderr == ""


def test_a_blocked_domain_is_the_relays(world, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("203.0.113.2 www.two.example\n")
    with open(f"{world.directory}/penstock.conf", "w", encoding="ascii") as file:
        file.write(CONF + "Domains=example\nDomains=two.example\n")
    path = f"{world.directory}/control.sock"
    words = ["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh", world.penstock, "-S",
             path, "explain", "--json", "-c", f"{world.directory}/penstock.conf", "WWW.two.example"]
    for mode, route in (("secure", "none"), ("direct", "direct")):
        with answering(path, {"mode": mode}):
            answer = json.loads(world.host.run(*words).stdout)
        assert (answer["decision"], answer["by"], answer["route"]) == ("block", "relay", route)
        assert (answer["rule"], answer["line"]) == ("[Block] Domains=two.example", 8)
        assert [one["rule"] for one in answer["lost"]] == ["[Block] Domains=example", "[Redirect] Ports=443"]


def test_a_group_counts_by_its_members(explain_alone):
    """root is in its own group."""
    for user, decision in (("root", "block"), ("65501", "proxy")):
        answer = json.loads(explain_alone(CONF + "Users=@root\n", "--json", "--user", user, "203.0.113.9").stdout)
        assert answer["decision"] == decision
