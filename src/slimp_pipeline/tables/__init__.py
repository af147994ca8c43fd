"""Tables: lesions, patients, splits, and the encoding of metadata fields."""
