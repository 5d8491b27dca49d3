"""The C libraries that rtmidi stands on: kept quiet, and asked whether the JACK server lives.

rtmidi cannot tell that its JACK server died: it goes on listing the ports of the dead one. A small client of
our own, through the very library that rtmidi loaded, is told at once.

Threading: the shutdown callback runs in a thread of libjack and only sets a flag; everything else belongs to
the thread that made the object.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_NO_START_SERVER = 0x01
_SHUTDOWN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _library() -> ctypes.CDLL:
    """rtmidi's extension; symbols of the libraries it is linked with resolve through it."""
    import rtmidi._rtmidi

    library = ctypes.CDLL(rtmidi._rtmidi.__file__)
    for name, result, arguments in (
        ("jack_set_error_function", None, [ctypes.c_void_p]),
        ("jack_set_info_function", None, [ctypes.c_void_p]),
        ("jack_client_open", ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]),
        ("jack_client_close", ctypes.c_int, [ctypes.c_void_p]),
        ("jack_on_shutdown", None, [ctypes.c_void_p, _SHUTDOWN, ctypes.c_void_p]),
        ("jack_port_by_name", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
        (
            "jack_port_get_all_connections",
            ctypes.POINTER(ctypes.c_char_p),
            [ctypes.c_void_p, ctypes.c_void_p],
        ),
        ("jack_free", None, [ctypes.c_void_p]),
        ("snd_lib_error_set_handler", ctypes.c_int, [ctypes.c_void_p]),
    ):
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    return library


def _do_nothing() -> ctypes.c_void_p:
    """A C function that may be called with a text and has no effect.

    Not a Python function: libjack calls this from its own threads, also while rtmidi holds the GIL and waits
    for those threads to end.
    """
    return ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p)


@contextmanager
def quiet_alsa() -> Iterator[None]:
    """Within: libasound prints nothing about a missing sequencer."""
    library = _library()
    if not hasattr(library, "snd_lib_error_set_handler"):
        yield
        return
    library.snd_lib_error_set_handler(_do_nothing())
    try:
        yield
    finally:
        library.snd_lib_error_set_handler(None)


class JackWatch:
    """A silent client at the JACK server that knows when the server is gone.

    Opening one never starts a server, and from then on rtmidi's libjack prints nothing in this process.

    Raises
    ------
    ConnectionError
        No JACK server answers, or rtmidi's JACK library cannot be watched.
    """

    def __init__(self, name: str) -> None:
        os.environ.setdefault("JACK_NO_START_SERVER", "1")
        self._library = _library()
        try:
            self._library.jack_set_error_function(_do_nothing())
            self._library.jack_set_info_function(_do_nothing())
            self._client = self._library.jack_client_open(name.encode(), _NO_START_SERVER, None)
        except AttributeError as error:
            raise ConnectionError("this build of rtmidi has no JACK library that can be watched") from error
        if not self._client:
            raise ConnectionError("no JACK server answers")
        self._alive = True
        self._on_shutdown = _SHUTDOWN(self._note_shutdown)
        self._library.jack_on_shutdown(self._client, self._on_shutdown, None)

    def _note_shutdown(self, _argument: object) -> None:
        self._alive = False

    @property
    def alive(self) -> bool:
        """Whether the server that was there at opening still is."""
        return self._alive and self._client is not None

    def listeners(self, source: str) -> frozenset[str]:
        """The full names of the ports that ``source`` is connected to; empty when it is not there."""
        if not self.alive:
            return frozenset()
        port = self._library.jack_port_by_name(self._client, source.encode())
        names = self._library.jack_port_get_all_connections(self._client, port) if port else None
        if not names:
            return frozenset()
        found = set()
        index = 0
        while (name := names[index]) is not None:
            found.add(name.decode(errors="replace"))
            index += 1
        self._library.jack_free(names)
        return frozenset(found)

    def close(self) -> None:
        """Leave the server; safe when it is dead, and twice."""
        client, self._client = self._client, None
        if client:
            self._library.jack_client_close(client)
