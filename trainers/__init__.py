"""Stages: one file, one method. Imports only the harness."""
