# SPDX-License-Identifier: MIT OR Apache-2.0
"""Load for memcached: kv_load.py PORT ITEMS OPERATIONS CLIENTS

One connection stores ITEMS values of 1000 bytes, so one worker of the server touches all of
their memory first; then CLIENTS connections run OPERATIONS in all, nine gets to one set.
Half of the keys are drawn uniformly, half from a Zipf-like distribution.
"""
import random
import socket
import sys
import threading

VALUE = b"v" * 1000


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def set(self, key):
        self.socket.sendall(b"set k%07d 0 0 %d\r\n%s\r\n" % (key, len(VALUE), VALUE))
        assert self.file.readline() == b"STORED\r\n"

    def get(self, key):
        self.socket.sendall(b"get k%07d\r\n" % key)
        while not (line := self.file.readline()).startswith(b"END"):
            if line.startswith(b"VALUE"):
                self.file.read(int(line.split()[3]) + 2)


def run(port, items, operations, seed):
    client, rng = Client(port), random.Random(seed)
    for _ in range(operations):
        hot = rng.random() < 0.5
        key = int(items ** rng.random()) * 7919 % items if hot else rng.randrange(items)
        client.set(key) if rng.random() < 0.1 else client.get(key)


def main():
    port, items, operations, clients = (int(a) for a in sys.argv[1:5])
    loader = Client(port)
    for key in range(items):
        loader.set(key)
    threads = [threading.Thread(target=run, args=(port, items, operations // clients, seed))
               for seed in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


main()
