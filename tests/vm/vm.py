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
    """One running machine. netns: where its tap device is made and attached to the bridge."""

    def __init__(self, files, netns=None, tap="vm0", bridge=None, memory=768, log_dir=None):
        self.dir = Path(tempfile.mkdtemp(prefix="penstock-vm."))
        self.console = (Path(log_dir) if log_dir else self.dir) / "console.log"
        self.agent_path = self.dir / "agent.sock"
        self.next_id = 0
        self.buffer = b""
        self.answers = {}
        self.boots = 0
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.agent_path))
        listener.listen(1)
        listener.settimeout(20)
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", str(memory), "-smp", "2", "-nographic",
                   "-nodefaults", "-no-user-config", "-kernel", files["kernel"], "-initrd", files["initrd"],
                   "-append", "console=ttyS0 root=/dev/vda rw panic=-1 mitigations=off quiet systemd.show_status=1 random.trust_cpu=on",
                   "-drive", f"file={files['image']},if=virtio,format=raw,snapshot=on",
                   "-serial", f"file:{self.console}", "-serial", f"unix:{self.agent_path}"]
        prefix = []
        if netns:
            prefix = ["ip", "netns", "exec", netns]
            run(prefix + ["ip", "tuntap", "add", "dev", tap, "mode", "tap"])
            if bridge:
                run(prefix + ["ip", "link", "set", tap, "master", bridge])
            run(prefix + ["ip", "link", "set", tap, "up"])
            command += ["-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no", "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:70:65:6e"]
        env = dict(os.environ, TMPDIR=str(self.dir))
        self.qemu = subprocess.Popen(prefix + command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                     preexec_fn=die_with_parent, env=env)
        try:
            self.line, _ = listener.accept()
        except socket.timeout as late:
            self.qemu.kill()
            raise VmError("qemu did not start: " + self.qemu.stderr.read().decode(errors="replace")) from late
        listener.close()
        self.line.setblocking(False)

    def wait_boot(self, timeout=120):
        """Until the agent of a new boot says hello."""
        want = self.boots + 1
        self._read_until(lambda: self.boots >= want, timeout, "the machine to boot")

    def run(self, command, timeout=60, stdin="", check=False):
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
        self._read_until(lambda: ident in self.answers, timeout + 30, "an answer to: " + command)
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

    def put(self, local, remote):
        """Copies a file in, through the serial line (about 1 MB/s)."""
        import base64
        data = base64.b64encode(Path(local).read_bytes()).decode()
        self.ok(f": >{shlex.quote(remote)}")
        for at in range(0, len(data), 48000):
            self.ok(f"base64 -d >>{shlex.quote(remote)}", stdin=data[at:at + 48000])

    def reboot(self, timeout=120):
        want = self.boots + 1
        self.run("systemd-run --no-block --on-active=0 systemctl reboot || systemctl reboot --no-block")
        self._read_until(lambda: self.boots >= want, timeout, "the machine to come back")

    def stop(self):
        if self.qemu.poll() is None:
            self.qemu.send_signal(signal.SIGTERM)
            try:
                self.qemu.wait(5)
            except subprocess.TimeoutExpired:
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
