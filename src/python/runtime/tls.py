"""The module `ssl` of this interpreter: TLS is what the main thread does with a connection, and this says how.

Pyodide's own module, which has all constants and no TLS, gets classes that work. It verifies certificates unless a program says
that it should not; which CAs are known is the server's matter, besides those that a program brings.
"""

import errno
import os
import ssl
import time

from . import calls, sockets

# Bytes of certificates that one context takes; mirrors messages.ts.
_MAX_PEM = 524_288
_HEAD = "-----BEGIN CERTIFICATE-----"
_VERSIONS = {
    ssl.TLSVersion.TLSv1: "TLSv1",
    ssl.TLSVersion.TLSv1_1: "TLSv1.1",
    ssl.TLSVersion.TLSv1_2: "TLSv1.2",
    ssl.TLSVersion.TLSv1_3: "TLSv1.3",
}
_FIXED = {ssl.PROTOCOL_TLSv1: "TLSv1", ssl.PROTOCOL_TLSv1_1: "TLSv1.1", ssl.PROTOCOL_TLSv1_2: "TLSv1.2"}


class SSLCertVerificationError(ssl.SSLError, ValueError):
    """A certificate is not to be trusted, or is somebody else's."""


def failure(code, words):
    """The exception for what main says of TLS."""
    if code == "CERTIFICATE":
        error = SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {words}")
        error.reason, error.verify_code, error.verify_message = "CERTIFICATE_VERIFY_FAILED", 1, words
    else:
        error = ssl.SSLError(1, f"[SSL] {words}")
        error.reason = words
    error.library = "SSL"
    return error


class Context(ssl.SSLContext):
    """`ssl.SSLContext`: how connections of TLS are made."""

    def __new__(cls, *_args, **_keywords):
        """What has not been set has its default here, also in classes that are derived from this one."""
        context = object.__new__(cls)
        context._authorities = context._certificate = context._key = context._passphrase = context._ciphers = ""
        context._defaults = False
        context._protocols = []
        return context

    def load_default_certs(self, purpose=ssl.Purpose.SERVER_AUTH):
        """The CAs that the server knows are trusted."""
        super().load_default_certs(purpose)
        self._defaults = True

    def set_default_verify_paths(self):
        """The same."""
        self._defaults = True

    def load_verify_locations(self, cafile=None, capath=None, cadata=None):
        """These CAs are trusted as well."""
        if cafile is None and capath is None and cadata is None:
            raise TypeError("cafile, capath and cadata cannot be all omitted")
        texts = [_read(cafile)] if cafile is not None else []
        if capath is not None:
            texts += [_read(os.path.join(capath, name)) for name in sorted(os.listdir(capath))]
        if isinstance(cadata, str):
            texts.append(cadata)
        elif cadata is not None:
            texts.append(ssl.DER_cert_to_PEM_cert(bytes(cadata)))
        for text in texts:
            if _HEAD not in text:
                raise ssl.SSLError(1, "[X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found")
        # comments make up a third of the usual files
        parts = "".join(_certificates("\n".join(texts)))
        if len(self._authorities) + len(parts) > _MAX_PEM:
            raise ssl.SSLError(1, f"certificates of CAs may have {_MAX_PEM} bytes together")
        self._authorities += parts

    def load_cert_chain(self, certfile, keyfile=None, password=None):
        """The certificate that is shown to servers that ask for one."""
        self._certificate = _read(certfile)
        self._key = _read(certfile if keyfile is None else keyfile)
        if callable(password):
            password = password()
        if password is not None:
            self._passphrase = password if isinstance(password, str) else bytes(password).decode()

    def set_alpn_protocols(self, alpn_protocols):
        """What the application speaks, the best first."""
        self._protocols = [str(name) for name in alpn_protocols]

    def set_ciphers(self, ciphers):
        """In the form of OpenSSL."""
        super().set_ciphers(ciphers)
        self._ciphers = str(ciphers)

    def cert_store_stats(self):
        """How many CAs were given."""
        count = self._authorities.count(_HEAD)
        return {"x509": count, "crl": 0, "x509_ca": count}

    def get_ca_certs(self, binary_form=False):
        """Those that were given, as DER; only these are known here."""
        return [ssl.PEM_cert_to_DER_cert(part) for part in _certificates(self._authorities)] if binary_form else []

    def wrap_socket(
        self,
        sock,
        server_side=False,
        do_handshake_on_connect=True,
        suppress_ragged_eofs=True,
        server_hostname=None,
        session=None,
    ):
        """Makes a socket one of TLS; the given one is of no use any more."""
        if server_side:
            raise NotImplementedError("scripts can open connections only")
        return self.sslsocket_class._create(
            sock, do_handshake_on_connect=do_handshake_on_connect, server_hostname=server_hostname, context=self
        )

    def wrap_bio(self, *_args, **_keywords):
        """TLS without a socket is not to be had."""
        raise NotImplementedError("TLS is made of sockets here: use wrap_socket")

    def settings(self, server_hostname):
        """What main has to know."""
        if self.check_hostname and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        name = self._encode_hostname(server_hostname) or ""
        verifies = self.verify_mode != ssl.CERT_NONE
        fixed = _FIXED.get(self.protocol, "")
        return {
            "server": "" if _is_address(name) else name,
            "verify": verifies,
            "identity": name if verifies and self.check_hostname else None,
            "protocols": self._protocols,
            "defaults": self._defaults,
            "authorities": self._authorities,
            "certificate": self._certificate,
            "key": self._key,
            "passphrase": self._passphrase,
            "ciphers": self._ciphers,
            "least": fixed or _VERSIONS.get(self.minimum_version, ""),
            "most": fixed or _VERSIONS.get(self.maximum_version, ""),
        }


