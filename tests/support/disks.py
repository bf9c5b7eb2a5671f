"""Small file systems of one's own, mounted where the machine allows it."""

import subprocess

import pytest

PLACE = ["unshare", "--mount", "--map-root-user", "bash", "-c"]  # of its own, where it may mount file systems


def _mounts():
    try:
        return not subprocess.run([*PLACE, "mount -t tmpfs none /mnt"], capture_output=True).returncode
    except OSError:
        return False


needs_disks = pytest.mark.skipif(not _mounts(), reason="no file system can be mounted here, not even in a namespace")


def on_a_disk(script, *arguments):
    """The finished process of a script of bash in a place where it may mount file systems."""
    return subprocess.run([*PLACE, script, "script", *map(str, arguments)], capture_output=True, text=True)
