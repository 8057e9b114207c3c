"""Hand-written fakes; each passes the contract tests of what it stands for."""
