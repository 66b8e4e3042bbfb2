"""A real SLURM cluster on one machine: munge, a controller and some nodes with GPUs that are none.

As root, with the Debian packages slurm-wlm and munge. Memory limits and kills are real (cgroups) where the
machine lets us; else limits are watched by polling.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
CPUS, MEMORY_MB, GPUS = 16, 400_000, 2
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ProctrackType={process_tracking}
TaskPlugin={task_plugin}
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
KillWait=5
MinJobAge=300
JobRequeue=1
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams={memory_watch}
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE DefMemPerCPU=100 State=UP
"""


def missing() -> str:
    """Why there can be no cluster here, or nothing."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"needs slurm-wlm and munge (apt-get install slurm-wlm munge): no {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "needs root to start a SLURM cluster"


def wait_for(condition: Callable[[], object], seconds: float, what: str, every: float = 0.1):
    """Wait until `condition()` is true and return its value; an AssertionError that says `what` after `seconds`."""
    deadline = time.time() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.time() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(every)


class Cluster:
    """Started by `with`. Nodes are called n1, n2, ...; each has two GPUs."""

    def __init__(self, nodes: int = 3):
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets need short paths
        self.daemons: dict[str, subprocess.Popen] = {}
        # the job step plugin strips every SLURM_* variable before its inner srun, SLURM_CONF too
        self.environment = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }

    def __enter__(self) -> Cluster:
        try:
            self._configure()
            self._start("munged", self._munge)
            wait_for((self.folder / "munge.socket").is_socket, 10, "munge listens")
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
            wait_for(lambda: set(self.node_states().values()) == {"idle"}, 30, "all nodes are idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        if "slurmctld" in self.daemons:
            self.command("scancel", "--user", "root", check=False)
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not self.jobs(), 20, "no jobs")
        for name in reversed(list(self.daemons)):
            self._stop(name, signal.SIGTERM)
        self._send(signal.SIGKILL, self._ours())
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words: str, check: bool = True) -> str:
        """What a SLURM command prints."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def jobs(self, *states: str) -> list[dict[str, str]]:
        """Jobs in the queue (in these states): id, state, node, rule (the comment), name, folder."""
        names = ("id", "state", "node", "rule", "name", "folder")
        wanted = f"--states={','.join(states)}" if states else "--states=PENDING,RUNNING,COMPLETING"
        lines = self.command("squeue", "--noheader", wanted, "--format=%i|%T|%N|%k|%j|%Z", check=False).splitlines()
        return [dict(zip(names, line.split("|"), strict=True)) for line in lines]

    def running(self, rule: str) -> list[dict[str, str]]:
        """Running jobs of a rule."""
        return [job for job in self.jobs("RUNNING") if job["rule"].startswith(f"rule_{rule}")]

    def node_states(self) -> dict[str, str]:
        """State of every node, as sinfo says it."""
        lines = self.command("sinfo", "--noheader", "--Node", "--format=%N %T", check=False).splitlines()
        return dict(line.split() for line in lines)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._start("slurmctld", ["slurmctld", "-D", "-f", f"{self.folder}/slurm.conf"])
        wait_for(lambda: "is UP" in self.command("scontrol", "ping", check=False), 20, "the controller answers")

    def stop_controller(self) -> None:
        """SIGKILL slurmctld."""
        self._stop("slurmctld", signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Start slurmd of a node."""
        self._start(node, ["slurmd", "-D", "-f", f"{self.folder}/slurm.conf", "-N", node])

    def kill_node(self, node: str, *, processes: bool) -> None:
        """SIGKILL slurmd of a node and what keeps its jobs there.

        With `processes` also all that they run, as if it had lost power; else that computes on, as behind a broken
        network.
        """
        self._stop(node, signal.SIGKILL)
        for job in [job["id"] for job in self.jobs("RUNNING") if job["node"] == node]:
            keepers = set(self._processes(lambda line, job=job: f"slurmstepd: [{job}." in line))
            starters = set(self._processes(lambda line: line.split()[1].endswith("/srun")))
            jobs_own = self._processes_of(job)
            self._send(signal.SIGKILL, jobs_own if processes else [one for one in jobs_own if one in starters])
            self._send(signal.SIGKILL, [one for one in self._ours() if one in keepers])

    def pause(self, job: str, program: str) -> list[int]:
        """SIGSTOP the processes of a job that have `program` in their command line, as if their disk hung."""
        wanted = set(self._processes(lambda line: program in line))
        paused = [process for process in self._processes_of(job) if process in wanted]
        assert paused, f"job {job} has no process {program}"
        self._send(signal.SIGSTOP, paused)
        return paused

    def wake(self, processes: list[int]) -> None:
        """SIGCONT paused processes."""
        self._send(signal.SIGCONT, processes)

    @staticmethod
    def ended(processes: list[int]) -> bool:
        """True if none of the processes runs any more."""
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
                    return False
        return True

    def _ours(self) -> list[int]:
        return _with_environment(f"SLURM_CONF={self.folder}/slurm.conf")

    def _processes_of(self, job: str) -> list[int]:
        return _with_environment(f"SLURM_JOB_ID={job}", f"SLURM_CONF={self.folder}/slurm.conf")

    def _configure(self) -> None:
        for name in ("state", "bin", "devices", "logs", "spool"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self._munge = [
            "munged", "--foreground", f"--key-file={key}", f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/logs/munged.log",
            f"--seed-file={self.folder}/munge.seed",
        ]  # fmt: skip
        wrapper = self.folder / "bin" / "srun"
        wrapper.write_text(f'#!/bin/sh\nexport SLURM_CONF={self.folder}/slurm.conf\nexec {shutil.which("srun")} "$@"\n')
        wrapper.chmod(0o755)
        devices = []
        for number in range(GPUS):
            device = self.folder / "devices" / f"gpu{number}"
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            devices.append(device)
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/devices/gpu[0-{GPUS - 1}]\n")
        host = socket.gethostname().split(".")[0]
        controller_port, *ports = _free_ports(len(self.nodes) + 1)
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} RealMemory={MEMORY_MB} "
            f"Gres=gpu:{GPUS} State=UNKNOWN"
            for node, port in zip(self.nodes, ports, strict=True)
        ]
        groups = _control_groups_work()
        (self.folder / "slurm.conf").write_text(
            CONFIG.format(
                folder=self.folder,
                host=host,
                controller_port=controller_port,
                nodes="\n".join(nodes),
                process_tracking="proctrack/cgroup" if groups else "proctrack/linuxproc",
                task_plugin="task/cgroup" if groups else "task/none",
                memory_watch="NoOverMemoryKill" if groups else "OverMemoryKill",
            )
        )
        (self.folder / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nConstrainRAMSpace=yes\nConstrainCores=no\n"
            if groups
            else ""
        )

    def _start(self, name: str, command: list[str]) -> None:
        with open(self.folder / "logs" / f"{name}.log", "a") as log:
            self.daemons[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def _stop(self, name: str, how: signal.Signals) -> None:
        daemon = self.daemons.pop(name)
        daemon.send_signal(how)
        try:
            daemon.wait(timeout=15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    @staticmethod
    def _processes(matches: Callable[[str], bool]) -> list[int]:
        lines = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        return [int(line.split()[0]) for line in lines.splitlines() if matches(line)]

    @staticmethod
    def _send(what: signal.Signals, processes: list[int]) -> None:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, what)


def _with_environment(*entries: str) -> list[int]:
    """Processes that have all of these NAME=value in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes().split(b"\0")
            if all(entry.encode() in environment for entry in entries):
                found.append(int(folder.name))
    return found


def _control_groups_work() -> bool:
    """True where we may make version 1 groups that track processes and limit memory."""
    tests = [Path("/sys/fs/cgroup") / kind / f"clickpet-{os.getpid()}" for kind in ("freezer", "memory")]
    try:
        for test in tests:
            test.mkdir()
            limit = test / "memory.limit_in_bytes"
            if limit.exists():
                limit.write_text(str(2**30))
        return tests[1].joinpath("memory.limit_in_bytes").exists()
    except OSError:
        return False
    finally:
        for test in tests:
            with contextlib.suppress(OSError):
                test.rmdir()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
