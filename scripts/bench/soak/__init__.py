"""The soak: a Satchel under a steady load while its processes are frozen, killed and misled."""
