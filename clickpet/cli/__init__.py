"""The command line `clickpet`."""
