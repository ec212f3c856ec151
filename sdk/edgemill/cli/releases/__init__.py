"""What the subcommands of ``edgemill release`` do."""
