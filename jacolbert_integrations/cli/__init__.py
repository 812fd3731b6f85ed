"""The ``jacolbert`` command."""
