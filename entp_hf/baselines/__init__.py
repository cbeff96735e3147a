"""The selectors that ENTP is compared with: one file per published method."""
