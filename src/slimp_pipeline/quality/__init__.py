"""Data quality: near duplicates, off-topic and broken pictures, likely label errors."""
