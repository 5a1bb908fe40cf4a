"""The interpreter's loop: take a request, run it, reply. This is the untrusted side.

User code shares this interpreter, and can do anything to it: whatever is said from here is a
claim by the episode, never a fact.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
from typing import Any

from agentkd_sandbox.guest.kernel import (
    BRANCH_FLAGS,
    CONTROL,
    Json,
    drop_capabilities,
    read_exactly,
)
from agentkd_sandbox.guest.seccomp import ARGUMENT_CHECKED, MACHINE, TABLE


def run_worker(channel: socket.socket, options: Json) -> None:
    """Serve the supervisor's requests for ever. User code shares this interpreter, and can do
    anything to it: whatever is said from here is a claim by the episode, never a fact.
    """
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
    state: Json = {"user": False, "frame": False, "late": "", "block": 0, "interrupted": False}
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
            state["interrupted"] = True
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
        if state["interrupted"]:
            return  # the supervisor repeats it, for a block that had not begun at the first
        if state["frame"]:
            state["late"] = message
        elif state["user"]:
            state["interrupted"] = True
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
                state["late"], state["interrupted"], state["user"] = "", False, True
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
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
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
        for fd, path, flags, position, is_deleted in request["files"]:
            flags &= ~(os.O_CREAT | os.O_TRUNC | os.O_EXCL)
            fresh = os.open(path, flags)
            if position:
                os.lseek(fresh, position, os.SEEK_SET)
            kept[fd] = fresh
            if is_deleted:
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
