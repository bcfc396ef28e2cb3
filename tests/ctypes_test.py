# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
"""The shared library, driven from Python: no header, no macro, no varargs.

The back-end is a thread that knows as much of vhost-user as the test needs.
LIBVHOST is the path of libvhost.so.
"""
import ctypes as C
import errno
import os
import select
import socket
import struct
import threading
import unittest

lib = C.CDLL(os.environ.get("LIBVHOST", "libvhost.so.0"))

F_VERSION_1 = 1 << 32
F_PROTOCOL_FEATURES = 1 << 30
P_MQ, P_REPLY_ACK, P_CONFIG, P_MEM_SLOTS = 1 << 0, 1 << 3, 1 << 9, 1 << 15
GET_FEATURES, GET_VRING_BASE, GET_PROTOCOL_FEATURES = 1, 11, 15
GET_QUEUE_NUM, SET_VRING_ENABLE, GET_CONFIG, GET_MAX_MEM_SLOTS = 17, 18, 24, 36
SET_VRING_ADDR = 9
NEED_REPLY = 8
CONFIG = bytes(range(64))


class Backend(threading.Thread):
    """Answers whatever it is asked, until the connection ends."""

    def __init__(self, sock, refuse=None):
        super().__init__(daemon=True)
        self.sock = sock
        self.refuse = refuse
        self.requests = []
        self.fds = 0

    def take(self, size):
        data = b""
        while len(data) < size:
            more, fds, _, _ = socket.recv_fds(self.sock, size - len(data), 8)
            for fd in fds:
                os.close(fd)
            self.fds += len(fds)
            if not more:
                raise EOFError
            data += more
        return data

    def run(self):
        try:
            while True:
                request, flags, size = struct.unpack("<III", self.take(12))
                payload = self.take(size)
                self.requests.append(request)
                reply = self.answer(request, flags, payload)
                if reply is not None:
                    self.sock.sendall(struct.pack("<III", request, 5, len(reply)) + reply)
        except (EOFError, ConnectionError):
            pass
        self.sock.close()

    def answer(self, request, flags, payload):
        value = {
            GET_FEATURES: F_VERSION_1 | F_PROTOCOL_FEATURES,
            GET_PROTOCOL_FEATURES: P_MQ | P_REPLY_ACK | P_CONFIG | P_MEM_SLOTS,
            GET_QUEUE_NUM: 2,
            GET_MAX_MEM_SLOTS: 8,
        }.get(request)
        if value is not None:
            return struct.pack("<Q", value)
        if request == GET_VRING_BASE:
            return payload
        if request == GET_CONFIG:
            offset, size, flags = struct.unpack("<III", payload[:12])
            return payload[:12] + CONFIG[offset:offset + size]
        if flags & NEED_REPLY:
            return struct.pack("<Q", 1 if request == self.refuse else 0)
        return None


class VirtqOpts(C.Structure):
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("features", C.c_uint64),
                ("indirect_max", C.c_uint32), ("reserved", C.c_uint32)]


class Sg(C.Structure):
    _fields_ = [("iova", C.c_uint64), ("len", C.c_uint32), ("flags", C.c_uint32)]


class Req(C.Structure):
    _fields_ = [("sg", C.POINTER(Sg)), ("out", C.c_uint16), ("in_", C.c_uint16),
                ("flags", C.c_uint32), ("cookie", C.c_void_p)]


class Done(C.Structure):
    _fields_ = [("cookie", C.c_void_p), ("len", C.c_uint32), ("flags", C.c_uint32)]


DONE_FN = C.CFUNCTYPE(None, C.c_void_p, C.c_int, C.c_void_p)
CLOSED_FN = C.CFUNCTYPE(None, C.c_void_p, C.c_int, C.c_void_p)


class Events(C.Structure):
    """The first member alone: a caller may know fewer than the library."""
    _fields_ = [("closed", CLOSED_FN)]


def proto(name, result, *args):
    function = getattr(lib, name)
    function.restype = result
    function.argtypes = args


P = C.c_void_p
for name, result, args in (
        ("vhost_dev_open", C.c_int, (C.c_char_p, P, C.c_size_t, C.POINTER(P))),
        ("vhost_dev_open_fd", C.c_int, (C.c_int, P, C.c_size_t, C.POINTER(P))),
        ("vhost_dev_unref", P, (P,)),
        ("vhost_dev_error", C.c_char_p, (P,)),
        ("vhost_last_error", C.c_char_p, ()),
        ("vhost_cap_name", C.c_char_p, (C.c_uint32,)),
        ("vhost_dev_get_cap", C.c_int, (P, C.c_uint32, C.POINTER(C.c_uint64))),
        ("vhost_dev_get_features", C.c_int, (P, C.POINTER(C.c_uint64))),
        ("vhost_dev_set_features", C.c_int, (P, C.c_uint64)),
        ("vhost_dev_get_config", C.c_int, (P, C.c_uint32, P, C.c_size_t)),
        ("vhost_dev_mem_add_mem", C.c_int, (P, P)),
        ("vhost_dev_vq_attach", C.c_int, (P, C.c_uint, P)),
        ("vhost_dev_start", C.c_int, (P,)),
        ("vhost_dev_stop", C.c_int, (P,)),
        ("vhost_dev_begin", C.c_int, (P,)),
        ("vhost_dev_commit_async", C.c_int, (P, DONE_FN, P)),
        ("vhost_dev_get_fd", C.c_int, (P,)),
        ("vhost_dev_process", C.c_int, (P,)),
        ("vhost_dev_set_events", C.c_int, (P, P, C.c_size_t, P)),
        ("vhost_mem_new", C.c_int, (C.c_uint64, C.c_uint32, C.c_uint64, C.POINTER(P))),
        ("vhost_mem_unref", P, (P,)),
        ("vhost_mem_alloc", P, (P, C.c_size_t, C.c_size_t)),
        ("vhost_mem_to_iova", C.c_uint64, (P, P)),
        ("vhost_virtq_new", C.c_int, (P, P, C.c_size_t, C.POINTER(P))),
        ("vhost_virtq_unref", P, (P,)),
        ("vhost_virtq_add", C.c_int, (P, C.POINTER(Req), C.c_uint)),
        ("vhost_virtq_drain", C.c_int, (P, C.POINTER(Done), C.c_uint)),
        ("vhost_virtq_outstanding", C.c_uint, (P,))):
    proto(name, result, *args)


class Device(unittest.TestCase):
    refuse = None

    def setUp(self):
        ours, theirs = socket.socketpair()
        theirs.settimeout(30)
        self.backend = Backend(theirs, self.refuse)
        self.backend.start()
        self.dev = P()
        self.mem = P()
        self.vq = P()
        with ours:
            r = lib.vhost_dev_open_fd(ours.fileno(), None, 0, C.byref(self.dev))
        self.assertEqual(r, 0, lib.vhost_last_error())

    def tearDown(self):
        lib.vhost_dev_unref(self.dev)
        lib.vhost_virtq_unref(self.vq)
        lib.vhost_mem_unref(self.mem)
        self.backend.join(30)
        self.assertFalse(self.backend.is_alive())

    def ok(self, r):
        self.assertEqual(r, 0, lib.vhost_dev_error(self.dev))

    def describe_queue(self):
        opts = VirtqOpts(size=16, features=F_VERSION_1)
        self.ok(lib.vhost_dev_set_features(self.dev, F_VERSION_1))
        self.assertEqual(lib.vhost_mem_new(1 << 20, 0, 1 << 32, C.byref(self.mem)), 0)
        self.assertEqual(lib.vhost_virtq_new(self.mem, C.byref(opts), C.sizeof(opts),
                                             C.byref(self.vq)), 0)
        self.ok(lib.vhost_dev_mem_add_mem(self.dev, self.mem))
        self.ok(lib.vhost_dev_vq_attach(self.dev, 0, self.vq))

    def test_features_and_capabilities(self):
        value = C.c_uint64()
        self.ok(lib.vhost_dev_get_features(self.dev, C.byref(value)))
        self.assertEqual(value.value, F_VERSION_1)
        caps = {}
        while lib.vhost_cap_name(len(caps)) is not None:
            self.ok(lib.vhost_dev_get_cap(self.dev, len(caps), C.byref(value)))
            caps[lib.vhost_cap_name(len(caps)).decode()] = value.value
        self.assertEqual(caps["MAX_QUEUES"], 2)
        self.assertEqual(caps["MAX_MEM_REGIONS"], 8)
        self.assertEqual(caps["INFLIGHT"], 0)

    def test_config_space(self):
        buf = C.create_string_buffer(8)
        self.ok(lib.vhost_dev_get_config(self.dev, 16, buf, len(buf)))
        self.assertEqual(buf.raw, CONFIG[16:24])

    def test_start_requests_and_stop(self):
        self.describe_queue()
        self.ok(lib.vhost_dev_start(self.dev))
        piece = lib.vhost_mem_alloc(self.mem, 512, 0)
        sg = Sg(lib.vhost_mem_to_iova(self.mem, piece), 512, 0)
        req = Req(C.pointer(sg), 1, 0, 0, 0x1234)
        self.assertEqual(lib.vhost_virtq_add(self.vq, C.byref(req), 1), 1)
        self.assertEqual(lib.vhost_virtq_outstanding(self.vq), 1)
        self.ok(lib.vhost_dev_stop(self.dev))
        done = Done()
        self.assertEqual(lib.vhost_virtq_drain(self.vq, C.byref(done), 1), 1)
        self.assertEqual(done.cookie, 0x1234)
        self.assertIn(SET_VRING_ENABLE, self.backend.requests)
        self.assertIn(GET_VRING_BASE, self.backend.requests)
        self.assertGreaterEqual(self.backend.fds, 3)

    def test_a_transaction_ends_in_a_callback(self):
        results = []
        done = DONE_FN(lambda dev, status, opaque: results.append((status, opaque)))
        self.ok(lib.vhost_dev_begin(self.dev))
        self.describe_queue()
        self.ok(lib.vhost_dev_start(self.dev))
        self.ok(lib.vhost_dev_commit_async(self.dev, done, 77))
        self.assertEqual(results, [])
        fd = lib.vhost_dev_get_fd(self.dev)
        while not results:
            self.assertTrue(select.select([fd], [], [], 30)[0])
            self.ok(lib.vhost_dev_process(self.dev))
        self.assertEqual(results, [(0, 77)])
        self.ok(lib.vhost_dev_stop(self.dev))

    def test_an_event_callback(self):
        seen = []
        events = Events(CLOSED_FN(lambda dev, status, opaque: seen.append(status)))
        self.ok(lib.vhost_dev_set_events(self.dev, C.byref(events), C.sizeof(events), None))
        self.backend.sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual(lib.vhost_dev_process(self.dev), -errno.ECONNRESET)
        self.assertEqual(seen, [-errno.ECONNRESET])
        self.assertIn(b"closed the connection", lib.vhost_dev_error(self.dev))


class Refusal(Device):
    refuse = SET_VRING_ADDR

    def test_start_requests_and_stop(self):
        self.describe_queue()
        self.assertEqual(lib.vhost_dev_start(self.dev), -errno.EREMOTEIO)
        self.assertIn(b"refused SET_VRING_ADDR for queue 0", lib.vhost_dev_error(self.dev))

    def test_a_transaction_ends_in_a_callback(self):
        results = []
        done = DONE_FN(lambda dev, status, opaque: results.append(status))
        self.ok(lib.vhost_dev_begin(self.dev))
        self.describe_queue()
        self.ok(lib.vhost_dev_start(self.dev))
        self.ok(lib.vhost_dev_commit_async(self.dev, done, None))
        fd = lib.vhost_dev_get_fd(self.dev)
        while not results:
            self.assertTrue(select.select([fd], [], [], 30)[0])
            lib.vhost_dev_process(self.dev)
        self.assertEqual(results, [-errno.EREMOTEIO])


class Errors(unittest.TestCase):
    def test_an_error_without_a_device(self):
        dev = P()
        r = lib.vhost_dev_open(b"unix:/nonexistent/socket", None, 0, C.byref(dev))
        self.assertEqual(r, -errno.ENOENT)
        self.assertIsNone(dev.value)
        self.assertIn(b"/nonexistent/socket", lib.vhost_last_error())


if __name__ == "__main__":
    unittest.main()
