"""The operations that ship with Lastword, their records, and the provider behind them."""

from pathlib import Path

#: The lifecycle policies of the shipped operations.
OPERATIONS_FILE = Path(__file__).parent / "operations.toml"

#: The migrations of the operations' own records.
MIGRATIONS = Path(__file__).parent / "migrations"
