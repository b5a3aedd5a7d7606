"""What an evaluation found: by slices, held against requirements, to be listened to, and as a statement that others can repeat."""
