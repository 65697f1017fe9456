# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays every row of the verdict table in the lab; started by tests/demo."""

import os
import re
import sys
import time

import lab as labs

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
SECURE, PLAIN = "Connected (Secure Channel)", "Connected (Non-secure)"
AUTH_FAILED, PORT = "Blocked - Mutual Auth Failed", "Blocked - Secure channel port not available"
NO_PROXY = "Blocked - No proxy available"


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def say(text=""):
    print(text, flush=True)


def shell(line, output):
    say(paint("1", "$ " + line))
    for row in output.rstrip().splitlines():
        say("  " + row)
    say()


class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.steps = []
        self.daemon = None

    def clients(self):
        """What a browser-like client gets; True when all of them got their page."""
        lines, good = [], 0
        urls = ("https://www4.example/", "https://www6.example/", "http://www4.example/")
        for url in urls:
            begin = time.monotonic()
            status, http, text = self.lab.curl(url, timeout=4)
            took = (time.monotonic() - begin) * 1000
            good += status == 0 and http == 200
            lines.append(f"{url:24} {'HTTP ' + str(http) if status == 0 else 'failed'}: {text} ({took:.0f} ms)")
        shell("curl " + " ".join(urls), "\n".join(lines))
        return good == len(urls), "pages arrive" if good == len(urls) else "refused" if good == 0 else "some arrive"

    def step(self, row, title, change, status, connection, detail=None):
        """row: of the seed's table. change: makes the situation. Then waits for the status and shows everything."""
        number = len(self.steps) + 1
        say(paint("1;36", f"━━ {number}. {title} " + "━" * max(3, 100 - len(title))))
        say()
        change()
        self.daemon.ask("test", timeout=20)
        got = {}
        try:
            def reached():
                nonlocal got
                got = self.daemon.status()
                return got["status"] == status and (not detail or re.search(detail, got.get("detail") or ""))
            labs.wait_for(reached, 10, status)
        except labs.LabError:
            say(paint("31", f"expected {status}" + (f" with {detail}" if detail else "")))
        shell("penstock status", self.daemon.cli("status").stdout)
        arrived, client = self.clients()
        if number == 1:
            shell("nft list table inet penstock", self.daemon.table())
        else:  # the rest of the table has only other counts
            for chain in ("redirect_local", "guard_local"):
                shell(f"nft list chain inet penstock {chain}", self.daemon.chain(chain))
        connected = status in (SECURE, PLAIN)
        fine = got.get("status") == status and got.get("connection_status") == connection and arrived == connected and \
            (not detail or bool(re.search(detail, got.get("detail") or "")))
        self.steps.append((row, title, status, got.get("status"), got.get("connection_status"), client, fine))

    def reconfigure(self, **changes):
        sections = {"SecureChannel": {"AuthURL": "https://auth.example/"}, "Test": {"Interval": "2s"}}
        for section, keys in changes.items():
            sections.setdefault(section, {}).update(keys)
        text = self.lab.config(sections)
        if not self.daemon:
            self.daemon = labs.Daemon(self.lab, text).start()
            return
        self.daemon.write(text)
        answer = self.daemon.ask("reload")
        if not answer or not answer[0].get("ok"):
            say(paint("31", f"reload: {answer}"))

    def play(self):
        lab = self.lab
        fallback = {"SecureChannel": {"AllowFallback": "yes"}}

        def blocked_port():
            lab.fault("reject", port=labs.SECURE_PORT)

        def auth_url_fails():
            lab.set_client_ca("gw")
            self.reconfigure(SecureChannel={"AllowFallback": "yes", "AuthURL": "https://auth-wrong-name.example/"})

        def all_good():
            lab.clear_faults()
            self.reconfigure(**fallback)

        self.step("Successful", "Both tests pass: the secure channel is used", self.reconfigure, SECURE, "Proxy Trusted")
        self.step("Port Blocked, no fallback", "The secure port is blocked, fallback not allowed", blocked_port,
                  PORT, "Proxy Unreachable", "8081")
        self.step("Port Blocked, fallback", "The secure port is blocked, fallback allowed", lambda: self.reconfigure(**fallback),
                  PLAIN, "Proxy Connected")
        self.step("Successful", "The port opens: back to the secure channel", lab.clear_faults, SECURE, "Proxy Trusted")
        self.step("SSL Failure: wrong issuer", "The proxy's certificate is of an issuer that is not trusted",
                  lambda: lab.set_server_cert("gw", "wrong-issuer"), AUTH_FAILED, "Proxy Mistrust", "certificate")
        self.step("SSL Failure: wrong name", "The proxy's certificate carries another name",
                  lambda: lab.set_server_cert("gw", "wrong-name"), AUTH_FAILED, "Proxy Mistrust", "wrong.example")
        self.step("SSL Failure: expired", "The proxy's certificate has expired",
                  lambda: lab.set_server_cert("gw", "expired"), AUTH_FAILED, "Proxy Mistrust", "expired")

        def refuse_client():
            lab.set_server_cert("gw")
            lab.set_client_ca("gw", "other-ca")
        self.step("SSL Failure: client refused", "The proxy refuses the client certificate", refuse_client, AUTH_FAILED,
                  "Proxy Mistrust", "client certificate")
        self.step("SSL Failure: AuthURL", "The handshake with AuthURL fails", auth_url_fails, AUTH_FAILED, "Proxy Mistrust",
                  "auth-wrong-name.example")

        def everything_blocked():
            self.reconfigure(**fallback)
            blocked_port()
            lab.fault("reject", port=labs.PLAIN_PORT)
        self.step("(no port answers)", "No port of the proxy answers", everything_blocked, NO_PROXY, "Proxy Unreachable")
        self.step("Successful", "All is well again", all_good, SECURE, "Proxy Trusted")
        return lab.leaked()

    def summary(self, leaked):
        say(paint("1;36", "━━ Summary " + "━" * 95))
        say()
        row = "{:<27} {:<44} {:<44} {:<18} {:<13} {}"
        say(paint("1", row.format("row of the table", "expected", "happened", "connection status", "client", "")))
        for name, _, expected, got, connection, client, fine in self.steps:
            mark = paint("32", "as expected") if fine else paint("31", "NOT as expected")
            say(row.format(name, expected, str(got), str(connection), client, mark))
        say()
        say(f"packets to ports 80 and 443 that left the host beside the proxy: {leaked}")
        return leaked == 0 and all(step[-1] for step in self.steps)


