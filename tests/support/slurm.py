"""A Slurm of one node, started and stopped by a test, from the system's packages (Debian: slurm-wlm, munge)."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

SYSTEM = Path("/etc/slurm/slurm.conf")  # where jobs look, from whose environment the engine takes all of Slurm's names
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
_SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def there():
    """Whether a Slurm can be started here: its programs are installed, its daemons may run, and there is no other."""
    absent = not SYSTEM.exists() or "ClusterName=dtltest" in SYSTEM.read_text()
    return absent and os.geteuid() == 0 and all(shutil.which(name, path=_SEARCH) for name in PROGRAMS)


def _free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


_CONF = """\
ClusterName=dtltest
SlurmctldHost={host}
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
MpiDefault=none
NodeName={host} CPUs={cpus} RealMemory={memory}
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def cluster(folder, cpus=2):
    """Environment in which ``sbatch`` and its like speak to a Slurm of one node, which ends with the block.

    Arguments: folder, for its files; the path must be short, because the name of a socket is.
    """
    folder.mkdir(parents=True)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host, (controller, daemon) = socket.gethostname(), _free_ports(2)
    settings = {"host": host, "controller": controller, "daemon": daemon, "folder": folder, "cpus": cpus}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 - 500
    (folder / "slurm.conf").write_text(_CONF.format(**settings, memory=memory))
    SYSTEM.parent.mkdir(exist_ok=True)
    SYSTEM.unlink(missing_ok=True)
    SYSTEM.symlink_to(folder / "slurm.conf")
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _SEARCH}
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munged += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    daemons = []
    try:
        for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            out = (folder / f"{command[0]}.out").open("wb")
            daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
            time.sleep(0.5)
        deadline = time.monotonic() + 60
        while "idle" not in _said(["sinfo", "-h", "-o", "%T"], environment):
            if time.monotonic() > deadline:
                raise RuntimeError(f"no Slurm: {_said(['tail', '-n', '3', f'{folder}/slurmctld.log'], environment)}")
            time.sleep(0.3)
        yield environment
    finally:
        SYSTEM.unlink(missing_ok=True)
        subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True)
        for process in reversed(daemons):
            process.terminate()
        for process in daemons:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _said(command, environment):
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout
