"""The module `_socket` of this interpreter: sockets whose connections the main thread opens, where that is allowed.

The module `socket` of Python's library stands on top of it, and everything else on that. A socket's file descriptor is a number
that no file has. What takes its time is asked for, and answered by a message `connection`; until it comes, blocking code waits
by `waits.until()`.
"""

import _socket as _native
import errno
import gc
import importlib
import itertools
import os
import ssl
import sys
import time
import types
import weakref
from _socket import AF_INET, AF_INET6, EAI_NONAME, SOCK_STREAM, gaierror, herror

from . import bridge, calls, waits
from .context import CONTEXT

# The first file descriptor of a connection.
FIRST = 1 << 20
READ, WRITE = 1, 2
# Bytes that are sent or taken at a time; mirrors messages.ts.
_PIECE = 65_000
# Errors whose words say more than the system's.
_SPOKEN = frozenset(("EPERM", "EMFILE", "EBADF"))
_SERVICES = {
    "http": 80, "https": 443, "ftp": 21, "smtp": 25, "smtps": 465, "submission": 587, "imap": 143, "imaps": 993, "pop3": 110,
    "pop3s": 995, "ldap": 389, "ldaps": 636, "mysql": 3306, "postgresql": 5432, "redis": 6379, "mongodb": 27017, "amqp": 5672,
}  # fmt: skip

# Connections by their numbers and by file descriptors, and the functions of event loops that are told of their readiness.
_by_number = weakref.WeakValueDictionary()
_by_descriptor = {}
_numbers = itertools.count(1)
_descriptors = itertools.count(FIRST)
_default_timeout = None


class Connection:
    """What a socket is connected by; duplicates of a socket share it."""

    __slots__ = ("family", "number", "ends", "answers", "asked", "inbox", "references", "options", "on_ready", "deaf", "tls", "__weakref__")

    def __init__(self, family):
        self.family = family
        # by which main knows it; None before it is opened
        self.number = None
        # addresses and ports of both ends, ours first
        self.ends = None
        # of main, by what they are about
        self.answers = {}
        # bytes were asked for, and have not come yet
        self.asked = False
        self.inbox = b""
        self.references = 0
        self.options = {}
        # what an event loop wants to be told
        self.on_ready = None
        self.deaf = False
        # what was agreed upon
        self.tls = None

    def request(self, op, *args):
        """Asks main something that it answers at once."""
        return _request(op, self.number, *args)

    def expect(self, what, deadline):
        """Waits for an answer of main. Gives None when the time is up."""
        answers = self.answers
        return answers.pop(what) if waits.until(deadline, lambda: what in answers) else None

    def take_answers(self):
        """Takes what main has told so far."""
        waits.serve_nested()
        outcome = self.answers.pop("take", None)
        if outcome is not None:
            self.asked = False
            if type(outcome) is bytes:
                # nothing is the end, which is told again and again
                self.inbox = outcome
            elif not outcome.startswith("EAGAIN"):
                self.answers["failure"] = outcome

    def forget(self):
        """It is closed. Main is told."""
        if self.number is not None:
            tell("connection_close", self.number)
            self.number = None

    def __del__(self):
        self.forget()


def tell(op, *args):
    """Tells main something, from wherever: finalisers run also while a message is being read."""
    bridge.send_from_anywhere(["post", op, *args])


def answered(number, what, value):
    """Main answers what was asked, or tells that a connection is ready."""
    connection = _by_number.get(number)
    if connection is None:
        return
    connection.answers[what] = value
    if what == "ready" and connection.on_ready is not None:
        connection.on_ready(value)


def find(descriptor):
    """The connection of a file descriptor; None when it is another file's."""
    return _by_descriptor.get(descriptor)


def poll(wanted):
    """Which of these connections are ready now? Takes and gives pairs of a connection and what it is to be ready for."""
    ready, asked = [], []
    for connection, events in wanted:
        if connection.number is None or (connection.inbox and events & READ) or "failure" in connection.answers:
            ready.append((connection, events if connection.number is None else READ))
        else:
            asked.append((connection, events))
    if asked:
        by_number = {connection.number: connection for connection, _ in asked}
        found = _request("connection_poll", [[connection.number, events] for connection, events in asked])
        ready += [(by_number[number], events) for number, events in found]
    return ready


def watch(connection, events):
    """Main is to tell when the connection is ready for that."""
    connection.answers.pop("ready", None)
    calls.post("connection_watch", connection.number, events)


def _until_ready(connection, event, outcome, timeout, deadline):
    """Waits until a call may be made again that could do nothing yet. Raises what else its outcome tells."""
    if timeout == 0 or not outcome.startswith("EAGAIN"):
        raise failure(outcome, 0)
    watch(connection, event)
    if connection.expect("ready", deadline) is None:
        raise TimeoutError("timed out")


def failure(text, timeout=None):
    """The exception that a text `CODE words` of main stands for."""
    code, _, words = text.partition(" ")
    if code == "EAGAIN":
        return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) if timeout == 0 else TimeoutError("timed out")
    if code == "EAI":
        return gaierror(EAI_NONAME, words)
    if code == "TLS" or code == "CERTIFICATE":
        from . import tls

        return tls.failure(code, words)
    number = getattr(errno, code, errno.EIO)
    return OSError(number, words if code in _SPOKEN or number == errno.EIO else os.strerror(number))


def _request(op, *args):
    _check()
    return calls.call(op, *args)


def _check():
    """Garbage collection may have come here from inside of the bridge: then nothing can be asked."""
    if bridge.reading:
        raise OSError(errno.EBUSY, "sockets can not be used by this finaliser now")
    if bridge.late:
        bridge.send_late()


def _deadline(timeout):
    return None if timeout is None else time.monotonic() + timeout


def _descriptor(connection):
    descriptor = next(_descriptors)
    _by_descriptor[descriptor] = connection
    connection.references += 1
    return descriptor


def _release(descriptor):
    connection = _by_descriptor.pop(descriptor, None)
    if connection is None:
        return
    connection.references -= 1
    if connection.references == 0:
        connection.forget()


def _session():
    """The session of the running code, by what main calls it."""
    context = CONTEXT.get()
    session = None if context is None else context.session
    if session is None:
        return None
    if not session.connects:
        session.connects = True
        weakref.finalize(session, tell, "connections_end", session.key).atexit = False
    return session.key


class socket:
    """A socket of TCP: the base of `socket.socket`."""

    __slots__ = ("_family", "_proto", "_timeout", "_fd", "_connection")

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        self._fd = -1
        if fileno is None:
            family = AF_INET if family == -1 else int(family)
            type = SOCK_STREAM if type == -1 else int(type) & ~(_native.SOCK_NONBLOCK | _native.SOCK_CLOEXEC)
            if family not in (AF_INET, AF_INET6):
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            if type != SOCK_STREAM:
                raise OSError(errno.EPROTONOSUPPORT, "there are sockets of TCP only")
            self._connection = Connection(family)
            self._fd = _descriptor(self._connection)
        else:
            self._connection = _by_descriptor.get(fileno)
            if self._connection is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._fd = fileno
        self._family = self._connection.family
        self._proto = 0 if proto == -1 else int(proto)
        self._timeout = _default_timeout

    family = property(lambda self: self._family)
    type = property(lambda self: SOCK_STREAM)
    proto = property(lambda self: self._proto)
    timeout = property(lambda self: self._timeout)

    def fileno(self):
        return self._fd

    def detach(self):
        descriptor, self._fd = self._fd, -1
        return descriptor

    def close(self):
        descriptor = self.detach()
        if descriptor != -1:
            _release(descriptor)

    def __del__(self):
        # it may have no file descriptor, if it could not be made
        if getattr(self, "_fd", -1) != -1:
            socket.close(self)

    def gettimeout(self):
        return self._timeout

    def settimeout(self, value):
        if value is not None:
            value = float(value)
            if value != value:
                raise ValueError("Invalid value NaN (not a number)")
            if value < 0:
                raise ValueError("Timeout value out of range")
        self._timeout = value

    def getblocking(self):
        return self._timeout != 0

    def setblocking(self, flag):
        self._timeout = None if flag else 0.0

    def connect(self, address):
        connection = self._own()
        if connection.number is not None:
            if connection.ends is not None:
                raise OSError(errno.EISCONN, os.strerror(errno.EISCONN))
        else:
            _open(connection, *_target(self._family, address))
        outcome = connection.answers.pop("open", None)
        if outcome is None:
            if self._timeout == 0:
                raise BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))
            try:
                outcome = connection.expect("open", _deadline(self._timeout))
            except BaseException:
                connection.forget()
                raise
        if type(outcome) is list:
            connection.ends = outcome
            return
        connection.forget()
        raise TimeoutError("timed out") if outcome is None else failure(outcome)

    def connect_ex(self, address):
        try:
            self.connect(address)
        except gaierror:
            raise
        except OSError as error:
            return error.errno or errno.EAGAIN
        return 0

    def recv(self, bufsize, flags=0):
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        connection = self._connected()
        if bufsize == 0 or connection.deaf:
            return b""
        timeout = 0 if flags & _native.MSG_DONTWAIT else self._timeout
        deadline = _deadline(timeout)
        if not flags & _native.MSG_WAITALL:
            return self._receive(connection, min(bufsize, _PIECE), flags & _native.MSG_PEEK, timeout, deadline)
        parts = []
        while bufsize > 0:
            part = self._receive(connection, min(bufsize, _PIECE), False, timeout, deadline)
            if not part:
                break
            parts.append(part)
            bufsize -= len(part)
        return b"".join(parts)

    def recv_into(self, buffer, nbytes=0, flags=0):
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise TypeError("a read-write bytes-like object is required")
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def recvfrom(self, bufsize, flags=0):
        return self.recv(bufsize, flags), self.getpeername()

    def recvfrom_into(self, buffer, nbytes=0, flags=0):
        return self.recv_into(buffer, nbytes, flags), self.getpeername()

    def _receive(self, connection, size, peek, timeout, deadline):
        """Bytes that have come, or that come in time. None are the end."""
        if connection.asked:
            connection.take_answers()
        if connection.inbox:
            return _from_inbox(connection, size, peek)
        known = connection.answers.pop("failure", None)
        if known is not None:
            raise failure(known)
        if timeout == 0 or peek:
            return self._receive_now(connection, size, bool(peek), timeout, deadline)
        while True:
            if not connection.asked:
                connection.answers.pop("take", None)
                _check()
                calls.post("connection_take", connection.number, size)
                connection.asked = True
            outcome = connection.expect("take", deadline)
            if outcome is None:
                raise TimeoutError("timed out")
            connection.asked = False
            if type(outcome) is bytes:
                if len(outcome) <= size:
                    return outcome
                # more was asked for before
                connection.inbox = outcome
                return _from_inbox(connection, size, False)
            if not outcome.startswith("EAGAIN"):
                raise failure(outcome)

    def _receive_now(self, connection, size, peek, timeout, deadline):
        while True:
            if connection.asked:
                # what has been asked for may still come
                raise failure("EAGAIN", 0)
            outcome = connection.request("connection_receive", size, peek)
            if type(outcome) is bytes:
                return outcome
            _until_ready(connection, READ, outcome, timeout, deadline)

    def send(self, data, flags=0):
        return self._send(self._connected(), memoryview(data).cast("B"), self._timeout, _deadline(self._timeout))

    def sendall(self, data, flags=0):
        connection, deadline = self._connected(), _deadline(self._timeout)
        view = memoryview(data).cast("B")
        while len(view) > 0:
            view = view[self._send(connection, view, self._timeout, deadline) :]

    def _send(self, connection, view, timeout, deadline):
        piece = bytes(view[:_PIECE])
        while True:
            outcome = connection.request("connection_send", piece)
            if type(outcome) is int:
                return outcome
            _until_ready(connection, WRITE, outcome, timeout, deadline)

    def sendmsg(self, buffers, ancdata=(), flags=0, address=None):
        return self.send(b"".join(buffers))

    def sendto(self, data, *args):
        return self.send(data)

    def shutdown(self, how):
        connection = self._connected()
        if how not in (_native.SHUT_RD, _native.SHUT_WR, _native.SHUT_RDWR):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if how != _native.SHUT_WR:
            connection.deaf = True
        if how != _native.SHUT_RD:
            calls.post("connection_shut", connection.number)

    def getpeername(self):
        connection = self._connected()
        return _address(self._family, *connection.ends[2:])

    def getsockname(self):
        connection = self._own()
        if connection.ends is None:
            return _address(self._family, "0.0.0.0" if self._family == AF_INET else "::", 0)
        return _address(self._family, *connection.ends[:2])

    def getsockopt(self, level, option, buflen=0):
        connection = self._own()
        value = connection.options.get((level, option), 0)
        if level == _native.SOL_SOCKET:
            if option == _native.SO_ERROR:
                value = self._state(connection)
            elif option == _native.SO_TYPE:
                value = SOCK_STREAM
            elif option == _native.SO_DOMAIN:
                value = self._family
        if buflen and type(value) is int:
            return value.to_bytes(4, "little")[:buflen]
        return value

    def setsockopt(self, level, option, value, optlen=None):
        """Is only remembered: main sends at once (TCP_NODELAY) and looks after idle connections (SO_KEEPALIVE) anyway."""
        self._own().options[level, option] = value

    def _state(self, connection):
        """How a connect() that did not block has ended: 0, or the number of an error."""
        if connection.number is None or connection.ends is not None:
            return 0
        waits.serve_nested()
        outcome = connection.answers.pop("open", None)
        if outcome is None:
            outcome = connection.request("connection_state")
        if type(outcome) is list:
            connection.ends = outcome
            return 0
        if outcome.startswith("EINPROGRESS"):
            return 0
        return failure(outcome).errno or errno.EIO

    def _own(self):
        if self._fd == -1:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._connection

    def _connected(self):
        connection = self._own()
        if connection.ends is None and (connection.number is None or self._state(connection) or connection.ends is None):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return connection

    def bind(self, address):
        raise PermissionError(errno.EPERM, "scripts can open connections only: they have no address of their own")

    def listen(self, backlog=0):
        self.bind(None)

    def _accept(self):
        self.bind(None)


def _open(connection, host, port, family):
    """Has main open it. What main says at once is raised."""
    for is_last in (False, True):
        connection.number = number = next(_numbers)
        connection.answers.clear()
        _by_number[number] = connection
        outcome = connection.request("connection_open", host, port, family, _session())
        if outcome.startswith("EINPROGRESS"):
            return
        connection.number = None
        if is_last or not outcome.startswith("EMFILE"):
            raise failure(outcome)
        # perhaps there are some that nobody can use any more
        gc.collect()


def _from_inbox(connection, size, peek):
    data = connection.inbox[:size]
    if not peek:
        connection.inbox = connection.inbox[size:]
    return data


def _address(family, host, port):
    return (host, port) if family == AF_INET else (host, port, 0, 0)


def _target(family, address):
    if not isinstance(address, tuple):
        name = "AF_INET" if family == AF_INET else "AF_INET6"
        raise TypeError(f"{name} address must be tuple, not {type(address).__name__}")
    if len(address) < 2 or len(address) > (2 if family == AF_INET else 4):
        raise TypeError("wrong number of parts in an address")
    host, port = _host(address[0]), address[1]
    if not isinstance(port, int):
        raise TypeError(f"'{type(port).__name__}' object cannot be interpreted as an integer")
    if not 0 <= port <= 65535:
        raise OverflowError("connect(): port must be 0-65535.")
    if port == 0:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    return host, int(port), 4 if family == AF_INET else 6


def _host(host):
    if host is None or host == "" or host == b"":
        return "localhost"
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str):
        raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")
    host = str.__str__(host)
    if "\0" in host or len(host) > 255:
        raise gaierror(EAI_NONAME, "it is no name or address")
    return host


def _port(port):
    if port is None:
        return 0
    if isinstance(port, (bytes, bytearray)):
        port = bytes(port).decode("ascii", "replace")
    if isinstance(port, str):
        if not port.isdecimal():
            return getservbyname(port)
        port = int(port)
    if not isinstance(port, int):
        raise OSError("Int or String expected")
    if not 0 <= port <= 65535:
        raise OverflowError("getaddrinfo(): port must be 0-65535.")
    return int(port)


def _resolve(host, port):
    """Pairs of 4 or 6 and an address."""
    asking = Connection(0)
    number = next(_numbers)
    _by_number[number] = asking
    _check()
    calls.post("connection_resolve", number, _host(host), port or None)
    outcome = asking.expect("resolve", None)
    if type(outcome) is str:
        raise failure(outcome)
    return outcome


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    """Addresses of a host, as tuples."""
    if type not in (0, SOCK_STREAM):
        raise gaierror(_native.EAI_SOCKTYPE, "there are sockets of TCP only")
    number = _port(port)
    found = []
    for version, address in _resolve(host, number):
        its = AF_INET if version == 4 else AF_INET6
        if family in (0, its):
            found.append((its, SOCK_STREAM, _native.IPPROTO_TCP, "", _address(its, address, number)))
    if not found:
        raise gaierror(EAI_NONAME, f"{host} has no address of that family")
    return found


def gethostbyname(hostname):
    """The first address of IPv4."""
    return gethostbyname_ex(hostname)[2][0]


def gethostbyname_ex(hostname):
    """The name, no other names, and its addresses of IPv4."""
    found = [address for version, address in _resolve(hostname, 0) if version == 4]
    if not found:
        raise gaierror(EAI_NONAME, f"{hostname} has no address of IPv4")
    return (hostname, [], found)


def gethostbyaddr(ip_address):
    """Addresses have no names here."""
    raise herror(1, "addresses are not resolved to names")


def getnameinfo(sockaddr, flags):
    """The address and the port, if just these are wanted."""
    wanted = _native.NI_NUMERICHOST | _native.NI_NUMERICSERV
    if flags & wanted != wanted:
        raise gaierror(EAI_NONAME, "addresses are not resolved to names")
    return sockaddr[0], str(sockaddr[1])


def getservbyname(servicename, protocolname="tcp"):
    """The port of a well-known service."""
    if servicename not in _SERVICES:
        raise gaierror(_native.EAI_SERVICE, f"the port of {servicename} is not known")
    return _SERVICES[servicename]


def getdefaulttimeout():
    """Seconds that new sockets wait; None: for ever."""
    return _default_timeout


def setdefaulttimeout(timeout):
    """Sets how many seconds new sockets wait."""
    global _default_timeout
    _default_timeout = None if timeout is None else float(timeout)


def close(fd):
    """Closes a socket by its file descriptor."""
    _release(fd)


def dup(fd):
    """Another file descriptor of the same connection."""
    connection = _by_descriptor.get(fd)
    if connection is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return _descriptor(connection)


_OWN = (
    *(socket, getaddrinfo, gethostbyname, gethostbyname_ex, gethostbyaddr, getnameinfo, getservbyname),
    *(getdefaulttimeout, setdefaulttimeout, close, dup),
)


def install():
    """Makes this the interpreter's module `_socket`, and has `socket` made anew on top of it."""
    module = types.ModuleType("_socket")
    vars(module).update({name: value for name, value in vars(_native).items() if not name.startswith("__")})
    for value in _OWN:
        value.__module__ = "_socket"
        setattr(module, value.__name__, value)
    module.SocketType = socket
    del module.CAPI
    sys.modules["_socket"] = module
    standard = importlib.reload(sys.modules["socket"])
    vars(ssl).update(socket=standard.socket, create_connection=standard.create_connection)


install()
