"""The TRL recipe and what it leaves in its folder."""
