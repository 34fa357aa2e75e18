"""What bytes of strangers are handed to, for a fuzzer that watches which branches they take."""
