"""`python -m lastword.cli`: the same as the `lastword` command, whatever is on the PATH."""

from lastword.cli.main import main

main()
