"""`opencarrier` for shells of tests: one process loads the program once and forks for each command.

`python -m tests.documents.forking SOCKET` serves; `CLIENT` is what a shell finds as `opencarrier`.
What runs is the entry point with the caller's words, folder, environment and streams.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys
from contextlib import suppress

LOOK_S = 1.0
"""How often it is seen whether the reader is still there."""

CLIENT = """#!{python} -ISE
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({socket!r})
    said = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    streams = array.array("i", [0, 1, 2]).tobytes()
    line.sendmsg([len(said).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    line.sendall(said)
    sys.exit((line.recv(1) or b"\\x7f")[0])
"""


def serve(path: str) -> None:
    """Load the program and fork for each caller until whoever started this is gone."""
    import opencarrier.__main__
    import opencarrier.app.bootstrap
    import opencarrier.app.errands
    import opencarrier.chain.node  # noqa: F401

    reader = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(LOOK_S)
        print("ready", flush=True)
        while os.getppid() == reader:
            with suppress(TimeoutError):
                line, _ = listener.accept()
                with line:
                    if os.fork() == 0:
                        try:
                            _answer(line)
                        finally:
                            os._exit(0)


def _answer(line: socket.socket) -> None:
    """Run one command as its caller would have, and tell the caller how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    words, folder, environ, streams = _asked(line)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["opencarrier", *words]
    code = _run()
    with suppress(OSError):
        line.sendall(bytes([code]))


def _run() -> int:
    from opencarrier.__main__ import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return code


def _asked(line: socket.socket) -> tuple[list[str], str, dict[str, str], list[int]]:
    streams = array.array("i")
    head, extra, _, _ = line.recvmsg(4, socket.CMSG_SPACE(3 * streams.itemsize))
    streams.frombytes(extra[0][2])
    size, said = int.from_bytes(head, "big"), b""
    while len(said) < size:
        said += line.recv(size - len(said))
    words, folder, environ = json.loads(said)
    return words, folder, environ, list(streams)


if __name__ == "__main__":
    serve(sys.argv[1])
