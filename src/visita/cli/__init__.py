"""The command line. A command parses, makes one call of the library and prints.

Results go to stdout; progress, remarks and errors to stderr. A command imports the
library only when it runs, and only the rooms that it needs.
"""

import io
import signal
import sys


def main() -> None:
    """Run ``visita`` with the arguments of this process, and exit."""
    try:
        from visita.cli.app import app  # noqa: PLC0415 - importing the package does no work

        if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale cannot show is escaped
            sys.stdout.reconfigure(errors="backslashreplace")
        app()
    except KeyboardInterrupt:  # while something was imported
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from visita.cli.app import interrupted  # noqa: PLC0415

        sys.exit(interrupted())
