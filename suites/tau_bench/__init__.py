"""tau-bench: customer service with tools over a database, against a simulated customer."""
