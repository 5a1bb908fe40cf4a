"""A root file system made of the running interpreter: for machines that reach no registry.

It holds the executable, its standard library, and every shared library that these load (found with
`ldd`), plus the ones that manylinux wheels expect. There is no shell and no package manager in it.
Compiled `.pyc` files go along: without them the first import of a large package takes seconds.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

SKIPPED = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages",
}  # fmt: skip
MANYLINUX = (
    "libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libpthread.so.0", "libdl.so.2",
    "librt.so.1", "libutil.so.1", "libm.so.6", "libc.so.6", "libresolv.so.2",
)  # fmt: skip
FOLDERS = ("tmp", "box", "proc", "dev", "sys", "etc", "run", "root", "usr/local/bin", "opt")
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/\nnobody:x:65534:65534:nobody:/:/\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def write_host_rootfs(target: Path) -> None:
    """Write the root file system as a tar archive."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    executable = Path(sys.executable).resolve()
    files = {f"/usr/local/bin/{version}": executable}
    library = Path(os.__file__).parent
    for path in _library_files(library):
        files[f"/usr/local/lib/{version}/{path.relative_to(library)}"] = path
    binaries = [path for path in files.values() if path == executable or ".so" in path.name]
    for shared in sorted(_shared_libraries(binaries)):
        files[str(shared)] = shared.resolve()
    with tarfile.open(target, "w", dereference=True) as tar:
        for name in FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, text in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name in ("python3", "python"):
            entry = tarfile.TarInfo(f"usr/local/bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, version
            tar.addfile(entry)
        for name, path in sorted(files.items()):
            tar.add(path, name.lstrip("/"), recursive=False, filter=_as_root)


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o444
    return entry


def _library_files(library: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(library):
        folders[:] = [x for x in folders if x not in SKIPPED and not x.startswith("config-")]
        for name in names:
            if not name.endswith(".a") and ".opt-" not in name:
                found.append(Path(folder, name))
    return found


def _shared_libraries(binaries: list[Path]) -> set[Path]:
    found: set[Path] = set()
    for start in range(0, len(binaries), 50):
        names = [str(path) for path in binaries[start : start + 50]]
        answer = subprocess.run(["ldd", *names], capture_output=True, text=True, check=False)
        found.update(Path(x) for x in re.findall(r"(?:=> |^\t)(/\S+) \(0x", answer.stdout, re.M))
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False)
    for name in MANYLINUX:
        match = re.search(rf"\t{re.escape(name)} \(libc6,[^)]*\) => (/\S+)", cache.stdout)
        if match:
            found.add(Path(match[1]))
    return found
