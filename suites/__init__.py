"""Benchmarks: one file, one family. Imports only the harness."""
