"""Tests under injected faults: orders that nobody would write down, and guards taken away."""
