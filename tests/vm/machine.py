# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine in the lab: it takes the place of the lab's host, so that the lab's peers are its world and the lab's
counters see what leaves it."""

import contextlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import lab as labs
from vm import Vm, VmError

TLS = "/etc/penstock/tls"
CONF = "/etc/penstock/penstock.conf.d/lab.conf"
CA = "/usr/local/share/lab-ca.pem"
SECURE = "Connected (Secure Channel)"
PLAIN = "Connected (Non-secure)"
WEB = "203.0.113.80"


def bridge(lab):
    """A bridge instead of the host's end of its link; the machine's tap device comes next to it."""
    lab._ip("host", "address flush dev up0\n"
                    "link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0\n"
                    "link set up0 master br0\nlink set br0 up\n")


def boot(lab, files, log_dir):
    """A machine that is up. An emulated machine that does not come up is given a second chance; the log of each is kept."""
    for attempt in (1, 2):
        one = Machine(lab, files, f"{log_dir}/console-{attempt}.log")
        try:
            one.wait_boot(150)
            one.wait_up()
            return one
        except VmError:
            one.stop()
            if attempt == 2:
                raise
    return None


class Machine(Vm):
    def __init__(self, lab, files, log):
        super().__init__(files, log, netns=f"{lab.name}-host", bridge="br0")
        self.lab, self.files = lab, files
        self.conf = None

    def wait_up(self, timeout=90):
        self.until("systemctl is-system-running | grep -qE 'running|degraded'", timeout)

    def provide(self, repo):
        """What a machine of the lab has: names, certificates, the packages to install in /root, a user."""
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(f"{self.lab.dir}/pki", f"{scratch}/pki", ignore=shutil.ignore_patterns("ca.key"))
            subprocess.run(["tar", "-C", scratch, "-xf", self.files["package"]], check=True)
            with tarfile.open(f"{self.lab.shm}/provide.tar", "w") as tar:
                for name in ("pki", "first", "next", "version"):
                    tar.add(f"{scratch}/{name}", name, filter=lambda item: None if "dbgsym" in item.name else item)
        self.write("/etc/hosts", labs.HOSTS)
        self.write("/etc/resolv.conf", "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n")
        self.until("ip -4 route show default | grep -q via", 30)
        self.ok(f"curl -sS -m 60 http://{WEB}/file/provide.tar | tar -C /root -x && cp /root/pki/ca.pem {CA} && chmod 644 {CA} && "
                "useradd -m tester", timeout=90)
        self.write("/usr/local/bin/get", f"#!/bin/sh\nexec curl -sS -m ${{LIMIT-20}} --cacert {CA} -w '\\n%{{http_code}}' \"$@\"\n", "755")

    # -- the package --

    def install(self):
        """apt's output."""
        return self.ok("DEBIAN_FRONTEND=noninteractive apt-get install -y -qq /root/first/penstock_*.deb </dev/null 2>&1", timeout=180)

    def all_files(self):
        """Of the system, without what changes by itself and what is the tests' own."""
        passing = "root tmp home var/tmp var/log var/cache var/lib/dpkg var/lib/apt var/lib/systemd/timers usr/local".split()
        return set(self.ok("find / -xdev " + " ".join(f"-path /{path} -prune -o" for path in passing) + " -print").splitlines())

    def keys(self):
        """Certificates and key where the documentation wants them."""
        self.ok(f"install -d -m 750 -g penstock {TLS} && install -m 640 -g penstock /root/pki/*.pem /root/pki/client*.key {TLS}/")

    def config(self, changes=None):
        """The lab's configuration with the paths of this machine."""
        return self.lab.config(changes).replace(f"{self.lab.dir}/pki", TLS)

    def configure(self, changes=None):
        """Writes the configuration; True when it differs from what was there. Nothing is told to the daemon."""
        text = self.config(changes)
        if text == self.conf:
            return False
        self.write(CONF, text)
        self.conf = text
        return True

    def start(self, changes=None, status=SECURE):
        """The service, started anew with that configuration, and its status object when it has that status."""
        self.configure(changes)
        self.ok("systemctl reset-failed penstock; systemctl restart penstock", timeout=90)
        return self.wait_status(status)

    def reload(self, changes, status=SECURE):
        self.configure(changes)
        self.ok("systemctl reload penstock")
        return self.wait_status(status)

    def status(self):
        """The status object; status None: the daemon does not answer."""
        output = self.run("penstock status --json").output
        try:
            return json.loads(output)
        except ValueError:
            return {"status": None, "output": output}

    def wait_status(self, text, timeout=40):
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            if status["status"] == text:
                return status
            if time.monotonic() > deadline:
                raise VmError(f'waited {timeout} s for "{text}", is {status}')
            time.sleep(0.2)  # between two polls

    def unit(self):
        """What a person reads: systemctl status."""
        return self.run("systemctl status --no-pager -l -n 30 penstock").output

    def show(self, name, unit="penstock"):
        return self.ok(f"systemctl show -P {name} {unit}").strip()

    def pid(self):
        return int(self.show("MainPID"))

    def table(self):
        return self.run("nft list table inet penstock").output

    def get(self, url, prefix="", limit=20, args=""):
        """(curl's exit status, HTTP status, text or message) of a client; prefix: how it is run."""
        result = self.run(f"{prefix} env LIMIT={limit} /usr/local/bin/get {args} {url}", timeout=limit + 40)
        text, _, code = result.output.rpartition("\n")
        return result.status, int(code) if code.strip().isdigit() else 0, (text or result.output).strip()

    def journal(self, *matches):
        """The messages of this boot that match, oldest first, as objects."""
        lines = self.ok("journalctl --sync; journalctl -b -o json --no-pager " + " ".join(matches)).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @contextlib.contextmanager
    def knocking(self):
        """A client knocks at web ports all the time; yields what came of it, which is filled in at the end."""
        counts = {}
        self.ok("rm -f /run/knocked; systemd-run -q --unit=knock -p User=root knock /run/knocked")
        self.until("test -s /run/knocked", 30)
        try:
            yield counts
        finally:
            self.ok("systemctl stop knock")
        counts.update(self.read_json("/run/knocked"))

    def read_json(self, path):
        return json.loads(self.ok(f"cat {path}"))

    def children(self, kind):
        """Process ids of the relays or of the prober."""
        return [int(pid) for pid in self.run(f"pgrep -P {self.pid()} -f -- --child={kind}").output.split()]

    def story(self):
        """For a failure: what the machine knows of it."""
        parts = []
        for command in ("systemctl status penstock --no-pager -l -n 0", "journalctl -b -u penstock --no-pager -n 60 -o short-precise",
                        "penstock status; systemctl --failed --no-pager --no-legend", "nft list ruleset | head -n 120",
                        "journalctl -b --no-pager -n 60 -o short-precise"):
            try:
                parts.append(f"$ {command}\n{self.run(command, timeout=20).output}")
            except VmError as error:
                parts.append(f"$ {command}\n{error}")
                break
        return "\n".join(parts)
