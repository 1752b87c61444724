"""The command line. It alone composes suites, trainers and reports with the harness, lazily."""