def begin(connection, context, server_hostname):
    """Begins to make a connection one of TLS; main answers when that has succeeded."""
    if connection.inbox or connection.asked:
        raise ssl.SSLError(1, "[SSL] there is something to be read that is not of TLS")
    connection.answers.pop("secure", None)
    calls.post("connection_secure", connection.number, context.settings(server_hostname))


def agree(connection, outcome):
    """Takes main's answer. Raises what has gone wrong."""
    if type(outcome) is str:
        raise sockets.failure(outcome)
    connection.tls = outcome


class Socket(ssl.socket):
    """`ssl.SSLSocket`."""

    def __init__(self, *_args, **_keywords):
        raise TypeError("Instances are returned by SSLContext.wrap_socket().")

    @classmethod
    def _create(cls, sock, do_handshake_on_connect=True, server_hostname=None, context=None, **_ignored):
        if not isinstance(sock, sockets.socket):
            raise TypeError("a socket is needed")
        if isinstance(sock, Socket):
            raise NotImplementedError("TLS inside TLS is not to be had")
        if context.check_hostname and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")
        self = cls.__new__(cls, family=sock.family, type=sock.type, proto=sock.proto, fileno=sock.fileno())
        ssl.socket.__init__(self, sock.family, sock.type, sock.proto, sock.fileno())
        self.settimeout(sock.gettimeout())
        sock.detach()
        self._context, self._server_hostname, self._begun = context, server_hostname, False
        self._handshakes = do_handshake_on_connect
        try:
            if do_handshake_on_connect and self._is_connected():
                if self.gettimeout() == 0:
                    raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
                self.do_handshake()
        except BaseException:
            self.close()
            raise
        return self

    def __new__(cls, *_args, **_keywords):
        return object.__new__(cls)

    context = property(lambda self: self._context)
    server_hostname = property(lambda self: self._server_hostname)
    server_side = property(lambda self: False)
    session = property(lambda self: None)
    session_reused = property(lambda self: False)

    def _is_connected(self):
        try:
            self._connected()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            return False
        return True

    def connect(self, addr):
        """Connects, and makes TLS of it."""
        super().connect(addr)
        if self._handshakes:
            self.do_handshake()

    def do_handshake(self, block=False):
        """Makes TLS of the connection."""
        connection = self._connected()
        if connection.tls is not None:
            return
        timeout = None if block and self.gettimeout() == 0 else self.gettimeout()
        if not self._begun:
            begin(connection, self._context, self._server_hostname)
            self._begun = True
        deadline = None if timeout is None else time.monotonic() + timeout
        outcome = connection.expect("secure", deadline)
        if outcome is None:
            if timeout == 0:
                raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
            raise TimeoutError("_ssl.c: The handshake operation timed out")
        agree(connection, outcome)

    def recv(self, buflen=1024, flags=0):
        """As of any socket, but that a socket which does not block has an exception of its own."""
        if flags:
            raise ValueError("non-zero flags not allowed in calls to recv() on SSLSocket")
        try:
            return super().recv(buflen)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)") from None

    def send(self, data, flags=0):
        """The same."""
        if flags:
            raise ValueError("non-zero flags not allowed in calls to send() on SSLSocket")
        try:
            return super().send(data)
        except BlockingIOError:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)") from None

    def read(self, len=1024, buffer=None):
        """Reads at most so many bytes."""
        return self.recv(len) if buffer is None else self.recv_into(buffer, len)

    def write(self, data):
        """Sends some of the bytes, and gives how many."""
        return self.send(data)

    def pending(self):
        """How many bytes can be read without asking the main thread."""
        return len(self._own().inbox)

    def unwrap(self):
        """TLS can not be taken away again."""
        raise NotImplementedError("a connection of TLS stays one")

    def dup(self):
        """There is no second one."""
        raise NotImplementedError("SSLSocket can not be duplicated")

    def getpeercert(self, binary_form=False):
        """The server's certificate: its fields if it was verified, or its bytes."""
        return _certificate(self._connected(), binary_form, self._context.verify_mode != ssl.CERT_NONE)

    def get_channel_binding(self, cb_type="tls-unique"):
        """What ties this connection to its certificate is not known here."""
        return None

    def _agreed(self, at):
        connection = self._own()
        return None if connection.tls is None else connection.tls[at] or None

    def version(self):
        """Such as `TLSv1.3`."""
        return self._agreed(0)

    def cipher(self):
        """Name, protocol and bits."""
        return None if self._own().tls is None else (self._agreed(1), self._agreed(0), self._agreed(2))

    def selected_alpn_protocol(self):
        """What was agreed upon of the context's protocols."""
        return self._agreed(3)

    def selected_npn_protocol(self):
        """Nothing: that is a thing of the past."""
        return None

    def shared_ciphers(self):
        """They are not known."""
        return None

    def compression(self):
        """There is none."""
        return None


