"""Commands on this machine: children of this process, and of a runner that outlives it."""
