"""The app: hosted as a Space of the Hub, or on one's own machine by `entp space`."""
