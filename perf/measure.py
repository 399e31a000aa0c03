"""Processes under measurement: start and stop them, read what they use, talk to them. Linux only."""

import contextlib
import ctypes
import http.client
import json
import os
import resource
import select
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1


class TrialError(Exception):
    """This trial cannot count; the text says why."""


# --- Ports and processes -------------------------------------------------------------------------------------------------

_next_port = 17000


def free_ports(count):
    """Ports that nobody has, below the range from which the kernel takes those of clients."""
    global _next_port
    found = []
    for _ in range(20000):
        _next_port = 17000 + (_next_port - 16999) % 10000
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", _next_port))
            except OSError:
                continue
        found.append(_next_port)
        if len(found) == count:
            return found
    raise TrialError("no free ports")


def raise_file_limit():
    """As many open files as we may have; returns how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard > 65536:
        hard = 65536
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _prepare_child(core, parent):
    # Whatever ends this program, the child does not outlive it.
    libc = ctypes.CDLL(None)

    def prepare():
        os.sched_setaffinity(0, {core})
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


class Program:
    """A child process in a session of its own, pinned to one core, ended at the end of the `with` block.

    `stdout`: subprocess.PIPE, the path of a file, or None for the log.
    """

    def __init__(self, command, core, folder, name, stdin=False, stdout=None):
        self.command, self.core, self.folder, self.name = [str(word) for word in command], core, Path(folder), name
        self.wants_stdin, self.stdout = stdin, stdout
        self.process = None

    def __enter__(self):
        with contextlib.ExitStack() as files:
            log = files.enter_context(open(self.folder / f"{self.name}.log", "wb"))
            stdout = self.stdout or log
            if isinstance(stdout, Path):
                stdout = files.enter_context(open(stdout, "wb"))
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, start_new_session=True, preexec_fn=_prepare_child(self.core, os.getpid()),
                stdin=subprocess.PIPE if self.wants_stdin else subprocess.DEVNULL, stdout=stdout, stderr=log)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        process, self.process = self.process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        self._signal(process, signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        # The whole session: a worker must not survive its master.
        self._signal(process, signal.SIGKILL, whole_group=True)
        process.wait(5)
        if process.stdout:
            process.stdout.close()

    @staticmethod
    def _signal(process, number, whole_group=False):
        try:
            if whole_group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        except ProcessLookupError:
            pass

    def check_alive(self):
        if self.process is None or self.process.poll() is not None:
            code = self.process.returncode if self.process else "-"
            raise TrialError(f"{self.name} ended with {code}: {self.log_tail()}")

    def log_tail(self):
        text = (self.folder / f"{self.name}.log").read_text(errors="replace").strip()
        return " / ".join(text.splitlines()[-3:])[-400:] or "(it said nothing)"

    def pids(self, least=1):
        """Of all its processes, once there are so many."""
        deadline = time.monotonic() + 5
        while len(found := process_tree(self.process.pid)) < least:
            self.check_alive()
            if time.monotonic() > deadline:
                raise TrialError(f"{self.name} has {len(found)} processes, not {least}")
            time.sleep(0.005)
        return found


def process_tree(pid):
    """`pid` and everything below it."""
    found = [pid]
    for at in found:
        for task in Path(f"/proc/{at}/task").glob("*"):
            try:
                found.extend(int(child) for child in (task / "children").read_text().split())
            except OSError:
                pass
    return found


class LineReader:
    """JSON lines from a child's pipe, with a deadline."""

    def __init__(self, pipe):
        self.pipe, self.pending = pipe, b""

    def next(self, timeout):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.pipe], [], [], left)[0]:
                raise TrialError(f"the load generator said nothing for {timeout:.0f} s")
            piece = os.read(self.pipe.fileno(), 1 << 16)
            if not piece:
                raise TrialError("the load generator ended")
            self.pending += piece
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)


@contextlib.contextmanager
def scratch_folder():
    with tempfile.TemporaryDirectory(prefix="ringside-bench-") as folder:
        yield Path(folder)


# --- What a process uses -------------------------------------------------------------------------------------------------


def rss_bytes(pids):
    """Resident memory of a group of processes; pages that they share count once."""
    private, shared = 0, 0
    for pid in pids:
        sizes = {}
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, size = line.split(":")
            sizes[name] = int(size.split()[0]) * 1024
        private += sizes["Private_Clean"] + sizes["Private_Dirty"]
        shared = max(shared, sizes["Shared_Clean"] + sizes["Shared_Dirty"])
    return private + shared


def settled_rss_bytes(pids, seconds=1.5):
    """RSS once it has stood still for a moment."""
    last, deadline = rss_bytes(pids), time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.25)
        now = rss_bytes(pids)
        if now == last:
            break
        last = now
    return last


# --- Questions to a proxy ------------------------------------------------------------------------------------------------


def wait_listening(port, program, timeout=15):
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            program.check_alive()
            if time.monotonic() > deadline:
                raise TrialError(f"{program.name} does not listen: {program.log_tail()}") from None
            time.sleep(0.002)


def wait_answering(port, path, program, timeout=30):
    """Seconds from the start of `program` to its first 200 for `path`."""
    while True:
        try:
            status = ask(port, path, timeout=5)[0]
            if status == 200:
                return time.monotonic() - program.started
        except OSError:
            pass
        program.check_alive()
        if time.monotonic() - program.started > timeout:
            raise TrialError(f"{program.name} does not answer: {program.log_tail()}")
        time.sleep(0.0005)


def ask(port, path, timeout=10):
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": "bench.test"})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error!r}") from None
    finally:
        connection.close()


# --- The machine ---------------------------------------------------------------------------------------------------------


def read_first_line(path):
    try:
        return Path(path).read_text().strip().splitlines()[0]
    except (OSError, IndexError):
        return None


def machine_facts():
    """What a reader must know to compare; nothing that names the machine."""
    info = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // (1 << 20)
    return {
        "cpu": fields.get("model name", "unknown"),
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "virtual_machine": " hypervisor " in f" {fields.get('flags', '')} ",
        "kernel": os.uname().release,
        "congestion_control": read_first_line("/proc/sys/net/ipv4/tcp_congestion_control"),
        "transparent_huge_pages": read_first_line("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load_average_at_start": os.getloadavg()[0],
        "file_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }
