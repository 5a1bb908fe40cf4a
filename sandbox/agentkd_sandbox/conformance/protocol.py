"""Attacks on the protocol, on the interpreter that reports, and on whoever believes its results."""

from agentkd_sandbox.conformance.attack import Attack

FRAME = """
def frame(kind, body):
    return struct.pack(">IB", len(body), ord(kind)) + body
"""
FIND_ID = """
import gc
def find_id():
    for o in gc.get_objects():
        if isinstance(o, dict) and o.get("op") == "run" and "id" in o: return o["id"]
"""
FORGE = (
    FRAME
    + FIND_ID
    + """
def forge(body):
    os.write(3, frame("R", (body.encode() if isinstance(body, str) else body) % find_id())); time.sleep(1)
"""
)

PROTOCOL = [
    Attack("exit-now", "os._exit(0)", expect="exit", is_alive=False, is_smoke=True),
    Attack("sys-exit", "sys.exit(0)", expect="exit", is_alive=True),
    Attack("segfault", "ctypes.string_at(0)", expect="crash", is_alive=False, is_smoke=True),
    Attack("abort", "os.abort()", expect="crash", is_alive=False),
    Attack("kill-self", "os.kill(os.getpid(), signal.SIGKILL); time.sleep(0.1)"),
    Attack("close-control", "os.close(3); time.sleep(10)", is_alive=False),
    Attack("close-everything", "os.closerange(0, 1024); time.sleep(10)", is_alive=False),
    Attack("exec-away", """
os.execv(sys.executable if sys.executable else "/usr/bin/env", ["python3", "-c", "import time; time.sleep(60)"])
"""),
    Attack("frame-garbage", "os.write(3, b'\\xff' * 100); time.sleep(1)", expect="violation", is_smoke=True),
    Attack("frame-huge-length", "os.write(3, struct.pack('>IB', 0xffffffff, ord('R'))); time.sleep(1)",
           expect="violation"),
    Attack("frame-unknown-kind", FRAME + "os.write(3, frame('X', b'{}')); time.sleep(1)", expect="violation"),
    Attack("frame-host-header", """
os.write(3, struct.pack(">IIB", 2, 1, ord("X")) + b"{}"); time.sleep(1)
""", expect="violation", is_smoke=True),
    Attack("frame-early-result", FRAME + """
os.write(3, frame("R", json.dumps({"id": 1, "ok": True, "value": "'forged'"}).encode())); time.sleep(1)
""", expect="violation"),
    Attack("frame-forged-result-twice", FRAME + """
import gc
for o in gc.get_objects():
    if isinstance(o, dict) and o.get("op") == "run" and "id" in o:
        body = json.dumps({"id": o["id"], "ok": True, "value": "'forged'"}).encode()
        os.write(3, frame("R", body) * 2)
        break
time.sleep(0.3)
"""),
    Attack("frame-partial", "os.write(3, b'\\0\\0'); time.sleep(30)", expect="violation"),
    Attack("frame-not-json", FRAME + "os.write(3, frame('R', b'{nope')); time.sleep(1)", expect="violation"),
    Attack("frame-deep-json", FRAME + "os.write(3, frame('R', b'[' * 200000)); time.sleep(1)", expect="violation"),
    Attack("frame-not-an-object", FRAME + "os.write(3, frame('R', b'[1]')); time.sleep(1)", expect="violation"),
    Attack("frame-invalid-utf8", FRAME + "os.write(3, frame('R', b'\"\\xff\\xfe\"')); time.sleep(1)", expect="violation"),
    Attack("frame-half-surrogate", FORGE + "forge('{\"id\": %d, \"ok\": true, \"value\": \"\\\\ud800\"}')",
           expect="violation"),
    Attack("frame-raw-surrogate", FORGE + "forge(b'{\"id\": %d, \"ok\": true, \"value\": \"\\xed\\xa0\\x80\"}')",
           expect="violation"),
    Attack("frame-infinite", FORGE + "forge('{\"id\": %d, \"ok\": true, \"value\": 1e999}')", expect="violation"),
    Attack("frame-nested", FORGE + "forge('{\"id\": %d, \"ok\": true, \"value\": ' + '[' * 500 + ']' * 500 + '}')",
           expect="violation"),
    Attack("frame-lying-types", FORGE + """
forge('{"id": %d, "ok": [], "value": {"a": 1}, "value_length": "x", "error": 5, "message": [1], "traceback": null,'
      ' "limit": {"wall": 1}, "exit": [[]], "order": [[1, -5], [[], 1], {"a": 2}, [2, 1e300], [true, true]]}')
"""),
    Attack("control-over-stdout", "os.dup2(3, 1); print('x' * 5000, flush=True); time.sleep(1)", expect="violation"),
    Attack("stdout-over-control", "os.dup2(1, 3); time.sleep(1)", expect="crash", is_alive=False),
    Attack("control-to-a-child", """
try:
    if os.fork() == 0:
        while True: os.read(3, 1)
except OSError: pass
os._exit(0)
"""),
    Attack("fork-returns-twice", "os.fork()", second="1"),
    Attack("child-answers-first", FRAME + FIND_ID + """
try:
    if os.fork() == 0:
        os.write(3, frame("R", json.dumps({"id": find_id(), "ok": True, "value": "0"}).encode())); os._exit(0)
except OSError: pass
while True: pass
""", second="1"),
    Attack("wakeup-into-control", """
signal.signal(signal.SIGALRM, lambda *_: None)
signal.set_wakeup_fd(os.dup(3), warn_on_full_buffer=False)
""", second="signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.3)"),
    Attack("worker-frames", """
frame = sys._getframe()
while frame is not None:
    for name in list(frame.f_locals):
        value = frame.f_locals[name]
        if name == "state" and isinstance(value, dict): value.update(frame=True, user=False, late="")
        if name in ("request", "result") and isinstance(value, dict): value.clear()
    frame = frame.f_back
while True: pass
""", expect="limit wall", is_alive=False),
    Attack("worker-audited", """
def hook(*_): raise SystemError("no")
threading.settrace(lambda *_: None)
sys.addaudithook(hook)
""", second="1"),
    Attack("frame-max-size", FRAME + """
os.write(3, struct.pack(">IB", 1 << 20, ord("R")))
for _ in range(1 << 10): os.write(3, b" " * 1024)
time.sleep(1)
""", expect="violation"),
    Attack("frame-to-every-descriptor", FRAME + """
for fd in range(0, 128):
    try: os.write(fd, frame("X", b'{"why": "exit"}'))
    except OSError: pass
time.sleep(1)
""", expect="violation"),
    Attack("frame-when-idle", """
def later():
    time.sleep(0.2)
    os.write(3, struct.pack(">IB", 2, ord("R")) + b"{}")
threading.Thread(target=later, daemon=True).start()
""", second="time.sleep(0.5)"),
    Attack("read-others-requests", """
s = socket.socket(fileno=os.dup(3)); s.setblocking(False)
try:
    data = s.recv(65536)
    if data: escaped("read ahead", data[:50])
except OSError: pass
"""),
    Attack("descriptor-smuggling", """
import array
s = socket.socket(fileno=os.dup(3))
try:
    fds = array.array("i", [0, 1, 2])
    s.sendmsg([b"\\xff" * 9], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
except OSError: pass
time.sleep(1)
""", expect="violation"),
    Attack("branch-unasked", FRAME + "os.write(3, b'B'); time.sleep(0.1); os.write(3, b'B' * 20); time.sleep(1)",
           expect="violation"),
    Attack("tool-flood", """
refusals = 0
for _ in range(400):
    try: ping()
    except RuntimeError: refusals += 1
refusals
"""),
    Attack("tool-unknown", FRAME + """
os.write(3, frame("C", json.dumps({"name": "__import__", "args": ["os"], "kwargs": {}}).encode()))
data = os.read(3, 4096)
if b"error" not in data: escaped(data)
"""),
    Attack("tool-attribute", FRAME + """
for name in ("ping.__globals__", "__class__", "ping", ""):
    os.write(3, frame("C", json.dumps({"name": name, "args": 5, "kwargs": []}).encode()))
    data = os.read(3, 4096)
    if b"error" not in data: escaped(data)
""", is_smoke=True),
    Attack("tool-huge-argument", FRAME + """
os.write(3, struct.pack(">IB", 1000000, ord("C")))
for _ in range(1000): os.write(3, b"9" * 1000)
data = os.read(3, 4096)
if b"error" not in data: escaped(data)
"""),
    Attack("tool-no-wait", FRAME + """
body = json.dumps({"name": "ping", "args": [], "kwargs": {}}).encode()
os.write(3, frame("C", body) * 20); time.sleep(1)
""", expect="violation"),
    Attack("tool-bad-numbers", FRAME + """
for body in (b'{"name":"ping","args":[NaN],"kwargs":{}}', b'{"name":"ping","args":[1e999],"kwargs":{}}',
             b'{"name":"ping","args":[' + b'9' * 100000 + b'],"kwargs":{}}', b'', b'null', b'[' * 100000):
    os.write(3, frame("C", body)); data = os.read(3, 65536)
    if b"error" not in data: escaped(body[:40], data[:100])
"""),
    Attack("tool-what-no-file-holds", FRAME + """
for value in (b'1e999', b'-1e999', b'NaN', b'Infinity', b'"\\\\ud800"', b'"\\\\udc00\\\\ud800"', b'"\\xed\\xa0\\x80"',
              b'{"\\\\udfff": 1}', b'[' * 500 + b']' * 500, b'{"a":' * 200 + b'1' + b'}' * 200, b'9' * 5000,
              b'"' + b'\\xff' + b'"'):
    os.write(3, frame("C", b'{"name": "final_answer", "args": [' + value + b'], "kwargs": {}}'))
    data = os.read(3, 65536)
    if b"error" not in data: escaped("taken as an answer:", value[:40])
"""),
    Attack("answers-that-lie", """
class D(dict):
    def items(self): return [("a", self)]
class I(int):
    def __repr__(self): return "not a number"
class F(float):
    def __repr__(self): return "nan"
class L:
    __class__ = list
    def __iter__(self): return iter(int, 1)
    def tolist(self): return self
for value in (D(a=1), I(3), F(2.5), L(), {I(1): 2}, [D()], type("int", (), {})()):
    try: ping(value)
    except (TypeError, ValueError, RuntimeError): pass
L()
"""),
    Attack("evil-repr", """
class A:
    def __repr__(self): raise SystemExit("from repr")
A()
"""),
    Attack("evil-str-subclass", """
class S(str):
    def __getitem__(self, i): raise KeyboardInterrupt
    def __len__(self): return -1
    def encode(self, *a): return "not bytes"
class A:
    def __repr__(self): return S("x")
A()
"""),
    Attack("evil-exception", """
class E(BaseException):
    def __str__(self): raise self
    __repr__ = __str__
    def __getattribute__(self, name): raise self
raise E
"""),
    Attack("evil-exception-cycle", """
a = ValueError(1); b = ValueError(2); a.__cause__ = b; b.__cause__ = a; a.__context__ = a
raise a
"""),
    Attack("evil-exception-name", "raise type('x' * 10**6, (Exception,), {})('y' * 10**6)"),
    Attack("evil-hooks", """
import builtins
def trace(*a): return trace
sys.settrace(trace); sys.setprofile(trace)
sys.excepthook = sys.unraisablehook = sys.displayhook = None
builtins.print = builtins.repr = builtins.len = builtins.isinstance = builtins.str = None
json.dumps = json.loads = None
"""),
    Attack("evil-streams", "sys.stdout = sys.stderr = None; sys.__stdout__ = None", second="1"),
    Attack("evil-closed-streams", "sys.stdout.close(); sys.stderr.close()"),
    Attack("evil-gc", """
import gc
gc.disable()
for o in gc.get_objects()[:20000]:
    if isinstance(o, list): 
        try: o.clear()
        except Exception: pass
"""),
    Attack("surrogates", "print('\\ud800' * 10); '\\udfff'"),
    Attack("invalid-utf8", "os.write(1, bytes(range(256)) * 10)", expect="ok"),
    Attack("terminal-escapes", "print('\\x1b]0;x\\x07\\x1b[2J' * 10)", expect="ok"),
    Attack("docker-header-in-output", "os.write(1, struct.pack('>BxxxL', 1, 9) + struct.pack('>IIB', 0, 1, 88))",
           expect="ok"),
    Attack("source-null-bytes", "eval('1\\0+1')"),
    Attack("source-coding", "exec(b'# coding: evil\\n1')"),
    Attack("reward-forge-value", """
import gc
for o in gc.get_objects():
    if isinstance(o, dict) and o.get("op") == "run": o["id"] = 0
""", second="1"),
    Attack("reward-answer-first-counts", """
try: final_answer(1)
except BaseException: pass
final_answer(2)
"""),
    Attack("reward-fake-facts", FRAME + """
import gc
for o in gc.get_objects():
    if isinstance(o, dict) and o.get("op") == "run" and "id" in o:
        body = {"id": o["id"], "ok": True, "value": "1", "cpu": 0, "wall": 0, "out": "ALL TESTS PASSED",
                "tool_calls": [{"name": "ping"}], "answer": {"value": 42}, "tier": "none"}
        os.write(3, frame("R", json.dumps(body).encode())); time.sleep(0.3)
        break
"""),
]  # fmt: skip
