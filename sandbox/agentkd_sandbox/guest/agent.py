"""The program inside every sandbox: supervisor, fork server and episodes, in one stdlib-only file.

It runs unchanged in a container, in a namespace jail of its own making, or under Landlock; the host
sends this source over the control channel at start, so any image with Python 3.8 or newer will do.

    host <-frames-> supervisor <-SOCK_SEQPACKET-> fork server --fork--> episode (untrusted)

1. The supervisor owns every channel. It stamps each frame to the host with the episode it came from
   and measures what it attests (output bytes, CPU, memory, how an episode ended). An episode can
   only say `R` (a result) or `C` (a tool call), and only while a block runs.
2. The fork server is exec'ed, never forked from the supervisor, so it holds no byte of any episode.
   It imports the profile's packages once; an episode is a fork of it.
3. An episode drops into namespaces, a uid or a Landlock domain of its own, loses every capability,
   gets rlimits and a seccomp filter, and only then reads its first instruction.
4. A branch is a copy of a live episode, made by the episode itself with one clone() that only the
   supervisor can unlock, moved to a file system of its own, and run only after the supervisor has
   read from /proc that it shares no descriptor, mapping or process with anything.

Not covered: bugs in the kernel below the system calls that remain, and timing side channels.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import gc
import json
import os
import re
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time

ABI = 1
EPISODE_GID = EPISODE_UID = 1000
FRAME_MAX = 1 << 20
"""Largest frame an episode may send; a longer one is a protocol violation."""
OUT_QUEUE_HIGH = 8 << 20
"""Bytes queued for a slow host above which episodes are no longer read."""
MAX_BRANCH_DEPTH = 24
"""Branches of branches: the kernel nests pid and user namespaces 32 deep."""
BRANCH_TIMEOUT_S = 5.0
START_TIMEOUT_S = 10.0
BUSY_TICK_S, IDLE_TICK_S = 0.05, 0.25

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
ANY_NEW = 0x7E020000 | 0x80
BRANCH_FLAGS = NEWUSER | NEWPID | NEWNS | signal.SIGCHLD
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PROC_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = (
    1, 4, 22, 24, 38,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]
else:
    Json = dict  # the guest runs on 3.8, where dict[str, Any] is not a value
libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Turn a C return value into an OSError that names the call."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, "%s: %s" % (what, os.strerror(code)))
    return result


def unshare(flags: int) -> None:
    check(libc.unshare(flags), "unshare(%#x)" % flags)


def setns(fd: int, kind: int) -> None:
    check(libc.setns(fd, kind), "setns(%#x)" % kind)


def mount(
    source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None
) -> None:
    encoded = [None if x is None else os.fsencode(x) for x in (source, target, kind, data)]
    result = libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    check(result, "mount %s on %s" % (kind or source, target))


def prctl(option: int, value: int) -> int:
    rest = [ctypes.c_ulong(x) for x in (value, 0, 0, 0)]
    return check(libc.prctl(option, *rest), "prctl(%d)" % option)


def read_text(path: str) -> str:
    with open(path) as file:
        return file.read()


def read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = os.read(fd, min(size - len(data), 1 << 20))
        if not chunk:
            os._exit(0)
        data += chunk
    return data


def reset_signals() -> None:
    """Default handlers, nothing blocked; SIGPIPE and SIGXFSZ ignored so that they become errors."""
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


# ------------------------------------------------------------------------------------ seccomp

MACHINE = os.uname().machine
TABLE = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine -> (column in the tables below, AUDIT_ARCH)."""
LAST_KNOWN = 462
"""Newest system call that was considered; a newer one answers ENOSYS, as on an older kernel."""

# Everything known and not listed is allowed, so this is an allow list written as its complement.
DENIED = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "process_madvise": (440, 440), "process_mrelease": (448, 448),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "statmount": (457, 457), "listmount": (458, 458),
    "unshare": (272, 97), "setns": (308, 268),
    # kernel subsystems with a history
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_setup": (206, 0),
    "io_submit": (209, 2), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    "vmsplice": (278, 75), "modify_ldt": (154, -1), "uselib": (134, -1), "personality": (135, 92),
    "map_shadow_stack": (453, 453), "cachestat": (451, 451), "futex_waitv": (449, 449),
    # the machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, -1), "ioperm": (173, -1), "syslog": (103, 116),
    "vhangup": (153, 58), "nfsservctl": (180, 42), "_sysctl": (156, -1), "sysfs": (139, -1),
    "ustat": (136, -1),
    # files by handle, devices
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "lookup_dcookie": (212, 18),
    "mknod": (133, -1), "mknodat": (259, 33),
    # memory and queues that outlive a process or escape its limits
    "shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "set_mempolicy_home_node": (450, 450),
    # sockets: a pair is all that asyncio and multiprocessing need; nothing may be addressed
    "bind": (49, 200), "connect": (42, 203), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
    # its own confinement
    "seccomp": (317, 277), "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445), "landlock_restrict_self": (446, 446),
    "lsm_get_self_attr": (459, 459), "lsm_set_self_attr": (460, 460),
    "lsm_list_modules": (461, 461),
}  # fmt: skip
# With neither a pid namespace nor a uid of its own (Landlock) an episode may not fork, as the child
# would outlive the session, and may signal only itself.
DENIED_WITHOUT_NAMESPACES = {
    "fork": (57, -1), "vfork": (58, -1), "kill": (62, 129), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}  # fmt: skip
ARGUMENT_CHECKED = {
    "clone": (56, 220), "clone3": (435, 435), "socket": (41, 198), "ioctl": (16, 29),
    "prctl": (157, 167), "tgkill": (234, 131), "socketpair": (53, 199),
}  # fmt: skip
KEY_MARK, PID_MARK = 0x5EED0001, 0x5EED0003


