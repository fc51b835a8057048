"""A small file system of its own in a folder, which fills up and can be made larger."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, options):
    """Mount a file system with `options` of tmpfs, such as ``size=96k``; yield a function that makes it larger."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    remount = ["mount", "-o", "remount,size=64m,nr_inodes=10k", str(folder)]
    try:
        yield lambda: subprocess.run(remount, check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
