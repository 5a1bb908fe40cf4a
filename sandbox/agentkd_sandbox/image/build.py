"""Build the sandbox image through the Docker SDK.

The base is `python:3.12-slim` where a registry answers (or the image is already there), and the
running interpreter where none does; `sandbox/Dockerfile` serves both. Packages are wheels that pip
unpacks on the host; where pip reaches no index, and the base is the running interpreter, they are
copied from the host's own environment.
"""

from __future__ import annotations

import io
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from agentkd_sandbox.errors import BackendUnavailable, PackageMissing
from agentkd_sandbox.guest.kernel import ABI
from agentkd_sandbox.profiles import SITE, Profile, host_packages

if TYPE_CHECKING:
    from docker import DockerClient

log = logging.getLogger(__name__)

SLIM = "python:3.12-slim"
HOST_BASE = "agentkd-sandbox-base"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What a build made."""

    name: str
    base: str
    packages: tuple[str, ...]
    size_bytes: int


def image_name(packages: Sequence[str]) -> str:
    """The tag of the image with these packages."""
    names = [re.sub(r"[^a-z0-9]+", "_", package.lower()) for package in sorted(set(packages))]
    return f"agentkd-sandbox:{ABI}-{'-'.join(names) or 'plain'}"


def build_image(
    client: DockerClient,
    packages: Sequence[str] = (),
    *,
    base: str | None = None,
    from_host: bool = False,
) -> BuiltImage:
    """Build and tag the image. `base` names another base image with Python 3.8 or newer.

    Raises BackendUnavailable if the build fails, PackageMissing if a package cannot be had.
    """
    import docker.errors

    chosen = base or (None if from_host else _slim(client))
    is_host = chosen is None
    if chosen is None:
        chosen = _import_host(client)
    name = image_name(packages)
    with tempfile.TemporaryDirectory(prefix="agentkd-image-") as folder:
        site = Path(folder, "site")
        site.mkdir()
        if packages:
            _install(site, packages, python=None if is_host else _python_version(client, chosen))
        context = _context(dockerfile(), site)
    try:
        image, _ = client.images.build(
            fileobj=context,
            custom_context=True,
            tag=name,
            rm=True,
            forcerm=True,
            buildargs={"BASE": chosen, "PACKAGES": ",".join(sorted(packages))},
        )
    except (docker.errors.BuildError, docker.errors.APIError) as error:
        raise BackendUnavailable(f"docker could not build {name} on {chosen}: {error}") from error
    return BuiltImage(name, chosen, tuple(packages), int(image.attrs["Size"]))


def dockerfile() -> bytes:
    """`sandbox/Dockerfile`, beside the package in a checkout and inside it in a wheel."""
    packaged = resources.files("agentkd_sandbox") / "Dockerfile"
    if packaged.is_file():
        return packaged.read_bytes()
    return (Path(__file__).parents[2] / "Dockerfile").read_bytes()


def _slim(client: DockerClient) -> str | None:
    import docker.errors

    try:
        client.images.get(SLIM)
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(SLIM)
        except docker.errors.APIError as error:
            log.warning("no registry has %s (%s): using this interpreter", SLIM, error.explanation)
            return None
    return SLIM


def _import_host(client: DockerClient) -> str:
    from agentkd_sandbox.image.host import write_host_rootfs

    version = sys.version.split()[0].rstrip("+")
    with tempfile.TemporaryDirectory(prefix="agentkd-image-") as folder:
        rootfs = Path(folder, "rootfs.tar")
        write_host_rootfs(rootfs)
        client.api.import_image_from_file(str(rootfs), repository=HOST_BASE, tag=version)
    return f"{HOST_BASE}:{version}"


def _python_version(client: DockerClient, image: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    said = client.containers.run(image, ["python3", "-c", code], remove=True, network_mode="none")
    return bytes(said).decode().strip()


def _install(site: Path, packages: Sequence[str], python: str | None) -> None:
    """Unpack wheels into `site`; `python` is None for the running interpreter's own version."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-cache-dir"]
    if python is not None:
        command += ["--python-version", python, "--no-compile"]
    if not _has_all_on_host(packages, python):
        answer = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
        if answer.returncode:
            detail = (answer.stderr.strip() or answer.stdout.strip())[-800:]
            raise PackageMissing(f"pip could not get {', '.join(packages)}: {detail}")
    else:
        for source, target in host_packages(Profile("image", tuple(packages))):
            place = site / Path(target).relative_to(SITE)
            if source.is_dir():
                shutil.copytree(source, place)
            else:
                shutil.copy2(source, place)
    for tests in [path for path in site.rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests, ignore_errors=True)


def _has_all_on_host(packages: Sequence[str], python: str | None) -> bool:
    if python is not None:
        return False
    try:
        host_packages(Profile("image", tuple(packages)))
    except PackageMissing:
        return False
    return True


def _context(dockerfile: bytes, site: Path) -> io.BytesIO:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size, entry.mode = len(dockerfile), 0o644
        tar.addfile(entry, io.BytesIO(dockerfile))
        tar.add(site, "site", filter=_readable)
    context.seek(0)
    return context


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o555 if entry.isdir() else 0o444
    return entry
