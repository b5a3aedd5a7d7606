"""The web server of the studio: routes, who may use them, and encryption."""
