"""Run the lab: say where it is, open the browser, serve until Ctrl-C."""

import os
import signal
import sys
import threading
import webbrowser
from pathlib import Path

from convscope.lab.app import make_app
from convscope.lab.background import is_at_work
from convscope.lab.endpoints import Server
from convscope.web.place import find_place, given_token
from convscope.web.process import Process

PORT = 8421
GRACE_SECONDS = 2


def has_display() -> bool:
    """Whether a browser can be shown: elsewhere than on Linux always."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def serve(
    run: Path | None, *, host: str = "127.0.0.1", port: int = PORT, browser: bool = True
) -> None:
    """Serve the lab until Ctrl-C or SIGTERM; then every training is stopped, its state saved.

    Prints one line with the address. A token is asked for off loopback, and where CONVSCOPE_TOKEN
    gives one.

    Raises:
        InputError: no such run, host or port, or a token that cannot be one.
    """
    if run is not None:
        from convscope.run import open_run

        open_run(run)  # says at once, and on the terminal, what is wrong with it
    server = Server(run)
    place = find_place(host, port, token=given_token())

    def ready() -> None:
        print(f"lab  {place.url}  (Ctrl-C ends it)", flush=True)
        if browser and has_display():
            threading.Thread(target=webbrowser.open, args=(place.url,), daemon=True).start()

    process = Process(
        make_app(server, place.access),
        place,
        ready=ready,
        closing=server.closing,
        grace_seconds=GRACE_SECONDS,
    )
    try:
        process.run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second one leaves a child
        server.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_at_work():  # an attribution of a large network takes long, and nobody waits for it
        sys.stdout.flush()
        os._exit(0)
