"""A training on two nodes, one of which is lost: two network namespaces of this machine, joined by a cable.

    sudo python benchmarks/parallel_nodes.py [--timeout 20]

Each namespace has an address of its own and nothing else, as a node of a cluster has, and a torchrun with one
process (``--nnodes 1:2``). The small training of `parallel_faults.py` runs three times: undisturbed; with all
processes of the second node killed after the first round; and with the cable pulled then, so that no message
comes any more. In the last two the first node must go on alone, by torchrun's restart, to the end of the run,
and the second one must end too. A torchrun that is cut off from the others waits until the kernel gives its
connection up, which takes a quarter of an hour by Linux' default of 15 retransmissions
(net.ipv4.tcp_retries2); here it is 6, about 25 seconds. Needs root, and the command `ip` (Debian: iproute2).
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from parallel_faults import GRACE, SETTINGS, SLACK, STATE, ended, is_whole, metrics, pids

NODES = ("boltzgen-first", "boltzgen-second")
ADDRESSES = ("10.77.31.1", "10.77.31.2")
PORT = 29577
#: Seconds that torchrun waits for further nodes once one is there.
LAST_CALL = 10
#: Retransmissions after which the kernel gives a connection up.
RETRANSMISSIONS = 6


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def two_nodes() -> Iterator[None]:
    """Two namespaces, each with its end of a cable as ``eth0``."""
    for node in NODES:
        subprocess.run(["ip", "netns", "delete", node], check=False, capture_output=True)
    try:
        for node in NODES:
            ip("netns", "add", node)
            ip("-n", node, "link", "set", "lo", "up")
        ip("-n", NODES[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", NODES[1])
        for node, address in zip(NODES, ADDRESSES, strict=True):
            ip("-n", node, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", node, "link", "set", "eth0", "up")
            retries = "/proc/sys/net/ipv4/tcp_retries2"
            ip("netns", "exec", node, "sh", "-c", f"echo {RETRANSMISSIONS} > {retries}")
        yield
    finally:
        for node in NODES:
            subprocess.run(["ip", "netns", "delete", node], check=False, capture_output=True)


def start(node: int, folder: Path, timeout: float) -> subprocess.Popen[bytes]:
    """The torchrun of a node."""
    torchrun = ["torch.distributed.run", "--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3"]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-id", folder.name]
    torchrun += ["--rdzv-endpoint", f"{ADDRESSES[0]}:{PORT}", "--local-addr", ADDRESSES[node]]
    torchrun += ["--rdzv-conf", f"is_host={int(node == 0)},last_call_timeout={LAST_CALL}"]
    work = [str(Path(__file__).with_name("parallel_faults.py")), "--worker", str(folder)]
    command = [sys.executable, "-m", *torchrun, *work, "--timeout", str(timeout)]
    with (folder.parent / f"{folder.name}.{node}.log").open("wb") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", NODES[node], *command],
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def lose(how: str) -> None:
    """Lose the second node."""
    if how == "cable pulled":
        ip("-n", NODES[1], "link", "set", "eth0", "down")
        return
    found = subprocess.run(
        ["ip", "netns", "pids", NODES[1]], check=True, capture_output=True, text=True
    ).stdout
    for pid in map(int, found.split()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def trial(folder: Path, how: str, timeout: float) -> str:
    """What became of a run, in words; begins with "ended" where all is well."""
    with two_nodes():
        began = time.perf_counter()
        first, second = (start(node, folder, timeout) for node in (0, 1))
        found = pids(folder, 2)
        if how != "undisturbed":
            while not (folder / STATE).exists():
                time.sleep(0.02)
            lose(how)
        within = 2 * timeout + GRACE + SLACK + 4 * LAST_CALL
        codes = [ended(process, within, found) for process in (first, second)]
        took = time.perf_counter() - began
        if None in codes:
            return f"HUNG: exit codes {codes}"
        if not is_whole(folder) or codes[0] != 0 or len(metrics(folder)) != SETTINGS.rounds:
            return f"FAILED: exit codes {codes}"
        log = (folder.parent / f"{folder.name}.0.log").read_text(errors="replace")
        failures = log.count("failed (exitcode")
        went_on = "" if how == "undisturbed" else f", the first node alone after {failures} restart"
        return f"ended after {took:.0f} s with all {SETTINGS.rounds} rounds{went_on}; exit codes {codes}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timeout", type=float, default=20.0)
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("ip") is None:
        sys.exit("network namespaces need root and the command `ip`")
    bad = False
    with tempfile.TemporaryDirectory() as scratch:
        for how in ("undisturbed", "node killed", "cable pulled"):
            said = trial(Path(scratch) / how.replace(" ", "-"), how, options.timeout)
            bad |= not said.startswith("ended")
            print(f"{how}: {said}", flush=True)
            if bad:
                for log in sorted(Path(scratch).glob("*.log")):
                    print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
                break
    sys.exit(int(bad))


if __name__ == "__main__":
    main()
