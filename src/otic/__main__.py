"""`python -m otic` is `otic`."""

from otic.cli import main

main()
