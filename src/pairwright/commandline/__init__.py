"""What the command line is made of: settings as flags, names that TRL users know, settings files, the reference page.

`pairwright.cli` puts it together. Nothing here imports torch; tyro and rich are imported only where they are used.
"""
