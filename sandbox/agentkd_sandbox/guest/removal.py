"""Remove what an episode leaves where no namespace takes it away: processes of a uid, deep
trees.
"""

from __future__ import annotations

import os
import signal
import stat

from agentkd_sandbox.guest.kernel import read_text


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
    """Whether a folder holds more than `size` bytes or `count` entries, or hides what it holds."""
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
        except OSError:  # unreadable, or nested so deep that it cannot be named
            return True
        if size < 0 or count < 0:
            return True
    return False


def deleted_bytes(pid: int, root: str) -> int:
    """Bytes of deleted files below `root` that a process still holds, open or mapped."""
    held: dict[int, int] = {}
    for task in os.listdir("/proc/%d/task" % pid):
        folder = "/proc/%d/task/%s/fd" % (pid, task)
        try:
            for name in os.listdir(folder):
                status = os.stat(folder + "/" + name)
                if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                    held[status.st_ino] = status.st_blocks * 512
        except FileNotFoundError:
            continue
    mapped = 0
    for line in read_text("/proc/%d/maps" % pid).split("\n"):
        fields = line.split(None, 5)
        if line.endswith(" (deleted)") and fields[5].startswith(root):
            start, end = (int(x, 16) for x in fields[0].split("-"))
            mapped += end - start
    return sum(held.values()) + mapped
