"""What is wrong in the YAML files of `conf/`, by file and line."""
