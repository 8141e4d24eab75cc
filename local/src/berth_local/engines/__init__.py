"""The engines: which of them this machine can run, what memory they take, how they are installed and started."""
