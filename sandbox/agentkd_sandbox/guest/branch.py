"""One copy of a live episode: what it has open, a file system of its own, and proof that it shares
nothing.
"""

from __future__ import annotations

import errno
import os
import re
import stat

from agentkd_sandbox.guest.jail import (
    detached_proc,
    mount_episode_proc,
    mount_scratch,
    write_id_maps,
)
from agentkd_sandbox.guest.kernel import (
    CONTROL,
    EPISODE_GID,
    EPISODE_UID,
    NEWNS,
    NEWPID,
    NEWUSER,
    Json,
    check,
    libc,
    read_text,
    setns,
)


def proc_status(pid: int) -> dict[str, list[str]]:
    lines = read_text("/proc/%d/status" % pid).split("\n")
    return {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}


def proc_pid(pid: int) -> int:
    """What /proc calls this pid: inside a container it may belong to an outer pid namespace."""
    fd = check(libc.syscall(434, pid, 0), "pidfd_open")
    try:
        for line in read_text("/proc/self/fdinfo/%d" % fd).splitlines():
            if line.startswith("Pid:"):
                return int(line.split()[1])
    finally:
        os.close(fd)
    raise ProcessLookupError(errno.ESRCH, "no such process")


def open_files(pid: int, device: int) -> list[tuple[int, str, int, int, bool]]:
    """(fd, path, flags, offset, is deleted) of every file that `pid` has open on `device`."""
    found = []
    for name in os.listdir("/proc/%d/fd" % pid):
        link = "/proc/%d/fd/%s" % (pid, name)
        status = os.stat(link)
        is_file = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        if int(name) <= CONTROL or status.st_dev != device or not is_file:
            continue
        info = dict(
            line.split(":", 1)
            for line in read_text("/proc/%d/fdinfo/%s" % (pid, name)).splitlines()
            if ":" in line
        )
        position, flags = int(info["pos"]), int(info["flags"], 8)
        found.append((int(name), os.readlink(link), flags, position, status.st_nlink == 0))
    return found


def copy_data(source: int, target: int) -> None:
    """Copy a file's data and keep its holes."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError:
            return  # only a hole is left
        end = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            chunk = os.read(source, min(1 << 20, end - start))
            if not chunk:
                return
            os.write(target, chunk)
            start += len(chunk)
        position = end


def copy_tree(source: int, target: int, depth: int = 0) -> None:
    """Copy a directory by descriptors: whatever the episode put there, no path is followed."""
    if depth > 50:
        raise OSError(errno.ELOOP, "directories nested more than 50 deep")
    for entry in list(os.scandir(source)):
        status = entry.stat(follow_symlinks=False)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(entry.name, dir_fd=source), entry.name, dir_fd=target)
            continue
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(entry.name, 0o700, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            inner = os.open(entry.name, flags, dir_fd=source)
            inner_target = os.open(entry.name, flags, dir_fd=target)
            copy_tree(inner, inner_target, depth + 1)
        elif stat.S_ISREG(status.st_mode):
            inner = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=source)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            inner_target = os.open(entry.name, flags, 0o600, dir_fd=target)
            copy_data(inner, inner_target)
        else:
            continue
        os.fchmod(inner_target, mode)
        os.utime(inner_target, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.close(inner)
        os.close(inner_target)


def isolate_branch(child: int, parent: int, options: str) -> Json:
    """In a helper process: give the copy `child` its ids and a file system of its own.

    `child` and `parent` are pids as /proc knows them. Returns what the copy needs to settle in.
    """
    device = os.stat("/proc/%d/root/box" % parent).st_dev
    files = open_files(child, device)
    working_directory = os.readlink("/proc/%d/cwd" % child)
    namespaces = {
        (pid, kind): os.open("/proc/%d/ns/%s" % (pid, kind), os.O_RDONLY)
        for pid, kind in ((parent, "user"), (child, "mnt"), (child, "pid"))
    }
    deleted = {
        file[0]: os.open("/proc/%d/fd/%d" % (child, file[0]), os.O_RDONLY)
        for file in files
        if file[4]
    }
    setns(namespaces[child, "pid"], NEWPID)
    proc = detached_proc()
    setns(namespaces[parent, "user"], NEWUSER)
    directory = os.open("/proc/%d" % child, os.O_RDONLY | os.O_DIRECTORY)
    write_id_maps(directory, EPISODE_UID, EPISODE_UID, EPISODE_GID)
    setns(namespaces[child, "mnt"], NEWNS)
    flags = os.O_RDONLY | os.O_DIRECTORY
    places = [place for place in ("/box", "/tmp", "/dev/shm") if os.path.isdir(place)]
    old = [os.open(place, flags) for place in places]
    device = mount_scratch(options)
    for place, source in zip(places, old):
        if os.fstat(source).st_dev != device:
            copy_tree(source, os.open(place, flags))
    settled = []
    for fd, path, file_flags, position, is_deleted in files:
        if is_deleted:
            path = "/tmp/.deleted-%d" % fd
            file_flags &= ~os.O_TMPFILE
            copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            copy_data(deleted[fd], copy)
            os.close(copy)
        settled.append([fd, path, file_flags, position, is_deleted])
    if proc < 0 or libc.syscall(429, proc, b"", -100, b"/proc", 4) < 0:  # move_mount
        mount_episode_proc()
    return {"device": device, "cwd": working_directory, "files": settled}


def verify_confined(pid: int, device: int, channels: dict[int, int]) -> str:
    """Why a copy may not run, from what the kernel says about it; empty if nothing is shared.

    `channels` maps descriptors 1 to 3 to the inode that each must be.
    """
    status = proc_status(pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        if int(status[name][0], 16):
            return "the copy kept capabilities"
    if status["Threads"] != ["1"]:
        return "a background thread is running"
    if status["NSpgid"][-1] != "1" or status["NSsid"][-1] != "1":
        return "the copy stayed in its parent's process group"
    if status["NoNewPrivs"] != ["1"] or status["Seccomp"] != ["2"]:
        return "the copy is not filtered"
    if os.stat("/proc/%d/cwd" % pid).st_dev not in (
        device,
        os.stat("/proc/%d/root/usr" % pid).st_dev,
    ):
        return "its working directory is not its own"
    for name in os.listdir("/proc/%d/fd" % pid):
        fd, entry = int(name), os.stat("/proc/%d/fd/%s" % (pid, name))
        is_own = entry.st_ino == channels.get(fd)
        is_null = fd == 0 and stat.S_ISCHR(entry.st_mode)
        is_file = stat.S_ISREG(entry.st_mode) or stat.S_ISDIR(entry.st_mode)
        if not (is_own or is_null or (is_file and entry.st_dev == device)):
            return "descriptor %d is shared" % fd
    shared = re.findall(
        r"^\S+ (\S\S\S)s\S* \S+ \S+ \S+ *(.*)", read_text("/proc/%d/maps" % pid), re.M
    )
    for access, path in shared:
        if "w" in access or not path.startswith(("/usr/", "/lib")):
            return "it holds a shared memory mapping (%s)" % path[:100]
    return ""


def proc_children(pid: int) -> list[str]:
    text = read_text("/proc/%d/task/%d/children" % (pid, pid))
    return [x for x in text.split() if read_state(x) != "Z"]


def read_state(pid: str) -> str:
    try:
        return read_text("/proc/%s/stat" % pid).rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
