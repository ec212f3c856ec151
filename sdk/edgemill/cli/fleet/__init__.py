"""What the subcommands of ``edgemill fleet`` do: one client of the REST, and tables of what it says."""
