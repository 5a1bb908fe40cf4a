"""The system calls an episode may make, as a hand-assembled cBPF program.

Everything known and not denied is allowed, everything newer than the table answers ENOSYS, other
architectures' numbers end the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from agentkd_sandbox.guest.kernel import (
    ANY_NEW,
    BRANCH_FLAGS,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    PR_SET_SECCOMP,
    check,
    libc,
)

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
    "inotify_init": (253, -1), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
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
# would outlive the session, and may signal, slow down and limit only itself.
DENIED_WITHOUT_NAMESPACES = {
    "fork": (57, -1), "vfork": (58, -1), "kill": (62, 129), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "setpriority": (141, 140), "ioprio_set": (251, 30),
    # what Landlock does not restrict: the modes, owners and times of any file of the same user
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    # descriptors in flight hold deleted files that no watch sees
    "sendmsg": (46, 211), "sendmmsg": (307, 269),
}  # fmt: skip
ARGUMENT_CHECKED = {
    "clone": (56, 220), "clone3": (435, 435), "socket": (41, 198), "ioctl": (16, 29),
    "prctl": (157, 167), "tgkill": (234, 131), "socketpair": (53, 199), "fcntl": (72, 25),
    "prlimit64": (302, 261), "setrlimit": (160, 164), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}  # fmt: skip
TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE = 8, 10, 15, 1024
RLIMIT_CORE = 4
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

        def decide(name: str, at: int, values: tuple[int, ...], then: int, otherwise: int) -> None:
            add(equal, number(ARGUMENT_CHECKED, name), 0, len(values) + 3)
            add(load, at)
            for index, value in enumerate(values):
                add(equal, value, len(values) - index, 0)
            add(ret, otherwise)
            add(ret, then)

        def refuse(name: str, at: int, *values: int) -> None:
            decide(name, at, values, eperm, allow)

        def allow_only(name: str, at: int, *values: int) -> None:
            decide(name, at, values, allow, eperm)

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
            allow_only("tgkill", arg0_at, PID_MARK)
            for name in ("param", "scheduler", "affinity", "attr"):
                allow_only("sched_set" + name, arg0_at, 0)
            refuse("fcntl", arg1_at, F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE)
        add(equal, number(ARGUMENT_CHECKED, "socket"), 0, 1)
        add(ret, 0x50000 | errno.EAFNOSUPPORT)
        add(equal, number(ARGUMENT_CHECKED, "socketpair"), 0, 4)
        add(load, arg1_at)
        add(any_bit, 2, 0, 1)  # SOCK_DGRAM, SOCK_RAW: sendmsg() could address any other socket
        add(ret, eperm)
        add(ret, allow)
        has_namespaces = tier != "landlock"
        owners = () if has_namespaces else (FIOSETOWN, SIOCSPGRP)
        refuse("ioctl", arg1_at, TIOCSTI, TIOCLINUX, *owners)
        dumpable = () if has_namespaces else (PR_SET_DUMPABLE,)
        refuse("prctl", arg0_at, PR_SET_PDEATHSIG, *dumpable)
        refuse("setrlimit", arg0_at, RLIMIT_CORE)
        add(equal, number(ARGUMENT_CHECKED, "prlimit64"), 0, 8 if has_namespaces else 11)
        if not has_namespaces:
            add(load, arg0_at)
            add(equal, 0, 1, 0)  # another process of the same user
            add(ret, eperm)
        add(load, arg1_at)
        add(equal, RLIMIT_CORE, 0, 4)
        for word in (arg2_at, arg2_at + 4):  # no new limit: it only asks
            add(load, word)
            add(equal, 0, 0, 3 if word == arg2_at else 1)
        add(ret, allow)
        add(ret, eperm)
        add(ret, allow)
