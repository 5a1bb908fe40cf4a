"""Namespaces, a minimal root, per-episode mounts, and Landlock."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import time

from agentkd_sandbox.guest.kernel import (
    EPISODE_GID,
    EPISODE_UID,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    NEWCGROUP,
    NEWIPC,
    NEWNET,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    PROC_FLAGS,
    Json,
    check,
    libc,
    mount,
    prctl,
    unshare,
)


def write_id_maps(directory: int, inner: int, outer_uid: int, outer_gid: int) -> None:
    """Map one id in the user namespace whose /proc directory is open as `directory`."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", "%d %d 1" % (inner, outer_uid)),
        ("gid_map", "%d %d 1" % (inner, outer_gid)),
    ):
        fd = os.open(name, os.O_WRONLY, dir_fd=directory)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def map_self(inner: int, outer_uid: int, outer_gid: int) -> None:
    directory = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    write_id_maps(directory, inner, outer_uid, outer_gid)
    os.close(directory)


def wait_as_parent(pid: int, clean: list[str]) -> None:
    """Outlive the jail, remove what the host made for it, and exit as it did."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(pid, signal.SIGKILL))
    os.closerange(3, 4096)
    _, status = os.waitpid(pid, 0)
    for path in clean:
        for _ in range(100):  # a cgroup is busy until its last dead process is gone
            try:
                os.rmdir(path)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
            else:
                break
    os._exit(0 if status == 0 else 1)


def fork_into_pid_namespace(clean: list[str]) -> None:
    """Continue as init of the pid namespace that was just unshared; the parent only waits."""
    pid = os.fork()
    if pid:
        wait_as_parent(pid, clean)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def join_cgroups(paths: list[str]) -> None:
    for path in paths:
        with open(os.path.join(path, "cgroup.procs"), "w") as file:
            file.write("0")


def enter_jail(config: Json) -> None:
    """Private namespaces and a minimal read-only root; works as root and as a plain user."""
    uid, gid = os.geteuid(), os.getegid()
    every = NEWPID | NEWNET | NEWIPC | NEWUTS
    unshare(every if uid == 0 else every | NEWUSER)
    if uid:
        map_self(0, uid, gid)
    pid = os.fork()
    if pid:
        wait_as_parent(pid, config["cgroups"])
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    join_cgroups(config["cgroups"])
    unshare(NEWNS)  # here and not above: the parent must still see the cgroups it is to remove
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    build_root(config["binds"], is_root=uid == 0)
    if uid == 0:
        nobody = config["kernel_uid"]
        become(nobody)
        prctl(PR_SET_DUMPABLE, 1)
        enter_namespaces(nobody, nobody)
        mount("proc", "/proc", "proc", PROC_FLAGS)


def become(uid: int) -> None:
    """Never keep the host's uid 0: an id that nobody uses, root of nothing but its own."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def enter_namespaces(uid: int, gid: int) -> None:
    """A user namespace that owns the others, as setns() back from an episode's needs."""
    unshare(NEWUSER | NEWNS | NEWCGROUP | NEWNET | NEWIPC | NEWUTS | NEWPID)
    map_self(0, uid, gid)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    fork_into_pid_namespace([])


def build_root(binds: list[list[str]], is_root: bool) -> None:
    root = "/tmp"
    held: list[tuple[str, int | None, str, bool]] = []
    for source, target in binds:
        if os.path.islink(source):
            held.append((target, None, os.readlink(source), False))
        else:
            held.append((target, os.open(source, os.O_PATH), "", os.path.isdir(source)))
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    read_only = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID
    for name, fd, link, is_directory in held:
        target = root + name
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if fd is None:
            if not os.path.lexists(target):
                os.symlink(link, target)
            continue
        if is_directory:
            os.makedirs(target, exist_ok=True)
        else:
            open(target, "w").close()
        mount("/proc/self/fd/%d" % fd, target, None, MS_BIND | (MS_REC if is_directory else 0))
        os.close(fd)
        try:
            mount(None, target, None, read_only | MS_NODEV)
        except OSError:  # flags locked by the user namespace above us
            mount(None, target, None, read_only)
    for name in ("tmp", "box", "proc", "dev/shm", "etc", "old"):
        os.makedirs("%s/%s" % (root, name), exist_ok=True)
    for name in ("null", "zero", "full", "random", "urandom"):
        device = "%s/dev/%s" % (root, name)
        open(device, "w").close()
        mount("/dev/" + name, device, None, MS_BIND)
    for name, lines in (
        ("passwd", "root:x:0:0::/:/\nagent:x:%d:%d::/box:/\n" % (EPISODE_UID, EPISODE_GID)),
        ("group", "root:x:0:\nagent:x:%d:\n" % EPISODE_GID),
        ("hosts", "127.0.0.1 localhost\n"),
    ):
        with open("%s/etc/%s" % (root, name), "w") as file:
            file.write(lines)
    mount("proc", root + "/proc", "proc", PROC_FLAGS)
    os.chdir(root)
    check(libc.pivot_root(b".", b"old"), "pivot_root")
    os.chdir("/")
    check(libc.umount2(b"/old", 2), "umount /old")
    os.rmdir("/old")
    lock = MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV
    mount(None, "/", None, lock if is_root else lock | MS_BIND)


