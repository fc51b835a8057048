"""Two ranks on two hosts, which are network namespaces of this machine, measure together until their link is cut."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTS = ("layerbits0", "layerbits1")
ADDRESSES = ("10.99.7.1", "10.99.7.2")

RANK = """
import datetime, json, pathlib, sys, time
import torch, torch.distributed
import layerbits as lb
from tests.processes.measurements import MEASUREMENTS, inputs, message, numbers
rank, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group(
    "gloo", init_method="tcp://10.99.7.1:29571", rank=rank, world_size=2, timeout=datetime.timedelta(seconds=20)
)
world = torch.distributed.group.WORLD
found = {"together": repr(numbers(MEASUREMENTS["network"](world)))}
(folder / f"ready{rank}").touch()
while not (folder / "cut").exists():
    time.sleep(0.05)
found["cut"] = message(lambda: lb.mixture_information(inputs(100), 0.3, group=world))
(folder / f"{rank}.json").write_text(json.dumps(found))
import os
os._exit(0)
"""

pytestmark = pytest.mark.stress


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


@pytest.fixture
def hosts():
    """Make two namespaces with a link between them, and delete them."""
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip("link", "add", "layerbits0", "netns", HOSTS[0], "type", "veth", "peer", "layerbits1", "netns", HOSTS[1])
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            ip("-n", host, "address", "add", f"{address}/24", "dev", host)
            for device in (host, "lo"):
                ip("-n", host, "link", "set", device, "up")
        yield HOSTS
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs root and iproute2: {error}")
    finally:
        for host in HOSTS:
            with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):
                ip("netns", "delete", host)


def test_ranks_on_two_hosts_get_the_bits_of_one_and_end_when_the_link_is_cut(hosts, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, "-c", RANK, str(rank), str(tmp_path)],
            cwd=ROOT,
            env={**environment, "GLOO_SOCKET_IFNAME": host},
        )
        for rank, host in enumerate(hosts)
    ]
    try:
        while not all((tmp_path / f"ready{rank}").exists() for rank in range(2)):
            assert all(rank.poll() is None for rank in ranks)
        ip("-n", hosts[1], "link", "set", hosts[1], "down")
        (tmp_path / "cut").touch()
        assert [rank.wait(300) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    alone = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    for rank, of_rank in enumerate(found):
        assert of_rank["together"] == alone
        assert of_rank["cut"].startswith(f"GroupError: group: rank {rank} of 2 waited at ")


ALONE = """
import torch
from tests.processes.measurements import MEASUREMENTS, numbers
torch.set_num_threads(1)
print(repr(numbers(MEASUREMENTS["network"](None))))
"""