class SyscallFilter:
    """A cBPF program, assembled once in the fork server and patched per episode.

    `key` is the episode's 64-bit branch key: clone() with exactly BRANCH_FLAGS passes only when its
    (otherwise unused) third argument equals the key, which the episode learns when the supervisor
    asks it to branch. All other namespace flags are refused.
    """

    def __init__(self, tier: str) -> None:
        if MACHINE not in TABLE:
            raise SystemExit("no system call table for %s" % MACHINE)
        self.column, self.audit_arch = TABLE[MACHINE]
        self.code: list[tuple[int, int, int, int]] = []
        self._assemble(tier)
        raw = b"".join(struct.pack("=HBBI", *step) for step in self.code)
        self.buffer = ctypes.create_string_buffer(raw, len(raw))
        self.marks = {
            step[3]: index * 8 + 4
            for index, step in enumerate(self.code)
            if step[3] in (KEY_MARK, KEY_MARK + 1, PID_MARK)
        }
        head = struct.pack("=H6xQ", len(self.code), ctypes.addressof(self.buffer))
        self.program = ctypes.create_string_buffer(head, len(head))

    def install(self, key: memoryview, pid: int) -> None:
        """Patch in the episode's key and pid, load the filter, then wipe it from memory."""
        for mark, part in ((KEY_MARK, key[0:4]), (KEY_MARK + 1, key[4:8])):
            if mark in self.marks:
                struct.pack_into("4s", self.buffer, self.marks[mark], bytes(part))
        if PID_MARK in self.marks:
            struct.pack_into("=I", self.buffer, self.marks[PID_MARK], pid)
        zero = ctypes.c_ulong(0)
        loaded = libc.prctl(
            PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(self.program), zero, zero
        )
        check(loaded, "seccomp")
        ctypes.memset(self.buffer, 0, len(self.buffer))

    def _assemble(self, tier: str) -> None:
        load, equal, at_least, any_bit, ret = 0x20, 0x15, 0x35, 0x45, 0x06
        allow, kill = 0x7FFF0000, 0x80000000
        eperm, enosys = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
        number_at, arch_at, arg0_at, arg1_at, arg2_at = 0, 4, 16, 24, 32

        def add(op: int, value: int, then: int = 0, otherwise: int = 0) -> None:
            self.code.append((op, then, otherwise, value))

        def number(table: dict[str, tuple[int, int]], name: str) -> int:
            return table[name][self.column]

        add(load, arch_at)
        add(equal, self.audit_arch, 1, 0)
        add(ret, kill)  # int 0x80: another architecture's numbers
        add(load, number_at)
        add(at_least, 0x40000000, 0, 1)
        add(ret, eperm)  # x32
        add(at_least, LAST_KNOWN + 1, 0, 1)
        add(ret, enosys)
        add(equal, number(ARGUMENT_CHECKED, "clone3"), 0, 1)
        add(ret, enosys)  # its flags are behind a pointer; libc falls back to clone
        denied = dict(DENIED)
        if tier == "landlock":
            denied.update(DENIED_WITHOUT_NAMESPACES)
        for name in denied:
            if number(denied, name) >= 0:
                add(equal, number(denied, name), 0, 1)
                add(ret, eperm)
        clone = number(ARGUMENT_CHECKED, "clone")
        if tier == "uid":
            add(equal, clone, 0, 4)
            add(load, arg0_at)
            add(any_bit, ANY_NEW, 0, 1)
            add(ret, eperm)
            add(ret, allow)
        elif tier == "ns":
            add(equal, clone, 0, 10)
            add(load, arg0_at)
            add(any_bit, ANY_NEW, 1, 0)
            add(ret, allow)
            add(equal, BRANCH_FLAGS, 0, 5)
            add(load, arg2_at)
            add(equal, KEY_MARK, 0, 3)
            add(load, arg2_at + 4)
            add(equal, KEY_MARK + 1, 0, 1)
            add(ret, allow)
            add(ret, eperm)
        else:
            add(equal, clone, 0, 4)
            add(load, arg0_at)
            add(any_bit, 0x10000, 0, 1)  # CLONE_THREAD
            add(ret, allow)
            add(ret, eperm)
            add(equal, number(ARGUMENT_CHECKED, "tgkill"), 0, 4)
            add(load, arg0_at)
            add(equal, PID_MARK, 0, 1)
            add(ret, allow)
            add(ret, eperm)
        add(equal, number(ARGUMENT_CHECKED, "socket"), 0, 1)
        add(ret, 0x50000 | errno.EAFNOSUPPORT)
        add(equal, number(ARGUMENT_CHECKED, "socketpair"), 0, 4)
        add(load, arg1_at)
        add(any_bit, 2, 0, 1)  # SOCK_DGRAM, SOCK_RAW: sendmsg() could address any other socket
        add(ret, eperm)
        add(ret, allow)
        add(equal, number(ARGUMENT_CHECKED, "ioctl"), 0, 5)
        add(load, arg1_at)
        add(equal, 0x5412, 1, 0)  # TIOCSTI
        add(equal, 0x541C, 0, 1)  # TIOCLINUX
        add(ret, eperm)
        add(ret, allow)
        add(equal, number(ARGUMENT_CHECKED, "prctl"), 0, 4)
        add(load, arg0_at)
        add(equal, PR_SET_PDEATHSIG, 0, 1)
        add(ret, eperm)
        add(ret, allow)
        add(ret, allow)


def drop_capabilities() -> None:
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # EINVAL past the last one; EPERM where there is none to drop
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    check(libc.capset(header, ctypes.create_string_buffer(24)), "capset")


# --------------------------------------------------------------------------- namespaces, jail


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


# -------------------------------------------------------------------- worker (untrusted side)

CONTROL = 3
"""The episode's end of its channel to the supervisor."""


