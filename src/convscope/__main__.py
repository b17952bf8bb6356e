"""`python -m convscope`: the command line."""

from convscope.cli import main

main()
