# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the rules share: throwaway network namespaces, and ruleset_apply, which puts rules into them
without the daemon. A namespace has no name: it is gone with the last process that uses it."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

OWN_UID = 65500  # as in nft/*.nft
LISTEN_PORT = 15443
CONF = "[Proxy]\nServers=gw.example\nSecurePort=8081\n"
STATUS = {"secure": "Connected (Secure Channel)", "plain": "Connected (Non-secure)", "blocked": "Blocked - Testing",
          "direct": "Direct - No proxy available"}


def check(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def find_helper(build=None):
    """ruleset_apply of the build that is tested."""
    for directory in (build, os.environ.get("PENSTOCK_BUILD"), f"{TOP}/build/normal", f"{TOP}/build/run/normal", f"{TOP}/build", TOP):
        path = directory and f"{os.path.abspath(directory)}/tests/system/ruleset_apply"
        if path and os.access(path, os.X_OK):
            return path
    return None


def wait_until(condition, what, timeout=5.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {timeout} s"
        time.sleep(0.005)


class Space:
    """A network namespace, loopback up."""

    def __init__(self):
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            check(LIBC.unshare(CLONE_NEWNET))
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            check(LIBC.setns(before, CLONE_NEWNET))
            os.close(before)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        self.run("ip", "link", "set", "lo", "up")

    def close(self):
        os.close(self.fd)

    @contextlib.contextmanager
    def inside(self):
        """Sockets made meanwhile, by this thread, belong to the namespace."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        check(LIBC.setns(self.fd, CLONE_NEWNET))
        try:
            yield
        finally:
            check(LIBC.setns(before, CLONE_NEWNET))
            os.close(before)

    def argv(self, *argv):
        return ["nsenter", f"--net={self.path}", *argv]

    def run(self, *argv, ok=True):
        done = subprocess.run(self.argv(*argv), capture_output=True, text=True)
        assert not ok or done.returncode == 0, f"{argv}: {done.stderr}"
        return done

    def batch(self, *commands):
        """Commands of ip, all in one go."""
        done = subprocess.run(self.argv("ip", "-batch", "-"), input="\n".join(commands) + "\n", capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr

    def nft(self, command, ok=True):
        return self.run("nft", command, ok=ok)

    def listing(self, *options):
        """nft's listing of our table, without what differs from moment to moment, or by who owns the table."""
        text = self.run("nft", *options, "list", "table", "inet", "penstock").stdout
        text = re.sub(r"packets \d+ bytes \d+", "packets N bytes N", text)
        text = re.sub(r"^\tflags[ a-z,]*\n", "", text, flags=re.M)
        text = re.sub(r" # progname .*", "", text)
        text = re.sub(r"\n{2,}", "\n", text)
        sets = sorted(re.findall(r"^\tset .*?^\t}\n", text, flags=re.M | re.S))
        if sets:  # the kernel lists them by their age
            before, behind = text.split("\tset ", 1)[0], text.rsplit("\tset ", 1)[1].split("\n\t}\n", 1)[1]
            text = before + "".join(sets) + behind
        return text

    def counter(self, name):
        """Packets of a named counter."""
        text = self.run("nft", "list", "counter", "inet", "penstock", name).stdout
        return int(re.search(r"packets (\d+)", text).group(1))


@contextlib.contextmanager
def others_that_never_stop(argv):
    """Transactions of another program, one after the other; argv(WORDS) puts a command into the namespace."""
    busy = subprocess.Popen(argv(["sh", "-c", "yes 'add table ip other; delete table ip other' | nft -i"]),
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
        assert busy.poll() is None, "nft ended"
    finally:
        os.killpg(busy.pid, signal.SIGKILL)
        busy.wait()


class Rules:
    """One ruleset_apply, running."""

    def __init__(self, space, helper, directory, conf=CONF, owned=False, prefix=()):
        self.directory = directory
        self.child = subprocess.Popen(
            space.argv(*prefix, helper, "owned" if owned else "plain", str(OWN_UID), self.write(conf)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.greeting = self.child.stdout.readline().strip()

    def write(self, conf):
        path = f"{self.directory}/penstock.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(conf)
        return path

    def ask(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline().strip()
        assert answer, f"ruleset_apply ended at: {command}"
        return answer

    def apply(self, mode, status=None):
        answer = self.ask(f"apply {mode} {status or STATUS[mode]}")
        assert answer in ("ok", "ok owned"), answer
        return answer

    def configure(self, conf):
        assert self.ask(f"conf {self.write(conf)}") == "ok"

    def kill(self):
        self.child.kill()
        self.child.wait()

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)
        self.child.stdout.close()