def mount_scratch(options: str) -> int:
    """One tmpfs, seen as /box, /tmp and /dev/shm, so that one size bounds all three.

    Returns its device number, which tells its files from every other file system's.
    """
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    for name in ("box", "shm", "tmp"):
        os.mkdir("/tmp/" + name)
        os.chmod("/tmp/" + name, 0o1777)
    device = os.stat("/tmp").st_dev
    mount("/tmp/box", "/box", None, MS_BIND)
    if os.path.isdir("/dev/shm"):
        mount("/tmp/shm", "/dev/shm", None, MS_BIND)
    mount("/tmp/tmp", "/tmp", None, MS_BIND)
    return device


def hide_terminals() -> None:
    """A container's /dev has a pty multiplexer; an episode has no business with terminals."""
    if os.path.isdir("/dev/pts"):
        mount("tmpfs", "/dev/pts", "tmpfs", PROC_FLAGS | MS_RDONLY, "size=4k")
        if os.path.exists("/dev/ptmx") and not os.path.islink("/dev/ptmx"):
            mount("/dev/null", "/dev/ptmx", None, MS_BIND)


def mount_episode_proc() -> None:
    try:
        mount("proc", "/proc", "proc", PROC_FLAGS, "hidepid=2,subset=pid")
    except OSError:  # refused where a container masks parts of /proc, and by kernels before 5.8
        mount("tmpfs", "/proc", "tmpfs", PROC_FLAGS | MS_RDONLY, "size=4k")


def detached_proc() -> int:
    """A /proc of `pid_for_children`'s namespace, mounted nowhere yet; -1 where that is refused.

    The kernel grants it only where a full /proc is in sight, so it is made in the supervisor's own
    mount namespace and then moved into a branch's, which has none.
    """
    fsopen, fsconfig, fsmount = 430, 431, 432
    fd = libc.syscall(fsopen, b"proc", 1)
    if fd < 0:
        return -1
    for key, value in ((b"hidepid", b"2"), (b"subset", b"pid")):
        libc.syscall(fsconfig, fd, 1, key, value, 0)
    if libc.syscall(fsconfig, fd, 6, None, None, 0) < 0:
        os.close(fd)
        return -1
    mounted = int(libc.syscall(fsmount, fd, 1, PROC_FLAGS))  # same bits as MOUNT_ATTR_*
    os.close(fd)
    return mounted


def restrict_with_landlock(read_only: list[str], writable: list[str]) -> None:
    """Confine this process to files below these paths, with no TCP and no foreign signals."""
    abi = libc.syscall(444, None, ctypes.c_size_t(0), 1)
    if abi < 3:
        raise OSError(errno.ENOSYS, "Landlock ABI %d, 3 is needed" % abi)
    access = (1 << (16 if abi >= 5 else 15)) - 1
    rules = struct.pack("=QQQ", access, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = check(
        libc.syscall(444, ctypes.c_char_p(rules[:size]), ctypes.c_size_t(size), 0), "landlock"
    )
    on_file = 1 | 2 | 4 | 1 << 14 | 1 << 15
    for paths, allowed in ((read_only, 1 | 4 | 8), (writable, access & ~1)):
        for path in paths:
            fd = os.open(path, os.O_PATH)
            granted = allowed & access & (-1 if os.path.isdir(path) else on_file)
            rule = ctypes.c_char_p(struct.pack("=Qi", granted, fd))
            check(libc.syscall(445, ruleset, 1, rule, 0), "landlock rule for " + path)
            os.close(fd)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    check(libc.syscall(446, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)
