"""Install the build of torch that fits this machine: CUDA where there is a GPU, CPU elsewhere.

The default Linux build on PyPI brings several gigabytes of CUDA libraries. On a Linux machine without
an NVIDIA GPU this script therefore asks pip what it would install, and if that is a CUDA build, lets uv
choose the CPU build instead (uv knows where PyTorch publishes it). Needs nothing but pip.

    python .ci/install_torch.py        in the environment that torch is to be installed into
"""

import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys

TORCH = "torch==2.13.0"
"""The version that agentkd is tested with; any from 2.6 on works."""


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this environment's pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False)


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver answers and lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and "GPU" in answer.stdout


def is_cuda_build() -> bool:
    """Whether the torch that pip would install needs CUDA libraries."""
    answer = pip(
        "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--report", "-", TORCH
    )
    if answer.returncode != 0:
        return True
    metadata = json.loads(answer.stdout)["install"][0]["metadata"]
    needs = metadata.get("requires_dist", [])
    return any(re.match(r"(nvidia|cuda)", need) and "extra ==" not in need for need in needs)


def main() -> int:
    """Install torch unless it is there."""
    if importlib.util.find_spec("torch"):
        return 0
    is_cpu_linux = platform.system() == "Linux" and not has_nvidia_gpu()
    if not is_cpu_linux or not is_cuda_build():
        return pip("install", "--quiet", TORCH).returncode
    pip("install", "--quiet", "uv")
    uv = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    if subprocess.run([*uv, "--torch-backend", "cpu", TORCH], check=False).returncode == 0:
        return 0
    print(
        "\nCould not get the CPU build of torch, and the default one brings gigabytes of CUDA.\n"
        f"Install torch 2.6 or later into {sys.prefix} yourself, then run the same command again.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