def run_worker(channel: socket.socket, options: Json) -> None:
    """Serve the supervisor's requests for ever. User code shares this interpreter, and can do
    anything to it: whatever is said from here is a claim by the episode, never a fact."""
    import ast
    import builtins
    import importlib
    import io
    import linecache
    import random
    import threading
    import traceback

    class FinalAnswer(BaseException):
        """Ends the block once the host has taken the answer."""

    class ToolError(RuntimeError):
        """A tool said no; the message is the host's."""

    FinalAnswer.__module__ = ToolError.__module__ = "builtins"  # shown to the agent by bare name
    state: Json = {"user": False, "frame": False, "late": "", "block": 0}
    lock = threading.RLock()
    order: list[list[int]] = []
    value_max = options["value_bytes"]
    call_max = options["tool_bytes"]

    class Capture(io.RawIOBase):
        """Writes through to the pipe and notes the order in which stdout and stderr took turns."""

        def __init__(self, fd: int) -> None:
            self.fd = fd

        def writable(self) -> bool:
            return True

        def fileno(self) -> int:
            return self.fd

        def write(self, data: Any) -> int:
            if self.fd == 2:
                sys.stdout.flush()
            size = os.write(self.fd, data)
            if order and order[-1][0] == self.fd:
                order[-1][1] += size
            elif len(order) < 1000:
                order.append([self.fd, size])
            return size

    def open_stream(fd: int) -> io.TextIOWrapper:
        buffer = io.BufferedWriter(Capture(fd), 8192)
        return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)

    sys.stdin = open(0)
    sys.stdout, sys.stderr = open_stream(1), open_stream(2)

    def receive() -> tuple[Json, list[int]]:
        space = socket.CMSG_SPACE(3 * 4)
        head, ancillary, _, _ = channel.recvmsg(4, space)
        if not head:
            os._exit(0)
        head += read_exactly(CONTROL, 4 - len(head))
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data[: len(data) - len(data) % 4])
        return json.loads(read_exactly(CONTROL, struct.unpack(">I", head)[0])), list(fds)

    def send(kind: str, body: bytes) -> None:
        view = memoryview(struct.pack(">IB", len(body), ord(kind)) + body)
        while view:
            view = view[os.write(CONTROL, view) :]

    def plain(value: object) -> object:
        for name in ("tolist", "item"):  # numpy arrays and scalars
            if callable(getattr(type(value), name, None)):
                return getattr(value, name)()
        raise TypeError(
            "%s is not JSON: pass numbers, strings, lists, dicts, True, False or None"
            % type(value).__name__
        )

    def call_tool(tool: str, args: tuple[object, ...], kwargs: Json) -> object:
        try:
            call = {"name": tool, "args": args, "kwargs": kwargs}
            body = json.dumps(call, default=plain, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError("%s(): %s" % (tool, error)) from None
        if len(body) > call_max:
            raise ValueError(
                "%s(): arguments of %d bytes, at most %d" % (tool, len(body), call_max)
            )
        if not state["user"]:
            raise ToolError("%s(): tools answer only while a block runs" % tool)
        with lock:
            state["frame"] = True
            try:
                send("C", body)
                reply, _ = receive()
            finally:
                state["frame"] = False
        if state["late"]:
            late, state["late"] = state["late"], ""
            raise TimeoutError(late)
        if reply.get("final"):
            raise FinalAnswer
        if "error" in reply:
            raise ToolError(reply["error"])
        return reply.get("value")

    def make_tool(tool: str, doc: str) -> object:
        def function(*args: object, **kwargs: object) -> object:
            return call_tool(tool, args, kwargs)

        function.__name__ = function.__qualname__ = tool
        function.__doc__ = doc
        return function

    def on_interrupt(*_: object) -> None:
        message = "the block reached its time limit"
        if state["frame"]:
            state["late"] = message
        elif state["user"]:
            raise TimeoutError(message)

    signal.signal(signal.SIGINT, on_interrupt)
    main = type(sys)("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    namespace = main.__dict__

    def limit_of(error: BaseException) -> str:
        if isinstance(error, MemoryError):
            return "memory"
        names = {
            errno.ENOSPC: "disk", errno.EDQUOT: "disk", errno.EFBIG: "file_size",
            errno.EMFILE: "files", errno.EAGAIN: "processes", errno.ENOMEM: "memory",
        }  # fmt: skip
        if isinstance(error, OSError):
            return names.get(error.errno or 0, "")
        return "processes" if str(error) == "can't start new thread" else ""

    def cut(text: object, size: int) -> str:
        """At most `size` bytes of UTF-8, whatever subclass of str user code returned."""
        if not isinstance(text, str):
            return "<%s>" % type(text).__name__
        head = str.__getitem__(text, slice(0, size))
        return head.encode("utf-8", "backslashreplace")[:size].decode("utf-8", "ignore")

    def describe(error: BaseException, result: Json) -> None:
        result["error"] = cut(type(error).__name__, 200)
        result["limit"] = limit_of(error)
        result["message"] = cut(str(error), 4000)
        report = traceback.TracebackException(type(error), error, error.__traceback__)
        chain: list[traceback.TracebackException | None] = [report]
        seen: set[int] = set()
        while chain:
            part = chain.pop()
            if part is not None and id(part) not in seen:
                seen.add(id(part))
                part.stack[:] = [x for x in part.stack if x.filename != "<agentkd guest>"]
                chain += [part.__cause__, part.__context__]
        text = "".join(report.format())
        if len(text) > 16000:
            text = text[:8000] + "\n[...]\n" + text[-8000:]
        result["traceback"] = cut(text, 32000)

    def run_block(request: Json) -> Json:
        state["block"] += 1
        name, source = "<block %d>" % state["block"], request["code"]
        result: Json = {"id": request["id"], "ok": False}
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        del order[:]
        try:
            try:
                state["late"], state["user"] = "", True
                tree = ast.parse(source, name)
                last = None
                if tree.body and isinstance(tree.body[-1], ast.Expr):
                    last = ast.Expression(tree.body.pop().value)
                exec(compile(tree, name, "exec"), namespace)
                if last is not None:
                    value = eval(compile(last, name, "eval"), namespace)
                    if value is not None:
                        namespace["_"] = value
                        text = repr(value)
                        result["value"] = cut(text, value_max)
                        result["value_length"] = str.__len__(text)
                        del text, value
                result["ok"] = True
            except FinalAnswer:
                result["ok"] = True
            except SystemExit as error:
                result["exit"] = cut(str(error.code), 200)
            except BaseException as error:
                describe(error, result)
            finally:
                sys.settrace(None)
                sys.setprofile(None)
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                state["user"] = False
        except BaseException as error:  # the value, the error or the streams fight back
            state["user"] = False
            kind = type(error)  # never `error` itself: its attributes may raise as well
            name = cut(type.__getattribute__(kind, "__name__"), 200)
            result["ok"] = False
            result.setdefault("error", "ResultError")
            result["limit"] = "memory" if issubclass(kind, MemoryError) else ""
            result["message"] = result["traceback"] = (
                "the value, the exception or the streams raised %s while they were read" % name
            )
        result["order"] = list(order)
        return result

    def initialise(request: Json) -> None:
        for tool, doc in request["tools"].items():
            namespace[tool] = make_tool(tool, doc)
        seed = request["seed"]
        random.seed(seed)
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed(seed % 2**32)

    def write_file(request: Json) -> Json:
        import base64

        result = {"id": request["id"], "ok": True}
        try:
            folder = os.path.dirname(request["path"])
            if folder:
                os.makedirs(folder, exist_ok=True)
            with open(request["path"], "ab" if request["append"] else "wb") as file:
                file.write(base64.b64decode(request["data"]))
            importlib.invalidate_caches()
        except OSError as error:
            result["ok"] = False
            describe(error, result)
        return result

    def branch(request: Json, fds: list[int]) -> bool:
        """Copy this interpreter. True in the copy, which then waits for its own file system."""
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies are reaped by the kernel
        native = ctypes.PyDLL(None)
        dice = random.getstate()  # `random` reseeds itself in a fork; a copy goes on as it was
        number = ARGUMENT_CHECKED["clone"][TABLE[MACHINE][0]]
        argument = [ctypes.c_ulong(x) for x in (BRANCH_FLAGS, 0, request["key"], 0, 0)]
        ctypes.pythonapi.PyOS_BeforeFork()
        pid = native.syscall(ctypes.c_long(number), *argument)
        if pid:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
            for fd in fds:
                os.close(fd)
            return False
        ctypes.pythonapi.PyOS_AfterFork_Child()
        random.setstate(dice)
        os.setsid()  # kill(0) reaches a whole process group, across namespaces
        for fd, target in zip(fds, (CONTROL, 1, 2)):
            os.dup2(fd, target, target != CONTROL)
            os.close(fd)
        channel.send(b"B")  # the kernel attaches our credentials
        return True

    def settle(request: Json) -> Json:
        """In a copy: move the working directory and every open file over to the new tmpfs."""
        os.chdir(request["cwd"])
        kept = {}
        for fd, path, flags, position, remove in request["files"]:
            flags &= ~(os.O_CREAT | os.O_TRUNC | os.O_EXCL)
            fresh = os.open(path, flags)
            if position:
                os.lseek(fresh, position, os.SEEK_SET)
            kept[fd] = fresh
            if remove:
                os.unlink(path)
        high = max([CONTROL, *kept, *kept.values()]) + 1
        for fd, fresh in kept.items():
            fresh_high = fcntl.fcntl(fresh, fcntl.F_DUPFD_CLOEXEC, high)
            os.close(fresh)
            kept[fd] = fresh_high
        start = CONTROL + 1
        for fd in [*sorted(kept.values()), resource.getrlimit(resource.RLIMIT_NOFILE)[1]]:
            os.closerange(start, fd)
            start = fd + 1
        for fd, fresh in kept.items():
            os.dup2(fresh, fd, False)
            os.close(fresh)
        drop_capabilities()
        return {"id": request["id"], "ok": True}

    send("S", b"")  # confined, and no user code has run: what follows is the episode's doing
    while True:
        request, fds = receive()
        kind = request["op"]
        if kind == "branch":
            branch(request, fds)
            continue
        if "init" in request:
            initialise(request["init"])
        if kind == "run":
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            reply = run_block(request)
        elif kind == "put":
            reply = write_file(request)
        else:
            reply = settle(request)
        try:
            body = json.dumps(reply).encode()
        except BaseException:
            body = b'{"id": 0, "ok": false, "error": "ResultError"}'
        with lock:  # a thread's tool call may still be waiting for its reply
            send("R", body)


# ------------------------------------------------------------------------ episode, fork server


def set_limits(limits: Json) -> None:
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, limits["files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_CPU, int(limits["cpu"]) + 2),  # behind the supervisor's own count
        (resource.RLIMIT_STACK, 64 << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        resource.setrlimit(kind, (value, value))


def become_episode(fds: list[int], start: Json, key: memoryview, syscalls: SyscallFilter) -> None:
    """In a fresh fork: take every right away, then serve. Any failure before that is fatal."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # a container may hide it; its memory limit then picks by size
    tier, limits = start["tier"], start["limits"]
    if tier == "ns":
        unshare(NEWNS | NEWIPC | NEWUTS | NEWCGROUP | NEWNET)
        mount_scratch("size=%d,mode=755,nr_inodes=%d" % (limits["disk"], limits["inodes"]))
        myself = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
        mount_episode_proc()
        hide_terminals()
        unshare(NEWUSER)  # no rights over the fork server's namespaces; NPROC counts us alone
        write_id_maps(myself, EPISODE_UID, 0, 0)
        folder = "/box"
    else:
        folder = start["folder"]
        if tier == "uid":
            os.setgroups([])
            os.setresgid(start["uid"], start["uid"], start["uid"])
            os.setresuid(start["uid"], start["uid"], start["uid"])
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of uid cleared it
            os.mkdir(folder, 0o700)
        import tempfile

        tempfile.tempdir = os.environ["TMPDIR"] = folder
    os.environ["HOME"] = folder
    os.chdir(folder)
    os.umask(0o077)
    if tier == "landlock":
        restrict_with_landlock(start["read_only"], [folder, "/dev/null"])
    reset_signals()
    spare = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
    null = os.open("/dev/null", os.O_RDONLY)
    for fd, target in ((null, 0), (spare[1], 1), (spare[2], 2), (spare[0], CONTROL)):
        os.dup2(fd, target, target != CONTROL)
    os.closerange(CONTROL + 1, 4096)
    channel = socket.socket(fileno=CONTROL)
    set_limits(limits)
    drop_capabilities()
    prctl(PR_SET_DUMPABLE, 1 if tier == "ns" else 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscalls.install(key, os.getpid())
    ctypes.memset((ctypes.c_char * len(key)).from_buffer(key.obj), 0, len(key))
    run_worker(channel, limits)


def preload(config: Json) -> list[str]:
    """Import the profile once, so that episodes share its memory; returns what is missing."""
    missing = []
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    sys.path.extend(config["path"])
    always = "ast base64 collections datetime decimal fractions functools importlib itertools io"
    always += " linecache math random re statistics string tempfile threading traceback shutil"
    for name in always.split() + config["preload"]:
        try:
            __import__(name)
        except Exception as error:
            missing.append("%s: %s: %s" % (name, type(error).__name__, error))
    return missing


def serve_forks(control: socket.socket, config: Json) -> None:
    """The fork server: fork an episode a message, kill on request, report every exit."""
    missing = preload(config)
    syscalls = SyscallFilter(config["tier"])
    my_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
    wake, wake_write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": True, "missing": missing}).encode())
    live: dict[int, int] = {}  # pid -> episode
    buffer = bytearray(1 << 16)
    space = socket.CMSG_SPACE(3 * 4)
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake, select.POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd == wake:
                os.read(wake, 4096)
                report_exits(control, live)
                continue
            size, ancillary, _, _ = control.recvmsg_into([buffer], space)
            if size == 0:
                os._exit(0)
            message = json.loads(bytes(memoryview(buffer)[8:size]))
            if "signal" in message:
                for pid, episode in live.items():
                    if episode == message["episode"]:
                        os.kill(pid, message["signal"])
                continue
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data)
            pid = fork_episode(message, list(fds), memoryview(buffer)[:8], syscalls, control)
            if config["tier"] == "ns":
                setns(my_pid_namespace, NEWPID)
            buffer[:8] = bytes(8)
            for fd in fds:
                os.close(fd)
            if pid > 0:
                live[pid] = message["episode"]
                answer: Json = {"started": message["episode"], "pid": pid}
            else:
                answer = {"ended": message["episode"], "status": -1, "cpu": 0.0, "rss": 0}
            control.send(json.dumps(answer).encode())


def fork_episode(
    message: Json,
    fds: list[int],
    key: memoryview,
    syscalls: SyscallFilter,
    control: socket.socket,
) -> int:
    try:
        if message["tier"] == "ns":
            unshare(NEWPID)
        pid = os.fork()
    except OSError:
        return -1
    if pid == 0:
        try:
            control.detach()
            become_episode(fds, message, key, syscalls)
        except BaseException:
            import traceback

            os.write(fds[2] if len(fds) > 2 else 2, traceback.format_exc().encode())
        finally:
            os._exit(99)
    return pid


def report_exits(control: socket.socket, live: dict[int, int]) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        episode = live.pop(pid, None)
        if episode is not None:
            cpu = round(usage.ru_utime + usage.ru_stime, 4)
            ended = {"ended": episode, "status": status, "cpu": cpu, "rss": usage.ru_maxrss * 1024}
            control.send(json.dumps(ended).encode())


# ----------------------------------------------------------------------------------- branches


def proc_status(pid: int) -> dict[str, list[str]]:
    lines = read_text("/proc/%d/status" % pid).splitlines()
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
    shared = re.findall(r"^\S+ (\S\S\S)s\S* \S+ \S+ \S+ *(.*)", read_text("/proc/%d/maps" % pid), re.M)
    for access, path in shared:
        if "w" in access or not path.startswith(("/usr/", "/lib")):
            return "it holds a shared memory mapping (%s)" % path[:100]
    return ""


# --------------------------------------------------------------------------------- supervisor


class Output:
    """One captured stream: the first and the last half of `keep` bytes, and the true count."""

    def __init__(self, fd: int, keep: int) -> None:
        self.fd: int | None = fd
        self.half = keep // 2
        self.clear()

    def clear(self) -> None:
        self.head, self.tail, self.count = bytearray(), bytearray(), 0

    def feed(self, chunk: bytes) -> None:
        self.count += len(chunk)
        room = self.half - len(self.head)
        if room > 0:
            self.head += chunk[:room]
            chunk = chunk[room:]
        self.tail += chunk
        if len(self.tail) > 2 * self.half:
            del self.tail[: len(self.tail) - self.half]

    def text(self) -> str:
        tail = self.tail[max(0, len(self.tail) - self.half) :]
        skipped = self.count - len(self.head) - len(tail)
        if not skipped:
            return bytes(self.head + tail).decode("utf-8", "replace")
        gap = "\n[... %d bytes not shown ...]\n" % skipped
        return self.head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")


class Episode:
    """What the supervisor knows about one episode."""

    def __init__(self, number: int, limits: Json) -> None:
        ours, theirs = socket.socketpair()
        out, self.out_write = os.pipe()
        err, self.err_write = os.pipe()
        self.number = number
        self.limits = limits
        self.control: socket.socket | None = ours
        self.theirs = theirs
        self.channels = {
            1: os.fstat(out).st_ino,
            2: os.fstat(err).st_ino,
            CONTROL: os.fstat(theirs.fileno()).st_ino,
        }
        for fd in (ours.fileno(), out, err):
            os.set_blocking(fd, False)
        self.out, self.err = Output(out, limits["output"]), Output(err, limits["output"])
        self.inbox, self.outbox = bytearray(), bytearray()
        self.is_busy = self.is_answering = self.is_ready = False
        self.soft_s = 0.0
        self.request = 0
        self.soft_at = self.hard_at = 0.0
        self.paused_s = 0.0  # time that was left when a tool call went to the host
        self.started_at = 0.0
        self.soft_why = self.killed_why = ""
        self.pid = 0  # as /proc knows it
        self.pid_namespace = 0
        self.cpu = self.block_cpu = 0.0
        self.rss = 0
        self.uid = 0
        self.folder = ""
        self.key = int.from_bytes(os.urandom(8), sys.byteorder)
        # branches
        self.parent: Episode | None = None
        self.pidfd = -1
        self.helper_order = -1
        self.depth = 0
        self.device = 0
        self.stage = "live"  # a branch: hello, isolating, settling, live
        self.branches: list[Episode] = []
        self.pending: list[int] = []
        self.branch_deadline = 0.0
        self.is_stopped = False

    def close_theirs(self) -> None:
        self.theirs.close()
        os.close(self.out_write)
        os.close(self.err_write)


class Supervisor:
    """Relays between the host and its episodes, measures, enforces; trusts no episode."""

    def __init__(self, host_read: int, host_write: int, config: Json, source: bytes) -> None:
        self.host_read, self.host_write = host_read, host_write
        self.config, self.source = config, source
        self.tier: str = config["tier"]
        self.from_host, self.to_host = bytearray(), bytearray()
        self.episodes: dict[int, Episode] = {}
        self.by_fd: dict[int, tuple[Episode, str]] = {}
        self.helpers: dict[int, tuple[Episode, int]] = {}  # result pipe -> (branch, pid)
        self.main, self.inner = select.epoll(), select.epoll()
        self.is_writing = self.is_throttled = False
        self.next_tick = 0.0
        self.next_uid = 0
        self.ticks_per_s = os.sysconf("SC_CLK_TCK")
        self.page_bytes = os.sysconf("SC_PAGE_SIZE")
        self.base_rss = 0
        for fd in (host_read, host_write):
            os.set_blocking(fd, False)
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for fd in (host_read, self.wake, self.inner.fileno()):
            self.main.register(fd, select.EPOLLIN)
        self.start_fork_server()

    # -- fork server

    def start_fork_server(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        source_read, source_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                reset_signals()
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                for fd, target in ((theirs.fileno(), 3), (source_read, 4)):
                    os.dup2(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100), target, True)
                null = os.open("/dev/null", os.O_RDWR)
                os.dup2(null, 0)
                os.dup2(null, 1)
                os.closerange(5, 4096)
                argv = [*self.config["python"], "-c", BOOTSTRAP % (4, "fork_server_main(3, 4)")]
                os.execvp(argv[0], argv)
            finally:
                os._exit(98)
        theirs.close()
        os.close(source_read)
        config = json.dumps(self.config).encode()
        view = memoryview(b"%010d" % len(self.source) + self.source)
        tail = memoryview(b"%010d" % len(config) + config)
        try:
            for part in (view, tail):
                while part:
                    part = part[os.write(source_write, part) :]
            ready = ours.recv(1 << 16)
        except OSError:
            ready = b""
        os.close(source_write)
        if not ready:
            program = self.config["python"][0]
            raise SystemExit("uid %d cannot start %s in the sandbox" % (os.geteuid(), program))
        self.fork_server, self.fork_server_pid = ours, pid
        self.missing: list[str] = json.loads(ready)["missing"]
        try:
            self.base_rss = self.sample(proc_pid(pid))[1]
        except (OSError, ValueError):
            self.base_rss = 0
        self.main.register(ours, select.EPOLLIN)

    def on_fork_server(self) -> None:
        message = self.fork_server.recv(1 << 16)
        if not message:
            self.main.unregister(self.fork_server)
            self.fork_server.close()
            for episode in list(self.episodes.values()):
                episode.killed_why = "lost"
                self.finish(episode, {})
            self.start_fork_server()
            return
        event = json.loads(message)
        if "started" in event:
            started = self.episodes.get(event["started"])
            if started is not None:
                self.note_pid(started, event["pid"])
        else:
            ended = self.episodes.get(event["ended"])
            if ended is not None:
                self.finish(ended, event)

    def note_pid(self, episode: Episode, pid: int) -> None:
        try:
            episode.pid = proc_pid(pid) if self.tier == "ns" else pid
            if self.tier == "ns":
                episode.pid_namespace = os.stat("/proc/%d/ns/pid" % episode.pid).st_ino
        except OSError:
            pass  # it has already ended, and the exit is on its way

    # -- episodes

    def start(self, number: int, message: Json) -> None:
        episode = Episode(number, message["limits"])
        message.update(tier=self.tier, episode=number)
        key = bytes(8)
        if self.tier == "ns":
            key = episode.key.to_bytes(8, sys.byteorder)
        elif self.tier == "uid":
            self.next_uid = self.next_uid % 40000 + 1
            episode.uid = message["uid"] = 20000 + self.next_uid
            episode.folder = "/tmp/%d" % episode.uid
        else:
            episode.folder = "%s/%d" % (self.config["scratch"], number)
            os.mkdir(episode.folder, 0o700)
            message["read_only"] = self.config["read_only"]
        message["folder"] = episode.folder
        fds = array.array("i", [episode.theirs.fileno(), episode.out_write, episode.err_write])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        self.fork_server.sendmsg([key + json.dumps(message).encode()], rights)
        self.adopt_channels(episode)

    def adopt_channels(self, episode: Episode) -> None:
        episode.close_theirs()
        self.episodes[episode.number] = episode
        assert episode.control is not None
        fds = [(episode.control.fileno(), "control")]
        fds += [(x.fd, kind) for x, kind in ((episode.out, "out"), (episode.err, "err")) if x.fd]
        for fd, kind in fds:
            self.by_fd[fd] = (episode, kind)
            self.inner.register(fd, select.EPOLLIN)

    def drop(self, fd: int) -> None:
        self.by_fd.pop(fd, None)
        try:
            self.inner.unregister(fd)
        except OSError:
            pass

    def signal(self, episode: Episode, number: int) -> None:
        if episode.pidfd >= 0:
            libc.syscall(424, episode.pidfd, number, None, 0)
        else:
            message = {"episode": episode.number, "signal": number}
            self.fork_server.send(bytes(8) + json.dumps(message).encode())

    def kill(self, episode: Episode, why: str) -> None:
        if not episode.killed_why:
            episode.killed_why = why
            if episode.pidfd < 0 and episode.parent is not None:
                self.finish(episode, {})  # a branch that never said hello
            else:
                self.signal(episode, signal.SIGKILL)

    def finish(self, episode: Episode, event: Json) -> None:
        """The episode's first process is gone: read what is left, clean up, tell the host."""
        self.episodes.pop(episode.number, None)
        for output in (episode.out, episode.err):
            self.drain(episode, output)
            self.close_output(output)
        if episode.control is not None:
            self.drop(episode.control.fileno())
            episode.control.close()
            episode.control = None
        if episode.pidfd >= 0:
            self.drop(episode.pidfd)
            os.close(episode.pidfd)
        self.clean(episode)
        self.close_order(episode)
        if episode.parent is not None and episode in episode.parent.branches:
            episode.parent.branches.remove(episode)
            if episode.stage != "live":
                said = episode.err.text().strip().rpartition("\n")[2]
                self.refuse_branches(episode.parent, "the copy ended before it was ready " + said)
        if episode.branch_deadline:
            self.refuse_branches(episode, "the episode ended")
        status = event.get("status", -1)
        exited = status >= 0 and os.WIFEXITED(status)
        signaled = status >= 0 and os.WIFSIGNALED(status)
        if episode.parent is not None and episode.stage != "live":
            return
        self.send_json(
            episode.number,
            "X",
            {
                "why": episode.killed_why,
                "code": os.WEXITSTATUS(status) if exited else None,
                "signal": os.WTERMSIG(status) if signaled else None,
                "ready": episode.is_ready,
                "cpu": max(event.get("cpu", 0.0), episode.cpu),
                "rss": max(event.get("rss", 0), episode.rss),
                **self.facts(episode),
            },
        )

    def clean(self, episode: Episode) -> None:
        """Where no namespace takes the episode's processes and files with it, remove them."""
        if self.tier == "uid":
            for _ in range(20):
                helper = os.fork()
                if helper == 0:
                    remove_user(episode.uid, ["/tmp", "/box", "/dev/shm"])
                os.waitpid(helper, 0)
                if not self.is_user_alive(episode.uid):
                    return
            os._exit(3)  # not containable: the host sees a lost guest, not a dirty one
        elif self.tier == "landlock":
            remove(episode.folder)

    def is_user_alive(self, uid: int) -> bool:
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.stat("/proc/" + name).st_uid == uid:
                    if "Z" not in read_text("/proc/%s/stat" % name).rpartition(")")[2].split()[0]:
                        return True
            except OSError:
                pass
        return False

    def facts(self, episode: Episode) -> Json:
        now = time.monotonic()
        return {
            "out": episode.out.text(),
            "err": episode.err.text(),
            "out_bytes": episode.out.count,
            "err_bytes": episode.err.count,
            "wall": round(now - episode.started_at, 6) if episode.started_at else 0.0,
            "soft": episode.soft_why,
            "request": episode.request,
        }

    # -- channels to episodes

    def drain(self, episode: Episode, output: Output) -> None:
        for _ in range(64):
            if output.fd is None:
                return
            try:
                chunk = os.read(output.fd, 65536)
            except BlockingIOError:
                return
            if not chunk:
                self.close_output(output)
                return
            output.feed(chunk)
            if output.count > episode.limits["output_kill"]:
                self.kill(episode, "output")
                return

    def close_output(self, output: Output) -> None:
        if output.fd is not None:
            self.drop(output.fd)
            os.close(output.fd)
            output.fd = None

    def write_control(self, episode: Episode, body: bytes = b"") -> None:
        if body:
            episode.outbox += struct.pack(">I", len(body)) + body
        if episode.control is None:
            return
        try:
            while episode.outbox:
                del episode.outbox[: episode.control.send(episode.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.kill(episode, "closed")
            return
        wanted = select.EPOLLIN | (select.EPOLLOUT if episode.outbox else 0)
        self.inner.modify(episode.control.fileno(), wanted)

    def on_control(self, episode: Episode) -> None:
        assert episode.control is not None
        if episode.stage == "hello":
            self.on_hello(episode)
            return
        try:
            chunk = episode.control.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.drop(episode.control.fileno())
            episode.control.close()
            episode.control = None
            self.kill(episode, "closed")
            return
        episode.inbox += chunk
        while len(episode.inbox) >= 5 and not episode.killed_why:
            size, kind = struct.unpack_from(">IB", episode.inbox)
            if kind == 83 and size == 0 and not episode.is_ready:
                del episode.inbox[:5]
                episode.is_ready = True
                if episode.is_busy:  # the time it took to fork is not the block's
                    episode.started_at = time.monotonic()
                    episode.soft_at = episode.started_at + episode.soft_s
                continue
            expected = kind in (82, 67) and (episode.is_busy or episode.stage == "settling")
            if size > FRAME_MAX or not expected or episode.is_answering:
                episode.inbox.clear()
                self.kill(episode, "violation")
                return
            if len(episode.inbox) < 5 + size:
                return
            payload = bytes(episode.inbox[5 : 5 + size])
            del episode.inbox[: 5 + size]
            if episode.stage == "settling":
                self.on_settled(episode, payload)
            elif kind == 82:
                self.on_result(episode, payload)
            else:
                episode.is_answering = True
                episode.paused_s = max(0.0, episode.soft_at - time.monotonic())
                episode.soft_at = 0.0 if not episode.hard_at else episode.soft_at
                self.send(episode.number, "C", payload)

    def on_result(self, episode: Episode, payload: bytes) -> None:
        episode.is_busy = False
        episode.soft_at = episode.hard_at = 0.0
        self.drain(episode, episode.out)
        self.drain(episode, episode.err)
        try:
            episode.cpu, episode.rss = self.sample(episode.pid)
        except (OSError, ValueError, IndexError):
            pass
        facts = self.facts(episode)
        facts["cpu"] = round(max(0.0, episode.cpu - episode.block_cpu), 4)
        facts["rss"] = episode.rss
        head = json.dumps(facts, ensure_ascii=False).encode()
        self.send(episode.number, "R", struct.pack(">I", len(head)) + head + payload)
        episode.out.clear()
        episode.err.clear()

    # -- requests from the host

    def on_host(self) -> None:
        try:
            chunk = os.read(self.host_read, 1 << 18)
        except BlockingIOError:
            return
        if not chunk:
            self.leave()
        self.from_host += chunk
        while len(self.from_host) >= 9:
            size, number, kind = struct.unpack_from(">IIB", self.from_host)
            if len(self.from_host) < 9 + size:
                return
            payload = bytes(self.from_host[9 : 9 + size])
            del self.from_host[: 9 + size]
            self.on_request(number, chr(kind), payload)

    def leave(self) -> None:
        """The host is gone: everything goes with us."""
        if self.tier == "landlock":
            for episode in list(self.episodes.values()):
                self.signal(episode, signal.SIGKILL)
            time.sleep(0.05)
            remove(self.config["scratch"])
        os._exit(0)

    def on_request(self, number: int, kind: str, payload: bytes) -> None:
        episode = self.episodes.get(number)
        if kind == "S":
            self.start(number, json.loads(payload))
        elif kind == "P":
            self.send_json(number, "P", self.statistics())
        elif episode is None:
            if kind == "F":
                self.send_json(number, "B", {"error": "the episode has ended"})
        elif kind == "K":
            self.kill(episode, "closed by host")
        elif kind == "E":
            if episode.is_busy or episode.branches or episode.branch_deadline:
                self.send_json(number, "N", {"error": "busy"})
                return
            if episode.is_stopped:
                episode.is_stopped = False
                self.signal(episode, signal.SIGCONT)
            soft_ms, request = struct.unpack_from(">IQ", payload)
            episode.started_at = now = time.monotonic()
            episode.is_busy, episode.request = True, request
            episode.soft_s = soft_ms / 1000
            episode.soft_at, episode.hard_at, episode.soft_why = now + episode.soft_s, 0.0, ""
            if not episode.is_ready:
                episode.soft_at += START_TIMEOUT_S
            episode.block_cpu = episode.cpu
            self.write_control(episode, payload[12:])
        elif kind == "A" and episode.is_answering:
            episode.is_answering = False
            if not episode.hard_at:
                episode.soft_at = time.monotonic() + episode.paused_s
            self.write_control(episode, payload)
        elif kind == "F":
            self.start_branches(episode, json.loads(payload)["ids"])

    def statistics(self) -> Json:
        if self.tier == "landlock":  # whose /proc is the host's
            processes = 2 + len(proc_children(self.fork_server_pid))
        else:
            processes = sum(name.isdigit() for name in os.listdir("/proc"))
        return {
            "episodes": len(self.episodes),
            "processes": processes,
            "files": len(os.listdir("/proc/self/fd")),
            "rss": self.sample(proc_pid(os.getpid()))[1],
        }

    def send(self, number: int, kind: str, payload: bytes) -> None:
        self.to_host += struct.pack(">IIB", len(payload), number, ord(kind)) + payload
        self.flush()

    def send_json(self, number: int, kind: str, value: Json) -> None:
        self.send(number, kind, json.dumps(value, ensure_ascii=False).encode())

    def flush(self) -> None:
        try:
            while self.to_host:
                del self.to_host[: os.write(self.host_write, self.to_host)]
        except BlockingIOError:
            pass
        except OSError:
            self.leave()
        if bool(self.to_host) != self.is_writing:
            self.is_writing = bool(self.to_host)
            if self.is_writing:
                self.main.register(self.host_write, select.EPOLLOUT)
            else:
                self.main.unregister(self.host_write)
        is_full = len(self.to_host) > OUT_QUEUE_HIGH
        if is_full != self.is_throttled:
            self.is_throttled = is_full
            self.main.modify(self.inner.fileno(), 0 if is_full else select.EPOLLIN)

    # -- time, memory, CPU

    def sample(self, pid: int) -> tuple[float, int]:
        """CPU seconds (own and reaped children) and resident bytes of one process."""
        fields = read_text("/proc/%d/stat" % pid).rpartition(")")[2].split()
        cpu = sum(int(x) for x in fields[11:15]) / self.ticks_per_s
        return cpu, int(fields[21]) * self.page_bytes

    def owner(self, pid: int, owners: dict[int, Episode]) -> Episode | None:
        if self.tier == "ns":
            return owners.get(os.stat("/proc/%d/ns/pid" % pid).st_ino)
        if self.tier == "uid":
            return owners.get(os.stat("/proc/%d" % pid).st_uid)
        return owners.get(pid)

    def watch(self) -> None:
        """Sum CPU and memory over all processes of each episode; stop those over their limit."""
        keys = {"ns": "pid_namespace", "uid": "uid", "landlock": "pid"}
        owners = {getattr(x, keys[self.tier]): x for x in self.episodes.values()}
        total: dict[Episode, tuple[float, int]] = {}
        names = [str(pid) for pid in owners] if self.tier == "landlock" else os.listdir("/proc")
        for name in names:
            try:
                episode = self.owner(int(name), owners) if name.isdigit() else None
                if episode is not None:
                    cpu, rss = self.sample(int(name))
                    sums = total.get(episode, (0.0, 0))
                    total[episode] = (sums[0] + cpu, sums[1] + max(0, rss - self.base_rss))
            except (OSError, ValueError, IndexError):
                continue  # it ended while we looked
        for episode, (cpu, rss) in total.items():
            episode.cpu, episode.rss = max(episode.cpu, cpu), max(episode.rss, rss)
            limits = episode.limits
            if rss > limits["memory"]:
                self.kill(episode, "memory")
            elif cpu > limits["cpu"]:
                self.kill(episode, "cpu")
            elif episode.is_busy and not episode.hard_at:
                if cpu - episode.block_cpu > limits["block_cpu"]:
                    self.interrupt(episode, "cpu")
            if self.tier == "landlock" and tree_is_over(
                episode.folder, limits["disk"], limits["inodes"]
            ):
                self.kill(episode, "disk")

    def interrupt(self, episode: Episode, why: str) -> None:
        episode.soft_why, episode.soft_at = why, 0.0
        episode.hard_at = time.monotonic() + episode.limits["grace_ms"] / 1000
        self.signal(episode, signal.SIGINT)

    def on_time(self) -> None:
        now = time.monotonic()
        for episode in list(self.episodes.values()):
            if episode.soft_at and now >= episode.soft_at and not episode.is_answering:
                self.interrupt(episode, "wall")
            elif episode.hard_at and now >= episode.hard_at and not episode.is_answering:
                episode.hard_at = 0.0
                self.kill(episode, episode.soft_why)
            if episode.branch_deadline and now >= episode.branch_deadline:
                self.refuse_branches(episode, "the interpreter did not answer in time")
        if now >= self.next_tick:
            is_busy = any(episode.is_busy for episode in self.episodes.values())
            self.next_tick = now + (BUSY_TICK_S if is_busy else IDLE_TICK_S)
            if self.episodes:
                self.watch()

    def timeout(self) -> float:
        times = [
            moment
            for x in self.episodes.values()
            for moment in (x.soft_at, x.hard_at, x.branch_deadline)
            if moment
        ]
        if self.episodes:
            times.append(self.next_tick)
        return max(0.0, min(times) - time.monotonic()) if times else -1

    # -- branches

    def start_branches(self, episode: Episode, numbers: list[int]) -> None:
        reason = ""
        if self.tier != "ns":
            reason = "this tier (%s) has no namespaces to copy into" % self.tier
        elif episode.is_busy or episode.branches or episode.branch_deadline:
            reason = "the interpreter is busy"
        elif episode.depth >= MAX_BRANCH_DEPTH:
            reason = "branches are nested %d deep" % episode.depth
        else:
            reason = self.why_not_alone(episode)
        if reason:
            self.send_json(episode.number, "B", {"error": reason})
            return
        if episode.is_stopped:
            episode.is_stopped = False
            self.signal(episode, signal.SIGCONT)
        episode.pending = list(numbers)
        episode.branch_deadline = time.monotonic() + BRANCH_TIMEOUT_S
        self.next_branch(episode)

    def why_not_alone(self, episode: Episode) -> str:
        try:
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) != episode.pid:
                    try:
                        inode = os.stat("/proc/%s/ns/pid" % name).st_ino
                    except OSError:
                        continue
                    if inode == episode.pid_namespace:
                        state = read_text("/proc/%s/stat" % name).rpartition(")")[2].split()[0]
                        if state != "Z":
                            return "a background process is running"
            if proc_status(episode.pid)["Threads"] != ["1"]:
                return "a background thread is running"
        except OSError as error:
            return str(error)
        return ""

    def next_branch(self, parent: Episode) -> None:
        branch = Episode(parent.pending.pop(0), parent.limits)
        branch.parent, branch.depth, branch.stage = parent, parent.depth + 1, "hello"
        branch.key = parent.key  # the copy inherits the filter, and with it the key
        branch.cpu = parent.cpu
        assert branch.control is not None and parent.control is not None
        branch.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        parent.branches.append(branch)
        body = json.dumps({"op": "branch", "key": branch.key}).encode()
        fds = array.array("i", [branch.theirs.fileno(), branch.out_write, branch.err_write])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        try:
            parent.control.sendmsg([struct.pack(">I", len(body)) + body], rights)
        except OSError:
            self.kill(parent, "closed")
        self.adopt_channels(branch)
        self.start_helper(branch)

    def on_hello(self, branch: Episode) -> None:
        assert branch.control is not None and branch.parent is not None
        try:
            data, ancillary, _, _ = branch.control.recvmsg(1, socket.CMSG_SPACE(12))
        except BlockingIOError:
            return
        pids = [struct.unpack("3i", x)[0] for _, kind, x in ancillary if kind == 2]  # credentials
        if data != b"B" or not pids:
            self.refuse_branches(branch.parent, "the copy did not say hello")
            return
        branch.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        parent = branch.parent
        try:
            branch.pidfd = check(libc.syscall(434, pids[0], 0), "pidfd_open")
            os.set_inheritable(branch.pidfd, False)
            branch.pid = proc_pid(pids[0])
            branch.pid_namespace = os.stat("/proc/%d/ns/pid" % branch.pid).st_ino
            status = proc_status(branch.pid)
            if status["PPid"] != [str(parent.pid)] or status["NSpid"][-1] != "1":
                raise OSError(errno.EPERM, "the copy is not the interpreter's own child")
        except OSError as error:
            self.refuse_branches(parent, str(error))
            return
        self.by_fd[branch.pidfd] = (branch, "pidfd")
        self.inner.register(branch.pidfd, select.EPOLLIN)
        branch.stage = "isolating"
        os.write(branch.helper_order, b"%d %d" % (branch.pid, parent.pid))
        self.close_order(branch)

    def start_helper(self, branch: Episode) -> None:
        """Fork the process that will isolate the copy; it waits until the copy has said hello."""
        limits = branch.limits
        options = "size=%d,mode=755,nr_inodes=%d" % (limits["disk"], limits["inodes"])
        read, write = os.pipe()
        order, branch.helper_order = os.pipe()
        helper = os.fork()
        if helper == 0:
            try:
                os.close(branch.helper_order)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(int(BRANCH_TIMEOUT_S))
                pids = os.read(order, 100).split()
                if pids:
                    try:
                        report = isolate_branch(int(pids[0]), int(pids[1]), options)
                    except Exception as error:
                        report = {"error": str(error)}
                    os.write(write, json.dumps(report).encode())
            finally:
                os._exit(0)
        os.close(write)
        os.close(order)
        self.helpers[read] = (branch, helper)
        self.main.register(read, select.EPOLLIN)

    def close_order(self, branch: Episode) -> None:
        if branch.helper_order >= 0:
            os.close(branch.helper_order)
            branch.helper_order = -1

    def on_isolated(self, read: int) -> None:
        branch, _ = self.helpers.pop(read)
        self.main.unregister(read)
        with open(read, "rb") as file:
            report = json.loads(file.read() or b'{"error": "the helper was stopped"}')
        assert branch.parent is not None
        if branch.stage != "isolating" or branch.killed_why:
            return
        if "error" in report:
            self.refuse_branches(branch.parent, report["error"])
            return
        branch.stage, branch.device = "settling", report["device"]
        request = {"op": "settle", "id": 0, "cwd": report["cwd"], "files": report["files"]}
        self.write_control(branch, json.dumps(request).encode())

    def on_settled(self, branch: Episode, payload: bytes) -> None:
        parent = branch.parent
        assert parent is not None
        try:
            reason = verify_confined(branch.pid, branch.device, branch.channels)
        except (OSError, ValueError, KeyError, IndexError) as error:
            reason = "the copy could not be inspected: %s" % error
        if reason or b'"ok": true' not in payload:
            self.refuse_branches(parent, reason or "the copy could not reopen its files")
            return
        branch.stage, branch.is_ready = "live", True
        if parent.pending:
            self.next_branch(parent)
            return
        parent.branch_deadline = 0.0
        parent.is_stopped = True
        self.signal(parent, signal.SIGSTOP)
        try:
            reason = self.why_not_alone(parent)
            reason = reason or self.why_parent_holds(parent)
            if len(proc_children(parent.pid)) != len(parent.branches):
                reason = "the interpreter started other processes"
        except OSError as error:
            reason = str(error)
        if reason:
            self.refuse_branches(parent, reason)
        else:
            self.send_json(parent.number, "B", {"ok": True})

    def why_parent_holds(self, parent: Episode) -> str:
        """The parent stays stopped while copies live; it must not hold their channels either."""
        theirs = {inode for branch in parent.branches for inode in branch.channels.values()}
        for name in os.listdir("/proc/%d/fd" % parent.pid):
            if os.stat("/proc/%d/fd/%s" % (parent.pid, name)).st_ino in theirs:
                return "the interpreter kept a copy's channel"
        return ""

    def refuse_branches(self, parent: Episode, reason: str) -> None:
        if not parent.branch_deadline and not parent.branches:
            return
        parent.branch_deadline, parent.pending = 0.0, []
        branches, parent.branches = parent.branches, []
        for branch in branches:
            branch.stage = "refused"
            self.kill(branch, "refused")
        self.send_json(parent.number, "B", {"error": reason})

    # -- the loop

    def on_inner(self) -> None:
        for fd, event in self.inner.poll(0):
            found = self.by_fd.get(fd)
            if found is None:
                continue
            episode, kind = found
            if kind == "pidfd":
                self.finish(episode, {})
            elif kind == "out":
                self.drain(episode, episode.out)
            elif kind == "err":
                self.drain(episode, episode.err)
            else:
                if event & select.EPOLLOUT:
                    self.write_control(episode)
                if event & ~select.EPOLLOUT and fd in self.by_fd:
                    self.on_control(episode)

    def serve(self) -> None:
        hello = {"abi": ABI, "tier": self.tier, "missing": self.missing}
        hello.update(python=sys.version.split()[0], kernel=os.uname().release, machine=MACHINE)
        self.send_json(0, "H", hello)
        while True:
            for fd, _ in self.main.poll(self.timeout()):
                if fd == self.host_read:
                    self.on_host()
                elif fd == self.inner.fileno():
                    self.on_inner()
                elif fd == self.fork_server.fileno():
                    self.on_fork_server()
                elif fd == self.wake:
                    self.reap()
                elif fd in self.helpers:
                    self.on_isolated(fd)
                elif fd == self.host_write:
                    self.flush()
            self.on_time()

    def reap(self) -> None:
        os.read(self.wake, 4096)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def proc_children(pid: int) -> list[str]:
    text = read_text("/proc/%d/task/%d/children" % (pid, pid))
    return [x for x in text.split() if "Z" != read_state(x)]


def read_state(pid: str) -> str:
    try:
        return read_text("/proc/%s/stat" % pid).rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def remove_user(uid: int, places: list[str]) -> None:
    """In a helper process: as that uid, kill all its processes and remove its files."""
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for place in places:
            for entry in os.scandir(place) if os.path.isdir(place) else ():
                if entry.stat(follow_symlinks=False).st_uid == uid:
                    remove(entry.path)
    finally:
        os._exit(0)


def remove_tree(root: str) -> None:
    """Remove a folder that an episode filled, however deep and whatever its modes: no recursion.

    A folder's folders are moved up to the root before it is removed, so the depth only shrinks.
    """
    moved = 0
    todo = [root]
    while todo:
        folder = todo[-1]
        try:
            os.chmod(folder, 0o700)
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            todo.pop()
            continue
        except OSError:
            return
        is_empty = True
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif folder == root:
                todo.append(entry.path)
                is_empty = False
            else:
                moved += 1
                os.chmod(entry.path, 0o700)
                name = "%s/.removed-%d-%d" % (root, os.getpid(), moved)
                os.rename(entry.path, name)
                todo.insert(1, name)
        if is_empty:
            os.rmdir(folder)
            todo.pop()


def remove(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            remove_tree(path)
        elif os.path.lexists(path):
            os.unlink(path)
    except OSError:
        pass  # `gc` finds what is left


def tree_is_over(root: str, size: int, count: int) -> bool:
    """Whether a folder holds more than `size` bytes or `count` entries."""
    todo = [root]
    while todo:
        try:
            for entry in os.scandir(todo.pop()):
                count -= 1
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    size -= entry.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            continue
        except PermissionError:
            continue
        except OSError:  # ENAMETOOLONG: nested beyond use
            return True
        if size < 0 or count < 0:
            return True
    return False


# --------------------------------------------------------------------------------------- start

BOOTSTRAP = """
import os, sys
if sys.path and sys.path[0] == "": del sys.path[0]
def take(size):
    data = b""
    while len(data) < size:
        chunk = os.read(%d, size - len(data))
        if not chunk: os._exit(2)
        data += chunk
    return data
source = take(int(take(10)))
names = {"__name__": "agentkd_guest", "__file__": "<agentkd guest>", "__source__": source}
exec(compile(source, "<agentkd guest>", "exec"), names)
eval("%s", names)
"""
"""What `python -c` runs: read this file from a descriptor, then call one of the two mains."""


def take_config(fd: int) -> Json:
    config: Json = json.loads(read_exactly(fd, int(read_exactly(fd, 10))))
    return config


def fork_server_main(control: int, source: int) -> None:
    config = take_config(source)
    os.close(source)
    serve_forks(socket.socket(fileno=control), config)


def supervisor_main(read_fd: int, write_fd: int) -> None:
    config = take_config(read_fd)
    host_read = fcntl.fcntl(read_fd, fcntl.F_DUPFD_CLOEXEC, 10)
    host_write = fcntl.fcntl(write_fd, fcntl.F_DUPFD_CLOEXEC, 10)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in {0, 1, read_fd, write_fd}:
        os.dup2(null, fd)
    if config["is_jailed"]:
        enter_jail(config)
    elif config["tier"] == "ns":
        enter_namespaces(os.geteuid(), os.getegid())
        try:
            mount("proc", "/proc", "proc", PROC_FLAGS)
        except OSError:
            pass  # masked in a container: /proc then shows the container's pids (see proc_pid)
    elif config["tier"] == "landlock" and os.geteuid() == 0:
        become(config["kernel_uid"])
    if config["tier"] != "ns":
        prctl(PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Supervisor(host_read, host_write, config, __source__).serve()


__source__: bytes