def keep(lab, daemon):
    env = f"{lab.dir}/env"
    with open(env, "w", encoding="ascii") as file:
        file.write(f"export PENSTOCK_CONTROL={daemon.control}\nPATH={lab.build}:$PATH\n")
    say(f"""
The lab stays up, with penstockd in it. To play:
  . {env}
  penstock status
  ip netns exec {lab.name}-host curl --cacert {lab.dir}/pki/ca.pem https://www.example/
  ip netns exec {lab.name}-host nft list table inet penstock
  ip netns exec {lab.name}-gw nft add rule inet lab faults tcp dport 8081 reject with tcp reset
  tail -f {daemon.log_path} {lab.dir}/squid/access.log
To end it:
  tests/lab/lab down {lab.name.removeprefix(labs.PREFIX)}""")
    lab.detach()


def main():
    keep_lab = "--keep" in sys.argv[1:]
    labs.end_on_signals()
    say("""
   host: applications, penstockd          gw: HAProxy 8081 (mutual TLS) ─ Squid 8080          web: nginx 80, 443
         192.0.2.100  2001:db8:1::100         192.0.2.1  2001:db8:1::1                             203.0.113.80 …
""")
    with labs.Lab("demo" if keep_lab else None) as lab:
        status, http, text = lab.curl("https://www.example/")
        say("Before penstock starts, the host reaches the web directly:")
        shell("curl https://www.example/", f"HTTP {http}: {text}" if status == 0 else text)
        lab.reset_counters()
        demo = Demo(lab)
        try:
            fine = demo.summary(demo.play())
        except labs.LabError as error:
            say(paint("31", str(error)))
            fine = False
        if demo.daemon and (not fine):
            shell("penstockd's log", demo.daemon.log())
        if keep_lab and demo.daemon and demo.daemon.child:
            keep(lab, demo.daemon)
        elif demo.daemon:
            demo.daemon.stop()
    return 0 if fine else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
