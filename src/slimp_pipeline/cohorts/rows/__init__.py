"""Tables to rows: joined, typed, labelled; what breaks is set aside."""
