"""``python -m nucleus`` is the command ``nucleus``."""

from nucleus.cli import main

main(prog_name="nucleus")
