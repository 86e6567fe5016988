"""A child for the process tests: answers each frame with itself, and dies or hangs when asked to."""

import os
import sys
import time

from penstock.process import FrameSocket


def main() -> None:
    sock = FrameSocket.from_argument(sys.argv[1])
    setup = sock.receive()
    if setup == b"refuse":
        sys.stderr.write("this machine has no flux capacitor\n")
        sys.exit(3)
    sock.send(b"ready:" + (setup or b""))
    while True:
        try:
            frame = sock.receive()
        except EOFError:
            return
        if frame == b"die":
            os._exit(9)
        if frame == b"hang":
            time.sleep(3600)
        sock.send(frame or b"")


if __name__ == "__main__":
    main()
