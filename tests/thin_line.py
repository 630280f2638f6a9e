"""The parts of tests/thin_line.sh that a shell cannot do.

  thin_line.py shape A B DELAY_S LOSS BITS_PER_S SEED   carries packets between the TUN devices A and B, each in
                                                        a namespace of the same name, as a slow, lossy line would
  thin_line.py join HOST PEER -- COMMAND...             runs a command whose standard input and output go
                                                        over UDP, one datagram for each write
"""

import fcntl
import heapq
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time

PORT = 4111


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH", name.encode(), 0x0001 | 0x1000))
    os.set_blocking(fd, False)
    return fd


def shape(a, b, delay, loss, rate, seed):
    """Both directions are as fast as the line each; a lost packet takes its time like any other."""
    dice = random.Random(seed)
    ends = [tun(a), tun(b)]
    for name in (a, b):
        subprocess.run(["ip", "link", "set", name, "netns", name], check=True)
    print("ready", flush=True)
    busy, flying, count = [0.0, 0.0], [], 0
    while True:
        wait = max(0.0, flying[0][0] - time.monotonic()) if flying else None
        for fd in select.select(ends, [], [], wait)[0]:
            packet = os.read(fd, 65536)
            end = ends.index(fd)
            # Only what the test sends: neighbour discovery is none of the line's business.
            if packet[0] >> 4 != 4 or packet[9] != 17:
                continue
            # The line carries what the program wrote; headers of IP and UDP are the test's.
            size = len(packet) - 28
            busy[end] = max(busy[end], time.monotonic()) + size * 8 / rate
            if dice.random() >= loss:
                count += 1
                heapq.heappush(flying, (busy[end] + delay, count, ends[1 - end], packet))
        while flying and flying[0][0] <= time.monotonic():
            _, _, fd, packet = heapq.heappop(flying)
            os.write(fd, packet)


def join(host, peer, command):
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind((host, PORT))
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def hear():
        while True:
            data = link.recv(65536)
            try:
                os.write(child.stdin.fileno(), data)
            except OSError:
                return

    threading.Thread(target=hear, daemon=True).start()
    while data := os.read(child.stdout.fileno(), 65536):
        try:
            link.sendto(data, (peer, PORT))
        except ConnectionRefusedError:
            pass
    sys.exit(child.wait())


if sys.argv[1] == "shape":
    shape(sys.argv[2], sys.argv[3], *map(float, sys.argv[4:7]), int(sys.argv[7]))
else:
    join(sys.argv[2], sys.argv[3], sys.argv[5:])
