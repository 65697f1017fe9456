# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian of its own under qemu: booted from an image of mkimage, commanded through a serial line (guest/usr/local/sbin/vm-agent)."""
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Emulated; newer ones have longer page tables and more protection, which cost time here.
CPU = "Westmere"


class VmError(Exception):
    pass


def make(suite):
    """Builds (or finds) package and image; a dict with package, image, kernel, initrd."""
    done = subprocess.run([str(HERE / "mkimage"), suite], stdout=subprocess.PIPE, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


class Result:
    def __init__(self, command, status, output):
        self.command, self.status, self.output = command, status, output


class Vm:
    """One running machine. netns: where its tap device is made and attached to the bridge. log: of its console."""

    def __init__(self, files, log, netns=None, bridge=None, memory=768):
        self.dir = Path(tempfile.mkdtemp(prefix="penstock-vm."))
        self.console = Path(log)
        self.next_id = 0
        self.buffer = b""
        self.answers = {}
        self.boots = 0
        self.line = None
        self.gone = None  # why nothing is to be expected of it any more
        line = self.dir / "agent.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(line))
        listener.listen(1)
        listener.settimeout(30)
        root = files["qemu"]
        command = [f"{root}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{root}/usr/lib/x86_64-linux-gnu",
                   f"{root}/usr/bin/qemu-system-x86_64", "-L", f"{root}/usr/share/qemu", "-L", f"{root}/usr/share/seabios",
                   "-accel", "tcg", "-cpu", CPU, "-m", str(memory), "-smp", "1", "-nographic", "-nodefaults", "-no-user-config",
                   "-kernel", files["kernel"], "-initrd", files["initrd"],
                   "-append", "console=ttyS0 root=/dev/vda rw panic=-1 mitigations=off quiet systemd.show_status=1",
                   "-drive", f"file={files['image']},if=virtio,format=raw,snapshot=on",
                   "-object", "rng-random,id=r0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=r0",
                   "-serial", f"file:{self.console}", "-serial", f"unix:{line}"]
        prefix = []
        if netns:
            prefix = ["ip", "netns", "exec", netns]
            tap = "vm0"
            subprocess.run(prefix + ["ip", "link", "delete", tap], stderr=subprocess.DEVNULL, check=False)
            run(prefix + ["ip", "tuntap", "add", "dev", tap, "mode", "tap"])
            run(prefix + ["ip", "link", "set", tap, "master", bridge, "up"])
            command += ["-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no",
                        "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:70:65:6e,romfile="]
        env = dict(os.environ, TMPDIR=str(self.dir))
        self.qemu = subprocess.Popen(prefix + command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                     preexec_fn=die_with_parent, env=env)
        try:
            self.line, _ = listener.accept()
            self.line.setblocking(False)
        except socket.timeout as late:
            self.qemu.kill()
            raise VmError("qemu did not start: " + self.qemu.stderr.read().decode(errors="replace")) from late
        finally:
            listener.close()

    def wait_boot(self, timeout=120):
        """Until the agent of a new boot says hello."""
        want = self.boots + 1
        self._read_until(lambda: self.boots >= want, timeout, "the machine to boot")

    def run(self, command, timeout=60, stdin="", check=False):
        if self.gone:
            raise VmError("the machine is gone: " + self.gone)
        self.next_id += 1
        ident = self.next_id
        request = {"id": ident, "command": command, "timeout": timeout, "stdin": stdin}
        data = (json.dumps(request) + "\n").encode()
        deadline = time.monotonic() + timeout + 30
        while data:
            _, writable, _ = select.select([], [self.line], [], max(0, deadline - time.monotonic()))
            if not writable:
                raise VmError("the machine does not take a command: " + command)
            data = data[self.line.send(data[:512]):]
        boots = self.boots
        self._read_until(lambda: ident in self.answers or self.boots != boots, timeout + 30, "an answer to: " + command)
        if ident not in self.answers:
            raise VmError(f"the machine started anew during: {command}\n{self.console_tail()}")
        answer = self.answers.pop(ident)
        result = Result(command, answer["status"], answer["output"])
        if check and result.status != 0:
            raise VmError(f"{command}: exit status {result.status}\n{result.output}")
        return result

    def ok(self, command, **kwargs):
        """The output of a command that must succeed."""
        return self.run(command, check=True, **kwargs).output

    def until(self, command, timeout=60, expect=0):
        """Polls until the command ends with the expected status; its output."""
        deadline = time.monotonic() + timeout
        while True:
            result = self.run(command)
            if result.status == expect:
                return result.output
            if time.monotonic() > deadline:
                raise VmError(f"not within {timeout} s: {command}\nlast status {result.status}:\n{result.output}")
            time.sleep(0.2)  # between two polls of the condition

    def write(self, path, text, mode="644"):
        quoted = shlex.quote(path)
        self.ok(f"mkdir -p $(dirname {quoted}) && cat >{quoted} && chmod {mode} {quoted}", stdin=text)

    def reboot(self, timeout=200):
        want = self.boots + 1
        self.ok("systemd-run -q --no-block --on-active=0 systemctl reboot")
        self._read_until(lambda: self.boots >= want, timeout, "the machine to come back")

    def stop(self):
        self.qemu.kill()
        self.qemu.wait()
        self.qemu.stderr.close()
        self.line.close()
        subprocess.run(["rm", "-rf", str(self.dir)], check=False)

    def console_tail(self, lines=80):
        try:
            return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(no console log: {error})"

    def _read_until(self, condition, timeout, what):
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                self.gone = f"waited {timeout} s for {what}"
                raise VmError(f"waited {timeout} s for {what}\nconsole:\n{self.console_tail()}")
            readable, _, _ = select.select([self.line], [], [], min(left, 1))
            if not readable:
                if self.qemu.poll() is not None:
                    raise VmError(f"qemu ended ({self.qemu.returncode}) while waiting for {what}\n{self.console_tail()}")
                continue
            chunk = self.line.recv(65536)
            if not chunk:
                raise VmError(f"the machine is gone while waiting for {what}\n{self.console_tail()}")
            self.buffer += chunk
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                self._take(line)

    def _take(self, line):
        start = line.find(b"{")
        if start < 0:
            return
        try:
            message = json.loads(line[start:])
        except ValueError:
            return
        if "hello" in message:
            self.boots += 1
        elif "id" in message:
            self.answers[message["id"]] = message


def die_with_parent():
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def run(command):
    subprocess.run(command, check=True)
