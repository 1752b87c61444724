"""Who answers requests: one file a backend, all behind the protocol in base.py."""
