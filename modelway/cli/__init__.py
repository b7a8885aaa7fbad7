"""The command line: one module per station, imported when it is called."""
