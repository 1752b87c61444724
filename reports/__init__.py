"""Records in, pages and CI files out. Imports only the harness, never torch."""
