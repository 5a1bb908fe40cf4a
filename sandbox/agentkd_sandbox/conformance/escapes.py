"""Attacks on the walls: host files, /proc, devices, network, neighbours."""

from agentkd_sandbox.conformance.attack import WITH_LINUX, Attack

ESCAPES = [
    Attack("host-canary", "unreadable('@CANARY@'); unwritable('@CANARY@')", is_smoke=True),
    Attack("host-secrets", """
unreadable("/etc/shadow", "/root/.ssh/id_rsa", "/root/.bash_history", "/etc/ssh/sshd_config",
           "/var/lib/docker/x", "/etc/sudoers")
for path in ("/root", "/home", "/var/lib", "/work", "/mnt", "/srv"):
    try:
        names = [x for x in os.listdir(path) if x != ".pyenv"]
    except OSError:
        continue
    if names: escaped(path, names)
""", is_smoke=True),
    Attack("environment", """
for name in os.environ:
    if any(word in name.upper() for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
        escaped(name)
"""),
    Attack("write-system", """
unwritable("/usr/x", "/bin/x", "/lib/x", "/etc/passwd", "/opt/x", "/x", "/dev/x", "/root/x",
           os.path.join(os.path.dirname(os.__file__), "x.py"), os.__file__, "/opt/agentkd/site/x.py")
"""),
    Attack("symlink-out", """
os.symlink("/etc/shadow", "s"); os.symlink("@CANARY@", "c"); os.symlink("/proc/1/root/etc/shadow", "p")
unreadable("s", "c", "p")
"""),
    Attack("hardlink-out", """
for path in ("/etc/passwd", "/usr/lib/os-release", os.__file__):
    try:
        os.link(path, "copy-of-it")
    except OSError:
        continue
    escaped("hard link to", path)
"""),
    Attack("dot-dot", "unreadable('../' * 30 + 'etc/shadow', '../' * 30 + '@CANARY@'.lstrip('/'))"),
    Attack("inherited-descriptors", """
for fd in range(4, 1024):
    try:
        status = os.fstat(fd)
    except OSError:
        continue
    escaped("descriptor", fd, status)
""", is_smoke=True),
    Attack("fd-to-parent-folder", """
for fd in range(0, 4):
    try:
        os.open("..", os.O_RDONLY, dir_fd=fd)
    except OSError:
        continue
    escaped("directory behind descriptor", fd)
"""),
    Attack("proc-other-processes", """
for name in os.listdir("/proc") if os.path.isdir("/proc") and os.access("/proc", os.R_OK) else ():
    if name.isdigit() and int(name) != os.getpid():
        try:
            escaped("environment of", name, open(f"/proc/{name}/environ", "rb").read(40))
        except OSError: pass
        try:
            open(f"/proc/{name}/mem", "rb"); escaped("memory of", name)
        except OSError: pass
        try:
            os.listdir(f"/proc/{name}/fd"); escaped("descriptors of", name)
        except OSError: pass
""", tiers=WITH_LINUX),
    Attack("proc-descriptors-of-others", """
import stat
for path in glob.glob("/proc/[0-9]*/fd/*") + glob.glob("/proc/[0-9]*/task/*/fd/*"):
    if int(path.split("/")[2]) == os.getpid(): continue
    for flags in (os.O_RDONLY, os.O_WRONLY):
        try:
            fd = os.open(path, flags | os.O_NONBLOCK)
        except OSError: continue
        status = os.fstat(fd)
        is_namespace = flags == os.O_RDONLY and not status.st_size  # a name; setns() is refused
        if not (os.path.samestat(status, os.stat("/dev/null")) or is_namespace) or stat.S_ISFIFO(status.st_mode):
            escaped("opened", path)
        os.close(fd)
"""),
    Attack("proc-root", """
for path in ("/proc/1/root/etc/shadow", "/proc/1/cwd/etc/shadow", "/proc/2/root/etc/shadow",
             "/proc/@HOST_PID@/environ", "/proc/@HOST_PID@/root/etc/shadow"):
    unreadable(path)
"""),
    Attack("proc-write", """
unwritable("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
           "/proc/sys/vm/drop_caches", "/proc/1/oom_score_adj", "/proc/sys/kernel/modprobe")
"""),
    Attack("proc-kernel-memory", """
for path in ("/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/timer_list", "/proc/kallsyms",
             "/dev/mem", "/dev/kmem", "/dev/port"):
    try:
        data = open(path, "rb").read(4096)
    except OSError: continue
    if data.strip(b"0")[:2].strip() and not data.startswith(b"0" * 16): escaped("read", path, data[:64])
"""),
    Attack("proc-self-mem", """
try:
    with open("/proc/self/mem", "r+b", buffering=0) as f:
        f.seek(id(os)); f.write(b"x")
except OSError: pass
"""),
    Attack("cgroup-release-agent", """
for path in glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True) + glob.glob("/sys/fs/cgroup/*/*"):
    unwritable(path)
for path in ("/sys/fs/cgroup/x", "/sys/fs/cgroup/memory/x", "/tmp/cg"):
    if call(165, b"cgroup", path.encode(), b"cgroup", 0, b"memory")[0] == 0: escaped("mounted cgroup")
"""),
    Attack("sys-files", """
unwritable("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/module/x")
"""),
    Attack("docker-socket", """
unconnectable(socket.AF_UNIX, socket.SOCK_STREAM, "/var/run/docker.sock")
unconnectable(socket.AF_UNIX, socket.SOCK_STREAM, "/run/docker.sock")
unconnectable(socket.AF_UNIX, socket.SOCK_STREAM, "/run/containerd/containerd.sock")
"""),
    Attack("devices", """
for name in ("sda", "vda", "nvme0n1", "mem", "kmsg", "kvm", "loop-control",
             "vhost-net", "input/event0", "dri/card0", "nvidia0", "tty1", "console", "vsock"):
    try:
        os.open("/dev/" + name, os.O_RDWR)
    except OSError: continue
    escaped("/dev/" + name)
"""),
    Attack("devices-tunnel", """
import fcntl
try:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001)); escaped("a tunnel")
except OSError: pass
try:
    os.open("/dev/fuse", os.O_RDWR)
    refused(165, b"x", b"/tmp", b"fuse", 0, b"fd=4,rootmode=40000,user_id=0,group_id=0")
except OSError: pass
"""),
    Attack("devices-pty", """
try:
    os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
except OSError: pass
else:
    if not os.path.samefile("/dev/ptmx", "/dev/null"): escaped("a terminal")
""", tiers=("-ns", "-bwrap", "-landlock")),
    Attack("mknod-device", """
import stat
for number in ((8, 0), (1, 1), (254, 0)):
    try:
        os.mknod("dev", 0o600 | stat.S_IFBLK, os.makedev(*number)); escaped("made a device")
    except OSError: pass
""", is_smoke=True),
    Attack("net-loopback", "unconnectable(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', @PORT@))",
           is_smoke=True),
    Attack("net-metadata", "unconnectable(socket.AF_INET, socket.SOCK_STREAM, ('169.254.169.254', 80))",
           is_smoke=True),
    Attack("net-gateway", """
for host in ("172.17.0.1", "10.0.0.1", "192.168.0.1", "8.8.8.8"):
    unconnectable(socket.AF_INET, socket.SOCK_STREAM, (host, 53))
"""),
    Attack("net-dns", """
try:
    escaped(socket.getaddrinfo("example.com", 80))
except OSError: pass
"""),
    Attack("net-udp", """
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("127.0.0.1", @PORT@))
    escaped("sent a datagram")
except OSError: pass
"""),
    Attack("net-ipv6", "unconnectable(socket.AF_INET6, socket.SOCK_STREAM, ('::1', @PORT@))"),
    Attack("net-listen", """
try:
    s = socket.socket(); s.bind(("0.0.0.0", 0)); s.listen(); escaped("listens")
except OSError: pass
"""),
    Attack("net-families", """
for family in (16, 17, 38, 40, 31, 29, 15, 21, 30, 44, 10, 2, 1):
    for kind in (1, 2, 3, 5):
        result, _ = call(41, family, kind, 0)
        if result >= 0: escaped("socket family", family, kind)
""", is_smoke=True),
    Attack("net-vsock", """
result, _ = call(41, 40, 1, 0)
if result >= 0: escaped("a vsock socket")
"""),
    Attack("net-abstract-socket", """
unconnectable(socket.AF_UNIX, socket.SOCK_STREAM, "\\0@ABSTRACT@")
""", is_smoke=True),
    Attack("net-socketpair-connect", """
a, b = socket.socketpair()
for target in ("\\0@ABSTRACT@", "/var/run/docker.sock"):
    try:
        a.connect(target); escaped("reconnected a socketpair")
    except OSError: pass
    try:
        a.bind("\\0mine"); escaped("bound a socketpair")
    except OSError: pass
"""),
    Attack("net-datagram-pair", """
for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC):
    try:
        a, b = socket.socketpair(socket.AF_UNIX, kind); escaped("a datagram pair")
    except OSError: continue
    for target in ("\\0@ABSTRACT@", "/run/systemd/journal/socket", "/dev/log"):
        try:
            a.sendto(b"x", target); escaped("sent to", target)
        except OSError: pass
        try:
            a.sendmsg([b"x"], [], 0, target); escaped("sent to", target)
        except OSError: pass
""", is_smoke=True),
    Attack("net-interfaces", """
try:
    names = [x for x in os.listdir("/sys/class/net") if x != "lo"]
    if names: escaped(names)
except OSError: pass
"""),
    Attack("kill-everyone", """
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT):
    try:
        os.kill(-1, number)
    except OSError: pass
""", is_smoke=True),
    Attack("kill-parent", """
for pid in (os.getppid(), 1, 2, 3, 4, 5, 6, 7, 8, @HOST_PID@):
    if pid not in (0, os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError: pass
"""),
    Attack("kill-groups", """
for group in range(1, 40):
    if group != os.getpgid(0):
        try:
            os.killpg(group, signal.SIGSTOP)
        except OSError: pass
"""),
    Attack("kill-by-thread-id", """
for pid in range(1, 60):
    if pid != os.getpid():
        call(200, pid, 9); call(234, pid, pid, 9); call(129, pid, 9, ctypes.create_string_buffer(128))
"""),
    Attack("neighbour-files", """
for path in ("/tmp", "/box", "/dev/shm", "/var/tmp", "/run", "/run/user", "/dev/mqueue"):
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                data = open(os.path.join(folder, name), "rb").read(1000)
            except OSError: continue
            if b"@SECRET_MARK@" in data: escaped(folder, name)
""", is_smoke=True),
    Attack("neighbour-memory-scan", """
import re
pattern = re.compile(rb"@SECRET_MARK@-[0-9]{6}")
try:
    maps = open("/proc/self/maps").read().splitlines()
except OSError:
    maps = []
for line in maps:
    span, flags = line.split()[:2]
    if flags.startswith("rw") and "[v" not in line:
        start, end = (int(x, 16) for x in span.split("-"))
        found = pattern.findall(ctypes.string_at(start, min(end - start, 64 << 20)))
        if found: escaped("another session's data in memory", found)
"""),
    Attack("neighbour-shared-memory", """
from multiprocessing import shared_memory
for name in ("victim", "psm_victim"):
    try:
        escaped(bytes(shared_memory.SharedMemory(name).buf[:8]))
    except Exception: pass
"""),
    Attack("leave-for-next", """
for path in ("/tmp/left", "/box/left", "/dev/shm/left", "/dev/mqueue/left", "/var/tmp/left", "/run/left", os.path.join(os.getcwd(), "left")):
    try:
        open(path, "w").write("left behind")
    except OSError: pass
"""),
    Attack("found-from-previous", """
for path in ("/tmp/left", "/box/left", "/dev/shm/left", "/dev/mqueue/left", "/var/tmp/left", "/run/left", os.path.join(os.getcwd(), "left")):
    unreadable(path)
""", is_smoke=True),
    Attack("write-everywhere", """
own = (os.getcwd(), "/tmp", "/box", "/dev/shm", "/proc")
end = time.monotonic() + 0.5
for folder, folders, _ in os.walk("/"):
    folders[:] = [x for x in folders if folder.count("/") < 4]
    if folder.startswith(own): continue
    try:
        os.close(os.open(os.path.join(folder, "left"), os.O_CREAT | os.O_RDWR)); escaped("wrote in", folder)
    except OSError: pass
    if time.monotonic() > end: break
"""),
    Attack("modes-of-host-files", """
for path in ("@CANARY@", os.path.dirname("@CANARY@"), os.__file__, os.path.dirname(os.__file__), "/usr/bin", "/"):
    for change in (lambda: os.chmod(path, 0o777), lambda: os.chown(path, os.getuid(), os.getgid()),
                   lambda: os.utime(path), lambda: os.utime(path, (1, 1), follow_symlinks=False),
                   lambda: os.setxattr(path, "user.mine", b"1"), lambda: os.removexattr(path, "user.mine"),
                   lambda: os.truncate(path, 0), lambda: os.rename(path, "here"), lambda: os.chmod(os.open(path, 0), 0)):
        try:
            change()
        except OSError: continue
        escaped("changed", path)
    if call(452, -100, path.encode(), 0o777, 0)[0] == 0: escaped("changed the mode of", path)
""", tiers=WITH_LINUX),
    Attack("limits-of-others", """
import resource
for pid in [@HOST_PID@, os.getppid(), *range(1, 400)]:
    if pid in (0, os.getpid()): continue
    for kind in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
        if call(302, pid, kind, struct.pack("QQ", 1, 1), 0)[0] == 0: escaped("limited", pid)
""", is_smoke=True),
    Attack("scheduling-of-others", """
for pid in [@HOST_PID@, os.getppid(), *range(1, 400)]:
    if pid in (0, os.getpid()): continue
    for change in (lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), lambda: os.setpriority(os.PRIO_PGRP, pid, 19),
                   lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
                   lambda: os.sched_setaffinity(pid, {0})):
        try:
            change()
        except OSError: continue
        escaped("rescheduled", pid)
    if call(251, 1, pid, 3 << 13)[0] == 0: escaped("slowed the files of", pid)
try:
    os.setpriority(os.PRIO_USER, 0, 19)  # the runner looks at the host's process
except OSError: pass
call(251, 3, os.getuid(), 3 << 13)
""", tiers=WITH_LINUX),
    Attack("signal-by-owner", """
import fcntl
for pid in [@HOST_PID@, os.getppid(), *range(1, 60)]:
    if pid == os.getpid(): continue
    for a, b in (os.pipe(), [x.detach() for x in socket.socketpair()]):
        for ask in (lambda: fcntl.fcntl(a, 10, signal.SIGKILL), lambda: fcntl.fcntl(a, fcntl.F_SETOWN, pid),
                    lambda: fcntl.fcntl(a, 15, struct.pack("ii", 1, pid)),
                    lambda: fcntl.ioctl(a, 0x8901, struct.pack("i", pid)),
                    lambda: fcntl.ioctl(a, 0x8902, struct.pack("i", pid)),
                    lambda: fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK), lambda: os.write(b, b"x")):
            try:
                ask()
            except OSError: pass
        os.close(a); os.close(b)
"""),
    Attack("pickle-and-import-poison", """
import tempfile
for folder in [p for p in sys.path if p]:
    unwritable(os.path.join(folder, "sitecustomize.py"), os.path.join(folder, "agentkd_evil.pth"))
sys.modules["json"] = None
sys.path.insert(0, "/tmp")
"""),
]  # fmt: skip
