"""``python -m visita`` is the same as ``visita``."""

from visita.cli import main

if __name__ == "__main__":
    main()
