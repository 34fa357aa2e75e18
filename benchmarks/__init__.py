"""The benchmarks: what they print is what the documentation may say."""
