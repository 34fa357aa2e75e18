"""The command line: `lastword ...`. Upper floors add commands through entry points."""
