"""What a run costs on this machine: measured against what the machine could do, and against another program."""