async def secure(loop, sock, context, server_hostname, timeout):
    """Makes TLS of a socket that does not block, while others have their turn. Gives what a transport tells of it."""
    connection = sock._connected()
    begin(connection, context, server_hostname)
    done = loop.create_future()
    handle = loop._add_writer(sock.fileno(), lambda: done.done() or done.set_result(None))
    late = loop.call_later(60 if timeout is None else timeout, lambda: done.done() or done.set_exception(_late()))
    try:
        await done
    finally:
        late.cancel()
        if not handle.cancelled():
            loop._remove_writer(sock.fileno())
    agree(connection, connection.expect("secure", None))
    return {
        "sslcontext": context,
        "peercert": _certificate(connection, False, context.verify_mode != ssl.CERT_NONE),
        "cipher": (connection.tls[1], connection.tls[0], connection.tls[2]),
        "compression": None,
        "ssl_object": Agreed(connection, context),
    }


def _late():
    return ConnectionAbortedError("SSL handshake is taking too long: aborting the connection")


class Agreed:
    """In the place of `ssl.SSLObject` for transports: tells what was agreed upon."""

    def __init__(self, connection, context):
        self._connection = connection
        self.context = context

    def getpeercert(self, binary_form=False):
        """As of a socket."""
        return _certificate(self._connection, binary_form, self.context.verify_mode != ssl.CERT_NONE)

    def version(self):
        """As of a socket."""
        return self._connection.tls[0]

    def cipher(self):
        """As of a socket."""
        return self._connection.tls[1], self._connection.tls[0], self._connection.tls[2]

    def selected_alpn_protocol(self):
        """As of a socket."""
        return self._connection.tls[3] or None


def _certificate(connection, binary_form, verified):
    found = connection.request("connection_certificate")
    if found is None or binary_form:
        return found and bytes(found[0])
    if not verified:
        return {}
    _, subject, issuer, alternatives, since, until, serial = found
    fields = {
        "subject": tuple(((name, value),) for name, value in subject),
        "issuer": tuple(((name, value),) for name, value in issuer),
        "version": 3,
        "serialNumber": serial,
        "notBefore": since,
        "notAfter": until,
    }
    if alternatives:
        fields["subjectAltName"] = tuple((name, value) for name, value in alternatives)
    return fields


def _certificates(text):
    """The certificates of a text, each with its borders."""
    for part in text.split(_HEAD)[1:]:
        yield f"{_HEAD}{part.partition('-----END CERTIFICATE-----')[0]}-----END CERTIFICATE-----\n"


def _read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _is_address(name):
    return ":" in name or name.rpartition(".")[2].isdecimal()


def install():
    """Puts this in the place of what the module `ssl` has."""
    Context.__name__ = Context.__qualname__ = "SSLContext"
    Socket.__name__ = Socket.__qualname__ = "SSLSocket"
    for value in (Context, Socket, SSLCertVerificationError):
        value.__module__ = "ssl"
        setattr(ssl, value.__name__, value)
    ssl.CertificateError = SSLCertVerificationError
    Context.sslsocket_class = Socket
    ssl.HAS_TLSv1_3 = ssl.HAS_ECDH = True


install()
