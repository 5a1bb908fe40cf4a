"""Attacks on resources: processes, memory, disk, time, output."""

from agentkd_sandbox.conformance.attack import WITH_LINUX, Attack

RESOURCES = [
    Attack("fork-bomb", """
while True:
    try:
        os.fork()
    except OSError:
        pass
""", is_smoke=True),
    Attack("fork-bomb-sleeping", """
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
if made > 40:
    escaped("made", made, "processes")
made
"""),
    Attack("fork-bomb-new-sessions", """
for _ in range(200):
    try:
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
    except OSError:
        break
"""),
    Attack("vfork-exec-bomb", """
import subprocess
kept = []
for _ in range(100):
    try:
        kept.append(subprocess.Popen([sys.executable or "python3", "-c", "import time; time.sleep(60)"]))
    except (OSError, ValueError):
        break
if len(kept) > 40:
    escaped(len(kept))
"""),
    Attack("thread-bomb", """
made = 0
try:
    for _ in range(500):
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        made += 1
except RuntimeError:
    pass
if made > 40:
    escaped("made", made, "threads")
made
"""),
    Attack("daemon-double-fork", """
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(0.01)
        os._exit(0)
except OSError:
    pass
"""),
    Attack("zombies", """
for _ in range(60):
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError:
        break
"""),
    Attack("memory-bomb", "x = bytearray(3 << 30)", expect="limit memory", is_smoke=True),
    Attack("memory-bomb-growing", """
x = []
while True:
    x.append(bytearray(8 << 20))
""", expect="limit memory"),
    Attack("memory-bomb-list", "x = [0] * (1 << 40)", expect="limit memory"),
    Attack("memory-bomb-swallowed", """
x = []
while True:
    try:
        x.append(bytearray(1 << 20))
    except MemoryError:
        pass
""", expect="limit (memory|wall)"),
    Attack("memory-bomb-forked", """
for _ in range(6):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        try:
            x = mmap.mmap(-1, 150 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for i in range(0, 150 << 20, 4096):
                x[i] = 1
            time.sleep(20)
        finally:
            os._exit(0)
time.sleep(20)
""", expect="limit"),
    Attack("memory-shared-anonymous", """
kept = []
try:
    while True:
        m = mmap.mmap(-1, 32 << 20)
        for i in range(0, 32 << 20, 4096):
            m[i] = 1
        kept.append(m)
except (OSError, MemoryError, ValueError):
    pass
if len(kept) * 32 > 400:
    escaped(len(kept))
"""),
    Attack("memory-string-multiply", "len('x' * (10 ** 12))", expect="limit memory"),
    Attack("memory-bigint", "1 << (1 << 36)", expect="limit memory"),
    Attack("memory-recursion", """
import sys
sys.setrecursionlimit(10 ** 9)
def f(): return f()
f()
"""),
    Attack("memory-deep-repr", """
x = []
for _ in range(200000):
    x = [x]
x
"""),
    Attack("disk-one-file", """
with open("big", "wb") as f:
    while True:
        f.write(bytes(1 << 20))
""", expect="limit (disk|file_size)", is_smoke=True),
    Attack("disk-many-files", """
n = 0
while n < 500:
    with open(f"f{n}", "wb") as f:
        f.write(bytes(1 << 20))
    n += 1
escaped(n, "MiB")
""", expect="limit disk", tiers=("-ns", "-uid", "-bwrap", "-runsc")),
    Attack("disk-many-files-slowly", """
n = 0
while n < 500:
    with open(f"f{n}", "wb") as f:
        f.write(bytes(1 << 20))
    n += 1
    time.sleep(0.01)
escaped(n, "MiB")
""", expect="limit disk"),
    Attack("disk-inodes", """
n = 0
while True:
    os.mkdir(f"d{n}")
    n += 1
    if n > 20000:
        escaped(n); break
""", expect="limit disk", tiers=("-ns", "-uid", "-bwrap")),
    Attack("disk-inodes-slowly", """
n = 0
while True:
    os.mkdir(f"d{n}")
    n += 1
    if n % 20 == 0: time.sleep(0.005)
    if n > 20000:
        escaped(n); break
""", expect="limit disk", tiers=WITH_LINUX),
    Attack("disk-deleted-open", """
kept = []
while len(kept) < 30:
    kept.append(open("f", "wb", buffering=0)); kept[-1].write(bytes(1 << 20)); os.unlink("f"); time.sleep(0.01)
escaped(len(kept), "MiB in deleted files")
""", expect="limit disk"),
    Attack("disk-deleted-mapped", """
kept = []
while len(kept) < 30:
    with open("f", "w+b", buffering=0) as f:
        f.write(bytes(1 << 20)); kept.append(mmap.mmap(f.fileno(), 1 << 20))
    os.unlink("f"); time.sleep(0.01)
escaped(len(kept), "MiB in deleted mappings")
""", expect="limit disk"),
    Attack("disk-deleted-in-flight", """
a, b = socket.socketpair()
n = 0
while n < 30:
    with open("f", "wb", buffering=0) as f:
        f.write(bytes(1 << 20)); socket.send_fds(a, [b"x"], [f.fileno()])
    os.unlink("f"); n += 1; time.sleep(0.01)
escaped(n, "MiB in descriptors under way")
"""),
    Attack("disk-deleted-other-table", """
n = 0
def hold():
    global n
    kept = []
    while n < 30:
        kept.append(os.open(f"f{n}", os.O_RDWR | os.O_CREAT)); os.write(kept[-1], bytes(1 << 20)); os.unlink(f"f{n}")
        n += 1; time.sleep(0.01)
threading.Thread(target=hold).start()
while n < 30: time.sleep(0.01)
escaped(n, "MiB held by a thread")
""", expect="limit (disk|wall)"),
    Attack("disk-unreadable-folder", """
os.mkdir("d", 0o300)
n = 0
while n < 30:
    with open(f"d/f{n}", "wb") as f: f.write(bytes(1 << 20))
    n += 1; time.sleep(0.01)
escaped(n, "MiB in a folder that nobody may list")
""", expect="limit disk"),
    Attack("disk-dev-shm", """
n = 0
try:
    while n < 400:
        with open(f"/dev/shm/f{n}", "wb") as f:
            f.write(bytes(1 << 20))
        n += 1
except OSError:
    pass
if n > 100: escaped(n, "MiB in /dev/shm")
"""),
    Attack("disk-tmp", """
n = 0
try:
    while n < 400:
        with open(f"/tmp/f{n}", "wb") as f:
            f.write(bytes(1 << 20))
        n += 1
except OSError:
    pass
if n > 100: escaped(n, "MiB in /tmp")
"""),
    Attack("name-that-is-no-text", """
_libc.prctl(15, b"\\xff) R 1 \\xfe", 0, 0, 0)
for _ in range(6):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        try:
            x = mmap.mmap(-1, 150 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for i in range(0, 150 << 20, 4096): x[i] = 1
            time.sleep(20)
        finally:
            os._exit(0)
x = bytearray(100 << 20)
time.sleep(20)
""", expect="limit memory"),
    Attack("name-with-lines", """
_libc.prctl(15, b"x\\nThreads:\\t1", 0, 0, 0)
threading.Thread(target=time.sleep, args=(0.3,)).start()
""", second="1"),
    Attack("disk-sparse", """
with open("sparse", "wb") as f:
    f.truncate(1 << 40)
escaped("a file of 1 TiB")
""", expect="limit file_size"),
    Attack("disk-fallocate", """
fd = os.open("a", os.O_RDWR | os.O_CREAT)
os.posix_fallocate(fd, 0, 1 << 34)
escaped("allocated 16 GiB")
""", expect="limit"),
    Attack("disk-deep-folders", """
for n in range(3000):
    try:
        os.mkdir("d"); os.chdir("d")
    except OSError:
        break
"""),
    Attack("disk-unremovable", """
os.makedirs("a/b/c")
open("a/b/c/f", "w").write("x")
os.chmod("a/b/c", 0); os.chmod("a", 0)
"""),
    Attack("files-exhaust", """
kept = []
try:
    while len(kept) < 5000:
        kept.append(open("/dev/null"))
except OSError:
    pass
if len(kept) > 300: escaped(len(kept))
del kept
"""),
    Attack("pipes-exhaust", """
kept = []
try:
    while True:
        r, w = os.pipe()
        kept += [r, w]
        os.set_blocking(w, False)
        try:
            while True: os.write(w, bytes(65536))
        except BlockingIOError: pass
except OSError:
    pass
len(kept)
"""),
    Attack("socketpairs-exhaust", """
kept = []
try:
    while True:
        a, b = socket.socketpair()
        kept += [a, b]
        a.setblocking(False)
        try:
            while True: a.send(bytes(65536))
        except BlockingIOError: pass
except OSError:
    pass
len(kept)
"""),
    Attack("spin", "while True: pass", expect="limit wall", is_smoke=True, is_alive=True),
    Attack("spin-swallow-interrupt", """
while True:
    try:
        while True: pass
    except BaseException: pass
""", expect="limit wall", is_smoke=True),
    Attack("spin-ignore-sigint", """
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True: pass
""", expect="limit wall", is_alive=False),
    Attack("spin-block-signals", """
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
while True: pass
""", expect="limit wall", is_alive=False),
    Attack("spin-regex", "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')", expect="limit wall"),
    Attack("spin-bigint", "len(str(7 ** (10 ** 8)))", expect="(limit|error)"),
    Attack("spin-sum", "sum(range(10 ** 11))", expect="limit wall"),
    Attack("spin-in-forks", """
for _ in range(8):
    try:
        if os.fork() == 0:
            while True: pass
    except OSError: break
time.sleep(30)
""", expect="limit"),
    Attack("sleep", "time.sleep(600)", expect="limit wall", is_alive=True),
    Attack("block-on-pipe", "r, w = os.pipe(); os.read(r, 1)", expect="limit wall"),
    Attack("block-on-stdin", "input()", expect="error.*EOFError", is_alive=True),
    Attack("stop-self", "os.kill(os.getpid(), signal.SIGSTOP); time.sleep(30)", expect="(limit wall|error)"),
    Attack("deadlock", "a = threading.Lock(); a.acquire(); a.acquire()", expect="limit wall"),
    Attack("repr-never-ends", """
class A:
    def __repr__(self):
        while True: pass
A()
""", expect="limit wall"),
    Attack("atexit-and-finalisers", """
import atexit, weakref
class A:
    def __del__(self):
        while True: pass
a = A(); b = a; del a, b
""", expect="limit wall"),
    Attack("output-bomb", "while True: print('x' * 10000)", expect="limit (output|wall)", is_smoke=True),
    Attack("output-bomb-stderr", "while True: sys.stderr.write('x' * 10000)", expect="limit"),
    Attack("output-bomb-raw", """
data = bytes(1 << 20)
while True: os.write(1, data)
""", expect="limit output"),
    Attack("output-bomb-child", """
try:
    if os.fork() == 0:
        data = bytes(1 << 20)
        while True: os.write(2, data)
except OSError: pass
time.sleep(20)
""", expect="limit"),
    Attack("output-after-block", """
def flood():
    while True: os.write(1, bytes(4096))
threading.Thread(target=flood, daemon=True).start()
""", second="1"),
    Attack("value-300-MB", "'x' * 300_000_000", expect="(ok|limit memory)", is_smoke=True),
    Attack("value-huge-list", "list(range(3_000_000))"),
    Attack("traceback-huge", "raise ValueError('x' * 50_000_000)", expect="(error|limit)"),
    Attack("source-deeply-nested", "eval('(' * 5000 + ')' * 5000)", expect="(error|limit)"),
    Attack("rlimit-raise", """
import resource
for kind in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE,
             resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK):
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        continue
    escaped("raised limit", kind)
""", is_smoke=True),
    Attack("priority-raise", """
try:
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    escaped("raised priority")
except OSError: pass
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    escaped("real-time priority")
except OSError: pass
""", tiers=WITH_LINUX),
    Attack("mlock", """
if _libc.mlockall(3) == 0 and _libc.mlock(ctypes.create_string_buffer(1 << 20), 1 << 20) == 0:
    escaped("locked memory")
"""),
    Attack("timers-flood", """
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
end = time.monotonic() + 0.3
while time.monotonic() < end: pass
"""),
    Attack("inotify-flood", """
made = 0
while made < 10000:
    fd = _libc.inotify_init()
    if fd < 0: break
    made += 1
if made > 300: escaped(made)
"""),
    Attack("timers-exhaust", """
made, timer = 0, ctypes.create_string_buffer(8)
while made < 2000 and call(222, 1, 0, timer)[0] == 0: made += 1
if made > 300: escaped(made, "timers")
""", tiers=WITH_LINUX),
    Attack("threads-between-blocks", """
def spin():
    while True: pass
for _ in range(3): threading.Thread(target=spin).start()
""", second="sum(range(1000))"),
    Attack("parent-goes-on-after-the-answer", """
try:
    if os.fork() == 0: os._exit(0)
except OSError: pass
while True:
    try:
        time.sleep(60)
    except TimeoutError:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
""", expect="limit wall", is_alive=False),
]  # fmt: skip
