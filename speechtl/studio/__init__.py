"""The studio: a local web application to record, train, try, label and ship a wake word."""
