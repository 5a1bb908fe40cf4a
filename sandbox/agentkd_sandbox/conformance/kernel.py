"""Attacks on the kernel interface (x86-64 numbers) and on privileges."""

from agentkd_sandbox.conformance.attack import Attack

KERNEL = [
    Attack("ptrace-attach", "refused(101, 16, os.getppid() or 1, 0, 0)", is_smoke=True),
    Attack("ptrace-traceme", "refused(101, 0, 0, 0, 0)"),
    Attack("process-vm", """
b = ctypes.create_string_buffer(64)
v = struct.pack("QQ", ctypes.addressof(b), 64)
for pid in (1, 2, 3, os.getppid()):
    refused(310, pid, v, 1, v, 1, 0); refused(311, pid, v, 1, v, 1, 0)
"""),
    Attack("pidfd-getfd", "refused(434, 1, 0); refused(438, 3, 0, 0); refused(312, 1, 1, 0, 0, 0)"),
    Attack("mount", """
refused(165, b"none", b"/tmp", b"tmpfs", 0, 0)
refused(165, b"/", b"/tmp", 0, 4096, 0)
refused(165, 0, b"/", 0, 32 | 4096, 0)
refused(165, b"proc", b"/proc", b"proc", 0, 0)
""", is_smoke=True),
    Attack("umount", "refused(166, b'/proc', 2); refused(166, b'/tmp', 2); refused(166, b'/', 2)"),
    Attack("new-mount-api", """
refused(430, b"proc", 0); refused(428, -100, b"/", 1); refused(429, -1, b"", -1, b"", 0)
refused(432, -1, 0, 0); refused(433, -100, b"/", 0); refused(442, -100, b"/", 0, 0, 0)
"""),
    Attack("pivot-chroot", "os.makedirs('r'); refused(155, b'r', b'r'); refused(161, b'r'); refused(161, b'/')"),
    Attack("unshare", """
for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000, 0x80,
             0x10000000 | 0x20000 | 0x40000000):
    refused(272, flag)
""", is_smoke=True),
    Attack("clone-namespaces", """
for flags in (0x10000000, 0x20000000, 0x20000, 0x40000000, 0x10000000 | 0x20000000 | 0x20000,
              0x10000000 | 0x40000000):
    for signal_number in (0, 17):
        for key in (0, 1, -1, 0x5EED0001, 0x5EED0002_5EED0001):
            result, code = call(56, flags | signal_number, 0, key, 0, 0)
            if result == 0: os._exit(0)
            if result > 0 or code != errno.EPERM: escaped("clone", hex(flags), result, code)
""", is_smoke=True),
    Attack("clone3", """
arguments = struct.pack("8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
result, code = call(435, arguments, len(arguments))
if result == 0: os._exit(0)
if result > 0 or code != errno.ENOSYS: escaped("clone3", result, code)
"""),
    Attack("setns", """
for path in ("/proc/self/ns/user", "/proc/1/ns/mnt", "/proc/self/ns/net"):
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError: fd = 3
    refused(308, fd, 0)
"""),
    Attack("keyring", "refused(250, 0, -3, 1); refused(248, b'user', b'a', b'b', 1, -3); refused(249, b'user', b'a', 0, -3)"),
    Attack("bpf", "refused(321, 0, ctypes.create_string_buffer(128), 128); refused(321, 5, ctypes.create_string_buffer(128), 128)"),
    Attack("perf-event", "refused(298, ctypes.create_string_buffer(struct.pack('II', 1, 120), 120), 0, -1, -1, 0)"),
    Attack("userfaultfd", "refused(323, 0); refused(323, 1)"),
    Attack("io-uring", "refused(425, 8, ctypes.create_string_buffer(120)); refused(426, 3, 1, 1, 0, 0); refused(427, 3, 0, 0, 0)",
           is_smoke=True),
    Attack("linux-aio", "refused(206, 8, ctypes.create_string_buffer(8)); refused(209, 0, 1, 0)"),
    Attack("modules", "refused(175, b'x', 1, b''); refused(313, 3, b'', 0); refused(176, b'x', 0)"),
    Attack("reboot-kexec", "refused(169, 0xfee1dead, 672274793, 0x1234567, 0); refused(246, 0, 0, 0, 0); refused(320, 3, 3, 0, b'', 0)"),
    Attack("swap-acct-quota", "refused(167, b'x', 0); refused(168, b'x'); refused(163, b'x'); refused(179, 0, b'', 0, 0)"),
    Attack("clock", "refused(227, 0, struct.pack('QQ', 1, 0)); refused(164, struct.pack('QQ', 1, 0), 0); refused(305, 0, ctypes.create_string_buffer(256))"),
    Attack("hostname", "refused(170, b'evil', 4); refused(171, b'evil', 4)"),
    Attack("iopl", "refused(172, 3); refused(173, 0, 1, 1)"),
    Attack("syslog", "refused(103, 3, ctypes.create_string_buffer(64), 64)"),
    Attack("file-handles", "refused(303, -100, b'/', ctypes.create_string_buffer(256), ctypes.create_string_buffer(8), 0); refused(304, -100, ctypes.create_string_buffer(256), 0)"),
    Attack("memfd", "refused(319, b'x', 0); refused(447, 0)"),
    Attack("sysv-ipc", "refused(29, 1, 4096, 0o1600); refused(64, 1, 1, 0o1600); refused(68, 1, 0o1600); refused(30, 0, 0, 0)"),
    Attack("posix-queue", "refused(240, b'/q', 0o102, 0o600, 0)"),
    Attack("personality-ldt", "refused(135, 0x0040000); refused(154, 1, ctypes.create_string_buffer(16), 16)"),
    Attack("vmsplice-numa", "refused(278, 1, 0, 0, 0); refused(256, 0, 0, 0, 0); refused(279, 0, 0, 0, 0, 0, 0); refused(237, 0, 0, 0, 0, 0, 0)"),
    Attack("inotify", "refused(253); refused(294, 0); refused(254, 3, b'/', 0xfff)"),
    Attack("lease", """
import fcntl
try:
    fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 1024, fcntl.F_RDLCK); escaped("a lease on a shared file")
except OSError: pass
"""),
    Attack("clone-odd-parents", """
for flags in (0x8000 | 17, 0x2000 | 17, 0x800000 | 17, 9, 19, 0x8000 | 9):
    if flags != 9 and call(56, flags, 0, 0, 0, 0)[0] == 0: os._exit(0)
try:
    if os.fork() == 0:
        if call(56, 9, 0, 0, 0, 0)[0] == 0: time.sleep(0.1)
        os._exit(0)
except OSError: pass
""", second="1"),
    Attack("fanotify", "refused(300, 0, 0); refused(301, 3, 0, 0, 0, b'/')"),
    Attack("own-filter", """
refused(317, 1, 0, 0)
refused(317, 0, 0, 0)
refused(444, 0, 0, 1); refused(446, 3, 0)
"""),
    Attack("unknown-syscalls", """
for number in range(463, 700):
    result, code = call(number, 0, 0, 0, 0, 0, 0)
    if code not in (errno.ENOSYS, errno.EPERM): escaped(number, result, code)
"""),
    Attack("x32-numbers", """
for number in (0x40000000 + 39, 0x40000000 + 101, 0x40000000 + 56, 0x40000000 + 521):
    result, code = call(number, 0, 0, 0, 0)
    if result >= 0 and number != 0: escaped("x32", hex(number), result)
""", is_smoke=True),
    Attack("int80", """
code = bytes([0x53, 0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0x5b, 0xc3])  # getpid by the 32-bit door
m = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
m.write(code)
f = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
if f() == os.getpid(): escaped("int 0x80 is the 32-bit door")
"""),
    Attack("pdeathsig-clear", "refused(157, 1, 0, 0, 0, 0)"),
    Attack("tiocsti", """
import fcntl, termios
for fd in (0, 1, 2):
    try:
        fcntl.ioctl(fd, 0x5412, b"x"); escaped("TIOCSTI")
    except OSError as error: pass
"""),
    Attack("setuid", """
for number in (0, 1, 65534, 20001):
    for f in (os.setuid, os.setgid):
        try:
            f(number)
        except OSError: continue
        if number != os.getuid() and number != os.getgid(): escaped("became", number)
try:
    os.setgroups([0]); escaped("setgroups")
except OSError: pass
""", is_smoke=True),
    Attack("setuid-program", """
import subprocess
for program in ("/bin/su", "/usr/bin/passwd", "/usr/bin/sudo", "/bin/mount", "/usr/bin/newuidmap"):
    try:
        answer = subprocess.run([program, "-c", "id"], capture_output=True, timeout=1, input=b"")
    except Exception: continue
    if b"uid=0" in answer.stdout: escaped(program)
"""),
    Attack("setuid-own-file", """
try:
    open("sh", "wb").write(b"#!/bin/true"); os.chown("sh", 0, 0); escaped("chown to root")
except OSError: pass
"""),
    Attack("capabilities", """
header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
data = ctypes.create_string_buffer(24)
_libc.capget(header, data)
if any(data.raw): escaped("capabilities", data.raw.hex())
full = ctypes.create_string_buffer(b"\\xff" * 24, 24)
if _libc.capset(header, full) == 0: escaped("capset")
for capability in range(41):
    result, _ = call(157, 47, 2, capability, 0, 0)
    if result == 0: escaped("ambient capability", capability)
""", is_smoke=True),
    Attack("no-new-privileges", """
if call(157, 39, 0, 0, 0, 0)[0] != 1: escaped("no_new_privs is off")
result, code = call(157, 38, 0, 0, 0, 0)
if result == 0: escaped("no_new_privs was switched off")
if call(157, 21, 0, 0, 0, 0)[0] != 2: escaped("no seccomp filter")
"""),
    Attack("user-namespace-maps", """
for name in ("uid_map", "gid_map", "setgroups"):
    try:
        os.write(os.open("/proc/self/" + name, os.O_WRONLY), b"0 0 1"); escaped("wrote", name)
    except OSError: pass
"""),
    Attack("oom-score", """
try:
    os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000"); escaped("oom_score_adj")
except OSError: pass
"""),
    Attack("core-limit", """
import resource
if resource.getrlimit(resource.RLIMIT_CORE) != (1, 1): escaped(resource.getrlimit(resource.RLIMIT_CORE))
for limit in ((0, 0), (0, 1)):
    try:
        resource.setrlimit(resource.RLIMIT_CORE, limit); escaped("a core program of the host would run")
    except (OSError, ValueError): pass
if call(160, 4, struct.pack("QQ", 0, 0))[0] == 0: escaped("setrlimit")
if call(302, 0, 4, struct.pack("QQ", 0, 0), 0)[0] == 0: escaped("prlimit64")
"""),
    Attack("core-dump", """
try:
    if os.fork() == 0: os.abort()
    os.wait()
except OSError: pass
if glob.glob("core*") or glob.glob("/tmp/core*"): escaped("a core file")
"""),
]  # fmt: skip
